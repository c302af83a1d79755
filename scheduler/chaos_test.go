package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestChaos: wires that fail, nodes that are cut off, killed and stopped, leaders that change: every key is counted
// once, and no holder writes after its successor did.
func TestChaos(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { chaos(t, r, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func chaos(t *testing.T, r *rig, rnd *rand.Rand) {
	e := &engine{keys: 240, pause: 700 * time.Millisecond, cut: 4 << rnd.IntN(5)}
	jobs := jobNames(2)
	for _, id := range jobs {
		r.submit(id, 0)
	}
	nodes := make([]*node, 3)
	name := func(i int) string { return fmt.Sprintf("n%d", i) }
	for i := range nodes {
		nodes[i] = r.node(name(i), 2, e.on(name(i)))
	}
	for range 60 {
		after(time.Duration(rnd.IntN(4000)) * time.Millisecond)
		i := rnd.IntN(len(nodes))
		switch rnd.IntN(6) {
		case 0:
			nodes[i].wire.set(func(w *wire) { w.cut = !w.cut })
		case 1:
			nodes[i].wire.set(func(w *wire) { w.lost += rnd.IntN(4) })
		case 2:
			nodes[i].wire.set(func(w *wire) { w.slow = time.Duration(rnd.IntN(6000)) * time.Millisecond })
		case 3:
			nodes[i].end(t)
			nodes[i] = r.node(name(i), 2, e.on(name(i)))
		case 4:
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Millisecond)
			nodes[i].Stop(ctx)
			cancel()
			nodes[i].end(t)
			nodes[i] = r.node(name(i), 2, e.on(name(i)))
		case 5:
			r.log.leaders <- false
			synctest.Wait()
			after(time.Duration(rnd.IntN(8000)) * time.Millisecond)
			r.log.set(func(l *fakeLog) { l.term++ })
			r.log.leaders <- true
		}
	}
	for _, n := range nodes {
		n.wire.set(func(w *wire) { w.cut, w.lost, w.slow = false, 0, 0 })
	}
	for range 10 {
		if allDone(r) {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for _, id := range jobs {
			_, _ = r.leader.Wait(ctx, id, func(j *fsm.Job) bool { return j.State == fsm.Succeeded })
		}
		cancel()
	}
	r.checkSums(e.keys, jobs...)
	e.check(t, jobs...)
	for _, n := range nodes {
		n.end(t)
	}
}
