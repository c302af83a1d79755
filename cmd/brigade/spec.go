package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// specOf maps a job's description to what the cluster keeps, without credentials.
func specOf(job *conf.Job, s sides) fsm.Spec {
	spec := fsm.Spec{
		Version: fsm.SpecVersion, ID: job.ID, Type: job.Type,
		Source:  fsm.Side{URL: s.source.at.String()},
		Filter:  fsm.FilterSpec{Include: job.Filter.Include, Exclude: job.Filter.Exclude, MinSize: job.Filter.MinSize, KeysFrom: job.Filter.KeysFrom},
		Compare: job.Compare, Verify: job.Verify,
		Task:        fsm.TaskSpec{Objects: job.Task.Objects, Bytes: job.Task.Bytes},
		Preserve:    fsm.Preserve{Metadata: job.Preserve.Metadata},
		Limits:      fsm.LimitsSpec{Bandwidth: job.Limits.Bandwidth},
		Notify:      fsm.NotifySpec{Mail: job.Notify.Mail},
		MaxFailures: job.MaxFailures, Priority: job.Priority, List: uploadedList(job.List),
	}
	if !job.Filter.Since.IsZero() {
		spec.Filter.Since = job.Filter.Since.UnixNano()
	}
	if s.destination != nil {
		spec.Destination = &fsm.Side{URL: s.destination.at.String()}
	}
	return spec
}

// decodeSpec reads the description that a job was submitted with.
func decodeSpec(job *fsm.Job) (fsm.Spec, error) {
	var spec fsm.Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return fsm.Spec{}, fmt.Errorf("read the spec of job %s: %w", job.ID, err)
	}
	if spec.Version < 1 || spec.Version > fsm.SpecVersion {
		return fsm.Spec{}, fmt.Errorf("read the spec of job %s: version %d is not for this binary", job.ID, spec.Version)
	}
	return spec, nil
}

// limitsOf gives the bounds on failures, and the timetable of bandwidth. A number of failures that the user chose holds
// by itself, whatever share it is.
func limitsOf(spec fsm.Spec) (limits fsm.JobLimits) {
	if spec.MaxFailures != 0 {
		limits.MaxFailures, limits.MaxFailuresPercent = spec.MaxFailures, 1e-9
	}
	if spec.Limits.Bandwidth == "" {
		return limits
	}
	rates, _ := conf.ParseRates(spec.Limits.Bandwidth) // it was read without an error when the job was described
	for _, r := range rates {
		limits.Bandwidth = append(limits.Bandwidth, fsm.RateSlot{From: r.From, Rate: r.Bytes})
	}
	return limits
}

// limitsChange makes the command that gives a job other limits; false if it has these.
func limitsChange(job *fsm.Job, want fsm.LimitsSpec) (cmd fsm.SetJobLimits, changes bool, err error) {
	spec, err := decodeSpec(job)
	if err != nil || spec.Limits == want {
		return cmd, false, err
	}
	spec.Limits = want
	text, err := json.Marshal(spec)
	if err != nil {
		return cmd, false, fmt.Errorf("encode spec: %w", err)
	}
	return fsm.SetJobLimits{Job: job.ID, Nonce: job.Nonce, Spec: text, Limits: limitsOf(spec)}, true, nil
}

// difference is one way in which the description given now is not the one that the job was submitted with.
type difference struct {
	name, before, now string
	place             bool // source, destination or type: it is another job
}

// String gives the difference as a clause.
func (d difference) String() string { return fmt.Sprintf("%s was %s, now %s", d.name, d.before, d.now) }

// compareSpecs lists the differences, sealed values, limits and what is found out at run time aside.
func compareSpecs(before, now fsm.Spec) []difference {
	var out []difference
	note := func(name string, place bool, a, b any) {
		if !reflect.DeepEqual(a, b) {
			out = append(out, difference{name, show(a), show(b), place})
		}
	}
	note("type", true, before.Type, now.Type)
	note("source", true, before.Source.URL, now.Source.URL)
	note("destination", true, urlOf(before.Destination), urlOf(now.Destination))
	note("filter", false, before.Filter, now.Filter)
	note("compare", false, before.Compare, now.Compare)
	note("verify", false, before.Verify, now.Verify)
	note("task", false, before.Task, now.Task)
	note("preserve", false, before.Preserve, now.Preserve)
	note("content of the list", false, shortName(before.List), shortName(now.List))
	note("max_failures", false, before.MaxFailures, now.MaxFailures)
	note("priority", false, before.Priority, now.Priority)
	return out
}

func urlOf(s *fsm.Side) string {
	if s == nil {
		return "none"
	}
	return s.URL
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// filterOf makes the engine's filter of a job's.
func filterOf(f fsm.FilterSpec) *transfer.Filter {
	filter := &transfer.Filter{Include: f.Include, Exclude: f.Exclude, MinSize: f.MinSize}
	if f.Since != 0 {
		filter.Since = time.Unix(0, f.Since)
	}
	return filter
}

// newNonce makes the random name that a job keeps for life.
func newNonce() ([]byte, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("make a nonce: %w", err)
	}
	return nonce, nil
}
