package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/scheduler"
)

const diskEvery = time.Second

// diskWatch knows whether the disk of the data directory is nearly full.
type diskWatch struct {
	mu      sync.Mutex
	low     bool
	changed chan struct{} // closed by the next change
}

func newDiskWatch() *diskWatch { return &diskWatch{changed: make(chan struct{})} }

func (d *diskWatch) isLow() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.low
}

// wait returns a channel that the next change closes.
func (d *diskWatch) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// set notes how it is and tells whether that is new.
func (d *diskWatch) set(low bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.low == low {
		return false
	}
	d.low = low
	close(d.changed)
	d.changed = make(chan struct{})
	return true
}

// watchDisk looks at the disk until ctx ends.
func (n *node) watchDisk(ctx context.Context) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.lookAtDisk()
		case <-ctx.Done():
			return
		}
	}
}

// lookAtDisk notes whether the disk is nearly full. What follows from it, work given back and leadership handed on, begins
// at once.
func (n *node) lookAtDisk() {
	low, err := n.place.lowDisk()
	if err != nil {
		n.logger.Warn("free disk space is not known", "error", err)
		return
	}
	if !n.disk.set(low) {
		return
	}
	if low {
		n.logger.Warn("the disk of the data directory is nearly full: this node gives its work back and leads no more", "data", n.dir.Path)
	} else {
		n.logger.Info("the disk of the data directory has room again", "data", n.dir.Path)
	}
	if n.place.diskLow == nil {
		return
	}
	if err := n.place.diskLow(low); err != nil {
		n.logger.Warn("the other nodes are not told of this node's disk", "error", err)
	}
}

// unable tells whom to blame for the error of a task. A spool without room is no task's fault: on this node it ends the
// work here; where all others are full, no second copy can be made, and this job cannot go on.
func (n *node) unable(err error) scheduler.Blame {
	if !errors.Is(err, cluster.ErrSpoolFull) {
		return scheduler.BlameTask
	}
	if n.lookAtDisk(); n.disk.isLow() {
		return scheduler.BlameNode
	}
	return scheduler.BlameJob
}
