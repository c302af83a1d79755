//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
)

// supervised is a node in a process of its own, and what stands in for systemd: a socket that it is told on.
type supervised struct {
	*nodeBench
	cmd  *exec.Cmd
	told chan string // each assignment of each message; closed with the socket
}

// supervise starts a node with a notification socket.
func supervise(t *testing.T, env []string, args ...string) *supervised {
	t.Helper()
	return superviseBy(t, nil, env, args...)
}

// superviseBy is supervise with a command that the node is started by.
func superviseBy(t *testing.T, wrap, env []string, args ...string) *supervised {
	t.Helper()
	s := &supervised{nodeBench: &nodeBench{bench: newBench(t), end: make(chan int, 1), wrap: wrap}, told: make(chan string, 1000)}
	s.data = filepath.Join(s.dir, "data")
	s.env["BRIGADE_DATA"] = s.data
	address := filepath.Join(s.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		defer close(s.told)
		for message := make([]byte, 4096); ; {
			n, err := socket.Read(message)
			if err != nil {
				return
			}
			for lines := bufio.NewScanner(strings.NewReader(string(message[:n]))); lines.Scan(); {
				s.told <- lines.Text()
			}
		}
	}()
	s.cmd = s.processWith(append(env, "NOTIFY_SOCKET="+address), args...)
	return s
}

// hears waits for an assignment that begins in a way, and returns it and all that came before it.
func (s *supervised) hears(start string) (heard string, before []string) {
	s.t.Helper()
	over := time.After(patience)
	for {
		select {
		case line, open := <-s.told:
			if strings.HasPrefix(line, start) {
				return line, before
			}
			if !open {
				s.t.Fatalf("no %s; heard %q", start, before)
			}
			before = append(before, line)
		case <-over:
			s.t.Fatalf("waited in vain for %s; heard %q; the node logged:\n%s", start, before, s.log.String())
		}
	}
}

func (s *supervised) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the process and checks its exit code.
func (s *supervised) ends(code int) {
	s.t.Helper()
	if err := ignoreExit(s.cmd.Wait()); err != nil {
		s.t.Fatal(err)
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit %d, want %d; the node logged:\n%s", got, code, s.log.String())
	}
}

// TestSupervisorIsTold follows a node through readiness, watchdog, reloads and stop, as systemd hears of them.
func TestSupervisorIsTold(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "node.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log-level: info\nmemory: 64MiB\nconcurrency: 8\n")
	s := supervise(t, []string{"WATCHDOG_USEC=400000"}, "--config", file) // every 0.2 s, then
	s.hears("READY=1")
	if status, _ := s.hears("STATUS="); !strings.Contains(status, "leads, 127.0.0.1:") {
		t.Errorf("said %q", status)
	}
	s.waitForNode() // that is ready answers
	for range 3 {
		s.hears("WATCHDOG=1")
	}

	write("log-level: debug\nmemory: 32MiB\nconcurrency: 9\n")
	s.signal(syscall.SIGHUP)
	s.hears("RELOADING=1")
	if usec, _ := s.hears("MONOTONIC_USEC="); len(usec) < len("MONOTONIC_USEC=")+4 {
		t.Errorf("said %q", usec)
	}
	s.hears("READY=1")
	s.eventually("the reload is logged", func() bool { return strings.Contains(s.log.String(), "configuration reloaded") })
	contains(t, "log", s.log.String(), "flag=log-level from=info to=debug", "flag=memory from=64MiB to=32MiB",
		`msg="takes a restart" flag=concurrency now=8 then=9`)
	s.eventually("the log is more verbose", func() bool {
		s.run(codeDone, "ctl", "set", "task_stall=")
		return strings.Contains(s.log.String(), "level=DEBUG")
	})

	write("log-levl: debug\n")
	s.signal(syscall.SIGHUP)
	s.hears("READY=1")
	if status, _ := s.hears("STATUS=reload failed"); !strings.Contains(status, `did you mean "log-level"`) || !strings.Contains(status, "leads") {
		t.Errorf("said %q", status)
	}
	contains(t, "log", s.log.String(), "what held before holds on")

	s.signal(syscall.SIGTERM)
	s.hears("STOPPING=1")
	s.ends(codeDone)
}

// TestReadyMeansUsable: a node that waits for others says so, and is ready only once they are there.
func TestReadyMeansUsable(t *testing.T) {
	key := filepath.Join(t.TempDir(), "cluster.key")
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	args := []string{"--cluster-key-file", key, "--bind", "127.0.0.1", "--peer-port", "0", "--gossip-port", "0", "--bootstrap-expect", "2"}
	first := supervise(t, nil, args...)
	status, before := first.hears("STATUS=")
	if !strings.Contains(status, "waits for a leader") || len(before) > 0 {
		t.Errorf("said %q after %q", status, before)
	}
	first.eventually("it says its gossip address", func() bool { return strings.Contains(first.log.String(), "gossip=") })
	second := supervise(t, nil, append(args, "--join", first.gossip())...)
	if _, before = first.hears("READY=1"); len(before) > 0 {
		t.Errorf("before it was ready it said %q", before)
	}
	second.hears("READY=1")
	if status, _ := second.hears("STATUS="); !strings.Contains(status, "leads") && !strings.Contains(status, "follows") {
		t.Errorf("said %q", status)
	}
}

// TestKeyFileAtReload puts another key into the file of a node that runs.
func TestKeyFileAtReload(t *testing.T) {
	key := filepath.Join(t.TempDir(), "cluster.key")
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	s := supervise(t, nil, "--cluster-key-file", key, "--bind", "127.0.0.1", "--peer-port", "0", "--gossip-port", "0")
	s.hears("READY=1")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.eventually("the missing key is said", func() bool { return strings.Contains(s.log.String(), "its key file cannot be read") })
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.eventually("the other key is said", func() bool { return strings.Contains(s.log.String(), "its key file has lost the key") })
	s.signal(syscall.SIGTERM)
	s.ends(codeDone)
}

// TestStops: a signal stops in order, two at once, and what takes too long is cut off.
func TestStops(t *testing.T) {
	t.Run("in order", func(t *testing.T) {
		s := supervise(t, nil)
		s.waitForNode()
		s.run(codeDone, "ctl", "add", s.jobFile("photos"))
		s.reaches("photos", fsm.Succeeded)
		s.signal(syscall.SIGINT)
		s.ends(codeDone)
		contains(t, "log", s.log.String(), "node stopped")
	})
	t.Run("at once", func(t *testing.T) {
		s := supervise(t, nil)
		s.waitForNode()
		hold := s.slowRequest()
		defer hold.Close()
		s.signal(syscall.SIGTERM)
		s.hears("STOPPING=1")
		s.signal(syscall.SIGTERM)
		begin := time.Now()
		s.ends(codeInterrupted)
		contains(t, "stderr", s.log.String(), "stopped at once")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("too long", func(t *testing.T) {
		s := supervise(t, nil, "--stop-timeout", "1s")
		s.waitForNode()
		hold := s.slowRequest() // which the server waits for longer than that
		defer hold.Close()
		s.signal(syscall.SIGTERM)
		s.ends(codeRefused)
		contains(t, "stderr", s.log.String(), "did not stop in order in time (--stop-timeout)")
	})
}

// slowRequest sends the beginning of a request, whose end never comes.
func (s *supervised) slowRequest() io.Closer {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "api.addr"))
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(s.data, "token"))
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimSpace(string(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", strings.TrimSpace(string(token)))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}
