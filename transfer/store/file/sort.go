package file

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// names are the sorted names of one directory, "/" behind those of directories.
type names interface {
	// peek returns the next name; ok is false at the end.
	peek() (name string, ok bool, err error)
	take()
	close()
}

// sorter sorts names in memory up to limit, and beyond it in sorted runs in one temporary file.
type sorter struct {
	limit int
	batch []string
	runs  *spill
}

func (s *sorter) add(name string) error {
	if len(s.batch) >= s.limit {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.batch = append(s.batch, name)
	return nil
}

func (s *sorter) flush() error {
	if s.runs == nil {
		runs, err := newSpill()
		if err != nil {
			return sortFault(err)
		}
		s.runs = runs
	}
	slices.Sort(s.batch)
	if err := s.runs.write(s.batch); err != nil {
		return sortFault(err)
	}
	clear(s.batch)
	s.batch = s.batch[:0]
	return nil
}

// sorted hands over all names. The sorter is empty afterwards.
func (s *sorter) sorted() (names, error) {
	if s.runs == nil {
		slices.Sort(s.batch)
		list := nameList(s.batch)
		return &list, nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	s.batch = nil
	m, err := newMerge(s.runs)
	if err != nil {
		return nil, sortFault(err)
	}
	s.runs = nil
	return m, nil
}

// sortFault is the error of the place for sorted runs. It does not wrap its cause: a missing temporary directory must not
// be taken for the listed directory being gone.
func sortFault(cause error) error {
	reason := fmt.Sprintf("sort many names in %s: %s; set TMPDIR to a directory with room", os.TempDir(), rootCause(cause))
	return fault(store.Misconfigured, "list", "", reason)
}

// discard drops the runs that sorted did not hand over.
func (s *sorter) discard() {
	if s.runs != nil {
		s.runs.close()
	}
}

// nameList is a sorted list in memory.
type nameList []string

func (l *nameList) peek() (string, bool, error) {
	if len(*l) == 0 {
		return "", false, nil
	}
	return (*l)[0], true, nil
}

func (l *nameList) take()  { *l = (*l)[1:] }
func (l *nameList) close() { *l = nil }

// spill is a temporary file of sorted runs. Each name is preceded by its length.
type spill struct {
	f    *os.File
	path string  // "" once the file has no name any more
	ends []int64 // where each run ends
}

func newSpill() (*spill, error) {
	f, err := os.CreateTemp("", "brigade-sort-*")
	if err != nil {
		return nil, err
	}
	s := &spill{f: f, path: f.Name()}
	if os.Remove(s.path) == nil {
		s.path = "" // elsewhere than on Windows the file vanishes with its last handle
	}
	return s, nil
}

func (s *spill) write(run []string) error {
	w := bufio.NewWriterSize(s.f, bufferSize)
	var end int64
	if len(s.ends) > 0 {
		end = s.ends[len(s.ends)-1]
	}
	var head [binary.MaxVarintLen64]byte
	for _, name := range run {
		n := binary.PutUvarint(head[:], uint64(len(name)))
		_, _ = w.Write(head[:n]) // Flush tells the first error
		_, _ = w.WriteString(name)
		end += int64(n + len(name))
	}
	s.ends = append(s.ends, end)
	return w.Flush()
}

func (s *spill) close() {
	_ = s.f.Close() // its content is not needed any more
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}

// merge reads all runs of a spill as one sorted sequence.
type merge struct {
	spill *spill
	heads runHeap
	err   error
}

// run is one run being read; name is its lowest name not yet taken.
type run struct {
	r    *bufio.Reader
	name string
}

// runBuffer is the read buffer of one run in bytes.
const runBuffer = 16 << 10

func newMerge(s *spill) (*merge, error) {
	m := &merge{spill: s}
	start := int64(0)
	for _, end := range s.ends {
		r := &run{r: bufio.NewReaderSize(io.NewSectionReader(s.f, start, end-start), runBuffer)}
		start = end
		more, err := r.next()
		if err != nil {
			return nil, err
		}
		if more {
			m.heads = append(m.heads, r)
		}
	}
	heap.Init(&m.heads)
	return m, nil
}

// next reads the following name; false means that the run is over.
func (r *run) next() (bool, error) {
	n, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(r.r, name); err != nil {
		return false, err
	}
	r.name = string(name)
	return true, nil
}

func (m *merge) peek() (string, bool, error) {
	if m.err != nil || len(m.heads) == 0 {
		return "", false, m.err
	}
	return m.heads[0].name, true, nil
}

func (m *merge) take() {
	more, err := m.heads[0].next()
	switch {
	case err != nil:
		m.err = sortFault(err)
	case more:
		heap.Fix(&m.heads, 0)
	default:
		heap.Pop(&m.heads)
	}
}

func (m *merge) close() { m.spill.close() }

// runHeap orders runs by their lowest names.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].name < h[j].name }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
