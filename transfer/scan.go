package transfer

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// How a scan groups what it sees.
const (
	stretchKeys = 1000 // keys looked at together to tell dense from sparse: a page
	pageCuts    = 3    // so many cuts behind those of a pass's first stretch close after one stretch, so that copying goes on
	advanceCuts = 8    // cuts that one advance carries at most, to stay within the limit of a command
)

// look is one key of a stretch with what the listings say of it. src is nil where only the destination has the key.
type look struct {
	src     *store.Object
	dst     *store.Object
	verdict Verdict
	reason  string // why the filter leaves it out, or the lister refused it
	size    int64  // of an Unseen one: see entry
}

// work tells whether a key needs a copy task.
func (l *look) work(job *Job) bool {
	if l.reason != "" || l.verdict == Equal {
		return false
	}
	return job.Type != "verify" || l.verdict == Undecided
}

// scan lists and compares a range, settles what needs no work and cuts tasks for the rest.
func (t *taskRun) scan(ctx context.Context) error {
	if t.job.List != nil {
		return t.scanList(ctx)
	}
	j := t.job.parked.take(t)
	if j == nil {
		j = t.n.newJoiner(t.job, store.ListOptions{From: t.task.From, To: t.task.To, Whole: true}, t.lease)
	}
	kept := false
	defer func() {
		if !kept {
			j.close()
		}
	}()
	s := &scanRun{taskRun: t, batch: newBatch(t.task.From, 0, t.n.Now()), ranges: t.rangeCuts()}
	if t.task.From == "" {
		s.first = true // a later part of the pass finds copies under way
	}
	search, cancel := context.WithCancel(ctx)
	split := t.newRangeSplitter(j)
	defer split.close()
	defer cancel()
	for {
		if err := split.serve(search); err != nil {
			return err
		}
		stretch, more, err := s.read(ctx, j)
		if err != nil {
			return err
		}
		if err := s.take(ctx, stretch); err != nil {
			return err
		}
		if !more {
			return s.finish(ctx)
		}
		split.left(j)
		stop := t.stopping()
		yield, err := s.flush(ctx, stop)
		if yield && t.job.costly() {
			t.job.parked.put(t, s.batch.from, j)
			kept = true
		}
		if err != nil || yield {
			return err
		}
		if stop {
			return ErrStopped
		}
	}
}

// rangeCuts tells whether dense stretches can be handed out as ranges: listing them again costs a request a page.
func (t *taskRun) rangeCuts() bool {
	a := t.job.Source.Abilities()
	return a.Order == store.OrderBytes && a.ListsByKeys && t.job.SingleKey == nil
}

// scanRun is the state of one scan.
type scanRun struct {
	*taskRun
	batch  *batch // settled by the scan itself, up to batch.to
	ranges bool

	cuts   []Cut // closed, not yet advanced
	first  bool  // the pass begins with this scan
	closed int   // cuts closed so far
	open   *openCut
	seen   string // bound behind the last key taken
}

// openCut is a cut being filled: a range, or entries of a list.
type openCut struct {
	isRange bool
	from    string
	objects int64
	bytes   int64
	digest  Digest
	text    bytes.Buffer // entries as they will stand in a segment
	ends    []cutLine    // of a list of keys: they are sorted before they go
}

// cutLine is a line of a cut.
type cutLine struct {
	key string
	end int // in the text; the line before it ends where this one begins
}

// read collects the next stretch of keys.
func (s *scanRun) read(ctx context.Context, j *joiner) (stretch []look, more bool, err error) {
	for len(stretch) < stretchKeys {
		p, ok, err := j.next(ctx)
		if err != nil || !ok {
			return stretch, false, err
		}
		switch {
		case p.src != nil:
			stretch = append(stretch, s.look(p))
		case p.extra():
			stretch = append(stretch, look{dst: p.dst})
		}
	}
	return stretch, true, nil
}

func (t *taskRun) look(p pair) look {
	l := look{src: p.src, dst: p.dst}
	switch {
	case p.src.Err != nil:
		l.reason = "unreadable"
	case p.src.Kind == store.KindSkipped:
		l.reason = p.src.Reason
	default:
		l.reason = t.job.Filter.Reason(p.src)
	}
	if l.reason == "" && t.job.Destination != nil {
		l.verdict = compareListed(t.job, p.src, p.dst)
	}
	return l
}

