package transfer

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Node holds what all tasks on one machine share.
type Node struct {
	Name  string
	Spool Spool
	Log   *slog.Logger
	Now   func() time.Time
	// Jitter returns a number in [0,1), for back-off.
	Jitter func() float64
	// Sleep waits between attempts; it returns early with an error when ctx is done.
	Sleep func(ctx context.Context, d time.Duration) error
	// Slots bounds the objects and parts in flight, and so the requests in flight on either side.
	Slots *Slots
	// Memory bounds the bytes that all buffers hold together.
	Memory *Memory
	Meter  Meter
	// Watcher hears of what goes to stores; nil: nobody does.
	Watcher Watcher
	Tuning  Tuning

	concurrency int64 // what Slots had at first
	endpoints   endpoints
}

// Tuning holds the sizes, in bytes, at which one way of copying an object gives way to another.
type Tuning struct {
	BufferedMax  int64 // objects up to this size are read into memory whole
	MultipartMin int64 // objects from this size on go in parts
	PartSize     int64 // smallest part that is chosen freely
	PartUnit     int64 // part sizes are rounded up to a multiple of this
	PartMin      int64 // a source's own part size is taken over from here
	PartMax      int64 // to here, so that multipart ETags agree on both sides
	StreamBuffer int   // read from the source at a time
	// PartPatience is how long a part waits for memory that holds it whole: then its sum goes ahead of it, and the
	// cheapest one will do. Where the wait is longer the network is what limits, not this machine: parts are streamed,
	// so that more of them are in flight, and for PartRest none waits. 0 streams always.
	PartPatience time.Duration
	PartRest     time.Duration
	// SplitWorth is what a part of a copy task must be worth that others are given, in bytes; a request is worth objectCost.
	// Less costs more to hand out than it takes. 0 is anything.
	SplitWorth int64
	// FirstCuts is how many tasks the first page of a pass becomes, 1 to 8, so that copying starts at once on all nodes.
	FirstCuts int
	// ShareMin is how much of an object must be left for other nodes to be given parts of it, SharePiece how much one node
	// must have left for half of it to go to another. 0 for ShareMin shares nothing.
	ShareMin   int64
	SharePiece int64
}

// DefaultTuning returns the sizes used in production.
func DefaultTuning() Tuning {
	return Tuning{BufferedMax: 4 << 20, MultipartMin: 64 << 20, PartSize: 16 << 20, PartUnit: 1 << 20,
		PartMin: 5 << 20, PartMax: 256 << 20, StreamBuffer: 256 << 10,
		PartPatience: 3 * time.Second, PartRest: time.Minute, SplitWorth: 2 << 20, FirstCuts: 8, ShareMin: 1 << 30, SharePiece: 64 << 20}
}

// Meter counts live, unlike a job's counters: attempts that fail count too, nothing is ever taken back.
type Meter struct {
	BytesRead    atomic.Int64 // from sources
	BytesWritten atomic.Int64 // to destinations
	Objects      atomic.Int64 // copied
	Listed       atomic.Int64 // source keys passed
	Retries      atomic.Int64
}

// NewNode returns a node with concurrency requests in flight at most and memory bytes of buffers.
func NewNode(name string, spool Spool, log *slog.Logger, concurrency int, memory int64) *Node {
	return &Node{
		Name: name, Spool: spool, Log: log, Now: time.Now, Jitter: rand.Float64, Sleep: sleep, Tuning: DefaultTuning(),
		Slots: NewSlots(concurrency), Memory: NewMemory(memory),
		concurrency: int64(concurrency),
	}
}

// Memory is a byte budget with pooled buffers behind it. Its size can change while it is in use.
type Memory struct {
	sem   *budget
	parts *budget // the share of it that whole parts may hold, so that small buffers never wait for them
	total atomic.Int64
	rest  atomic.Int64 // Unix nanoseconds until which no part waits for memory
	pools atomic.Pointer[pools]
}

// pools hold buffers for the next use, by class.
type pools [poolClasses]chan []byte

