package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// maxSegmentText bounds what one segment may unpack to, in bytes.
const maxSegmentText = 64 << 20

// evidence is what the audit records of a pass show.
type evidence struct {
	api.Evidence
	losses io.Writer // takes the losses of copied objects, a line each; may be nil
}

func newEvidence() *evidence { return &evidence{Evidence: api.Evidence{Filtered: map[string]int64{}}} }

// addKey counts a key, and keeps the first.
func addKey(g *api.KeyGroup, key string) {
	g.Count++
	if len(g.First) < firstKeys {
		g.First = append(g.First, api.NewKey(key))
	}
}

// collectEvidence joins the audit segments of a job into one file beside its state and sums them up.
func collectEvidence(ctx context.Context, spool transfer.Spool, job *fsm.Job, dir string) (*evidence, string, error) {
	name := filepath.Join(dir, "report.jsonl.zst")
	e := newEvidence()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegmentText))
	if err != nil {
		return nil, "", fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	err = writeLosses(dir, e, func() error {
		return writeFile(name, func(w io.Writer) error {
			return segmentsOf(ctx, spool, job.Audit, func(segment [32]byte) error {
				data, err := spool.Get(ctx, segment)
				if err != nil {
					return fmt.Errorf("read segment: %w", err)
				}
				text, err := dec.DecodeAll(data, nil)
				if err != nil {
					return fmt.Errorf("unpack segment: %w", err)
				}
				if err := e.addLines(text); err != nil {
					return err
				}
				_, err = w.Write(data) // frames may follow each other
				return err
			})
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("write report: %w", err)
	}
	return e, name, nil
}

// lostList is the file beside the state that lists what copied objects lost; it is there only where some did.
const lostList = "lost.list"

// writeLosses has a file ready for the losses that read comes across.
func writeLosses(dir string, e *evidence, read func() error) error {
	name := filepath.Join(dir, lostList)
	err := writeFile(name, func(w io.Writer) error {
		e.losses = w
		defer func() { e.losses = nil }()
		return read()
	})
	if err == nil && e.Lossy.Count == 0 {
		err = os.Remove(name)
	}
	return err
}

// addLines sums up the records of one segment.
func (e *evidence) addLines(text []byte) error {
	for line := range bytes.Lines(text) {
		if err := e.addLine(line); err != nil {
			return err
		}
	}
	return nil
}

// The marks of outcomes in a record. Inside a JSON string every quote is escaped, so that none of them can be part of a key.
const (
	markCopied  = `"outcome":"copied"`
	markSkipped = `"outcome":"skipped"`
	markFailed  = `"outcome":"failed"`
	markLost    = `"lost":["`
)

// addLine sums up one record. Copied objects, the bulk, are recognised without parsing the JSON.
func (e *evidence) addLine(line []byte) error {
	if bytes.Contains(line, []byte(markCopied)) {
		e.Copied++
		e.SourceChecked += has(line, `"source_checked":"`)
		e.Sent += has(line, `"sent_checked":"`)
		e.Hashed += has(line, `"sums":{`)
		e.Listed += has(line, `"listed":true`)
		if !bytes.Contains(line, []byte(markLost)) {
			return nil
		}
		r, err := decodeRecord(line)
		if err != nil {
			return err
		}
		return e.lossy(r)
	}
	if bytes.Contains(line, []byte(markSkipped)) {
		return nil
	}
	r, err := decodeRecord(line)
	if err != nil {
		return err
	}
	switch r.Outcome {
	case transfer.Vanished:
		addKey(&e.Vanished, r.ExactKey())
	case transfer.Changed:
		addKey(&e.Changed, r.ExactKey())
	case transfer.Filtered:
		e.leftOut(r.Reason, 1)
	case "extra":
		addKey(&e.Extra, r.ExactKey())
	}
	return nil
}

func has(line []byte, mark string) int64 {
	if bytes.Contains(line, []byte(mark)) {
		return 1
	}
	return 0
}

// lossy counts a copied object that lost something, and the kinds of what it lost.
func (e *evidence) lossy(r *transfer.Record) error {
	addKey(&e.Lossy, r.ExactKey())
	for _, line := range r.Lost {
		e.lostKind(transfer.LossKind(line), 1)
	}
	if e.losses == nil {
		return nil
	}
	return lossLines(e.losses, r)
}

// lossLines prints the losses of one record: KEY TAB what and why.
func lossLines(out io.Writer, r *transfer.Record) error {
	for _, what := range r.Lost {
		if _, err := fmt.Fprintf(out, "%s\t%s\n", transfer.EncodeKey(r.ExactKey()), printable(what)); err != nil {
			return err
		}
	}
	return nil
}

func (e *evidence) lostKind(kind string, n int64) {
	if e.Lost == nil {
		e.Lost = map[string]int64{}
	}
	if _, known := e.Lost[kind]; !known && len(e.Lost) >= maxReasons {
		kind = "more"
	}
	e.Lost[kind] += n
}

// leftOut counts objects that a rule left out, under its reason as long as there are not too many.
func (e *evidence) leftOut(reason string, n int64) {
	if _, known := e.Filtered[reason]; !known && len(e.Filtered) >= maxReasons {
		reason = "other reasons"
	}
	e.Filtered[reason] += n
}

// plus adds what other records show.
func (e *evidence) plus(more *api.Evidence) {
	e.Copied += more.Copied
	e.SourceChecked += more.SourceChecked
	e.Sent += more.Sent
	e.Hashed += more.Hashed
	e.Listed += more.Listed
	for reason, n := range more.Filtered {
		e.leftOut(reason, n)
	}
	for kind, n := range more.Lost {
		e.lostKind(kind, n)
	}
	for _, g := range []struct{ sum, more *api.KeyGroup }{
		{&e.Lossy, &more.Lossy}, {&e.Extra, &more.Extra}, {&e.Vanished, &more.Vanished}, {&e.Changed, &more.Changed},
	} {
		g.sum.Count += g.more.Count
		g.sum.First = append(g.sum.First, g.more.First[:min(len(g.more.First), max(0, firstKeys-len(g.sum.First)))]...)
	}
}

// reasons lists why objects were left out, most frequent first.
func (e *evidence) reasons() []string { return mostFirst(e.Filtered) }

// mostFirst gives the names of counters, the highest first.
func mostFirst(of map[string]int64) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := of[names[i]], of[names[j]]
		return a > b || a == b && names[i] < names[j]
	})
	return names
}
