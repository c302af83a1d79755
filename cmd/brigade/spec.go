package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// specOf maps a job's description to what the cluster keeps, without credentials.
func specOf(job *conf.Job, s sides) fsm.Spec {
	spec := fsm.Spec{
		Version: fsm.SpecVersion, ID: job.ID, Type: job.Type,
		Source:  fsm.Side{URL: s.source.at.String()},
		Filter:  fsm.FilterSpec{Include: job.Filter.Include, Exclude: job.Filter.Exclude, MinSize: job.Filter.MinSize, KeysFrom: job.Filter.KeysFrom},
		Compare: job.Compare, Verify: job.Verify,
		Task:        fsm.TaskSpec{Objects: job.Task.Objects, Bytes: job.Task.Bytes},
		Preserve:    preserveOf(job.Preserve),
		Limits:      fsm.LimitsSpec{Bandwidth: job.Limits.Bandwidth},
		Notify:      fsm.NotifySpec{Mail: job.Notify.Mail},
		MaxFailures: job.MaxFailures, Priority: job.Priority, List: uploadedList(job.List),
	}
	switch job.Archived {
	case "restore":
		spec.Restore = fsm.RestoreSpec{Days: job.Restore.Days, Speed: job.Restore.Speed}
		spec.Archived = job.Archived
	case "skip":
		spec.Archived = job.Archived
	}
	if !job.Filter.Since.IsZero() {
		spec.Filter.Since = job.Filter.Since.UnixNano()
	}
	if s.destination != nil {
		spec.Destination = &fsm.Side{URL: s.destination.at.String()}
	}
	return spec
}

// preserveOf leaves out what is as it was before there was a choice.
func preserveOf(p conf.Preserve) fsm.Preserve {
	kept := fsm.Preserve{
		Metadata: p.Metadata, Tags: p.Tags, ACL: p.ACL, StorageClass: p.StorageClass, Encryption: p.Encryption, MD5: p.MD5,
	}
	if p.MTime != "auto" {
		kept.MTime = p.MTime
	}
	return kept
}

// keepingOf makes the engine's form of what is kept.
func keepingOf(p fsm.Preserve) transfer.Keep {
	k := transfer.Keep{Tags: p.Tags, Access: p.ACL, Encryption: p.Encryption, AlwaysMTime: p.MTime == "always", MD5: p.MD5}
	switch p.StorageClass {
	case "", conf.ClassDefault:
	case conf.ClassKeep:
		k.SourceClass = true
	default:
		k.Class = p.StorageClass
	}
	return k
}

// unknownClass tells what is wrong with a storage class that a destination does not have; "" where it has it.
func unknownClass(dst store.Destination, class string) (wrong, allowed string) {
	known := dst.Abilities().Classes
	if class == "" || slices.ContainsFunc(known, func(c store.StorageClass) bool { return c.Name == class }) {
		return "", ""
	}
	names := []string{conf.ClassKeep, conf.ClassDefault}
	for _, c := range known {
		names = append(names, c.Name)
	}
	return fmt.Sprintf("the destination has no storage class %q", class), strings.Join(names, ", ")
}

// checkClass refuses a storage class that the destination, which is open, does not have.
func checkClass(at *side, dst store.Destination, class string) error {
	wrong, allowed := unknownClass(dst, class)
	if wrong == "" {
		return nil
	}
	return &sideError{at, &store.Error{Op: "open", Class: store.Misconfigured, Err: fmt.Errorf("preserve.storage_class: %s; allowed: %s", wrong, allowed)}}
}

// checkClassOf refuses a storage class that a job names and its destination does not have, before anything is sent. A destination
// that cannot be opened here is left to those who work with it.
func (a *app) checkClassOf(ctx context.Context, job *conf.Job, ends sides) error {
	class := keepingOf(preserveOf(job.Preserve)).Class
	if class == "" || ends.destination == nil || job.Type != "copy" {
		return nil
	}
	d := ends.destination
	dst, err := a.stores.Open(ctx, store.Config{Location: d.at, Role: d.role, Credentials: d.creds, Concurrency: 1})
	if err != nil {
		return nil
	}
	wrong, allowed := unknownClass(dst, class)
	if err := dst.Close(); err != nil {
		return refused(fmt.Errorf("close %s: %w", d.at, err))
	}
	if wrong != "" {
		return misuse(job.Fail("preserve.storage_class", wrong, allowed))
	}
	return nil
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
	limits.AwaitArchived = spec.Archived == "restore"
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
	if class := now.Preserve.StorageClass; before.Preserve.StorageClass == "" && (class == conf.ClassKeep || class == conf.ClassDefault) {
		now.Preserve.StorageClass = "" // the job is from before there was a choice, and goes on as it was
	}
	note("preserve", false, before.Preserve, now.Preserve)
	note("archived", false, before.Archived, now.Archived)
	note("restore", false, before.Restore, now.Restore)
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
