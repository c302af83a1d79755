package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	barEvery       = 200 * time.Millisecond
	lineEvery      = 10 * time.Second
	barColumns     = 24
	unknownColumns = 120 // of a terminal that does not tell its size

	rateWindow = 10 * time.Second // that the rate shown is an average of
)

// tally is what a job and its running tasks did so far.
type tally struct {
	counts  fsm.Counts // settled, and what running tasks did since
	listing bool       // totals are lower bounds
	written int64      // bytes sent in this run, those of objects in flight too
	limit   int64      // bytes a second that the job may take now; 0 for no limit
}

// view is one moment of a run, ready to be shown.
type view struct {
	objects, totalObjects int64
	bytes, totalBytes     int64
	verified, failed      int64
	atLeast               bool          // totals are lower bounds
	rate                  float64       // bytes a second
	objectRate            float64       // objects a second
	limit                 int64         // bytes a second; 0 for none
	eta                   time.Duration // negative: not known
}

// sampler makes views of tallies: it remembers the last seconds for the rate.
type sampler struct {
	moved   int64 // bytes that were settled before this run
	history []sample
}

type sample struct {
	at      time.Time
	bytes   int64
	objects int64
}

// view takes one tally.
func (s *sampler) view(now time.Time, t tally) view {
	c := t.counts
	inFlight := max(0, t.written-(c.BytesMoved-s.moved))
	v := view{
		objects: c.Found(), totalObjects: max(c.Listed, c.Found()), totalBytes: max(c.BytesListed, c.BytesFound),
		verified: c.Verified, failed: c.Failed, atLeast: t.listing, eta: -1,
		limit: t.limit,
	}
	v.bytes = min(c.BytesFound+inFlight, v.totalBytes)
	s.history = append(s.history, sample{now, t.written, v.objects})
	for len(s.history) > 2 && now.Sub(s.history[0].at) > rateWindow {
		s.history = s.history[1:]
	}
	first := s.history[0]
	v.rate = perSecond(t.written-first.bytes, now.Sub(first.at))
	v.objectRate = perSecond(v.objects-first.objects, now.Sub(first.at))
	if !v.atLeast {
		v.eta = etaOf(v)
	}
	return v
}

// etaOf is the later of what the bytes and what the objects still to come say.
func etaOf(v view) time.Duration {
	eta := time.Duration(-1)
	for _, p := range []struct {
		rest int64
		rate float64
	}{{v.totalBytes - v.bytes, v.rate}, {v.totalObjects - v.objects, v.objectRate}} {
		if p.rest > 0 && p.rate > 0 {
			eta = max(eta, time.Duration(float64(p.rest)/p.rate*float64(time.Second)))
		}
	}
	if rest := v.totalBytes - v.bytes; v.limit > 0 && rest > 0 {
		eta = max(eta, time.Duration(float64(rest)/float64(v.limit)*float64(time.Second))) // no sooner, however fast it began
	}
	if eta > 1000*time.Hour {
		return -1
	}
	return eta
}

// String gives the view as one line.
func (v view) String() string {
	of := "of "
	if v.atLeast {
		of = "of at least "
	}
	parts := []string{
		humanize.Comma(v.objects) + " " + of + count(v.totalObjects, "object", "objects"),
		bytesOf(v.bytes) + " " + of + bytesOf(v.totalBytes),
		bytesOf(int64(v.rate)) + "/s",
	}
	if v.limit > 0 {
		parts[len(parts)-1] += " (limit " + bytesOf(v.limit) + "/s)"
	}
	if v.verified > 0 {
		parts = append(parts, humanize.Comma(v.verified)+" verified")
	}
	if v.failed > 0 {
		parts = append(parts, humanize.Comma(v.failed)+" failed")
	}
	if v.eta >= 0 {
		parts = append(parts, "ETA "+etaText(v.eta))
	}
	return strings.Join(parts, ", ")
}

func etaText(d time.Duration) string {
	if d < time.Second {
		return "<1s"
	}
	return d.Round(time.Second).String()
}

// showProgress shows the run until ctx ends: a bar on a terminal, else one line every 10 s. It returns when the last
// thing was written.
func (a *app) showProgress(ctx context.Context, s *sampler, now func() tally) {
	if a.terminals.err {
		drawBar(ctx, a.err, s, now)
		return
	}
	s.view(time.Now(), now()) // from here the first line's rate counts
	ticks := time.NewTicker(lineEvery)
	defer ticks.Stop()
	for {
		select {
		case t := <-ticks.C:
			if _, err := fmt.Fprintln(a.err, s.view(t, now()).String()); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// sized hides that w is a terminal where that does not know its size (0 columns), for a bar of that size is none.
func sized(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
		return w
	}
	return struct{ io.Writer }{w}
}

// drawBar draws a bar that goes by bytes, or by objects where these are empty.
func drawBar(ctx context.Context, w io.Writer, s *sampler, now func() tally) {
	var mu sync.Mutex
	v := s.view(time.Now(), now())
	text := func(decor.Statistics) string {
		mu.Lock()
		defer mu.Unlock()
		return " " + v.String()
	}
	bars := mpb.New(mpb.WithOutput(sized(w)), mpb.WithWidth(unknownColumns), mpb.WithRefreshRate(barEvery), mpb.WithAutoRefresh())
	bar := bars.AddBar(0, mpb.BarWidth(barColumns), mpb.BarRemoveOnComplete(), mpb.AppendDecorators(decor.Any(text)))
	ticks := time.NewTicker(barEvery)
	defer ticks.Stop()
	for {
		select {
		case t := <-ticks.C:
			next := s.view(t, now())
			mu.Lock()
			v = next
			mu.Unlock()
			total, done := v.totalBytes, v.bytes
			if total == 0 {
				total, done = v.totalObjects, v.objects
			}
			bar.SetTotal(total, false)
			bar.SetCurrent(done)
		case <-ctx.Done():
			bar.Abort(true)
			bars.Wait()
			return
		}
	}
}
