package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// shareModel does with one large object what the scheduler and the state do: nodes take tasks, parts of the upload are
// shared, holders die and others take over.
type shareModel struct {
	t    *testing.T
	src  *memStore
	dst  *memStore
	job  *Job
	nods []*Node

	mu     sync.Mutex
	rnd    *rand.Rand
	tasks  map[uint64]*modelTask
	last   uint64
	epoch  uint64
	totals Counts
	done   []Outcome
	record Record        // of the last outcome
	news   chan struct{} // closed at each change
	fates  bool          // commands are refused, and answers lost, at random
	old    []Share       // what was told of shares before
	shared int           // ranges of parts handed out, splits included
	taken  int           // ranges taken back
	whole  int           // parts tasks that ended well
	runs   map[Kind]int
}

type modelTask struct {
	Task
	grants int
	held   bool
	node   int
	cancel context.CancelCauseFunc
	asks   chan struct{}
	stop   chan struct{}
	owner  uint64        // of a parts task
	shares []*modelShare // of the owner, in order
}

type modelShare struct {
	first, end int
	task       uint64 // 0 once it ended
	result     *PartsResult
}

// newShareModel makes an object of n parts of 100 bytes, the last one short, at a source like S3.
func newShareModel(t *testing.T, seed uint64, nodes, parts int) *shareModel {
	m := &shareModel{
		t: t, src: newMemStore(), dst: newMemStore(), rnd: rand.New(rand.NewPCG(seed, 3)), tasks: map[uint64]*modelTask{},
		news: make(chan struct{}), runs: map[Kind]int{},
	}
	m.src.set("k", content(parts*100-50, seed))
	m.dst.want = [2]bool{true, true}
	m.job = &Job{ID: "j", Nonce: "00", Type: "copy", Source: m.src, Destination: memMultipart{m.dst}, Compare: "default",
		Verify: "checksum", Metadata: true, CutObjects: 100, CutBytes: 1 << 30, Pass: 1, Filter: &Filter{}}
	for i := range nodes {
		n := NewNode(fmt.Sprintf("n%d", i), &memSpool{data: map[[32]byte][]byte{}}, slog.New(slog.DiscardHandler), 3, 8<<20)
		n.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
		n.Tuning = Tuning{BufferedMax: 64, MultipartMin: 1000, PartSize: 100, PartUnit: 10, PartMin: 50, PartMax: 2560,
			StreamBuffer: 32, ShareMin: 1000, SharePiece: 200}
		m.nods = append(m.nods, n)
	}
	m.add(&modelTask{Task: Task{Kind: Range}})
	return m
}

func (m *shareModel) add(t *modelTask) *modelTask {
	m.last++
	t.ID = m.last
	m.tasks[t.ID] = t
	m.stir()
	return t
}

func (m *shareModel) stir() {
	close(m.news)
	m.news = make(chan struct{})
}

// shareLimit bounds a run that takes milliseconds.
const shareLimit = 10 * time.Second

