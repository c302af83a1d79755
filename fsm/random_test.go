package fsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const randomSteps = 2500

// forSeeds runs a test with a fresh seed and with fixed ones, each named by its seed.
func forSeeds(t *testing.T, f func(t *testing.T, seed uint64)) {
	for _, seed := range []uint64{1, 2, 3, rand.Uint64()} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { f(t, seed) })
	}
}

// TestDeterminism applies random commands to one machine straight and to another that is snapshot and restored at random points.
func TestDeterminism(t *testing.T) {
	forSeeds(t, func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		a, b := newBench(t), newBench(t)
		for step := range randomSteps {
			c := g.next(a.m.state)
			if ra, rb := a.apply(c), b.apply(c); ra.Index != rb.Index || fmt.Sprint(ra.Err) != fmt.Sprint(rb.Err) {
				t.Fatalf("step %d: %#v: %v on one machine, %v on the other", step, c, ra, rb)
			}
			if !g.chance(2) {
				continue
			}
			snap := b.snapshot()
			if !bytes.Equal(snap, a.snapshot()) || a.m.Hash() != b.m.Hash() {
				t.Fatalf("step %d: states differ:\n%s", step, gocmp.Diff(string(a.snapshot()), string(snap)))
			}
			b.m = NewMachine()
			if err := b.m.Restore(bytes.NewReader(snap)); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			if d := gocmp.Diff(a.m.state.jobs, b.m.state.jobs, gocmp.Comparer(bytes.Equal)); d != "" {
				t.Fatalf("step %d: restored jobs differ: %s", step, d)
			}
		}
		if a.m.Hash() != b.m.Hash() {
			t.Error("states differ at the end")
		}
	})
}

// TestSnapshotsAreOfTheirTime writes snapshots out many commands after they were taken: nothing may be changed in place.
func TestSnapshotsAreOfTheirTime(t *testing.T) {
	forSeeds(t, func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		b := newBench(t)
		for range randomSteps / 100 {
			want, persist := b.snapshot(), b.m.Snapshot()
			for range 100 {
				b.apply(g.next(b.m.state))
			}
			var late bytes.Buffer
			if err := persist(&late); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, late.Bytes()) {
				t.Fatalf("a snapshot changed after it was taken:\n%s", gocmp.Diff(string(want), late.String()))
			}
		}
	})
}

// TestReplay applies the same log again from the start.
func TestReplay(t *testing.T) {
	forSeeds(t, func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		a := newBench(t)
		for range randomSteps / 4 {
			a.apply(g.next(a.m.state))
		}
		m := NewMachine()
		for i, entry := range a.log {
			m.Apply(uint64(i+1), entry)
		}
		if m.Hash() != a.m.Hash() {
			t.Error("the same log gave another state")
		}
	})
}

// TestInvariants checks after each random command what must always hold.
func TestInvariants(t *testing.T) {
	accepted, refused := map[Type]int{}, 0
	forSeeds(t, func(t *testing.T, seed uint64) {
		g := newGenerator(seed)
		b := newBench(t)
		book := &ledger{sums: map[string]Counts{}, epochs: map[uint64]uint64{}}
		for step := range randomSteps {
			c := g.next(b.m.state)
			for _, c := range flatten(c) {
				before := b.m.state.snapshotOfTasks()
				if r := b.apply(c); r.Err == nil {
					accepted[c.Type()]++
					book.note(c, before, b.m.state)
				} else {
					refused++
				}
				if err := errors.Join(book.check(b.m.state), checkJobs(b.m.state), checkCutSums(b.m.state), checkTiles(b.m.state), checkShares(b.m.state), checkIndexes(b.m.state), checkCluster(b.m.state), checkAccess(b.m.state), checkKeys(b.m.state)); err != nil {
					t.Fatalf("step %d, after %#v: %v", step, c, err)
				}
			}
		}
	})
	for n := TypeSubmitJob; n <= TypeSetNode; n++ {
		if accepted[n] < 5 {
			t.Errorf("the random commands have %d accepted ones of type %d", accepted[n], n)
		}
	}
	if accepted[TypeEditJob] < 5 {
		t.Errorf("the random commands have %d accepted ones of type %d", accepted[TypeEditJob], TypeEditJob)
	}
	if accepted[TypeFixPlaces] < 5 {
		t.Errorf("the random commands have %d accepted ones of type %d", accepted[TypeFixPlaces], TypeFixPlaces)
	}
	if accepted[TypeShareParts] < 5 {
		t.Errorf("the random commands have %d accepted ones that share parts", accepted[TypeShareParts])
	}
	for n := TypePutToken; n <= TypeRecorded; n++ {
		if accepted[n] < 5 {
			t.Errorf("the random commands have %d accepted ones of type %d", accepted[n], n)
		}
	}
	for n := TypeSwitchKey; n <= TypeRetireKey; n++ {
		if accepted[n] < 5 {
			t.Errorf("the random commands have %d accepted ones of type %d", accepted[n], n)
		}
	}
	if accepted[TypeOnce] < 5 {
		t.Errorf("the random commands have %d accepted ones of type %d", accepted[TypeOnce], TypeOnce)
	}
	t.Logf("accepted by type %v, refused %d", accepted, refused)
}

