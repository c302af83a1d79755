package scheduler

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// auditor makes advances that each bring one segment of audit records and one of failed keys.
type auditor struct {
	p *puppet
	n uint64
}

func (a *auditor) advance(count int) {
	r := a.p.r
	r.t.Helper()
	for range count {
		a.n++
		task := r.task(a.p.running[0].Task)
		to := binary.BigEndian.AppendUint64(append(key(0), '/'), a.n)
		cmd := fsm.AdvanceTask{
			Task: task.ID, Epoch: task.Epoch, From: task.From, To: to, Counts: fsm.Counts{Failed: 1},
			Audit: a.segment(1), Failed: a.segment(2),
		}
		if err := a.p.do(cmd); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
	}
}

func (a *auditor) segment(kind byte) *fsm.Segment {
	name := bytes.Repeat([]byte{kind}, 32)
	binary.BigEndian.PutUint64(name, a.n)
	return &fsm.Segment{Name: name, Lines: int64(a.n)}
}

// names expands a list with its manifests and checks that it holds exactly the segments 1 to n in order.
func (a *auditor) check(kind byte, list []fsm.Segment) {
	r := a.p.r
	r.t.Helper()
	var flat []fsm.Segment
	for _, s := range list {
		if !s.Manifest {
			flat = append(flat, s)
			continue
		}
		data, err := r.spool.Get(r.t.Context(), [32]byte(s.Name))
		if err != nil {
			r.t.Fatal(err)
		}
		inner, err := DecodeManifest(data)
		if err != nil {
			r.t.Fatal(err)
		}
		lines := int64(0)
		for _, i := range inner {
			lines += i.Lines
		}
		if lines != s.Lines {
			r.t.Errorf("manifest says %d lines, its segments have %d", s.Lines, lines)
		}
		flat = append(flat, inner...)
	}
	if len(flat) != int(a.n) {
		r.t.Fatalf("%d segments, want %d", len(flat), a.n)
	}
	for i, s := range flat {
		if binary.BigEndian.Uint64(s.Name) != uint64(i+1) || s.Name[31] != kind || s.Lines != int64(i+1) {
			r.t.Fatalf("segment %d is %x with %d lines", i, s.Name, s.Lines)
		}
	}
}

// TestFold: lists of segments stay short, and nothing is lost over several folds.
func TestFold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		a := &auditor{p: p}
		a.advance(fsm.MaxSegments)
		if n := len(r.job("a").Audit); n != fsm.MaxSegments {
			t.Errorf("folded early: %d segments", n)
		}
		a.advance(2*fsm.MaxSegments + 10)
		job := r.job("a")
		if len(job.Audit) > fsm.MaxSegments || len(job.Failed) > fsm.MaxSegments {
			t.Errorf("%d and %d segments", len(job.Audit), len(job.Failed))
		}
		a.check(1, job.Audit)
		a.check(2, job.Failed)
	})
}

// TestFoldFails: a spool that takes nothing is tried again after a pause, and again.
func TestFoldFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		r.spool.mu.Lock()
		r.spool.fail = errors.New("no space")
		r.spool.mu.Unlock()
		a := &auditor{p: p}
		a.advance(fsm.MaxSegments + 5)
		after(foldRetry / 2)
		synctest.Wait()
		r.spool.mu.Lock()
		if r.spool.puts > 2 {
			t.Errorf("%d attempts at once", r.spool.puts)
		}
		r.spool.fail = nil
		r.spool.mu.Unlock()
		after(foldRetry)
		synctest.Wait()
		if n := len(r.job("a").Audit); n != 1 {
			t.Errorf("%d segments", n)
		}
		a.check(1, r.job("a").Audit)
	})
}

// TestRetryFolded: the keys of a folded list are retried, each line once and in order, over an interruption.
func TestRetryFolded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		a := &auditor{p: p}
		const segments = fsm.MaxSegments + 1
		a.advance(segments)
		end := r.task(p.running[0].Task)
		cmd := fsm.AdvanceTask{Task: end.ID, Epoch: end.Epoch, From: end.From, To: end.To, Done: true, Objects: 1, Bytes: 10}
		if err := p.do(cmd); err != nil {
			t.Fatal(err)
		}
		r.eventually("failed", func() bool { return r.job("a").State == fsm.Failed })
		if list := r.job("a").Failed; len(list) != 1 || !list[0].Manifest {
			t.Fatalf("failed list %+v", list)
		}
		p.slots = 0
		p.poll()
		total := int64(segments * (segments + 1) / 2)

		type line struct{ segment, line int64 }
		var got []line
		n := r.node("m", 1, runFunc(func(ctx context.Context, _ *transfer.Job, task transfer.Task, _ transfer.Lease, l transfer.Ledger) error {
			number := int64(binary.BigEndian.Uint64(task.Segment.Name[:8]))
			if task.EndLine != number || task.Kind != transfer.List || !task.Retry {
				t.Errorf("task %+v", task)
			}
			adv := transfer.Advance{FromLine: task.Line, Counts: transfer.Counts{Copied: 1}}
			for i := task.Line; i < task.EndLine; i++ {
				got = append(got, line{number, i})
				if number == 100 && i == 50 && !task.Takeover { // in the middle of one: end here, and come back
					adv.ToLine = i + 1
					if _, err := l.Advance(ctx, adv); err != nil {
						return err
					}
					return transfer.ErrStopped
				}
			}
			adv.ToLine, adv.Done = task.EndLine, true
			_, err := l.Advance(ctx, adv)
			return err
		}))
		r.must(fsm.RetryJob{Job: "a", Nonce: nonceOf("a")})
		r.eventually("retried", func() bool { return r.job("a").State != fsm.Running })
		if int64(len(got)) != total {
			t.Fatalf("%d lines, want %d", len(got), total)
		}
		i := 0
		for s := int64(1); s <= segments; s++ {
			for l := range s {
				if got[i] != (line{s, l}) {
					t.Fatalf("line %d is %+v, want segment %d line %d", i, got[i], s, l)
				}
				i++
			}
		}
		if job := r.job("a"); job.Unfinished != 0 || job.TasksLost != 0 || job.Counts.Copied != segments+1 {
			t.Errorf("job %+v", job)
		}
		n.end(t)
	})
}
