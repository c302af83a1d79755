package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

const (
	// placeWindow is how long after the first pre-flight the others are waited for before a pass's places are fixed.
	placeWindow = 2 * time.Second
	// settleTime is how long after the start of a reign that is, for all workers of a cluster to have called.
	settleTime = 3 * time.Second
	// stuckPatience is how long a running job of a cluster may have no node that can work on it: the one that could may
	// come back.
	stuckPatience = time.Minute
	// namedNodes is how many nodes a reason names.
	namedNodes = 3
	// placeHint ends the reason of a job that is paused since its places are gone.
	placeHint = "; bring that back and continue the job, or start it afresh (ctl redo, import --restart) with what is there now"
)

// verdict is what a pre-flight means for a pass.
type verdict int

const (
	unable    verdict = iota
	undecided         // what the pass works with is not fixed yet
	able
)

// Standing tells whether a node can work on a job, and if not, why it gets no task of it.
type Standing struct {
	Node    string
	Ready   bool
	Side    string // source or destination; "" where it is neither, or not known
	Class   string // of package transfer/store; "" where nothing failed
	Reason  string
	verdict verdict
	lost    bool // a side is not the place that the job works with
}

// judge says what a pre-flight means. The caller holds mu.
func (r *reign) judge(job *fsm.Job, key JobKey, p *Preflight) Standing {
	switch {
	case !p.OK:
		return Standing{Side: p.Side, Class: p.Class, Reason: p.Reason}
	case p.Source == nil && p.Destination == nil:
		return Standing{Ready: true, verdict: able}
	}
	recorded := r.placesOf(job)
	if side, how := recorded.differs(key, p); side != "" {
		return Standing{Side: side, Class: string(store.Misconfigured), Reason: how, lost: true}
	}
	if recorded.pass != key.Pass {
		return Standing{verdict: undecided, Reason: "the pre-flights of other nodes are waited for"}
	}
	return Standing{Ready: true, verdict: able}
}

// ready tells whether a node may get tasks of a running job. The caller holds mu.
func (r *reign) ready(job *fsm.Job, s *session) bool {
	key := keyOf(job, job.Pass)
	p, known := s.preflights[key]
	return known && r.judge(job, key, &p.Preflight).Ready
}

// placesOf reads a job's places, once for each change. The caller holds mu.
func (r *reign) placesOf(job *fsm.Job) places {
	if known, ok := r.places[job.ID]; ok && known.from == job.Places {
		return known
	}
	p, err := readPlaces(job.Places)
	if err != nil {
		r.cfg.Logger.Error("places of a job not read", "job", job.ID, "error", err)
	}
	p.from = job.Places
	r.places[job.ID] = p
	return p
}

// takesWork tells whether a session's pre-flight is waited for.
func (s *session) takesWork() bool { return s.instance == "" || s.want > 0 && !s.leaving }

// preflights returns a pre-flight that passed, or one that failed if every live node's did.
func (r *reign) preflights(job *fsm.Job, key JobKey) (passed, failed *Preflight) {
	var reasons []Standing
	lost := false
	for _, node := range slices.Sorted(maps.Keys(r.sessions)) {
		s := r.sessions[node]
		p, known := s.preflights[key]
		if !known {
			if s.takesWork() {
				return r.firstAble(job, key), nil // it has not said
			}
			continue
		}
		switch st := r.judge(job, key, &p.Preflight); st.verdict {
		case able:
			return &p.Preflight, nil
		case undecided:
			return r.firstAble(job, key), nil
		default:
			st.Node = node
			reasons, lost = append(reasons, st), lost || st.lost
		}
	}
	if len(reasons) == 0 {
		return nil, nil
	}
	failed = &Preflight{Class: reasons[0].Class, Reason: together(reasons)}
	if lost {
		failed.Reason += placeHint
	}
	return nil, failed
}

// firstAble returns a pre-flight that passed, nil if there is none.
func (r *reign) firstAble(job *fsm.Job, key JobKey) *Preflight {
	for _, node := range slices.Sorted(maps.Keys(r.sessions)) {
		if p, known := r.sessions[node].preflights[key]; known && r.judge(job, key, &p.Preflight).Ready {
			return &p.Preflight
		}
	}
	return nil
}

// together puts the reasons of all nodes into one: that alone where all have the same.
func together(reasons []Standing) string {
	if !slices.ContainsFunc(reasons, func(s Standing) bool { return s.Reason != reasons[0].Reason }) {
		return reasons[0].Reason
	}
	text := fmt.Sprintf("none of %d nodes can work on the job", len(reasons))
	for i, s := range reasons {
		if i == namedNodes {
			return text + fmt.Sprintf("; and %d more", len(reasons)-i)
		}
		text += fmt.Sprintf("; %s: %s", s.Node[:min(len(s.Node), 12)], s.Reason)
	}
	return text
}

// maySolveItself tells whether a running job of a cluster is left alone although no node can work on it now.
func (r *reign) maySolveItself(job *fsm.Job, failed *Preflight) bool {
	if failed == nil || job.State != fsm.Running || r.cfg.Node == "" {
		delete(r.stuck, job.ID)
		return false
	}
	now := r.cfg.Clock.Monotonic()
	since, known := r.stuck[job.ID]
	if !known {
		since = now
		r.stuck[job.ID] = now
	}
	return now-since < stuckPatience
}

