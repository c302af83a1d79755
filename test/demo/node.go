package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// node is one process of the cluster.
type node struct {
	name               string
	data, log          string
	http, peer, gossip int
	cmd                *exec.Cmd
	exited             chan struct{} // closed when the process was waited for
	id                 string        // known once it started
}

// newNode takes free ports for a node.
func (d *demo) newNode() (*node, error) {
	n := &node{name: fmt.Sprintf("n%d", len(d.nodes)+1)}
	n.data, n.log = filepath.Join(d.out, n.name), filepath.Join(d.out, n.name+".log")
	for _, port := range []*int{&n.http, &n.peer, &n.gossip} {
		var err error
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	d.nodes = append(d.nodes, n)
	return n, nil
}

// freePort finds a port that is free for TCP and UDP.
func freePort() (int, error) {
	const attempts = 20
	var failures error
	for range attempts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		udp, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			err = udp.Close()
		}
		if err = errors.Join(err, l.Close()); err == nil {
			return l.Addr().(*net.TCPAddr).Port, nil
		}
		failures = errors.Join(failures, err)
	}
	return 0, fmt.Errorf("find a free port: %w", failures)
}

// args is a node's command line. The three founders name each other, the fourth node names one of them.
func (d *demo) args(n *node, join []*node) []string {
	var addresses []string
	for _, j := range join {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", j.gossip))
	}
	return []string{"node", "start", "--data", n.data, "--cluster-key-file", d.key(), "--bind", "127.0.0.1",
		"--http", fmt.Sprintf("127.0.0.1:%d", n.http), "--peer-port", fmt.Sprint(n.peer), "--gossip-port", fmt.Sprint(n.gossip),
		"--bootstrap-expect", fmt.Sprint(founders), "--join", strings.Join(addresses, ",")}
}

// start runs a node until it is killed or told to stop.
func (d *demo) start(n *node, join []*node) error {
	log, err := os.Create(n.log)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command(d.binary, d.args(n, join)...)
	n.cmd.Env = environment()
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.exited = make(chan struct{})
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // the demo kills it, or reads its log
	}()
	return nil
}

// environment is this one without settings that would change what the demo shows.
func environment() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BRIGADE_") {
			env = append(env, e)
		}
	}
	return append(env, "AWS_EC2_METADATA_DISABLED=true")
}

func (n *node) running() bool {
	if n.cmd == nil || n.cmd.Process == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// stopAll ends every node that still runs: in order if it does so soon.
func (d *demo) stopAll() {
	const patience = 10 * time.Second
	for _, n := range d.nodes {
		if n.running() {
			_ = n.cmd.Process.Signal(os.Interrupt) // one that just ended is as good
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	late := false
	for _, n := range d.nodes {
		if !n.running() {
			continue
		}
		if !late {
			select {
			case <-n.exited:
				continue
			case <-timer.C:
				late = true
			}
		}
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

// ctl runs brigade ctl at a node, and reads its JSON into out if that is not nil.
func (d *demo) ctl(ctx context.Context, n *node, out any, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	args = append([]string{"ctl"}, args...)
	args = append(args, "--data", n.data)
	if out != nil {
		args = append(args, "--json")
	}
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = environment()
	text, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("brigade %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
		}
		return fmt.Errorf("brigade %s: %w", strings.Join(args, " "), err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// machines is the part of `ctl status --machine --json` that the demo reads.
type machines struct {
	Leader string `json:"leader"`
	Stale  bool   `json:"stale"`
	Nodes  []struct {
		ID    string `json:"id"`
		State string `json:"state"`
		Busy  int    `json:"busy"`
	} `json:"nodes"`
}

// job is the part of `ctl status --jobID=ID --json` that the demo reads.
type job struct {
	State   string           `json:"state"`
	Reason  string           `json:"reason"`
	Stale   bool             `json:"stale"`
	Objects map[string]int64 `json:"objects"`
	Bytes   map[string]int64 `json:"bytes"`
	Tasks   map[string]int64 `json:"tasks"`
	Rate    struct {
		Bytes float64 `json:"bytes_per_second"`
	} `json:"rate"`
}

// nameOf is the demo's name of the node that made itself an ID.
func (d *demo) nameOf(id string) string {
	for _, n := range d.nodes {
		if n.id == "" {
			n.id = readID(n.data)
		}
		if n.id == id {
			return n.name
		}
	}
	return id
}

// readID reads the ID out of a node's own folder; "" while there is none.
func readID(data string) string {
	text, err := os.ReadFile(filepath.Join(data, "node.json"))
	if err != nil {
		return ""
	}
	var own struct{ ID string }
	if json.Unmarshal(text, &own) != nil {
		return ""
	}
	return own.ID
}

// run runs the binary to its end.
func (d *demo) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("brigade %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
