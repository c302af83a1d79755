package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestSearchOutlivesTheWait: a search for places to cut, begun while a task waited for a slot, goes on after it has got one.
func TestSearchOutlivesTheWait(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.page = 100
	for i := range 800 {
		src.set(fmt.Sprintf("k%06d", i), []byte("content"))
	}
	b := newBench(t, src, dst)
	b.n.Slots = NewSlots(1)
	s := &splitBench{bench: b, rnd: rand.New(rand.NewPCG(1, 7)), requests: make(chan struct{}, 1), cutOf: map[uint64]*benchCut{}, splits: map[Kind]int{}, sure: true}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	searching, second := make(chan struct{}, 100), make(chan struct{})
	wait := func(c <-chan struct{}) {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
	b.n.Sleep = func(ctx context.Context, _ time.Duration) error { // before the search asks again
		searching <- struct{}{}
		wait(second)
		return ctx.Err()
	}
	var puts atomic.Int64
	dst.fail(memFault{op: "put", times: -1, do: func() {
		switch puts.Add(1) {
		case 1: // holds the only slot until the search has begun
			src.fail(memFault{op: "list", err: &store.Error{Op: "list", Class: store.Transient, Err: errors.New("slow down")}})
			s.requests <- struct{}{}
			wait(searching)
		case 2: // the wait that the search began in is over
			close(second)
		}
	}})
	task := Task{ID: 1, Kind: Range}
	l := &splitLedger{benchLedger: benchLedger{bench: b, task: &task}, b: s}
	if err := b.n.Run(ctx, b.job, task, s, l); err != nil {
		t.Fatal(err)
	}
	if s.splits[Range] == 0 {
		t.Error("nothing came of the search")
	}
}
