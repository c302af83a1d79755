package transfer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// slotRun is a simulated machine: jobs whose tasks keep asking for slots.
type slotRun struct {
	slots *Slots
	time  map[string]time.Duration // slot time that each job got
}

// objects is one task that always has another object, each of which takes a slot for so long.
func (r *slotRun) objects(ctx context.Context, job string, each time.Duration, done chan<- string) {
	for r.slots.Acquire(ctx, job) == nil {
		go func() {
			<-time.NewTimer(each).C
			r.slots.Release(job)
			done <- job
		}()
	}
}

// TestSlotsAreShared: jobs get the same number of slots whatever number of tasks, sizes and parts they come with.
func TestSlotsAreShared(t *testing.T) {
	const size, second = 16, time.Second
	type task struct {
		job  string
		each time.Duration
	}
	for name, tasks := range map[string][]task{
		"two tasks against one":        {{"a", second}, {"a", second}, {"b", second}},
		"seven tasks against one":      {{"a", second}, {"a", second}, {"a", second}, {"a", second}, {"a", second}, {"a", second}, {"a", second}, {"b", second}},
		"large objects against small":  {{"a", 100 * second}, {"b", second}},
		"the large ones in many tasks": {{"a", 60 * second}, {"a", 60 * second}, {"a", 60 * second}, {"b", second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &slotRun{slots: NewSlots(size), time: map[string]time.Duration{}}
				ctx, cancel := context.WithCancel(t.Context())
				ends := make(chan string, 1<<16)
				each := map[string]time.Duration{}
				for _, k := range tasks {
					each[k.job] = k.each
					go r.objects(ctx, k.job, k.each, ends)
				}
				<-time.NewTimer(time.Hour).C
				cancel()
				for r.slots.InUse() > 0 {
					<-time.NewTimer(second).C
				}
				for range len(ends) {
					job := <-ends
					r.time[job] += each[job]
				}
				share := float64(r.time["a"]) / float64(r.time["a"]+r.time["b"])
				if share < 0.45 || share > 0.55 {
					t.Errorf("job a had %.3f of the slots' time", share)
				}
			})
		})
	}
}

// TestSlotsForParts: one large object beside another job's many small ones gets its half, and keeps to it.
func TestSlotsForParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slotRun{slots: NewSlots(8), time: map[string]time.Duration{}}
		n := &Node{Slots: r.slots}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		small := make(chan string, 1<<16)
		go r.objects(ctx, "small", time.Second, small)
		synctest.Wait()
		if got := r.slots.InUse(); got != 8 {
			t.Fatalf("%d slots in use before the large object", got)
		}
		if err := r.slots.Acquire(ctx, "large"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		const parts = 400
		err := n.inParallel(ctx, nil, "large", parts, func(context.Context, int) error {
			<-time.NewTimer(3 * time.Second).C
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		r.slots.Release("large")
		if want := parts / 4 * 3 * time.Second; took < want*9/10 || took > want*11/10 {
			t.Errorf("%d parts took %v, on half of the slots %v", parts, took, want)
		}
		share := float64(len(small)) / (took.Seconds() * 8)
		if share < 0.45 || share > 0.55 {
			t.Errorf("the small objects had %.3f of the slots' time", share)
		}
		cancel()
		for r.slots.InUse() > 0 {
			<-time.NewTimer(time.Second).C
		}
	})
}

// TestSlotsWithinAJob: an object goes before further parts of another one.
func TestSlotsWithinAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		if err := s.Acquire(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 2)
		go func() {
			if s.AcquirePart(t.Context(), "a") == nil {
				order <- "part"
			}
		}()
		synctest.Wait()
		go func() {
			if s.Acquire(t.Context(), "a") == nil {
				order <- "object"
			}
		}()
		synctest.Wait()
		s.Release("a")
		first := <-order
		s.Release("a")
		if second := <-order; first != "object" || second != "part" {
			t.Errorf("%s, then %s", first, second)
		}
		if s.Release("a"); s.InUse() != 0 || len(s.lanes) != 0 {
			t.Errorf("%d in use, %d jobs known at the end", s.InUse(), len(s.lanes))
		}
	})
}

// TestSlotsGiveUp: who stops waiting leaves nothing behind, and takes no slot along.
func TestSlotsGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2)
		for range 2 {
			if !s.TryAcquire("a") {
				t.Fatal("a free slot was refused")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 9)
		for i := range 9 {
			go func() { failed <- s.Acquire(ctx, fmt.Sprint("job-", i%3)) }()
		}
		synctest.Wait()
		if s.TryAcquire("b") {
			t.Error("a slot beyond the last")
		}
		cancel()
		for range 9 {
			if err := <-failed; err == nil {
				t.Error("a slot was given to one who stopped waiting")
			}
		}
		s.Release("a")
		s.Release("a")
		if s.InUse() != 0 || len(s.lanes) != 0 {
			t.Errorf("%d in use, %d jobs known at the end", s.InUse(), len(s.lanes))
		}
	})
}