func flatten(c Command) []Command {
	if b, ok := c.(Batch); ok {
		return b.Commands
	}
	return []Command{c}
}

func (s *State) snapshotOfTasks() map[uint64]*Task { return maps.Clone(s.tasks) }

// ledger adds up by itself what was accepted.
type ledger struct {
	sums   map[string]Counts
	epochs map[uint64]uint64
}

func (l *ledger) note(c Command, before map[uint64]*Task, s *State) {
	switch c := c.(type) {
	case StartPass:
		if s.Job(c.Job).Started == c.At && s.Job(c.Job).Counts == (Counts{}) {
			l.sums[c.Job] = Counts{}
		}
	case RemoveJob:
		delete(l.sums, c.Job)
	case RedoJob:
		if s.Job(c.Job).Pass == 0 {
			l.sums[c.Job] = Counts{}
		}
	case AdvanceTask:
		old := before[c.Task]
		repeat := !bytes.Equal(old.From, c.From)
		if old.byLine() {
			repeat = old.Line != c.FromLine
		}
		if !repeat {
			l.sums[old.Job] = l.sums[old.Job].Add(c.Counts)
		}
	}
}

func (l *ledger) check(s *State) error {
	var errs []error
	for id, j := range s.jobs {
		got, want := j.Counts, l.sums[id]
		got.Listed, got.BytesListed, want.Listed, want.BytesListed = 0, 0, 0, 0 // these are corrected by re-listings
		if got != want {
			errs = append(errs, fmt.Errorf("job %s counts %+v, accepted were %+v", id, got, want))
		}
		if got.Found() != want.Found() {
			errs = append(errs, fmt.Errorf("job %s found %d of %d", id, got.Found(), want.Found()))
		}
		if !j.Counts.within(0, math.MaxInt64) {
			errs = append(errs, fmt.Errorf("job %s has a counter below zero: %+v", id, j.Counts))
		}
	}
	for id, t := range s.tasks {
		if t.Leased() && (t.Epoch < l.epochs[id] || t.Epoch > s.index || t.Epoch == 0) || !t.Leased() && t.Epoch != 0 {
			errs = append(errs, fmt.Errorf("task %d has epoch %d after %d at index %d", id, t.Epoch, l.epochs[id], s.index))
		}
		l.epochs[id] = max(l.epochs[id], t.Epoch)
	}
	return errors.Join(errs...)
}

// checkJobs compares jobs with their tasks.
func checkJobs(s *State) error {
	tasks, scans, leased := map[string]int{}, map[string]int{}, map[string]int{}
	for _, t := range s.tasks {
		tasks[t.Job]++
		if t.Kind == ScanTask {
			scans[t.Job]++
		}
		if t.Leased() {
			leased[t.Job]++
		}
		if s.jobs[t.Job] == nil {
			return fmt.Errorf("task %d is of no job", t.ID)
		}
		if t.ID > s.lastTask {
			return fmt.Errorf("task %d above the last ID %d", t.ID, s.lastTask)
		}
		if t.Line > t.EndLine || len(t.To) > 0 && bytes.Compare(t.From, t.To) > 0 {
			return fmt.Errorf("bounds of %+v", t)
		}
	}
	for id, j := range s.jobs {
		switch {
		case j.Unfinished != tasks[id] || j.Listing != scans[id]:
			return fmt.Errorf("job %s says %d tasks, %d scans; has %d and %d", id, j.Unfinished, j.Listing, tasks[id], scans[id])
		case j.State != Running && leased[id] > 0:
			return fmt.Errorf("%s job %s has %d leased tasks", j.State, id, leased[id])
		case j.State != Running && j.State != Paused && tasks[id] > 0:
			return fmt.Errorf("%s job %s has %d tasks", j.State, id, tasks[id])
		case len(j.LostRanges) > MaxLostRanges || int64(len(j.LostRanges)) > j.TasksLost:
			return fmt.Errorf("job %s has %d lost ranges, %d counted", id, len(j.LostRanges), j.TasksLost)
		case j.RetryAt != 0 && j.State != Failed:
			return fmt.Errorf("%s job %s is to be retried", j.State, id)
		case j.Counts.Failed < 0 || j.Counts.Listed < 0:
			return fmt.Errorf("job %s: %+v", id, j.Counts)
		}
	}
	return nil
}

// checkCutSums compares cuts with the tasks and lost ranges that name them.
func checkCutSums(s *State) error {
	type key struct {
		job string
		cut uint64
	}
	tasks, lost := map[key]int{}, map[key]int{}
	for _, t := range s.tasks {
		tasks[key{t.Job, t.Cut}]++
	}
	for id, j := range s.jobs {
		for _, l := range j.LostRanges {
			lost[key{id, l.Task.Cut}]++
		}
	}
	for job, cuts := range s.cuts {
		if s.jobs[job] == nil {
			return fmt.Errorf("cuts of no job %s", job)
		}
		for id, c := range cuts {
			k := key{job, id}
			if c.Tasks != tasks[k] || c.Lost != lost[k] || c.Tasks+c.Lost == 0 {
				return fmt.Errorf("cut %d has %d tasks and %d lost, says %+v", id, tasks[k], lost[k], c)
			}
		}
	}
	return nil
}

