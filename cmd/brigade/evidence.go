package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// maxSegmentText bounds what one segment may unpack to, in bytes.
const maxSegmentText = 64 << 20

// evidence is what the audit records of a pass show.
type evidence struct {
	copied        int64
	sourceChecked int64 // bytes read match what the source reports
	sent          int64 // the destination's checksum matches what was sent
	hashed        int64 // a checksum was taken of the bytes that passed
	listed        int64 // found in the destination's listing afterwards
	filtered      map[string]int64
	extra         keyGroup // at the destination only
	vanished      keyGroup
	changed       keyGroup
}

// keyGroup counts keys and keeps the first.
type keyGroup struct {
	count int64
	first []string
}

func (g *keyGroup) add(key string) {
	g.count++
	if len(g.first) < firstKeys {
		g.first = append(g.first, key)
	}
}

// collectEvidence joins the audit segments of a job into one file beside its state and sums them up.
func collectEvidence(ctx context.Context, spool transfer.Spool, job *fsm.Job, dir string) (*evidence, string, error) {
	name := filepath.Join(dir, "report.jsonl.zst")
	e := &evidence{filtered: map[string]int64{}}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegmentText))
	if err != nil {
		return nil, "", fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	err = writeFile(name, func(w io.Writer) error {
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
	if err != nil {
		return nil, "", fmt.Errorf("write report: %w", err)
	}
	return e, name, nil
}

// addLines sums up the records of one segment. Copied objects, the bulk, are recognised without parsing the JSON: inside
// a JSON string every quote is escaped, so that none of these marks can be part of a key.
func (e *evidence) addLines(text []byte) error {
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`"outcome":"copied"`)) {
			e.copied++
			e.sourceChecked += has(line, `"source_checked":"`)
			e.sent += has(line, `"sent_checked":"`)
			e.hashed += has(line, `"sums":{`)
			e.listed += has(line, `"listed":true`)
			continue
		}
		if bytes.Contains(line, []byte(`"outcome":"skipped"`)) {
			continue
		}
		var r transfer.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("decode record: %w", err)
		}
		e.add(&r)
	}
	return nil
}

func has(line []byte, mark string) int64 {
	if bytes.Contains(line, []byte(mark)) {
		return 1
	}
	return 0
}

func (e *evidence) add(r *transfer.Record) {
	switch r.Outcome {
	case transfer.Vanished:
		e.vanished.add(r.ExactKey())
	case transfer.Changed:
		e.changed.add(r.ExactKey())
	case transfer.Filtered:
		reason := r.Reason
		if _, known := e.filtered[reason]; !known && len(e.filtered) >= maxReasons {
			reason = "other reasons"
		}
		e.filtered[reason]++
	case "extra":
		e.extra.add(r.ExactKey())
	}
}

// reasons lists why objects were left out, most frequent first.
func (e *evidence) reasons() []string {
	names := make([]string, 0, len(e.filtered))
	for name := range e.filtered {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := e.filtered[names[i]], e.filtered[names[j]]
		return a > b || a == b && names[i] < names[j]
	})
	return names
}
