package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
)

func newCtlHistory(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "Show who did what, when and from where",
		Long: `History lists what was changed by operators, the oldest first: the time, the name of the token (local is the one in a node's
data directory), the address it came from, and what was done to what. The cluster keeps the last 1,000 changes. It takes the
role operator. With --json there is one document per change, with the node that took it and the ID of the request.`,
		Example: `  brigade ctl history
  brigade ctl history --json | tail -1`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.history(ctx, cmd, c)
			})
		},
	}
}

func (a *app) history(ctx context.Context, cmd *cobra.Command, c *api.Client) error {
	h, err := c.History(ctx)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		for i := range h.Events {
			if err := a.encode(&h.Events[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(h.Events) == 0 {
		_, err := fmt.Fprintln(a.out, "nothing was changed yet")
		return err
	}
	out := historyTable(h.Events)
	if h.Stale {
		out += "\n\nno leader is known: this may be old"
	}
	_, err = fmt.Fprintln(a.out, out)
	return err
}

func historyTable(events []api.Event) string {
	g := grid{header: []string{"time", "who", "from", "did", "to"}, give: []int{2, 3, 4, 5}}
	for i := range events {
		e := &events[i]
		g.add(e.At.Format(time.RFC3339), printable(e.Actor), printable(e.From), printable(e.Verb), printable(e.Target))
	}
	return g.String()
}