// run lets all nodes work until no task is left, and checks that everything came back whole.
func (m *shareModel) run() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), shareLimit)
	defer cancel()
	var wg sync.WaitGroup
	for i := range m.nods {
		wg.Go(func() { m.work(ctx, i) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		for _, task := range m.tasks {
			m.t.Errorf("no end of %s task %d [%d, %d), shares %+v", task.Kind, task.ID, task.Line, task.EndLine, m.told(task))
		}
		return
	}
	for i, n := range m.nods {
		if n.Slots.InUse() != 0 {
			m.t.Errorf("slots of node %d were not given back", i)
		}
		if !n.Memory.sem.tryAcquire(n.Memory.Total()) {
			m.t.Errorf("memory of node %d was not given back", i)
		}
	}
}

// equal checks that the object arrived, was counted once, and nothing is left.
func (m *shareModel) equal() {
	m.t.Helper()
	if got, want := m.dst.data("k"), m.src.data("k"); string(got) != string(want) {
		m.t.Errorf("%d bytes arrived of %d, or others", len(got), len(want))
	}
	if len(m.done) != 1 || m.done[0] != Copied || m.totals.Copied != 1 || m.totals.Failed != 0 {
		m.t.Errorf("outcomes %v, counts %+v", m.done, m.totals)
	}
	if left := m.dst.leftovers() + m.src.leftovers(); left != "" {
		m.t.Errorf("left: %s", left)
	}
}

// once checks that every part was sent once.
func (m *shareModel) once() {
	m.t.Helper()
	for name, n := range m.dst.writings {
		if n != 1 {
			m.t.Errorf("%s was written %d times", name, n)
		}
	}
	if size := int64(len(m.src.data("k"))); m.totals.BytesMoved != size {
		m.t.Errorf("%d bytes moved of %d", m.totals.BytesMoved, size)
	}
}

func (m *shareModel) work(ctx context.Context, node int) {
	for {
		t, runCtx := m.grant(ctx, node)
		if t == nil {
			return
		}
		task, epoch := t.Task, t.Epoch
		l := &modelLedger{m: m, id: task.ID, epoch: epoch, asks: t.asks, stop: t.stop}
		err := m.nods[node].Run(runCtx, m.job, task, l, l)
		m.ended(task.ID, epoch, err)
	}
}

// grant waits for a task; nil means that none is left.
func (m *shareModel) grant(ctx context.Context, node int) (*modelTask, context.Context) {
	for {
		if ctx.Err() != nil {
			return nil, nil
		}
		m.mu.Lock()
		var ids []uint64
		for id, t := range m.tasks {
			if !t.held {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		news := m.news
		if len(ids) > 0 {
			t := m.tasks[ids[m.rnd.IntN(len(ids))]]
			m.epoch++
			t.held, t.Epoch, t.node, t.Takeover = true, m.epoch, node, t.grants > 0
			t.grants++
			t.asks, t.stop = make(chan struct{}, 1), make(chan struct{})
			m.runs[t.Kind]++
			for i := range t.Uploads {
				t.Uploads[i].Shares = m.told(t)
			}
			t.Uploads = slices.Clone(t.Uploads)
			var run context.Context
			run, t.cancel = context.WithCancelCause(ctx)
			m.stir()
			granted := *t
			m.mu.Unlock()
			return &granted, run
		}
		left := len(m.tasks)
		m.mu.Unlock()
		if left == 0 {
			return nil, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
}

func (m *shareModel) ended(id, epoch uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tasks[id]
	if t == nil || !t.held || t.Epoch != epoch {
		return
	}
	if err != nil && !errors.Is(err, ErrStopped) && !errors.Is(err, ErrFenced) {
		m.t.Errorf("%s task %d: %v", t.Kind, id, err)
	}
	m.release(t)
}

func (m *shareModel) release(t *modelTask) {
	t.held = false
	t.cancel(ErrFenced)
	m.stir()
}

// kill takes a task away from its holder, as after its death.
func (m *shareModel) kill(kind Kind) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t.held && t.Kind == kind {
			m.release(t)
			return true
		}
	}
	return false
}

// ask requests a split of a task that runs.
func (m *shareModel) ask(kind Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t.held && t.Kind == kind {
			select {
			case t.asks <- struct{}{}:
			default:
			}
		}
	}
}

// told is what the leader says of a task's shares.
func (m *shareModel) told(t *modelTask) (out []Share) {
	for _, sh := range t.shares {
		out = append(out, Share{First: sh.first, End: sh.end, Waits: sh.task != 0 && !m.tasks[sh.task].held, Result: sh.result})
	}
	return out
}

// drop ends what is shared of a task.
func (m *shareModel) drop(t *modelTask) {
	for _, sh := range t.shares {
		if part := m.tasks[sh.task]; part != nil {
			if part.held {
				part.cancel(ErrFenced)
			}
			delete(m.tasks, sh.task)
		}
	}
	t.shares = nil
}

// modelLedger is lease and ledger of one holding.
type modelLedger struct {
	m         *shareModel
	id, epoch uint64
	asks      chan struct{}
	stop      chan struct{}
}

func (l *modelLedger) task() (*modelTask, error) {
	t := l.m.tasks[l.id]
	if t == nil || !t.held || t.Epoch != l.epoch {
		return nil, fmt.Errorf("task %d epoch %d: %w", l.id, l.epoch, ErrFenced)
	}
	return t, nil
}

func (l *modelLedger) Check() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	_, err := l.task()
	return err
}

func (l *modelLedger) Stopping() <-chan struct{}      { return l.stop }
func (l *modelLedger) SplitRequests() <-chan struct{} { return l.asks }
func (l *modelLedger) Progress(Counts)                {}

func (l *modelLedger) Advance(ctx context.Context, a Advance) (bool, error) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := l.task()
	if err != nil {
		return false, err
	}
	m.totals = m.totals.plus(a.Counts)
	if t.Kind == Parts {
		if a.FromLine != t.Line || a.ToLine != t.EndLine || !a.Done || a.Parts == nil || a.Counts != (Counts{BytesMoved: a.Counts.BytesMoved}) {
			m.t.Errorf("parts [%d, %d) ended by %+v", t.Line, t.EndLine, a)
		}
		for _, sh := range m.tasks[t.owner].shares {
			if sh.task == t.ID {
				sh.task, sh.result = 0, a.Parts
			}
		}
		if a.Parts.Class == "" {
			m.whole++
		}
	} else if a.Audit != nil {
		data, err := m.nods[t.node].Spool.Get(ctx, a.Audit.Name)
		if err != nil {
			return false, err
		}
		for r, err := range DecodeRecords(data) {
			if err != nil {
				return false, err
			}
			m.done, m.record = append(m.done, r.Outcome), r
		}
	}
	t.From = a.To
	if a.Done {
		m.drop(t)
		delete(m.tasks, t.ID)
	}
	m.stir()
	return false, nil
}

func (l *modelLedger) change(f func(t *modelTask) error) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	t, err := l.task()
	if err == nil {
		err = f(t)
	}
	l.m.stir()
	return err
}

func (l *modelLedger) PlanUpload(_ context.Context, u Upload) error {
	return l.change(func(t *modelTask) error { t.Uploads = []Upload{u}; return nil })
}

