package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// uploading has puppet p hold a copy task with an upload of 100 parts open at key(0).
func uploading(r *rig, p *puppet) *fsm.Task {
	r.t.Helper()
	scan := scanning(r, p)
	if err := p.do(cutsOf(scan, 0, 1, true)); err != nil {
		r.t.Fatal(err)
	}
	task := p.work()[0].Task
	for _, cmd := range []fsm.Command{
		fsm.PlanUpload{Task: task.ID, Epoch: task.Epoch, Key: key(0), Planned: 1},
		fsm.OpenUpload{Task: task.ID, Epoch: task.Epoch, Key: key(0), ID: "u", Version: "v", Part: 10},
	} {
		if err := p.do(cmd); err != nil {
			r.t.Fatal(err)
		}
	}
	return &task
}

func share(t *fsm.Task, first, end int64) fsm.ShareParts {
	return fsm.ShareParts{Task: t.ID, Epoch: t.Epoch, Key: key(0), First: first, End: end, Size: 1000}
}

func partsSent(t *fsm.Task) fsm.AdvanceTask {
	return fsm.AdvanceTask{Task: t.ID, Epoch: t.Epoch, FromLine: t.Line, ToLine: t.EndLine, Done: true,
		Counts: fsm.Counts{BytesMoved: 5}, Parts: &fsm.PartsResult{Tags: bytes.Repeat([]byte{7}, 32), Shown: "md5"}}
}

// untilShared polls until an answer tells of shares as wanted, and returns how long that took.
func (p *puppet) untilShared(want func(sh []ShareView) bool) time.Duration {
	p.r.t.Helper()
	begin := time.Now()
	for range 60 {
		if resp := p.poll(); len(resp.Shared) == 1 && want(resp.Shared[0].Shares) {
			return time.Since(begin)
		}
	}
	p.r.t.Fatalf("%s was not told of the shares", p.node)
	return 0
}

// TestOwnerLearnsOfShares: parts that are shared are granted to an idle node, and the owner is told at once when they
// wait, are sent, or wait again.
func TestOwnerLearnsOfShares(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		task := uploading(r, p)
		if err := q.do(share(task, 50, 100)); !errors.Is(err, ErrRefused) {
			t.Errorf("shared by another node: %v", err)
		}
		if err := p.do(share(task, 50, 100)); err != nil {
			t.Fatal(err)
		}
		p.untilShared(func(sh []ShareView) bool { return len(sh) == 1 && sh[0].Waits && sh[0].First == 50 && sh[0].End == 100 })
		part := q.work()[0].Task
		if part.Kind != fsm.PartsTask || part.Parts.ID != "u" || part.Parts.Size != 1000 {
			t.Fatalf("granted %+v", part)
		}
		p.untilShared(func(sh []ShareView) bool { return !sh[0].Waits && sh[0].Result == nil })
		if err := p.do(fsm.ShareParts{Task: task.ID, Epoch: task.Epoch, Key: key(0), First: 50, End: 100, Size: 1000, Back: true}); !errors.Is(err, fsm.ErrNotPending) {
			t.Errorf("taken back while it is sent: %v", err)
		}
		go func() {
			after(500 * time.Millisecond)
			q.running = nil
			q.send(partsSent(&part))
		}()
		if d := p.untilShared(func(sh []ShareView) bool { return sh[0].Result != nil }); d >= maxSyncWait {
			t.Errorf("told of the end after %v", d)
		}
		synctest.Wait()
		if moved := r.job("a").Counts.BytesMoved; moved != 5 {
			t.Errorf("%d bytes moved", moved)
		}
	})
}

// TestSharedTaskIsAskedAgain: a task that shared parts may be asked again soon, as one that was split.
func TestSharedTaskIsAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 2)
		task := uploading(r, p)
		p.able()
		defer q.idle()()
		_, asked := p.untilSplit()
		if asked[0] != holdingOf(task) {
			t.Fatalf("asked %v", asked)
		}
		if err := p.do(share(task, 50, 100)); err != nil {
			t.Fatal(err)
		}
		p.decline() // one part is all that comes of it
		if again, _ := p.untilSplit(); again > splitAgain+maxSyncWait {
			t.Errorf("asked again after %v", again)
		}
	})
}

// TestWaitingOwnerIsAlive: an owner that waits for others does not stand still while they move, and does once they
// do not.
func TestWaitingOwnerIsAlive(t *testing.T) {
	const stall = 30 * time.Second
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		task := uploading(r, p)
		if err := p.do(share(task, 50, 100)); err != nil {
			t.Fatal(err)
		}
		q.work()
		for begin := time.Now(); time.Since(begin) < 3*stall; {
			q.running[0].Moved++
			q.poll()
			if resp := p.poll(); len(resp.Drop) > 0 {
				t.Fatalf("the owner was dropped after %v", time.Since(begin))
			}
		}
		r.eventually("both dropped", func() bool {
			q.poll()
			p.poll()
			return r.task(task.ID).Epoch != task.Epoch
		})
	}, func(c *LeaderConfig) { c.TaskStall = stall })
}

