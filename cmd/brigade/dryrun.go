package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// plan sums up what a dry run saw.
type plan struct {
	ID      string         `json:"id"`
	DryRun  bool           `json:"dry_run"`
	Objects plannedObjects `json:"objects"`
	Bytes   plannedBytes   `json:"bytes"`
	First   []plannedKey   `json:"first"` // keys that would be copied, at most maxPlanned
}

type plannedObjects struct {
	Listed int64 `json:"listed"`
	Copy   int64 `json:"copy"`
	Skip   int64 `json:"skip"`
	Filter int64 `json:"filter"`
	Extra  int64 `json:"extra"`
}

type plannedBytes struct {
	Listed int64 `json:"listed"`
	Copy   int64 `json:"copy"`
}

type plannedKey struct {
	api.KeyError
	Size int64 `json:"size"`
}

// maxPlanned bounds the keys that a dry run names.
const maxPlanned = 20

// preview scans and compares both sides and tells what a run would do. It writes nothing, state neither.
func (a *app) preview(ctx context.Context, f *importFlags, job *conf.Job, ends sides) (err error) {
	stop := watchSignals(ctx, a.signals)
	defer stop.close()
	nonce, err := newNonce()
	if err != nil {
		return refused(err)
	}
	open, err := a.openSides(stop.soft, ends, hex.EncodeToString(nonce), f.concurrency)
	if err != nil {
		return stop.or(refused(err))
	}
	defer func() {
		if closeErr := open.close(); closeErr != nil && err == nil {
			err = refused(fmt.Errorf("close stores: %w", closeErr))
		}
	}()
	work, err := a.jobOf(stop.soft, open, ends, specOf(job, ends), nil)
	if err != nil {
		return stop.or(refused(err))
	}
	node := transfer.NewNode("preview", nil, slog.New(slog.DiscardHandler), f.concurrency, f.memoryBytes)
	p := plan{ID: job.ID, DryRun: true, First: []plannedKey{}}
	if err := node.Preview(stop.soft, work, p.add); err != nil {
		return stop.or(refused(fmt.Errorf("compare source and destination: %w", err)))
	}
	if f.json {
		return json.NewEncoder(a.out).Encode(p)
	}
	return p.write(&printer{w: a.out}, job.Type)
}

// add counts one key.
func (p *plan) add(k transfer.Preview) error {
	if k.Action == "extra" {
		p.Objects.Extra++
		return nil
	}
	p.Objects.Listed++
	p.Bytes.Listed += k.Size
	switch k.Action {
	case "skip":
		p.Objects.Skip++
	case "filter":
		p.Objects.Filter++
	default:
		p.Objects.Copy++
		p.Bytes.Copy += k.Size
		if len(p.First) < maxPlanned {
			p.First = append(p.First, plannedKey{api.NewKeyError(k.Key, k.Action, k.Reason), k.Size})
		}
	}
	return nil
}

func (p *plan) write(out *printer, kind string) error {
	verb := map[string]string{"copy": "would be copied", "verify": "differ by their listings", "list": "would be listed"}[kind]
	out.line("%s: dry run, nothing was written", p.ID)
	out.line("%s, %s %s", count(p.Objects.Copy, "object", "objects"), bytesOf(p.Bytes.Copy), verb)
	for _, k := range p.First {
		out.line("  %s  %s  %s", printable(k.Key), bytesOf(k.Size), printable(k.Reason))
	}
	more(out, p.Objects.Copy-int64(len(p.First)))
	if kind != "list" {
		out.line("%s already there, %s left out, %s at the destination only", humanize.Comma(p.Objects.Skip),
			humanize.Comma(p.Objects.Filter), humanize.Comma(p.Objects.Extra))
	}
	return out.err
}

// transferJob is the job as the engine works on it, outside of any pass.
func transferJob(open *stores, spec fsm.Spec) *transfer.Job {
	job := &transfer.Job{
		ID: spec.ID, Type: spec.Type, Source: open.source.store, SingleKey: open.source.single,
		Filter:  filterOf(spec.Filter),
		Compare: spec.Compare, Verify: spec.Verify, Metadata: spec.Preserve.Metadata,
		Keep: keepingOf(spec.Preserve), Archived: spec.Archived, RestoreDays: spec.Restore.Days, RestoreSpeed: spec.Restore.Speed,
		CutObjects: spec.Task.Objects, CutBytes: spec.Task.Bytes,
		PassStart: time.Now().Add(open.source.clockOffset()),
	}
	if open.destination != nil {
		job.Destination = open.destination.store
		job.Skew = open.destination.clockOffset() - open.source.clockOffset()
	}
	return job
}
