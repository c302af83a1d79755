package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

var errNoRoom = errors.New("no room for records")

// blaming starts a worker that blames errNoRoom on something.
func (r *rig) blaming(name string, run Runner, b Blame) *node {
	n := &node{wire: &wire{to: func() Syncer { return r.leader }}, spool: r.spool, result: make(chan error, 1)}
	n.Worker = NewWorker(WorkerConfig{
		Node: name, Runner: run, Leader: n.wire, Open: n.open, Slots: 1, Clock: bubbleClock{}, Spool: n.spool,
		Unable: func(err error) Blame {
			if errors.Is(err, errNoRoom) {
				return b
			}
			return BlameTask
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.kill = cancel
	go func() { n.result <- n.Run(ctx) }()
	return n
}

// fullRunner is a Runner that has no room for as long as it is full.
type fullRunner struct {
	engine Runner
	is     atomic.Bool
	tried  chan struct{}
}

func (f *fullRunner) Run(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	if !f.is.Load() {
		return f.engine.Run(ctx, job, task, lease, ledger)
	}
	f.tried <- struct{}{}
	return errNoRoom
}

// TestTaskOfAFullNodeIsGivenBack: many attempts that fail for want of room are no task's fault, and another node does it.
func TestTaskOfAFullNodeIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 20, pause: time.Millisecond}
		f := &fullRunner{engine: e.on("n"), tried: make(chan struct{})}
		f.is.Store(true)
		n := r.blaming("n", f, BlameNode)
		r.submit("a", 0)
		for range 10 {
			<-f.tried
		}
		f.is.Store(false)
		r.eventually("the job is done", func() bool { return allDone(r) })
		r.checkSums(20, "a")
		if j := r.job("a"); j.TasksLost != 0 {
			t.Errorf("%d tasks given up", j.TasksLost)
		}
		n.end(t)
	})
}

// TestJobThatANodeCannotDoNow: the node is asked for a task of the job once, says why not, and another node does it.
func TestJobThatANodeCannotDoNow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 20, pause: time.Millisecond}
		f := &fullRunner{engine: e.on("n"), tried: make(chan struct{}, 100)}
		f.is.Store(true)
		n := r.blaming("n", f, BlameJob)
		r.submit("a", 0)
		r.eventually("the job pauses, with the reason", func() bool {
			j := r.job("a")
			return j.State == fsm.Paused && j.Reason == errNoRoom.Error()
		})
		if got := len(f.tried); got != 1 {
			t.Errorf("the node was given a task %d times", got)
		}
		n.end(t)
	})
}
