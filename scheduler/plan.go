package scheduler

import (
	"cmp"
	"slices"

	"github.com/bucketbrigade/brigade/fsm"
)

// nodeView is a node as planning sees it.
type nodeView struct {
	id     string
	free   int             // slots that may be filled now
	spare  int             // slots besides that only scans may fill
	held   int             // tasks that it holds
	ready  map[string]bool // jobs whose pre-flight it passed
	works  bool            // it takes work, now or once a slot is free
	full   bool            // all of its slots are taken
	copies map[string]int  // that it holds, by job
}

// jobView is a running job as planning sees it.
type jobView struct {
	id        string
	priority  int
	leased    int                        // tasks that nodes hold
	scans     []uint64                   // that could be granted now, the oldest first
	copies    []uint64                   // every other kind, likewise
	throttled bool                       // too many copies outstanding: its scans rest
	load      int64                      // what it was served, and what its tasks in hand are expected to cost
	bias      int64                      // by how much it may be behind and still not go before one that a node does not work for yet
	costs     map[uint64]int64           // what its tasks that could be granted are expected to cost
	avoid     map[uint64]map[string]bool // nodes that are not to have a task, of those that could
}

// scanView is a scan that a node holds.
type scanView struct {
	holding  fsm.TaskEpoch
	job      string
	node     string
	yielding bool // was asked already
}

// board is the input of planning: everything, and nothing but it, that decides who gets what.
type board struct {
	nodes []nodeView
	jobs  []jobView
	scans []scanView
	slots int // of all live nodes, free or not
}

// scanShare is the number of slots that scans may hold. With one slot, scans and copies take turns.
func scanShare(slots int, copyPending bool) int {
	switch {
	case !copyPending:
		return slots
	case slots <= 1:
		return 0
	}
	return slots / 2
}

// plan fills free slots and names the scans that shall give theirs back. The highest priority comes first, then the job
// that was served least; within a job a scan comes before copies, as far as the scans' share goes.
func (b *board) plan() (grants []fsm.Grant, yields []scanView) {
	held := len(b.scans)
	for b.anyFree() {
		g, scan, ok := b.grantOne(held)
		if !ok {
			break
		}
		grants = append(grants, g)
		if scan {
			held++
		}
	}
	return grants, b.yields()
}

func (b *board) anyFree() bool {
	return slices.ContainsFunc(b.nodes, func(n nodeView) bool { return n.free+n.spare > 0 })
}

// offer is a task that a node could have next.
type offer struct {
	job   *jobView
	node  *nodeView
	queue *[]uint64
	at    int // in the queue
	scan  bool
	load  int64 // of the job, and more where the node works for it already
}

// grantOne takes the next task off the board.
func (b *board) grantOne(scansHeld int) (g fsm.Grant, scan, ok bool) {
	share := scanShare(b.slots, b.copyPending())
	var best *offer
	for i := range b.jobs {
		j := &b.jobs[i]
		queue := &j.copies
		// On one slot a job without a copy takes its turn with a page of its scan, or others' copies would keep it from having any.
		turn := scansHeld < share || b.slots <= 1 && scansHeld == 0 && len(j.copies) == 0
		if scan = !j.throttled && len(j.scans) > 0 && turn; scan {
			queue = &j.scans
		}
		for k := range b.nodes {
			n := &b.nodes[k]
			at, can := j.first(*queue, n, scan)
			if !can {
				continue
			}
			o := offer{job: j, node: n, queue: queue, at: at, scan: scan, load: j.load}
			if n.copies[j.id] > 0 {
				o.load += j.bias
			}
			if best == nil || o.before(best) {
				best = &o
			}
		}
	}
	if best == nil {
		return fsm.Grant{}, false, false
	}
	return best.take(), best.scan, true
}

