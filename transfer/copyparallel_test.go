package transfer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestCopyBounds: slots bound the writes in flight over all objects, and a memory of one buffer is enough.
func TestCopyBounds(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newCopyBench(t, src, memMultipart{dst})
	b.n.Memory = NewMemory(8 << 20)
	hold := b.n.Memory.Total() - smallestPool
	if err := b.n.Memory.sem.acquire(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	const objects = 20
	for i := range objects {
		src.set(fmt.Sprint(i), content(5000+i, uint64(i)))
	}
	done := make(chan Result, objects)
	for i := range objects {
		o := src.listed(fmt.Sprint(i))
		go func() {
			if err := b.n.Slots.Acquire(t.Context(), b.job.ID); err != nil {
				done <- Result{Outcome: Failed, Err: err}
				return
			}
			defer b.n.Slots.Release(b.job.ID)
			done <- b.n.copyObject(t.Context(), b.job, b.task, o, nil, b, &b.ledger)
		}()
	}
	for range objects {
		if res := <-done; res.Outcome != Copied {
			t.Errorf("outcome %s, error %v", res.Outcome, res.Err)
		}
	}
	if dst.peak > int(b.slots) {
		t.Errorf("%d writes in flight, %d slots", dst.peak, b.slots)
	}
	if !b.n.Memory.sem.tryAcquire(smallestPool) {
		t.Error("memory was not given back")
	}
	b.clean(src, dst)
}

// TestCopyPartsInParallel: parts use slots that are free; the one that waits for them is let in.
func TestCopyPartsInParallel(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newCopyBench(t, src, memMultipart{dst})
	arrived, gate := make(chan struct{}), make(chan struct{})
	src.fail(memFault{op: "open", body: true, times: int(b.slots), do: func() { arrived <- struct{}{}; <-gate }})
	o := src.set("k", content(5000, 1))
	done := make(chan Result, 1)
	go func() { done <- b.copy(t.Context(), o, nil) }()
	for range b.slots { // every slot has a part in flight before any may go on
		select {
		case <-arrived:
		case res := <-done:
			t.Fatalf("ended early: %+v", res)
		}
	}
	close(gate)
	b.copied(<-done, src, dst, "k")
}

// TestCopyBodyIsFenced: not even bytes that are in memory already are handed out once the lease is lost, or after the end of
// the request.
func TestCopyBodyIsFenced(t *testing.T) {
	src := newMemStore()
	b := newCopyBench(t, src, newMemStore())
	c := &copier{n: b.n, job: b.job, task: b.task, lease: b, key: "k", src: src.set("k", content(500, 1))}
	none := func(*store.Object) wanted { return wanted{} }
	for _, end := range []struct {
		with func(*body)
		want error
	}{
		{func(r *body) { _, _ = r.stop() }, errBodyOver},
		{func(*body) { b.fence() }, ErrFenced},
	} {
		r, err := c.newBody(t.Context(), 0, 500, none, nil)
		if err != nil {
			t.Fatal(err)
		}
		var one [1]byte
		if n, err := r.Read(one[:]); n != 1 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		end.with(r)
		if n, err := r.Read(one[:]); n != 0 || !errors.Is(err, end.want) {
			t.Errorf("%d bytes, error %v, want %v", n, err, end.want)
		}
		_, _ = r.stop()
	}
	b.clean(src)
}