// take hands a stretch to the open cut and settles the rest.
func (s *scanRun) take(ctx context.Context, stretch []look) error {
	c := Counts{}
	for i := range stretch {
		if src := stretch[i].src; src != nil {
			c.Listed++
			c.BytesListed += src.Size
		}
	}
	s.n.Meter.Listed.Add(c.Listed)
	s.progress(c)
	if err := s.cut(ctx, stretch, s.dense(stretch)); err != nil {
		return err
	}
	if s.open != nil && s.early() {
		return s.closeCut(ctx)
	}
	return nil
}

// early tells whether cuts close after one stretch still.
func (s *scanRun) early() bool { return s.first && s.closed < s.n.Tuning.FirstCuts+pageCuts }

// dense tells whether at least half of a stretch needs work.
func (s *scanRun) dense(stretch []look) bool {
	if !s.ranges {
		return false
	}
	work, rest := 0, 0
	for i := range stretch {
		switch l := &stretch[i]; {
		case l.src == nil:
		case l.work(s.job):
			work++
		default:
			rest++
		}
	}
	return work > 0 && work >= rest
}

func (s *scanRun) cut(ctx context.Context, stretch []look, dense bool) error {
	if s.open != nil && s.open.isRange != dense {
		if err := s.closeCut(ctx); err != nil {
			return err
		}
	}
	for i := range stretch {
		l := &stretch[i]
		if l.src == nil {
			s.takeExtra(l.dst)
			continue
		}
		// Counted key by key: an advance may fall into the middle of a stretch.
		s.batch.counts.Listed++
		s.batch.counts.BytesListed += l.src.Size
		switch {
		case dense:
			s.openAt(true).addRange(l.src)
		case l.work(s.job):
			s.openAt(false).addEntry(l, true)
		default:
			s.settleLook(l)
		}
		s.seen = store.Next(l.src.Key)
		if s.full() {
			if err := s.closeCut(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeExtra counts a key that only the destination has, unless it lies in a range that a copy task will list again.
func (s *scanRun) takeExtra(o *store.Object) {
	s.seen = store.Next(o.Key)
	if s.open != nil && s.open.isRange {
		return
	}
	done := s.extraRecord(o)
	s.batch.add(done)
	s.progress(done.counts)
}

// settleLook counts a key that the scan can settle by itself.
func (s *scanRun) settleLook(l *look) {
	var done *settled
	switch {
	case l.src.Err != nil:
		done = s.fail(l.src, string(store.ClassOf(l.src.Err)), l.src.Err.Error())
	case l.reason != "":
		done = s.settle(l.src, Filtered, l.reason)
	case s.job.Destination == nil:
		done = s.settle(l.src, Skipped, "listed")
	case s.job.Type == "verify":
		done = s.settleVerified(l.src, l.dst, l.verdict)
	default:
		done = s.settle(l.src, Skipped, "")
	}
	s.batch.add(done)
	s.progress(done.counts)
}

// openAt returns the open cut, opening one behind the last key taken if there is none.
func (s *scanRun) openAt(isRange bool) *openCut {
	if s.open == nil {
		s.open = &openCut{isRange: isRange, from: s.bound()}
	}
	return s.open
}

// bound is the bound behind everything taken so far.
func (s *scanRun) bound() string { return max(s.seen, s.batch.from) }

func (c *openCut) addRange(o *store.Object) {
	c.objects++
	c.bytes += o.Size
	c.digest = c.digest.Add(Entry(o))
}

func (c *openCut) addEntry(l *look, sorted bool) {
	e := entry{src: *l.src, verdict: l.verdict, size: l.size}
	if l.dst != nil {
		e.dstETag = l.dst.ETag
	}
	c.objects++
	c.bytes += l.src.Size
	appendEntry(&c.text, &e)
	if !sorted {
		c.ends = append(c.ends, cutLine{e.src.Key, c.text.Len()})
	}
}

// lines returns the lines of the cut in the order of their keys.
func (c *openCut) lines() []byte {
	text := c.text.Bytes()
	if len(c.ends) == 0 {
		return text
	}
	starts := make([]int, len(c.ends))
	order := make([]int, len(c.ends))
	for i := range c.ends {
		order[i] = i
		if i > 0 {
			starts[i] = c.ends[i-1].end
		}
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(c.ends[a].key, c.ends[b].key) })
	sorted := make([]byte, 0, len(text))
	for _, i := range order {
		sorted = append(sorted, text[starts[i]:c.ends[i].end]...)
	}
	return sorted
}

// full tells whether the open cut reached a bound of the job, or of a segment.
func (s *scanRun) full() bool {
	c, objects := s.open, s.job.CutObjects
	if first := s.n.Tuning.FirstCuts; s.first && s.closed < first {
		objects = min(objects, int64(stretchKeys/first))
	}
	return c != nil && (c.objects >= objects || c.bytes >= s.job.CutBytes || c.text.Len() >= advanceText)
}

// closeCut makes the open cut ready to be advanced.
func (s *scanRun) closeCut(ctx context.Context) error {
	c := s.open
	cut := Cut{Objects: c.objects, Bytes: c.bytes}
	if c.isRange {
		cut.From, cut.To, cut.Digest = c.from, s.bound(), c.digest
	} else {
		data, err := compress(c.lines())
		if err != nil {
			return err
		}
		name, err := s.n.Spool.Put(ctx, data)
		if err != nil {
			return err
		}
		cut.Segment = &Segment{Name: name, Lines: c.objects}
	}
	s.cuts = append(s.cuts, cut)
	s.open = nil
	s.closed++
	if len(s.cuts) < advanceCuts {
		return nil
	}
	_, err := s.commit(ctx, false)
	return err
}

// flush advances when it is time, or when copy tasks wait to be made.
func (s *scanRun) flush(ctx context.Context, force bool) (yield bool, err error) {
	due := force || s.batch.due(advanceScanKeys, s.n.Now())
	if s.open != nil && due {
		if err := s.closeCut(ctx); err != nil {
			return false, err
		}
	}
	if len(s.cuts) == 0 && !due || s.open != nil {
		return false, nil
	}
	return s.commit(ctx, false)
}

// commit advances to the bound behind everything taken, or before the open cut.
func (s *scanRun) commit(ctx context.Context, done bool) (yield bool, err error) {
	s.batch.to = s.bound()
	if done {
		s.batch.to = s.task.To
	}
	if s.batch.to == s.batch.from && !done {
		return false, nil
	}
	yield, err = s.advance(ctx, s.batch, done, s.cuts)
	if err != nil {
		return false, err
	}
	s.settledLive(s.batch.counts)
	s.cuts = nil
	s.batch = newBatch(s.batch.to, 0, s.n.Now())
	return yield, nil
}

// finish closes what is open and ends the task.
func (s *scanRun) finish(ctx context.Context) error {
	if s.open != nil {
		if err := s.closeCut(ctx); err != nil {
			return err
		}
	}
	_, err := s.commit(ctx, true)
	return err
}

// Preview compares the whole source with the destination by their listings and calls visit for every source object and
// every extra destination key. It writes nothing.
func (n *Node) Preview(ctx context.Context, job *Job, visit func(Preview) error) error {
	t := &taskRun{n: n, job: job, task: &Task{}, lease: free{}}
	if job.List != nil {
		return t.previewList(ctx, visit)
	}
	j := n.newJoiner(job, store.ListOptions{Whole: true}, t.lease)
	defer j.close()
	for {
		p, ok, err := j.next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := t.preview(ctx, p, visit); err != nil {
			return err
		}
	}
}

// Preview tells what a pass would do with one key.
type Preview struct {
	Key    string
	Size   int64
	Action string // "copy", "skip", "filter", "extra"
	Reason string
}

func (t *taskRun) preview(ctx context.Context, p pair, visit func(Preview) error) error {
	if p.src == nil {
		if p.extra() {
			return visit(Preview{p.dst.Key, p.dst.Size, "extra", "not at the source"})
		}
		return nil
	}
	l := t.look(p)
	v := Preview{Key: p.src.Key, Size: p.src.Size, Action: "copy", Reason: l.reason}
	if l.reason != "" {
		v.Action = "filter"
		return visit(v)
	}
	if t.job.Destination == nil {
		v.Action = "list"
		return visit(v)
	}
	verdict := l.verdict
	if verdict == Undecided {
		var err error
		if verdict, _, err = t.n.compareClosely(ctx, t.job, p.src, p.dst, t.lease); err != nil {
			return err
		}
	}
	switch verdict {
	case Equal:
		v.Action = "skip"
	case Absent:
		v.Reason = "not at the destination"
	default:
		v.Reason = differs(p.src, p.dst)
	}
	return visit(v)
}

// free is the lease of work that writes nothing.
type free struct{}

// Check never refuses.
func (free) Check() error { return nil }

// Stopping never fires.
func (free) Stopping() <-chan struct{} { return nil }
