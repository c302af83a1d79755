package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const indexPath = "/v1/index"

// currency tells whether the state of this node has caught up with the cluster's since the node started. Before that it may
// hold tokens that were removed while the node was down, and not hold those that were made.
type currency struct {
	is     atomic.Bool
	asking chan struct{} // room for one: who is finding out
}

func newCurrency() *currency { return &currency{asking: make(chan struct{}, 1)} }

// current waits until this node knows which tokens hold, for as long as ctx and patience let it.
func (s *Server) current(ctx context.Context, patience time.Duration) error {
	if s.currency.is.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.tryCurrent(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			s.cfg.Logger.Debug("this node's state is not up to date", "reason", err)
			return problemf(http.StatusServiceUnavailable, CodeNotReady, "not ready",
				"this node has just started and does not know yet which tokens hold; try again, or ask another node")
		}
	}
}

// tryCurrent finds out once. One request does at a time, the others wait for it.
func (s *Server) tryCurrent(ctx context.Context) error {
	select {
	case s.currency.asking <- struct{}{}:
		defer func() { <-s.currency.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.currency.is.Load() {
		return nil
	}
	err := s.catchUpWithLeader(ctx)
	if err == nil {
		s.currency.is.Store(true)
	}
	return err
}

// catchUpWithLeader waits until this node's state has all that the leader's had when it was asked.
func (s *Server) catchUpWithLeader(ctx context.Context) error {
	if s.leads() {
		return s.cfg.Leader.Ready(ctx)
	}
	if s.cfg.Members.Leader() == "" || s.cfg.Forwarder == nil {
		return ErrNoLeader
	}
	there, err := s.leadersIndex(ctx)
	if err != nil {
		return err
	}
	for {
		changed := s.cfg.State.Changed()
		here := s.freshness().Index
		if here >= there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the state is at %d, the leader's at %d", here, there)
		}
	}
}

func (s *Server) leadersIndex(ctx context.Context) (uint64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, indexPath, nil)
	if err != nil {
		return 0, err
	}
	self := Caller{Name: "node", Role: fsm.Viewer, Node: s.cfg.Node}
	resp, err := s.forward(ctx, &call{Request: r, caller: self})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var d Freshness
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxSmall)).Decode(&d); err != nil {
		return 0, fmt.Errorf("read the leader's index: %w", err)
	}
	return d.Index, nil
}

// showIndex tells another node how far the state of the leader is, once everything committed before is in it.
func (s *Server) showIndex(ctx context.Context, _ *call) (*reply, error) {
	if err := s.cfg.Leader.Ready(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return &reply{document: &Freshness{}}, nil
}
