package main

import (
	"context"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// crew runs this node's worker while the node is to have work. A worker runs once, so that each time there is a new one.
type crew struct {
	node    *node
	leaving context.Context // ends when stop is called
	leave   context.CancelFunc
	ended   chan struct{} // closed when run returned
}

func newCrew(n *node) *crew {
	c := &crew{node: n, ended: make(chan struct{})}
	c.leaving, c.leave = context.WithCancel(context.Background())
	return c
}

// run runs workers until ctx ends or stop is called.
func (c *crew) run(ctx context.Context) error {
	defer close(c.ended)
	if err := c.node.place.prepare(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	c.node.lookAtDisk()
	for c.await(ctx, false) {
		c.announce(false)
		if err := c.shift(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shift runs one worker until the node drains, has no room or stops, and lets it give its work back.
func (c *crew) shift(ctx context.Context) error {
	n := c.node
	w := scheduler.NewWorker(scheduler.WorkerConfig{
		Node: n.dir.NodeID, Runner: n.mover, Leader: n.place.syncer, Open: n.desk.open, Renew: n.desk.renew, Slots: taskSlots, Unable: n.unable, Logger: n.logger,
	})
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if c.await(over, true) && c.drains() {
			n.logger.Info("the node drains: work is given back")
			c.announce(true)
		}
		patience, done := context.WithTimeout(over, n.givingBack())
		defer done()
		w.Stop(patience)
	})
	err := w.Run(ctx)
	cancel()
	watcher.Wait()
	return err
}

// announce tells the other nodes whether this one drains. If it fails, the state still says so.
func (c *crew) announce(draining bool) {
	if c.node.place.draining == nil {
		return
	}
	if err := c.node.place.draining(draining); err != nil {
		c.node.logger.Warn("the other nodes are not told whether this one drains", "error", err)
	}
}

// drains tells whether the node is to have no more work.
func (c *crew) drains() (yes bool) {
	c.node.machine.Read(func(s *fsm.State) { yes = s.Draining(c.node.dir.NodeID) })
	return yes
}

// await waits until the node rests, for it drains or has no room, or until it does not. It returns false when ctx ends or
// the node stops.
func (c *crew) await(ctx context.Context, resting bool) bool {
	for {
		changed, diskChanged := c.node.machine.Changed(), c.node.disk.wait()
		if c.leaving.Err() != nil || ctx.Err() != nil {
			return false
		}
		if (c.drains() || c.node.disk.isLow()) == resting {
			return true
		}
		select {
		case <-changed:
		case <-diskChanged:
		case <-c.leaving.Done():
		case <-ctx.Done():
		}
	}
}

// stop lets the worker give its work back, and returns when it did, or when ctx ended.
func (c *crew) stop(ctx context.Context) {
	c.leave()
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}

const (
	paceTick = time.Second
	paceSpan = 10
)

// pace is what the node sends to destinations, over the last ten seconds.
type pace struct {
	read func() int64 // bytes sent since the start

	mu      sync.Mutex
	samples []int64 // one each paceTick, the newest last
}

// run takes samples until ctx ends.
func (p *pace) run(ctx context.Context) {
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	for {
		p.sample()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *pace) sample() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = append(p.samples, p.read())
	if len(p.samples) > paceSpan+1 {
		p.samples = p.samples[1:]
	}
}

func (p *pace) bytesPerSecond() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.samples) - 1
	if last < 1 {
		return 0
	}
	return float64(p.samples[last]-p.samples[0]) / (time.Duration(last) * paceTick).Seconds()
}
