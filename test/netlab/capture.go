//go:build linux

package netlab

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	captureBuffer = 64 << 20 // bytes that the system keeps for us
	frameLimit    = 128 << 10
)

// Capture keeps what goes over the switch.
type Capture struct {
	socket *os.File
	ended  chan struct{} // closed when the reader returned

	mu      sync.Mutex
	flows   map[flow][]segment
	packets int
	err     error
}

// flow is one direction of one connection, or all datagrams from one port to another.
type flow struct {
	protocol byte
	from, to [4]byte
	src, dst uint16
}

// segment is the payload of a packet.
type segment struct {
	seq  uint32 // of TCP, counted from the first packet seen
	data []byte
}

// Capture begins to keep packets between the hosts, until Stop or the end of the test.
func (l *Lab) Capture(t testing.TB) *Capture {
	t.Helper()
	c := &Capture{flows: map[flow][]segment{}, ended: make(chan struct{})}
	if err := inside(l.switchName(), c.open); err != nil {
		t.Fatalf("netlab: capture: %v", err)
	}
	go c.read()
	t.Cleanup(func() { c.socket.Close() })
	return c
}

// open makes a socket that gets every frame of every interface in this thread's namespace.
func (c *Capture) open() error {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
	if err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
		return errors.Join(fmt.Errorf("enlarge the buffer: %w", err), unix.Close(fd))
	}
	c.socket = os.NewFile(uintptr(fd), "capture")
	return nil
}

// Stop ends the capture. It fails the test where packets were lost on the way to it, for then it proves nothing.
func (c *Capture) Stop(t testing.TB) {
	t.Helper()
	if err := c.socket.SetReadDeadline(time.Now()); err != nil {
		t.Fatalf("netlab: capture: %v", err)
	}
	<-c.ended
	var stats *unix.TpacketStats
	raw, err := c.socket.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		})
	}
	if err != nil {
		t.Fatalf("netlab: capture: %v", err)
	}
	c.socket.Close()
	if c.err != nil {
		t.Fatalf("netlab: capture: %v", c.err)
	}
	if stats.Drops > 0 {
		t.Errorf("netlab: the capture lost %d of %d packets", stats.Drops, stats.Packets)
	}
	t.Logf("captured %d packets", c.packets)
}

// read keeps packets until it is told to end, and then those that came before.
func (c *Capture) read() {
	defer close(c.ended)
	raw, err := c.socket.SyscallConn()
	if err != nil {
		c.err = err
		return
	}
	frame := make([]byte, frameLimit)
	waiting := true
	for c.err == nil {
		var again bool
		receive := func(fd uintptr) bool {
			again = c.receive(int(fd), frame)
			return again || c.err != nil
		}
		if waiting {
			waiting = raw.Read(receive) == nil
		} else if err := raw.Control(func(fd uintptr) { receive(fd) }); err != nil || !again {
			return
		}
	}
}

// receive takes one packet, and tells whether there was one.
func (c *Capture) receive(fd int, frame []byte) bool {
	n, from, err := unix.Recvfrom(fd, frame, 0)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false
	case errors.Is(err, unix.EINTR):
		return true
	case err != nil:
		c.err = err
		return false
	}
	// What goes out at one port of the switch came in at another: once is enough.
	if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING {
		c.keep(frame[:n])
	}
	return true
}

// keep takes the payload out of an Ethernet frame, if it is TCP or UDP over IPv4.
func (c *Capture) keep(frame []byte) {
	const ethernet, etherTypeIPv4 = 14, 0x0800
	if len(frame) < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return
	}
	ip := frame[ethernet:]
	header, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if total == 0 { // larger than the field can say
		total = len(ip)
	}
	if header < 20 || total < header || total > len(ip) || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
		return
	}
	f := flow{protocol: ip[9], from: [4]byte(ip[12:]), to: [4]byte(ip[16:])}
	var s segment
	body := ip[header:total]
	switch {
	case f.protocol == unix.IPPROTO_TCP && len(body) >= 20:
		s = segment{binary.BigEndian.Uint32(body[4:]), body[min(len(body), int(body[12]>>4)*4):]}
	case f.protocol == unix.IPPROTO_UDP && len(body) >= 8:
		s = segment{0, body[8:]}
	default:
		return
	}
	f.src, f.dst = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
	s.data = bytes.Clone(s.data)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets++
	if len(s.data) > 0 {
		c.flows[f] = append(c.flows[f], s)
	}
}

// Bytes is all that was sent to and from a port of any host: each direction of each connection in order and as a whole,
// then each datagram by itself.
func (c *Capture) Bytes(port int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []byte
	for f, segments := range c.flows {
		if int(f.src) != port && int(f.dst) != port {
			continue
		}
		if f.protocol == unix.IPPROTO_TCP {
			all = append(all, stream(segments)...)
			continue
		}
		for _, s := range segments {
			all = append(all, s.data...)
		}
	}
	return all
}

// stream puts the segments of a connection in order and leaves out what was sent again.
func stream(segments []segment) (data []byte) {
	first := segments[0].seq
	at := func(s segment) int64 { return int64(int32(s.seq - first)) } // sequence numbers wrap
	ordered := slices.SortedStableFunc(slices.Values(segments), func(a, b segment) int { return cmp.Compare(at(a), at(b)) })
	end := at(ordered[0])
	for _, s := range ordered {
		fresh := min(int64(len(s.data)), max(0, end-at(s)))
		data = append(data, s.data[fresh:]...)
		end = max(end, at(s)+int64(len(s.data)))
	}
	return data
}
