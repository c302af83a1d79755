package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// recordsAtOnce is how many records one page of a report has.
const recordsAtOnce = 5000

func newCtlReport(a *app, f *clientFlags) *cobra.Command {
	var lost bool
	cmd := &cobra.Command{
		Use:   "report JOB",
		Short: "Show what became of a job's objects, all nodes together",
		Long: `Report sums up the present pass of a job, or its last: objects by outcome, what was shown of the copied ones, what was left out
and why, and what failed. The records of all nodes are read for that; of a running job they are those that are settled so far.

With --json it prints the record of every object, one document a line, each object once with what became of it last, those that
only the destination has included, and then one line with the key totals. Records come in no certain order, those of failed objects last.

With --lost it lists the copied objects that lost some of what they had besides their bytes: a line for each loss, KEY TAB what and why.

Exit codes: 0 done; 1 some records cannot be read now, for the nodes that have them are away: it says how many.`,
		Example: `  brigade ctl report photos
  brigade ctl report photos --lost
  brigade ctl report photos --json | zstd > photos.jsonl.zst`,
		Args: jobIDs(1, 1), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				if lost {
					return a.reportLost(ctx, c, args[0], wantsJSON(cmd))
				}
				if wantsJSON(cmd) {
					return a.reportRecords(ctx, c, args[0])
				}
				return a.reportTotals(ctx, c, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&lost, "lost", false, "list the copied objects that lost some of what they had besides their bytes, and what")
	return cmd
}

// reportLost prints what copied objects lost, a line each: key TAB loss; with --json their records.
func (a *app) reportLost(ctx context.Context, c *api.Client, id string, asJSON bool) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	var missing lostRecords
	for from := ""; ; {
		page, err := c.Records(ctx, id, from, recordsAtOnce)
		if err != nil {
			return flushed(out, err)
		}
		for _, line := range page.Records {
			if !bytes.Contains(line, []byte(markLost)) {
				continue
			}
			if err := writeLost(out, line, asJSON); err != nil {
				return flushed(out, err)
			}
		}
		missing.add(page.Missing)
		if from = page.Continue; from == "" {
			return flushed(out, missing.err())
		}
	}
}

// writeLost prints the losses of one record.
func writeLost(out io.Writer, line []byte, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(out, "%s\n", line)
		return err
	}
	r, err := decodeRecord(line)
	if err != nil {
		return err
	}
	return lossLines(out, r)
}

// totalsLine ends a report in JSON lines. Records counts the lines before it.
type totalsLine struct {
	Totals  *api.Totals `json:"totals"`
	Records int64       `json:"records"`
}

// reportRecords prints the record of every object, then the totals.
func (a *app) reportRecords(ctx context.Context, c *api.Client, id string) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	var missing lostRecords
	lines := int64(0)
	for from := ""; ; {
		page, err := c.Records(ctx, id, from, recordsAtOnce)
		if err != nil {
			return flushed(out, err)
		}
		for _, r := range page.Records {
			if _, err := fmt.Fprintf(out, "%s\n", r); err != nil {
				return err
			}
		}
		lines += int64(len(page.Records))
		missing.add(page.Missing)
		if from = page.Continue; from == "" {
			break
		}
	}
	t, err := totalsOf(ctx, c, id)
	if err != nil {
		return flushed(out, err)
	}
	if t.Missing = nil; missing.Records > 0 {
		t.Missing = &missing.Missing
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := flushed(out, enc.Encode(totalsLine{t, lines})); err != nil {
		return err
	}
	return missing.err()
}

// totalsOf sums up the records of a job.
func totalsOf(ctx context.Context, c *api.Client, id string) (*api.Totals, error) {
	sum := newEvidence()
	var missing lostRecords
	for from := ""; ; {
		page, err := c.Totals(ctx, id, from)
		if err != nil {
			return nil, err
		}
		sum.plus(&page.Evidence)
		missing.add(page.Missing)
		if from = page.Continue; from != "" {
			continue
		}
		page.Evidence = sum.Evidence
		if missing.Records > 0 {
			page.Missing = &missing.Missing
		}
		return page, nil
	}
}

// reportTotals prints the report as text.
func (a *app) reportTotals(ctx context.Context, c *api.Client, id string) error {
	t, err := totalsOf(ctx, c, id)
	if err != nil {
		return err
	}
	failed := failureCollector{byClass: map[string]*failureGroup{}}
	missing, err := eachError(ctx, c, id, func(e *api.KeyError) error {
		failed.add(*e)
		return nil
	})
	if err != nil {
		return err
	}
	r := &report{
		job: settledJob(t), run: wholePass(&t.Job), span: "the pass", failures: failed.sum(), evidence: &evidence{Evidence: t.Evidence},
		hashedBefore: t.HashedBefore, colored: a.colored(), records: "brigade ctl report " + id + " --json",
		lostBy: "brigade ctl report " + id + " --lost",
		files:  failureFiles{records: "brigade ctl errors " + id, list: "brigade ctl errors " + id + " --list"},
	}
	if err := r.write(a.out); err != nil {
		return err
	}
	missing.add(t.Missing)
	return missing.err()
}

// settledJob is as much of a job as a report has to know.
func settledJob(t *api.Totals) *fsm.Job {
	o, b := t.Job.Objects, t.Job.Bytes
	return &fsm.Job{
		ID: t.Job.ID, Type: t.Type, State: t.Job.State, Reason: t.Job.Reason, Pass: t.Job.Pass, Classes: t.Classes,
		TasksDone: t.Job.Tasks.Done, TasksLost: t.Job.Tasks.Failed,
		Counts: fsm.Counts{
			Listed: o.Listed, Copied: o.Copied, Skipped: o.Skipped, Filtered: o.Filtered, Vanished: o.Vanished, Changed: o.Changed,
			Failed: o.Failed, Recovered: o.Recovered, Verified: o.Verified, Extra: o.Extra, Deleted: o.Deleted,
			Lossy:       o.Lossy,
			BytesListed: b.Listed, BytesFound: b.Found, BytesCopied: b.Copied, BytesSkipped: b.Skipped, BytesMoved: b.Moved,
		},
	}
}

// wholePass is what a pass did so far, as if it were one run.
func wholePass(job *api.Job) runStats {
	if job.StartedAt == nil {
		return runStats{}
	}
	end := time.Now()
	if job.FinishedAt != nil {
		end = *job.FinishedAt
	}
	return runStats{elapsed: end.Sub(*job.StartedAt), bytes: job.Bytes.Moved, objects: job.Objects.Found}
}
