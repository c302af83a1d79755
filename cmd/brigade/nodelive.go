package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
)

// liveConfig is the configuration of a node as it was read last. What is live of it holds at once; a setting of the
// cluster goes before it.
type liveConfig struct {
	current atomic.Pointer[settledConfig]
	changed chan struct{} // room for one: what follows the settings is to look again
}

func newLiveConfig(c *settledConfig) *liveConfig {
	l := &liveConfig{changed: make(chan struct{}, 1)}
	l.current.Store(c)
	return l
}

// reloadHook takes over what can change while the node runs. Old is what was read before, now what was read at the reload.
// An error says in one line why it stays as it was.
type reloadHook func(ctx context.Context, old, now *settledConfig) error

// reloadHooks come in this order. One that fails keeps none of the others from their turn.
func (n *node) reloadHooks() []reloadHook { return []reloadHook{n.reloadOwn, n.reloadKey} }

// reload reads the configuration again and applies what can change. What is wrong with it leaves everything as it was.
func (n *node) reload(ctx context.Context) {
	done := n.supervisor.reloading()
	if err := n.log.reopen(); err != nil {
		n.logger.Warn("the log goes on in the file that it was in", "error", err)
	}
	now, err := n.source.load()
	if err != nil {
		n.logger.Error("configuration not reloaded: what held before holds on", "error", err)
		done("reload failed: " + oneLine(err.Error()))
		return
	}
	old := n.live.current.Load()
	for _, hook := range n.reloadHooks() {
		if err := hook(ctx, old, now); err != nil {
			n.logger.Warn("not changed by the reload", "reason", err)
		}
	}
	n.logger.Info("configuration reloaded", "file", now.file)
	done("")
}

// reloadOwn changes what is live of the flags, and says what is not.
func (n *node) reloadOwn(_ context.Context, old, now *settledConfig) error {
	n.live.current.Store(now)
	select {
	case n.live.changed <- struct{}{}:
	default:
	}
	for i, v := range now.values {
		started := n.started.values[i] // the same flags in the same order
		switch {
		case v.Live && v.Value != old.values[i].Value:
			n.logger.Info("changed by the reload", "flag", v.Name, "from", old.values[i].Value, "to", v.Value)
		case !v.Live && v.Value != started.Value:
			n.logger.Warn("takes a restart", "flag", v.Name, "now", started.Value, "then", v.Value, "origin", v.Origin)
		}
	}
	return nil
}

// reloadKey reads the key file again: a new key is put beside the one in use before the cluster changes to it.
func (n *node) reloadKey(context.Context, *settledConfig, *settledConfig) error {
	if n.keys == nil {
		return nil
	}
	if r := n.keys.report(); r.Problem != "" {
		return errors.New(r.Problem)
	}
	return nil
}

// followSettings keeps log and memory as the cluster is set to, else as this node's own configuration says.
func (n *node) followSettings(ctx context.Context) {
	for {
		changed := n.machine.Changed()
		own := n.live.current.Load()
		var level, memory string
		n.machine.Read(func(s *fsm.State) { level, memory = s.Setting(api.LogLevel), s.Setting(api.Memory) })
		n.level.Set(levelOf(level, own.logLevel))
		if size := sizeOf(memory, own.memory); size != n.mover.Memory.Total() {
			n.logger.Info("memory for buffers changed", "from", n.mover.Memory.Total(), "to", size)
			n.mover.Memory.Resize(size)
		}
		select {
		case <-changed:
		case <-n.live.changed:
		case <-ctx.Done():
			return
		}
	}
}

// levelOf is the level that a setting names, else the node's own.
func levelOf(setting string, own slog.Level) slog.Level {
	level := own
	if setting == "" || level.UnmarshalText([]byte(setting)) != nil {
		return own
	}
	return level
}

// sizeOf is the size that a setting names, else the node's own.
func sizeOf(setting string, own int64) int64 {
	n, err := conf.ParseSize(setting)
	if err != nil || n < minMemory || n > maxMemory {
		return own
	}
	return n
}
