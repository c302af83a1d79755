package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bucketbrigade/brigade/api"
)

func newNode(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node of a cluster, or take one out",
		Long: `A node holds a copy of the cluster's decisions and does work. Start runs one; the other commands ask the node that runs on this
machine, which they find by its data directory (--data, BRIGADE_DATA), or another one (--addr).`,
		Example: `  brigade node start                              # alone, on loopback
  brigade keygen cluster.key                      # for several: once, then copied to each machine
  brigade node start --cluster-key-file cluster.key --bootstrap-expect 3 --join 10.0.0.1,10.0.0.2,10.0.0.3
  brigade ctl status --machine                    # on any of them
  brigade node drain && brigade node leave        # on the one that goes`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newNodeStart(a),
		newNodeVerb(a, "drain", "Give this machine's node no more work; what it has goes to others",
			`Drain has the node give its work back and take no more, until undrain. It stays a member, votes, and answers. Wait until
brigade ctl status --machine shows it as draining and busy with 0 tasks, before work on the machine.`,
			"  brigade node drain && brigade ctl status --machine",
			func(ctx context.Context, c *api.Client) (string, error) { return drainSelf(ctx, c, true) }),
		newNodeVerb(a, "undrain", "Let this machine's node have work again",
			`Undrain ends what drain began: the node is given work again within seconds.`, "  brigade node undrain",
			func(ctx context.Context, c *api.Client) (string, error) { return drainSelf(ctx, c, false) }),
		newNodeVerb(a, "leave", "Take this machine's node out of the cluster, and stop it",
			`Leave has the node give its work back, takes it out of the cluster for good, and ends it. Its data directory is of no use
then: a node that is to come back starts with an empty one. The only node of a cluster cannot leave it.`, "  brigade node leave",
			func(ctx context.Context, c *api.Client) (string, error) {
				return "the node leaves the cluster", c.Leave(ctx)
			}),
		newNodeVerb(a, "stop", "Stop this machine's node; it stays a member of the cluster",
			`Stop has the node give its work back and end, as SIGTERM does. It stays a member, and goes on where it was when it is started
again. The command returns at once; the process ends within --stop-timeout of its own.`, "  brigade node stop",
			func(ctx context.Context, c *api.Client) (string, error) { return "the node stops", c.Stop(ctx) }))
	return cmd
}

func newNodeStart(a *app) *cobra.Command {
	var config string
	var show bool
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node in the foreground",
		Long: `Start runs a node until it is told to stop, and logs to stderr or to --log-file. The same command line serves its first start and every
later one. Alone it is a cluster of one; with --join it joins others, which takes a cluster key that all of them share.

Each flag is a key of the file that --config names (data: /srv/brigade), and a variable (BRIGADE_DATA). The command line wins
over the environment, and that over the file. --print-config shows what holds and where it comes from, and ends.

SIGTERM and SIGINT stop the node in order, within --stop-timeout: it gives its work back and stays a member. A second one stops
it at once. SIGHUP has it open the log file anew and read file and environment again; --log-level, --memory and --stop-timeout
change at once, of what else changed the log says that it takes a restart. Run by systemd, the node tells it when it is ready,
and that it is alive.

Exit codes: 0 stopped in order, 1 the machine refuses or the stop took too long, 2 wrong usage, 130 stopped at once.`,
		Example: `  brigade node start
  brigade node start --data /srv/brigade --cluster-key-file /etc/brigade/cluster.key --bootstrap-expect 3 --join a,b,c
  brigade node start --config /etc/brigade/node.yaml
  brigade node start --config /etc/brigade/node.yaml --print-config`,
		Args: argCount(0, 0),
	}
	(&nodeFlags{}).register(cmd.Flags())
	completeFlag(cmd, "log-level", oneOf("debug", "info", "warn", "error"))
	completeFlag(cmd, "log-format", oneOf(logText, logJSON))
	completeFlag(cmd, "http-tls", oneOf(tlsAuto, tlsAlways))
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.AddFlagSet(cmd.Flags())
	cmd.Flags().StringVar(&config, "config", "", "YAML file with values of these flags")
	cmd.Flags().BoolVar(&show, "print-config", false, "show the configuration that holds, with the origin of each value, and end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		source := nodeSource{app: a, config: config, given: map[string]string{}}
		own.VisitAll(func(flag *pflag.Flag) {
			if flag.Changed {
				source.given[flag.Name] = flag.Value.String()
			}
		})
		cfg, err := source.load()
		switch {
		case err != nil:
			return err
		case show:
			return cfg.print(a.out, wantsJSON(cmd))
		}
		return a.runNode(cmd.Context(), source, cfg)
	}
	return cmd
}

// newNodeVerb makes a command that asks the local node for something.
func newNodeVerb(a *app, name, short, long, example string, do func(context.Context, *api.Client) (string, error)) *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Example: example,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				said, err := do(ctx, c)
				if err != nil {
					return err
				}
				if wantsJSON(cmd) {
					return json.NewEncoder(a.out).Encode(map[string]string{"done": name})
				}
				_, err = fmt.Fprintln(a.out, said)
				return err
			})
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// drainSelf sets whether the node that answers gets work.
func drainSelf(ctx context.Context, c *api.Client, on bool) (string, error) {
	self, err := c.Self(ctx)
	if err != nil {
		return "", err
	}
	if _, err := c.Drain(ctx, self.ID, on); err != nil {
		return "", err
	}
	if on {
		return fmt.Sprintf("node %s gets no more work", self.ID), nil
	}
	return fmt.Sprintf("node %s gets work again", self.ID), nil
}
