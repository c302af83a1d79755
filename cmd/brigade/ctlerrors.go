package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/transfer"
)

const errorsAtOnce = 1000

func newCtlErrors(a *app, f *clientFlags) *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "errors JOB",
		Short: "List the objects that failed, with reasons",
		Long: `Errors lists what failed in the present pass of a job, or in its last, and did not succeed since: class, key and reason, a
line each; with --json a document each. Ranges of keys that were given up as a whole come last.

With --list it prints the keys alone, one a line, as a key list that a job can take. A range that was given up is no key: it is
left out there, and said so.

Exit codes: 0 all are listed, none included; 1 some cannot be read now, for the nodes that have them are away: it says how many.`,
		Example: `  brigade ctl errors photos
  brigade ctl errors photos --json | jq -r .reason | sort | uniq -c
  brigade ctl errors photos --list > failed.keys`,
		Args: jobIDs(1, 1), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.listErrors(ctx, c, args[0], wantsJSON(cmd), list)
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "print keys only, as a key list that a job can take")
	return cmd
}

// listErrors prints failed keys as they come.
func (a *app) listErrors(ctx context.Context, c *api.Client, id string, asJSON, list bool) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	failed, ranges := int64(0), int64(0)
	missing, err := eachError(ctx, c, id, func(e *api.KeyError) (err error) {
		failed++
		switch {
		case list && e.GivenUp:
			ranges++
		case asJSON:
			err = enc.Encode(e)
		case list:
			_, err = fmt.Fprintln(out, transfer.EncodeKey(e.Exact()))
		default:
			_, err = fmt.Fprintf(out, "%s  %s  %s\n", e.Class, printable(e.Exact()), printable(e.Reason))
		}
		return err
	})
	if err = flushed(out, err); err != nil {
		return err
	}
	switch {
	case failed+missing.Records == 0 && !asJSON:
		_, err = fmt.Fprintf(a.err, "nothing failed in job %s\n", id)
	case ranges > 0:
		_, err = fmt.Fprintf(a.err, "left out of this list: %s given up as a whole; brigade ctl retry %s works on that again\n",
			count(ranges, "range of keys", "ranges of keys"), id)
	}
	return errors.Join(err, missing.err())
}

// flushed writes out what is buffered, and returns the first error.
func flushed(out *bufio.Writer, err error) error {
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// eachError visits all failed keys of a job, page by page.
func eachError(ctx context.Context, c *api.Client, id string, visit func(*api.KeyError) error) (missing lostRecords, err error) {
	for from := ""; ; {
		page, err := c.Errors(ctx, id, from, errorsAtOnce)
		if err != nil {
			return missing, err
		}
		for i := range page.Errors {
			if err := visit(&page.Errors[i]); err != nil {
				return missing, err
			}
		}
		missing.add(page.Missing)
		if from = page.Continue; from == "" {
			return missing, nil
		}
	}
}

// lostRecords are the records that pages could not read.
type lostRecords struct{ api.Missing }

func (l *lostRecords) add(m *api.Missing) {
	if m == nil {
		return
	}
	l.Records += m.Records
	l.Nodes = m.Nodes
}

// String says how many there are and who may have them: "12 records missing (node 0123456789ab)".
func (l *lostRecords) String() string {
	who := "no node has them"
	if len(l.Nodes) > 0 {
		ids := make([]string, len(l.Nodes))
		for i, id := range l.Nodes {
			ids[i] = shortID(id)
		}
		if who = "node "; len(ids) > 1 {
			who = "nodes "
		}
		who += strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s missing (%s)", count(l.Records, "record", "records"), who)
}

// err makes an answer that is not whole a failure; nil where it is.
func (l *lostRecords) err() error {
	if l.Records == 0 {
		return nil
	}
	hint := ""
	if len(l.Nodes) > 0 {
		hint = "; ask again when the nodes that are away are back"
	}
	return refused(fmt.Errorf("this is not all: %s%s", l, hint))
}
