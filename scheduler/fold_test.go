package scheduler

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/bucketbrigade/brigade/fsm"
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