// placeCommand fixes what both sides are in a pass, when enough nodes have said what they have. wait tells that it is too
// early; none is why no node can be right.
func (r *reign) placeCommand(job *fsm.Job, key JobKey) (fix fsm.Command, wait bool, none *Preflight) {
	recorded := r.placesOf(job)
	found, all := r.found(key)
	if len(found) == 0 || recorded.pass == key.Pass && (job.State == fsm.Running || r.firstAble(job, key) != nil) {
		return nil, false, nil
	}
	now := r.cfg.Clock.Monotonic()
	first := slices.MinFunc(found, func(a, b finding) int { return cmp.Compare(a.at, b.at) })
	if !all && now-first.at < placeWindow || r.cfg.Node != "" && now-r.began < settleTime {
		return nil, true, nil
	}
	recorded.pass = 0 // what was fixed for a pass that did not start binds it to the mounts only
	found = slices.DeleteFunc(found, func(f finding) bool {
		side, _ := recorded.differs(key, &f.Preflight)
		return side != ""
	})
	if len(found) == 0 {
		return nil, false, nil // every node's standing says why
	}
	best := choose(found)
	if best == nil {
		return nil, false, &Preflight{Class: string(store.Misconfigured),
			Reason: "no node has what is mounted for the source and what is mounted for the destination; mount both on one node at least"}
	}
	fix, err := fixPlaces(job, key, &best.Preflight)
	if err != nil {
		r.cfg.Logger.Error("places of a job not recorded", "job", job.ID, "error", err)
	}
	return fix, fix == nil, nil
}

// finding is a pre-flight that passed on a node and says what the sides are there.
type finding struct {
	preflightAt
	node string
}

// found collects what nodes have, ordered by node; all tells that no live node is waited for.
func (r *reign) found(key JobKey) (found []finding, all bool) {
	all = true
	for _, node := range slices.Sorted(maps.Keys(r.sessions)) {
		s := r.sessions[node]
		p, known := s.preflights[key]
		switch {
		case known && p.OK && (p.Source != nil || p.Destination != nil):
			found = append(found, finding{p, node})
		case !known && s.takesWork():
			all = false
		}
	}
	return found, all
}

// choose picks what a pass works with, nil if no node can be right. Where nodes have different things, those are wrong
// that lie in a mount further up than another node's: a mount is missing there. Of the others, most nodes decide, then
// that a source is not empty, then that a destination is not, then the lowest node ID.
func choose(found []finding) *finding {
	source := deepest(found, func(f *finding) *store.Identity { return f.Source })
	destination := deepest(found, func(f *finding) *store.Identity { return f.Destination })
	found = slices.DeleteFunc(found, func(f finding) bool { return !source[f.node] || !destination[f.node] })
	var best *finding
	var most score
	for i := range found {
		if s := scoreOf(found, &found[i]); best == nil || s.above(most) {
			best, most = &found[i], s
		}
	}
	return best
}

// deepest names the nodes on which a side does not lie in a mount further up than on another.
func deepest(found []finding, side func(*finding) *store.Identity) map[string]bool {
	fit := map[string]bool{}
	deep := 0
	for i := range found {
		if id := side(&found[i]); id != nil {
			deep = max(deep, id.Depth())
		}
	}
	for i := range found {
		if id := side(&found[i]); id == nil || id.Depth() == deep {
			fit[found[i].node] = true
		}
	}
	return fit
}

// score is what speaks for a finding, the weightiest first.
type score struct{ nodes, source, destination int }

func (s score) above(t score) bool {
	return cmp.Or(cmp.Compare(s.nodes, t.nodes), cmp.Compare(s.source, t.source), cmp.Compare(s.destination, t.destination)) > 0
}

func scoreOf(found []finding, f *finding) (s score) {
	mine := places{pass: f.Job.Pass, source: f.Source, destination: f.Destination}
	for i := range found {
		if side, _ := mine.differs(f.Job, &found[i].Preflight); side == "" {
			s.nodes++
		}
	}
	if f.Source != nil && !f.Source.Empty {
		s.source = 1
	}
	if f.Destination != nil && !f.Destination.Empty {
		s.destination = 1
	}
	return s
}

// standings tell of every node whether it can work on a job, ordered by node; nil for a job that rests.
func (r *reign) standings(state *fsm.State, job *fsm.Job) (out []Standing) {
	key, active := r.activeKey(job)
	if !active {
		return nil
	}
	for _, node := range slices.Sorted(maps.Keys(r.sessions)) {
		st := r.standing(state, job, key, r.sessions[node])
		st.Node = node
		out = append(out, st)
	}
	return out
}

func (r *reign) standing(state *fsm.State, job *fsm.Job, key JobKey, s *session) Standing {
	p, known := s.preflights[key]
	switch {
	case state.Draining(s.node):
		return Standing{Reason: "it drains"}
	case s.leaving:
		return Standing{Reason: "it stops"}
	case s.instance == "":
		return Standing{Reason: "it has not called since the leader changed"}
	case !known:
		return Standing{Reason: "its pre-flight is not done yet"}
	}
	return r.judge(job, key, &p.Preflight)
}
