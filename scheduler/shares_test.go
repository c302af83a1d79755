package scheduler

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	mib     = 1 << 20
	capRate = 12 * mib // bytes a second that the job of these tests may take
	moverAt = 256 << 10
)

// capRig is a leader, some nodes that copy one job with a limit, and the oracle: the shares that the nodes go by never add
// up to more than the limit.
type capRig struct {
	*rig
	engine *engine
	limit  int64
	pace   map[string]int64 // what a node moves at most, bytes a second; 0 is any amount

	leads atomic.Pointer[Leader]

	mu    sync.Mutex
	nodes map[string]*node
	moved map[string]int64
	stop  chan struct{}
	done  chan struct{}
}

// newCapRig submits a job of so many keys, which move moverAt bytes each.
func newCapRig(r *rig, keys int, limits fsm.JobLimits) *capRig {
	c := &capRig{rig: r, limit: capRate, pace: map[string]int64{}, nodes: map[string]*node{}, moved: map[string]int64{},
		stop: make(chan struct{}), done: make(chan struct{})}
	c.engine = &engine{keys: keys, pause: time.Millisecond, cut: 40, move: c.move}
	r.must(fsm.SubmitJob{ID: "a", Nonce: nonceOf("a"), Kind: "copy", Spec: []byte(`{"version":1}`), Limits: limits})
	c.leads.Store(r.leader)
	go c.watch()
	return c
}

// everyDay is one limit for all the week.
func everyDay(rate int64) fsm.JobLimits {
	return fsm.JobLimits{Bandwidth: []fsm.RateSlot{{Rate: rate}}}
}

// move is what copying a key takes at a node.
func (c *capRig) move(ctx context.Context, node string, lease transfer.Lease) error {
	if err := lease.(transfer.LimitedLease).Limiter().Take(ctx, lease, moverAt); err != nil {
		return err
	}
	c.mu.Lock()
	c.moved[node] += moverAt
	pace := c.pace[node]
	c.mu.Unlock()
	if pace > 0 {
		select {
		case <-time.After(time.Duration(moverAt * int64(time.Second) / pace)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return lease.Check()
}

// join starts a node of two tasks at a time.
func (c *capRig) join(name string) *node {
	n := &node{wire: &wire{to: func() Syncer { return c.leads.Load() }}, spool: c.spool, result: make(chan error, 1)}
	n.launch(name, 2, c.engine.on(name))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name] = n
	return n
}

// lose forgets a node that is about to end.
func (c *capRig) lose(name string) {
	c.mu.Lock()
	n := c.nodes[name]
	delete(c.nodes, name)
	c.mu.Unlock()
	n.end(c.t)
}

// inUse are the shares that the nodes go by now.
func (c *capRig) inUse() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	shares := map[string]int64{}
	for name, n := range c.nodes {
		for _, u := range n.limits.uses() {
			shares[name] = u.Rate
		}
	}
	return shares
}

// watch is the oracle.
func (c *capRig) watch() {
	defer close(c.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.stop:
			return
		}
		shares := c.inUse()
		sum := int64(0)
		for _, s := range shares {
			sum += s
		}
		c.mu.Lock()
		limit := c.limit
		c.mu.Unlock()
		if limit > 0 && sum > limit {
			c.t.Errorf("at %v the shares add up to %d of %d: %v", time.Now(), sum, limit, shares)
			return
		}
	}
}

// end stops all nodes and the oracle.
func (c *capRig) end() {
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		c.lose(name)
	}
	close(c.stop)
	<-c.done
}

// over returns what the nodes move within a time, bytes a second.
func (c *capRig) over(span time.Duration) (total int64, each map[string]int64) {
	c.mu.Lock()
	before := maps.Clone(c.moved)
	c.mu.Unlock()
	after(span)
	c.mu.Lock()
	defer c.mu.Unlock()
	each = map[string]int64{}
	for name, n := range c.moved {
		each[name] = (n - before[name]) * int64(time.Second) / int64(span)
		total += each[name]
	}
	return total, each
}

// moves checks the rate of all nodes together over ten seconds.
func (c *capRig) moves(when string, least, most float64) map[string]int64 {
	c.t.Helper()
	total, each := c.over(10 * time.Second)
	if part := float64(total) / capRate; part < least || part > most {
		c.t.Errorf("%s: %.3f of the limit, want %.2f to %.2f; %v", when, part, least, most, each)
	}
	return each
}

