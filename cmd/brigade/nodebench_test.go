package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

// nodeBench is a machine with a node in this process, and a user at its command line.
type nodeBench struct {
	*bench
	data string
	args []string // of its last start
	log  lockedBuffer
	end  chan int // exit code of the node
	kill chan os.Signal
	wrap []string // what a process of its own is started by
}

// startNode starts a node and returns when it leads.
func startNode(t *testing.T, args ...string) *nodeBench {
	t.Helper()
	n := &nodeBench{bench: newBench(t)}
	n.data = filepath.Join(n.dir, "data")
	n.env["BRIGADE_DATA"] = n.data
	n.start(args...)
	return n
}

func (n *nodeBench) start(args ...string) {
	n.t.Helper()
	n.args = args
	n.end, n.kill = make(chan int, 1), make(chan os.Signal, 2)
	a := &app{
		in: strings.NewReader(""), out: &n.log, err: &n.log, signals: n.kill, getenv: n.app.getenv, stores: n.app.stores,
	}
	end, kill := n.end, n.kill
	go func() {
		end <- a.run(context.Background(), append([]string{"node", "start", "--http", "127.0.0.1:0"}, args...))
	}()
	n.t.Cleanup(func() {
		kill <- os.Interrupt
		select {
		case end <- <-end:
		case <-time.After(patience):
			n.t.Error("the node does not end")
		}
	})
	n.waitForNode()
}

// waitForNode returns when the node answers and leads.
func (n *nodeBench) waitForNode() {
	n.t.Helper()
	n.eventually("the node leads", func() bool {
		c, err := n.app.client(&clientFlags{})
		if err != nil {
			return false
		}
		defer c.Close()
		m, err := c.Machines(n.t.Context())
		return err == nil && m.Leader != ""
	})
}

// eventually waits for a condition that no channel tells of.
func (n *nodeBench) eventually(what string, is func() bool) {
	n.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case code := <-n.end:
			n.end <- code
			n.t.Fatalf("the node ended with %d before %s; it logged:\n%s", code, what, n.log.String())
		case <-over:
			n.t.Fatalf("waited in vain for: %s; the node logged:\n%s", what, n.log.String())
		}
	}
}

// jobFile writes a job file.
func (n *nodeBench) jobFile(id string, more ...string) string {
	n.t.Helper()
	name := filepath.Join(n.dir, id+".yaml")
	text := fmt.Sprintf("id: %s\nsource: {url: %q}\ndestination: {url: %q}\n%s\n", id, n.src, n.dst, strings.Join(more, "\n"))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return name
}

// status is the document of a job.
func (n *nodeBench) status(id string) (d api.Job) {
	n.t.Helper()
	out, _ := n.run(codeDone, "ctl", "status", "--jobID", id, "--json")
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		n.t.Fatalf("%s: %v", out, err)
	}
	return d
}

func (n *nodeBench) reaches(id string, state fsm.JobState) {
	n.t.Helper()
	n.eventually(fmt.Sprintf("%s is %s", id, state), func() bool { return n.status(id).State == state })
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// process starts a node as a process of its own.
func (n *nodeBench) process() *exec.Cmd {
	n.t.Helper()
	return n.processWith(nil)
}

// processWith is process with variables and arguments of its own.
func (n *nodeBench) processWith(env []string, args ...string) *exec.Cmd {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	line := append(slices.Clone(n.wrap), self, "node", "start", "--http", "127.0.0.1:0", "--data", n.data)
	line = append(line, args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), asBrigade+"=1", "XDG_STATE_HOME="+n.env["XDG_STATE_HOME"])
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = &n.log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
				n.t.Error(err)
			}
		}
	})
	return cmd
}
