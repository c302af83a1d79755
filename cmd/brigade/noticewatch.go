package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/scheduler"
)

const (
	noticeEvery   = time.Second
	stalledAgain  = 24 * time.Hour
	leastForShare = 50 // settled objects, before their share of failures means anything
	readyPatience = 10 * time.Second
	afterwards    = time.Minute     // in which a node that was held for alive may turn out to be dead: then the next one tells
	directPause   = 5 * time.Second // until the second try to tell that there is no leader; later ones come after longer
	longestPause  = 2 * time.Minute
	toldLeader    = "leader"
	toldNode      = "node/"
	toldDisk      = "disk/"
	toldOfStall   = "stalled/"
	toldOfErrors  = "errors/"
)

// How things stand that were told of.
const (
	toldLow     = "low"
	toldEnough  = "enough"
	toldStalled = "stalled"
	toldMoving  = "moving"
)

// nodeNow is a node as this one sees it.
type nodeNow struct {
	id, address string
	state       string // api.Alive, api.Dead, api.Left
	diskLow     bool
}

// lookout finds out what people are to be told and no command brings about. It runs on every node, and posts where its node leads.
type lookout struct {
	self    string
	machine *fsm.Machine
	plan    func() *noticePlan
	now     func() time.Time
	leader  func() string // ID of the node that leads, "" where none is known
	ready   func(ctx context.Context) error
	nodes   func() []nodeNow
	status  func(job string) (scheduler.Status, bool)
	post    func(ctx context.Context, n fsm.PostNotice) error
	direct  func(ctx context.Context, n notify.Notice) error // tells the cluster's receivers without the outbox
	logger  *slog.Logger

	leads    bool
	fresh    bool                // nobody was told of any leader before
	progress map[string]progress // of running jobs, by name
	gone     map[string]time.Time
	without  time.Time // since when there is no leader
	decided  bool      // who tells of that
	telling  sync.WaitGroup
}

// progress is what a job had done when it did something last.
type progress struct {
	counts fsm.Counts
	moved  int64
	since  time.Time
}

func (n *node) newLookout() *lookout {
	return &lookout{
		self: n.dir.NodeID, machine: n.machine, plan: n.tell.plan, now: time.Now, leader: n.place.members.Leader, ready: n.leader.Ready,
		nodes: n.place.nodes, status: n.leader.Status, direct: n.tell.direct, logger: n.logger,
		post: func(ctx context.Context, p fsm.PostNotice) error {
			result, err := n.leader.Propose(ctx, p)
			return errors.Join(err, result.Err)
		},
	}
}

// run watches until ctx ends.
func (w *lookout) run(ctx context.Context) {
	defer w.telling.Wait()
	tick := time.NewTicker(noticeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look looks once.
func (w *lookout) look(ctx context.Context) {
	leader := w.leader()
	if leader == "" {
		w.leaderless(ctx)
	} else {
		w.without, w.decided = time.Time{}, false
	}
	if leader != w.self {
		w.leads = false
		return
	}
	if err := w.lead(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, scheduler.ErrNotLeader) {
		w.logger.Warn("what happens is not put into the outbox, will retry", "error", err)
	}
}

// lead posts what is new.
func (w *lookout) lead(ctx context.Context) error {
	if !w.leads {
		if err := w.reign(ctx); err != nil {
			return err
		}
	}
	return errors.Join(w.watchNodes(ctx), w.watchJobs(ctx))
}

// reign begins to watch as a leader: with what the one before had told, and with clocks of its own.
func (w *lookout) reign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", scheduler.ErrNotLeader, err)
	}
	_, known := w.told(toldLeader)
	w.fresh, w.progress, w.gone = !known, map[string]progress{}, map[string]time.Time{}
	err := w.post(ctx, fsm.PostNotice{Kind: string(notify.LeaderChanged), Key: toldLeader, Value: w.self, Node: shortID(w.self), Reason: w.addressOf(w.self)})
	w.leads = err == nil
	return err
}

func (w *lookout) addressOf(id string) string {
	for _, n := range w.nodes() {
		if n.id == id {
			return n.address
		}
	}
	return ""
}

func (w *lookout) told(key string) (t fsm.Told, known bool) {
	w.machine.Read(func(s *fsm.State) { t, known = s.Told(key) })
	return t, known
}

// watchNodes compares the nodes with what was told of them.
func (w *lookout) watchNodes(ctx context.Context) error {
	var errs []error
	nodes, patience := w.nodes(), w.plan().nodeDead
	for _, n := range nodes {
		errs = append(errs, w.watchNode(ctx, n, patience), w.watchDisk(ctx, n))
	}
	w.fresh = false
	return errors.Join(errs...)
}

func (w *lookout) watchNode(ctx context.Context, n nodeNow, patience time.Duration) error {
	if n.state != api.Dead {
		delete(w.gone, n.id)
	} else if w.gone[n.id].IsZero() {
		w.gone[n.id] = w.now()
	}
	t, known := w.told(toldNode + n.id)
	kind := notify.Kind("")
	switch {
	case n.state == t.Value, n.state != api.Alive && !known:
		return nil
	case n.state == api.Alive && t.Value == api.Dead:
		kind = notify.NodeBack
	case n.state == api.Alive && !w.fresh:
		kind = notify.NodeJoined
	case n.state == api.Left:
		kind = notify.NodeLeft
	case n.state == api.Dead && w.now().Sub(w.gone[n.id]) < patience:
		return nil
	case n.state == api.Dead:
		kind = notify.NodeDead
	}
	return w.post(ctx, fsm.PostNotice{
		Kind: string(kind), Key: toldNode + n.id, Value: n.state, First: true, Node: shortID(n.id), Reason: n.address,
	})
}