func TestSharesAreEven(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := newCapRig(r, 4000, everyDay(capRate))
		defer c.end()
		for i := range 3 {
			c.join(fmt.Sprint("n", i))
		}
		r.eventually("all work", func() bool { return len(c.inUse()) == 3 })
		after(2 * time.Second)
		for name, rate := range c.moves("three nodes", 0.97, 1.02) {
			if rate < capRate/3*9/10 || rate > capRate/3*11/10 {
				t.Errorf("%s moves %d a second, want a third of %d", name, rate, int64(capRate))
			}
		}
	})
}

func TestSharesFollowDemand(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := newCapRig(r, 12000, everyDay(capRate))
		defer c.end()
		c.pace["n0"] = mib / 2 // two tasks at once
		for i := range 3 {
			c.join(fmt.Sprint("n", i))
		}
		r.eventually("all work", func() bool { return len(c.inUse()) == 3 })
		after(12 * time.Second)
		each := c.moves("one slow node", 0.95, 1.02)
		if each["n1"] < 5*mib || each["n2"] < 5*mib {
			t.Errorf("what the slow node leaves is not taken: %v", each)
		}
		c.mu.Lock()
		c.pace["n0"] = 0 // now it could do more
		c.mu.Unlock()
		after(10 * time.Second)
		if each = c.moves("none is slow", 0.97, 1.02); each["n0"] < 3*mib {
			t.Errorf("the node that was slow gets no share again: %v", each)
		}
	})
}

func TestShareOfADeadNode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := newCapRig(r, 12000, everyDay(capRate))
		defer c.end()
		for i := range 3 {
			c.join(fmt.Sprint("n", i))
		}
		r.eventually("all work", func() bool { return len(c.inUse()) == 3 })
		after(3 * time.Second)
		c.lose("n1")
		c.moves("until its lease ends", 0.6, 0.99)
		after(LeaseTTL - 10*time.Second + 2*time.Second)
		c.moves("after its lease ended", 0.97, 1.02)
		c.join("n3")
		after(3 * time.Second)
		if share := c.inUse()["n3"]; share < capRate/3*9/10 {
			t.Errorf("the node that joined has a share of %d after 3 s", share)
		}
		c.moves("with a node that joined", 0.97, 1.02)
	})
}

// TestSharesOfANewLeader: what its predecessor gave out counts until each node polled or its lease ended.
func TestSharesOfANewLeader(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprint("silent=", silent), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := newCapRig(r, 20000, everyDay(capRate))
				defer c.end()
				c.pace["n2"] = mib / 4 // the shares are far from even
				for i := range 3 {
					c.join(fmt.Sprint("n", i))
				}
				r.eventually("all work", func() bool { return len(c.inUse()) == 3 })
				after(12 * time.Second)
				before := c.inUse()
				cut := c.nodes["n1"].wire
				cut.set(func(w *wire) { w.cut = silent })
				r.stop()
				r.log.set(func(l *fakeLog) { l.term++ })
				c.join("n3")
				r.start()
				c.leads.Store(r.leader)
				after(4 * time.Second)
				if now := c.inUse(); silent && now["n3"] != 0 {
					t.Errorf("a node was given %d of what another may still take: before %v, now %v", now["n3"], before, now)
				}
				cut.set(func(w *wire) { w.cut = false })
				after(14 * time.Second)
				c.moves("in the end", 0.95, 1.02)
				if c.inUse()["n3"] == 0 {
					t.Error("the node that came with the new leader has no share")
				}
			})
		})
	}
}

// TestSharesInTrouble loses answers, delays them, kills nodes and leaders at random; the oracle watches.
func TestSharesInTrouble(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				random := rand.New(rand.NewPCG(seed, 5))
				c := newCapRig(r, 30000, everyDay(capRate))
				defer c.end()
				next := 0
				for range 3 {
					c.join(fmt.Sprint("n", next))
					next++
				}
				for range 30 {
					after(time.Duration(random.Int64N(int64(4 * time.Second))))
					names := slices.Sorted(maps.Keys(c.nodes))
					n := c.nodes[names[random.IntN(len(names))]]
					switch random.IntN(5) {
					case 0:
						n.wire.set(func(w *wire) { w.lost = 1 + random.IntN(4) })
					case 1:
						n.wire.set(func(w *wire) { w.slow = time.Duration(random.Int64N(int64(3 * time.Second))) })
					case 2:
						c.mu.Lock()
						c.pace[n.cfg.Node] = random.Int64N(6 * mib)
						c.mu.Unlock()
					case 3:
						if len(names) > 2 {
							c.lose(n.cfg.Node)
						}
						c.join(fmt.Sprint("n", next))
						next++
					case 4:
						r.stop()
						r.log.set(func(l *fakeLog) { l.term++ })
						r.start()
						c.leads.Store(r.leader)
					}
				}
				for _, n := range c.nodes {
					n.wire.set(func(w *wire) { w.lost, w.slow = 0, 0 })
				}
				c.mu.Lock()
				clear(c.pace)
				c.mu.Unlock()
				after(25 * time.Second)
				if job := r.job("a"); job.State == fsm.Running && job.Listing == 0 {
					c.moves("when all is well again", 0.95, 1.02)
				}
			})
		})
	}
}

