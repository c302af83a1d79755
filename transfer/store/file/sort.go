package file

import (
	"context"

	"github.com/bucketbrigade/brigade/transfer/store/sorting"
)

// names are the sorted names of one directory, "/" behind those of directories. The next one is looked at more than once.
type names struct {
	sorted *sorting.Sorted
	next   string
	known  bool // next is set
}

func newNames(ctx context.Context, s *sorting.Sorter) (*names, error) {
	sorted, err := s.Sorted(ctx)
	if err != nil {
		return nil, err
	}
	return &names{sorted: sorted}, nil
}

// peek returns the next name; ok is false at the end.
func (n *names) peek() (name string, ok bool, err error) {
	if !n.known {
		n.next, _, n.known, err = n.sorted.Peek()
	}
	return n.next, n.known, err
}

func (n *names) take() {
	n.known = false
	n.sorted.Take()
}

func (n *names) close() { n.sorted.Close() }
