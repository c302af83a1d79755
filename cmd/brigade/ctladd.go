package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

func newCtlAdd(a *app, f *clientFlags) *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use: "add JOBFILE...", Aliases: []string{"submit"},
		Short: "Add jobs to the cluster; they start at once",
		Long: `Add reads job files and hands the jobs to the cluster. References to secrets (env:NAME, file:PATH) are resolved here;
the cluster keeps credentials encrypted. Paths of file stores must be there on the nodes that are to do the work.`,
		Example: `  brigade ctl add photos.yaml
  brigade ctl add photos.yaml --set id=photos-again --set compare=size`,
		Args: argCount(1, maxIDs),
		RunE: func(cmd *cobra.Command, files []string) error {
			var descriptions [][]byte
			for _, file := range files {
				text, err := a.descriptionIn(file, set)
				if err != nil {
					return err
				}
				descriptions = append(descriptions, text)
			}
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				for _, text := range descriptions {
					if err := a.add(ctx, cmd, c, text); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "any key of a job file, as key=value; may be repeated")
	completeFlag(cmd, "set", completeJobKeys)
	return cmd
}

// add submits one job.
func (a *app) add(ctx context.Context, cmd *cobra.Command, c *api.Client, text []byte) error {
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	id, err := c.Submit(ctx, text, nonce)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(api.Created{ID: id})
	}
	_, err = fmt.Fprintf(a.out, "%s is added\n", id)
	return err
}

// descriptionIn makes what a node understands of a job file: secrets resolved, paths absolute.
func (a *app) descriptionIn(file string, set []string) ([]byte, error) {
	job, err := conf.ReadFile(file)
	if err != nil {
		return nil, misuse(err)
	}
	for _, assignment := range set {
		if err := job.Assign(assignment); err != nil {
			return nil, misuse(err)
		}
	}
	if err := job.Validate(); err != nil {
		return nil, misuse(err)
	}
	ends, err := a.locate(job)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(describeForNode(job, ends))
	if err != nil {
		return nil, refused(fmt.Errorf("encode job: %w", err))
	}
	return text, nil
}
