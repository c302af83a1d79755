package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// MaxRetiredKeys bounds the keys that the state remembers to be no longer valid; the oldest are forgotten.
const MaxRetiredKeys = 32

const (
	keyIDSize     = 8 // bytes of the ID of a cluster key
	maxResealed   = 32
	sealedVersion = 1
)

// Keys says which cluster keys are valid. They are named by their IDs, 16 hex digits, which give nothing away.
type Keys struct {
	Current string       `json:"current,omitempty"` // is used; "" until it is changed for the first time
	Old     string       `json:"old,omitempty"`     // is still accepted; "" but while a change is under way
	Began   string       `json:"began,omitempty"`   // was used when the change under way began
	Since   int64        `json:"since,omitempty"`   // when Current came into use
	Retired []RetiredKey `json:"retired,omitempty"` // the last ones, the oldest first
}

// RetiredKey is a key that was replaced.
type RetiredKey struct {
	ID string `json:"id"`
	At int64  `json:"at"`
}

// SwitchKey brings another cluster key into use. The one used so far stays valid until RetireKey. With the two the other
// way round it takes a change back.
type SwitchKey struct {
	From string `json:"from"` // ID of the key in use
	To   string `json:"to"`
	At   int64  `json:"at"`
}

// ResealJob gives sealed values of a job, sealed again with the key in use, the place of the ones that they were made of.
type ResealJob struct {
	Job    string     `json:"job"`
	Nonce  []byte     `json:"nonce"`
	Values []Resealed `json:"values"`
}

// Resealed is one value of ResealJob.
type Resealed struct {
	Destination bool   `json:"destination,omitempty"` // of the source otherwise
	Field       string `json:"field"`
	Was         []byte `json:"was"` // SHA-256 of the sealed value before
	Sealed      []byte `json:"sealed"`
}

// RetireKey ends the validity of the old cluster key. Nothing may be sealed with it any more.
type RetireKey struct {
	Key string `json:"key"` // ID
	At  int64  `json:"at"`
}

// Keys tells which cluster keys are valid; what it returns is not to be changed.
func (s *State) Keys() Keys { return s.keys }

// IsRetired tells whether a key was replaced.
func (k Keys) IsRetired(id string) bool {
	return slices.ContainsFunc(k.Retired, func(r RetiredKey) bool { return r.ID == id })
}

// SealedWith reads the ID of the key out of a sealed value, "" where it is none. A sealed value starts with a byte of
// version and the ID; package cluster makes them.
func SealedWith(sealed []byte) string {
	if len(sealed) <= 1+keyIDSize || sealed[0] != sealedVersion {
		return ""
	}
	return hex.EncodeToString(sealed[1 : 1+keyIDSize])
}

// SealedWith returns the jobs that have values sealed with a key, ordered by ID.
func (s *State) SealedWith(key string) (jobs []*Job) {
	for _, j := range s.Jobs() {
		if slices.Contains(keysOfSpec(j.Spec), key) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// keysOfSpec lists the keys that values of a description are sealed with, some more than once.
func keysOfSpec(spec []byte) (ids []string) {
	var sides struct {
		Source, Destination struct {
			Sealed map[string][]byte `json:"sealed"`
		}
	}
	if json.Unmarshal(spec, &sides) != nil {
		return nil // no description that anybody could read
	}
	for _, sealed := range []map[string][]byte{sides.Source.Sealed, sides.Destination.Sealed} {
		for _, value := range sealed { // the order does not matter to those who ask
			ids = append(ids, SealedWith(value))
		}
	}
	return ids
}

// checkSeals refuses a description that is sealed with a key which was replaced: nobody could open it.
func (s *State) checkSeals(spec []byte) error {
	if len(s.keys.Retired) > 0 && slices.ContainsFunc(keysOfSpec(spec), s.keys.IsRetired) {
		return ErrKeyRetired
	}
	return nil
}

func validKeyID(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == keyIDSize && hex.EncodeToString(raw) == id
}

func (s *State) switchKey(c SwitchKey) error {
	k := s.keys
	switch {
	case !validKeyID(c.From) || !validKeyID(c.To) || c.From == c.To:
		return invalid("key IDs of %d and %d bytes", len(c.From), len(c.To))
	case k.Current == c.To && k.Old == c.From:
		return nil // a repeat
	case k.IsRetired(c.From), k.IsRetired(c.To):
		return ErrKeyRetired
	case k.Current != "" && k.Current != c.From, k.Old != "" && k.Old != c.To:
		return ErrKeyState
	}
	if k.Old == "" {
		s.keys.Began = c.From
	}
	s.keys.Current, s.keys.Old, s.keys.Since = c.To, c.From, c.At
	return nil
}

func (s *State) retireKey(c RetireKey) error {
	switch {
	case !validKeyID(c.Key):
		return invalid("key ID of %d bytes", len(c.Key))
	case s.keys.IsRetired(c.Key):
		return nil // a repeat
	case s.keys.Old != c.Key:
		return ErrKeyState
	case len(s.SealedWith(c.Key)) > 0, len(s.SettingsSealedWith(c.Key)) > 0:
		return ErrKeyInUse
	}
	s.keys.Old, s.keys.Began = "", ""
	retired := append(slices.Clone(s.keys.Retired), RetiredKey{c.Key, c.At}) // a snapshot may hold the slice
	s.keys.Retired = retired[max(0, len(retired)-MaxRetiredKeys):]
	return nil
}

// resealJob changes nothing but sealed values, and only those that still are as they were read.
func (s *State) resealJob(c ResealJob) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if len(c.Values) == 0 || len(c.Values) > maxResealed {
		return invalid("%d sealed values", len(c.Values))
	}
	var spec, sides map[string]json.RawMessage
	if err := json.Unmarshal(old.Spec, &spec); err != nil {
		return invalid("spec is not JSON")
	}
	for _, v := range c.Values {
		if SealedWith(v.Sealed) != s.keys.Current || s.keys.Current == "" {
			return ErrKeyState
		}
		name := "source"
		if v.Destination {
			name = "destination"
		}
		sides = nil
		if json.Unmarshal(spec[name], &sides) != nil || sides == nil {
			return ErrSealChanged
		}
		if sides["sealed"], err = replaceSealed(sides["sealed"], v); err != nil {
			return err
		}
		if spec[name], err = json.Marshal(sides); err != nil {
			return invalid("%s is not JSON", name)
		}
	}
	job := clone(old)
	if job.Spec, err = json.Marshal(spec); err != nil {
		return invalid("spec is not JSON")
	}
	s.jobs[job.ID] = job
	return nil
}

// replaceSealed puts a value in the place of the one that it was made of.
func replaceSealed(text json.RawMessage, v Resealed) (json.RawMessage, error) {
	var sealed map[string][]byte
	if json.Unmarshal(text, &sealed) != nil {
		return nil, ErrSealChanged
	}
	was := sha256.Sum256(sealed[v.Field])
	if sealed[v.Field] == nil || !bytes.Equal(was[:], v.Was) {
		return nil, ErrSealChanged
	}
	sealed[v.Field] = v.Sealed
	return json.Marshal(sealed)
}