func (l *modelLedger) OpenUpload(_ context.Context, u Upload) error {
	return l.change(func(t *modelTask) error { t.Uploads = []Upload{u}; return nil })
}

func (l *modelLedger) CloseUpload(context.Context, string) error {
	return l.change(func(t *modelTask) error { t.Uploads = nil; l.m.drop(t); return nil })
}

var errShareUnknown = errors.New("the answer is lost")

// fated applies a command, or refuses it, and may lose the answer to either. What was applied before is not refused.
func (l *modelLedger) fated(applied func(t *modelTask) bool, f func(t *modelTask) error) error {
	return l.change(func(t *modelTask) error {
		fate := 9
		if l.m.fates {
			fate = l.m.rnd.IntN(6)
		}
		if fate == 0 && applied(t) {
			fate = 9
		}
		switch fate {
		case 0:
			return fmt.Errorf("%w: no reason", ErrSplitRefused)
		case 1:
			return errShareUnknown
		case 2:
			if err := f(t); err != nil {
				return err
			}
			return errShareUnknown
		}
		return f(t)
	})
}

func (l *modelLedger) ShareParts(_ context.Context, key string, size int64, first, end int) error {
	covered := func(t *modelTask) bool {
		at := first
		for _, sh := range t.shares {
			if sh.first == at && sh.end <= end {
				at = sh.end
			}
		}
		return at == end
	}
	return l.fated(covered, func(t *modelTask) error {
		if len(t.Uploads) != 1 || t.Uploads[0].ID == "" || t.Uploads[0].Key != key {
			return fmt.Errorf("%w: no upload", ErrSplitRefused)
		}
		u := t.Uploads[0]
		if covered(t) { // a repeat, perhaps split since
			return nil
		}
		for _, sh := range t.shares {
			if sh.first < end && first < sh.end {
				l.m.t.Errorf("parts [%d, %d) shared, though [%d, %d) are", first, end, sh.first, sh.end)
			}
		}
		part := l.m.add(&modelTask{owner: t.ID, Task: Task{Kind: Parts, Line: int64(first), EndLine: int64(end),
			Parts: &PartsOf{Key: key, UploadID: u.ID, Version: u.Version, PartSize: u.PartSize, Size: size}}})
		t.shares = append(t.shares, &modelShare{first: first, end: end, task: part.ID})
		slices.SortFunc(t.shares, func(a, b *modelShare) int { return a.first - b.first })
		l.m.shared++
		return nil
	})
}

func (l *modelLedger) ReclaimParts(_ context.Context, _ string, _ int64, first, end int) error {
	free := func(t *modelTask) bool {
		return !slices.ContainsFunc(t.shares, func(sh *modelShare) bool { return sh.first < end && first < sh.end })
	}
	return l.fated(free, func(t *modelTask) error {
		for i, sh := range t.shares {
			switch {
			case sh.end <= first || end <= sh.first:
				continue
			case sh.first != first || sh.end != end:
				return fmt.Errorf("%w: divided", ErrSplitRefused)
			case sh.task != 0 && l.m.tasks[sh.task].held:
				return fmt.Errorf("%w: held", ErrSplitRefused)
			}
			delete(l.m.tasks, sh.task)
			t.shares = slices.Delete(t.shares, i, i+1)
			l.m.taken++
			return nil
		}
		return nil
	})
}

// Split takes parts tasks only: there is one key.
func (l *modelLedger) Split(_ context.Context, _ string, at int64) error {
	return l.fated(func(t *modelTask) bool { return at == t.EndLine }, func(t *modelTask) error {
		if t.Kind != Parts {
			return fmt.Errorf("%w: one key", ErrSplitRefused)
		}
		if at == t.EndLine {
			return nil
		}
		if at <= t.Line || at > t.EndLine {
			return fmt.Errorf("%w: outside", ErrSplitRefused)
		}
		tail := l.m.add(&modelTask{owner: t.owner, Task: Task{Kind: Parts, Line: at, EndLine: t.EndLine, Parts: t.Parts}})
		owner := l.m.tasks[t.owner]
		for i, sh := range owner.shares {
			if sh.task == t.ID {
				upper := &modelShare{first: int(at), end: sh.end, task: tail.ID}
				sh.end = int(at)
				owner.shares = slices.Insert(owner.shares, i+1, upper)
				break
			}
		}
		t.EndLine = at
		l.m.shared++
		return nil
	})
}

// Shares tells now and then what it told before.
func (l *modelLedger) Shares(string, string) ([]Share, <-chan struct{}) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := l.task()
	if err != nil {
		return nil, m.news
	}
	now := m.told(t)
	if m.fates && m.rnd.IntN(3) == 0 {
		closed := make(chan struct{})
		close(closed)
		return m.old, closed
	}
	m.old = now
	return now, m.news
}

// newSlots gives every node so many slots.
func (m *shareModel) newSlots(n int) {
	for _, node := range m.nods {
		node.Slots = NewSlots(n)
	}
}

var _ SharingLedger = (*modelLedger)(nil)
