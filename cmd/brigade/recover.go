package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
)

func newRaft(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "raft", Short: "Repair a cluster's consensus", Example: "  brigade raft recover", Args: knownCommand,
		Long: `What is here is for clusters that lost more than half of their voters for good. All else a cluster repairs by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newRaftRecover(a))
	return cmd
}

func newRaftRecover(a *app) *cobra.Command {
	var data string
	var keep []string
	var yes bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make the nodes that are left the whole cluster, after more than half of the voters are lost for good",
		Long: `Recover makes this machine's node, which must not run, the only member of its cluster, with the state that it has. What the
lost nodes had decided and this one had not heard of is gone: choose the node with the newest state. The other nodes that
are left start with empty data directories and --join this one. To keep several nodes, name all their IDs with --keep, and
run the same command on each of them.

A cluster that lost half of its voters or fewer repairs itself. Nodes that are only away are better waited for: coming
back after a recovery, they would be of another cluster.`,
		Example: `  brigade raft recover
  brigade raft recover --data /srv/brigade --yes`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dataDir(data)
			if err != nil {
				return err
			}
			if !yes && (!a.interactive() || !a.confirm("Forget the lost nodes, and what only they knew, for good?")) {
				return misuse(errors.New("recover is not undone; --yes says that it is meant"))
			}
			id, err := a.recoverRaft(cmd.Context(), dir, keep)
			if err != nil {
				return refused(err)
			}
			if wantsJSON(cmd) {
				return a.encode(map[string]string{"node": id})
			}
			_, err = fmt.Fprintf(a.out, "node %s is recovered; start it\n", id)
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory of this machine's node (or BRIGADE_DATA)")
	cmd.Flags().StringSliceVar(&keep, "keep", nil, "IDs of all nodes to keep (default: this one)")
	cmd.Flags().BoolVar(&yes, "yes", false, "never ask")
	return cmd
}

// recoverRaft rewrites who is in the cluster, in the state of a node that does not run.
func (a *app) recoverRaft(ctx context.Context, path string, keep []string) (id string, err error) {
	dir, err := cluster.OpenDir(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if len(keep) == 0 {
		keep = []string{dir.NodeID}
	}
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return dir.NodeID, cluster.Recover(ctx, dir, fsm.NewMachine(), keep, log)
}
