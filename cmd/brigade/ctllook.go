package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

func newCtlLook(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "look JOB",
		Short:   "Show a job's configuration, secrets masked",
		Example: "  brigade ctl look photos",
		Args:    argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				spec, err := c.Spec(ctx, args[0])
				if err != nil {
					return err
				}
				if wantsJSON(cmd) {
					return a.encode(spec)
				}
				text, err := conf.FromJSON(spec)
				if err != nil {
					return fmt.Errorf("show job as YAML: %w", err)
				}
				_, err = a.out.Write(text)
				return err
			})
		},
	}
}
