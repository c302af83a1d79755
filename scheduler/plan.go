package scheduler

import (
	"cmp"
	"slices"

	"github.com/bucketbrigade/brigade/fsm"
)

// nodeView is a node as planning sees it.
type nodeView struct {
	id    string
	free  int             // slots that may be filled now
	ready map[string]bool // jobs whose pre-flight it passed
}

// jobView is a running job as planning sees it.
type jobView struct {
	id        string
	priority  int
	leased    int      // tasks that nodes hold
	scans     []uint64 // that could be granted now, the oldest first
	copies    []uint64 // every other kind, likewise
	throttled bool     // too many copies outstanding: its scans rest
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
// that holds least; within a job a scan comes before copies, as far as the scans' share goes.
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
	return slices.ContainsFunc(b.nodes, func(n nodeView) bool { return n.free > 0 })
}

// grantOne takes the next task off the board.
func (b *board) grantOne(scansHeld int) (g fsm.Grant, scan, ok bool) {
	slices.SortStableFunc(b.jobs, func(a, b jobView) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.leased, b.leased), cmp.Compare(a.id, b.id))
	})
	share := scanShare(b.slots, b.copyPending())
	for i := range b.jobs {
		j := &b.jobs[i]
		n := b.emptiest(j.id)
		if n == nil {
			continue
		}
		queue := &j.copies
		if scan = !j.throttled && len(j.scans) > 0 && scansHeld < share; scan {
			queue = &j.scans
		}
		if len(*queue) == 0 {
			continue
		}
		g = fsm.Grant{Task: (*queue)[0], Node: n.id}
		*queue = (*queue)[1:]
		n.free--
		j.leased++
		return g, scan, true
	}
	return fsm.Grant{}, false, false
}

// emptiest is the node with most free slots among those that can do a job.
func (b *board) emptiest(job string) (best *nodeView) {
	for i := range b.nodes {
		n := &b.nodes[i]
		if n.free > 0 && n.ready[job] && (best == nil || n.free > best.free) {
			best = n
		}
	}
	return best
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
