//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	prefix    = "brigade-lab-"   // of all namespaces: brigade-lab-PID-NUMBER-NAME
	network   = "10.99.0."       // of every lab; labs do not see each other
	router    = network + "1"    // the switch's own address; it passes nothing on to elsewhere
	firstHost = 11               // last byte of the first host's address
	maxHosts  = 200              // so that addresses are left to move to
	namespace = "/run/netns/"    // where ip keeps namespaces
	killLimit = 10 * time.Second // for processes to end after SIGKILL
)

// numbers tells the labs of this process apart.
var numbers atomic.Int64

// Lab is a switch with hosts. Its methods are for one goroutine at a time.
type Lab struct {
	Hosts []*Host

	prefix string // of the names of its namespaces
	lines  map[line]bool
}

// line is one direction between two hosts that is cut.
type line struct{ from, to *Host }

// New makes a lab of n hosts, which ends with the test together with all processes in it. What a run that was killed has
// left behind goes away first. Without root the test is skipped; with CI=true that is a failure.
func New(t testing.TB, n int) *Lab {
	t.Helper()
	require(t)
	if n > maxHosts {
		t.Fatalf("netlab: %d hosts are too many; at most %d", n, maxHosts)
	}
	sweep(t)
	l := &Lab{prefix: fmt.Sprintf("%s%d-%d-", prefix, os.Getpid(), numbers.Add(1)), lines: map[line]bool{}}
	t.Cleanup(func() { l.close(t) })
	l.makeSwitch(t)
	for i := range n {
		l.Hosts = append(l.Hosts, l.makeHost(t, i))
	}
	return l
}

// require checks that labs can be made.
func require(t testing.TB) {
	t.Helper()
	refuse := t.Skipf
	if os.Getenv("CI") == "true" {
		refuse = t.Fatalf
	}
	if os.Geteuid() != 0 {
		refuse("network namespaces need root: run this test as root")
	}
	for _, tool := range []string{"ip", "tc", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed, which network namespaces need (Debian: apt-get install iproute2 nftables)", tool)
		}
	}
}

// switchName is the namespace of the switch.
func (l *Lab) switchName() string { return l.prefix + "switch" }

func (l *Lab) makeSwitch(t testing.TB) {
	t.Helper()
	name := l.switchName()
	run(t, "ip", "netns", "add", name)
	run(t, "ip", "-n", name, "link", "set", "lo", "up")
	run(t, "ip", "-n", name, "link", "add", "br0", "type", "bridge")
	run(t, "ip", "-n", name, "addr", "add", router+"/24", "dev", "br0")
	run(t, "ip", "-n", name, "link", "set", "br0", "up")
}

// close ends all processes and removes the namespaces, and with them everything that was made.
func (l *Lab) close(t testing.TB) {
	names, err := namespaces(l.prefix)
	if err != nil {
		t.Errorf("netlab: %v", err)
	}
	for _, name := range names {
		if err := errors.Join(remove(name), forget(name)); err != nil {
			t.Errorf("netlab: %v", err)
		}
	}
}

// namespaces lists those whose names begin so.
func namespaces(prefix string) (names []string, err error) {
	entries, err := os.ReadDir(namespace)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// sweep removes the labs of processes that are no more.
func sweep(t testing.TB) {
	names, err := namespaces(prefix)
	if err != nil {
		t.Fatalf("netlab: %v", err)
	}
	for _, name := range names {
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := errors.Join(remove(name), forget(name)); err != nil {
			t.Logf("netlab: a lab of the dead process %d stays: %v", pid, err)
		}
	}
}

// remove ends the processes in a namespace, and the namespace. Another test run may be at it, too.
func remove(name string) error {
	deadline := time.Now().Add(killLimit)
	for {
		pids, err := output("ip", "netns", "pids", name)
		if _, gone := os.Stat(filepath.Join(namespace, name)); errors.Is(gone, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if pids == "" {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %s in %s do not end", strings.Fields(pids), name)
		}
		for _, pid := range strings.Fields(pids) {
			kill(pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, err := output("ip", "netns", "del", name)
	if _, gone := os.Stat(filepath.Join(namespace, name)); errors.Is(gone, os.ErrNotExist) {
		return nil
	}
	return err
}

// kill ends one process, but never this one: a thread of it may be in the namespace for the moment.
func kill(pid string) {
	if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() {
		_ = syscall.Kill(n, syscall.SIGKILL) // whether it ended is seen by whether it is listed again
	}
}

// run runs a program that has to succeed.
func run(t testing.TB, args ...string) {
	t.Helper()
	if _, err := output(args...); err != nil {
		t.Fatalf("netlab: %v", err)
	}
}

func output(args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
