package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
)

const (
	eventQueue     = 256
	gossipTimeout  = 5 * time.Second // of its TCP exchanges
	updateWait     = 500 * time.Millisecond
	leaveWait      = time.Second
	deadAfterProbe = 30 // probe intervals for which a dead node is still told of it
)

// gossip tells the members from each other. It runs one memberlist at a time, and makes a new one when the address of the
// machine changes: a memberlist keeps the address that it was made with.
type gossip struct {
	conf   gossipConfig
	events chan memberlist.NodeEvent
	logger *slog.Logger

	mu    sync.Mutex
	list  *memberlist.Memberlist // nil once stopped
	ring  *memberlist.Keyring    // of list
	start uint64                 // of the memberlist, in its name
	at    string                 // IP that is advertised
	port  int
	left  bool

	meta atomic.Pointer[[]byte]
}

// gossipConfig is what a gossip is made of.
type gossipConfig struct {
	nodeID    string
	label     string
	keys      [][]byte
	bind      string // IP
	port      int    // 0 picks one
	advertise func(context.Context) (string, error)
	probe     time.Duration
	dial      Dialer
	drop      func(address string) bool
	accept    func(Member) error // asked for each member told of; an error keeps it out
	newStart  func() (uint64, error)
}

// startGossip listens and tells of nobody yet.
func startGossip(ctx context.Context, c gossipConfig, m meta, logger *slog.Logger) (*gossip, error) {
	text, err := m.encode()
	if err != nil {
		return nil, err
	}
	g := &gossip{conf: c, events: make(chan memberlist.NodeEvent, eventQueue), logger: logger, port: c.port}
	g.meta.Store(&text)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.create(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// create makes the memberlist; the caller holds the lock.
func (g *gossip) create(ctx context.Context) error {
	at, err := g.conf.advertise(ctx)
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	start, err := g.conf.newStart()
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	logger := gossipLogger(g.logger)
	transport, err := listenGossip(g.conf, g.port, logger)
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	keyring, err := memberlist.NewKeyring(g.conf.keys, g.conf.keys[0])
	if err != nil {
		return fmt.Errorf("start gossip: %w", errors.Join(err, transport.Shutdown()))
	}
	conf := memberlist.DefaultLANConfig()
	conf.Name = gossipName(g.conf.nodeID, start)
	conf.Label, conf.Keyring = g.conf.label, keyring
	conf.Transport, conf.Logger = transport, logger
	conf.BindPort = transport.GetAutoBindPort()
	conf.AdvertiseAddr, conf.AdvertisePort = at, conf.BindPort
	conf.Delegate, conf.Alive, conf.Events = g, g, &gossipEvents{g.events}
	conf.TCPTimeout = min(gossipTimeout, 10*g.conf.probe)
	conf.ProbeInterval, conf.ProbeTimeout = g.conf.probe, g.conf.probe/2
	conf.GossipInterval = g.conf.probe / 5
	conf.PushPullInterval = 15 * g.conf.probe
	conf.GossipToTheDeadTime, conf.DeadNodeReclaimTime = deadAfterProbe*g.conf.probe, deadAfterProbe*g.conf.probe
	list, err := memberlist.Create(conf)
	if err != nil {
		return fmt.Errorf("start gossip: %w", errors.Join(err, transport.Shutdown()))
	}
	g.ring = keyring
	g.list, g.start, g.at, g.port = list, start, at, conf.BindPort
	return nil
}

// refresh makes a new memberlist if the machine's address is another by now, and tells whether it did: a new one knows
// nobody.
func (g *gossip) refresh(ctx context.Context) (renewed bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, err := g.conf.advertise(ctx)
	if err != nil || g.left || at == g.at && g.list != nil {
		return false, err
	}
	g.logger.Info("this node's address has changed", "from", g.at, "to", at)
	if g.list != nil {
		err := g.list.Shutdown()
		if g.list = nil; err != nil {
			return false, fmt.Errorf("stop gossip: %w", err)
		}
	}
	if err := g.create(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// address is where others reach the gossip.
func (g *gossip) address() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return net.JoinHostPort(g.at, strconv.Itoa(g.port))
}

func (g *gossip) currentStart() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.start
}

// tell changes what is told of this node.
func (g *gossip) tell(m meta) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	g.mu.Lock()
	same, list := bytes.Equal(text, *g.meta.Load()), g.list
	g.meta.Store(&text)
	g.mu.Unlock()
	if same || list == nil {
		return nil
	}
	if err := list.UpdateNode(updateWait); err != nil {
		g.logger.Debug("news of this node are on their way", "reason", err) // the next exchange of states carries them
	}
	return nil
}

// join exchanges states with a gossip port.
func (g *gossip) join(address string) error {
	g.mu.Lock()
	list := g.list
	g.mu.Unlock()
	if list == nil {
		return nil
	}
	_, err := list.Join([]string{address})
	var wrapped interface{ WrappedErrors() []error } // one, in a text of several lines
	if errors.As(err, &wrapped) {
		err = errors.Join(wrapped.WrappedErrors()...)
	}
	return err
}

// stop tells the others that this node goes, and ends the gossip.
func (g *gossip) stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left {
		return nil
	}
	g.left = true
	list := g.list
	if g.list = nil; list == nil {
		return nil
	}
	if err := list.Leave(leaveWait); err != nil {
		g.logger.Debug("nobody was told that this node stops", "reason", err) // they will find out
	}
	if err := list.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte { return *g.meta.Load() }

// NotifyMsg implements memberlist.Delegate.
func (*gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (*gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (*gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (*gossip) MergeRemoteState([]byte, bool) {}

// NotifyAlive implements memberlist.AliveDelegate. It runs under a lock of memberlist's and must call nothing of it.
func (g *gossip) NotifyAlive(n *memberlist.Node) error {
	m, err := readMember(n.Name, n.Address(), n.Meta)
	if err != nil {
		return err
	}
	return g.conf.accept(m)
}

// gossipEvents passes events on. They come under a lock of memberlist's, so that whoever reads them must never wait for
// memberlist.
type gossipEvents struct{ to chan<- memberlist.NodeEvent }

// NotifyJoin implements memberlist.EventDelegate.
func (e *gossipEvents) NotifyJoin(n *memberlist.Node) { e.send(memberlist.NodeJoin, n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e *gossipEvents) NotifyUpdate(n *memberlist.Node) { e.send(memberlist.NodeUpdate, n) }

// NotifyLeave implements memberlist.EventDelegate.
func (e *gossipEvents) NotifyLeave(n *memberlist.Node) { e.send(memberlist.NodeLeave, n) }

func (e *gossipEvents) send(kind memberlist.NodeEventType, n *memberlist.Node) {
	node := *n
	node.Meta = append([]byte(nil), n.Meta...)
	e.to <- memberlist.NodeEvent{Event: kind, Node: &node}
}

// gossipTransport is memberlist's own with this package's way of dialing.
type gossipTransport struct {
	*memberlist.NetTransport
	dial Dialer
	drop func(string) bool
}

var _ memberlist.NodeAwareTransport = gossipTransport{}

func listenGossip(c gossipConfig, port int, logger *log.Logger) (gossipTransport, error) {
	// A free port of TCP may be taken of UDP: memberlist tries ten times, and so does this.
	var t *memberlist.NetTransport
	var err error
	for range 10 {
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{c.bind}, BindPort: port, Logger: logger})
		if err == nil || port != 0 {
			break
		}
	}
	if err != nil {
		return gossipTransport{}, &PortError{Port: "gossip", Number: port, Err: err}
	}
	return gossipTransport{t, c.dial, c.drop}, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t gossipTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.drop != nil && t.drop(a.Addr) {
		return time.Now(), nil
	}
	return t.NetTransport.WriteToAddress(b, a)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t gossipTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // memberlist's interface has none
	defer cancel()
	return t.dial(ctx, "tcp", a.Addr)
}

// advertised returns the IP that others reach this node at: that of the host named, else the address bound to, else,
// bound to every interface, a private one of this machine.
func advertised(ctx context.Context, bind, advertise string) (string, error) {
	if advertise == "" && !net.ParseIP(bind).IsUnspecified() {
		return bind, nil
	}
	if advertise != "" {
		return lookup(ctx, advertise)
	}
	ip, err := sockaddr.GetPrivateIP()
	if err == nil && ip == "" {
		ip, err = sockaddr.GetPublicIP()
	}
	if err != nil {
		return "", fmt.Errorf("find this machine's address: %w", err)
	}
	if ip == "" {
		return "", errors.New("find this machine's address: it has none; name one with advertise")
	}
	return ip, nil
}

// lookup returns the first IP of a host.
func lookup(ctx context.Context, host string) (string, error) {
	if ip := net.ParseIP(host); ip != nil {
		return ip.String(), nil
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", host, err)
	}
	return ips[0], nil
}
