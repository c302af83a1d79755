package fsm

import (
	"bytes"
	"encoding/json"
)

// RateSlot is the bandwidth that a job may take from a minute of the week on, until the next slot; the last one of the
// week reaches to the first of the next.
type RateSlot struct {
	From int   `json:"f,omitempty"` // minutes since Sunday 00:00
	Rate int64 `json:"r,omitempty"` // bytes a second over all nodes; 0 is no limit
}

const (
	minutesOfWeek = 7 * 24 * 60
	maxRateSlots  = 1000
)

// BandwidthAt returns the bytes a second that the job may take at a minute of the week, 0 for no limit.
func (l JobLimits) BandwidthAt(minute int) int64 {
	if len(l.Bandwidth) == 0 {
		return 0
	}
	rate := l.Bandwidth[len(l.Bandwidth)-1].Rate
	for _, s := range l.Bandwidth {
		if s.From > minute {
			break
		}
		rate = s.Rate
	}
	return rate
}

// check tells what is wrong with limits that came with a command.
func (l JobLimits) check() error {
	if l.MaxFailures < 0 || l.MaxFailuresPercent < 0 {
		return invalid("limits below zero")
	}
	if len(l.Bandwidth) > maxRateSlots {
		return invalid("%d entries of a timetable", len(l.Bandwidth))
	}
	last := -1
	for _, s := range l.Bandwidth {
		if s.From <= last || s.From >= minutesOfWeek || s.Rate < 0 {
			return invalid("timetable with %d bytes a second from minute %d", s.Rate, s.From)
		}
		last = s.From
	}
	return nil
}

func (s *State) setJobLimits(c SetJobLimits) error {
	old, err := s.jobOf(c.Job, c.Nonce)
	if err != nil {
		return err
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if err := s.checkSeals(c.Spec); err != nil {
		return err
	}
	var spec bytes.Buffer
	if err := json.Compact(&spec, c.Spec); err != nil {
		return invalid("spec is not JSON")
	}
	job := clone(old)
	if !bytes.Equal(old.Spec, spec.Bytes()) {
		job.Spec, job.Revision = spec.Bytes(), s.index
	}
	job.Limits = c.Limits
	s.jobs[job.ID] = job
	return nil
}
