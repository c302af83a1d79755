package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	handOverPatience = 3 * time.Second
	leaveEvery       = 200 * time.Millisecond
)

type leaveRequest struct {
	ID string `json:"id"`
}

// SetDraining tells the others that this node wants no new work, or wants it again. What it does for raft goes on.
func (n *Node) SetDraining(on bool) error {
	n.net.flags.set(func(f *flags) { f.draining = on })
	return n.look()
}

// Leave takes this node out of the cluster for good and returns when the others have removed it; Shutdown comes next. The
// caller has drained it. The only node of a cluster leaves at once. When ctx ends the others still know that it leaves,
// and remove it when they can.
func (n *Node) Leave(ctx context.Context) error {
	n.net.flags.set(func(f *flags) { f.leaving = true })
	if err := n.look(); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	tick := time.NewTicker(min(leaveEvery, n.net.conf.Timing.Plan))
	defer tick.Stop()
	var last error
	for {
		done, err := n.leaveOnce(ctx)
		if done {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("leave: %w", errors.Join(ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// leaveOnce does what can be done now, and tells whether the node is out.
func (n *Node) leaveOnce(ctx context.Context) (bool, error) {
	servers, _, err := n.configuration()
	if err != nil {
		return false, err
	}
	if len(servers) == 0 || len(servers) == 1 && servers[0].ID == n.net.nodeID {
		return true, nil
	}
	if n.IsLeader() {
		return false, n.handOver(ctx) // as soon as the plan has made another voter
	}
	leader := n.LeaderID()
	if leader == "" {
		return false, errors.New("there is no leader")
	}
	var out memberStatus
	if err := n.Call(ctx, leader, leavePath, leaveRequest{n.net.nodeID}, &out); err != nil {
		return false, err
	}
	return !slices.ContainsFunc(out.Servers, func(s Server) bool { return s.ID == n.net.nodeID }), nil
}

// handOver makes another voter leader. It is for the end of this node only: leadership lost in the middle of it leaves raft
// refusing every write if it ever leads again.
func (n *Node) handOver(ctx context.Context) error {
	servers, _, err := n.configuration()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(servers, func(s Server) bool { m, _ := n.net.table.get(s.ID); return s.Voter && m.Alive && !m.Self }) {
		return errors.New("there is no other voter yet")
	}
	ctx, cancel := context.WithTimeout(ctx, handOverPatience)
	defer cancel()
	if _, err := await(ctx, n, "leadership transfer", func() raft.Future { return n.raft.LeadershipTransfer() }); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	return nil
}

// letLeave notes that a node leaves and answers who is still a member.
func (n *Node) letLeave(ctx context.Context, in leaveRequest) (memberStatus, error) {
	if in.ID != Caller(ctx) {
		return memberStatus{}, &PeerError{Status: http.StatusForbidden, Code: "forbidden", Message: "a node leaves for itself only"}
	}
	if !n.IsLeader() {
		return memberStatus{}, &PeerError{Status: http.StatusConflict, Code: CodeNotLeader, Message: "this node is not the leader"}
	}
	n.net.table.update(in.ID, func(m *Member) { m.Leaving = true })
	return n.status(ctx, struct{}{})
}

// CodeNotLeader is the code of a PeerError that sends the caller to another node.
const CodeNotLeader = "not_leader"
