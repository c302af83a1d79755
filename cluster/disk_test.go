package cluster

import (
	"errors"
	"testing"
)

func TestDiskIsLowUntilThereIsEnoughAgain(t *testing.T) {
	const total = 1000 << 30
	s := openSpool(t)
	free := uint64(total)
	s.space = func(string) (uint64, uint64, error) { return free, total, nil }
	for _, step := range []struct {
		gib uint64
		low bool
	}{{60, false}, {50, false}, {49, true}, {55, true}, {62, true}, {63, false}, {51, false}} {
		free = step.gib << 30
		if low, err := s.Low(); err != nil || low != step.low {
			t.Errorf("%d GiB of 1000 free: low %v, %v", step.gib, low, err)
		}
	}
	free = 0
	if low, err := s.Low(); !low || err != nil {
		t.Errorf("nothing free: low %v, %v", low, err)
	}
	broken := errors.New("no such disk")
	s.space = func(string) (uint64, uint64, error) { return 0, 0, broken }
	if low, err := s.Low(); !low || !errors.Is(err, broken) {
		t.Errorf("not known: low %v, %v", low, err)
	}
}

// TestLeaderLowOnDiskStepsDown has a leader whose disk fills up make room for another, which gives it a vote back, and
// leadership too where nobody else can lead.
func TestLeaderLowOnDiskStepsDown(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c")
	c.voters(3, 3)
	c.apply("one")
	low := c.leader()
	terms := low.Term()
	if err := low.SetDiskLow(true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another node leads", func() bool { return c.leader() != low })
	c.voters(3, 3)
	c.apply("two")
	c.everywhere("two")
	if got := c.leader().Term(); got > terms+4 {
		t.Errorf("leadership went about for %d terms", got-terms)
	}
	for _, n := range c.running() {
		if n != low {
			if err := n.SetDiskLow(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	second := c.leader()
	eventually(t, "everybody knows that all are low", func() bool {
		for _, m := range second.Members() {
			if !m.DiskLow {
				return false
			}
		}
		return true
	})
	for range 3 {
		newReconcilerRound(t, second)
	}
	if now := c.leader(); now != second {
		t.Error("the leader stepped down though nobody has more room")
	}
	c.apply("three")
}

// newReconcilerRound has the leader look at the members once more.
func newReconcilerRound(t *testing.T, n *testNode) {
	t.Helper()
	if err := newReconciler(n.Node).round(deadline(t)); err != nil && n.IsLeader() {
		t.Error(err)
	}
}

// TestSpareVotesInPlaceOfAFullNode moves the vote to a node that has room.
func TestSpareVotesInPlaceOfAFullNode(t *testing.T) {
	c := newTestCluster(t)
	c.form("a", "b", "c", "d")
	c.voters(3, 4)
	low := c.leader()
	if err := low.SetDiskLow(true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others vote", func() bool {
		leader := c.leader()
		servers, err := leader.Servers()
		if err != nil || leader == low {
			return false
		}
		for _, s := range servers {
			if s.Voter == (s.ID == low.name) {
				return false
			}
		}
		return true
	})
	c.apply("one")
	c.everywhere("one")
}
