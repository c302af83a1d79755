package scheduler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// mill is a Runner over imaginary sources: each job has cuts of so many objects of so many bytes, and every slot of a node
// moves so many bytes a second.
type mill struct {
	jobs map[string]load

	mu    sync.Mutex
	moved map[string][]move
}

// load is what a job consists of.
type load struct {
	cuts, objects int
	size          int64
}

// move is one object that arrived.
type move struct {
	at    time.Time
	node  string
	bytes int64
}

func newMill(jobs map[string]load) *mill { return &mill{jobs: jobs, moved: map[string][]move{}} }

// on is a node whose slots move so many bytes a second each.
func (m *mill) on(node string, speed int64) Runner {
	return runFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
		if task.Kind == transfer.Scan {
			return m.scan(ctx, m.jobs[job.ID], task, lease, ledger)
		}
		return m.copy(ctx, node, job.ID, speed, task, lease, ledger)
	})
}

// wait works for a time, unless the task is interrupted.
func (m *mill) wait(ctx context.Context, lease transfer.Lease, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return lease.Check()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-lease.Stopping():
		return transfer.ErrStopped
	}
}

// scan cuts eight ranges a page.
func (m *mill) scan(ctx context.Context, l load, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	from, end := number(task.From, 0), l.cuts*l.objects
	for {
		if err := m.wait(ctx, lease, 100*time.Millisecond); err != nil {
			return err
		}
		to := min(from+8*l.objects, end)
		a := transfer.Advance{From: task.From, To: string(key(to)), Done: to == end}
		if a.Done {
			a.To = task.To
		}
		for c := from; c < to; c += l.objects {
			n := int64(l.objects)
			a.Cuts = append(a.Cuts, transfer.Cut{From: string(key(c)), To: string(key(c + l.objects)), Objects: n, Bytes: n * l.size})
			a.Counts.Listed += n
			a.Counts.BytesListed += n * l.size
		}
		yield, err := ledger.Advance(ctx, a)
		if err != nil || a.Done || yield {
			return err
		}
		task.From, from = a.To, to
	}
}

// copy moves one object after the other, and splits when asked.
func (m *mill) copy(ctx context.Context, node, job string, speed int64, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	size := m.jobs[job].size
	e := &engine{}
	from, end := number(task.From, 0), number(task.To, 0)
	a := transfer.Advance{From: task.From}
	for k := from; k < end; k++ {
		stop := m.wait(ctx, lease, time.Duration(float64(size)/float64(speed)*float64(time.Second)))
		if stop == nil {
			if err := e.split(ctx, lease, ledger, &task, k+1); err != nil {
				return err
			}
			end = number(task.To, 0)
			m.note(job, move{time.Now(), node, size})
			lease.(transfer.MovedLease).Moved(2 * size)
			a.Objects, a.Bytes = a.Objects+1, a.Bytes+size
			a.Counts.Copied++
			a.Counts.BytesFound += size
			a.Counts.BytesCopied += size
			a.Counts.BytesMoved += size
			ledger.Progress(a.Counts)
			a.To, a.Done = string(key(k+1)), k+1 == end
		}
		if a.Objects == 0 && stop != nil {
			return stop
		}
		if a.Done || stop != nil {
			if _, err := ledger.Advance(ctx, a); err != nil || stop != nil {
				return max2(err, stop)
			}
		}
	}
	return nil
}

func max2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (m *mill) note(job string, v move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved[job] = append(m.moved[job], v)
}

// between sums what a job moved in [from, to).
func (m *mill) between(job string, from, to time.Time) (sum int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.moved[job] {
		if !v.at.Before(from) && v.at.Before(to) {
			sum += v.bytes
		}
	}
	return sum
}

// shares are a job's parts of what all moved, window by window.
func (m *mill) shares(job string, from, to time.Time, window time.Duration) (out []float64) {
	for at := from; !at.Add(window).After(to); at = at.Add(window) {
		own, all := m.between(job, at, at.Add(window)), int64(0)
		for name := range m.jobs {
			all += m.between(name, at, at.Add(window))
		}
		out = append(out, float64(own)/float64(max(all, 1)))
	}
	return out
}

// inShares wants every share between low and high.
func inShares(t *testing.T, what string, shares []float64, low, high float64) {
	t.Helper()
	if len(shares) == 0 {
		t.Fatalf("%s: no window", what)
	}
	t.Logf("%s: %d windows, shares %.3f to %.3f", what, len(shares), slices.Min(shares), slices.Max(shares))
	for i, s := range shares {
		if s < low || s > high {
			t.Errorf("%s: share %.3f in window %d, want %.2f to %.2f", what, s, i, low, high)
		}
	}
}

func smallLimit(c *LeaderConfig) { c.OutstandingLimit = 60 }

