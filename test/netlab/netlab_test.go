//go:build linux

package netlab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lapse is how long is waited for what must not come.
const lapse = 300 * time.Millisecond

// connect makes a connection between two hosts.
func connect(t *testing.T, from, to *Host) (near, far net.Conn) {
	t.Helper()
	listener := to.Listen(t, 0)
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if conn, err := listener.Accept(); err == nil {
			accepted <- conn
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	near, err := from.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	far, ok := <-accepted
	if !ok {
		t.Fatal("not accepted")
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

// arrives tells whether a message sent at one end comes out at the other within a time.
func arrives(t *testing.T, from, to net.Conn, within time.Duration) bool {
	t.Helper()
	message := []byte(rand.Text())
	if _, err := from.Write(message); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := to.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(message))
	_, err := io.ReadFull(to, got)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v", err)
	}
	return err == nil && bytes.Equal(got, message)
}

func TestHostsReachEachOtherOnly(t *testing.T) {
	one, other := New(t, 2), New(t, 1)
	connect(t, one.Hosts[0], one.Hosts[1])
	out, err := one.Hosts[1].Command("ip", "-4", "-o", "addr", "show", "dev", "eth0").CombinedOutput()
	if err != nil || !strings.Contains(string(out), one.Hosts[1].Address()+"/24") {
		t.Errorf("a command on the second host sees %q, %v", out, err)
	}
	listener := one.Hosts[1].Listen(t, 0)
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"a host of another lab": other.Hosts[0].Dial, "the machine itself": (&net.Dialer{}).DialContext,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), lapse)
		if conn, err := dial(ctx, "tcp", listener.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s reaches into the lab", name)
		}
		cancel()
	}
	if links, err := exec.Command("ip", "-o", "link").CombinedOutput(); err != nil || strings.Contains(string(links), "br0") {
		t.Errorf("the machine's own network has %s, %v", links, err)
	}
}

func TestCuts(t *testing.T) {
	for _, c := range []struct {
		name              string
		cut               func(testing.TB, *Lab, *Host, *Host)
		forth, back, rest bool // what still arrives: a to b, b to a, between a and others
	}{
		{"nothing", func(testing.TB, *Lab, *Host, *Host) {}, true, true, true},
		{"one way", func(t testing.TB, l *Lab, a, b *Host) { l.CutOneWay(t, a, b) }, false, true, true},
		{"both ways", func(t testing.TB, l *Lab, a, b *Host) { l.Cut(t, a, b) }, false, false, true},
		{"muted", func(t testing.TB, l *Lab, a, _ *Host) { l.Mute(t, a) }, false, true, false},
		{"deafened", func(t testing.TB, l *Lab, a, _ *Host) { l.Deafen(t, a) }, true, false, false},
		{"isolated", func(t testing.TB, l *Lab, a, _ *Host) { l.Isolate(t, a) }, false, false, false},
		{"split", func(t testing.TB, l *Lab, a, b *Host) { l.Split(t, []*Host{a}, []*Host{b}) }, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, 3)
			a, b := l.Hosts[0], l.Hosts[1]
			forthA, forthB := connect(t, a, b)
			backA, backB := connect(t, a, b)
			rest, restFar := connect(t, a, l.Hosts[2])
			c.cut(t, l, a, b)
			for what, got := range map[string][2]bool{
				"from a to b":     {arrives(t, forthA, forthB, lapse), c.forth},
				"from b to a":     {arrives(t, backB, backA, lapse), c.back},
				"between a and c": {arrives(t, rest, restFar, lapse) && arrives(t, restFar, rest, lapse), c.rest},
			} {
				if got[0] != got[1] {
					t.Errorf("%s: arrives %v, want %v", what, got[0], got[1])
				}
			}
			l.Heal(t)
			near, far := connect(t, a, b)
			if !arrives(t, near, far, 5*time.Second) || !arrives(t, far, near, 5*time.Second) {
				t.Error("healed, but nothing arrives")
			}
		})
	}
}

func TestLimitHoldsEachWay(t *testing.T) {
	const rate, size = 8_000_000, 1 << 20
	l := New(t, 2)
	l.Hosts[0].Limit(t, rate)
	near, far := connect(t, l.Hosts[0], l.Hosts[1])
	begin := time.Now()
	send := func(from, to net.Conn) <-chan time.Duration {
		took := make(chan time.Duration, 1)
		go func() {
			if _, err := from.Write(make([]byte, size)); err != nil {
				t.Errorf("write: %v", err)
			}
		}()
		go func() {
			if _, err := io.CopyN(io.Discard, to, size); err != nil {
				t.Errorf("read: %v", err)
			}
			took <- time.Since(begin)
		}()
		return took
	}
	out, in := send(near, far), send(far, near)
	// The burst passes at once. Both at a time take hardly longer than one alone: the line is full duplex.
	least := time.Duration(float64(size-64<<10) * 8 / rate * float64(time.Second))
	for name, took := range map[string]time.Duration{"out": <-out, "in": <-in} {
		t.Logf("%s: %d bytes in %v", name, size, took)
		if took < least {
			t.Errorf("%s: %d bytes took %v, want at least %v", name, size, took, least)
		}
		if took > least*17/10 {
			t.Errorf("%s: %d bytes took %v, of which the line is to blame for %v only", name, size, took, least)
		}
	}
}

