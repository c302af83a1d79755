package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// statusFlags are the flags of ctl status.
type statusFlags struct {
	jobs, machines, watch bool
	mail                  bool
	history               bool // how fast a job went is shown too
	id, ip                string
}

const shownErrors = 10

func newCtlStatus(a *app, f *clientFlags) *cobra.Command {
	s := &statusFlags{}
	cmd := &cobra.Command{
		Use: "status", Aliases: []string{"stat"},
		Short: "Show jobs, one job, or machines",
		Long: `Status shows the jobs, one a line; with --jobID one job in full and how fast it went, with --machine the nodes, with --ip one
node and its tasks; with --mail how people are told of what happens, what waits to be told, and what went wrong with it last.

--watch shows it again and again until interrupted: on a terminal in place every two seconds, elsewhere a line every ten seconds,
with --json a document a line. With --jobID it ends by itself when the job does, or pauses, with the exit code that import would
have: 0 done, 1 paused or canceled, 3 some objects failed, 4 differences found. A job that will be retried by itself has not
ended. While no node answers it waits for half a minute.`,
		Example: `  brigade ctl status
  brigade ctl status --jobID photos
  brigade ctl status --machine
  brigade ctl status --ip 10.0.0.7
  brigade ctl status --mail
  brigade ctl status --watch
  brigade ctl add photos.yaml && brigade ctl status --watch --jobID photos`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flag("jobID").Changed {
				if err := checkID(s.id); err != nil {
					return err
				}
			}
			if s.id != "" && (s.machines || s.jobs || s.mail) {
				return misuse(errors.New("flag --jobID shows one job, and does not go with --job, --machine or --mail"))
			}
			if s.ip != "" && (s.id != "" || s.machines || s.jobs || s.mail) {
				return misuse(errors.New("flag --ip shows what one machine does, and does not go with --job, --jobID, --machine or --mail"))
			}
			s.history = !wantsJSON(cmd) && (!s.watch || a.terminals.out)
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				if !s.watch {
					return a.status(ctx, cmd, c, s)
				}
				return a.watch(ctx, cmd, c, s)
			})
		},
	}
	cmd.Flags().BoolVar(&s.jobs, "job", false, "show jobs (the default)")
	cmd.Flags().BoolVar(&s.machines, "machine", false, "show machines")
	cmd.Flags().BoolVar(&s.mail, "mail", false, "show how people are told, by mail and webhooks")
	cmd.Flags().StringVar(&s.id, "jobID", "", "show one job in full")
	cmd.Flags().StringVar(&s.ip, "ip", "", "show what the machine at this `ADDR` does")
	completeFlag(cmd, "jobID", a.completeJobFlag(f))
	completeFlag(cmd, "ip", a.completeMachines(f))
	cmd.Flags().BoolVar(&s.watch, "watch", false, "show it again every two seconds, until interrupted")
	return cmd
}

