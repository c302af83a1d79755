package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// MaxServers is the number of members that hold the state; further ones only work.
const MaxServers = 32

// Server is a member of raft's configuration.
type Server struct {
	ID    string
	Voter bool
}

// Standing is what the leader knows of a node when it plans.
type Standing struct {
	ID         string
	Address    string // last known, of the peer port
	Self       bool
	Alive      bool      // in gossip's opinion
	Since      time.Time // of the last change of Alive
	Left       bool      // it leaves or has left for good
	WorkerOnly bool
	Draining   bool
	DiskLow    bool // its disk is nearly full
	// CaughtUp is since when, without a break, it has been alive and has had all but the newest entries; zero: it has not.
	CaughtUp time.Time
}

// ChangeKind is a change of raft's configuration.
type ChangeKind int

// The changes, in the order in which a plan makes them.
const (
	Remove ChangeKind = iota + 1
	AddNonvoter
	Demote
	Promote
)

// String returns the name of a change.
func (k ChangeKind) String() string {
	switch k {
	case Remove:
		return "remove"
	case AddNonvoter:
		return "add nonvoter"
	case Demote:
		return "demote"
	case Promote:
		return "promote"
	}
	return fmt.Sprintf("ChangeKind(%d)", int(k))
}

// Change is one step of a plan.
type Change struct {
	Kind   ChangeKind
	ID     string
	Reason string
}

// Policy is how patient a plan is.
type Policy struct {
	Stable      time.Duration // for which a node is caught up before it becomes voter
	FailedVoter time.Duration // after which a voter is replaced by a spare
	Forget      time.Duration // after which a node that failed is removed
}

// Voters is the number of voters for a number of members.
func Voters(members int) int {
	switch {
	case members >= 5:
		return 5
	case members >= 3:
		return 3
	}
	return 1
}

