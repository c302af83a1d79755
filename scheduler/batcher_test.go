package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// runBatcher runs a batcher over a fake log in a bubble.
func runBatcher(t *testing.T, test func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		b := newBatcher(log)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { b.run(ctx) })
		defer wg.Wait()
		defer cancel()
		test(t, b, log, ctx.Done(), cancel)
	})
}

// submitted makes a distinct command of about the given size.
func submitted(i, size int) fsm.Command {
	id := fmt.Sprintf("job-%d", i)
	spec, err := json.Marshal(strings.Repeat("x", size))
	if err != nil {
		panic(err)
	}
	return fsm.SubmitJob{ID: id, Nonce: nonceOf(id), Kind: "copy", Spec: spec}
}

// sizes decodes the entries of a log and returns the number of commands in each.
func sizes(t *testing.T, log *fakeLog) (n []int) {
	t.Helper()
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, e := range log.entries {
		if len(e) > fsm.MaxEntry {
			t.Errorf("entry of %d bytes", len(e))
		}
		cmd, err := fsm.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		if b, ok := cmd.(fsm.Batch); ok {
			n = append(n, len(b.Commands))
		} else {
			n = append(n, 1)
		}
	}
	return n
}

func total(n []int) (sum int) {
	for _, i := range n {
		sum += i
	}
	return sum
}

func TestBatcherAlone(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		start := time.Now()
		o := b.propose(t.Context(), stopped, submitted(1, 10))[0]
		if o.err != nil || o.result.Err != nil || o.result.Index == 0 {
			t.Errorf("outcome %+v", o)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("a lone command waited %v", d)
		}
		if n := sizes(t, log); len(n) != 1 || n[0] != 1 {
			t.Errorf("entries of %v commands", n)
		}
	})
}

// TestBatcherGathers: what arrives during a commit goes out together when it returns.
func TestBatcherGathers(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		log.set(func(l *fakeLog) { l.slow = 20 * time.Millisecond })
		var wg sync.WaitGroup
		wg.Go(func() { b.propose(t.Context(), stopped, submitted(0, 10)) })
		synctest.Wait()
		start := time.Now()
		for i := 1; i <= 30; i++ {
			wg.Go(func() {
				if o := b.propose(t.Context(), stopped, submitted(i, 10))[0]; o.err != nil || o.result.Err != nil {
					t.Errorf("outcome %+v", o)
				}
			})
		}
		wg.Wait()
		if n := sizes(t, log); len(n) != 2 || n[1] != 30 {
			t.Errorf("entries of %v commands, want 1 and 30", n)
		}
		if d := time.Since(start); d != 40*time.Millisecond {
			t.Errorf("took %v, want the rest of one commit and another", d)
		}
	})
}

// TestBatcherDelay: a commit that takes long holds a batch up for 50 ms and no longer.
func TestBatcherDelay(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		log.set(func(l *fakeLog) { l.slow = time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.propose(ctx, stopped, submitted(0, 10)) })
		synctest.Wait()
		log.set(func(l *fakeLog) { l.slow = 0 })
		start := time.Now()
		if o := b.propose(t.Context(), stopped, submitted(1, 10))[0]; o.err != nil {
			t.Error(o.err)
		}
		if d := time.Since(start); d != batchDelay {
			t.Errorf("waited %v, want %v", d, batchDelay)
		}
		cancel() // the caller leaves; the commit itself goes on until the batcher stops
		wg.Wait()
	})
}

func TestBatcherLimits(t *testing.T) {
	for name, test := range map[string]struct{ commands, size, entries int }{
		"by number": {250, 10, 3},
		"by bytes":  {20, 16 << 10, 7}, // three of them fill an entry
	} {
		t.Run(name, func(t *testing.T) {
			runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
				var cmds []fsm.Command
				for i := range test.commands {
					cmds = append(cmds, submitted(i, test.size*3/4)) // JSON writes bytes as base64
				}
				for i, o := range b.propose(t.Context(), stopped, cmds...) {
					if o.err != nil || o.result.Err != nil {
						t.Fatalf("command %d: %+v", i, o)
					}
				}
				n := sizes(t, log)
				if total(n) != test.commands || len(n) != test.entries {
					t.Errorf("entries of %v commands, want %d entries", n, test.entries)
				}
			})
		})
	}
}

// TestBatcherExactFit puts commands into one entry until it is full to the byte.
func TestBatcherExactFit(t *testing.T) {
	var queue []*proposal
	for range 4 {
		queue = append(queue, &proposal{ctx: t.Context(), data: make([]byte, (fsm.MaxEntry-entryHeader)/4-entryPerPart)})
	}
	if batch, rest := cutBatch(queue); len(batch) != 4 || len(rest) != 0 {
		t.Errorf("%d in the batch, %d left", len(batch), len(rest))
	}
	queue[0].data = append(queue[0].data, make([]byte, 4)...)
	if batch, rest := cutBatch(queue); len(batch) != 3 || len(rest) != 1 {
		t.Errorf("one byte too many: %d in the batch, %d left", len(batch), len(rest))
	}
}

