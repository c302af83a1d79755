package fsm

import (
	"bytes"
	"slices"
	"time"
)

// Bounds of what is kept of changes that are made once.
const (
	MaxOnce    = 4096 // the oldest are forgotten
	OnceAge    = 24 * time.Hour
	MaxAnswer  = 512 // bytes
	digestOnce = 32
)

// Done is a change that was asked for under a key, kept so that it is not made again.
type Done struct {
	Key     []byte `json:"key"`              // a hash; nobody can find the key in it
	Request []byte `json:"request"`          // likewise of what was asked for
	Target  string `json:"target,omitempty"` // of the event
	Answer  []byte `json:"answer,omitempty"` // sealed: what the answer held and the state does not know
	At      int64  `json:"at"`               // by the clock of the leader
}

// Done finds the change that was made under a key, nil if there is none. Now is the leader's time, or near it.
func (s *State) Done(key []byte, now int64) *Done {
	i := slices.IndexFunc(s.done, func(d *Done) bool { return bytes.Equal(d.Key, key) && d.young(now) })
	if i < 0 {
		return nil
	}
	return s.done[i]
}

func (d *Done) young(now int64) bool { return now-d.At < int64(OnceAge) }

// once applies a recorded command unless one was applied under its key: ErrDone where it was the same request, ErrKeyUsed
// where it was another.
func (s *State) once(c Once) error {
	if len(c.Key) != digestOnce || len(c.Request) != digestOnce || len(c.Answer) > MaxAnswer {
		return invalid("key of %d bytes, request of %d, answer of %d", len(c.Key), len(c.Request), len(c.Answer))
	}
	at := c.Recorded.Event.At
	if d := s.Done(c.Key, at); d != nil {
		if bytes.Equal(d.Request, c.Request) {
			return ErrDone
		}
		return ErrKeyUsed
	}
	if err := s.recorded(c.Recorded); err != nil {
		return err
	}
	first := slices.IndexFunc(s.done, func(d *Done) bool { return d.young(at) })
	if first < 0 {
		first = len(s.done)
	}
	first = max(first, len(s.done)+1-MaxOnce)
	// A slice of its own: snapshots may share the one before.
	s.done = append(slices.Clip(s.done[first:]), &Done{Key: c.Key, Request: c.Request, Target: c.Recorded.Event.Target, Answer: c.Answer, At: at})
	return nil
}
