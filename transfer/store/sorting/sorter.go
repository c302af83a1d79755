// Package sorting brings what comes in no order, or in one of its own, into the byte order of keys: in memory up to a limit,
// beyond it in sorted runs in one temporary file. Stores that cannot list in order have their listings from here.
package sorting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// DefaultLimit is the memory for sorting one listing, in bytes: about 400,000 keys of usual length.
const DefaultLimit = 32 << 20

// entryBytes is what one record takes beside its key and value.
const entryBytes = 16

// Sorter takes records in any order and gives them back ascending by the bytes of their keys; those with equal keys in no
// order. It is not safe for concurrent use.
type Sorter struct {
	limit   int
	arena   []byte // keys and values of the batch
	batch   []entry
	records int64
	runs    *spill
}

// entry is one record in the arena: its key from off, then its value.
type entry struct {
	off        int
	key, value int32
}

// New makes a sorter that holds about limit bytes of records, at least one record, and twice as much for the moment that it
// grows; once it has sorted runs on disk, FanIn read buffers more.
func New(limit int) *Sorter { return &Sorter{limit: limit} }

// Add takes one record. Key and value are copied.
func (s *Sorter) Add(key string, value []byte) error {
	if len(key) > maxField || len(value) > maxField {
		return &store.Error{Op: "list", Class: store.Permanent, Err: fmt.Errorf("an entry of %d bytes cannot be sorted", len(key)+len(value))}
	}
	taken := len(s.arena) + (len(s.batch)+1)*entryBytes + len(key) + len(value)
	if taken > s.limit && len(s.batch) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.batch = append(s.batch, entry{len(s.arena), int32(len(key)), int32(len(value))})
	s.arena = append(append(s.arena, key...), value...)
	s.records++
	return nil
}

// Len tells how many records were added.
func (s *Sorter) Len() int64 { return s.records }

func (s *Sorter) keyOf(e entry) []byte { return s.arena[e.off : e.off+int(e.key)] }

func (s *Sorter) valueOf(e entry) []byte {
	start := e.off + int(e.key)
	return s.arena[start : start+int(e.value)]
}

func (s *Sorter) sort() {
	slices.SortFunc(s.batch, func(a, b entry) int { return bytes.Compare(s.keyOf(a), s.keyOf(b)) })
}

// flush writes the batch as a sorted run.
func (s *Sorter) flush() error {
	if s.runs == nil {
		runs, err := newSpill()
		if err != nil {
			return fault(err)
		}
		s.runs = runs
	}
	s.sort()
	w := s.runs.append()
	for _, e := range s.batch {
		w.add(s.keyOf(e), s.valueOf(e))
	}
	if err := w.end(); err != nil {
		return fault(err)
	}
	s.batch, s.arena = s.batch[:0], s.arena[:0]
	return nil
}

// Sorted hands over all records. The sorter is done afterwards; after an error it is to be discarded.
func (s *Sorter) Sorted(ctx context.Context) (*Sorted, error) {
	if s.runs == nil {
		s.sort()
		out := &Sorted{list: s.batch, from: &Sorter{arena: s.arena}}
		s.batch, s.arena = nil, nil
		return out, nil
	}
	if len(s.batch) > 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	s.batch, s.arena = nil, nil
	m, err := mergeAll(ctx, s.runs)
	if err != nil {
		return nil, fault(err)
	}
	s.runs = nil
	return &Sorted{merge: m}, nil
}

// Discard drops what Sorted did not hand over. It may be called at any time and more than once.
func (s *Sorter) Discard() {
	if s.runs != nil {
		s.runs.close()
	}
	s.runs, s.batch, s.arena = nil, nil, nil
}

// Sorted are records in order.
type Sorted struct {
	list  []entry // where all fit in memory
	from  *Sorter
	merge *merge // else
}

// Peek returns the next record; ok is false at the end. The value is valid until Take or Close.
func (s *Sorted) Peek() (key string, value []byte, ok bool, err error) {
	if s.merge != nil {
		return s.merge.peek()
	}
	if len(s.list) == 0 {
		return "", nil, false, nil
	}
	e := s.list[0]
	return string(s.from.keyOf(e)), s.from.valueOf(e), true, nil
}

// Take passes the record that Peek returned.
func (s *Sorted) Take() {
	if s.merge != nil {
		s.merge.take()
		return
	}
	s.list = s.list[1:]
}

// Close frees memory and disk. It may be called more than once; nothing can be read afterwards.
func (s *Sorted) Close() {
	if s.merge != nil {
		s.merge.close()
	}
	*s = Sorted{}
}

// fault is the error of the place for sorted runs. It does not wrap its cause: a missing temporary directory must not be taken
// for what is listed being gone. A ctx that is over stays what it is.
func fault(cause error) error {
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return &store.Error{Op: "list", Class: store.Canceled, Err: cause}
	}
	var known *store.Error
	if errors.As(cause, &known) {
		return cause
	}
	var path *fs.PathError
	if errors.As(cause, &path) {
		cause = path.Err // the path of a file that has no name any more helps nobody
	}
	reason := fmt.Sprintf("sort many names in %s: %s; set TMPDIR to a directory with room", os.TempDir(), cause)
	return &store.Error{Op: "list", Class: store.Misconfigured, Err: errors.New(reason)}
}
