package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// mounted is a directory at the top of a mount of its own, bare the empty one under the mount point.
func mounted(inode uint64) *store.Identity {
	return &store.Identity{Type: "nfs4", Source: "srv:/export", MountRoot: "/", MountPoint: "/mnt/data", MountInode: 2, Inode: inode}
}

func bare(inode uint64) *store.Identity {
	return &store.Identity{Type: "ext4", Machine: "m", MountRoot: "/", MountPoint: "/", MountInode: 2, Inode: inode, Empty: true}
}

func full(id *store.Identity) *store.Identity { id.Empty = false; return id }

func TestChoose(t *testing.T) {
	other := mounted(7)
	other.Source = "srv:/other"
	for name, test := range map[string]struct {
		sides [][2]*store.Identity // of nodes n0, n1, ...
		want  string
	}{
		"one node":                          {[][2]*store.Identity{{bare(1), nil}}, "n0"},
		"a mount beats the bare ones":       {[][2]*store.Identity{{bare(1), nil}, {bare(1), nil}, {mounted(5), nil}}, "n2"},
		"also where it is empty":            {[][2]*store.Identity{{full(bare(1)), nil}, {&store.Identity{Type: "tmpfs", MountPoint: "/mnt", Inode: 1, Empty: true}, nil}}, "n1"},
		"most of the mounted":               {[][2]*store.Identity{{mounted(5), nil}, {other, nil}, {other, nil}}, "n1"},
		"as many: not empty":                {[][2]*store.Identity{{bare(1), nil}, {full(bare(2)), nil}}, "n1"},
		"as many, all alike: the lowest":    {[][2]*store.Identity{{full(bare(1)), nil}, {full(bare(2)), nil}}, "n0"},
		"destination missing on all":        {[][2]*store.Identity{{nil, bare(0)}, {nil, bare(0)}, {nil, mounted(0)}}, "n2"},
		"both sides on one node":            {[][2]*store.Identity{{mounted(5), bare(1)}, {bare(1), mounted(6)}, {mounted(5), mounted(6)}}, "n2"},
		"each side on another node":         {[][2]*store.Identity{{mounted(5), bare(1)}, {bare(1), mounted(6)}}, ""},
		"a source of one, the destinations": {[][2]*store.Identity{{bare(1), full(bare(4))}, {full(bare(2)), bare(5)}}, "n1"},
	} {
		t.Run(name, func(t *testing.T) {
			var found []finding
			for i, s := range test.sides {
				p := Preflight{Job: JobKey{Pass: 1}, OK: true, Source: s[0], Destination: s[1]}
				found = append(found, finding{preflightAt{Preflight: p}, fmt.Sprintf("n%d", i)})
			}
			got := ""
			if best := choose(found); best != nil {
				got = best.node
			}
			if got != test.want {
				t.Errorf("chose what %q has, want %q", got, test.want)
			}
		})
	}
}

// standingOf is what the status of job a says of a node.
func (r *rig) standingOf(node string) Standing {
	r.t.Helper()
	st, _ := r.leader.Status("a")
	for _, s := range st.Nodes {
		if s.Node == node {
			return s
		}
	}
	r.t.Fatalf("the status says nothing of %s: %+v", node, st.Nodes)
	return Standing{}
}

// TestNodeElsewhere: a node whose path leads elsewhere gets no task, is shown with the reason, looked at again, and works as
// soon as its mount is there.
func TestNodeElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("a-bare", 4)
		p.source, q.source = mounted(5), bare(1)
		r.submit("a", 0)
		q.poll()
		if s := r.standingOf("a-bare"); s.Ready || s.Class != "" || s.Reason == "" {
			t.Errorf("nothing is fixed yet, but the node's standing is %+v", s)
		}
		p.poll()
		scan := p.work()[0].Task
		if err := p.do(cutsOf(&scan, 0, 5, true)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range 6 {
			if resp := q.poll(); len(resp.Assignments) > 0 {
				t.Fatalf("assigned %+v", resp.Assignments)
			}
		}
		s := r.standingOf("a-bare")
		if s.Ready || s.Side != "source" || s.Class != "config" || !strings.Contains(s.Reason, "mounted at /mnt/data") || !strings.Contains(s.Reason, "mounted at /,") {
			t.Errorf("standing %+v", s)
		}
		if !r.standingOf("n").Ready {
			t.Errorf("standing %+v", r.standingOf("n"))
		}
		q.source = mounted(5)
		for range 20 {
			p.poll()
			if len(q.poll().Assignments) > 0 {
				break
			}
		}
		if d := time.Since(begin); len(q.running) == 0 || d > 2*preflightRetry {
			t.Errorf("works again with %d tasks after %v", len(q.running), d)
		}
	})
}

