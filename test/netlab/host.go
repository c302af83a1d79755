//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Host is a machine of a lab: it has a loopback interface, and eth0 on the switch.
type Host struct {
	Name string // of its namespace

	lab     *Lab
	port    string // its interface at the switch
	address netip.Addr
}

// firewall drops, in a host, what comes from the addresses of a set. Dropping where packets arrive is like losing them on
// the way; dropping where they leave would be told to the sender.
const firewall = `table inet lab {
	set cut {
		type ipv4_addr
	}
	chain input {
		type filter hook input priority 0
		ip saddr @cut drop
	}
}
`

func (l *Lab) makeHost(t testing.TB, i int) *Host {
	t.Helper()
	h := &Host{
		Name: fmt.Sprintf("%sh%d", l.prefix, i+1), lab: l, port: fmt.Sprintf("p%d", i+1),
		address: netip.MustParseAddr(fmt.Sprintf("%s%d", network, firstHost+i)),
	}
	sw := l.switchName()
	run(t, "ip", "netns", "add", h.Name)
	run(t, "ip", "-n", sw, "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.Name)
	run(t, "ip", "-n", sw, "link", "set", h.port, "master", "br0", "up")
	run(t, "ip", "-n", h.Name, "link", "set", "lo", "up")
	run(t, "ip", "-n", h.Name, "link", "set", "eth0", "up")
	h.assign(t)
	nft := h.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(firewall)
	if out, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("netlab: make the firewall of %s: %v: %s", h.Name, err, out)
	}
	return h
}

// assign gives the host its address, and a way out: programs take the interface that leads there for the machine's own.
// Between hosts TCP controls congestion as is Linux's default, whatever this machine does: others fill narrow lines in
// other ways.
func (h *Host) assign(t testing.TB) {
	t.Helper()
	run(t, "ip", "-n", h.Name, "addr", "add", h.address.String()+"/24", "dev", "eth0")
	run(t, "ip", "-n", h.Name, "route", "replace", network+"0/24", "dev", "eth0", "src", h.address.String(), "congctl", "cubic")
	run(t, "ip", "-n", h.Name, "route", "replace", "default", "via", router, "dev", "eth0")
}

// Prefix is what stands before a command line that is to run on the host.
func (h *Host) Prefix() []string { return []string{"ip", "netns", "exec", h.Name} }

// Command returns a command that runs on the host. The process that it starts is the program itself.
func (h *Host) Command(args ...string) *exec.Cmd {
	line := append(h.Prefix(), args...)
	return exec.Command(line[0], line[1:]...)
}

// Address is the host's IP address.
func (h *Host) Address() string { return h.address.String() }

// SetAddress moves the host to the address with another last byte, 2 to 254, at once: the old one is gone, and with it
// what was connected to it. Cuts hold on.
func (h *Host) SetAddress(t testing.TB, last int) {
	t.Helper()
	address, err := netip.ParseAddr(fmt.Sprintf("%s%d", network, last))
	if err != nil || last < 2 || last > 254 {
		t.Fatalf("netlab: %d is no last byte of an address", last)
	}
	for _, other := range h.lab.Hosts {
		if other.address == address {
			t.Fatalf("netlab: %s has the address %s", other.Name, address)
		}
	}
	run(t, "ip", "-n", h.Name, "addr", "flush", "dev", "eth0")
	h.address = address
	h.assign(t)
	h.lab.renew(t)
}

// Limit narrows the host's line to so many bits a second in each direction at a time, Ethernet headers counted, as a full
// duplex line of that speed would be: a token bucket at either end, with 32 KiB of burst, and a queue in which a packet waits
// for a tenth of a second at most before packets are dropped.
func (h *Host) Limit(t testing.TB, bitsPerSecond int64) {
	t.Helper()
	for where, device := range map[string]string{h.lab.switchName(): h.port, h.Name: "eth0"} {
		run(t, "tc", "-n", where, "qdisc", "replace", "dev", device, "root", "tbf",
			"rate", fmt.Sprintf("%dbit", bitsPerSecond), "burst", "32kb", "latency", "100ms")
	}
}

// Sent is the number of bytes that left the host over its line.
func (h *Host) Sent(t testing.TB) int64 {
	t.Helper()
	text, err := output(append(h.Prefix(), "cat", "/sys/class/net/eth0/statistics/tx_bytes")...)
	if err != nil {
		t.Fatalf("netlab: %v", err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("netlab: bytes sent by %s: %v", h.Name, err)
	}
	return n
}

// Listen listens on a TCP port of the host, for servers of this process; port 0 picks one.
func (h *Host) Listen(t testing.TB, port int) net.Listener {
	t.Helper()
	var listener net.Listener
	err := inside(h.Name, func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf("%s:%d", h.address, port))
		return err
	})
	if err != nil {
		t.Fatalf("netlab: listen on %s: %v", h.Name, err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// Dial connects to an IP address and TCP port as a program on the host would, for clients of this process.
func (h *Host) Dial(ctx context.Context, _, address string) (conn net.Conn, err error) {
	err = inside(h.Name, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", address)
		return err
	})
	return conn, err
}

// inside calls a function on a thread that is in a namespace. Sockets stay in the namespace that they were made in.
func inside(name string, do func() error) error {
	ended := make(chan error)
	go func() {
		// A thread that could not come back is not unlocked, and ends with its goroutine.
		runtime.LockOSThread()
		back, err := enter(name)
		if err != nil {
			ended <- err
			return
		}
		err = do()
		if stay := back(); stay == nil {
			runtime.UnlockOSThread()
		}
		ended <- err
	}()
	return <-ended
}

// enter moves this thread into a namespace, and returns what moves it back.
func enter(name string) (back func() error, err error) {
	own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, fmt.Errorf("open own namespace: %w", err)
	}
	other, err := os.Open(filepath.Join(namespace, name))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open namespace: %w", err), own.Close())
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, errors.Join(fmt.Errorf("enter namespace %s: %w", name, err), own.Close())
	}
	return func() error {
		defer own.Close()
		return unix.Setns(int(own.Fd()), unix.CLONE_NEWNET)
	}, nil
}
