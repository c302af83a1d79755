package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// What bounds the questions to other nodes about a destination.
const (
	maxAsked   = 16
	askedLimit = 10 * time.Second
	maxPreview = 64 << 10 // bytes of the answer
)

// Preview is what adding a job would meet: another job of its ID, and objects at its destination.
type Preview struct {
	ID          string      `json:"id"`
	Exists      bool        `json:"exists"`                // a job with this ID is there; the destination was not looked at
	Same        bool        `json:"same,omitempty"`        // with this very description, credentials included
	State       string      `json:"state,omitempty"`       // of that job
	Destination string      `json:"destination,omitempty"` // URL; "" where the job would write nothing
	Objects     int64       `json:"objects"`               // that are there; a lower bound where More is set
	Bytes       int64       `json:"bytes"`
	More        bool        `json:"more,omitempty"`
	First       []ObjectKey `json:"first,omitempty"`
	Local       bool        `json:"local,omitempty"`   // a path, which may be another place on each node
	Problem     string      `json:"problem,omitempty"` // why no node could look at the destination
	Node        string      `json:"node"`              // that looked
	Freshness
}

// nodeForwarder is a Forwarder that reaches every node.
type nodeForwarder interface {
	// ForwardTo sends a request to the API of a node, as Forward does to the leader's.
	ForwardTo(node string, r *http.Request) (*http.Response, error)
}

// preview looks at a job that may be added. What this node cannot see the others are asked for: credentials and paths may be
// there on some nodes only.
func (s *Server) preview(ctx context.Context, in *call) (*reply, error) {
	if s.cfg.Members.Leader() == "" {
		return nil, ErrNoLeader // nothing can be added
	}
	own, err := s.cfg.Jobs.Preview(ctx, in.body)
	if err != nil {
		return nil, err
	}
	own.Node = s.cfg.Node
	if to, ok := s.cfg.Forwarder.(nodeForwarder); ok && (own.Local || own.Problem != "") && in.Header.Get(ForwardedHeader) == "" {
		own = s.askOthers(ctx, in, to, own)
	}
	return &reply{document: own}, nil
}

// askOthers lets other nodes look as well, and returns the answer of the one that saw most.
func (s *Server) askOthers(ctx context.Context, in *call, to nodeForwarder, best *Preview) *Preview {
	ctx, cancel := context.WithTimeout(ctx, askedLimit)
	defer cancel()
	var asking sync.WaitGroup
	var mu sync.Mutex
	asked := 0
	for _, n := range s.cfg.Members.Machines(ctx) {
		if n.ID == s.cfg.Node || n.State != Alive || asked == maxAsked {
			continue
		}
		asked++
		asking.Go(func() {
			saw, err := s.askNode(ctx, in, to, n.ID)
			if err != nil {
				s.cfg.Logger.Debug("a node does not tell what is at a destination", "node", n.ID, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if saw.Problem == "" && (best.Problem != "" || saw.Objects > best.Objects) {
				best = saw
			}
		})
	}
	asking.Wait()
	return best
}

func (s *Server) askNode(ctx context.Context, in *call, to nodeForwarder, node string) (*Preview, error) {
	r, err := s.passed(ctx, in)
	if err != nil {
		return nil, err
	}
	resp, err := to.ForwardTo(node, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPreview))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, problemFrom(node, resp, data)
	}
	var p Preview
	return &p, json.Unmarshal(data, &p)
}

// Preview tells what adding a job would meet. Nothing is changed.
func (c *Client) Preview(ctx context.Context, description []byte) (*Preview, error) {
	var d Preview
	return &d, c.call(ctx, http.MethodPost, "/v1/preview", http.Header{"Content-Type": {"application/json"}}, description, &d)
}