func TestAddressMoves(t *testing.T) {
	l := New(t, 3)
	a, b, c := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	old := b.Address()
	near, far := connect(t, a, b)
	l.Cut(t, b, c)
	if reaches(t, b, c) {
		t.Error("hosts that are cut reach each other")
	}
	b.SetAddress(t, 77)
	if b.Address() == old {
		t.Errorf("the address is still %s", old)
	}
	if arrives(t, near, far, lapse) {
		t.Error("a connection to the old address goes on")
	}
	near, far = connect(t, a, b)
	if !arrives(t, near, far, 5*time.Second) || !strings.HasPrefix(far.LocalAddr().String(), b.Address()) {
		t.Errorf("nothing arrives at the new address %s, but at %s", b.Address(), far.LocalAddr())
	}
	if reaches(t, b, c) || reaches(t, c, b) {
		t.Error("a cut does not hold after the address moved")
	}
}

// reaches tells whether a host can connect to another.
func reaches(t *testing.T, from, to *Host) bool {
	t.Helper()
	listener := to.Listen(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), lapse)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestCapture(t *testing.T) {
	l := New(t, 2)
	near, far := connect(t, l.Hosts[0], l.Hosts[1])
	quiet, quietFar := connect(t, l.Hosts[0], l.Hosts[1])
	c := l.Capture(t)
	text := make([]byte, 3<<20)
	rand.Read(text)
	go near.Write(text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(far, got); err != nil {
		t.Fatal(err)
	}
	if !arrives(t, quiet, quietFar, 5*time.Second) {
		t.Fatal("nothing arrives")
	}
	c.Stop(t)
	if !bytes.Contains(c.Bytes(port(far)), text) {
		t.Errorf("what was sent is not in the %d bytes captured", len(c.Bytes(port(far))))
	}
	if other := c.Bytes(port(quietFar)); len(other) == 0 || len(other) > 1000 {
		t.Errorf("of another port there are %d bytes", len(other))
	}
}

func port(c net.Conn) int { return c.LocalAddr().(*net.TCPAddr).Port }

func TestStreamIsPutInOrder(t *testing.T) {
	const begin = 1<<32 - 4 // sequence numbers wrap inside
	at := func(offset int, text string) segment {
		return segment{uint32((begin + offset) % (1 << 32)), []byte(text)}
	}
	got := stream([]segment{at(0, "abc"), at(6, "ghi"), at(3, "def"), at(0, "abcd"), at(8, "ij"), at(6, "ghi")})
	if string(got) != "abcdefghij" {
		t.Errorf("%q", got)
	}
}

func TestNothingIsLeft(t *testing.T) {
	var name string
	var sleeper *exec.Cmd
	t.Run("lab", func(t *testing.T) {
		l := New(t, 2)
		name = l.prefix
		sleeper = l.Hosts[1].Command("sleep", "3600")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "the process is on the host", func() bool {
			pids, err := output("ip", "netns", "pids", l.Hosts[1].Name)
			return err == nil && slices.Contains(strings.Fields(pids), fmt.Sprint(sleeper.Process.Pid))
		})
		// A lab whose process is no more is swept by the next; one of a living process is not.
		dead := exec.Command("true")
		if err := dead.Run(); err != nil {
			t.Fatal(err)
		}
		stale := fmt.Sprintf("%s%d-1-h1", prefix, dead.Process.Pid)
		run(t, "ip", "netns", "add", stale)
		New(t, 1)
		if names, err := namespaces(stale); err != nil || len(names) > 0 {
			t.Errorf("%v is left of a dead process, %v", names, err)
		}
		if names, err := namespaces(name); err != nil || len(names) != 3 {
			t.Errorf("%v is left of a living process, want 3: %v", names, err)
		}
	})
	if names, err := namespaces(name); err != nil || len(names) > 0 {
		t.Errorf("%v is left, %v", names, err)
	}
	var exit *exec.ExitError
	if err := sleeper.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the process ended with %v, want killed", err)
	}
}

// await waits for a condition.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