// before tells which of two offers comes first: the highest priority, then the job that was served least, then the
// emptiest node. A node shares its requests between the jobs that it works for, whatever number of tasks these have
// there: so one that a node does not work for yet goes before one that is somewhat behind.
func (o *offer) before(p *offer) bool {
	return cmp.Or(
		cmp.Compare(p.job.priority, o.job.priority), cmp.Compare(o.load, p.load), cmp.Compare(o.job.leased, p.job.leased),
		cmp.Compare(o.job.id, p.job.id), o.node.emptier(p.node, o.scan), cmp.Compare(o.node.id, p.node.id),
	) < 0
}

// take makes the grant.
func (o *offer) take() fsm.Grant {
	g := fsm.Grant{Task: (*o.queue)[o.at], Node: o.node.id}
	*o.queue = slices.Delete(*o.queue, o.at, o.at+1)
	if o.scan && o.node.spare > 0 {
		o.node.spare--
	} else {
		o.node.free--
	}
	o.node.held++
	o.job.leased++
	o.job.load += o.job.costs[g.Task]
	if !o.scan {
		o.node.add(o.job.id)
	}
	return g
}

// room counts the slots that could be filled by a scan, or by anything else.
func (n *nodeView) room(scan bool) int {
	if scan {
		return n.free + n.spare
	}
	return n.free
}

// first finds the first task of a queue that a node could have now.
func (j *jobView) first(queue []uint64, n *nodeView, scan bool) (at int, ok bool) {
	if n.room(scan) == 0 || !n.ready[j.id] {
		return 0, false
	}
	for at, id := range queue {
		if !j.avoid[id][n.id] {
			return at, true
		}
	}
	return 0, false
}

// add notes one more copy of a job at a node.
func (n *nodeView) add(job string) {
	if n.copies == nil {
		n.copies = map[string]int{}
	}
	n.copies[job]++
}

// emptier compares two nodes by how well a task is given to them: first one that holds nothing, for a single task keeps a
// node busy, and the leader's own, which has half its slots, would else wait until all others are half full; then the one
// with most slots free.
func (n *nodeView) emptier(other *nodeView, scan bool) int {
	busy := func(n *nodeView) int { return min(n.held, 1) }
	return cmp.Or(cmp.Compare(busy(n), busy(other)), cmp.Compare(other.room(scan), n.room(scan)))
}

// copyPending tells whether a copy waits that some node could do.
func (b *board) copyPending() bool {
	return slices.ContainsFunc(b.jobs, func(j jobView) bool {
		return len(j.copies) > 0 && slices.ContainsFunc(b.nodes, func(n nodeView) bool { return n.ready[j.id] })
	})
}

// yields are the scans of throttled jobs, and where copies are left over, the scans beyond the share: those of the
// lowest priority first, and only on nodes that could do a copy instead.
func (b *board) yields() (out []scanView) {
	jobs := map[string]*jobView{}
	for i := range b.jobs {
		jobs[b.jobs[i].id] = &b.jobs[i]
	}
	var others []scanView
	for _, s := range b.scans {
		switch j := jobs[s.job]; {
		case s.yielding:
		case j != nil && j.throttled:
			out = append(out, s)
		default:
			others = append(others, s)
		}
	}
	if !b.copyPending() {
		return out
	}
	excess := len(others) - scanShare(b.slots, true)
	slices.SortStableFunc(others, func(a, b scanView) int {
		return cmp.Or(cmp.Compare(priorityOf(jobs[a.job]), priorityOf(jobs[b.job])),
			cmp.Compare(b.holding.Task, a.holding.Task))
	})
	for _, s := range others {
		if excess > 0 && b.couldCopy(s.node) {
			out = append(out, s)
			excess--
		}
	}
	return out
}

func priorityOf(j *jobView) int {
	if j == nil {
		return 0
	}
	return j.priority
}

// couldCopy tells whether a copy is left that the node could do.
func (b *board) couldCopy(node string) bool {
	i := slices.IndexFunc(b.nodes, func(n nodeView) bool { return n.id == node })
	return i >= 0 && slices.ContainsFunc(b.jobs, func(j jobView) bool { return len(j.copies) > 0 && b.nodes[i].ready[j.id] })
}
