package transfer

import (
	"context"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// When a task advances: after so many keys or so long, whichever comes first.
const (
	advanceKeys     = 5000
	advanceScanKeys = 20000
	advanceEvery    = 30 * time.Second
	// advanceText keeps a segment of records below MaxSegment even if nothing in it could be compressed.
	advanceText = 3 << 20
)

// settled is what became of one source key, ready to be counted.
type settled struct {
	record Record
	counts Counts
	class  string // of a failure
	entry  Digest // of the source listing; zero for list tasks
	listed bool   // the key came from the task's own source listing
	wrote  store.Object
	copied bool   // wrote holds what the destination acknowledged in this task
	undo   string // class that an earlier attempt counted this key under; "" unless the task is a retry
}

// batch sums up what is settled in [from, to) and not yet advanced.
type batch struct {
	from, to         string
	fromLine, toLine int64
	counts           Counts
	objects, bytes   int64
	digest           Digest
	classes          map[string]int64
	records          []Record
	wrote            []written
	text             int // bytes that the records take at most, about
	started          time.Time
}

// written is one key that the task wrote, to be found again in the destination's listing.
type written struct {
	index int // in batch.records
	obj   store.Object
}

func newBatch(from string, line int64, now time.Time) *batch {
	return &batch{from: from, to: from, fromLine: line, toLine: line, classes: map[string]int64{}, started: now}
}

// add counts one key.
func (b *batch) add(s *settled) {
	b.counts = b.counts.plus(s.counts)
	if s.listed {
		b.objects++
		b.bytes += s.record.Size
		b.digest = b.digest.Add(s.entry)
	}
	if s.class != "" {
		b.classes[s.class]++
	}
	if s.undo != "" {
		b.classes[s.undo]--
		b.counts.Failed--
		b.counts.BytesFound -= s.record.Size
	}
	if s.copied {
		b.wrote = append(b.wrote, written{len(b.records), s.wrote})
	}
	b.records = append(b.records, s.record)
	b.text += recordText + 2*len(s.record.Key) + len(s.record.Reason)
	for _, l := range s.record.Lost {
		b.text += len(l) + 10
	}
}

// recordText is about what a record takes as JSON besides its key and reason.
const recordText = 300

// demote turns a copied key of the batch into a failed one: the store did not keep it.
func (b *batch) demote(i int, class store.Class, reason string) {
	r := &b.records[i]
	r.Outcome, r.Class, r.Reason = Failed, string(class), reason
	b.counts.Copied--
	b.counts.BytesCopied -= r.Size
	if r.Recovered {
		b.counts.Recovered--
	}
	if r.Source != "" || r.Sent != "" {
		b.counts.Verified--
	}
	if len(r.Lost) > 0 {
		b.counts.Lossy--
	}
	b.counts.Failed++
	b.classes[string(class)]++
}

func (b *batch) empty() bool {
	return b.from == b.to && b.fromLine == b.toLine && len(b.records) == 0 && b.objects == 0
}

// due tells whether the batch shall be advanced.
func (b *batch) due(keys int, now time.Time) bool {
	return len(b.records) >= keys || b.text >= advanceText || (!b.empty() && now.Sub(b.started) >= advanceEvery)
}

// plus returns the sum.
func (c Counts) plus(d Counts) Counts {
	return Counts{
		c.Listed + d.Listed, c.Copied + d.Copied, c.Skipped + d.Skipped, c.Filtered + d.Filtered, c.Vanished + d.Vanished,
		c.Changed + d.Changed, c.Failed + d.Failed, c.Recovered + d.Recovered, c.Verified + d.Verified, c.Extra + d.Extra,
		c.Deleted + d.Deleted, c.Lossy + d.Lossy, c.BytesListed + d.BytesListed, c.BytesFound + d.BytesFound, c.BytesCopied + d.BytesCopied,
		c.BytesSkipped + d.BytesSkipped, c.BytesMoved + d.BytesMoved,
	}
}

// advance writes the batch's segments and commits it.
func (t *taskRun) advance(ctx context.Context, b *batch, done bool, cuts []Cut) (yield bool, err error) {
	a := Advance{
		From: b.from, To: b.to, FromLine: b.fromLine, ToLine: b.toLine, Done: done, Counts: b.counts,
		Objects: b.objects, Bytes: b.bytes, Digest: b.digest, Cuts: cuts,
	}
	for class, n := range b.classes {
		if n != 0 {
			if a.Classes == nil {
				a.Classes = map[string]int64{}
			}
			a.Classes[class] = n
		}
	}
	if a.Audit, err = t.putRecords(ctx, b.records, func(*Record) bool { return true }); err != nil {
		return false, err
	}
	if a.Failed, err = t.putRecords(ctx, b.records, func(r *Record) bool { return r.Outcome == Failed }); err != nil {
		return false, err
	}
	return t.ledger.Advance(ctx, a)
}

// putRecords spools the records that pass keep; nil when none does.
func (t *taskRun) putRecords(ctx context.Context, records []Record, keep func(*Record) bool) (*Segment, error) {
	kept := make([]Record, 0, len(records))
	for i := range records {
		if keep(&records[i]) {
			kept = append(kept, records[i])
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	data, err := EncodeRecords(kept)
	if err != nil {
		return nil, err
	}
	name, err := t.n.Spool.Put(ctx, data)
	if err != nil {
		return nil, err
	}
	return &Segment{Name: name, Lines: int64(len(kept))}, nil
}
