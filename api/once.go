package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/fsm"
)

// Sealer encrypts what the state must not hold in clear.
type Sealer interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

const (
	shortestKey = 16
	longestKey  = 128
)

// once is what the state keeps of a request with an Idempotency-Key: hashes. That of the request is keyed with the key
// itself, so that nobody can try out in the state what a weak password in it was.
type once struct {
	Key     []byte `json:"key"`
	Request []byte `json:"request"`
	answer  []byte
}

// onceOf reads the key of a request that changes something, nil without one. Keys are the caller's own: another caller's
// equal key is another.
func onceOf(in *call) (*once, error) {
	key := in.Header.Get(KeyHeader)
	if key == "" || in.Method == http.MethodGet || in.Method == http.MethodHead {
		return nil, nil
	}
	key = strings.TrimSuffix(strings.TrimPrefix(key, `"`), `"`) // the standard in the making writes it as a quoted string
	if len(key) < shortestKey || len(key) > longestKey || strings.Trim(key, keyLetters) != "" || len(in.Header.Values(KeyHeader)) != 1 {
		return nil, problemf(http.StatusBadRequest, CodeBadKey, "bad idempotency key",
			"the header %s is not one key of %d to %d letters, digits and -_.:, as a UUID or 32 hex digits are", KeyHeader, shortestKey, longestKey)
	}
	who := in.caller.Token
	if who == "" {
		who = in.caller.Name
	}
	hashed := sha256.Sum256(joined("brigade idempotency key", who, key))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(joined(in.Method, in.URL.Path, in.URL.RawQuery, string(in.body)))
	return &once{Key: hashed[:], Request: mac.Sum(nil)}, nil
}

const keyLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"

// joined puts texts together with their lengths, so that no two lists give the same.
func joined(texts ...string) (all []byte) {
	for _, text := range texts {
		all = binary.BigEndian.AppendUint64(all, uint64(len(text)))
		all = append(all, text...)
	}
	return all
}

// recall looks whether a request was done before under its key.
func (s *Server) recall(in *call) error {
	if in.once == nil {
		return nil
	}
	var done *fsm.Done
	s.cfg.State.Read(func(state *fsm.State) { done = state.Done(in.once.Key, s.now().UnixNano()) })
	if done == nil {
		return nil
	}
	if !hmac.Equal(done.Request, in.once.Request) {
		return keyReused()
	}
	in.done = done
	return nil
}

func keyReused() *Problem {
	return problemf(http.StatusUnprocessableEntity, CodeKeyReused, "idempotency key used before",
		"the key in %s was used for another request; a new request takes a new key", KeyHeader)
}

// recorded makes the command that records an event, with the key of the request where it has one.
func (in *call) recorded(e fsm.Event, cmd fsm.Command) fsm.Command {
	r := fsm.Recorded{Event: e, Command: cmd}
	if in.once == nil {
		return r
	}
	return fsm.Once{Key: in.once.Key, Request: in.once.Request, Answer: in.once.answer, Recorded: r}
}

// keep has the state keep the secret of a token, sealed, for when the same request comes again.
func (s *Server) keep(in *call, seed [tokenBytes]byte) {
	if in.once != nil && s.cfg.Sealer != nil {
		in.once.answer = s.cfg.Sealer.Seal(seed[:], joined("brigade answer", string(in.once.Key)))
	}
}

// kept is what keep had the state keep when the request was done.
func (s *Server) kept(in *call) (seed [tokenBytes]byte, err error) {
	if s.cfg.Sealer != nil && len(in.done.Answer) > 0 {
		secret, err := s.cfg.Sealer.Open(in.done.Answer, joined("brigade answer", string(in.once.Key)))
		if err == nil && len(secret) == tokenBytes {
			return [tokenBytes]byte(secret), nil
		}
	}
	return seed, problemf(http.StatusConflict, CodeConflict, "answered before",
		"this was done before under this key, and its answer cannot be told again: the cluster key has changed since")
}

// newKey draws a key.
func newKey() string {
	key := make([]byte, nonceBytes)
	rand.Read(key) // never fails, says its documentation
	return hex.EncodeToString(key)
}

// nonceOf makes the nonce of a job from the key that it is submitted under. A request without one gets one, which stays with
// it when it is tried again.
func nonceOf(in *call) []byte {
	key := strings.Trim(in.Header.Get(KeyHeader), `"`)
	if key == "" {
		key = newKey()
		in.Header.Set(KeyHeader, key)
	}
	if nonce, err := hex.DecodeString(key); err == nil && len(nonce) == nonceBytes {
		return nonce
	}
	hash := sha256.Sum256(joined("brigade job nonce", key))
	return hash[:nonceBytes]
}