// poolClasses are powers of two from 64 KiB (class 0) to 32 MiB.
const (
	poolClasses  = 10
	smallestPool = 64 << 10
	leastMemory  = 8 << 20
)

// NewMemory returns a budget of total bytes, at least 8 MiB.
func NewMemory(total int64) *Memory {
	m := &Memory{sem: newBudget(0), parts: newBudget(0)}
	m.Resize(total)
	return m
}

// Resize changes the budget to total bytes, at least 8 MiB. Buffers that are in use beyond a smaller budget stay until they
// are put back; nothing more is given out before.
func (m *Memory) Resize(total int64) {
	total = max(total, leastMemory)
	if m.total.Swap(total) == total {
		return
	}
	p := new(pools)
	for i := range p {
		p[i] = make(chan []byte, max(1, int(total/2)/(smallestPool<<i)))
	}
	m.pools.Store(p)
	m.sem.resize(total)
	m.parts.resize(total / 4 * 3)
}

// Total is the budget in bytes.
func (m *Memory) Total() int64 { return m.total.Load() }

// InUse is how many bytes of the budget are held. It may exceed Total after that was made smaller.
func (m *Memory) InUse() int64 { return m.sem.inUse() }

// Get waits for n bytes of the budget and returns a buffer of length n; Put gives both back. More than Total comes when
// nothing else is in use.
func (m *Memory) Get(ctx context.Context, n int) ([]byte, error) {
	class, size := classOf(n)
	if err := m.sem.acquire(ctx, int64(size)); err != nil {
		return nil, err
	}
	if class < poolClasses {
		select {
		case b := <-m.pools.Load()[class]:
			return b[:n], nil
		default:
		}
	}
	return make([]byte, n, size), nil
}

// Put returns a buffer that Get gave.
func (m *Memory) Put(b []byte) {
	class, size := classOf(cap(b))
	if class < poolClasses {
		select {
		case m.pools.Load()[class] <- b:
		default:
		}
	}
	m.sem.release(int64(size))
}

// TryPart returns a buffer for a whole part, or nil where there is no memory for it within patience. After a wait in vain
// nobody waits for a while. PutPart gives the buffer back.
func (m *Memory) TryPart(ctx context.Context, n int64, now func() time.Time, t *Tuning) []byte {
	if t.PartPatience <= 0 || n > m.Total()/4*3 {
		return nil
	}
	class, size := classOf(int(n))
	if class == poolClasses {
		return nil // it would be garbage after each use
	}
	if !m.parts.tryAcquire(int64(size)) && !m.waitPart(ctx, int64(size), now, t) {
		return nil
	}
	b, err := m.Get(ctx, int(n))
	if err != nil {
		m.parts.release(int64(size))
		return nil
	}
	return b
}

func (m *Memory) waitPart(ctx context.Context, size int64, now func() time.Time, t *Tuning) bool {
	if now().UnixNano() < m.rest.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, t.PartPatience)
	defer cancel()
	if m.parts.acquire(ctx, size) != nil {
		m.rest.Store(now().Add(t.PartRest).UnixNano())
		return false
	}
	return true
}

// PutPart returns a buffer that TryPart gave.
func (m *Memory) PutPart(b []byte) {
	_, size := classOf(cap(b))
	m.Put(b)
	m.parts.release(int64(size))
}

// classOf returns the pool class of n bytes and its size; beyond the largest class the size is n itself.
func classOf(n int) (class, size int) {
	size = smallestPool
	for class = 0; class < poolClasses; class++ {
		if n <= size {
			return class, size
		}
		size <<= 1
	}
	return poolClasses, n
}

// fencedReader checks the lease in every Read of a body, and tells it what moved.
type fencedReader struct {
	r     io.Reader
	lease Lease
}

func (f fencedReader) Read(p []byte) (int, error) {
	if err := f.lease.Check(); err != nil {
		return 0, err
	}
	n, err := f.r.Read(p)
	moved(f.lease, n)
	return n, err
}

// moved passes a sign of life on to whoever wants it.
func moved(lease Lease, n int) {
	if m, ok := lease.(MovedLease); ok && n > 0 {
		m.Moved(int64(n))
	}
}
