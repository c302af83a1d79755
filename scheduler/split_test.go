package scheduler

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// able lets the puppet say that its tasks can be split.
func (p *puppet) able() {
	for i := range p.running {
		p.running[i].Splits = true
	}
}

// untilSplit polls until an answer asks for a split, and returns how long that took.
func (p *puppet) untilSplit() (time.Duration, []fsm.TaskEpoch) {
	p.r.t.Helper()
	start := time.Now()
	for range 60 {
		if resp := p.poll(); len(resp.Split) > 0 {
			return time.Since(start), resp.Split
		}
	}
	p.r.t.Fatalf("%s was not asked to split in 60 polls", p.node)
	return 0, nil
}

// decline says of its tasks that nothing more comes of being asked to split.
func (p *puppet) decline() {
	p.r.t.Helper()
	var news []Holding
	for _, h := range p.running {
		h.Declined = true
		news = append(news, h)
	}
	if _, err := p.r.leader.Sync(p.r.t.Context(), SyncRequest{Node: p.node, Instance: p.instance, News: news}); err != nil {
		p.r.t.Fatalf("news of %s: %v", p.node, err)
	}
}

// idle keeps a puppet polling until the returned function is called.
func (p *puppet) idle() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				p.poll()
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// TestIdleNodeAsksForSplit: while a node has nothing to do, the running scan is asked to split, at once, again after a
// while, and longer each time; what it hands out is granted.
func TestIdleNodeAsksForSplit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		scan := scanning(r, p)
		p.able()
		stop := q.idle()
		first, split := p.untilSplit()
		if len(split) != 1 || split[0] != holdingOf(scan) || first > 2*maxSyncWait {
			t.Errorf("asked %v after %v", split, first)
		}
		if second, _ := p.untilSplit(); second < splitPatience || second > splitPatience+2*maxSyncWait {
			t.Errorf("asked again after %v", second)
		}
		if third, _ := p.untilSplit(); third < 2*splitPatience || third > 2*splitPatience+2*maxSyncWait {
			t.Errorf("asked for the third time after %v", third)
		}
		if err := p.do(fsm.SplitTask{Task: scan.ID, Epoch: scan.Epoch, At: key(100)}); err != nil {
			t.Fatal(err)
		}
		r.eventually("the part granted", func() bool { return len(r.leased("m")) == 1 })
		stop()
		tail := r.task(r.leased("m")[0])
		if tail.Kind != fsm.ScanTask || string(tail.From) != string(key(100)) || string(r.task(scan.ID).To) != string(key(100)) {
			t.Errorf("granted %+v", tail)
		}
	})
}

// TestWhoIsAskedToSplit: free slots of the holder's own node are of use for scans only, and nobody is asked who cannot
// split or has only just begun, or while something can be granted.
func TestWhoIsAskedToSplit(t *testing.T) {
	for name, test := range map[string]struct {
		scan, other, able bool
		want              bool
	}{
		"scan, own node":      {scan: true, able: true, want: true},
		"copy, own node":      {able: true},
		"copy, other node":    {other: true, able: true, want: true},
		"scan that cannot":    {scan: true, other: true},
		"copy that cannot":    {other: true},
		"scan for other node": {scan: true, other: true, able: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.puppet("n", 3)
				if test.scan {
					scanning(r, p)
				} else {
					copying(r, p, 1)
				}
				if test.able {
					p.able()
				}
				if test.other {
					p.slots = 1
					defer r.puppet("m", 1).idle()()
				}
				asked := false
				for range 5 {
					asked = asked || len(p.poll().Split) > 0
				}
				if asked != test.want {
					t.Errorf("asked: %v", asked)
				}
			})
		})
	}
}

// TestOneFreeSlotSplitsOne: a free slot has one task asked, the one that runs longest.
func TestOneFreeSlotSplitsOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 3)
		copying(r, p, 3)
		p.able()
		oldest := p.running[0].Task
		defer r.puppet("m", 1).idle()()
		var asked []fsm.TaskEpoch
		for range 3 {
			asked = append(asked, p.poll().Split...)
		}
		if len(asked) != 1 || asked[0].Task != oldest {
			t.Errorf("asked %v, oldest is %d", asked, oldest)
		}
		// Nothing came of it: the others follow, before the same one is asked again.
		for range 12 {
			asked = append(asked, p.poll().Split...)
		}
		seen := map[uint64]bool{}
		for _, te := range asked[:min(3, len(asked))] {
			seen[te.Task] = true
		}
		if len(seen) != 3 {
			t.Errorf("asked %v", asked)
		}
	})
}

