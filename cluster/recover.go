package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
)

// ErrNoState is what Recover fails with where there is nothing to recover from.
var ErrNoState = errors.New("there is no state in this data directory")

// Recover makes the nodes in keep, this one among them, the whole cluster, after more than half of the voters are lost for
// good. The node must not run, and each node in keep needs it with the same list. Entries that were never known to be
// committed are applied, so that what the nodes kept can differ: the one with the newest state is to be kept, the others
// are better started with empty directories. sm is thrown away.
func Recover(ctx context.Context, dir *Dir, sm StateMachine, keep []string, log *slog.Logger) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if !slices.Contains(keep, dir.NodeID) {
		return fmt.Errorf("recover: this node, %s, is not among those to keep", dir.NodeID)
	}
	conf, err := raftConfig(Config{NodeID: dir.NodeID, Logger: log})
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := makeDir(dir.Raft()); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	store, err := openLog(filepath.Join(dir.Raft(), "raft.db"))
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	defer func() {
		if err = errors.Join(err, store.Close()); err != nil {
			err = fmt.Errorf("recover: %w", err)
		}
	}()
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir.Raft(), snapshotsKept, conf.Logger)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	exists, err := raft.HasExistingState(store, store, snapshots)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if !exists {
		return ErrNoState
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(dir.NodeID))
	return raft.RecoverCluster(conf, machine{sm}, store, store, snapshots, transport, survivors(keep))
}

// survivors lets all vote, whatever their number, so that the one with the newest state wins; the plan sees to the rest.
func survivors(keep []string) (c raft.Configuration) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(keep))) {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id), Suffrage: raft.Voter})
	}
	return c
}
