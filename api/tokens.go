package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// seedHeader keeps the secret of a token to be made with its request, so that this makes the same token when it is tried
// again. Nodes say it to each other only.
const seedHeader = "Brigade-Token-Seed"

const tokensPath = "/v1/tokens"

const maxLifetime = 100 * 365 * 24 * time.Hour

// NewToken is the body of POST /v1/tokens.
type NewToken struct {
	Name      string   `json:"name"` // unique; 1 to 64 of a-z, A-Z, 0-9, dot, underscore and hyphen
	Role      fsm.Role `json:"role"`
	ExpiresIn int64    `json:"expires_in_seconds,omitempty"` // 0: never
}

// MadeToken is what POST /v1/tokens answers: the only time that the token itself is told.
type MadeToken struct {
	TokenInfo
	Token string `json:"token"` // the line of a token file
}

// TokenInfo describes a token.
type TokenInfo struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      fsm.Role   `json:"role"`
	CreatedAt *time.Time `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // null: never
	Expired   bool       `json:"expired"`    // by the clock of the node that answers
}

// TokenList is what GET /v1/tokens answers, ordered by name. The local tokens of nodes are not in it.
type TokenList struct {
	Tokens []TokenInfo `json:"tokens"`
	Next   string      `json:"next,omitempty"` // the value of `after` that brings the rest; "" at the end
	Freshness
}

func (s *Server) tokenInfo(t *fsm.Token) TokenInfo {
	return TokenInfo{
		ID: t.ID, Name: t.Name, Role: t.Role, CreatedAt: timeOf(t.Created), ExpiresAt: timeOf(t.Expires),
		Expired: t.Expires != 0 && s.now().UnixNano() >= t.Expires,
	}
}

func (s *Server) listTokens(_ context.Context, in *call) (*reply, error) {
	limit, err := number(in, "limit", maxPage, 1, maxPage)
	if err != nil {
		return nil, err
	}
	after := in.URL.Query().Get("after")
	d := &TokenList{Tokens: []TokenInfo{}}
	s.cfg.State.Read(func(state *fsm.State) {
		for _, t := range state.Tokens() {
			switch {
			case t.Name <= after:
				continue
			case len(d.Tokens) == int(limit):
				d.Next = d.Tokens[limit-1].Name
				return
			}
			d.Tokens = append(d.Tokens, s.tokenInfo(t))
		}
	})
	return &reply{document: d}, nil
}

func (s *Server) addToken(ctx context.Context, in *call) (*reply, error) {
	var wanted NewToken
	if err := decode(in.body, &wanted); err != nil {
		return nil, err
	}
	if err := checkNewToken(&wanted); err != nil {
		return nil, err
	}
	seed, err := seedOf(in)
	if err != nil {
		return nil, err
	}
	s.keep(in, seed)
	token := newToken(idOfSecret(seed), seed)
	hash := sha256.Sum256([]byte(token.secret))
	cmd := fsm.PutToken{
		ID: token.id, Name: wanted.Name, Role: wanted.Role, Hash: hash[:], Lifetime: int64(time.Duration(wanted.ExpiresIn) * time.Second),
	}
	if err := s.propose(ctx, in, "token-add", wanted.Name+" "+string(wanted.Role), cmd); errors.Is(err, fsm.ErrTokenExists) {
		return nil, problemf(http.StatusConflict, CodeTokenExists, "a token with this name exists", "there is a token named %q; remove it first, or give another name", wanted.Name)
	} else if err != nil {
		return nil, err
	}
	if in.done != nil {
		if seed, err = s.kept(in); err != nil {
			return nil, err
		}
		token = newToken(idOfSecret(seed), seed)
	} else {
		s.cfg.Logger.Info("token made", "name", wanted.Name, "role", wanted.Role, "id", token.id, "by", in.caller)
	}
	var made *fsm.Token
	s.cfg.State.Read(func(state *fsm.State) { made = state.Token(token.id) })
	if made == nil {
		return nil, problemf(http.StatusConflict, CodeNoToken, "no such token", "the token %q was removed since", wanted.Name)
	}
	return &reply{status: http.StatusCreated, document: &MadeToken{s.tokenInfo(made), token.For(s.authority()).line()}}, nil
}

func checkNewToken(t *NewToken) error {
	bad := func(format string, args ...any) error {
		return problemf(http.StatusBadRequest, CodeBadRequest, "bad request", format, args...)
	}
	switch {
	case t.Name == localID:
		return bad("the name %q is that of the tokens in data directories", localID)
	case !fsm.ValidTokenName(t.Name), t.Name == ".", t.Name == "..": // in a path these would be another place
		return bad("the name %q is not 1 to 64 of a-z, A-Z, 0-9, dot, underscore and hyphen", clean(t.Name, maxTarget))
	case !t.Role.Valid():
		return bad("the role %q is not known; there are viewer, operator and admin", clean(string(t.Role), maxTarget))
	case t.ExpiresIn < 0 || t.ExpiresIn > int64(maxLifetime/time.Second):
		return bad("expires_in_seconds is not a number from 0 to %d", int64(maxLifetime/time.Second))
	}
	return nil
}

// sow draws the secret of a token to be made, at the node that takes the request.
func sow(r *http.Request) {
	if r.Method == http.MethodPost && r.URL.Path == tokensPath {
		seed := make([]byte, tokenBytes)
		rand.Read(seed) // never fails, says its documentation
		r.Header.Set(seedHeader, base64.RawURLEncoding.EncodeToString(seed))
	}
}

func seedOf(in *call) (seed [tokenBytes]byte, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(in.Header.Get(seedHeader))
	if err != nil || len(raw) != tokenBytes {
		return seed, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the header %s is wrong", seedHeader)
	}
	return [tokenBytes]byte(raw), nil
}

// idOfSecret is the ID of the token that a secret makes. It gives nothing away.
func idOfSecret(seed [tokenBytes]byte) string {
	h := sha256.Sum256(append([]byte("brigade token id "), seed[:]...))
	return hex.EncodeToString(h[:8])
}

func (s *Server) removeToken(ctx context.Context, in *call) (*reply, error) {
	name := in.PathValue("name")
	if in.done != nil {
		return &reply{document: &Created{ID: string(in.done.Answer)}}, nil
	}
	id := ""
	s.cfg.State.Read(func(state *fsm.State) {
		for _, t := range state.Tokens() {
			if t.Name == name {
				id = t.ID
			}
		}
	})
	if id == "" {
		return nil, problemf(http.StatusNotFound, CodeNoToken, "no such token", "there is no token named %q", name)
	}
	if in.once != nil {
		in.once.answer = []byte(id)
	}
	if err := s.propose(ctx, in, "token-rm", name, fsm.RemoveToken{ID: id}); err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("token removed", "name", name, "id", id, "by", in.caller)
	return &reply{document: &Created{ID: id}}, nil
}