// TestSplitsShareWork: nodes that come to a job of one scan and few copies get their share of it.
func TestSplitsShareWork(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 600, pause: 300 * time.Millisecond, cut: 300}
		r.submit("a", 0)
		var nodes []*node
		for i := range 4 {
			name := fmt.Sprintf("n%d", i)
			nodes = append(nodes, r.node(name, 1, e.on(name)))
		}
		start := time.Now()
		r.eventually("done", func() bool { after(time.Second); return allDone(r) })
		took := time.Since(start)
		if alone := 600 * e.pause; took > alone*2/5 {
			t.Errorf("four nodes took %v, one would take %v", took, alone)
		}
		splits := 0
		for _, entry := range r.log.entries {
			splits += splitsIn(t, entry)
		}
		if splits == 0 {
			t.Error("nothing was split")
		}
		t.Logf("%v, %d splits", took, splits)
		r.checkSums(e.keys, "a")
		e.check(t, "a")
		for _, n := range nodes {
			n.end(t)
		}
	})
}

// splitsIn counts the splits of a log entry.
func splitsIn(t *testing.T, entry []byte) (n int) {
	cmd, err := fsm.Decode(entry)
	if err != nil {
		t.Fatal(err)
	}
	cmds := []fsm.Command{cmd}
	if b, ok := cmd.(fsm.Batch); ok {
		cmds = b.Commands
	}
	for _, c := range cmds {
		if _, ok := c.(fsm.SplitTask); ok {
			n++
		}
	}
	return n
}

// TestTaskStallIsSetLive: the setting of the cluster holds as soon as it is made.
func TestTaskStallIsSetLive(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		scanning(r, p)
		begin := time.Now()
		for time.Since(begin) < time.Minute {
			if resp := p.poll(); len(resp.Drop) > 0 {
				t.Fatal("dropped before the setting")
			}
		}
		r.must(set(fsm.SettingTaskStall, "30s"))
		if resp := p.poll(); len(resp.Drop) != 1 {
			t.Errorf("after a minute of nothing, with 30 s allowed: %+v", resp)
		}
	})
}

// TestStalledTaskMovesOn: a task that does nothing for the given time is taken away, not before, and goes to another
// node once its holder stopped, or said that it can do no more harm.
func TestStalledTaskMovesOn(t *testing.T) {
	const stall = 30 * time.Second
	for name, gone := range map[string]bool{"stops": true, "hangs": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p, q := r.puppet("n", 1), r.puppet("m", 1)
				scan := scanning(r, p)
				defer q.idle()()
				polls := func(d time.Duration, each func()) {
					for end := time.Now().Add(d); time.Now().Before(end); {
						each()
						if resp := p.poll(); len(resp.Drop) > 0 {
							t.Fatalf("dropped after a poll at %v", time.Now())
						}
					}
				}
				polls(2*stall, func() { p.running[0].Moved++ })
				polls(2*stall, func() { p.running[0].Progress.Listed++ })
				polls(stall-2*maxSyncWait, func() {})
				if got := r.leased("n"); len(got) != 1 {
					t.Fatalf("leased: %v", got)
				}
				r.eventually("dropped", func() bool { return len(p.poll().Drop) > 0 })
				for range 10 {
					p.poll()
				}
				if got := r.leased("m"); len(got) != 0 {
					t.Fatalf("granted while its holder still runs it: %v", got)
				}
				if gone {
					p.forget(scan.ID)
				} else {
					p.running[0].Lost = true
				}
				p.poll()
				lost := time.Now()
				p.slots = 0
				r.eventually("granted to the other", func() bool { p.poll(); return len(r.leased("m")) == 1 })
				if !gone && time.Since(lost) < lostGrace-2*maxSyncWait {
					t.Errorf("granted %v after its holder lost it", time.Since(lost))
				}
				synctest.Wait()
			}, func(c *LeaderConfig) { c.TaskStall = stall })
		})
	}
}

// TestManyFreeSlotsAskForManyParts: one task is asked for as many parts as there are free slots, and once for them all;
// where it declines, other nodes' slots count as free again at once.
func TestManyFreeSlotsAskForManyParts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 5)
		scan := scanning(r, p)
		p.able()
		_, split := p.untilSplit()
		if len(split) != 4 {
			t.Fatalf("asked for %d parts: %v", len(split), split)
		}
		if resp := p.poll(); len(resp.Split) > 0 {
			t.Errorf("asked again while the request is open: %v", resp.Split)
		}
		te := holdingOf(scan)
		tell := func(h Holding) {
			t.Helper()
			h.Task, h.Epoch, h.Splits = te.Task, te.Epoch, true
			req := SyncRequest{Node: p.node, Instance: p.instance, News: []Holding{h}}
			if _, err := r.leader.Sync(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			p.running[0].Left, p.running[0].Splits = h.Left, true
		}
		tell(Holding{Left: 9, Declined: true})
		tell(Holding{Left: 3})
		for range 5 {
			if resp := p.poll(); len(resp.Split) > 0 {
				t.Fatalf("asked with few requests left: %v", resp.Split)
			}
		}
		tell(Holding{Left: 100})
		if took, split := p.untilSplit(); took > time.Second || len(split) != 4 {
			t.Errorf("asked %v %v after it found more", split, took)
		}
	})
}
