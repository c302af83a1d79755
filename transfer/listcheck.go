package transfer

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// ListSummary is what a list holds.
type ListSummary struct {
	Lines int64 // that name something
	Bytes int64 // the sizes that lines give
}

// ListError tells what is wrong with a list.
type ListError struct {
	Problems []string // each with its line's number; the first few
	More     int64    // problems beyond
}

// Error gives one line.
func (e *ListError) Error() string {
	text := strings.Join(e.Problems, "; ")
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more", e.More)
	}
	return text
}

const maxListProblems = 5

func (e *ListError) add(line int64, format string, args ...any) {
	if len(e.Problems) == maxListProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
}

// Check reads a whole list: lines that are malformed, and lines that name a key that an earlier one names, are a
// *ListError. It keeps little in memory however long the list is, and temporary files of 24 bytes a line in dir ("" is the
// system's folder for them), which are gone when it returns.
func (l *KeyList) Check(ctx context.Context, dir string) (sum ListSummary, err error) {
	keys, err := newRepeats(dir)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, keys.close()) }()
	_, version, err := l.Text.Stat(ctx)
	if err != nil {
		return sum, err
	}
	r, err := l.Text.Open(ctx, version, 0)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	bad := &ListError{}
	lines := newLineReader(r, 0)
	for number := int64(1); ; number++ {
		text, _, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errLineTooLong) {
			bad.add(number, "%v", err)
			return sum, bad // what follows cannot be told apart
		}
		if err != nil {
			return sum, fmt.Errorf("read the list: %w", err)
		}
		if err := l.checkLine(text, number, keys, &sum, bad); err != nil {
			return sum, err
		}
		if number%1024 == 0 && ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
	}
	if err := keys.find(func(line, first int64) { bad.add(line, "names the same key as line %d; remove one of them", first) }); err != nil {
		return sum, err
	}
	if len(bad.Problems) > 0 {
		return sum, bad
	}
	return sum, nil
}

func (l *KeyList) checkLine(text string, number int64, keys *repeats, sum *ListSummary, bad *ListError) error {
	line, ok, err := l.parse(text)
	if err != nil {
		bad.add(number, "%v", err)
		return nil
	}
	if !ok {
		return nil
	}
	sum.Lines++
	sum.Bytes += max(0, line.Size)
	return keys.add(line.Key, number)
}

// repeats finds keys that come more than once, by 16 bytes of their hash: sorted runs in files, then merged.
type repeats struct {
	dir   string
	most  int // marks that are sorted in memory
	chunk []mark
	runs  []*os.File
}

// mark is a key's hash and the number of its line.
type mark struct {
	hash [16]byte
	line int64
}

const (
	markSize  = 24
	markChunk = 256 << 10
)

func (m *mark) compare(o *mark) int {
	if c := bytes.Compare(m.hash[:], o.hash[:]); c != 0 {
		return c
	}
	return cmp.Compare(m.line, o.line)
}

func newRepeats(dir string) (*repeats, error) {
	dir, err := os.MkdirTemp(dir, "brigade-list-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for sorting the list: %w", err)
	}
	return &repeats{dir: dir, most: markChunk}, nil
}

func (r *repeats) close() error {
	var err error
	for _, f := range r.runs {
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

func (r *repeats) add(key string, line int64) error {
	hash := sha256.Sum256([]byte(key))
	r.chunk = append(r.chunk, mark{[16]byte(hash[:16]), line})
	if len(r.chunk) < r.most {
		return nil
	}
	return r.spill()
}

// spill writes what is in memory as a sorted run.
func (r *repeats) spill() error {
	slices.SortFunc(r.chunk, func(a, b mark) int { return a.compare(&b) })
	f, err := os.CreateTemp(r.dir, "run")
	if err != nil {
		return fmt.Errorf("sort the list: %w", err)
	}
	r.runs = append(r.runs, f)
	w := bufio.NewWriterSize(f, 256<<10)
	var b [markSize]byte
	for i := range r.chunk {
		copy(b[:], r.chunk[i].hash[:])
		binary.BigEndian.PutUint64(b[16:], uint64(r.chunk[i].line))
		if _, err := w.Write(b[:]); err != nil {
			return fmt.Errorf("sort the list: %w", err)
		}
	}
	r.chunk = r.chunk[:0]
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort the list: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("sort the list: %w", err)
	}
	return nil
}

// find calls visit for each line whose key an earlier line names, with the first such line, in the order of hashes.
func (r *repeats) find(visit func(line, first int64)) error {
	if err := r.spill(); err != nil {
		return err
	}
	merge := make(runHeap, 0, len(r.runs))
	for _, f := range r.runs {
		next := &run{r: bufio.NewReaderSize(f, 64<<10)}
		if ok, err := next.advance(); err != nil {
			return err
		} else if ok {
			merge = append(merge, next)
		}
	}
	heap.Init(&merge)
	var first mark
	for merge.Len() > 0 {
		top := merge[0]
		if top.head.hash == first.hash && first.line > 0 {
			visit(top.head.line, first.line)
		} else {
			first = top.head
		}
		ok, err := top.advance()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&merge, 0)
		default:
			heap.Pop(&merge)
		}
	}
	return nil
}

// run is a sorted file being merged.
type run struct {
	r    *bufio.Reader
	head mark
}

func (r *run) advance() (ok bool, err error) {
	var b [markSize]byte
	_, err = io.ReadFull(r.r, b[:])
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sort the list: %w", err)
	}
	r.head = mark{[16]byte(b[:16]), int64(binary.BigEndian.Uint64(b[16:]))}
	return true, nil
}

// runHeap implements heap.Interface.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].head.compare(&h[j].head) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