// status prints what is asked for once.
func (a *app) status(ctx context.Context, cmd *cobra.Command, c *api.Client, s *statusFlags) error {
	views, err := a.look(ctx, c, s)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		for _, v := range views {
			if err := a.encode(v.document); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = fmt.Fprintln(a.out, textOf(views))
	return err
}

// statusView is one answer of a node, as a document, in words, and in one line.
type statusView struct {
	document   any
	text, line string
	job        *api.Job // where one job is shown
}

// textOf joins views for reading.
func textOf(views []statusView) string {
	parts := make([]string, len(views))
	for i, v := range views {
		parts[i] = v.text
	}
	return strings.Join(parts, "\n\n")
}

// look asks for what is to be shown.
func (a *app) look(ctx context.Context, c *api.Client, s *statusFlags) (views []statusView, err error) {
	show := func(v statusView, f api.Freshness) {
		if f.Stale {
			v.text += "\nno leader is known: this may be old"
			v.line += " (no leader is known: this may be old)"
		}
		views = append(views, v)
	}
	if s.id != "" {
		job, err := c.Job(ctx, s.id)
		if err != nil {
			return nil, err
		}
		show(statusView{job, jobText(job, a.pastRates(ctx, c, s)...), jobLine(job), job}, job.Freshness)
	}
	if s.machines {
		machines, err := c.Machines(ctx)
		if err != nil {
			return nil, err
		}
		show(statusView{machines, machineTable(machines, a.painter()), machineLine(machines.Nodes), nil}, machines.Freshness)
	}
	if s.ip != "" {
		at, err := machinesAt(ctx, c, s.ip)
		if err != nil {
			return nil, err
		}
		show(statusView{at, machineText(at, a.painter()), machineLine(at.machines()), nil}, at.Freshness)
	}
	if s.mail {
		d, err := c.Notices(ctx)
		if err != nil {
			return nil, err
		}
		show(statusView{d, noticesText(d), noticesLine(d), nil}, d.Freshness)
	}
	if s.jobs || s.id == "" && s.ip == "" && !s.machines && !s.mail {
		list, err := c.Jobs(ctx)
		if err != nil {
			return nil, err
		}
		show(statusView{list, jobTable(list, a.painter()), jobsLine(list.Jobs), nil}, list.Freshness)
	}
	return views, nil
}

// pastRates draws how fast the job went; nothing where that is not wanted, or the node does not remember.
func (a *app) pastRates(ctx context.Context, c *api.Client, s *statusFlags) []string {
	if !s.history {
		return nil
	}
	rates, err := c.JobRates(ctx, s.id, time.Time{}, 0)
	if err != nil {
		return nil // the status itself is what was asked for
	}
	return historyText(rates, a.sparkLevels())
}

// painter colours a word that tells how something is; it gives the word back where there are no colours.
type painter func(word string) string

// painter is the painter for standard output.
func (a *app) painter() painter {
	if !a.colored() {
		return func(word string) string { return word }
	}
	return func(word string) string {
		state, _, _ := strings.Cut(word, ",")
		for _, c := range []struct {
			color  text.Color
			states []string
		}{
			{text.FgGreen, []string{string(fsm.Succeeded), string(fsm.Running), api.Alive}},
			{text.FgYellow, []string{string(fsm.Paused), api.Draining, api.Suspect}},
			{text.FgRed, []string{string(fsm.Failed), api.Dead}},
		} {
			if slices.Contains(c.states, state) {
				return c.color.EscapeSeq() + word + text.EscapeReset
			}
		}
		return word
	}
}

func jobTable(list *api.JobList, paint painter) string {
	if len(list.Jobs) == 0 {
		return "there are no jobs; brigade ctl add JOBFILE adds one"
	}
	g := grid{header: []string{"job", "state", "pass", "settled", "failed", "moved", "rate", "eta"}, right: []int{3, 4, 5, 6, 7, 8}, give: []int{1}}
	for i := range list.Jobs {
		j := &list.Jobs[i]
		g.add(j.ID, paint(string(j.State)), fmt.Sprint(j.Pass), settled(j), humanize.Comma(j.Objects.Failed), bytesOf(j.Bytes.Moved),
			bytesOf(int64(j.Rate.BytesPerSecond))+"/s", remaining(j))
	}
	return g.String()
}

// settled is the share of the objects that is done, of a total that may still grow.
func settled(j *api.Job) string {
	switch {
	case j.Pass == 0:
		return "-"
	case !j.ListingDone:
		return humanize.SIWithDigits(float64(j.Objects.Found), 1, "") + "…"
	case j.Objects.Listed == 0:
		return "100%"
	}
	return fmt.Sprintf("%d%%", min(100, j.Objects.Found*100/j.Objects.Listed))
}

func remaining(j *api.Job) string {
	if j.ETASeconds == nil {
		return "-"
	}
	return shortTime(time.Duration(*j.ETASeconds) * time.Second)
}

// shortTime gives a duration in at most six characters: 45s, 12m, 3h20m, 12d.
func shortTime(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func machineTable(m *api.Machines, paint painter) string {
	g := grid{header: []string{"node", "address", "state", "role", "busy", "rate", "version"}, right: []int{5, 6}, give: []int{2, 3, 7}, words: []int{3}}
	for _, n := range m.Nodes {
		g.add(shortID(n.ID), printable(n.Address), paint(machineState(n)), n.Role, fmt.Sprintf("%d/%d", n.Busy, n.Slots),
			bytesOf(int64(n.BytesPerSecond))+"/s", printable(n.Version))
	}
	return g.String()
}

// machineState is a machine's state and what keeps it from work.
func machineState(n api.Machine) string {
	if n.Disk == "" {
		return n.State
	}
	return n.State + ", disk " + printable(n.Disk)
}

// shortID is enough of a node's ID to tell it from others.
func shortID(id string) string {
	const enough = 12
	if len(id) > enough {
		return id[:enough]
	}
	return id
}

// jobText shows one job in full, with lines that draw how fast it went.
func jobText(j *api.Job, history ...string) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("job", "%s", j.ID)
	state := string(j.State)
	if j.Reason != "" {
		state += ": " + printable(j.Reason)
	}
	row("state", "%s", state)
	row("pass", "%d, %s settled", j.Pass, settled(j))
	n := humanize.Comma
	o := j.Objects
	row("objects", "%s found: %s copied, %s skipped, %s filtered, %s vanished,", n(o.Found), n(o.Copied), n(o.Skipped), n(o.Filtered), n(o.Vanished))
	row("", "%s changed, %s failed", n(o.Changed), n(o.Failed))
	if o.Lossy > 0 {
		row("", "%s of the copied lost some of what they had besides their bytes", n(o.Lossy))
	}
	row("bytes", "%s found, %s moved", bytesOf(j.Bytes.Found), bytesOf(j.Bytes.Moved))
	row("rate", "%s/s, %s objects/s", bytesOf(int64(j.Rate.BytesPerSecond)), humanize.CommafWithDigits(j.Rate.ObjectsPerSecond, 1))
	for i, line := range history {
		name := ""
		if i == 0 {
			name = "history"
		}
		row(name, "%s", line)
	}
	if j.Limits != nil {
		row("limit", "%s/s now, over all nodes", bytesOf(j.Limits.Bandwidth))
	}
	row("tasks", "%d running, %d pending, %d done, %d given up", j.Tasks.Running, j.Tasks.Pending, j.Tasks.Done, j.Tasks.Failed)
	if j.ETASeconds != nil {
		row("eta", "%s", remaining(j))
	}
	for _, at := range []struct {
		name string
		t    *time.Time
	}{{"started", j.StartedAt}, {"finished", j.FinishedAt}, {"next retry", j.NextRetryAt}, {"next pass", j.NextPassAt}} {
		if at.t != nil {
			row(at.name, "%s", at.t.Format(time.RFC3339))
		}
	}
	for _, n := range j.Nodes {
		if !n.Ready {
			row("no tasks", "%s  %s", shortID(n.ID), printable(n.Reason))
		}
	}
	for i, e := range j.Errors {
		if i == shownErrors {
			row("", "… brigade ctl errors %s lists all", j.ID)
			break
		}
		row("error", "%s  %s  %s", e.Class, printable(e.Key), printable(e.Reason))
	}
	return strings.TrimRight(b.String(), "\n")
}
