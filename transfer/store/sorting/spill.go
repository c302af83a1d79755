package sorting

import (
	"bufio"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

const (
	// FanIn is how many sorted runs are merged at once. Where there are more, they are merged into longer ones first.
	FanIn = 64

	runBuffer   = 32 << 10  // read buffer of one run in bytes
	writeBuffer = 256 << 10 // write buffer of a run being made
	maxField    = 16 << 20  // longest key or value in bytes; what is read beyond it is no run of ours
	checkEvery  = 4096      // records merged between two looks at ctx
)

// spill is a temporary file of sorted runs, one behind the other. A record is the lengths of its key and value, then both.
type spill struct {
	f    *os.File
	path string // "" once the file has no name any more
	size int64
	runs []extent // not merged yet, oldest first
}

// extent is where a run stands in the file, and how many records it has.
type extent struct{ start, end, records int64 }

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

func (s *spill) close() {
	_ = s.f.Close() // its content is not needed any more
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}

// runWriter writes one run at the end of the file.
type runWriter struct {
	s             *spill
	w             *bufio.Writer
	size, records int64
}

func (s *spill) append() *runWriter {
	return &runWriter{s: s, w: bufio.NewWriterSize(io.NewOffsetWriter(s.f, s.size), writeBuffer)}
}

func (w *runWriter) add(key, value []byte) {
	var head [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(key)))
	n += binary.PutUvarint(head[n:], uint64(len(value)))
	for _, b := range [][]byte{head[:n], key, value} {
		_, _ = w.w.Write(b) // end tells the first error
		w.size += int64(len(b))
	}
	w.records++
}

func (w *runWriter) end() error {
	if err := w.w.Flush(); err != nil {
		return err
	}
	w.s.runs = append(w.s.runs, extent{w.s.size, w.s.size + w.size, w.records})
	w.s.size += w.size
	return nil
}

// run is one run being read; key and value are its lowest record not yet taken.
type run struct {
	r          *bufio.Reader
	left       int64 // records behind that one
	key, value []byte
}

// next reads the following record; false means that the run is over.
func (r *run) next() (bool, error) {
	keySize, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) && r.left == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if r.left--; r.left < 0 {
		return false, errDamaged
	}
	valueSize, err := binary.ReadUvarint(r.r)
	if err != nil {
		return false, err
	}
	if keySize > maxField || valueSize > maxField {
		return false, errDamaged
	}
	r.key, r.value = sized(r.key, keySize), sized(r.value, valueSize)
	if _, err := io.ReadFull(r.r, r.key); err != nil {
		return false, err
	}
	_, err = io.ReadFull(r.r, r.value)
	return err == nil, err
}

// sized returns n bytes to read into, those of b if they suffice.
func sized(b []byte, n uint64) []byte {
	if uint64(cap(b)) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// merge reads runs as one sorted sequence.
type merge struct {
	spill *spill
	heads runHeap
	top   string // key of the lowest record, once peeked
	some  bool   // top is set
	err   error
}

// mergeAll merges the runs of a spill until FanIn are left, and begins to read those. The oldest go first, so that each record
// is written about as often as another.
func mergeAll(ctx context.Context, s *spill) (*merge, error) {
	for len(s.runs) > FanIn {
		n := min(FanIn, len(s.runs)-FanIn+1)
		m, err := s.read(s.runs[:n])
		if err != nil {
			return nil, err
		}
		if err := m.rewrite(ctx); err != nil {
			return nil, err
		}
		s.runs = s.runs[n:]
	}
	return s.read(s.runs)
}

func (s *spill) read(runs []extent) (*merge, error) {
	m := &merge{spill: s}
	for _, e := range runs {
		r := &run{r: bufio.NewReaderSize(io.NewSectionReader(s.f, e.start, e.end-e.start), runBuffer), left: e.records}
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

// rewrite writes what is merged as a new run.
func (m *merge) rewrite(ctx context.Context) error {
	w := m.spill.append()
	for n := 0; len(m.heads) > 0 && m.err == nil; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.add(m.heads[0].key, m.heads[0].value)
		m.take()
	}
	if m.err != nil {
		return m.err
	}
	return w.end()
}

func (m *merge) peek() (string, []byte, bool, error) {
	if m.err != nil || len(m.heads) == 0 {
		return "", nil, false, m.err
	}
	if !m.some {
		m.top, m.some = string(m.heads[0].key), true
	}
	return m.top, m.heads[0].value, true, nil
}

func (m *merge) take() {
	m.some = false
	more, err := m.heads[0].next()
	switch {
	case err != nil:
		m.err = fault(err)
	case more:
		heap.Fix(&m.heads, 0)
	default:
		heap.Pop(&m.heads)
	}
}

func (m *merge) close() { m.spill.close() }

// runHeap orders runs by their lowest keys.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return string(h[i].key) < string(h[j].key) }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
