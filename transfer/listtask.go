package transfer

import (
	"context"
	"fmt"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// fewKeys is how many keys a range is asked for first. A full page of a short range shows the destination's keys, and the
// source's, of many others, on a line that may be narrow; and the first keys of a long one come sooner.
const fewKeys = 100

// copyRange lists its range on both sides and works through it.
func (t *taskRun) copyRange(ctx context.Context) error {
	j := t.n.newJoiner(t.job, store.ListOptions{From: t.task.From, To: t.task.To, First: fewKeys, Whole: true}, t.lease)
	defer j.close()
	cleaned := t.newCleaner()
	return t.newPipeline(false, t.newRangeSplitter(j)).run(ctx, func(ctx context.Context) (item, bool, error) {
		for {
			p, ok, err := j.next(ctx)
			if err != nil || !ok {
				return item{}, false, err
			}
			if p.src == nil && !p.extra() {
				continue
			}
			if err := cleaned.before(ctx, p.key()); err != nil {
				return item{}, false, err
			}
			if p.src == nil {
				return item{dst: p.dst}, true, nil
			}
			l := t.look(p)
			return item{src: p.src, dst: p.dst, verdict: l.verdict, reason: l.reason, listed: true}, true, nil
		}
	})
}

// copyList works through the lines of a segment: a list cut, or keys that failed before.
func (t *taskRun) copyList(ctx context.Context) error {
	items, err := t.readList(ctx)
	if err != nil {
		return err
	}
	if err := t.removeTemp(ctx, items); err != nil {
		return err
	}
	find := t.finder(items)
	defer find.close()
	next := 0
	return t.newPipeline(true, t.newListSplitter(&items, &next)).run(ctx, func(ctx context.Context) (item, bool, error) {
		if next == len(items) {
			return item{}, false, nil
		}
		it := items[next]
		next++
		err := find.refresh(ctx, &it)
		return it, true, err
	})
}

// readList reads the task's lines that are not settled.
func (t *taskRun) readList(ctx context.Context) ([]item, error) {
	data, err := t.n.Spool.Get(ctx, t.task.Segment.Name)
	if err != nil {
		return nil, fmt.Errorf("read the task's list: %w", err)
	}
	if t.task.Retry {
		return t.readFailed(data)
	}
	entries, err := decodeEntries(data, t.task.Line, t.task.EndLine)
	if err != nil {
		return nil, fmt.Errorf("read the task's list: %w", err)
	}
	items := make([]item, len(entries))
	for i := range entries {
		e := &entries[i]
		items[i] = item{src: &e.src, verdict: e.verdict, line: t.task.Line + int64(i) + 1}
		if e.verdict == Unseen {
			items[i].verdict, items[i].named = Undecided, &named{size: e.size, md5: e.src.Sums.MD5}
			continue
		}
		if e.verdict != Absent {
			items[i].dst = &store.Object{Key: e.src.Key, ETag: e.dstETag, Size: -1}
		}
	}
	return items, nil
}

// readFailed reads a segment of failed keys.
func (t *taskRun) readFailed(data []byte) ([]item, error) {
	var items []item
	line := int64(0)
	for r, err := range DecodeRecords(data) {
		if err != nil {
			return nil, fmt.Errorf("read the failed keys: %w", err)
		}
		line++
		if line <= t.task.Line || line > t.task.EndLine {
			continue
		}
		src := &store.Object{Key: r.ExactKey(), Size: r.Size, ModTime: r.ModTime, ETag: r.Version, Origin: r.Origin}
		it := item{src: src, verdict: Undecided, line: line, undo: r.Class}
		if t.job.List != nil {
			it.named = namedBy(&r)
		}
		items = append(items, it)
	}
	return items, nil
}

// finder brings items up to date before they are worked on. The first holder of a list trusts what the scan saw; a
// later one looks again, for what is there now may be the work of the one before. Retries look at both sides.
type finder struct {
	t        *taskRun
	src, dst *lookup // nil where not needed
}

func (t *taskRun) finder(items []item) *finder {
	f := &finder{t: t}
	if len(items) == 0 || items[0].named != nil || (!t.task.Takeover && !t.task.Retry) {
		return f
	}
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].src.Key
	}
	f.dst = t.n.newLookup(t.job, t.job.Destination, keys, t.lease)
	if t.task.Retry {
		f.src = t.n.newLookup(t.job, t.job.Source, keys, t.lease)
	}
	return f
}

func (f *finder) refresh(ctx context.Context, it *item) error {
	if f.src != nil {
		now, err := f.src.find(ctx, it.src.Key)
		if err != nil {
			return err
		}
		if now == nil {
			it.reason, it.gone = "gone from the source", true
			return nil
		}
		it.src = now
	}
	// The filter may be another than when the scan made the list, or the object failed.
	if it.reason = f.t.job.Filter.Reason(it.src); it.reason != "" || f.dst == nil {
		return nil
	}
	dst, err := f.dst.find(ctx, it.src.Key)
	if err != nil {
		return err
	}
	it.dst, it.verdict = dst, compareListed(f.t.job, it.src, dst)
	return nil
}

func (f *finder) close() {
	for _, l := range []*lookup{f.src, f.dst} {
		if l != nil {
			l.close()
		}
	}
}

// removeTemp removes temporary files that a dead holder of this task left beside the keys of these items.
func (t *taskRun) removeTemp(ctx context.Context, items []item) error {
	cleaner, ok := t.job.Destination.(store.TempCleaner)
	if !ok || !t.task.Takeover || len(items) == 0 {
		return nil
	}
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].src.Key
	}
	return t.n.retry(ctx, t.lease, func() error {
		return t.n.began(t.job.Destination, opCleanTemp)(cleaner.RemoveTemp(ctx, t.task.ID, keys))
	})
}

// tempCleaner removes what a dead holder of a range left, directory by directory as the range is walked.
type tempCleaner struct {
	t    *taskRun
	s    store.TempCleaner // nil where there is nothing to clean
	seen string            // directory cleaned last
	any  bool
}

func (t *taskRun) newCleaner() *tempCleaner {
	c := &tempCleaner{t: t}
	if s, ok := t.job.Destination.(store.TempCleaner); ok && t.task.Takeover {
		c.s = s
	}
	return c
}

// before is called with each key ahead of its work.
func (c *tempCleaner) before(ctx context.Context, key string) error {
	if c.s == nil {
		return nil
	}
	dir := parent(key)
	if c.any && dir == c.seen {
		return nil
	}
	c.seen, c.any = dir, true
	return c.t.n.retry(ctx, c.t.lease, func() error {
		return c.t.n.began(c.t.job.Destination, opCleanTemp)(c.s.RemoveTemp(ctx, c.t.task.ID, []string{key}))
	})
}

// parent is the part of a key up to its last "/".
func parent(key string) string {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '/' {
			return key[:i+1]
		}
	}
	return ""
}
