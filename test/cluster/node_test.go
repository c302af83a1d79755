package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
)

// node is one node of a cluster. It is started again and again by the same command line.
type node struct {
	name               string
	data               string
	log                string // file with what it said, over all starts
	http, peer, gossip int
	args               []string
	prefix             []string // what its command lines begin with, such as a network namespace
	wrap               []string // what starts the node itself inside, besides: such as a mount namespace
	cmd                *exec.Cmd
	exited             chan struct{} // closed when the process ended and was waited for
}

// start runs the node.
func (n *node) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("open log: %v", err)
	}
	defer log.Close()
	line := append(slices.Clone(n.wrap), n.line(n.args)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = binary.Environment()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", n.name, err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is told by its state and its log
	}()
	n.cmd, n.exited = cmd, exited
}

// line is the command line of the binary with some arguments.
func (n *node) line(args []string) []string {
	return append(append(slices.Clone(n.prefix), shared.binary), args...)
}

// running tells whether the process has not ended.
func (n *node) running() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process.
func (n *node) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal %s: %v", n.name, err)
	}
}

// kill ends the node as a power loss would.
func (n *node) kill(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGKILL)
	<-n.exited
}

// stopLimit bounds an orderly stop.
const stopLimit = 20 * time.Second

// stop ends the node in order.
func (n *node) stop(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGTERM)
	n.waitExit(t, 0)
}

// waitEnd waits until the node ends, however it does.
func (n *node) waitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-n.exited:
	case <-time.After(stopLimit):
		t.Fatalf("%s does not end within %v", n.name, stopLimit)
	}
}

// waitExit waits until the node ends by itself, and checks its exit code.
func (n *node) waitExit(t *testing.T, code int) {
	t.Helper()
	n.waitEnd(t)
	if got := n.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit %d, want %d", n.name, got, code)
	}
}

// said returns what the node logged so far.
func (n *node) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(n.log)
	if err != nil {
		t.Fatalf("read log: %v", err)
	}
	return string(text)
}

// waitSaid waits for a line of the node's log that holds all words, and returns it.
func (n *node) waitSaid(t *testing.T, words ...string) string {
	t.Helper()
	var found string
	eventually(t, 15*time.Second, fmt.Sprintf("%s says %q", n.name, words), func() bool {
		for line := range strings.Lines(n.said(t)) {
			if holdsAll(line, words) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func holdsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// brigade runs the binary at the node's data directory and returns what it printed.
func (n *node) brigade(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	line := append(n.line(args), "--data", n.data)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = binary.Environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %v at %s: %w: %s", args, n.name, err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// must is brigade for what has to succeed.
func (n *node) must(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := n.brigade(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// id is the node's ID, which it made itself.
func (n *node) id(t *testing.T) string {
	t.Helper()
	return n.selfID(t, filepath.Join(n.data, "node.json"))
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// freePort finds a port that is free for TCP and UDP, and that no other test was given. It lies below those that the system
// gives to outgoing connections, so that it is still free when a node comes back to it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(20000)
		if _, taken := shared.ports.LoadOrStore(port, true); taken {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		return port
	}
	t.Fatal("no free port found")
	return 0
}
