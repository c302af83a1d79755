package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/bucketbrigade/brigade/fsm"
)

// Who a route is open to, besides the roles of package fsm. A route that names none is open to nobody.
const (
	anyone fsm.Role = "anyone" // without a token
	peers  fsm.Role = "peers"  // other nodes, for themselves
)

// rank orders roles; 0 is none.
func rank(r fsm.Role) int {
	switch r {
	case fsm.Viewer:
		return 1
	case fsm.Operator:
		return 2
	case fsm.Admin:
		return 3
	}
	return 0
}

// Caller is who sent a request, as the node knows that took it. Between nodes it goes along in CallerHeader.
type Caller struct {
	Name    string   `json:"name"`
	Token   string   `json:"token,omitempty"` // ID
	Role    fsm.Role `json:"role"`
	From    string   `json:"from"`
	Node    string   `json:"node"`    // that took the request
	Request string   `json:"request"` // ID
}

// LogValue is what the log says of a caller.
func (c Caller) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.Name), slog.String("role", string(c.Role)), slog.String("from", c.From),
		slog.String("request", c.Request))
}

type callerKey struct{}

func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

type peerKey struct{}

// fromPeer tells whether a request came from another node.
func fromPeer(ctx context.Context) bool { return ctx.Value(peerKey{}) != nil }

// permit refuses a caller whose role is less than what a route wants.
func (rt *route) permit(ctx context.Context) error {
	c := callerOf(ctx)
	switch {
	case rt.role == anyone:
		return nil
	case rt.role == peers && fromPeer(ctx):
		return nil
	case rank(rt.role) > 0 && rank(c.Role) >= rank(rt.role):
		return nil
	case rank(rt.role) == 0:
		return problemf(http.StatusForbidden, CodeForbidden, "forbidden", "%s is not for clients", rt.pattern)
	}
	p := problemf(http.StatusForbidden, CodeForbidden, "forbidden",
		"this takes the role %s, and the token %s has the role %s", rt.role, c.Name, c.Role)
	p.Needed = rt.role
	return p
}

// receive gives a client's request its ID, and takes away what only nodes may say.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) Caller {
	for _, name := range []string{ForwardedHeader, CallerHeader, seedHeader} {
		r.Header.Del(name)
	}
	sow(r)
	id := make([]byte, 8)
	rand.Read(id) // never fails, says its documentation
	c := Caller{From: hostOf(r.RemoteAddr), Node: s.cfg.Node, Request: hex.EncodeToString(id)}
	w.Header().Set(RequestHeader, c.Request)
	return c
}

// hostOf is the address without the port.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// authenticate finds out whose token a request shows. Which one it is that does not match, nobody is told.
func (s *Server) authenticate(r *http.Request, c *Caller) error {
	given, ok := parseToken(bearer(r))
	if !ok {
		return unauthorized(CodeUnauthorized, "a token is wanted: Authorization: Bearer TOKEN")
	}
	if given.id == localID {
		if !s.cfg.Token.matches(given.secret) {
			return unauthorized(CodeUnauthorized, "the token is not valid")
		}
		c.Name, c.Role = localID, fsm.Admin
		return nil
	}
	if err := s.current(r.Context(), readPatience); err != nil {
		return err
	}
	var known *fsm.Token
	s.cfg.State.Read(func(state *fsm.State) { known = state.Token(given.id) })
	want := make([]byte, sha256.Size)
	if known != nil {
		want = known.Hash
	}
	got := sha256.Sum256([]byte(given.secret))
	if subtle.ConstantTimeCompare(want, got[:]) != 1 || known == nil {
		return unauthorized(CodeUnauthorized, "the token is not valid: it is not of this cluster, or was removed")
	}
	if known.Expires != 0 && s.now().UnixNano() >= known.Expires {
		return unauthorized(CodeTokenExpired, "the token "+known.Name+" expired at "+timeOf(known.Expires).Format(time.RFC3339))
	}
	c.Name, c.Token, c.Role = known.Name, known.ID, known.Role
	return nil
}

func unauthorized(code, detail string) *Problem {
	return problemf(http.StatusUnauthorized, code, "unauthorized", "%s", detail)
}

// refuse answers a request without a valid token. An address that sends many of them is told to wait, and loses its
// connection each time. A valid token is never made to wait: whoever shares its address could lock it out.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, c Caller, err error) {
	var p *Problem
	if errors.As(err, &p) && p.Status != http.StatusUnauthorized {
		s.fail(w, r, err) // whether the token is valid is not known
		return
	}
	within, tell := s.failures.note(networkOf(c.From).String(), s.now())
	if tell {
		s.cfg.Logger.Warn("requests without a valid token", "from", c.From, "path", clean(r.URL.Path, maxTarget), "request", c.Request, "reason", err)
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="brigade"`)
	if !within {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "10")
		err = problemf(http.StatusTooManyRequests, CodeTooMany, "too many requests", "too many requests without a valid token; the last: %s", err)
	}
	s.fail(w, r, err)
}

// open tells whether a request needs no token. One that is shown all the same is not looked at.
func (s *Server) open(r *http.Request) bool {
	switch r.URL.Path {
	case healthPath, readyPath:
		return true
	case metricsPath:
		return s.cfg.MetricsOpen
	}
	return false
}

// Handler serves clients, who must show a token. /healthz and /readyz are open, and where the node is told so /metrics.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.receive(w, r)
		if !s.open(r) {
			if err := s.authenticate(r, &c); err != nil {
				s.refuse(w, r, c, err)
				return
			}
			w.Header().Set(VersionHeader, s.cfg.Version)
		}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		if err := s.pace(w, c); err != nil {
			s.fail(w, r, err)
			return
		}
		s.cfg.Logger.Debug("request", "method", r.Method, "path", clean(r.URL.Path, maxTarget), "by", c)
		s.dispatch(w, r)
	})
}

// PeerHandler serves requests that other nodes pass on; the connection has proven who they are, and they have checked who
// the caller is.
func (s *Server) PeerHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c Caller
		err := json.Unmarshal([]byte(r.Header.Get(CallerHeader)), &c)
		if r.Header.Get(ForwardedHeader) == "" || err != nil || rank(c.Role) == 0 {
			s.fail(w, r, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the headers %s and %s do not say who asks", ForwardedHeader, CallerHeader))
			return
		}
		w.Header().Set(RequestHeader, c.Request)
		ctx := context.WithValue(context.WithValue(r.Context(), callerKey{}, c), peerKey{}, true)
		s.dispatch(w, r.WithContext(ctx))
	})
}

// vouch says on a request to another node who its caller is.
func (s *Server) vouch(r *http.Request, c Caller) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	r.Header.Set(ForwardedHeader, s.cfg.Node)
	r.Header.Set(CallerHeader, string(text))
	r.Header.Del("Authorization") // the other node trusts this one, and has no use for the secret
	return nil
}

// clean makes a text fit for logs and history, at most so many bytes long.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-3], "") + "…"
	}
	return text
}
