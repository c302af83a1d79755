package fsm

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Role says what the holder of a token may do. Each role may do what the one before it may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // reads what is no secret
	Operator Role = "operator" // steers jobs and drains nodes as well
	Admin    Role = "admin"    // everything
)

// Valid tells whether there is such a role.
func (r Role) Valid() bool { return r == Viewer || r == Operator || r == Admin }

// Bounds of what is kept of access.
const (
	MaxTokens   = 1000
	MaxHistory  = 1000 // events; older ones are forgotten
	MaxEvent    = 512  // bytes of an event's texts together
	tokenIDSize = 8
	hashSize    = 32
)

// Token is what the state knows of an API token: never the secret itself.
type Token struct {
	ID      string `json:"id"` // 16 hex digits
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Hash    []byte `json:"hash"` // SHA-256 of the secret
	Created int64  `json:"created"`
	Expires int64  `json:"expires,omitempty"` // 0: never
}

// Event is one thing that somebody did.
type Event struct {
	Number  uint64 `json:"number"` // counted from 1, without gaps
	At      int64  `json:"at"`
	Actor   string `json:"actor"`           // name of the token
	Token   string `json:"token,omitempty"` // its ID
	Role    Role   `json:"role"`
	From    string `json:"from,omitempty"` // address of the client
	Node    string `json:"node,omitempty"` // ID of the node that took the request
	Request string `json:"request,omitempty"`
	Verb    string `json:"verb"`
	Target  string `json:"target,omitempty"`
}

// Token returns a token by its ID, nil if there is none.
func (s *State) Token(id string) *Token { return s.tokens[id] }

// Tokens returns all tokens ordered by name.
func (s *State) Tokens() []*Token {
	return slices.SortedFunc(maps.Values(s.tokens), func(a, b *Token) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
}

// History returns the events that are kept, the oldest first; the slice is not to be changed.
func (s *State) History() []Event { return s.history }

// putToken makes a token. The same token again is no error; its name or ID with anything else is.
func (s *State) putToken(c PutToken) error {
	switch {
	case !validTokenID(c.ID):
		return invalid("token ID of %d bytes", len(c.ID))
	case !validSetting(c.Name):
		return invalid("token name %q", short(c.Name))
	case !c.Role.Valid():
		return invalid("role %q", short(string(c.Role)))
	case len(c.Hash) != hashSize:
		return invalid("token hash of %d bytes", len(c.Hash))
	case c.Lifetime < 0:
		return invalid("token lifetime of %d ns", c.Lifetime)
	}
	made := &Token{ID: c.ID, Name: c.Name, Role: c.Role, Hash: c.Hash, Created: c.At}
	if c.Lifetime > 0 {
		made.Expires = c.At + c.Lifetime
		if made.Expires <= c.At {
			return invalid("token lifetime of %d ns", c.Lifetime)
		}
	}
	for _, t := range s.tokens {
		if t.ID == c.ID && t.Name == c.Name && t.Role == c.Role && bytes.Equal(t.Hash, c.Hash) {
			return nil // a repeat
		}
		if t.ID == c.ID || t.Name == c.Name {
			return ErrTokenExists
		}
	}
	if len(s.tokens) >= MaxTokens {
		return ErrTooManyTokens
	}
	changed := maps.Clone(s.tokens)
	if changed == nil {
		changed = map[string]*Token{}
	}
	changed[c.ID] = made
	s.tokens = changed
	return nil
}

func (s *State) removeToken(c RemoveToken) error {
	if s.tokens[c.ID] == nil {
		return ErrNoToken
	}
	changed := maps.Clone(s.tokens)
	delete(changed, c.ID)
	s.tokens = changed
	return nil
}

// recorded applies a command and, if it is not refused, notes who sent it. One without a command notes only. What the
// history holds already was applied: sent again, as when a leader was lost before it answered, it does nothing.
func (s *State) recorded(c Recorded) error {
	if err := c.Event.check(); err != nil {
		return err
	}
	if s.happened(&c.Event) {
		return nil
	}
	if c.Command != nil {
		if err := s.apply(c.Command); err != nil {
			return err
		}
	}
	s.lastEvent++
	c.Event.Number = s.lastEvent
	// Elements of the slice are never written again, so that snapshots may share it.
	s.history = append(s.history, c.Event)
	if over := len(s.history) - MaxHistory; over > 0 {
		s.history = s.history[over:]
	}
	return nil
}

func (s *State) happened(e *Event) bool {
	return e.Request != "" && slices.ContainsFunc(s.history, func(old Event) bool {
		return old.Request == e.Request && old.Verb == e.Verb && old.Target == e.Target
	})
}

// check refuses what would not fit into the history, or not onto a terminal.
func (e *Event) check() error {
	texts := []string{e.Actor, e.Token, string(e.Role), e.From, e.Node, e.Request, e.Verb, e.Target}
	size := 0
	for _, text := range texts {
		size += len(text)
		if !printable(text) {
			return invalid("event with a text that cannot be shown")
		}
	}
	if size > MaxEvent || e.Actor == "" || e.Verb == "" || !e.Role.Valid() || e.Number != 0 {
		return invalid("event of %d bytes", size)
	}
	return nil
}

func printable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func validTokenID(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == tokenIDSize && hex.EncodeToString(raw) == id
}

// ValidTokenName tells whether a name is 1 to 64 of a-z, A-Z, 0-9, dot, underscore and hyphen.
func ValidTokenName(name string) bool { return validSetting(name) }