// cluster starts nodes with so many slots each, and returns what ends them.
func (r *rig) cluster(m *mill, speed int64, slots ...int) (end func()) {
	var nodes []*node
	for i, n := range slots {
		name := fmt.Sprint("n", i)
		nodes = append(nodes, r.node(name, n, m.on(name, speed)))
	}
	return func() {
		for _, n := range nodes {
			n.end(r.t)
		}
	}
}

// TestEqualJobsShare: two equal jobs get the same bytes in every minute, on any number of slots.
func TestEqualJobsShare(t *testing.T) {
	for _, slots := range [][]int{{1}, {3}, {3, 2}, {1, 7}} {
		t.Run(fmt.Sprint("slots ", slots), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				// Tasks of 2 s: on one slot a minute holds 30 of them, and one more or less is no matter.
				m := newMill(map[string]load{"a": {20000, 10, 2 * mib}, "b": {20000, 10, 2 * mib}})
				end := r.cluster(m, 10*mib, slots...)
				r.submit("a", 0)
				r.submit("b", 0)
				after(time.Minute)
				begin := time.Now()
				after(15 * time.Minute)
				inShares(t, "job a by the minute", m.shares("a", begin, time.Now(), time.Minute), 0.45, 0.55)
				end()
			}, smallLimit)
		})
	}
}

// TestUnequalTasksShare: jobs get the same bytes, whatever the sizes of their tasks and objects.
func TestUnequalTasksShare(t *testing.T) {
	for name, test := range map[string]struct {
		a, b  load
		slots []int
	}{
		"tasks of 60 s and 5 s, one slot":    {load{4000, 10, 60 * mib}, load{50000, 10, 5 * mib}, []int{1}},
		"tasks of 60 s and 5 s, three slots": {load{4000, 10, 60 * mib}, load{50000, 10, 5 * mib}, []int{3}},
		"objects of 200 MiB and 4 MiB":       {load{4000, 2, 200 * mib}, load{50000, 10, 4 * mib}, []int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := newMill(map[string]load{"a": test.a, "b": test.b})
				end := r.cluster(m, 10*mib, test.slots...)
				r.submit("a", 0)
				r.submit("b", 0)
				after(5 * time.Minute)
				begin := time.Now()
				after(100 * time.Minute)
				inShares(t, "job a by twenty minutes", m.shares("a", begin, time.Now(), 20*time.Minute), 0.45, 0.55)
				end()
			}, smallLimit)
		})
	}
}

// TestAbsenceEarnsNothing: a job that comes later, or was paused for long, gets its half from then on and no more.
func TestAbsenceEarnsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMill(map[string]load{"a": {50000, 10, 5 * mib}, "b": {50000, 10, 5 * mib}})
		end := r.cluster(m, 10*mib, 3)
		r.submit("b", 0)
		after(20 * time.Minute)
		r.submit("a", 0)
		after(time.Minute)
		begin := time.Now()
		after(30 * time.Minute)
		inShares(t, "a job that came later", m.shares("a", begin, time.Now(), 2*time.Minute), 0.45, 0.55)
		r.must(fsm.PauseJob{Job: "a", Nonce: nonceOf("a")})
		after(20 * time.Minute)
		r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
		after(time.Minute)
		begin = time.Now()
		after(30 * time.Minute)
		inShares(t, "a job that was paused", m.shares("a", begin, time.Now(), 2*time.Minute), 0.45, 0.55)
		end()
	}, smallLimit)
}

// TestPrioritiesShare: the highest priority gets all that it can use; those that are equal share what is left.
func TestPrioritiesShare(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMill(map[string]load{"a": {50000, 10, 5 * mib}, "b": {50000, 10, 5 * mib}, "high": {1000, 10, 5 * mib}})
		end := r.cluster(m, 10*mib, 3, 2)
		r.submit("a", 1)
		r.submit("b", 1)
		after(20 * time.Minute)
		r.submit("high", 2)
		after(20 * time.Second) // tasks in hand end
		begin := time.Now()
		after(10 * time.Minute)
		// While the first cuts are made there is a moment without a task of it.
		inShares(t, "the high one while it lasts", m.shares("high", begin, time.Now(), time.Minute), 0.97, 1)
		r.eventuallyWithin(time.Hour, "the high one ends", func() bool { return r.job("high").State == fsm.Succeeded })
		after(time.Minute)
		begin = time.Now()
		after(20 * time.Minute)
		inShares(t, "one of the others after it", m.shares("a", begin, time.Now(), time.Minute), 0.45, 0.55)
		end()
	}, smallLimit)
}

