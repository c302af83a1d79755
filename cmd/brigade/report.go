package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// report is all that the end of a run has to tell.
type report struct {
	job      *fsm.Job
	run      runStats
	span     string // what run is of; "" means this run
	failures failures
	files    failureFiles
	evidence *evidence
	records  string // file with the record of every object
	lostBy   string // command that lists what was lost
	// hashedBefore: the destination's sums were taken before the write, nothing was read back.
	hashedBefore bool
	colored      bool
}

// write prints the report as text.
func (r *report) write(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s: %s", r.job.ID, r.headline())
	if r.job.Counts.Found() > 0 || r.job.Counts.Listed > 0 {
		p.line("")
		p.line("%s", r.table())
		p.line("")
		p.line("%s", r.rateLine())
	}
	r.shown(p)
	r.lost(p)
	r.leftOut(p)
	r.keys(p)
	r.failed(p)
	r.places(p)
	return p.err
}

// printer keeps the first error, so that each line needs no check of its own.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// headline says in one sentence how the pass ended.
func (r *report) headline() string {
	c, n := r.job.Counts, humanize.Comma
	pass := fmt.Sprintf("pass %d", r.job.Pass)
	switch {
	case r.job.Pass == 0:
		return "the first pass has not begun"
	case r.job.State == fsm.Running || r.job.State == fsm.Pending:
		return pass + " is running, " + count(c.Found(), "object is", "objects are") + " settled"
	case r.job.State == fsm.Paused:
		return pass + " is paused: " + printable(r.job.Reason)
	case r.job.State == fsm.Canceled:
		return pass + " was cancelled: " + printable(r.job.Reason)
	case r.job.Type == "verify":
		return pass + " done, " + r.verdict()
	case c.Found() == 0 && r.job.TasksLost == 0:
		return pass + " done, nothing matched: the source has no objects"
	case c.Filtered == c.Found() && r.job.TasksLost == 0:
		return pass + " done, nothing matched: all " + count(c.Filtered, "object was", "objects were") + " left out"
	case c.Failed > 0 || r.job.TasksLost > 0:
		text := pass + " done, " + count(c.Failed, "object", "objects") + " failed"
		if r.job.TasksLost > 0 {
			text += " and " + count(r.job.TasksLost, "key range was", "key ranges were") + " given up"
		}
		return text
	case r.job.Type == "list":
		return pass + " done, " + count(c.Skipped, "object", "objects") + " listed"
	case c.Skipped+c.Filtered == c.Found():
		return pass + " done, nothing to do: all " + n(c.Skipped) + " objects were there already"
	}
	return pass + " done, every object is accounted for"
}

// verdict words what a verify job found.
func (r *report) verdict() string {
	c, classes := r.job.Counts, r.job.Classes
	missing, differ := classes[classMissing], classes[classDiffers]
	other := c.Failed - missing - differ
	if c.Found() == 0 && c.Extra == 0 && r.job.TasksLost == 0 {
		return "nothing matched: the source has no objects"
	}
	if missing+differ+other+c.Extra+r.job.TasksLost == 0 {
		return "no differences: " + count(c.Skipped, "object is", "objects are") + " at the destination and equal"
	}
	var parts []string
	for _, f := range []struct {
		n    int64
		what string
	}{
		{missing, "missing at the destination"}, {differ, "different"}, {c.Extra, "at the destination only"},
		{other, "not verified for errors"},
	} {
		if f.n > 0 {
			parts = append(parts, humanize.Comma(f.n)+" "+f.what)
		}
	}
	if r.job.TasksLost > 0 {
		parts = append(parts, count(r.job.TasksLost, "key range", "key ranges")+" given up")
	}
	return strings.Join(parts, ", ")
}

// table lists the outcomes that add up to what was found.
func (r *report) table() string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Options.SeparateHeader = true
	t.Style().Options.SeparateFooter = true
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight},
		{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight},
	})
	t.AppendHeader(table.Row{"outcome", "objects", "bytes"})
	for _, row := range r.rows() {
		if row.objects > 0 || row.always {
			t.AppendRow(table.Row{r.color(row), humanize.Comma(row.objects), row.bytesText()})
		}
	}
	c := r.job.Counts
	t.AppendFooter(table.Row{"found", humanize.Comma(c.Found()), bytesOf(c.BytesFound)})
	return t.Render()
}

// outcomeRow is one line of the table; bytes is negative where it is not kept.
type outcomeRow struct {
	name    string
	objects int64
	bytes   int64
	always  bool
	color   text.Color
}

func (o outcomeRow) bytesText() string {
	if o.bytes < 0 {
		return ""
	}
	return bytesOf(o.bytes)
}

func (r *report) rows() []outcomeRow {
	c := r.job.Counts
	skipped := "skipped (already there)"
	switch r.job.Type {
	case "verify":
		skipped = "equal"
	case "list":
		skipped = "listed"
	}
	rows := []outcomeRow{
		{"copied", c.Copied, c.BytesCopied, r.job.Type == "copy", text.FgGreen},
		{skipped, c.Skipped, c.BytesSkipped, true, 0},
		{"filtered", c.Filtered, -1, false, 0},
		{"vanished", c.Vanished, -1, false, text.FgYellow},
		{"changed", c.Changed, -1, false, text.FgYellow},
	}
	failed := c.Failed
	if r.job.Type == "verify" {
		missing, differ := r.job.Classes[classMissing], r.job.Classes[classDiffers]
		failed -= missing + differ
		rows = append(rows, outcomeRow{"missing", missing, -1, false, text.FgYellow},
			outcomeRow{"different", differ, -1, false, text.FgYellow})
	}
	return append(rows, outcomeRow{"failed", failed, -1, false, text.FgRed})
}

