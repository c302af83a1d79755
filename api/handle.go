package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// where says which node answers a request.
type where int

const (
	here      where = iota // this node
	preferred              // the leader, who knows what running tasks do; else this node
	leader                 // the leader only: the request changes the state
)

// route is one endpoint.
type route struct {
	pattern string
	where   where
	role    fsm.Role // the least that it takes
	do      func(ctx context.Context, in *call) (*reply, error)
	about   operation
}

// call is a request with its body read.
type call struct {
	*http.Request
	body   []byte
	caller Caller
	once   *once     // nil without an Idempotency-Key
	done   *fsm.Done // not nil where it was done before, under its key
}

// reply is what a handler answers; a document with a Freshness gets it filled in.
type reply struct {
	status   int // 0 means 200
	location string
	etag     string
	document any
	stream   func(w http.ResponseWriter) // in place of a document
}

// stamped is a document that says of which state it is.
type stamped interface{ stamp(Freshness) }

func (f *Freshness) stamp(v Freshness) { *f = v }

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// handle serves a route on the node that it belongs to.
func (s *Server) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := rt.read(w, r)
		if err == nil && rt.about.waits {
			err = s.await(w, in)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		switch {
		case rt.where == leader:
			s.write(w, in, rt)
		case rt.where == preferred && s.passesOn(r) && s.readElsewhere(w, in):
		default:
			s.serve(w, in, rt)
		}
	})
}

// read takes in a request that its caller may send.
func (rt *route) read(w http.ResponseWriter, r *http.Request) (*call, error) {
	if err := rt.permit(r.Context()); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rt.bodyLimit()))
	if err != nil {
		return nil, bodyProblem(err)
	}
	in := &call{Request: r, body: body, caller: callerOf(r.Context())}
	if err := rt.checkMedia(in); err != nil {
		return nil, err
	}
	in.once, err = onceOf(in)
	return in, err
}

// serve answers here what does not need the leader.
func (s *Server) serve(w http.ResponseWriter, in *call, rt route) {
	ctx, cancel := context.WithTimeout(in.Context(), localPatience)
	defer cancel()
	if rt.where == preferred {
		s.catchUp(ctx)
	}
	out, err := s.do(ctx, in, rt)
	s.finish(w, in, out, err)
}

// do has a route answer, unless the request's key was used for another.
func (s *Server) do(ctx context.Context, in *call, rt route) (*reply, error) {
	if err := s.recall(in); err != nil {
		return nil, err
	}
	return rt.do(ctx, in)
}

// answer serves what needs neither body nor leader.
func (s *Server) answer(do func(r *http.Request) (*reply, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := do(r)
		s.finish(w, &call{Request: r}, out, err)
	})
}

// passesOn tells whether another node leads and may be asked.
func (s *Server) passesOn(r *http.Request) bool {
	id := s.cfg.Members.Leader()
	return id != "" && id != s.cfg.Node && s.cfg.Forwarder != nil && r.Header.Get(ForwardedHeader) == ""
}

// write has the leader change the state, and waits for one as long as a client should.
func (s *Server) write(w http.ResponseWriter, in *call, rt route) {
	ctx, cancel := context.WithTimeout(in.Context(), max(writePatience, rt.about.patience))
	defer cancel()
	for {
		out, resp, err := s.tryWrite(ctx, in, rt)
		switch {
		case err == nil && resp != nil:
			s.catchUpTo(ctx, resp)
			s.relay(w, in.Request, resp)
			return
		case !noLeader(err) || ctx.Err() != nil:
			s.finish(w, in, out, err)
			return
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			s.fail(w, in.Request, err)
			return
		}
	}
}

// catchUpTo waits, for a while, until this node has what the leader answers of: who asks it next shall find what he did, such
// as the token that he has just made.
func (s *Server) catchUpTo(ctx context.Context, resp *http.Response) {
	index, err := strconv.ParseUint(resp.Header.Get(IndexHeader), 10, 64)
	if err != nil {
		return // nothing was changed
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	for s.freshness().Index < index {
		select {
		case <-time.After(followPoll):
		case <-ctx.Done():
			return
		}
	}
}

// catchUp waits, for a while, until the state has what was committed: a node that has just started or been elected may
// not have applied its log yet, and would deny that there is a job.
func (s *Server) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	for !s.leads() {
		if s.freshness().Index > 0 {
			return
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			return
		}
	}
	if err := s.cfg.Leader.Ready(ctx); err != nil {
		s.cfg.Logger.Debug("answering before the log is applied", "reason", err)
	}
}

