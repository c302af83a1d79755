package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

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
	lines, err := t.readList(ctx)
	if err != nil {
		return err
	}
	if err := t.removeTemp(ctx, lines); err != nil {
		return err
	}
	find := t.finder(lines)
	defer find.close()
	return t.newPipeline(true, t.newListSplitter(lines)).run(ctx, func(ctx context.Context) (item, bool, error) {
		it, ok, err := lines.take()
		if err != nil || !ok {
			return item{}, false, err
		}
		err = find.refresh(ctx, &it)
		return it, true, err
	})
}

// taskLines are the lines of a task that were not taken yet. They stay text until their turn comes: as items they would take five
// times as much, and a node works on several tasks of many thousand lines.
type taskLines struct {
	text  string
	next  int64    // number of the first of them, counted from 0
	sizes []int64  // of the objects that they name, in bytes, one for each line
	keys  []string // in order; where the task was assigned before, or its keys failed
	named bool     // a list named the keys
	parse func(line string) (item, error)
}

// take returns the next line as an item; ok is false at the end.
func (l *taskLines) take() (it item, ok bool, err error) {
	if len(l.sizes) == 0 {
		return item{}, false, nil
	}
	line, rest, _ := strings.Cut(l.text, "\n")
	if it, err = l.parse(line); err != nil {
		return item{}, false, err
	}
	l.text, l.sizes = rest, l.sizes[1:]
	l.next++
	it.line = l.next
	return it, true, nil
}

// readList reads the task's lines that are not settled.
func (t *taskRun) readList(ctx context.Context) (*taskLines, error) {
	data, err := t.n.Spool.Get(ctx, t.task.Segment.Name)
	if err != nil {
		return nil, fmt.Errorf("read the task's list: %w", err)
	}
	text, err := decompress(data)
	if err != nil {
		return nil, fmt.Errorf("read the task's list: %w", err)
	}
	l := &taskLines{text: string(text), parse: t.listedItem}
	if t.task.Retry {
		l.parse = t.failedItem
	}
	if err := l.bound(t.task.Line, t.task.EndLine, t.task.Retry || t.task.Takeover); err != nil {
		return nil, fmt.Errorf("read the task's list: %w", err)
	}
	return l, nil
}

// bound reads all lines once, so that a bad one is found before anything is done, and keeps those of [from, to).
func (l *taskLines) bound(from, to int64, keys bool) error {
	if from < 0 || from > to {
		return fmt.Errorf("lines %d to %d of a segment", from, to)
	}
	rest := l.text
	for line := int64(0); line < to; line++ {
		if rest == "" {
			return fmt.Errorf("lines %d to %d of a segment of %d lines", from, to, line)
		}
		text, behind, _ := strings.Cut(rest, "\n")
		rest = behind
		if line < from {
			l.text = behind
			continue
		}
		it, err := l.parse(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", line+1, err)
		}
		l.named = l.named || it.named != nil
		l.sizes = append(l.sizes, it.src.Size)
		if keys {
			l.keys = append(l.keys, it.src.Key)
		}
	}
	l.next = from
	return nil
}

// listedItem reads a line of a list cut.
func (t *taskRun) listedItem(line string) (item, error) {
	e, err := parseEntry(line)
	if err != nil {
		return item{}, err
	}
	it := item{src: &e.src, verdict: e.verdict}
	switch e.verdict {
	case Unseen:
		it.verdict, it.named = Undecided, &named{size: e.size, md5: e.src.Sums.MD5}
	case Absent:
	default:
		it.dst = &store.Object{Key: e.src.Key, ETag: e.dstETag, Size: -1}
	}
	return it, nil
}

// failedItem reads a line of a segment of failed keys.
func (t *taskRun) failedItem(line string) (item, error) {
	var r Record
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return item{}, fmt.Errorf("decode record: %w", err)
	}
	src := &store.Object{Key: r.ExactKey(), Size: r.Size, ModTime: r.ModTime, ETag: r.Version, Origin: r.Origin}
	it := item{src: src, verdict: Undecided, undo: r.Class}
	if t.job.List != nil {
		it.named = namedBy(&r)
	}
	return it, nil
}

// finder brings items up to date before they are worked on. The first holder of a list trusts what the scan saw; a
// later one looks again, for what is there now may be the work of the one before. Retries look at both sides.
type finder struct {
	t        *taskRun
	src, dst *lookup // nil where not needed
}

func (t *taskRun) finder(lines *taskLines) *finder {
	f := &finder{t: t}
	if lines.named || len(lines.keys) == 0 {
		return f
	}
	f.dst = t.n.newLookup(t.job, t.job.Destination, lines.keys, t.lease)
	if t.task.Retry {
		f.src = t.n.newLookup(t.job, t.job.Source, lines.keys, t.lease)
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

// removeTemp removes temporary files that a dead holder of this task left beside the keys of these lines.
func (t *taskRun) removeTemp(ctx context.Context, lines *taskLines) error {
	cleaner, ok := t.job.Destination.(store.TempCleaner)
	if !ok || !t.task.Takeover || len(lines.keys) == 0 {
		return nil
	}
	return t.n.retry(ctx, t.lease, func() error {
		return t.n.began(t.job.Destination, opCleanTemp)(cleaner.RemoveTemp(ctx, t.task.ID, lines.keys))
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