func (r *report) color(row outcomeRow) string {
	if !r.colored || row.color == 0 || row.objects == 0 {
		return row.name
	}
	return row.color.Sprint(row.name)
}

func (r *report) rateLine() string {
	c, span := r.job.Counts, cmp.Or(r.span, "this run")
	if r.job.Type != "copy" {
		return fmt.Sprintf("%s took %s: %s objects/s", span, roundTime(r.run.elapsed), humanize.CommafWithDigits(r.run.objectsPerSecond(), 1))
	}
	text := fmt.Sprintf("%s moved, %s took %s: %s/s, %s objects/s", bytesOf(c.BytesMoved), span, roundTime(r.run.elapsed),
		bytesOf(int64(r.run.bytesPerSecond())), humanize.CommafWithDigits(r.run.objectsPerSecond(), 1))
	if c.Recovered > 0 {
		text += "; " + count(c.Recovered, "copied object was", "copied objects were") + " there from an interrupted run"
	}
	return text
}

// shown says which check showed what of the copied objects.
func (r *report) shown(p *printer) {
	e := r.evidence
	if e == nil || e.Copied == 0 {
		return
	}
	of := " of " + count(e.Copied, "copied object", "copied objects")
	p.line("")
	p.line("shown:")
	if e.SourceChecked > 0 {
		p.line("  source-checked   %s%s: the bytes read match a checksum that the source reports", humanize.Comma(e.SourceChecked), of)
	}
	if r.hashedBefore {
		p.line("  hashed           %s%s: hashed before the write, not read back", humanize.Comma(e.Hashed), of)
	} else {
		p.line("  sent = received  %s%s: the destination's checksum matches what was sent", humanize.Comma(e.Sent), of)
	}
	p.line("  listed           %s%s: found in the destination's listing afterwards", humanize.Comma(e.Listed), of)
}

// lost says how many of the copied objects lost what of theirs.
func (r *report) lost(p *printer) {
	n := r.job.Counts.Lossy
	if n == 0 {
		return
	}
	p.line("")
	p.line("%s lost some of what they had: %s", count(n, "object", "objects"), r.lostBy)
	if r.evidence == nil {
		return
	}
	for _, kind := range mostFirst(r.evidence.Lost) {
		p.line("  %s  %s", humanize.Comma(r.evidence.Lost[kind]), printable(kind))
	}
}

// leftOut says why objects were not copied by rule.
func (r *report) leftOut(p *printer) {
	if r.evidence == nil || len(r.evidence.Filtered) == 0 {
		return
	}
	p.line("")
	p.line("left out:")
	for _, reason := range r.evidence.reasons() {
		p.line("  %s  %s", humanize.Comma(r.evidence.Filtered[reason]), printable(reason))
	}
}

// keys names what vanished, changed, or is at the destination only.
func (r *report) keys(p *printer) {
	if r.evidence == nil {
		return
	}
	for _, g := range []struct {
		group api.KeyGroup
		what  string
	}{
		{r.evidence.Vanished, "vanished from the source before they could be read"},
		{r.evidence.Changed, "changed at the source during every attempt"},
		{r.evidence.Extra, "at the destination only"},
	} {
		if g.group.Count == 0 {
			continue
		}
		p.line("")
		p.line("%s %s:", humanize.Comma(g.group.Count), g.what)
		for _, key := range g.group.First {
			p.line("  %s", printable(key.Exact()))
		}
		more(p, g.group.Count-int64(len(g.group.First)))
	}
}

// failed groups the failures by class.
func (r *report) failed(p *printer) {
	for _, g := range r.failures.groups {
		p.line("")
		p.line("%s (%s):", r.groupName(g.class), humanize.Comma(g.count))
		for _, e := range g.first {
			p.line("  %s  %s", printable(e.Key), printable(e.Reason))
		}
		more(p, g.count-int64(len(g.first)))
	}
}

func (r *report) groupName(class string) string {
	if class == classMissing || class == classDiffers {
		return class
	}
	return "failed, " + class
}

func more(p *printer, n int64) {
	if n > 0 {
		p.line("  … and %s more", humanize.Comma(n))
	}
}

// places says where everything can be read.
func (r *report) places(p *printer) {
	if len(r.failures.groups) > 0 {
		p.line("")
		p.line("all of them:   %s (keys), %s (with reasons)", r.files.list, r.files.records)
	}
	if r.records != "" && r.job.Counts.Found() > 0 {
		p.line("")
		p.line("every object:  %s", r.records)
	}
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + many
}

func bytesOf(n int64) string {
	if n < 0 {
		return "-" + humanize.Bytes(uint64(-n))
	}
	return humanize.Bytes(uint64(n))
}

// roundTime drops digits that nobody reads.
func roundTime(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// printable quotes text that would do something to a terminal.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}
