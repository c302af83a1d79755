package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// watching is a command that watches while the test goes on.
type watching struct {
	*bench
	code chan int
	out  lockedBuffer
}

// watch starts ctl status --watch beside the test, on a terminal or not.
func (n *nodeBench) watch(t *testing.T, terminal bool, args ...string) *watching {
	t.Helper()
	w := &watching{bench: n.as(t), code: make(chan int, 1)}
	w.signals = make(chan os.Signal, 2)
	w.app.signals, w.app.out = w.signals, &w.out
	w.app.terminals.out = terminal
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.code <- w.app.run(ctx, append([]string{"ctl", "status", "--watch"}, args...)) }()
	t.Cleanup(func() {
		cancel()
		w.code <- <-w.code // where the test has not waited for it
	})
	return w
}

// ends waits for the command and checks its exit code.
func (w *watching) ends(code int) string {
	w.t.Helper()
	got := <-w.code
	w.code <- got
	if got != code {
		w.t.Fatalf("exit %d, want %d\n%s%s", got, code, w.out.String(), w.stderr.String())
	}
	return w.out.String()
}

// gated has writes wait until the function returned is called.
func (n *nodeBench) gated() (open func()) {
	gate := make(chan struct{})
	n.put = func(ctx context.Context, _ string) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return func() { close(gate) }
}

// TestWatchEndsWithTheJob watches one job to its end, in lines, in documents, and on a terminal.
func TestWatchEndsWithTheJob(t *testing.T) {
	t.Parallel() // it mostly waits
	n := startNode(t)
	open := n.gated()
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Running)
	lines := n.watch(t, false, "--jobID", "photos")
	documents := n.watch(t, true, "--jobID", "photos", "--json")
	screen := n.watch(t, true, "--jobID", "photos")
	for _, w := range []*watching{lines, documents, screen} {
		n.eventually("the first look", func() bool { return strings.Contains(w.out.String(), "running") })
	}
	open()
	text := lines.ends(codeDone)
	if all := strings.Split(strings.TrimSpace(text), "\n"); len(all) < 2 || !strings.HasPrefix(all[0], "photos is running, pass 1") ||
		!strings.HasPrefix(all[len(all)-1], "photos is succeeded, pass 1, 100% settled, 10 copied, 0 failed") {
		t.Errorf("lines:\n%s", text)
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("not a terminal, but drawn on: %q", text)
	}
	all := strings.Split(strings.TrimSpace(documents.ends(codeDone)), "\n")
	for _, line := range []string{all[0], all[len(all)-1]} {
		var d api.Job
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.ID != "photos" {
			t.Errorf("%s: %v", line, err)
		}
	}
	drawn := screen.ends(codeDone)
	if !strings.HasPrefix(drawn, clearScreen) || strings.Count(drawn, clearScreen) != 1 || !strings.Contains(drawn, toTheTop+"job        photos"+clearLine) ||
		!strings.HasSuffix(drawn, clearBelow) || !strings.Contains(drawn, "succeeded") {
		t.Errorf("drawn %q", drawn)
	}
}

// TestWatchExitCodes: the end of a job gives the code that import would have.
func TestWatchExitCodes(t *testing.T) {
	t.Parallel() // it mostly waits
	n := startNode(t)
	n.put = func(_ context.Context, key string) error {
		if strings.HasSuffix(key, "/3") {
			return &store.Error{Op: "put", Key: key, Class: store.Permanent, Err: errors.New("bad name")}
		}
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("fails"))
	n.watch(t, false, "--jobID", "fails").ends(codeFailed)

	n.run(codeDone, "ctl", "add", n.jobFile("differs", "type: verify"))
	n.watch(t, false, "--jobID", "differs").ends(codeDiffers)

	n.put = nil
	if err := os.RemoveAll(n.dst); err != nil {
		t.Fatal(err)
	}
	defer n.gated()()
	n.run(codeDone, "ctl", "add", n.jobFile("pauses"))
	n.reaches("pauses", fsm.Running)
	w := n.watch(t, false, "--jobID", "pauses")
	n.eventually("the first look", func() bool { return strings.Contains(w.out.String(), "running") })
	n.run(codeDone, "ctl", "pause", "pauses", "--reason", "lunch")
	contains(t, "line", w.ends(codeRefused), "pauses is paused: lunch")
	n.watch(t, false, "--jobID", "pauses").ends(codeRefused)
	n.watch(t, false, "--jobID", "nope").ends(codeRefused)
}

// TestWatchIsInterrupted: to end a watch is no failure, unless the end of a job was waited for.
func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel() // it mostly waits
	n := startNode(t)
	defer n.gated()()
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Running)
	for _, test := range []struct {
		args []string
		line string
		code int
	}{
		{nil, "1 job: 1 running; 0 objects failed", codeDone},
		{[]string{"--machine"}, "1 node: 1 alive;", codeDone},
		{[]string{"--ip", "127.0.0.1"}, "slots busy", codeDone},
		{[]string{"--jobID", "photos"}, "photos is running", codeInterrupted},
	} {
		w := n.watch(t, false, test.args...)
		n.eventually("the first look", func() bool { return strings.Contains(w.out.String(), test.line) })
		w.signals <- os.Interrupt
		w.ends(test.code)
	}
}

// TestWatchOutlivesANode stops the node that is watched and starts it again.
func TestWatchOutlivesANode(t *testing.T) {
	t.Parallel() // it mostly waits
	addr := closedPort(t)
	n := startNode(t, "--http", addr)
	open := n.gated()
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Running)
	w := n.watch(t, true, "--jobID", "photos")
	n.eventually("the first look", func() bool { return strings.Contains(w.out.String(), "running") })
	n.kill <- os.Interrupt
	if code := <-n.end; code != codeDone {
		t.Fatalf("exit %d", code)
	}
	n.end <- codeDone
	alive := n.as(t)
	for !strings.Contains(w.out.String(), "no answer yet: no node answers at http://"+addr) {
		select {
		case <-w.code:
			t.Fatalf("the watch ended: %s", w.stderr.String())
		default:
			alive.run(codeRefused, "ctl", "status", "--addr", addr) // takes its time
		}
	}
	open()
	n.start("--http", addr)
	if drawn := w.ends(codeDone); !strings.Contains(drawn, "succeeded") {
		t.Errorf("drawn %q", drawn)
	}
}