// TestPlacesAwaitNodes: what a pass works with is fixed when all live nodes have said what they have, or after a window.
func TestPlacesAwaitNodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		p.source = bare(1)
		if _, err := r.leader.Sync(t.Context(), SyncRequest{Node: "m", Instance: "m-1", Term: 1, Seq: 1, Slots: 1, Want: 1, Wait: 0}); err != nil {
			t.Fatal(err)
		}
		r.submit("a", 0)
		begin := time.Now()
		p.poll()
		synctest.Wait()
		if r.job("a").Places != nil {
			t.Error("fixed while a node has not said what it has")
		}
		r.eventually("fixed", func() bool { return r.job("a").Places != nil })
		if d := time.Since(begin); d < placeWindow || d > placeWindow+time.Second {
			t.Errorf("fixed after %v", d)
		}
		r.eventually("started", func() bool { return r.job("a").State == fsm.Running })
	})
}

// TestClusterSettles: in a cluster a young leader has not heard of all nodes yet, and fixes nothing.
func TestClusterSettles(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		p.source = bare(1)
		r.submit("a", 0)
		begin := time.Now()
		p.poll()
		r.eventually("fixed", func() bool { return r.job("a").Places != nil })
		if d := time.Since(begin); d < settleTime {
			t.Errorf("fixed after %v", d)
		}
	}, func(cfg *LeaderConfig) { cfg.Node = "n" })
}

// firstPassOf brings job a to the end of its first pass.
func firstPassOf(r *rig, p *puppet) {
	r.t.Helper()
	if err := p.do(cutsOf(scanning(r, p), 0, 0, true)); err != nil {
		r.t.Fatal(err)
	}
	r.eventually("finished", func() bool { return r.job("a").State == fsm.Succeeded })
}

// request asks for the next pass of job a while the puppet polls.
func request(r *rig, p *puppet) (err error) {
	r.t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() { _, err = r.leader.RequestPass(r.t.Context(), "a") })
	synctest.Wait()
	p.poll()
	wg.Wait()
	return err
}

// TestPlaceGoneBetweenPasses: a later pass needs the mount of the earlier ones; in it the directory may be another.
func TestPlaceGoneBetweenPasses(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		p.source = mounted(5)
		firstPassOf(r, p)
		p.source = bare(1)
		err := request(r, p)
		var failed *PreflightError
		if !errors.As(err, &failed) || failed.Class != "config" {
			t.Fatalf("pass over a bare mount point: %v", err)
		}
		for _, words := range []string{"nfs4 srv:/export mounted at /mnt/data", "ext4 mounted at /,", "redo"} {
			if !strings.Contains(failed.Reason, words) {
				t.Errorf("the reason %q does not say %q", failed.Reason, words)
			}
		}
		p.source = mounted(9)
		if err := request(r, p); err != nil || r.job("a").Pass != 2 {
			t.Errorf("pass over another directory of the mount: %v", err)
		}
		got, err := readPlaces(r.job("a").Places)
		if err != nil || got.pass != 2 || got.source.Inode != 9 {
			t.Errorf("places %+v, %v", got, err)
		}
	})
}

// TestPlaceGoneInPass: within a pass the directory must stay the same, and a job whose nodes all have another one is paused
// with the reason: at once by a node alone, in a cluster after a while.
func TestPlaceGoneInPass(t *testing.T) {
	for _, leader := range []string{"", "n"} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.puppet("n", 1)
			p.destination = mounted(5)
			scan := scanning(r, p)
			p.destination = mounted(6)
			begin := time.Now()
			if err := p.do(fsm.ReleaseTasks{Tasks: []fsm.TaskEpoch{{Task: scan.ID, Epoch: scan.Epoch}}}); err != nil {
				t.Fatal(err)
			}
			report := Preflight{Job: keyOf(r.job("a"), 1), OK: true, Destination: mounted(6)}
			for r.job("a").State == fsm.Running && time.Since(begin) < 3*time.Minute {
				p.report(report)
				if len(p.poll().Assignments) > 0 {
					t.Fatal("given a task")
				}
			}
			job, took := r.job("a"), time.Since(begin)
			if job.State != fsm.Paused || job.Class != "config" || !strings.Contains(job.Reason, "directory inode 6") || !strings.Contains(job.Reason, "continue") {
				t.Errorf("leader %q: job is %s: %s", leader, job.State, job.Reason)
			}
			if (took >= stuckPatience) != (leader != "") {
				t.Errorf("leader %q: paused after %v", leader, took)
			}
			after(2 * dispatchTick) // the leader forgets what it was told
			p.destination = mounted(5)
			r.must(fsm.ContinueJob{Job: "a", Nonce: nonceOf("a")})
			if as := p.work(); len(as) != 1 {
				t.Errorf("with the place back: assigned %+v", as)
			}
		}, func(cfg *LeaderConfig) { cfg.Node = leader })
	}
}

