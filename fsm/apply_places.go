package fsm

import (
	"bytes"
	"encoding/json"
)

func (s *State) fixPlaces(c FixPlaces) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	for _, place := range []json.RawMessage{c.Source, c.Destination} {
		if len(place) > maxPlace {
			return invalid("place of %d bytes", len(place))
		}
	}
	pass := old.Pass + 1
	switch old.State {
	case Pending, Waiting, Succeeded, Failed:
	case Running:
		pass = old.Pass
	default:
		return ErrJobState
	}
	if c.Pass != pass {
		return invalid("places of pass %d, when pass %d is due", c.Pass, pass)
	}
	places := &Places{Pass: c.Pass, Source: c.Source, Destination: c.Destination}
	if old.State == Running && old.Places != nil && old.Places.Pass == pass {
		if places.equal(old.Places) {
			return nil
		}
		return invalid("the places of pass %d are recorded", pass)
	}
	job := clone(old)
	job.Places = places
	s.jobs[job.ID] = job
	return nil
}

func (p *Places) equal(q *Places) bool {
	return p.Pass == q.Pass && bytes.Equal(p.Source, q.Source) && bytes.Equal(p.Destination, q.Destination)
}
