package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	havePath       = "/spool-have"
	haveAtOnce     = 1000                   // names in one question
	replenishPause = 100 * time.Millisecond // between two copies made: the cluster has other work
	appliedLook    = 20 * time.Millisecond
)

// haveRequest asks which of some segments a node has.
type haveRequest struct {
	Names []string `json:"names"` // hex
}

// haveAnswer lists the names that it lacks.
type haveAnswer struct {
	Lacks []string `json:"lacks,omitempty"`
}

func (s *SharedSpool) serveHave(_ context.Context, in haveRequest) (out haveAnswer, err error) {
	if len(in.Names) > haveAtOnce {
		return out, &PeerError{Status: http.StatusBadRequest, Code: "bad_request", Message: "too many names at once"}
	}
	for _, text := range in.Names {
		name, ok := parseName(text)
		if !ok {
			return out, &PeerError{Status: http.StatusBadRequest, Code: codeBadSegment, Message: "that is no name of a segment"}
		}
		if !s.local.has(name) {
			out.Lacks = append(out.Lacks, text)
		}
	}
	return out, nil
}

// Tend keeps two copies of the segments in use until ctx ends: after a node is lost for good, those that only this node
// has left get a second one. used tells which are in use. Every node tends what it has itself.
func (s *SharedSpool) Tend(ctx context.Context, used func(context.Context) (map[[32]byte]bool, error)) {
	every := s.node.net.conf.Timing.Replenish
	tick := time.NewTicker(every / 10)
	defer tick.Stop()
	var last string // who was there at the last look that ended well
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		there := s.whoIsThere()
		if there == last && time.Since(at) < every || !s.settled(time.Now()) {
			continue
		}
		names, err := used(ctx)
		if err == nil {
			var made int
			if made, err = s.Replenish(ctx, names); made > 0 {
				s.log.Info("second copies made again", "segments", made)
			}
		}
		if err == nil {
			last, at = there, time.Now()
		} else if ctx.Err() == nil {
			s.log.Warn("segments may have one copy only", "error", err)
		}
	}
}

// whoIsThere names the other nodes alive.
func (s *SharedSpool) whoIsThere() string {
	var ids []string
	for _, m := range s.node.net.table.alive() {
		if !m.Leaving {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, " ")
}

// settled tells whether every node that is not there is lost for good, as far as can be known: one that restarts comes
// back with its segments.
func (s *SharedSpool) settled(now time.Time) bool {
	servers, _, err := s.node.configuration()
	if err != nil {
		return false
	}
	for _, m := range s.node.net.table.all() {
		member := slices.ContainsFunc(servers, func(v Server) bool { return v.ID == m.ID })
		if !m.Alive && !m.Leaving && member && now.Sub(m.Since) < s.node.net.conf.Timing.FailedVoter {
			return false
		}
	}
	return true
}

// Replenish makes second copies of the segments in use that no node alive has but this one, one at a time, and tells how
// many. It makes none where nobody else is alive.
func (s *SharedSpool) Replenish(ctx context.Context, used map[[32]byte]bool) (made int, err error) {
	var own [][32]byte
	for e, err := range s.local.List(ctx) {
		if err != nil {
			return 0, fmt.Errorf("replenish: %w", err)
		}
		if used[e.Name] {
			own = append(own, e.Name)
		}
	}
	for some := range slices.Chunk(own, haveAtOnce) {
		single, err := s.singlesOf(ctx, some)
		if err != nil {
			return made, fmt.Errorf("replenish: %w", err)
		}
		for _, name := range single {
			if err := s.replenishOne(ctx, name); err != nil {
				return made, fmt.Errorf("replenish: %w", err)
			}
			made++
		}
	}
	return made, nil
}

// singlesOf are those of some segments that no other node alive has.
func (s *SharedSpool) singlesOf(ctx context.Context, names [][32]byte) ([][32]byte, error) {
	others := s.others(names[0])
	if len(others) == 0 {
		return nil, nil
	}
	for _, id := range others {
		req := haveRequest{}
		for _, name := range names {
			req.Names = append(req.Names, hex.EncodeToString(name[:]))
		}
		lacks, err := s.askLacks(ctx, id, req)
		if err != nil {
			return nil, err // it may have them
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name [32]byte) bool { return !lacks[name] })
		if len(names) == 0 {
			break
		}
	}
	return names, nil
}

func (s *SharedSpool) askLacks(ctx context.Context, id string, req haveRequest) (map[[32]byte]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	var answer haveAnswer
	if err := s.node.net.calls.callJSON(ctx, id, havePath, req, &answer); err != nil {
		return nil, err
	}
	lacks := map[[32]byte]bool{}
	for _, text := range answer.Lacks {
		if name, ok := parseName(text); ok {
			lacks[name] = true
		}
	}
	return lacks, nil
}

// replenishOne sends a segment of this node to another, then rests. One that was swept meanwhile needs no copy; one that is
// corrupt here has no copy that could be sent, and is told of.
func (s *SharedSpool) replenishOne(ctx context.Context, name [32]byte) error {
	data, err := s.local.Get(ctx, name)
	switch {
	case errors.Is(err, ErrNoSegment):
		return nil
	case errors.Is(err, ErrCorrupt):
		s.log.Error("the only copy of a segment is corrupt", "segment", hex.EncodeToString(name[:]))
		return nil
	case err != nil:
		return err
	}
	others := s.others(name)
	if len(others) == 0 {
		s.note(name)
		return nil
	}
	if err := s.sendAny(ctx, others, name, data); err != nil {
		return err
	}
	s.done(name)
	rest := time.NewTimer(replenishPause)
	defer rest.Stop()
	select {
	case <-rest.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func parseName(text string) (name [32]byte, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(name) {
		return name, false
	}
	return [32]byte(raw), true
}

// UpToDate waits until this node's state has what the leader's had when it was asked: whoever removes what the state does
// not name has to know all of it. It fails without a leader, and when ctx ends.
func (n *Node) UpToDate(ctx context.Context) error {
	leader := n.LeaderID()
	if leader == "" {
		return errors.New("there is no leader")
	}
	if leader == n.net.nodeID {
		return n.Verify(ctx)
	}
	var there memberStatus
	if err := n.Call(ctx, leader, statusPath, struct{}{}, &there); err != nil {
		return fmt.Errorf("ask the leader: %w", err)
	}
	tick := time.NewTicker(appliedLook)
	defer tick.Stop()
	for n.raft.AppliedIndex() < there.Applied {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("this node's state is at %d, the leader's at %d", n.raft.AppliedIndex(), there.Applied)
		}
	}
	return nil
}