// TestNoNodeHasBoth: nothing is read from or written to a bare mount point only since another node lacks another mount.
func TestNoNodeHasBoth(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		p.source, p.destination = mounted(5), bare(1)
		q.source, q.destination = bare(1), mounted(6)
		r.submit("a", 0)
		p.poll()
		q.poll()
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		if job := r.job("a"); !strings.Contains(job.Reason, "mount both") {
			t.Errorf("paused: %s", job.Reason)
		}
	})
}

// TestReasonsOfAllNodes: a job that fails on every node for reasons of their own says so.
func TestReasonsOfAllNodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, q := r.puppet("n", 1), r.puppet("m", 1)
		r.submit("a", 0)
		key := keyOf(r.job("a"), 1)
		for _, w := range []*puppet{p, q} {
			if _, err := r.leader.Sync(t.Context(), w.request()); err != nil {
				t.Fatal(err)
			}
		}
		p.report(Preflight{Job: key, Class: "config", Side: "destination", Reason: "no such bucket"})
		if s := r.standingOf("n"); s.Ready || s.Side != "destination" || s.Class != "config" || s.Reason != "no such bucket" {
			t.Errorf("standing %+v", s)
		}
		q.report(Preflight{Job: key, Class: "auth", Reason: "denied"})
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		if got, want := r.job("a").Reason, "none of 2 nodes can work on the job; m: denied; n: no such bucket"; got != want {
			t.Errorf("paused: %q, want %q", got, want)
		}
	})
}

// ground is what a path leads to on a node; opened stores keep what it led to.
type ground struct {
	mu     sync.Mutex
	now    *store.Identity
	opened int
}

func (g *ground) set(id *store.Identity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = id
}

func (g *ground) open(_ context.Context, job *fsm.Job) (*transfer.Job, Preflight, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	return &transfer.Job{ID: job.ID, Source: placed{g: g, id: g.now}}, Preflight{Source: g.now}, nil
}

// placed is a store that knows its place.
type placed struct {
	store.Source
	g  *ground
	id *store.Identity
}

func (p placed) Close() error                                     { return nil }
func (p placed) Identity(context.Context) (store.Identity, error) { return *p.id, nil }
func (p placed) SamePlace(context.Context) error {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if p.g.now != p.id {
		return errors.New("unmounted")
	}
	return nil
}

// TestPlaceBeforeEachTask: a worker runs no task on what its path leads to unless that is what the job works with, and
// opens a job anew when it leads elsewhere.
func TestPlaceBeforeEachTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		g := &ground{now: mounted(5)}
		var mu sync.Mutex
		var ran []*store.Identity
		run := runnerFunc(func(ctx context.Context, job *transfer.Job, task transfer.Task, _ transfer.Lease, ledger transfer.Ledger) error {
			mu.Lock()
			ran = append(ran, job.Source.(placed).id)
			n := len(ran)
			mu.Unlock()
			if n == 2 {
				g.set(bare(1)) // under the next task
			}
			return transfer.ErrStopped // given back, and granted again
		})
		w := NewWorker(WorkerConfig{Node: "n", Runner: run, Leader: r.leader, Open: g.open, Slots: 1, Clock: bubbleClock{}, Spool: r.spool,
			Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		r.submit("a", 0)
		r.eventually("paused", func() bool { return r.job("a").State == fsm.Paused })
		mu.Lock()
		for _, id := range ran {
			if id.Type != "nfs4" {
				t.Errorf("a task ran on %s", id)
			}
		}
		if len(ran) != 2 || g.opened != 2 {
			t.Errorf("%d tasks ran, opened %d times", len(ran), g.opened)
		}
		mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type runnerFunc func(context.Context, *transfer.Job, transfer.Task, transfer.Lease, transfer.Ledger) error

func (f runnerFunc) Run(ctx context.Context, job *transfer.Job, task transfer.Task, lease transfer.Lease, ledger transfer.Ledger) error {
	return f(ctx, job, task, lease, ledger)
}

// TestPlacesRoundTrip: what is recorded reads as what was reported.
func TestPlacesRoundTrip(t *testing.T) {
	p := Preflight{Job: JobKey{Pass: 3}, OK: true, Source: mounted(5), Destination: bare(0)}
	cmd, err := fixPlaces(&fsm.Job{ID: "a", Nonce: nonceOf("a")}, p.Job, &p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(cmd)
	var back fsm.FixPlaces
	if err = errors.Join(err, json.Unmarshal(text, &back)); err != nil {
		t.Fatal(err)
	}
	got, err := readPlaces(&fsm.Places{Pass: back.Pass, Source: back.Source, Destination: back.Destination})
	if err != nil || got.pass != 3 || *got.source != *p.Source || *got.destination != *p.Destination {
		t.Errorf("read %+v, %v", got, err)
	}
}
