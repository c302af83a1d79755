package scheduler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// Tests run in synctest bubbles: time stands still while anything runs and then jumps to the next timer, so that
// waiting takes no time and nothing depends on the speed of the machine.

// bubbleClock is the bubble's time.
type bubbleClock struct{}

func (bubbleClock) Now() time.Time           { return time.Now() }
func (bubbleClock) Monotonic() time.Duration { return time.Duration(time.Now().UnixNano()) }

// after lets the bubble's time pass.
func after(d time.Duration) { <-time.NewTimer(d).C }

// fakeLog applies entries straight to a machine.
type fakeLog struct {
	machine *fsm.Machine
	leaders chan bool

	mu       sync.Mutex
	index    uint64
	term     uint64
	entries  [][]byte
	slow     time.Duration // what a commit takes
	fail     error         // what Apply returns instead of committing
	lose     error         // what Apply returns after committing
	noQuorum error         // what Verify returns
	barriers []error       // what the next barriers return
}

func newFakeLog() *fakeLog {
	return &fakeLog{machine: fsm.NewMachine(), leaders: make(chan bool, 1), term: 1, index: 10}
}

func (l *fakeLog) Apply(ctx context.Context, entry []byte) (any, error) {
	l.mu.Lock()
	slow := l.slow
	l.mu.Unlock()
	if slow > 0 {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	l.index++
	l.entries = append(l.entries, entry)
	answer := l.machine.Apply(l.index, entry)
	if l.lose != nil {
		return nil, l.lose
	}
	return answer, nil
}

func (l *fakeLog) Barrier(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.barriers) == 0 {
		return nil
	}
	err := l.barriers[0]
	l.barriers = l.barriers[1:]
	return err
}

func (l *fakeLog) LeaderCh() <-chan bool { return l.leaders }

func (l *fakeLog) Term() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term
}

func (l *fakeLog) Verify(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noQuorum
}

// set changes the log's behaviour.
func (l *fakeLog) set(f func(l *fakeLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// apply commits a command as a test's preparation.
func (l *fakeLog) apply(t testing.TB, cmd fsm.Command) fsm.Result {
	t.Helper()
	entry, err := fsm.Encode(cmd)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := l.Apply(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	r := answer.(fsm.Result)
	if r.Err != nil {
		t.Fatalf("%#v: %v", cmd, r.Err)
	}
	return r
}

// memSpool keeps segments in memory.
type memSpool struct {
	mu       sync.Mutex
	segments map[[32]byte][]byte
	fail     error
	puts     int
}

func (s *memSpool) Put(_ context.Context, data []byte) ([32]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	if s.fail != nil {
		return [32]byte{}, s.fail
	}
	if s.segments == nil {
		s.segments = map[[32]byte][]byte{}
	}
	name := sha256.Sum256(data)
	s.segments[name] = data
	return name, nil
}

func (s *memSpool) Get(_ context.Context, name [32]byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.segments[name]
	if !ok {
		return nil, fmt.Errorf("no segment %x", name)
	}
	return data, nil
}

// rig is a leader over a fake log.
type rig struct {
	t      *testing.T
	log    *fakeLog
	spool  *memSpool
	leader *Leader
	stop   func()
}

// bubble runs a test with a leader in a synctest bubble. Nothing may be left running at its end.
func bubble(t *testing.T, test func(t *testing.T, r *rig), options ...func(*LeaderConfig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log, spool := newFakeLog(), &memSpool{}
		r := &rig{t: t, log: log, spool: spool}
		r.start(options...)
		defer func() { r.stop() }()
		test(t, r)
	})
}

// start runs a new leader over the log and makes it lead.
func (r *rig) start(options ...func(*LeaderConfig)) {
	r.t.Helper()
	cfg := LeaderConfig{
		Log: r.log, Machine: r.log.machine, Spool: r.spool, Logger: slog.New(slog.DiscardHandler), Clock: bubbleClock{},
		Jitter: func() float64 { return 0.5 },
	}
	for _, o := range options {
		o(&cfg)
	}
	r.leader = NewLeader(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.leader.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("leader: %v", err)
		}
		r.stop = func() {}
	}
	r.log.leaders <- true
	if err := r.leader.Ready(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// nonceOf makes a job's nonce.
func nonceOf(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:16]
}

func (r *rig) submit(id string, priority int) {
	r.t.Helper()
	r.must(fsm.SubmitJob{ID: id, Nonce: nonceOf(id), Kind: "copy", Spec: []byte(`{"version":1}`), Priority: priority})
}

// must proposes a command that has to succeed.
func (r *rig) must(cmd fsm.Command) fsm.Result {
	r.t.Helper()
	res, err := r.leader.Propose(r.t.Context(), cmd)
	if err != nil || res.Err != nil {
		r.t.Fatalf("%#v: %v, %v", cmd, res.Err, err)
	}
	return res
}

// job returns a job, or an empty one.
func (r *rig) job(id string) *fsm.Job {
	if job := readJob(r.log.machine, id); job != nil {
		return job
	}
	return &fsm.Job{}
}

func (r *rig) task(id uint64) (t *fsm.Task) {
	r.log.machine.Read(func(s *fsm.State) { t = s.Task(id) })
	return t
}

func (r *rig) leased(node string) (ids []uint64) {
	r.log.machine.Read(func(s *fsm.State) {
		for t := range s.LeasedBy(node) {
			ids = append(ids, t.ID)
		}
	})
	return ids
}

// eventually lets time pass until a condition holds, for at most a minute of the bubble's time.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	for range 6000 {
		synctest.Wait()
		if cond() {
			return
		}
		after(10 * time.Millisecond)
	}
	r.t.Fatalf("after a minute: not %s", what)
}