func TestBatcherTooLarge(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		out := b.propose(t.Context(), stopped, submitted(1, 10), submitted(2, fsm.MaxEntry), submitted(3, 10))
		if !errors.Is(out[1].err, fsm.ErrTooLarge) {
			t.Errorf("too large: %v", out[1].err)
		}
		if out[0].err != nil || out[2].err != nil {
			t.Errorf("its neighbours: %v, %v", out[0].err, out[2].err)
		}
	})
}

func TestBatcherContext(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		log.set(func(l *fakeLog) { l.slow = 40 * time.Millisecond })
		var wg sync.WaitGroup
		wg.Go(func() { b.propose(t.Context(), stopped, submitted(0, 10)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		if o := b.propose(ctx, stopped, submitted(1, 10))[0]; !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("outcome %+v", o)
		}
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("the caller waited %v", d)
		}
		wg.Wait()
		after(time.Second)
		if n := sizes(t, log); total(n) != 1 {
			t.Errorf("a command that nobody waited for was committed: %v", n)
		}
	})
}

func TestBatcherStops(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, stop func()) {
		log.set(func(l *fakeLog) { l.slow = time.Hour })
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if o := b.propose(t.Context(), stopped, submitted(i, 10))[0]; o.err == nil {
					t.Error("success without a commit")
				}
			})
		}
		synctest.Wait()
		stop()
		wg.Wait()
		if o := b.propose(t.Context(), stopped, submitted(99, 10))[0]; !errors.Is(o.err, ErrNotLeader) {
			t.Errorf("after the end: %+v", o)
		}
	})
}

// TestBatcherFailure: an error of the log reaches everybody in the batch.
func TestBatcherFailure(t *testing.T) {
	runBatcher(t, func(t *testing.T, b *batcher, log *fakeLog, stopped <-chan struct{}, _ func()) {
		log.set(func(l *fakeLog) { l.fail = errWire })
		for _, o := range b.propose(t.Context(), stopped, submitted(1, 10), submitted(2, 10)) {
			if !errors.Is(o.err, errWire) {
				t.Errorf("outcome %+v", o)
			}
		}
	})
}

// BenchmarkTaskEvents measures task events a second through Sync, from 64 callers over a commit of 3 ms (what a raft
// commit with fsync takes). A cluster needs 5,000.
func BenchmarkTaskEvents(b *testing.B) {
	log := newFakeLog()
	const callers = 64
	log.apply(b, fsm.SubmitJob{ID: "j", Nonce: nonceOf("j"), Kind: "copy", Spec: []byte("{}")})
	log.apply(b, fsm.StartPass{Job: "j", Nonce: nonceOf("j"), Pass: 1, At: 1})
	log.apply(b, fsm.AssignTasks{Grants: []fsm.Grant{{Task: 1, Node: "n"}}})
	scan := func() (t *fsm.Task) {
		log.machine.Read(func(s *fsm.State) { t = s.Task(1) })
		return t
	}()
	log.apply(b, cutsOf(scan, 0, callers, false))
	var grants []fsm.Grant
	for i := range callers {
		grants = append(grants, fsm.Grant{Task: uint64(2 + i), Node: "n"})
	}
	epoch := log.apply(b, fsm.AssignTasks{Grants: grants}).Index
	log.set(func(l *fakeLog) { l.slow = 3 * time.Millisecond; l.entries = nil })
	ctx, cancel := context.WithCancel(context.Background())
	leader := NewLeader(LeaderConfig{Log: log, Machine: log.machine, Spool: &memSpool{}, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- leader.Run(ctx) }()
	log.leaders <- true
	if err := leader.Ready(ctx); err != nil {
		b.Fatal(err)
	}

	b.ResetTimer()
	start := time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			from := key(c)
			for i := range b.N/callers + 1 {
				to := fmt.Appendf(nil, "%s/%08d", key(c), i)
				cmd := fsm.AdvanceTask{Task: uint64(2 + c), Epoch: epoch, From: from, To: to, Counts: fsm.Counts{Copied: 1}, Objects: 1}
				resp, err := leader.Sync(ctx, SyncRequest{Node: "n", Instance: "i", Commands: encode(b, cmd)})
				if err != nil {
					b.Error(err)
					return
				}
				if err := resp.Results[0].Err(); err != nil {
					b.Error(err)
					return
				}
				from = to
			}
		})
	}
	wg.Wait()
	events := float64((b.N/callers + 1) * callers)
	b.ReportMetric(events/time.Since(start).Seconds(), "events/s")
	b.StopTimer()
	b.ReportMetric(events/float64(len(log.entries)), "events/entry")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