// TestWorkerShares: what an engine asks of its ledger reaches the state, and what became of it comes back.
func TestWorkerShares(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		heard, refused := make(chan transfer.Share, 1), make(chan struct{}, 1)
		owner := runFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, l transfer.Ledger) error {
			switch task.Kind {
			case transfer.Scan:
				_, err := l.Advance(ctx, transfer.Advance{Done: true, Counts: transfer.Counts{Listed: 1, BytesListed: 10},
					Cuts: []transfer.Cut{{From: "a", To: "b", Objects: 1, Bytes: 10}}})
				return err
			case transfer.Parts:
				<-ctx.Done()
				return context.Cause(ctx)
			}
			s := l.(transfer.SharingLedger)
			if err := errors.Join(l.PlanUpload(ctx, transfer.Upload{Key: "a"}),
				l.OpenUpload(ctx, transfer.Upload{Key: "a", ID: "u", Version: "v", PartSize: 10})); err != nil {
				return err
			}
			if err := s.ShareParts(ctx, "a", 1000, 90, 120); !errors.Is(err, transfer.ErrSplitRefused) {
				return fmt.Errorf("parts that there are not: %w", err)
			}
			if err := s.ShareParts(ctx, "a", 1000, 50, 100); err != nil {
				return err
			}
			for {
				shares, news := s.Shares("a", "u")
				if other, _ := s.Shares("a", "another"); len(other) > 0 {
					return errors.New("told of another upload")
				}
				if len(shares) == 1 && shares[0].Result != nil {
					heard <- shares[0]
					break
				}
				if len(shares) == 1 && !shares[0].Waits {
					if err := s.ReclaimParts(ctx, "a", 1000, 50, 100); !errors.Is(err, transfer.ErrSplitRefused) {
						return fmt.Errorf("taken back while it is sent: %w", err)
					}
					select {
					case refused <- struct{}{}:
					default:
					}
				}
				select {
				case <-news:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := s.ReclaimParts(ctx, "a", 1000, 50, 100); err != nil {
				return err
			}
			if err := l.CloseUpload(ctx, "a"); err != nil {
				return err
			}
			_, err := l.Advance(ctx, transfer.Advance{From: "a", To: "b", Done: true, Objects: 1, Bytes: 10, Counts: transfer.Counts{Copied: 1}})
			return err
		})
		n := r.node("n", 1, owner)
		r.submit("a", 0)
		r.eventually("parts are shared", func() bool { held := r.leased("n"); return len(held) == 1 && r.job("a").Unfinished == 2 })
		m := r.puppet("z", 1) // ties go to the other node // the only one that is free now
		part := m.work()[0].Task
		<-refused
		if err := m.do(partsSent(&part)); err != nil {
			t.Fatal(err)
		}
		want := transfer.Share{First: 50, End: 100, Result: &transfer.PartsResult{Tags: bytes.Repeat([]byte{7}, 32), Shown: "md5"}}
		if d := cmp.Diff(want, <-heard); d != "" {
			t.Error(d)
		}
		defer m.idle()()
		r.eventually("done", func() bool { return r.job("a").State == fsm.Succeeded })
		n.end(t)
	})
}

func TestPartsOfTask(t *testing.T) {
	result := &fsm.PartsResult{Tags: []byte("t"), CRC64: []byte("6"), CRC32C: []byte("3"), CRC64ECMA: []byte("e"), Shown: "s", Class: "c", Reason: "r"}
	got, err := taskOf(&fsm.Task{
		ID: 3, Kind: fsm.PartsTask, Line: 5, EndLine: 9,
		Parts:   &fsm.Parts{Owner: 1, Key: []byte("k"), ID: "i", Version: "v", Part: 6, Size: 70},
		Uploads: []*fsm.Upload{{Key: []byte("k"), ID: "i", Shares: []fsm.Share{{First: 1, End: 2, Task: 4}, {First: 2, End: 3, Result: result}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := &transfer.PartsResult{Tags: []byte("t"), CRC64: []byte("6"), CRC32C: []byte("3"), CRC64ECMA: []byte("e"), Shown: "s", Class: "c", Reason: "r"}
	want := transfer.Task{
		ID: 3, Kind: transfer.Parts, Line: 5, EndLine: 9,
		Parts:   &transfer.PartsOf{Key: "k", UploadID: "i", Version: "v", PartSize: 6, Size: 70},
		Uploads: []transfer.Upload{{Key: "k", ID: "i", Shares: []transfer.Share{{First: 1, End: 2}, {First: 2, End: 3, Result: engine}}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(result, advanceFrom(fsm.TaskEpoch{}, transfer.Advance{Parts: engine}).Parts); d != "" {
		t.Error(d)
	}
}