// puppet is a worker that does exactly what a test tells it.
type puppet struct {
	r        *rig
	node     string
	instance string
	slots    int
	seq      uint64
	running  []Holding
	opened   []JobKey
	shares   []ShareUse // that it goes by

	source, destination *store.Identity // what both sides are on this node
}

func (r *rig) puppet(node string, slots int) *puppet {
	return &puppet{r: r, node: node, instance: node + "-1", slots: slots}
}

func (p *puppet) request() SyncRequest {
	p.seq++
	return SyncRequest{
		Node: p.node, Instance: p.instance, Term: 1, Seq: p.seq, Slots: p.slots, Want: p.slots, Running: p.running,
		Opened: p.opened, Wait: maxSyncWait, Shares: p.shares,
	}
}

// poll makes one poll and takes what it is given; it passes every pre-flight it is asked for.
func (p *puppet) poll() SyncResponse {
	p.r.t.Helper()
	resp, err := p.r.leader.Sync(p.r.t.Context(), p.request())
	if err != nil {
		p.r.t.Fatalf("poll of %s: %v", p.node, err)
	}
	for i := range resp.Assignments {
		t := &resp.Assignments[i].Task
		p.running = append(p.running, Holding{Task: t.ID, Epoch: t.Epoch, From: t.From, Line: t.Line})
	}
	var passed []Preflight
	for _, f := range resp.Preflight {
		passed = append(passed, Preflight{Job: f.Key, OK: true, Source: p.source, Destination: p.destination})
	}
	if len(passed) > 0 {
		p.report(passed...)
	}
	return resp
}

// work polls until it is given a task.
func (p *puppet) work() []Assignment {
	p.r.t.Helper()
	for range 20 {
		if resp := p.poll(); len(resp.Assignments) > 0 {
			return resp.Assignments
		}
	}
	p.r.t.Fatalf("%s was given no work in 20 polls", p.node)
	return nil
}

func (p *puppet) report(flights ...Preflight) {
	p.r.t.Helper()
	_, err := p.r.leader.Sync(p.r.t.Context(), SyncRequest{Node: p.node, Instance: p.instance, Preflights: flights})
	if err != nil {
		p.r.t.Fatalf("report of %s: %v", p.node, err)
	}
}

// send brings commands and returns the answer.
func (p *puppet) send(cmds ...fsm.Command) SyncResponse {
	p.r.t.Helper()
	resp, err := p.r.leader.Sync(p.r.t.Context(), SyncRequest{Node: p.node, Instance: p.instance, Commands: encode(p.r.t, cmds...)})
	if err != nil {
		p.r.t.Fatalf("commands of %s: %v", p.node, err)
	}
	return resp
}

// do sends one command, which ends what it ends, and returns the error that its result stands for.
func (p *puppet) do(cmd fsm.Command) error {
	p.r.t.Helper()
	resp := p.send(cmd)
	for _, te := range ending(cmd) {
		p.forget(te.Task)
	}
	return resp.Results[0].Err()
}

// ending names the holdings that a command ends.
func ending(cmd fsm.Command) []fsm.TaskEpoch {
	switch c := cmd.(type) {
	case fsm.AdvanceTask:
		if c.Done {
			return []fsm.TaskEpoch{{Task: c.Task, Epoch: c.Epoch}}
		}
	case fsm.FailTask:
		return []fsm.TaskEpoch{{Task: c.Task, Epoch: c.Epoch}}
	case fsm.ReleaseTasks:
		return c.Tasks
	}
	return nil
}

func (p *puppet) forget(task uint64) {
	var left []Holding
	for _, h := range p.running {
		if h.Task != task {
			left = append(left, h)
		}
	}
	p.running = left
}

func encode(t testing.TB, cmds ...fsm.Command) (out [][]byte) {
	t.Helper()
	for _, c := range cmds {
		data, err := fsm.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

// key makes the bound that cuts number i begin at.
func key(i int) []byte { return fmt.Appendf(nil, "%06d", i) }

// cutsOf makes an advance of a scan over [from, to) that cuts n ranges.
func cutsOf(t *fsm.Task, from, n int, done bool) fsm.AdvanceTask {
	a := fsm.AdvanceTask{Task: t.ID, Epoch: t.Epoch, From: t.From, Done: done}
	for i := from; i < from+n; i++ {
		a.Cuts = append(a.Cuts, fsm.NewCut{From: key(i), To: key(i + 1), Objects: 1, Bytes: 10})
	}
	a.Counts = fsm.Counts{Listed: int64(n), BytesListed: int64(10 * n)}
	if !done {
		a.To = key(from + n)
	}
	return a
}

// copied is the advance that ends a range task made by cutsOf.
func copied(t *fsm.Task) fsm.AdvanceTask {
	return fsm.AdvanceTask{
		Task: t.ID, Epoch: t.Epoch, From: t.From, To: t.To, Done: true, Objects: 1, Bytes: 10,
		Counts: fsm.Counts{Copied: 1, BytesFound: 10, BytesCopied: 10, BytesMoved: 10},
	}
}

var errWire = errors.New("connection reset")

var _ transfer.Spool = (*memSpool)(nil)
