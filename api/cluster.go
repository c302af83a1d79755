package api

import (
	"context"
	"net/http"

	"github.com/bucketbrigade/brigade/fsm"
)

// health says that the process answers.
func (s *Server) health(context.Context, *call) (*reply, error) {
	return &reply{document: &Health{Status: "ok"}}, nil
}

// ready says whether the node can do what it is asked: not without a leader, and not before it has caught up with it.
func (s *Server) ready(ctx context.Context, _ *call) (*reply, error) {
	if s.cfg.Members.Leader() == "" {
		return nil, ErrNoLeader
	}
	if err := s.current(ctx, readyPatience); err != nil {
		return nil, err
	}
	return &reply{document: &Health{Status: "ok"}}, nil
}

// Health is what /healthz and /readyz answer.
type Health struct {
	Status string `json:"status"`
}

// Self is what GET /v1/node answers.
type Self struct {
	ID string `json:"id"`
	Freshness
}

func (s *Server) listMachines(ctx context.Context, _ *call) (*reply, error) {
	d := &Machines{Leader: s.cfg.Members.Leader(), Nodes: s.cfg.Members.Machines(ctx)}
	s.cfg.State.Read(func(state *fsm.State) {
		for i := range d.Nodes {
			n := &d.Nodes[i]
			if limit := state.Limit(MaxTasks); limit > 0 {
				n.Slots = limit
			}
			n.Busy = 0
			for range state.LeasedBy(n.ID) {
				n.Busy++
			}
			if n.State == Alive && state.Draining(n.ID) {
				n.State = Draining
			}
		}
	})
	if d.Nodes == nil {
		d.Nodes = []Machine{}
	}
	return &reply{document: d}, nil
}

// drain takes work from a node, or lets it have work again.
func (s *Server) drain(on bool) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, in *call) (*reply, error) {
		id := in.PathValue("id")
		known := in.done != nil
		for _, n := range s.cfg.Members.Machines(ctx) {
			known = known || n.ID == id
		}
		if !known {
			return nil, problemf(http.StatusNotFound, CodeNotFound, "no such node", "there is no node %q", id)
		}
		if err := s.propose(ctx, in, drainVerb(on), id, fsm.SetNode{Node: id, Draining: on}); err != nil {
			return nil, err
		}
		s.cfg.Logger.Info("node set", "node", id, "draining", on, "by", in.caller)
		return s.listMachines(ctx, in)
	}
}

func (s *Server) showNode(context.Context, *call) (*reply, error) {
	return &reply{document: &Self{ID: s.cfg.Node}}, nil
}

func (s *Server) stopNode(ctx context.Context, in *call) (*reply, error) {
	if in.done != nil {
		return &reply{status: http.StatusAccepted, document: &Self{ID: s.cfg.Node}}, nil
	}
	s.cfg.Logger.Info("stop asked for", "by", in.caller)
	s.tell(ctx, in, "stop")
	s.cfg.Control.Stop()
	return &reply{status: http.StatusAccepted, document: &Self{ID: s.cfg.Node}}, nil
}

func (s *Server) leaveNode(ctx context.Context, in *call) (*reply, error) {
	if in.done != nil {
		return &reply{status: http.StatusAccepted, document: &Self{ID: s.cfg.Node}}, nil
	}
	s.cfg.Logger.Info("leave asked for", "by", in.caller)
	if c, ok := s.cfg.Control.(leaveChecker); ok {
		if err := c.MayLeave(); err != nil {
			return nil, err
		}
	}
	s.tell(ctx, in, "leave") // first, for afterwards there is nobody to tell
	if err := s.cfg.Control.Leave(ctx); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusAccepted, document: &Self{ID: s.cfg.Node}}, nil
}

func (s *Server) showSettings(context.Context, *call) (*reply, error) {
	d := &SettingList{}
	s.cfg.State.Read(func(state *fsm.State) { d.Settings = listSettings(state.Settings()) })
	return &reply{document: d}, nil
}

func (s *Server) changeSettings(ctx context.Context, in *call) (*reply, error) {
	var change SettingChange
	if err := decode(in.body, &change); err != nil {
		return nil, err
	}
	if err := checkSettings(change.Settings); err != nil {
		return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "%s", err)
	}
	sealed, err := s.sealSettings(change.Settings)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "%s", err)
	}
	if err := s.propose(ctx, in, "set", settingsTarget(change.Settings), fsm.SetSettings{Settings: sealed}); err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("settings changed", "settings", settingsTarget(change.Settings), "by", in.caller)
	return s.showSettings(ctx, in)
}
