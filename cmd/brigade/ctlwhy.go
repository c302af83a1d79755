package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

func newCtlWhy(a *app, f *clientFlags) *cobra.Command {
	var inBase64 string
	cmd := &cobra.Command{
		Use:   "why JOB KEY",
		Short: "Tell everything known of one object: what became of it, when, where, with which checksums",
		Long: `Why looks for a key in the records of all nodes, and in the tasks that are not over. It tells what became of the object in the
present pass of the job, or in its last: every attempt that is recorded, node, times, checksums and errors; of an object that is
not settled which task has it, and which node. Of a key that is not known it tells whether the listing has yet to come to it.

KEY is the key as in errors and report, relative to the source. One that is not text is given with --key-base64, or as in key
lists: \b64: and the bytes in base64.

Exit codes: 0 answered, also where the source does not have the key; 1 the records that may have it cannot be read now.`,
		Example: `  brigade ctl why photos 2019/a.jpg
  brigade ctl why photos --key-base64 Y2Fm6S5qcGc=`,
		Args: argCount(1, 2), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkID(args[0]); err != nil {
				return err
			}
			key, err := keyArgument(args[1:], inBase64)
			if err != nil {
				return misuse(err)
			}
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.why(ctx, cmd, c, args[0], key)
			})
		},
	}
	cmd.Flags().StringVar(&inBase64, "key-base64", "", "the key's bytes in base64, instead of KEY")
	return cmd
}

// keyArgument reads the key, which comes in one of two ways.
func keyArgument(args []string, inBase64 string) (string, error) {
	switch {
	case len(args) == 0 && inBase64 == "":
		return "", errors.New("why: a key is wanted: brigade ctl why JOB KEY, or --key-base64")
	case len(args) == 1 && inBase64 != "":
		return "", errors.New("why: KEY and --key-base64 do not go together")
	case len(args) == 1:
		key, err := transfer.DecodeKey(args[0])
		if err == nil && key == "" {
			err = errors.New("why: the key is empty")
		}
		return key, err
	}
	raw, err := base64.StdEncoding.DecodeString(inBase64)
	if err != nil || len(raw) == 0 {
		return "", fmt.Errorf("flag --key-base64: %q is not the base64 of a key", inBase64)
	}
	return string(raw), nil
}

// why prints all that is known of a key.
func (a *app) why(ctx context.Context, cmd *cobra.Command, c *api.Client, id, key string) error {
	t, err := c.Trace(ctx, id, key)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		err = a.encode(t)
	} else {
		err = a.printTrace(t)
	}
	if err != nil || t.Standing != api.Unknown {
		return err
	}
	var missing lostRecords
	missing.add(t.Missing)
	return missing.err()
}

func (a *app) printTrace(t *api.Trace) error {
	p := &printer{w: a.out}
	row := func(name, format string, args ...any) {
		p.line("%-10s %s", name, fmt.Sprintf(format, args...))
	}
	row("key", "%s", printable(t.Exact()))
	row("job", "%s is %s, pass %d%s", t.Job, t.State, t.Pass, passTimes(t))
	row("standing", "%s: %s", t.Standing, printable(t.Explanation))
	if t.Task != nil {
		taskRows(row, t.Task)
	}
	for i, raw := range t.Records {
		var r transfer.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		p.line("")
		row("record", "%d of %d: %s", i+1, len(t.Records), r.Outcome)
		recordRows(row, &r)
	}
	if m := (lostRecords{}); t.Missing != nil && t.Standing != api.Unknown {
		m.add(t.Missing)
		p.line("\n%s: there may be more to tell", &m)
	}
	if t.Stale {
		p.line("\nno leader is known: this may be old")
	}
	return p.err
}

// passTimes says when the pass ran.
func passTimes(t *api.Trace) (text string) {
	if t.StartedAt != nil {
		text = ", " + t.StartedAt.Format(time.DateTime)
	}
	if t.FinishedAt != nil {
		text += " to " + t.FinishedAt.Format(time.DateTime)
	}
	if text != "" {
		text += " UTC"
	}
	return text
}

func taskRows(row func(name, format string, args ...any), t *api.KeyTask) {
	node := "no node yet"
	if t.Node != "" {
		node = "node " + t.Node
	}
	row("task", "%d, %s, %s, %s", t.ID, t.Kind, node, count(int64(t.Attempt), "failed attempt", "failed attempts"))
	if t.Kind != fsm.ListTask {
		row("range", "from %s to %s", boundText(t.From, t.FromBase64, "the start"), boundText(t.To, t.ToBase64, "the end"))
	}
	if u := t.Upload; u != nil {
		row("upload", "%s, parts of %s, planned %s", printable(u.ID), bytesOf(u.PartSize), u.PlannedAt.Format(time.RFC3339))
	}
	if len(t.Helpers) > 0 {
		row("helpers", "%s", strings.Join(t.Helpers, " "))
	}
}

// boundText words a bound, which ends in a zero byte where it lies just behind a key.
func boundText(text string, raw []byte, none string) string {
	if raw != nil {
		text = string(raw)
	}
	if text == "" {
		return none
	}
	if key, ok := strings.CutSuffix(text, "\x00"); ok {
		return "behind " + printable(key)
	}
	return printable(text)
}

func recordRows(row func(name, format string, args ...any), r *transfer.Record) {
	if r.Reason != "" || r.Class != "" {
		row("reason", "%s", printable(strings.TrimPrefix(r.Class+": "+r.Reason, ": ")))
	}
	row("at", "%s, task %d, epoch %d", r.At.Format("2006-01-02T15:04:05.000Z07:00"), r.Task, r.Epoch)
	row("node", "%s", r.Node)
	size := humanize.Comma(r.Size) + " bytes"
	if !r.ModTime.IsZero() {
		size += ", modified " + r.ModTime.Format(time.RFC3339Nano)
	}
	row("source", "%s", size)
	for _, f := range []struct{ name, text string }{{"version", r.Version}, {"etag", r.ETag}, {"how", r.How}} {
		if f.text != "" {
			row(f.name, "%s", printable(f.text))
		}
	}
	for i, line := range r.Lost {
		name := ""
		if i == 0 {
			name = "lost"
		}
		row(name, "%s", printable(line))
	}
	if r.Attempts > 0 {
		row("attempts", "%d", r.Attempts)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sums)) {
		row(name, "%s", r.Sums[name])
	}
	var shown []string
	for _, s := range []struct {
		is   bool
		what string
	}{
		{r.Source != "", "bytes read match the source's " + r.Source}, {r.Sent != "", "the destination's " + r.Sent + " matches what was sent"},
		{r.Listed, "found in the destination's listing afterwards"}, {r.Recovered, "written by an interrupted run of this pass"},
	} {
		if s.is {
			shown = append(shown, s.what)
		}
	}
	for i, what := range shown {
		name := ""
		if i == 0 {
			name = "shown"
		}
		row(name, "%s", what)
	}
}
