package transfer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// heard notes what a Watcher is told.
type heard struct {
	mu       sync.Mutex
	requests map[string]int // endpoint, operation and class
	retries  map[store.Class]int
	read     map[string]int
	wrote    map[string]int
}

func newHeard() *heard {
	return &heard{requests: map[string]int{}, retries: map[store.Class]int{}, read: map[string]int{}, wrote: map[string]int{}}
}

func (h *heard) Requested(endpoint, operation string, class store.Class, _ time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests[fmt.Sprintf("%s %s %s", endpoint, operation, class)]++
}

func (h *heard) Retried(class store.Class) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retries[class]++
}

func (h *heard) Read(endpoint string, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read[endpoint] += bytes
}

func (h *heard) Wrote(endpoint string, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote[endpoint] += bytes
}

// TestWatcher: whoever watches hears of every request of a task, by endpoint and class, of each further attempt, and of bytes.
func TestWatcher(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.set("a", []byte("hello"))
	src.set("b", []byte("world!"))
	dst.fail(memFault{op: "put", times: 2, err: memErr("put", "a", store.Throttled, "planned")})
	b := newBench(t, src, dst)
	b.job.SourceEndpoint, b.job.DestinationEndpoint = "mem://a", "mem://b"
	h := newHeard()
	b.n.Watcher = h
	b.pass()
	for request, want := range map[string]int{"mem://b put ": 2, "mem://b put throttled": 2, "mem://a get ": 2} {
		if h.requests[request] != want {
			t.Errorf("%q %d times, want %d: %v", request, h.requests[request], want, h.requests)
		}
	}
	if h.requests["mem://a list "] == 0 || h.requests["mem://b list "] == 0 {
		t.Errorf("no listings: %v", h.requests)
	}
	for request := range h.requests {
		if request[0] == ' ' {
			t.Errorf("%q is of no endpoint", request)
		}
	}
	if h.retries[store.Throttled] != 2 || len(h.retries) != 1 {
		t.Errorf("retries %v", h.retries)
	}
	if h.read["mem://a"] != 11 || h.wrote["mem://b"] < 11 || len(h.read)+len(h.wrote) != 2 {
		t.Errorf("read %v, wrote %v", h.read, h.wrote)
	}
	if n := len(b.n.endpoints.named); n != 0 {
		t.Errorf("%d stores are remembered after the task: %v", n, slices.Collect(maps.Keys(b.n.endpoints.named)))
	}
}

// TestWatcherBlamesTheRightSide: a source that breaks off in the middle of a stream is no failure of the destination.
func TestWatcherBlamesTheRightSide(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.set("a", make([]byte, 100_000))
	src.fail(memFault{op: "open", body: true, at: 50_000, err: memErr("read", "a", store.Transient, "planned")})
	b := newBench(t, src, dst)
	b.n.Tuning.BufferedMax = 10
	b.job.SourceEndpoint, b.job.DestinationEndpoint = "mem://a", "mem://b"
	h := newHeard()
	b.n.Watcher = h
	b.pass()
	if h.requests["mem://b put transient"] != 0 || h.requests["mem://b put canceled"] != 1 || h.requests["mem://b put "] != 1 || h.retries[store.Transient] != 1 {
		t.Errorf("%v, retries %v", h.requests, h.retries)
	}
}

// TestBegan: the end of a listing is no failure, and a lost lease is none of the store's.
func TestBegan(t *testing.T) {
	h := newHeard()
	s := newMemStore()
	n := &Node{Now: time.Now, Watcher: h}
	defer n.endpoints.use(&Job{Source: s, SourceEndpoint: "mem"})()
	defer n.endpoints.use(&Job{Source: s, SourceEndpoint: "mem"})() // by two tasks
	for _, err := range []error{nil, io.EOF, fmt.Errorf("stop: %w", ErrFenced), &store.Error{Class: store.NotFound}} {
		if got := n.began(oneKey{s, "k"}, opStat)(err); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	want := map[string]int{"mem stat ": 2, "mem stat canceled": 1, "mem stat not found": 1}
	if !maps.Equal(h.requests, want) {
		t.Errorf("%v, want %v", h.requests, want)
	}
}
