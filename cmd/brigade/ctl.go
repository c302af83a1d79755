package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

func newCtl(a *app) *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "ctl",
		Short: "Add, watch and steer the jobs of a cluster",
		Long: `Ctl talks to a node: the one on this machine unless --addr or BRIGADE_ADDR names another. Every node answers alike.

Exit codes: 0 done, 1 refused, 2 wrong usage or a wrong job file, 130 interrupted.`,
		Example: `  brigade ctl add photos.yaml
  brigade ctl status --watch
  brigade ctl status --watch --jobID photos
  brigade ctl pause photos`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	f.register(cmd.PersistentFlags())
	cmd.AddCommand(newCtlAdd(a, f), newCtlStatus(a, f), newCtlErrors(a, f), newCtlLook(a, f), newCtlSet(a, f), newCtlRetry(a, f),
		newCtlReport(a, f), newCtlWhy(a, f), newCtlRemove(a, f), newCtlPause(a, f), newCtlToken(a, f), newCtlKey(a, f), newCtlCA(a, f), newCtlHistory(a, f),
		newCtlRedo(a, f), newCtlEdit(a, f), newCtlMail(a, f), newCtlWebhook(a, f),
		newCtlVerb(a, f, "continue", "Let paused jobs go on where they stopped",
			`Continue lets jobs go on that are paused, by hand or by a rule. The sides are looked at again first: where what the job was paused
for is still so, it pauses again and says why (brigade ctl status --jobID JOB).`, (*api.Client).Continue))
	return cmd
}

// jobVerb asks a node for something about one job.
type jobVerb func(c *api.Client, ctx context.Context, id string) (*api.Job, error)

// newCtlVerb makes a command that takes IDs of jobs and prints where each stands then.
func newCtlVerb(a *app, f *clientFlags, name, short, long string, do jobVerb) *cobra.Command {
	return &cobra.Command{
		Use: name + " JOB...", Short: short, Long: long,
		Example: "  brigade ctl " + name + " photos",
		Args:    jobIDs(1, maxIDs), ValidArgsFunction: a.completeJobs(f, maxIDs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return each(ids, func(id string) error {
					job, err := do(c, ctx, id)
					if err != nil {
						return err
					}
					return a.printState(cmd, job)
				})
			})
		},
	}
}

// maxIDs bounds the jobs that one command line names.
const maxIDs = 1000

// each goes on after an error, and returns all of them.
func each(ids []string, do func(id string) error) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, do(id))
	}
	return errors.Join(errs...)
}

func (a *app) printState(cmd *cobra.Command, job *api.Job) error {
	if wantsJSON(cmd) {
		return a.encode(job)
	}
	_, err := fmt.Fprintf(a.out, "%s is %s\n", job.ID, job.State)
	return err
}

// encode prints one JSON document on a line.
func (a *app) encode(document any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(document)
}

func newCtlPause(a *app, f *clientFlags) *cobra.Command {
	var reason string
	cmd := newCtlVerb(a, f, "pause", "Stop jobs; they keep what they did", `Pause stops jobs that run or wait to run: within seconds nothing
is written any more. What was copied stays. Counts go back to what is settled, which is done every 30 seconds: what was copied
since is found again by brigade ctl continue, and counted as recovered.`, func(c *api.Client, ctx context.Context, id string) (*api.Job, error) {
		return c.Pause(ctx, id, reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "what status shows as the reason")
	return cmd
}

func newCtlRedo(a *app, f *clientFlags) *cobra.Command {
	var paused bool
	cmd := newCtlVerb(a, f, "redo", "Start jobs afresh that are finished, paused or canceled",
		`Redo starts jobs from nothing: no pass, no sums, no list of failures. What stands at the destination is found there and skipped.
Uploads that the jobs left unfinished are aborted. With --paused a job waits, so that its source, destination or type can be
edited before it is continued. To run only what failed, retry is enough.`, func(c *api.Client, ctx context.Context, id string) (*api.Job, error) {
			return c.Redo(ctx, id, paused)
		})
	cmd.Example = "  brigade ctl redo photos\n  brigade ctl redo photos --paused && brigade ctl edit photos && brigade ctl continue photos"
	cmd.Flags().BoolVar(&paused, "paused", false, "begin only when the job is continued")
	return cmd
}

func newCtlRemove(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rm JOB...", Aliases: []string{"clean"},
		Short: "Forget jobs that are not running; no object is deleted",
		Long: `Rm forgets jobs and aborts the uploads that they left unfinished. Objects at the destination stay. A running job is paused
first: brigade ctl pause JOB.`,
		Example: "  brigade ctl rm photos",
		Args:    jobIDs(1, maxIDs), ValidArgsFunction: a.completeJobs(f, maxIDs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return each(ids, func(id string) error {
					done, err := c.Remove(ctx, id)
					if err != nil {
						return err
					}
					if wantsJSON(cmd) {
						return a.encode(done)
					}
					if done.Warning != "" {
						fmt.Fprintln(a.err, printable(done.Warning))
					}
					_, err = fmt.Fprintf(a.out, "%s is removed\n", id)
					return err
				})
			})
		},
	}
}

func newCtlRetry(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "retry [JOB...]",
		Short: "Run the failed objects of jobs again; of every job with failures if none is named",
		Long: `Retry runs the objects again that a job failed to copy, and nothing else. A job that failed for reasons that may pass is retried
after 1, 5 and 15 minutes anyway; retry does it at once and starts that count again.`,
		Example: "  brigade ctl retry photos\n  brigade ctl retry",
		Args:    jobIDs(0, maxIDs), ValidArgsFunction: a.completeJobs(f, maxIDs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				if len(ids) == 0 {
					var err error
					if ids, err = failedJobs(ctx, c); err != nil {
						return err
					}
				}
				if len(ids) == 0 && !wantsJSON(cmd) {
					_, err := io.WriteString(a.out, "no job has failures\n")
					return err
				}
				return each(ids, func(id string) error {
					job, err := c.Retry(ctx, id)
					if err != nil {
						return err
					}
					return a.printState(cmd, job)
				})
			})
		},
	}
}

func failedJobs(ctx context.Context, c *api.Client) (ids []string, err error) {
	list, err := c.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, job := range list.Jobs {
		if job.State == fsm.Failed {
			ids = append(ids, job.ID)
		}
	}
	return ids, nil
}