func (w *lookout) watchDisk(ctx context.Context, n nodeNow) error {
	t, _ := w.told(toldDisk + n.id)
	switch {
	case n.diskLow && n.state == api.Alive && t.Value != toldLow:
		return w.post(ctx, fsm.PostNotice{
			Kind: string(notify.DiskLow), Key: toldDisk + n.id, Value: toldLow, First: true, Node: shortID(n.id),
			Reason: "less is free than a node needs (" + n.address + ")",
		})
	case !n.diskLow && n.state == api.Alive && t.Value == toldLow:
		return w.post(ctx, fsm.PostNotice{Key: toldDisk + n.id, Value: toldEnough})
	}
	return nil
}

// watchJobs looks at the jobs that run.
func (w *lookout) watchJobs(ctx context.Context) error {
	var errs []error
	var jobs []*fsm.Job
	w.machine.Read(func(s *fsm.State) { jobs = s.Jobs() })
	running := map[string]progress{}
	p := w.plan()
	for _, job := range jobs {
		if job.State != fsm.Running {
			continue
		}
		st, ok := w.status(job.ID)
		if !ok {
			continue
		}
		name := hex.EncodeToString(job.Nonce) + "." + strconv.FormatUint(job.Incarnation, 10) + "." + strconv.FormatUint(job.Pass, 10)
		seen, known := w.progress[name]
		moved := known && (seen.counts != st.Counts || seen.moved != st.Moved) // what is seen first may have been so for long
		if !known || moved {
			seen = progress{st.Counts, st.Moved, w.now()}
		}
		running[name] = seen
		errs = append(errs, w.watchProgress(ctx, job, moved, w.now().Sub(seen.since), p.stalled), w.watchErrors(ctx, job, st.Counts, p.errorShare))
	}
	w.progress = running
	return errors.Join(errs...)
}

func (w *lookout) watchProgress(ctx context.Context, job *fsm.Job, moved bool, rested, patience time.Duration) error {
	key := toldOfStall + job.ID + "/" + hex.EncodeToString(job.Nonce)
	t, _ := w.told(key)
	switch {
	case moved && t.Value == toldStalled:
		return w.post(ctx, fsm.PostNotice{Key: key, Value: toldMoving})
	case rested < patience, t.Value == toldStalled && w.now().Sub(time.Unix(0, t.At)) < stalledAgain:
		return nil
	}
	return w.post(ctx, fsm.PostNotice{
		Kind: string(notify.JobStalled), Key: key, Value: toldStalled, Again: int64(stalledAgain), First: true, Job: job.ID,
		Reason: "nothing has happened for " + rested.Round(time.Second).String(),
	})
}

// watchErrors tells once in a pass.
func (w *lookout) watchErrors(ctx context.Context, job *fsm.Job, c fsm.Counts, most float64) error {
	found := c.Found()
	if most <= 0 || found < leastForShare || float64(c.Failed) <= most*float64(found) {
		return nil
	}
	key, pass := toldOfErrors+job.ID+"/"+hex.EncodeToString(job.Nonce), fmt.Sprintf("%d.%d", job.Incarnation, job.Pass)
	if t, _ := w.told(key); t.Value == pass {
		return nil
	}
	return w.post(ctx, fsm.PostNotice{
		Kind: string(notify.ErrorShare), Key: key, Value: pass, First: true, Job: job.ID,
		Reason: fmt.Sprintf("%s of %s objects so far failed, %.1f%%; allowed: %.4g%%", humanize.Comma(c.Failed), humanize.Comma(found),
			100*float64(c.Failed)/float64(found), 100*most),
	})
}

// leaderless has the node with the lowest ID of those that are alive tell, once, that there is no leader.
func (w *lookout) leaderless(ctx context.Context) {
	if w.without.IsZero() {
		w.without = w.now()
	}
	p := w.plan()
	since := w.now().Sub(w.without) - p.noLeader
	if w.decided || since < 0 {
		return
	}
	if since > afterwards {
		w.decided = true // another one told, whatever became of it since
		return
	}
	alive, all := 0, 0
	for _, n := range w.nodes() {
		switch n.state {
		case api.Left:
			continue
		case api.Alive:
			if alive++; n.id < w.self {
				return // it tells; or it is dead, which will soon be noticed
			}
		}
		all++
	}
	w.decided = true
	n := notify.Notice{
		Kind: notify.NoLeader, At: w.now(), Node: shortID(w.self),
		Reason: fmt.Sprintf("none has been heard of for %s; %d of %d nodes answer", p.noLeader, alive, all),
	}
	w.logger.Error("there is no leader, people are told", "for", p.noLeader, "alive", alive, "nodes", all)
	w.telling.Go(func() { w.tellDirectly(ctx, n) })
}

// tellDirectly tries until it was told, or there is a leader again.
func (w *lookout) tellDirectly(ctx context.Context, n notify.Notice) {
	for pause := directPause; ; pause = min(2*pause, longestPause) {
		err := w.direct(ctx, n)
		if err == nil {
			return
		}
		w.logger.Warn("not told that there is no leader, will retry", "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if w.leader() != "" {
			return
		}
	}
}
