package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

const (
	watchEvery    = 2 * time.Second
	watchPatience = 30 * time.Second // without an answer, after there was one
)

// What a terminal is told when it is drawn upon anew.
const (
	clearScreen = "\x1b[H\x1b[2J"
	toTheTop    = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// watcher shows a status again and again.
type watcher struct {
	app     *app
	client  *api.Client
	flags   *statusFlags
	json    bool
	screen  bool      // drawn in place
	printed time.Time // when something was, last
	states  string    // of what was printed last
	heard   time.Time // the last answer
}

// watch shows the status until it is interrupted. With one job it ends with it, and with its exit code.
func (a *app) watch(ctx context.Context, cmd *cobra.Command, c *api.Client, s *statusFlags) error {
	w := &watcher{app: a, client: c, flags: s, json: wantsJSON(cmd), screen: a.terminals.out && !wantsJSON(cmd)}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		code, over, err := w.look(ctx)
		switch {
		case ctx.Err() != nil && s.id == "":
			return nil // to end it is what was wanted
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case over:
			return ended(code)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look looks once, shows what is due, and tells whether the job that is watched is over.
func (w *watcher) look(ctx context.Context) (code int, over bool, err error) {
	now := time.Now()
	views, err := w.app.look(ctx, w.client, w.flags)
	if err != nil {
		if !passes(err) || w.heard.IsZero() || now.Sub(w.heard) > watchPatience {
			return 0, false, err
		}
		return 0, false, w.note("no answer yet: " + oneLine(err.Error()))
	}
	w.heard = now
	for _, v := range views {
		if v.job != nil && isOver(v.job) {
			over = true
			if code, err = exitCodeOf(ctx, w.client, v.job); err != nil {
				return 0, false, err
			}
		}
	}
	return code, over, w.show(now, views, over)
}

// passes tells whether an error may pass: the node is started again, or a leader is elected.
func passes(err error) bool {
	var p *api.Problem
	return errors.Is(err, api.ErrUnreachable) || errors.As(err, &p) && p.Code() == api.CodeNoLeader
}

// show draws on a terminal each time. Elsewhere it prints every ten seconds, and when a state changed.
func (w *watcher) show(now time.Time, views []statusView, last bool) error {
	if w.screen {
		return w.draw(textOf(views))
	}
	states := statesOf(views)
	if !last && states == w.states && now.Sub(w.printed) < lineEvery {
		return nil
	}
	w.printed, w.states = now, states
	for _, v := range views {
		if w.json {
			if err := w.app.encode(v.document); err != nil {
				return err
			}
		} else if _, err := fmt.Fprintln(w.app.out, v.line); err != nil {
			return err
		}
	}
	return nil
}

// note says what is no status; a stream of documents has no place for it.
func (w *watcher) note(text string) error {
	if !w.screen {
		return nil
	}
	return w.draw(text)
}

// draw writes over what a terminal shows, without wiping it first, so that it does not flicker.
func (w *watcher) draw(shown string) error {
	lines := strings.Split(shown, "\n")
	if rows := w.app.rows(); rows > 2 && len(lines) > rows-1 {
		hidden := len(lines) - (rows - 2)
		lines = append(lines[:rows-2], fmt.Sprintf("… and %s", count(int64(hidden), "line", "lines")))
	}
	start := toTheTop
	if w.printed.IsZero() {
		start = clearScreen
	}
	w.printed = time.Now()
	_, err := io.WriteString(w.app.out, start+strings.Join(lines, clearLine+"\n")+clearLine+"\n"+clearBelow)
	return err
}

// rows is the height of the terminal, 0 where that is not known.
func (a *app) rows() int {
	f, ok := a.out.(*os.File)
	if !ok {
		return 0
	}
	_, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return rows
}

// isOver tells whether a job has ended, or waits for an operator.
func isOver(j *api.Job) bool {
	switch j.State {
	case fsm.Succeeded, fsm.Canceled, fsm.Paused:
		return true
	case fsm.Failed:
		return j.NextRetryAt == nil
	}
	return false
}

// exitCodeOf is the exit code that import would have for a job that is over.
func exitCodeOf(ctx context.Context, c *api.Client, j *api.Job) (int, error) {
	switch {
	case j.State == fsm.Paused || j.State == fsm.Canceled:
		return codeRefused, nil
	case j.State == fsm.Succeeded && j.Objects.Failed == 0 && j.Objects.Extra == 0 && j.Tasks.Failed == 0:
		return codeDone, nil
	}
	differs, err := foundDifferences(ctx, c, j)
	switch {
	case err != nil:
		return 0, err
	case differs:
		return codeDiffers, nil
	case j.State == fsm.Failed || j.Objects.Failed > 0 || j.Tasks.Failed > 0:
		return codeFailed, nil
	}
	return codeDone, nil
}

// foundDifferences tells whether a job is a verify job that found the sides to differ.
func foundDifferences(ctx context.Context, c *api.Client, j *api.Job) (bool, error) {
	kind, err := jobKind(ctx, c, j.ID)
	if err != nil || kind != "verify" {
		return false, err
	}
	if j.Objects.Extra > 0 {
		return true, nil
	}
	_, err = eachError(ctx, c, j.ID, func(e *api.KeyError) error {
		if e.Class == classMissing || e.Class == classDiffers {
			return errDifference
		}
		return nil
	})
	if errors.Is(err, errDifference) {
		return true, nil
	}
	return false, err
}

// errDifference ends a walk through failed keys at the first difference.
var errDifference = errors.New("the sides differ")

// jobLine is where a job stands, in one line.
func jobLine(j *api.Job) string {
	line := fmt.Sprintf("%s is %s", j.ID, j.State)
	if j.Reason != "" {
		line += ": " + printable(j.Reason)
	}
	line += fmt.Sprintf(", pass %d, %s settled, %s copied, %s failed, %s/s", j.Pass, settled(j), humanize.Comma(j.Objects.Copied),
		humanize.Comma(j.Objects.Failed), bytesOf(int64(j.Rate.BytesPerSecond)))
	if j.ETASeconds != nil {
		line += ", ETA " + remaining(j)
	}
	return line
}

// jobsLine sums up jobs in one line.
func jobsLine(jobs []api.Job) string {
	states := map[string]int{}
	rate, failed := 0.0, int64(0)
	for i := range jobs {
		states[string(jobs[i].State)]++
		failed += jobs[i].Objects.Failed
		if jobs[i].State == fsm.Running {
			rate += jobs[i].Rate.BytesPerSecond
		}
	}
	return fmt.Sprintf("%s%s; %s failed; %s/s", count(int64(len(jobs)), "job", "jobs"), tallied(states), count(failed, "object", "objects"), bytesOf(int64(rate)))
}

// machineLine sums up machines in one line.
func machineLine(machines []api.Machine) string {
	states := map[string]int{}
	rate, busy, slots := 0.0, 0, 0
	for _, m := range machines {
		states[m.State]++
		rate, busy, slots = rate+m.BytesPerSecond, busy+m.Busy, slots+m.Slots
	}
	return fmt.Sprintf("%s%s; %d of %d slots busy; %s/s", count(int64(len(machines)), "node", "nodes"), tallied(states), busy, slots, bytesOf(int64(rate)))
}

// tallied is ": 2 running, 1 paused", "" for none.
func tallied(states map[string]int) string {
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(states)) {
		parts = append(parts, fmt.Sprintf("%d %s", states[state], state))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// statesOf tells states from one another: where they change, a line is due.
func statesOf(views []statusView) string {
	var b strings.Builder
	for _, v := range views {
		switch d := v.document.(type) {
		case *api.Job:
			fmt.Fprintf(&b, "%s %s %d;", d.ID, d.State, d.Pass)
		case *api.JobList:
			for i := range d.Jobs {
				fmt.Fprintf(&b, "%s %s %d;", d.Jobs[i].ID, d.Jobs[i].State, d.Jobs[i].Pass)
			}
		case *api.Machines:
			for _, m := range d.Nodes {
				fmt.Fprintf(&b, "%s %s %s;", m.ID, m.State, m.Role)
			}
		}
	}
	return b.String()
}
