package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

const (
	maxTarget    = 160 // bytes
	tellPatience = 2 * time.Second
)

// Event is one thing that somebody did, as GET /v1/history lists them.
type Event struct {
	Number  uint64    `json:"number"` // counted from 1; what is missing before the first is forgotten
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`           // name of the token; "local" is the one in a node's data directory
	Token   string    `json:"token,omitempty"` // its ID
	Role    fsm.Role  `json:"role"`
	From    string    `json:"from"` // address of the client
	Node    string    `json:"node"` // that took the request
	Request string    `json:"request"`
	Verb    string    `json:"verb"`             // add, pause, continue, redo, retry, rm, drain, undrain, set, token-add, …
	Target  string    `json:"target,omitempty"` // job, node, token or names of settings
}

// History is what GET /v1/history answers, the oldest event first.
type History struct {
	Events []Event `json:"events"`
	Next   uint64  `json:"next,omitempty"` // the value of `after` that brings the rest; 0 at the end
	Freshness
}

// propose commits a command together with who sent it, and returns why the state refused it. What was done before, under
// the request's key, is not done again, and is no error: then in.done tells of it.
func (s *Server) propose(ctx context.Context, in *call, verb, target string, cmd fsm.Command) error {
	if in.done != nil {
		return nil
	}
	result, err := s.cfg.Leader.Propose(ctx, in.recorded(eventOf(in.caller, verb, target), cmd))
	if err == nil && errors.Is(result.Err, fsm.ErrDone) {
		if err := s.recall(in); err != nil || in.done != nil { // it came twice at the same time
			return err
		}
	}
	return errors.Join(err, result.Err)
}

// eventOf describes what a caller does, in texts that the history takes.
func eventOf(c Caller, verb, target string) fsm.Event {
	const most = 48
	return fsm.Event{
		Actor: clean(c.Name, fsmName), Token: clean(c.Token, most), Role: c.Role, From: clean(c.From, most), Node: clean(c.Node, fsmName),
		Request: clean(c.Request, most), Verb: clean(verb, most), Target: clean(target, maxTarget),
	}
}

const fsmName = 64 // bytes of the names of tokens and nodes that are kept

func drainVerb(on bool) string {
	if on {
		return "drain"
	}
	return "undrain"
}

// settingsTarget names settings without their values, which may be secrets.
func settingsTarget(change map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(change)), " ")
}

// leaveChecker is a Control that can refuse a leave before anything is done.
type leaveChecker interface{ MayLeave() error }

// tell records what is done to this node itself. It is done all the same where no leader can record it.
func (s *Server) tell(ctx context.Context, in *call, verb string) {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	var err error
	if s.leads() {
		err = s.propose(ctx, in, verb, s.cfg.Node, nil)
	} else {
		err = s.tellLeader(ctx, in, verb)
	}
	if err != nil {
		s.cfg.Logger.Warn("not recorded in the history", "verb", verb, "by", in.caller, "error", err)
	}
}

// noted is the body of POST /v1/history, which nodes send each other.
type noted struct {
	Verb   string `json:"verb"`
	Target string `json:"target"`
	Once   *once  `json:"once,omitempty"`
}

func (s *Server) tellLeader(ctx context.Context, in *call, verb string) error {
	if s.cfg.Forwarder == nil {
		return ErrNoLeader
	}
	body, err := json.Marshal(noted{verb, s.cfg.Node, in.once})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/history", nil)
	if err != nil {
		return err
	}
	resp, err := s.forward(ctx, &call{Request: r, body: body, caller: in.caller})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxSmall)); err != nil || resp.StatusCode < 300 {
		return err
	}
	return errors.New(resp.Status)
}

// addEvent records what was done to another node.
func (s *Server) addEvent(ctx context.Context, in *call) (*reply, error) {
	var n noted
	if err := decode(in.body, &n); err != nil {
		return nil, err
	}
	in.once = n.Once
	if err := s.propose(ctx, in, n.Verb, n.Target, nil); err != nil {
		return nil, err
	}
	return &reply{document: &Created{ID: in.caller.Request}}, nil
}

func (s *Server) showHistory(_ context.Context, in *call) (*reply, error) {
	limit, err := number(in, "limit", maxPage, 1, maxPage)
	if err != nil {
		return nil, err
	}
	after, err := number(in, "after", 0, 0, 1<<53)
	if err != nil {
		return nil, err
	}
	d := &History{Events: []Event{}}
	s.cfg.State.Read(func(state *fsm.State) {
		for _, e := range state.History() {
			switch {
			case e.Number <= uint64(after):
				continue
			case len(d.Events) == int(limit):
				d.Next = d.Events[limit-1].Number
				return
			}
			d.Events = append(d.Events, Event{
				Number: e.Number, At: time.Unix(0, e.At).UTC(), Actor: e.Actor, Token: e.Token, Role: e.Role, From: e.From, Node: e.Node,
				Request: e.Request, Verb: e.Verb, Target: e.Target,
			})
		}
	})
	return &reply{document: d}, nil
}
