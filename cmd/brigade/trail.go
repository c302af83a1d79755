package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

// errEnough ends the reading of records.
var errEnough = errors.New("enough")

// trail reads the records that segments hold, in order, one segment in memory at a time. A place in it is the number of
// records before it, which stays the same when segments are folded into a manifest.
type trail struct {
	get  func(ctx context.Context, name [32]byte) ([]byte, error)
	lost func(records int64) // told of records that no node alive has; nil: they are an error
	rest func() bool         // tells, before each segment but the first, whether it was enough for now; nil: never
	next int64               // place of the next record, kept by lines
	any  bool                // a segment was read
}

// stretch is the records [from, to) of a list of segments.
type stretch struct {
	list     []fsm.Segment
	from, to int64
}

// all is what a list of segments holds from a place on.
func all(list []fsm.Segment, from int64) stretch { return stretch{list, from, math.MaxInt64} }

// segments visits the segments of a stretch, with those that manifests name in the manifests' places, and with the number of
// records before each. Those that lie outside are passed over, unread.
func (r *trail) segments(ctx context.Context, in stretch, visit func(s fsm.Segment, at int64) error) error {
	at := int64(0)
	for _, s := range in.list {
		if len(s.Name) != 32 {
			return fmt.Errorf("segment name of %d bytes", len(s.Name))
		}
		if s.Lines == 0 || at+s.Lines > in.from && at < in.to {
			if err := r.oneOrMore(ctx, s, at, in, visit); err != nil {
				return err
			}
		}
		at += s.Lines
	}
	return nil
}

// oneOrMore visits a segment, or those that it names.
func (r *trail) oneOrMore(ctx context.Context, s fsm.Segment, at int64, in stretch, visit func(s fsm.Segment, at int64) error) error {
	if !s.Manifest {
		return visit(s, at)
	}
	data, err := r.get(ctx, [32]byte(s.Name))
	if r.takesLoss(err) {
		r.miss(at+s.Lines, in)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	inner, err := scheduler.DecodeManifest(data)
	if err != nil {
		return err
	}
	return r.segments(ctx, stretch{inner, in.from - at, in.to - at}, func(s fsm.Segment, inside int64) error { return visit(s, at+inside) })
}

// takesLoss tells whether an error means that a segment is nowhere to be had, and the reader goes on without.
func (r *trail) takesLoss(err error) bool {
	return r.lost != nil && (errors.Is(err, cluster.ErrNoSegment) || errors.Is(err, cluster.ErrCorrupt))
}

// miss notes that the records up to end cannot be read.
func (r *trail) miss(end int64, in stretch) {
	end = min(end, in.to)
	r.lost(end - r.next)
	r.next = end
}

// lines visits the JSON of each record of a stretch. Where visit returns an error, next is the record it was called with. It
// returns errEnough where there was enough for now.
func (r *trail) lines(ctx context.Context, in stretch, visit func(line []byte) error) error {
	if r.next = in.from; in.from >= in.to {
		return nil
	}
	return r.segments(ctx, in, func(s fsm.Segment, at int64) error {
		if r.rest != nil && r.any && r.rest() {
			return errEnough
		}
		r.any = true
		data, err := r.get(ctx, [32]byte(s.Name))
		if r.takesLoss(err) {
			r.miss(at+s.Lines, in)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read segment: %w", err)
		}
		for line, err := range transfer.RecordLines(data) {
			if err != nil {
				return err
			}
			if at >= in.from && at < in.to {
				if err := visit(line); err != nil {
					return err
				}
				r.next = at + 1
			}
			at++
		}
		return nil
	})
}

// segmentsOf yields the names of segments, with those that manifests name in the manifests' places.
func segmentsOf(ctx context.Context, spool transfer.Spool, list []fsm.Segment, visit func(name [32]byte) error) error {
	r := trail{get: spool.Get}
	return r.segments(ctx, all(list, 0), func(s fsm.Segment, _ int64) error { return visit([32]byte(s.Name)) })
}

// records visits the records of segments, in order.
func records(ctx context.Context, spool transfer.Spool, list []fsm.Segment, visit func(*transfer.Record) error) error {
	r := trail{get: spool.Get}
	return r.lines(ctx, all(list, 0), func(line []byte) error {
		record, err := decodeRecord(line)
		if err != nil {
			return err
		}
		return visit(record)
	})
}

func decodeRecord(line []byte) (*transfer.Record, error) {
	var r transfer.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	return &r, nil
}
