package api

import (
	"context"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/fsm"
)

// MachineTasks is what one node does, as GET /v1/machines/ID/tasks answers.
type MachineTasks struct {
	ID    string     `json:"id"`
	Tasks []HeldTask `json:"tasks"` // in order of their IDs
	Freshness
}

// HeldTask is a task that a node holds.
type HeldTask struct {
	ID   uint64       `json:"id"`
	Job  string       `json:"job"`
	Kind fsm.TaskKind `json:"kind"` // scan, range, list, relist
	// From and To bound the keys that are not settled yet, "" without a bound, where the task is a range of keys.
	From       string `json:"from,omitempty"`
	FromBase64 []byte `json:"from_base64,omitempty"` // the exact bytes where From is not valid UTF-8
	To         string `json:"to,omitempty"`
	ToBase64   []byte `json:"to_base64,omitempty"`
	Objects    int64  `json:"objects"` // settled so far
	Bytes      int64  `json:"bytes"`
	Attempt    int    `json:"attempt"` // attempts that failed before
}

// listMachineTasks answers for members, and for nodes that are none any more and hold something yet.
func (s *Server) listMachineTasks(ctx context.Context, in *call) (*reply, error) {
	d := &MachineTasks{ID: in.PathValue("id"), Tasks: []HeldTask{}}
	s.cfg.State.Read(func(state *fsm.State) {
		for t := range state.LeasedBy(d.ID) {
			d.Tasks = append(d.Tasks, newHeldTask(t))
		}
	})
	if len(d.Tasks) > 0 {
		return &reply{document: d}, nil
	}
	for _, n := range s.cfg.Members.Machines(ctx) {
		if n.ID == d.ID {
			return &reply{document: d}, nil
		}
	}
	return nil, problemf(http.StatusNotFound, CodeNotFound, "no such node", "there is no node %q", d.ID)
}

func newHeldTask(t *fsm.Task) HeldTask {
	h := HeldTask{
		ID: t.ID, Job: t.Job, Kind: t.Kind, From: string(t.From), To: string(t.To), Objects: t.Objects, Bytes: t.Bytes, Attempt: t.Attempt,
	}
	if !utf8.Valid(t.From) {
		h.FromBase64 = t.From
	}
	if !utf8.Valid(t.To) {
		h.ToBase64 = t.To
	}
	return h
}

// MachineTasks lists the tasks that a node holds.
func (c *Client) MachineTasks(ctx context.Context, id string) (*MachineTasks, error) {
	var d MachineTasks
	return &d, c.call(ctx, http.MethodGet, "/v1/machines/"+url.PathEscape(id)+"/tasks", nil, nil, &d)
}