// TestShareByTimetable: the limit comes and goes by the week of the leader's zone.
func TestShareByTimetable(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		now := time.Now()
		minute := (int(now.Weekday())*24+now.Hour())*60 + now.Minute()
		slots := []fsm.RateSlot{{From: minute, Rate: capRate}, {From: minute + 1}, {From: minute + 2, Rate: capRate / 4}}
		c := newCapRig(r, 60000, fsm.JobLimits{Bandwidth: slots})
		defer c.end()
		c.limit = 0 // it changes
		c.pace["n0"], c.pace["n1"] = 20*mib, 20*mib
		c.join("n0")
		c.join("n1")
		after(20 * time.Second)
		c.moves("in the first minute", 0.97, 1.02)
		if st, _ := r.leader.Status("a"); st.Bandwidth != capRate {
			t.Errorf("the status tells a limit of %d", st.Bandwidth)
		}
		after(35 * time.Second)
		if total, each := c.over(10 * time.Second); total < 3*capRate {
			t.Errorf("without a limit: %v", each)
		}
		after(50 * time.Second)
		c.moves("in the third minute", 0.24, 0.26)
	})
}

// TestUnlimitedJobHasNoShares: nothing is told of a job that has no limit.
func TestUnlimitedJobHasNoShares(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := newCapRig(r, 4000, fsm.JobLimits{})
		defer c.end()
		c.limit = 0
		c.pace["n0"] = 10 * mib
		n := c.join("n0")
		after(5 * time.Second)
		if total, _ := c.over(5 * time.Second); total < 15*mib {
			t.Errorf("%d bytes a second", total)
		}
		if got := c.inUse()["n0"]; got != transfer.NoLimit {
			t.Errorf("share %d", got)
		}
		r.leader.mu.Lock()
		caps := len(r.leader.reign.caps)
		r.leader.mu.Unlock()
		if caps != 0 || n == nil {
			t.Errorf("%d jobs are shared out", caps)
		}
	})
}

// TestShareThatWasToldCounts: what an answer carried may be in use, until the next poll says what is.
func TestShareThatWasToldCounts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.must(fsm.SubmitJob{ID: "a", Nonce: nonceOf("a"), Kind: "copy", Spec: []byte(`{"version":1}`), Limits: everyDay(capRate)})
		p, q := r.puppet("p", 1), r.puppet("q", 1)
		scan := p.work()[0].Task
		if err := p.do(cutsOf(&scan, 0, 2, true)); err != nil {
			t.Fatal(err)
		}
		told := r.shareAt(p)
		if told != capRate {
			t.Fatalf("the only node has a share of %d", told)
		}
		if got := r.shareAt(q); got != 0 {
			t.Errorf("a share of %d was told while the other may go by all", got)
		}
		p.shares = []ShareUse{{Share: Share{Job: capKey(r.job("a")), Rate: told}}}
		if lower := r.shareAt(p); lower != capRate/2 {
			t.Errorf("the share of the first node is %d, want half", lower)
		}
		if got := r.shareAt(q); got != 0 {
			t.Errorf("a share of %d was told before the other said that it takes less", got)
		}
		p.shares[0].Rate = capRate / 2
		p.poll()
		if got := r.shareAt(q); got != capRate/2 {
			t.Errorf("the share of the second node is %d, want half", got)
		}
	})
}

// shareAt polls until a node has a task, and returns the share that the latest answer told.
func (r *rig) shareAt(p *puppet) int64 {
	r.t.Helper()
	for range 20 {
		resp := p.poll()
		if len(p.running) == 0 {
			continue
		}
		for _, s := range resp.Shares {
			return s.Rate
		}
		return 0
	}
	r.t.Fatalf("%s has no task", p.node)
	return 0
}
