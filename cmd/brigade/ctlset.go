package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
)

func newCtlSet(a *app, f *clientFlags) *cobra.Command {
	own := map[string]*string{api.MaxJobs: new(string), api.MaxTasks: new(string)}
	cmd := &cobra.Command{
		Use:   "set [KEY=VALUE...]",
		Short: "Change settings of the cluster while it runs; without any, list them",
		Long: `Set changes settings on all nodes at once. An empty value (KEY=) takes a setting back to its default. Without any it lists the
settings with their values, where these come from, and what they mean. To change them takes the role admin.`,
		Example: `  brigade ctl set
  brigade ctl set max-worker-num=16 log.level=debug
  brigade ctl set --max-master-num 2`,
		Args: argCount(0, maxIDs), ValidArgsFunction: a.completeSettings(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := map[string]string{}
			for _, arg := range args {
				key, value, ok := strings.Cut(arg, "=")
				if !ok || key == "" {
					return misuse(fmt.Errorf("%q is not KEY=VALUE; see %s --help", arg, cmd.CommandPath()))
				}
				change[key] = value
			}
			for key, value := range own {
				if cmd.Flag(key).Changed {
					change[key] = *value
				}
			}
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.set(ctx, cmd, c, change)
			})
		},
	}
	cmd.Flags().StringVar(own[api.MaxJobs], api.MaxJobs, "", "jobs that run at once")
	cmd.Flags().StringVar(own[api.MaxTasks], api.MaxTasks, "", "tasks that run at once on a node")
	return cmd
}

// set changes settings, if any, and prints what holds then.
func (a *app) set(ctx context.Context, cmd *cobra.Command, c *api.Client, change map[string]string) (err error) {
	var list *api.SettingList
	if len(change) == 0 {
		list, err = c.Settings(ctx)
	} else {
		list, err = c.Set(ctx, change)
	}
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(list)
	}
	g := grid{header: []string{"setting", "value", "origin", "meaning"}, give: []int{2, 4}, words: []int{4}}
	for _, s := range list.Settings {
		g.add(s.Name, printable(s.Value), s.Origin, s.Meaning)
	}
	_, err = fmt.Fprintln(a.out, g.String())
	return err
}
