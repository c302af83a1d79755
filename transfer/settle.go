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
	class  string   // of a failure
	entry  Digest   // of the source listing; zero for list tasks
	listed bool     // the key came from the task's own source listing
	wrote  *written // what the destination acknowledged in this task; nil where it wrote nothing
	undo   string   // class that an earlier attempt counted this key under; "" unless the task is a retry
}

// batch sums up what is settled in [from, to) and not yet advanced.
type batch struct {
	from, to         string
	fromLine, toLine int64
	counts           Counts
	objects, bytes   int64
	digest           Digest
	classes          map[string]int64
	records          recordLines
	wrote            []written
	err              error // of records; the batch cannot be advanced
	started          time.Time
}

// written is one key that the task wrote, to be found again in the destination's listing: what of the object is compared then.
// Thousands of them wait in each task.
type written struct {
	index int // in batch.records
	key   string
	kind  store.Kind
	size  int64
	etag  string
	sums  store.Checksums
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
	if s.wrote != nil {
		s.wrote.index = b.records.len()
		b.wrote = append(b.wrote, *s.wrote)
	}
	b.note(b.records.add(&s.record))
}

// note keeps the first error of the records.
func (b *batch) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

// demote turns a copied key of the batch into a failed one: the store did not keep it.
func (b *batch) demote(i int, class store.Class, reason string) {
	b.note(b.records.change(i, func(r *Record) {
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
	}))
}

func (b *batch) empty() bool {
	return b.from == b.to && b.fromLine == b.toLine && b.records.len() == 0 && b.objects == 0
}

// due tells whether the batch shall be advanced.
func (b *batch) due(keys int, now time.Time) bool {
	return b.records.len() >= keys || len(b.records.text) >= advanceText || (!b.empty() && now.Sub(b.started) >= advanceEvery)
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
	if b.err != nil {
		return false, b.err
	}
	if a.Audit, err = t.putRecords(ctx, &b.records, false); err != nil {
		return false, err
	}
	if a.Failed, err = t.putRecords(ctx, &b.records, true); err != nil {
		return false, err
	}
	return t.ledger.Advance(ctx, a)
}

// putRecords spools the records, or those of failed keys only; nil where there are none.
func (t *taskRun) putRecords(ctx context.Context, records *recordLines, failed bool) (*Segment, error) {
	text, lines := records.join(failed)
	if lines == 0 {
		return nil, nil
	}
	data, err := compress(text)
	if err != nil {
		return nil, err
	}
	name, err := t.n.Spool.Put(ctx, data)
	if err != nil {
		return nil, err
	}
	return &Segment{Name: name, Lines: lines}, nil
}
