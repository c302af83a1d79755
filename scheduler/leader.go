package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// Log is the replicated log of this node. Every method returns when ctx ends.
type Log interface {
	// Apply commits one encoded entry and returns what the state machine answered.
	Apply(ctx context.Context, entry []byte) (any, error)
	// Barrier returns once the state machine has applied everything committed before.
	Barrier(ctx context.Context) error
	// LeaderCh tells true when this node becomes leader and false when it stops. A receive may stand for several
	// changes.
	LeaderCh() <-chan bool
}

// termed is a Log that tells its term. Without it every term is 1: right for a cluster that never changes its leader.
type termed interface{ Term() uint64 }

// verified is a Log that proves contact with a quorum. Without it a committed command is the only proof.
type verified interface {
	Verify(ctx context.Context) error
}

// Machine is the state as this node has it.
type Machine interface {
	Read(func(*fsm.State))
	// Changed is closed by the next Apply.
	Changed() <-chan struct{}
}

// LeaderConfig is what a leader works with. Log, Machine, Spool and Logger are required.
type LeaderConfig struct {
	Log     Log
	Machine Machine
	Spool   transfer.Spool
	Logger  *slog.Logger
	Clock   Clock          // nil: SystemClock
	Jitter  func() float64 // in [0,1), for back-off; nil: none
	Node    string         // this node's ID: its worker gets a smaller share while others work; "" for none
	// OutstandingLimit is the number of unfinished copy tasks of a job beyond which its scans rest; 0 means 2,000.
	OutstandingLimit int
	// Retries is how often a pass that failed for reasons that may pass is retried without being asked; 0 means never.
	Retries int
	// ArchivedEvery is how often archived objects that are being restored are looked for at first; 0 means 5 min.
	ArchivedEvery time.Duration
	// Teller tells people what waits in the outbox; nil leaves it there.
	Teller Teller
	// TaskStall is how long a task may do nothing before it is given to another holder; 0 means 5 min.
	TaskStall time.Duration
}

const (
	// LeaseTTL is how long a node may be silent before its tasks are given to others; workers stop before that.
	LeaseTTL = 15 * time.Second

	defaultOutstanding = 2000
	establishRetry     = time.Second
)

// Leader grants tasks while this node leads.
type Leader struct {
	cfg LeaderConfig

	mu      sync.Mutex
	reign   *reign        // nil unless established
	elected bool          // leading, established or about to be
	turned  chan struct{} // closed when one of the above changes
}

// NewLeader returns a leader that does nothing until Run.
func NewLeader(cfg LeaderConfig) *Leader {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock{}
	}
	if cfg.Jitter == nil {
		cfg.Jitter = func() float64 { return 0 }
	}
	if cfg.OutstandingLimit <= 0 {
		cfg.OutstandingLimit = defaultOutstanding
	}
	if cfg.ArchivedEvery <= 0 {
		cfg.ArchivedEvery = defaultArchivedEvery
	}
	if cfg.TaskStall <= 0 {
		cfg.TaskStall = defaultTaskStall
	}
	return &Leader{cfg: cfg, turned: make(chan struct{})}
}

// Run follows the leadership until ctx ends. Whatever it started has ended when it returns.
func (l *Leader) Run(ctx context.Context) error {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-l.cfg.Log.LeaderCh():
			stop()
			stop = func() {}
			if leads {
				stop = l.lead(ctx)
			}
		}
	}
}

// lead starts a reign and returns the function that ends it and waits.
func (l *Leader) lead(parent context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(parent)
	var wg sync.WaitGroup
	l.turn(nil, true)
	wg.Go(func() {
		r, err := l.establish(ctx)
		if err != nil {
			return // ctx ended: nothing else stops establish
		}
		l.turn(r, true)
		l.cfg.Logger.Info("this node leads", "term", r.term)
		r.run(ctx)
		l.cfg.Logger.Info("this node leads no more", "term", r.term)
	})
	return func() {
		l.turn(nil, false)
		cancel()
		wg.Wait()
	}
}

