package fsm

import (
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ids(seq iter.Seq[*Task]) (ids []uint64) {
	for t := range seq {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestReadViews(t *testing.T) {
	b := running(t)
	e := b.lease(1)
	b.must(submit("a"), AdvanceTask{Task: 1, Epoch: e, To: []byte("m"), Cuts: []NewCut{
		{From: []byte("a"), To: []byte("b")}, {From: []byte("b"), To: []byte("c")}, {Segment: segment('s', 3)}}, Audit: segment('a', 1)})
	b.must(SplitTask{Task: 1, Epoch: e, At: []byte("x")}, AssignTasks{Grants: []Grant{{3, "m"}, {2, "n"}}})
	b.m.Read(func(s *State) {
		got := map[string][]uint64{
			"pending": ids(s.Pending("j")), "scans": ids(s.PendingScans("j")), "leased of": ids(s.LeasedOf("j")), "by n": ids(s.LeasedBy("n")),
			"by m": ids(s.LeasedBy("m")), "leased": ids(s.Leased()), "all": ids(s.TasksOf("j")), "none": ids(s.Pending("a")), "nobody": ids(s.LeasedBy("x")),
		}
		want := map[string][]uint64{
			"pending": {4}, "scans": {5}, "leased of": {1, 2, 3}, "by n": {1, 2}, "by m": {3}, "leased": {3, 1, 2}, "all": {5, 4, 1, 2, 3},
			"none": nil, "nobody": nil,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if c := s.TaskCounts("j"); c != (TaskCounts{1, 1, 1, 2}) || c.Outstanding() != 5 || s.Outstanding() != 5 {
			t.Errorf("counts %+v, %d outstanding", c, s.Outstanding())
		}
		if jobs := s.Jobs(); len(jobs) != 2 || jobs[0].ID != "a" || jobs[1].ID != "j" {
			t.Errorf("jobs %v", jobs)
		}
		if s.Index() != b.index {
			t.Errorf("index %d, want %d", s.Index(), b.index)
		}
		var names []byte
		for seg := range s.Segments() {
			names = append(names, seg.Name[0])
		}
		if string(names) != "as" {
			t.Errorf("segments %q", names)
		}
		for range s.TasksOf("j") { // leaving early must end every iterator
			break
		}
		for range s.Leased() {
			break
		}
		for range s.Segments() {
			break
		}
	})
}

// TestReleasedTaskIsFirstAgain checks that the queue is in order of IDs, not of releases.
func TestReleasedTaskIsFirstAgain(t *testing.T) {
	b := running(t)
	var cuts []NewCut
	for i := range 20 {
		cuts = append(cuts, NewCut{Segment: segment(byte(i), 1)})
	}
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Cuts: cuts})
	for id := uint64(2); id < 12; id++ {
		b.lease(id)
	}
	for _, id := range []uint64{9, 2, 5} {
		b.must(ReleaseTasks{Tasks: []TaskEpoch{{id, b.task(id).Epoch}}})
	}
	want := []uint64{2, 5, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21}
	if d := cmp.Diff(want, ids(b.m.state.Pending("j"))); d != "" {
		t.Error(d)
	}
}

// TestIDSetAsQueue takes everything from the front, where room is given back.
func TestIDSetAsQueue(t *testing.T) {
	const n = 5000
	var s idSet
	for id := range uint64(n) {
		s.add(id)
	}
	for id := range uint64(n) {
		if first := s.buf[s.head]; first != id {
			t.Fatalf("first is %d, want %d", first, id)
		}
		s.remove(id)
		if s.head > 64 && s.head > s.len() {
			t.Fatalf("%d places are kept for %d elements", len(s.buf), s.len())
		}
	}
	if s.buf != nil {
		t.Error("an empty set keeps its buffer")
	}
}

func TestIDSet(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var s idSet
	model := map[uint64]bool{}
	for range 20000 {
		id := r.Uint64N(500)
		if r.IntN(2) == 0 {
			s.add(id)
			model[id] = true
		} else {
			s.remove(id)
			delete(model, id)
		}
		if s.len() != len(model) {
			t.Fatalf("%d elements, want %d", s.len(), len(model))
		}
	}
	for id := range s.all() {
		if !model[id] {
			t.Fatalf("%d should be gone", id)
		}
	}
	if !slices.IsSorted(s.list()) {
		t.Error("not in order")
	}
}