// eventuallyWithin is eventually for what takes longer, looked at every second.
func (r *rig) eventuallyWithin(d time.Duration, what string, cond func() bool) {
	r.t.Helper()
	for range d / time.Second {
		if cond() {
			return
		}
		after(time.Second)
	}
	r.t.Fatalf("after %v: not %s", d, what)
}

// TestFasterNodesGetMore: nodes get work by their speed, and the end does not wait for the slowest, be the tasks many or as few
// as there are slots.
func TestFasterNodesGetMore(t *testing.T) {
	for name, l := range map[string]load{"many tasks": {200, 20, 10 * mib}, "a task for each slot": {6, 600, 10 * mib}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := newMill(map[string]load{"a": l})
				speeds := map[string]int64{"slow": 10 * mib, "middle": 20 * mib, "fast": 40 * mib}
				var nodes []*node
				for name, speed := range speeds {
					nodes = append(nodes, r.node(name, 2, m.on(name, speed)))
				}
				r.submit("a", 0)
				begin := time.Now()
				r.eventuallyWithin(2*time.Hour, "the job ends", func() bool { return r.job("a").State == fsm.Succeeded })
				took := time.Since(begin)
				for _, n := range nodes {
					n.end(t)
				}
				total := int64(l.cuts*l.objects) * l.size
				ideal := time.Duration(total/(2*70*mib)) * time.Second
				t.Logf("took %v, %v with all nodes busy to the end", took, ideal)
				if took > ideal*11/10 {
					t.Errorf("took %v, all nodes together need %v", took, ideal)
				}
				got := map[string]int64{}
				for _, v := range m.moved["a"] {
					got[v.node] += v.bytes
				}
				for name, speed := range speeds {
					share, want := float64(got[name])/float64(total), float64(speed)/(70*mib)
					t.Logf("%s: %.3f of the work, %.3f of the speed", name, share, want)
					if share < want*0.9 || share > want*1.1 {
						t.Errorf("%s had %.3f of the work, want about %.3f", name, share, want)
					}
				}
			})
		})
	}
}

// TestTenJobsOneSlot: ten jobs of many tasks all end on one slot, whatever the limit of tasks outstanding.
func TestTenJobsOneSlot(t *testing.T) {
	for _, limit := range []int{1, 3, 2000} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				jobs := map[string]load{}
				for _, name := range jobNames(10) {
					jobs[name] = load{60, 3, mib}
				}
				m := newMill(jobs)
				end := r.cluster(m, 10*mib, 1)
				for i, name := range jobNames(10) {
					r.submit(name, i%3)
				}
				r.eventuallyWithin(2*time.Hour, "all ten end", func() bool { return allDone(r) })
				for _, name := range jobNames(10) {
					if c := r.job(name).Counts; c.Copied != 180 || c.Listed != 180 {
						t.Errorf("%s: %+v", name, c)
					}
				}
				end()
			}, func(c *LeaderConfig) { c.OutstandingLimit = limit })
		})
	}
}

// TestNewcomersGetRoom: a job that comes when another holds all slots with tasks of an hour works within seconds, and one of
// a higher priority has all slots soon; nothing that was done is done again.
func TestNewcomersGetRoom(t *testing.T) {
	for name, test := range map[string]struct{ priority, slots int }{"of the same priority": {0, 1}, "of a higher one": {1, 4}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := newMill(map[string]load{"first": {40, 3600, 10 * mib}, "second": {40, 3600, 10 * mib}})
				end := r.cluster(m, 10*mib, 4, 4)
				r.submit("first", 0)
				after(10 * time.Minute)
				r.submit("second", test.priority)
				after(time.Minute)
				held := map[string]map[string]int{}
				r.log.machine.Read(func(s *fsm.State) {
					for task := range s.Leased() {
						if task.Kind == fsm.RangeTask {
							if held[task.Node] == nil {
								held[task.Node] = map[string]int{}
							}
							held[task.Node][task.Job]++
						}
					}
				})
				for _, node := range []string{"n0", "n1"} {
					if got := held[node]["second"]; got != test.slots || held[node]["first"] != 4-test.slots {
						t.Errorf("%s holds %v, want %d of the second", node, held[node], test.slots)
					}
				}
				begin := time.Now()
				after(10 * time.Minute)
				if test.slots < 4 && m.between("first", begin, time.Now()) == 0 {
					t.Error("the first job stands still")
				}
				// What was given back was advanced, and the lower bound is where it stopped: no object was moved twice.
				for _, job := range []string{"first", "second"} {
					if st, _ := r.leader.Status(job); st.Counts.BytesMoved > m.between(job, time.Time{}, time.Now().Add(1)) {
						t.Errorf("%s counts %d, moved %d", job, st.Counts.BytesMoved, m.between(job, time.Time{}, time.Now()))
					}
				}
				end()
			}, smallLimit)
		})
	}
}