// checkCluster checks the bounds of what is kept of the cluster.
func checkCluster(s *State) error {
	if len(s.settings) > maxSettings || len(s.draining) > maxNodes {
		return fmt.Errorf("%d settings and %d draining nodes", len(s.settings), len(s.draining))
	}
	for name, value := range s.settings {
		if value == "" {
			return fmt.Errorf("setting %s is empty", name)
		}
	}
	for node, draining := range s.draining {
		if !draining {
			return fmt.Errorf("node %s is kept without need", node)
		}
	}
	return nil
}

// checkTiles wants no key in two tasks that would count it.
func checkTiles(s *State) error {
	for id, j := range s.jobs {
		var ranges []Task
		for t := range s.TasksOf(id) {
			ranges = append(ranges, *t)
		}
		for _, l := range j.LostRanges {
			ranges = append(ranges, l.Task)
		}
		ranges = slices.DeleteFunc(ranges, func(t Task) bool {
			return t.Kind == ListTask || t.Kind == RelistTask || t.Kind == PartsTask || len(t.To) > 0 && bytes.Equal(t.From, t.To)
		})
		slices.SortFunc(ranges, func(a, b Task) int { return cmp.Or(bytes.Compare(a.From, b.From), cmp.Compare(a.ID, b.ID)) })
		for i := 1; i < len(ranges); i++ {
			if a, b := ranges[i-1], ranges[i]; len(a.To) == 0 || bytes.Compare(a.To, b.From) > 0 {
				return fmt.Errorf("tasks overlap: %+v and %+v", a, b)
			}
		}
	}
	return nil
}

// checkIndexes compares what is derived with what a rebuild gives.
func checkIndexes(s *State) error {
	fresh := newState()
	for _, t := range s.tasks {
		fresh.putTask(t)
	}
	type view struct{ pending, scans, leased, leasedScans []uint64 }
	views := func(s *State) (map[string]view, map[string][]uint64) {
		jobs, nodes := map[string]view{}, map[string][]uint64{}
		for id, t := range s.byJob {
			jobs[id] = view{t.pending.list(), t.pendingScans.list(), t.leased.list(), t.leasedScans.list()}
		}
		for id, held := range s.byNode {
			nodes[id] = held.list()
		}
		return jobs, nodes
	}
	jobs, nodes := views(s)
	wantJobs, wantNodes := views(fresh)
	if d := gocmp.Diff(wantJobs, jobs, gocmp.AllowUnexported(view{}), gocmp.Comparer(slices.Equal[[]uint64])); d != "" {
		return fmt.Errorf("index by job: %s", d)
	}
	if d := gocmp.Diff(wantNodes, nodes); d != "" {
		return fmt.Errorf("index by node: %s", d)
	}
	kinds := s.TaskKinds()
	maps.DeleteFunc(kinds, func(_ KindHeld, n int) bool { return n == 0 })
	if d := gocmp.Diff(fresh.TaskKinds(), kinds); d != "" {
		return fmt.Errorf("tasks by kind: %s", d)
	}
	for node, n := range s.LeaseCounts() {
		if n != len(wantNodes[node]) {
			return fmt.Errorf("%d leases counted of %s, want %d", n, node, len(wantNodes[node]))
		}
	}
	return nil
}

// checkShares wants one task for each share that did not end, of the same parts, and no parts task without a share.
func checkShares(s *State) error {
	shared := map[uint64]Share{}
	for id, t := range s.tasks {
		for _, u := range t.Uploads {
			end := int64(0)
			for _, sh := range u.Shares {
				if sh.First < end || sh.End <= sh.First || (sh.Task == 0) != (sh.Result != nil) {
					return fmt.Errorf("upload %q of task %d has shares %+v", u.Key, id, u.Shares)
				}
				end = sh.End
				if sh.Task == 0 {
					continue
				}
				shared[sh.Task] = sh
				part := s.tasks[sh.Task]
				if part == nil || part.Kind != PartsTask || part.Job != t.Job || part.Line != sh.First || part.EndLine != sh.End ||
					part.Parts.Owner != id || !bytes.Equal(part.Parts.Key, u.Key) || part.Parts.ID != u.ID {
					return fmt.Errorf("share %+v of task %d has task %+v", sh, id, part)
				}
			}
		}
	}
	for id, t := range s.tasks {
		if _, ok := shared[id]; (t.Kind == PartsTask) != ok {
			return fmt.Errorf("task %d of kind %s and its share do not agree", id, t.Kind)
		}
	}
	for id, j := range s.jobs {
		for _, l := range j.LostRanges {
			if l.Task.Kind == PartsTask || slices.ContainsFunc(l.Task.Uploads, func(u *Upload) bool { return len(u.Shares) > 0 }) {
				return fmt.Errorf("job %s lost shares: %+v", id, l.Task)
			}
		}
	}
	return nil
}