// Plan returns the changes that bring the configuration nearer to what the members ask for, to be applied in order and
// planned again. It follows who is a member, not who is alive: a partition makes no voter. A server that standings do not
// name is left alone.
func (p Policy) Plan(config []Server, standings []Standing, now time.Time) []Change {
	pl := &plan{policy: p, now: now, by: map[string]Standing{}}
	for _, s := range standings {
		pl.by[s.ID] = s
	}
	pl.servers = slices.SortedFunc(slices.Values(config), func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	pl.budget = max(1, (pl.count(isVoter)-1)/2)
	pl.removeGone()
	pl.addNew(standings)
	if !pl.stepDown() {
		pl.adjustVoters()
	}
	return pl.changes
}

// plan is a plan being made: servers is the configuration after the changes.
type plan struct {
	policy  Policy
	now     time.Time
	by      map[string]Standing
	servers []Server
	budget  int // voters that may still be taken away
	changes []Change
}

func isVoter(s Server) bool { return s.Voter }

func (p *plan) count(f func(Server) bool) (n int) {
	for _, s := range p.servers {
		if f(s) {
			n++
		}
	}
	return n
}

// failed tells whether a server has been dead for a time.
func (p *plan) failed(s Server, d time.Duration) bool {
	st, known := p.by[s.ID]
	return known && !st.Self && !st.Alive && p.now.Sub(st.Since) >= d
}

func (p *plan) alive(s Server) bool { return p.by[s.ID].Alive || p.by[s.ID].Self }

// mayLose tells whether the voters could go on without one: the others alive are a majority of the others, and neither
// more than a minority goes at once.
func (p *plan) mayLose(s Server) bool {
	if !s.Voter {
		return true
	}
	others := p.count(isVoter) - 1
	alive := p.count(func(o Server) bool { return o.Voter && o.ID != s.ID && p.alive(o) })
	return p.budget > 0 && alive >= others/2+1
}

func (p *plan) add(kind ChangeKind, id, reason string) {
	p.changes = append(p.changes, Change{kind, id, reason})
	i := slices.IndexFunc(p.servers, func(s Server) bool { return s.ID == id })
	switch kind {
	case AddNonvoter:
		p.servers = append(p.servers, Server{ID: id})
	case Promote:
		p.servers[i].Voter = true
	case Demote:
		p.servers[i].Voter = false
		p.budget--
	case Remove:
		if p.servers[i].Voter {
			p.budget--
		}
		p.servers = slices.Delete(p.servers, i, i+1)
	}
}

// removeGone removes who left, who was replaced, who failed for too long, and who has become worker-only. The leader
// never removes itself: it hands over first.
func (p *plan) removeGone() {
	for _, s := range slices.Clone(p.servers) {
		if reason := p.gone(s); reason != "" && p.mayLose(s) {
			p.add(Remove, s.ID, reason)
		}
	}
}

func (p *plan) gone(s Server) string {
	st, known := p.by[s.ID]
	switch {
	case !known || st.Self:
		return ""
	case st.Left:
		return "it left"
	case p.successor(st) != "":
		return "node " + p.successor(st) + " has its address"
	case p.failed(s, p.policy.Forget):
		return fmt.Sprintf("it failed more than %v ago", p.policy.Forget)
	case st.Alive && st.WorkerOnly:
		return "it is a worker only"
	}
	return ""
}

// successor is the node alive at the address of one that is not: the same machine with an empty disk.
func (p *plan) successor(gone Standing) string {
	if gone.Alive || gone.Address == "" {
		return ""
	}
	found := ""
	for id, st := range p.by {
		if st.Alive && st.Address == gone.Address && (found == "" || id < found) {
			found = id
		}
	}
	return found
}

func (p *plan) addNew(standings []Standing) {
	for _, st := range standings {
		known := slices.ContainsFunc(p.servers, func(s Server) bool { return s.ID == st.ID })
		if known || !st.Alive || st.Left || st.WorkerOnly || len(p.servers) >= MaxServers {
			continue
		}
		p.add(AddNonvoter, st.ID, "it joined")
	}
}

// stepDown takes the leader's own vote when its disk is nearly full: raft then ends its leadership, once that is committed.
// More than half of the voters must be others that are alive, or an entry that only this node got would leave the cluster
// without anybody who can win: raft lets nobody stand for election that its own newest configuration gives no vote.
func (p *plan) stepDown() bool {
	i := slices.IndexFunc(p.servers, func(s Server) bool { return s.Voter && p.by[s.ID].Self && p.by[s.ID].DiskLow })
	if i < 0 {
		return false
	}
	others := func(s Server) bool { return s.Voter && !p.by[s.ID].Self && p.by[s.ID].Alive && !p.by[s.ID].Left }
	healthy := p.count(func(s Server) bool { return others(s) && !p.by[s.ID].DiskLow })
	if healthy == 0 || p.count(others) < p.count(isVoter)/2+1 || !p.mayLose(p.servers[i]) {
		return false
	}
	p.add(Demote, p.servers[i].ID, "its disk is nearly full: another is to lead")
	return true
}

// adjustVoters brings the number of voters to its target, or replaces one that failed. It never does both, and it takes
// a failed voter away before its replacement comes: the other way round the majority would grow first.
func (p *plan) adjustVoters() {
	staying := func(s Server) bool { return !p.by[s.ID].Left }
	target := Voters(p.count(staying))
	voters := p.count(func(s Server) bool { return s.Voter && staying(s) })
	switch {
	case voters < target:
		p.promote(target - voters)
	case voters > target:
		p.demote(voters - target)
	case len(p.spares()) > 0:
		p.replace()
	}
}

// spares are the nonvoters fit to vote, the best first. Where a voter leaves, whoever is caught up will do.
func (p *plan) spares() []Server {
	leaving := p.count(func(s Server) bool { return s.Voter && p.by[s.ID].Left }) > 0
	fit := slices.DeleteFunc(slices.Clone(p.servers), func(s Server) bool {
		st := p.by[s.ID]
		stable := !st.CaughtUp.IsZero() && (leaving || p.now.Sub(st.CaughtUp) >= p.policy.Stable)
		// A leader without a vote has just stepped down.
		return s.Voter || !st.Alive || st.Self || st.Left || st.WorkerOnly || !stable
	})
	slices.SortStableFunc(fit, func(a, b Server) int {
		return cmp.Or(order(p.by[a.ID].DiskLow, p.by[b.ID].DiskLow), order(p.by[a.ID].Draining, p.by[b.ID].Draining))
	})
	return fit
}

// order puts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (p *plan) promote(n int) {
	spares := p.spares()
	for _, s := range spares[:min(n, len(spares))] {
		p.add(Promote, s.ID, "there are too few voters")
	}
}

func (p *plan) demote(n int) {
	voters := slices.DeleteFunc(slices.Clone(p.servers), func(s Server) bool { return !s.Voter || p.by[s.ID].Self || p.by[s.ID].Left })
	slices.Reverse(voters)
	slices.SortStableFunc(voters, func(a, b Server) int {
		x, y := p.by[a.ID], p.by[b.ID]
		return cmp.Or(order(p.alive(a), p.alive(b)), order(!x.DiskLow, !y.DiskLow), order(!x.Draining, !y.Draining))
	})
	for _, s := range voters {
		if n == 0 {
			return
		}
		if p.mayLose(s) {
			p.add(Demote, s.ID, "there are too many voters")
			n--
		}
	}
}

func (p *plan) replace() {
	for _, s := range p.servers {
		if s.Voter && p.failed(s, p.policy.FailedVoter) && p.mayLose(s) {
			p.add(Demote, s.ID, fmt.Sprintf("it failed more than %v ago and a spare is ready", p.policy.FailedVoter))
			return
		}
	}
	if p.by[p.spares()[0].ID].DiskLow {
		return
	}
	for _, s := range p.servers {
		if st := p.by[s.ID]; s.Voter && st.DiskLow && !st.Self && p.mayLose(s) {
			p.add(Demote, s.ID, "its disk is nearly full and a spare is ready")
			return
		}
	}
}