func noLeader(err error) bool {
	return errors.Is(err, ErrNoLeader) || errors.Is(err, scheduler.ErrNotLeader)
}

// tryWrite lets whoever leads now answer: this node, or another, whose response then comes back.
func (s *Server) tryWrite(ctx context.Context, in *call, rt route) (*reply, *http.Response, error) {
	if s.leads() {
		s.catchUp(ctx)
		out, err := s.do(ctx, in, rt)
		return out, nil, err
	}
	if !s.passesOn(in.Request) {
		return nil, nil, ErrNoLeader
	}
	resp, err := s.forward(ctx, in)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		_ = resp.Body.Close()
		err = ErrNoLeader // the leader changed meanwhile
	}
	return nil, resp, err
}

// passed makes the request to another node that a request becomes when it is passed on.
func (s *Server) passed(ctx context.Context, in *call) (*http.Request, error) {
	r := in.Clone(ctx)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(in.body)), nil }
	r.Body, _ = r.GetBody() // never fails
	r.ContentLength = int64(len(in.body))
	r.RequestURI = ""
	return r, s.vouch(r, in.caller)
}

// forward sends a request to the leader. The response lives as long as ctx does.
func (s *Server) forward(ctx context.Context, in *call) (*http.Response, error) {
	r, err := s.passed(ctx, in)
	if err != nil {
		return nil, err
	}
	resp, err := s.cfg.Forwarder.Forward(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return resp, nil
}

// readElsewhere lets the leader answer, and tells whether it did.
func (s *Server) readElsewhere(w http.ResponseWriter, in *call) bool {
	ctx, cancel := context.WithTimeout(in.Context(), readPatience)
	defer cancel()
	resp, err := s.forward(ctx, in)
	if err != nil {
		s.cfg.Logger.Debug("leader does not answer a read, answering here", "path", in.URL.Path, "error", err)
		return false
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		_ = resp.Body.Close()
		return false
	}
	s.relay(w, in.Request, resp)
	return true
}

// relay sends on what another node answered.
func (s *Server) relay(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	defer resp.Body.Close()
	for _, name := range []string{"Content-Type", "Location", "Etag", "Allow", "Retry-After", IndexHeader, StaleHeader, ReplayHeader} {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		s.cfg.Logger.Debug("answer not passed on", "path", r.URL.Path, "error", err)
	}
}

// finish sends a reply or a problem.
func (s *Server) finish(w http.ResponseWriter, in *call, out *reply, err error) {
	if err != nil {
		s.fail(w, in.Request, err)
		return
	}
	if out.stream != nil {
		out.stream(w)
		return
	}
	f := s.freshness()
	if d, ok := out.document.(stamped); ok {
		d.stamp(f)
	}
	h := w.Header()
	h.Set("Content-Type", jsonMedia)
	h.Set(IndexHeader, strconv.FormatUint(f.Index, 10))
	if f.Stale {
		h.Set(StaleHeader, "true")
	}
	if in.done != nil {
		h.Set(ReplayHeader, "true")
	}
	if out.location != "" {
		h.Set("Location", out.location)
	}
	if out.etag != "" {
		h.Set("Etag", out.etag)
	}
	if out.status != 0 {
		w.WriteHeader(out.status)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out.document); err != nil {
		s.cfg.Logger.Debug("answer not sent", "path", in.URL.Path, "error", err)
	}
}

// fail sends a problem. What is this node's own fault goes to the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemOf(err)
	h := w.Header()
	if p.Request == "" {
		p.Request = h.Get(RequestHeader)
	}
	s.nameVersions(&p, r)
	switch p.Code() {
	case CodeInternal:
		s.cfg.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "by", callerOf(r.Context()), "error", err)
	case CodeNoLeader, CodeNotReady:
		h.Set("Retry-After", "1")
	case CodeNoMethod:
		h.Set("Allow", strings.Join(p.methods, ", ")) // HEAD, wherever GET is, goes without saying
	}
	h.Set("Content-Type", problemMedia)
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(&p); err != nil {
		s.cfg.Logger.Debug("answer not sent", "path", r.URL.Path, "error", err)
	}
}
