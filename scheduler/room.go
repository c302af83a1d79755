package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// roomPatience is how long a job waits for a slot of a node to come free by itself.
const roomPatience = 5 * time.Second

// place is a job at a node.
type place struct{ node, job string }

// makeRoom asks full nodes for a task back where a job has work and holds none there, though another of its priority holds
// several, or one of a lower priority any. Tasks may take long; without this who comes later would wait for one to end. The
// task that is asked for settles what is in flight, and goes on later. The caller holds mu.
func (r *reign) makeRoom(b *board) {
	now := r.cfg.Clock.Monotonic()
	waits := map[place]time.Duration{}
	for i := range b.nodes {
		n := &b.nodes[i]
		if !n.works || !n.full || r.givesBack(n.id) {
			continue
		}
		for k := range b.jobs {
			j := &b.jobs[k]
			te, found := r.victim(b, n, j)
			if !found {
				continue
			}
			p := place{n.id, j.id}
			since, waited := r.waits[p]
			if !waited {
				since = now
			}
			waits[p] = since
			if now-since >= roomPatience {
				r.yielding[te] = n.id
				delete(waits, p)
				r.tell()
				break
			}
		}
	}
	r.waits = waits
}

// givesBack tells whether a copy of a node was asked for already.
func (r *reign) givesBack(node string) bool {
	for te, at := range r.yielding {
		if s := r.services[te]; at == node && s != nil && hasPace(s.kind) {
			return true
		}
	}
	return false
}

// victim is the task that a node is to give back for a job: of the lowest priority, then of the job that holds most there,
// the one that was begun last.
func (r *reign) victim(b *board, n *nodeView, j *jobView) (victim fsm.TaskEpoch, found bool) {
	if !n.ready[j.id] || len(j.copies) == 0 && !j.wantsScan() {
		return victim, false
	}
	jobs := map[string]*jobView{}
	for i := range b.jobs {
		if o := &b.jobs[i]; j.ousts(o, n) {
			jobs[o.id] = o
		}
	}
	if len(jobs) == 0 {
		return victim, false
	}
	var of []fsm.TaskEpoch
	for te, s := range r.services {
		if s.node == n.id && jobs[s.job] != nil && hasPace(s.kind) {
			of = append(of, te)
		}
	}
	if len(of) == 0 {
		return victim, false
	}
	return slices.MinFunc(of, func(x, y fsm.TaskEpoch) int {
		s, t := r.services[x], r.services[y]
		return cmp.Or(cmp.Compare(jobs[s.job].priority, jobs[t.job].priority), cmp.Compare(n.copies[t.job], n.copies[s.job]),
			cmp.Compare(t.since, s.since), cmp.Compare(y.Task, x.Task))
	}), true
}

// wantsScan tells whether all that a job could go on with is a scan.
func (j *jobView) wantsScan() bool { return j.leased == 0 && len(j.scans) > 0 && !j.throttled }

// ousts tells whether a task of another job at a node is to make room for this one, which would then be next there.
func (j *jobView) ousts(o *jobView, n *nodeView) bool {
	if o.priority != j.priority {
		return o.priority < j.priority && n.copies[o.id] > 0
	}
	return n.copies[j.id] == 0 && n.copies[o.id] > 1 && j.load < o.load+o.bias
}