// turn announces where the leadership stands.
func (l *Leader) turn(r *reign, elected bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reign, l.elected = r, elected
	close(l.turned)
	l.turned = make(chan struct{})
}

// establish waits until the state is current and rebuilds the leases from it, again and again until ctx ends.
func (l *Leader) establish(ctx context.Context) (*reign, error) {
	for {
		err := l.cfg.Log.Barrier(ctx)
		if err == nil {
			return newReign(ctx, &l.cfg), nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l.cfg.Logger.Warn("leadership not established, will retry", "error", err)
		retry := time.NewTimer(establishRetry)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// current returns the reign. While it is being established it waits, at most for the given time.
func (l *Leader) current(ctx context.Context, wait time.Duration) (*reign, error) {
	var expired <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		expired = t.C
	}
	for {
		l.mu.Lock()
		r, elected, turned := l.reign, l.elected, l.turned
		l.mu.Unlock()
		if r != nil {
			return r, nil
		}
		if !elected || wait <= 0 {
			return nil, ErrNotLeader
		}
		select {
		case <-turned:
		case <-expired:
			return nil, ErrNotLeader
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Ready waits until this node leads and its leases are rebuilt.
func (l *Leader) Ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		r, turned := l.reign, l.turned
		l.mu.Unlock()
		if r != nil {
			return nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return fmt.Errorf("wait for leadership: %w", context.Cause(ctx))
		}
	}
}

// Propose stamps the time into a command, commits it and returns what the state machine answered; a refusal is in
// Result.Err. An error means that the outcome is not known, or that the command cannot be encoded.
func (l *Leader) Propose(ctx context.Context, cmd fsm.Command) (fsm.Result, error) {
	r, err := l.current(ctx, maxSyncWait)
	if err != nil {
		return fsm.Result{}, err
	}
	o := r.propose(ctx, stamp(cmd, l.cfg.Clock.Now().UnixNano()))[0]
	return o.result, o.err
}

// stamp writes the leader's time into a command of an operator.
func stamp(cmd fsm.Command, now int64) fsm.Command {
	switch c := cmd.(type) {
	case fsm.SubmitJob:
		c.At = now
		return c
	case fsm.StartPass:
		c.At = now
		return c
	case fsm.FinishPass:
		c.At = now
		return c
	case fsm.PauseJob:
		c.At = now
		return c
	case fsm.ContinueJob:
		c.At = now
		return c
	case fsm.CancelJob:
		c.At = now
		return c
	case fsm.RetryJob:
		c.At = now
		return c
	case fsm.RedoJob:
		c.At = now
		return c
	case fsm.EditJob:
		c.At = now
		return c
	case fsm.PutToken:
		c.At = now
		return c
	case fsm.SwitchKey:
		c.At = now
		return c
	case fsm.RetireKey:
		c.At = now
		return c
	case fsm.PostNotice:
		c.At = now
		return c
	case fsm.Recorded:
		c.Event.At = now
		if c.Command != nil {
			c.Command = stamp(c.Command, now)
		}
		return c
	case fsm.Once:
		c.Recorded = stamp(c.Recorded, now).(fsm.Recorded)
		return c
	}
	return cmd
}

// Wait returns the job once until is true of it, and fsm.ErrNoJob when there is no such job (any more).
func (l *Leader) Wait(ctx context.Context, id string, until func(*fsm.Job) bool) (*fsm.Job, error) {
	for {
		changed := l.cfg.Machine.Changed()
		job := readJob(l.cfg.Machine, id)
		if job == nil {
			return nil, fmt.Errorf("wait for job %q: %w", id, fsm.ErrNoJob)
		}
		if until(job) {
			return job, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for job %q: %w", id, context.Cause(ctx))
		}
	}
}

func readJob(m Machine, id string) (job *fsm.Job) {
	m.Read(func(s *fsm.State) { job = s.Job(id) })
	return job
}
