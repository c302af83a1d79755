package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// patience bounds waits that end much earlier unless something is broken.
const patience = 20 * time.Second

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// recorder is a state machine that keeps what it is given.
type recorder struct {
	mu       sync.Mutex
	entries  []string
	last     uint64
	restored int
	block    chan struct{} // if set, Apply waits for its closing
}

func (r *recorder) Apply(index uint64, entry []byte) any {
	if r.block != nil {
		<-r.block
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if index <= r.last {
		panic(fmt.Sprintf("entry %d after %d", index, r.last))
	}
	r.last = index
	r.entries = append(r.entries, string(entry))
	return len(r.entries)
}

func (r *recorder) Snapshot() func(io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := r.entries[:len(r.entries):len(r.entries)]
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(entries) }
}

func (r *recorder) Restore(in io.Reader) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restored++
	return json.NewDecoder(in).Decode(&r.entries)
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.entries...)
}

// start starts a node that is shut down at the end of the test at the latest.
func start(t testing.TB, c Config) *Node {
	t.Helper()
	if c.NodeID == "" {
		c.NodeID = "node-1"
	}
	if c.Multiplier == 0 {
		c.Multiplier = 0.05
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	n, err := Start(deadline(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t testing.TB, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// lead waits until the node is leader and has applied its log.
func lead(t testing.TB, n *Node) {
	t.Helper()
	ctx := deadline(t)
	for !n.IsLeader() {
		select {
		case <-n.LeaderCh():
		case <-ctx.Done():
			t.Fatal("the node did not become leader")
		}
	}
	if err := n.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
}

func apply(t testing.TB, n *Node, entries ...string) {
	t.Helper()
	for _, e := range entries {
		if _, err := n.Apply(deadline(t), []byte(e)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplyAnswers(t *testing.T) {
	m := &recorder{}
	n := start(t, Config{Dir: t.TempDir(), Machine: m})
	lead(t, n)
	for i := range 3 {
		got, err := n.Apply(deadline(t), []byte("x"))
		if err != nil || got != i+1 {
			t.Fatalf("got %v, %v; want %d", got, err, i+1)
		}
	}
	if n.Term() < 1 {
		t.Errorf("term %d", n.Term())
	}
}

func TestApplyFromManySides(t *testing.T) {
	m := &recorder{}
	n := start(t, Config{Dir: t.TempDir(), Machine: m})
	lead(t, n)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for k := range 10 {
				if _, err := n.Apply(deadline(t), fmt.Appendf(nil, "%d/%d", i, k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(m.seen()); got != 200 {
		t.Errorf("%d entries applied", got)
	}
}

func TestLeaderSoon(t *testing.T) {
	began := time.Now()
	n := start(t, Config{Dir: t.TempDir(), Machine: &recorder{}})
	lead(t, n)
	took := time.Since(began)
	t.Logf("leader after %v", took)
	if took > 5*time.Second { // generous, for the race detector and a busy machine; the benchmark measures
		t.Errorf("leader after %v", took)
	}
}

// BenchmarkStart measures a first start up to an applied barrier.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		n := start(b, Config{Dir: b.TempDir(), Machine: &recorder{}})
		lead(b, n)
		b.StopTimer()
		stop(b, n)
		b.StartTimer()
	}
	if per := b.Elapsed() / time.Duration(b.N); per > 300*time.Millisecond {
		b.Errorf("a start takes %v, allowed are 300ms", per)
	}
}

func TestRestartKeepsState(t *testing.T) {
	dir := t.TempDir()
	first := &recorder{}
	n := start(t, Config{Dir: dir, Machine: first})
	lead(t, n)
	apply(t, n, "a", "b", "c")
	stop(t, n)

	second := &recorder{}
	n = start(t, Config{Dir: dir, Machine: second})
	lead(t, n)
	apply(t, n, "d")
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, second.seen()); d != "" {
		t.Error(d)
	}
}

func TestRestartFromSnapshot(t *testing.T) {
	dir := t.TempDir()
	n := start(t, Config{Dir: dir, Machine: &recorder{}})
	lead(t, n)
	apply(t, n, "a", "b")
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	apply(t, n, "c")
	stop(t, n)

	m := &recorder{}
	n = start(t, Config{Dir: dir, Machine: m})
	lead(t, n)
	if d := cmp.Diff([]string{"a", "b", "c"}, m.seen()); d != "" {
		t.Error(d)
	}
	if m.restored != 1 {
		t.Errorf("restored %d times", m.restored)
	}
}

// TestKilled starts from a copy of the files of a running node, which is what a killed process leaves.
func TestKilled(t *testing.T) {
	dir, left := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	n := start(t, Config{Dir: dir, Machine: &recorder{}})
	lead(t, n)
	apply(t, n, "a", "b", "c")
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	apply(t, n, "not in the copy")

	m := &recorder{}
	second := start(t, Config{Dir: left, Machine: m})
	lead(t, second)
	if d := cmp.Diff([]string{"a", "b", "c"}, m.seen()); d != "" {
		t.Error(d)
	}
}

// TestKilledInBootstrap starts from a log in which raft set the first term and wrote nothing else.
func TestKilledInBootstrap(t *testing.T) {
	dir := t.TempDir()
	store, err := openLog(filepath.Join(dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.SetUint64([]byte(termName), 1), store.Close()); err != nil {
		t.Fatal(err)
	}
	lead(t, start(t, Config{Dir: dir, Machine: &recorder{}}))
}

func TestStartRefuses(t *testing.T) {
	taken := t.TempDir()
	n := start(t, Config{Dir: taken, NodeID: "a", Machine: &recorder{}})
	lead(t, n)
	stop(t, n)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		ctx  context.Context
		c    Config
		want string
	}{
		"log of another node": {deadline(t), Config{Dir: taken, NodeID: "b"}, "not of node b"},
		"no node ID":          {deadline(t), Config{Dir: t.TempDir()}, "LocalID"},
		"slow multiplier":     {deadline(t), Config{Dir: t.TempDir(), NodeID: "a", Multiplier: 11}, "multiplier 11"},
		"fast multiplier":     {deadline(t), Config{Dir: t.TempDir(), NodeID: "a", Multiplier: 0.01}, "multiplier 0.01"},
		"canceled":            {canceled, Config{Dir: t.TempDir(), NodeID: "a"}, "canceled"},
		"a file":              {deadline(t), Config{Dir: file, NodeID: "a"}, file},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.c.Machine, test.c.Logger = &recorder{}, slog.New(slog.DiscardHandler)
			n, err := Start(test.ctx, test.c)
			if err == nil {
				stop(t, n)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not name %q", err, test.want)
			}
		})
	}
}

func TestApplyRefusesLargeEntries(t *testing.T) {
	n := start(t, Config{Dir: t.TempDir(), Machine: &recorder{}})
	lead(t, n)
	if _, err := n.Apply(deadline(t), make([]byte, MaxEntry)); err != nil {
		t.Error(err)
	}
	if _, err := n.Apply(deadline(t), make([]byte, MaxEntry+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestApplyOfFollower(t *testing.T) {
	n := start(t, Config{Dir: t.TempDir(), Machine: &recorder{}, Multiplier: 10}) // no election for 10 s
	if _, err := n.Apply(deadline(t), []byte("x")); !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
	if err := n.Barrier(deadline(t)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("got %v", err)
	}
	if n.IsLeader() {
		t.Error("the node thinks it is leader")
	}
}

// TestApplyHeedsContext hangs the state machine, as a hung disk would hang raft.
func TestApplyHeedsContext(t *testing.T) {
	m := &recorder{block: make(chan struct{})}
	stuck := make(chan error, 10)
	n := start(t, Config{Dir: t.TempDir(), Machine: m, StuckAfter: 50 * time.Millisecond, OnStuck: func(err error) { stuck <- err }})
	var once sync.Once
	unblock := func() { once.Do(func() { close(m.block) }) }
	t.Cleanup(unblock)
	lead(t, n)

	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() {
		_, err := n.Apply(ctx, []byte("x"))
		answered <- err
	}()
	select {
	case err := <-stuck:
		if !strings.Contains(err.Error(), "apply has been outstanding") {
			t.Errorf("reported %v", err)
		}
	case <-deadline(t).Done():
		t.Fatal("the watchdog did not bark")
	}
	cancel()
	select {
	case err := <-answered:
		if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-deadline(t).Done():
		t.Fatal("Apply does not heed its context")
	}
	if _, err := n.Apply(ctx, []byte("y")); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("Apply with an ended context: %v", err)
	}
	if err := n.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown of a hung node: %v", err)
	}
	unblock()
	stop(t, n)
	if len(stuck) != 0 {
		t.Errorf("one hung operation was reported again: %v", <-stuck)
	}
	if d := cmp.Diff([]string{"x"}, m.seen()); d != "" {
		t.Error(d)
	}
}

func TestStuckIsReportedOnce(t *testing.T) {
	var p pending
	op, err := p.begin("apply")
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range []int{0, 0, 1, 0, 0} { // seconds after the begin, at a limit of one and a half
		if got := p.stuck(op.since.Add(time.Duration(after)*time.Second), 3*time.Second/2); len(got) != want {
			t.Errorf("after %d s: %v", after, got)
		}
	}
	p.end(op)
	p.close()
	p.wait(time.Hour)
	if _, err := p.begin("apply"); !errors.Is(err, ErrShutdown) {
		t.Errorf("begun after the end: %v", err)
	}
}

// raft never answers an entry that it had queued but not taken up when it stopped.
func TestShutdownUnderLoad(t *testing.T) {
	for range 20 {
		n := start(t, Config{Dir: t.TempDir(), Machine: &recorder{}})
		lead(t, n)
		var callers sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		applied := make(chan struct{}, 64)
		for range 32 {
			callers.Go(func() {
				for ctx.Err() == nil {
					if _, err := n.Apply(ctx, []byte("x")); err != nil {
						return
					}
					select {
					case applied <- struct{}{}:
					default:
					}
				}
			})
		}
		<-applied
		stop(t, n)
		cancel()
		callers.Wait()
	}
}

func TestAfterShutdown(t *testing.T) {
	n := start(t, Config{Dir: t.TempDir(), Machine: &recorder{}})
	lead(t, n)
	stop(t, n)
	if _, err := n.Apply(deadline(t), []byte("x")); !errors.Is(err, ErrShutdown) {
		t.Errorf("got %v", err)
	}
	if err := n.Barrier(deadline(t)); !errors.Is(err, ErrShutdown) {
		t.Errorf("got %v", err)
	}
	if n.IsLeader() {
		t.Error("still leader")
	}
	stop(t, n)
}

func TestKnownErrors(t *testing.T) {
	for err, want := range map[error]error{
		raft.ErrNotLeader:                    ErrNotLeader,
		raft.ErrLeadershipTransferInProgress: ErrNotLeader,
		raft.ErrLeadershipLost:               ErrUnknownOutcome,
		raft.ErrRaftShutdown:                 ErrUnknownOutcome,
		io.ErrShortWrite:                     ErrUnknownOutcome,
	} {
		if got := known(err); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v becomes %v, want %v", err, got, want)
		}
	}
	if known(nil) != nil {
		t.Error("success becomes an error")
	}
}

func TestRaftLogsThroughSlog(t *testing.T) {
	var buf bytes.Buffer
	logger := raftLogger(slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelInfo})))
	logger.Named("snapshot").Error("failed", "error", io.ErrShortWrite, "odd")
	logger.Error("failed to heartbeat to", "peer", "n2")
	logger.Warn("failed to contact", "server-id", "n2")
	logger.Warn("election", "term", 3)
	logger.Info("entering leader state", "leader", t)
	logger.Debug("vote")
	var got []map[string]string
	for line := range strings.Lines(buf.String()) {
		var m map[string]string
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		got = append(got, m)
	}
	want := []map[string]string{
		{"level": "ERROR", "msg": "failed", "error": "short write", "component": "raft"},
		{"level": "WARN", "msg": "failed to heartbeat to", "peer": "n2", "component": "raft"},
		{"level": "INFO", "msg": "failed to contact", "server-id": "n2", "component": "raft"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
