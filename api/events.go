package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// The names of events.
const (
	EventReset  = "reset"  // a Reset: read everything again, for changes before it are not told
	EventJob    = "job"    // a JobChange
	EventNode   = "node"   // a NodeChange
	EventLeader = "leader" // a LeaderChange
)

const (
	eventMedia     = "text/event-stream"
	heartbeat      = 15 * time.Second // by default
	presenceLook   = time.Second
	streamPatience = 10 * time.Second // by default, for a client that does not read
	resumeHeader   = "Last-Event-ID"
)

// Reset is the first event of a stream that does not go on from an earlier one.
type Reset struct {
	Index uint64 `json:"index"`
}

// NodeChange is an event: a node came, is in another state, or is no member any more.
type NodeChange struct {
	ID       string `json:"id"`
	State    string `json:"state"` // alive, dead, left
	Draining bool   `json:"draining,omitempty"`
}

// LeaderChange is an event: another node leads, or with "" none is known to this one.
type LeaderChange struct {
	ID string `json:"id"`
}

// Presence is a Members that knows at once which nodes there are.
type Presence interface {
	// States is the state of each node by ID: alive, dead or left.
	States() map[string]string
}

// follow answers GET /v1/events.
func (s *Server) follow(_ context.Context, in *call) (*reply, error) {
	last := int64(-1)
	if text := in.Header.Get(resumeHeader); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the header %s is not the ID of an event", resumeHeader)
		}
		last = n
	}
	return &reply{stream: func(w http.ResponseWriter) { s.stream(w, in, last) }}, nil
}

// stream is one client of events.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	slow   time.Duration // how long a client may take
	cursor uint64        // changes of jobs up to here are told
	leader string
	nodes  map[string]NodeChange
	buf    bytes.Buffer
	err    error
}

// stream tells a client what changes until it goes, does not read, its token ends, or the server does.
func (s *Server) stream(w http.ResponseWriter, in *call, last int64) {
	leave, err := s.waiting.enter(w, in.caller)
	if err != nil {
		s.fail(w, in.Request, err)
		return
	}
	defer leave()
	unhurried(w, s.cfg.Patience)
	h := w.Header()
	h.Set("Content-Type", eventMedia)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // or a proxy keeps events back
	st := &stream{w: w, rc: http.NewResponseController(w), slow: s.cfg.Patience}
	beat, look := time.NewTicker(s.cfg.Heartbeat), time.NewTicker(presenceLook)
	defer beat.Stop()
	defer look.Stop()
	for {
		changed := s.cfg.State.Changed()
		s.changes.look(s.cfg.State, time.Now())
		s.gather(st, last)
		last = int64(st.cursor)
		if err := st.flush(); err != nil {
			s.cfg.Logger.Debug("events not told any more", "by", in.caller, "reason", err)
			return
		}
		if !s.awaitEvent(in.Context(), st, changed, look.C, beat.C) || s.still(in) != nil {
			return
		}
	}
}

// awaitEvent waits until there may be something to tell, and rests after a change: of many that follow each other a client
// is told the last.
func (s *Server) awaitEvent(ctx context.Context, st *stream, changed <-chan struct{}, look, beat <-chan time.Time) bool {
	select {
	case <-changed:
		return s.awaitNext(ctx, changed)
	case <-look:
	case <-beat:
		st.buf.WriteString(": still there\n\n")
	case <-ctx.Done():
		return false
	case <-s.waiting.closed:
		return false
	}
	return true
}

// gather writes down what a client has not been told, after an index or, with -1, from now on.
func (s *Server) gather(st *stream, after int64) {
	told, index, known := s.changes.since(uint64(max(after, 0)))
	if after < 0 || !known {
		told = nil
		st.event(EventReset, strconv.FormatUint(index, 10), Reset{index})
	}
	for i, change := range told {
		id := ""
		if i == len(told)-1 { // a client that is cut off before it is told the others again
			id = strconv.FormatUint(index, 10)
		}
		st.event(EventJob, id, change)
	}
	st.cursor = index
	s.gatherNodes(st)
}

// gatherNodes writes down what changed of leader and nodes; at first everything.
func (s *Server) gatherNodes(st *stream) {
	leader := s.cfg.Members.Leader()
	if st.nodes == nil || st.leader != leader {
		st.leader = leader
		st.event(EventLeader, "", LeaderChange{leader})
	}
	now := map[string]NodeChange{}
	if p, ok := s.cfg.Members.(Presence); ok {
		states := p.States()
		s.cfg.State.Read(func(state *fsm.State) {
			for id, is := range states {
				now[id] = NodeChange{ID: id, State: is, Draining: state.Draining(id)}
			}
		})
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if st.nodes[id] != now[id] {
			st.event(EventNode, "", now[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(st.nodes)) {
		if _, is := now[id]; !is {
			st.event(EventNode, "", NodeChange{ID: id, State: Left})
		}
	}
	st.nodes = now
}

// event adds one, with an ID to go on from where everything up to it was told.
func (st *stream) event(name, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		st.err = fmt.Errorf("encode event: %w", err)
		return
	}
	fmt.Fprintf(&st.buf, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&st.buf, "id: %s\n", id)
	}
	fmt.Fprintf(&st.buf, "data: %s\n\n", text)
}

// flush sends what was added. A client that does not take it in time is given up.
func (st *stream) flush() error {
	if st.err != nil || st.buf.Len() == 0 {
		return st.err
	}
	_ = st.rc.SetWriteDeadline(time.Now().Add(st.slow)) // where there is none the client is trusted
	_, err := st.w.Write(st.buf.Bytes())
	st.buf.Reset()
	return errors.Join(err, st.rc.Flush())
}
