package scheduler

import (
	"context"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// reign is one uninterrupted time of leadership: all that a leader knows besides the replicated state. It is thrown
// away with the leadership, and the next leader builds its own.
//
// mu comes before the lock of the state: sessions are read and changed inside Machine.Read, never the reverse.
type reign struct {
	cfg     *LeaderConfig
	term    uint64
	batch   *batcher
	stopped <-chan struct{}
	wake    chan struct{} // room for one: something happened that the dispatcher cares for

	mu        sync.Mutex
	news      chan struct{} // closed when polls may have an answer though the state did not change
	sessions  map[string]*session
	yielding  map[fsm.TaskEpoch]string // scans asked to give their slot back, and their nodes
	splits    map[fsm.TaskEpoch]*splitAsk
	stumbles  map[uint64]stumble                  // failed attempts of tasks
	services  map[fsm.TaskEpoch]*service          // what held tasks did
	paces     map[paceKey][]finished              // of running jobs
	givers    map[uint64]map[string]time.Duration // nodes that were asked to give a task back, and when
	waits     map[place]time.Duration             // jobs that have work and no task at a node that is full, since when
	looked    time.Duration                       // when tasks were last asked to make way
	accounts  map[string]*account                 // of running jobs
	throttled map[string]bool                     // jobs whose scans rest
	requested map[string]*passRequest             // passes that were asked for
	resting   map[string]time.Duration            // jobs whose last command was refused, until when
	windows   map[string]*window                  // samples of running jobs, for rates
	caps      map[JobKey]*capped                  // jobs whose bandwidth is limited
	began     time.Duration                       // when this reign did
	places    map[string]places                   // of jobs, as the state has them
	stuck     map[string]time.Duration            // running jobs that no node can work on, since when
}

// newReign rebuilds the leases: every holder gets a full fresh TTL, for how much of the old one is left is not known.
func newReign(ctx context.Context, cfg *LeaderConfig) *reign {
	r := &reign{
		cfg: cfg, term: 1, batch: newBatcher(cfg.Log), stopped: ctx.Done(), wake: make(chan struct{}, 1),
		news: make(chan struct{}), sessions: map[string]*session{}, yielding: map[fsm.TaskEpoch]string{},
		splits: map[fsm.TaskEpoch]*splitAsk{}, stumbles: map[uint64]stumble{},
		services: map[fsm.TaskEpoch]*service{}, accounts: map[string]*account{},
		paces: map[paceKey][]finished{}, givers: map[uint64]map[string]time.Duration{},
		throttled: map[string]bool{}, requested: map[string]*passRequest{}, resting: map[string]time.Duration{},
		windows: map[string]*window{}, caps: map[JobKey]*capped{},
		began: cfg.Clock.Monotonic(), places: map[string]places{}, stuck: map[string]time.Duration{},
	}
	if t, ok := cfg.Log.(termed); ok {
		r.term = t.Term()
	}
	deadline := cfg.Clock.Monotonic() + LeaseTTL
	cfg.Machine.Read(func(state *fsm.State) {
		for t := range state.Leased() {
			s := r.sessions[t.Node]
			if s == nil {
				s = newSession(t.Node, "", deadline)
				s.unheard = true
				r.sessions[t.Node] = s
			}
			s.delivered[holdingOf(t)] = 0
		}
	})
	return r
}

// run works until ctx ends and returns when all it started has ended.
func (r *reign) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { r.batch.run(ctx) })
	wg.Go(func() { r.dispatch(ctx) })
	wg.Go(func() { r.fold(ctx) })
	wg.Go(func() { r.tellAll(ctx) })
	wg.Wait()
}

// propose commits commands and returns their outcomes in order.
func (r *reign) propose(ctx context.Context, cmds ...fsm.Command) []outcome {
	return r.batch.propose(ctx, r.stopped, cmds...)
}

// nudge lets the dispatcher look again.
func (r *reign) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// tell lets waiting polls look again. The caller holds mu.
func (r *reign) tell() {
	close(r.news)
	r.news = make(chan struct{})
}

// holdingOf names the current holding of a leased task.
func holdingOf(t *fsm.Task) fsm.TaskEpoch { return fsm.TaskEpoch{Task: t.ID, Epoch: t.Epoch} }
