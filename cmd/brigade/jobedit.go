package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// secretFields are the fields of a side that are sealed.
func secretFields() []string { return []string{fieldAccessKey, fieldSecretKey, fieldSessionToken} }

// Edit makes the command that gives a job another description. What that leaves masked is kept as it is sealed.
func (d *jobDesk) Edit(ctx context.Context, job *fsm.Job, text []byte) (api.Change, error) {
	before, err := decodeSpec(job)
	if err != nil {
		return api.Change{}, err
	}
	given, ends, err := d.parse(ctx, text)
	if err != nil {
		return api.Change{}, api.InvalidJob(err)
	}
	if given.Written("id") && given.ID != job.ID {
		return api.Change{}, api.InvalidJob(given.Fail("id", fmt.Sprintf("is %q, and a job keeps its ID for life: %s", given.ID, job.ID), "another job, by ctl add"))
	}
	spec := specOf(given, ends)
	spec.ID, spec.Source.SingleKey = job.ID, before.Source.SingleKey
	fields, err := changedSpec(before, spec)
	if err != nil {
		return api.Change{}, err
	}
	renewed, err := d.resealBoth(job, ends, &before, &spec)
	if err != nil {
		return api.Change{}, err
	}
	fields = slices.Compact(slices.Sorted(slices.Values(append(fields, renewed...))))
	encoded, err := json.Marshal(spec)
	if err != nil {
		return api.Change{}, fmt.Errorf("encode spec: %w", err)
	}
	c := api.Change{Fields: fields, Command: fsm.EditJob{
		Job: job.ID, Nonce: job.Nonce, Spec: encoded, Kind: spec.Type, Limits: limitsOf(spec), Priority: spec.Priority, Renews: len(renewed) > 0,
	}}
	for _, f := range fields {
		if !liveKey(f) {
			c.Rest = append(c.Rest, f)
		}
		if placeKey(f) {
			c.Places = append(c.Places, f)
		}
	}
	return c, nil
}

// liveKey tells whether a running job takes a change of a key over: bounds and names of receivers that the leader looks at all the time, and what
// requests are signed with.
func liveKey(key string) bool {
	return key == "max_failures" || key == "priority" || strings.HasPrefix(key, "limits.") || strings.HasPrefix(key, "notify.") || conf.IsSecret(key)
}

// placeKey tells whether a key makes another job of it.
func placeKey(key string) bool {
	return key == "type" || key == "source.url" || key == "destination.url"
}

// changedSpec lists the keys, dotted, in which the descriptions of two specs differ, credentials aside.
func changedSpec(before, now fsm.Spec) ([]string, error) {
	a, err := json.Marshal(describeSpec(before))
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	b, err := json.Marshal(describeSpec(now))
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	return changedKeys(a, b), nil
}

// changedKeys lists the keys, dotted, in which two descriptions differ, credentials aside.
func changedKeys(before, now json.RawMessage) (changed []string) {
	a, b := map[string]string{}, map[string]string{}
	flatten(a, "", before)
	flatten(b, "", now)
	all := maps.Clone(a)
	maps.Copy(all, b)
	for key := range all {
		if a[key] != b[key] && !conf.IsSecret(key) {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}

// flatten notes the JSON of each value in a document by its dotted key.
func flatten(into map[string]string, key string, doc json.RawMessage) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(doc, &fields) != nil || fields == nil {
		into[key] = string(doc)
		return
	}
	for name, value := range fields {
		if key != "" {
			name = key + "." + name
		}
		flatten(into, name, value)
	}
}

// resealBoth seals the credentials of both sides for their new description, and lists those that changed.
func (d *jobDesk) resealBoth(job *fsm.Job, ends sides, before, now *fsm.Spec) (changed []string, err error) {
	changed, err = d.reseal(job, ends.source, &before.Source, &now.Source)
	if err != nil || ends.destination == nil {
		return changed, err
	}
	old := before.Destination
	if old == nil {
		old = &fsm.Side{}
	}
	more, err := d.reseal(job, ends.destination, old, now.Destination)
	return append(changed, more...), err
}

// reseal seals the credentials of one side. What is masked stays, provided that the side is bound to the same place, for a
// secret must not go to where it was not given for.
func (d *jobDesk) reseal(job *fsm.Job, end *side, before, now *fsm.Side) (changed []string, err error) {
	own := sealing{d.sealer, job.ID, job.Nonce, end}
	var old store.Credentials
	was := own
	if len(before.Sealed) > 0 {
		at, err := store.Parse(before.URL)
		if err != nil {
			return nil, fmt.Errorf("%s of job %s: %w", end.role, job.ID, err)
		}
		was.side = &side{role: end.role, at: canonical(at)}
		if old, err = was.open(*before); err != nil {
			return nil, err
		}
	}
	moved := !bytes.Equal(own.binding(""), was.binding(""))
	sealed := own.seal(end.creds)
	for _, field := range secretFields() {
		key := string(end.role) + "." + field
		given, kept := *fieldOf(&end.creds, field), *fieldOf(&old, field)
		switch {
		case given == maskedSecret && kept == "":
			return nil, invalidKey(key, "is masked, and the job has none; give the value, env:NAME or file:PATH")
		case given == maskedSecret && moved:
			return nil, invalidKey(key, "is masked, and scheme, endpoint or bucket of the %s change: a secret is bound to them; give it again", end.role)
		case given == maskedSecret:
			sealed[field] = before.Sealed[field]
		case given != kept:
			changed = append(changed, key)
		case given != "" && !moved:
			sealed[field] = before.Sealed[field]
		}
	}
	now.Sealed = sealed
	return changed, staleToken(end, changed)
}

// staleToken refuses a session token that stays while the keys that it came with are replaced.
func staleToken(end *side, changed []string) error {
	role := string(end.role)
	if end.creds.SessionToken == maskedSecret && slices.Contains(changed, role+"."+fieldSecretKey) {
		return invalidKey(role+"."+fieldSessionToken, "belongs to the keys that are replaced; give the new one, or take it out (--set %s.%s=)", role, fieldSessionToken)
	}
	return nil
}

func invalidKey(key, format string, args ...any) error {
	return api.InvalidJob(fmt.Errorf("%s %w", key, fmt.Errorf(format, args...)))
}

// fieldOf is a field of credentials by its name.
func fieldOf(c *store.Credentials, field string) *string {
	switch field {
	case fieldAccessKey:
		return &c.AccessKey
	case fieldSecretKey:
		return &c.SecretKey
	}
	return &c.SessionToken
}

// refuseMasks refuses a description of a new job that was copied from where secrets are masked.
func refuseMasks(job *conf.Job, ends sides) error {
	for _, end := range []*side{ends.source, ends.destination} {
		if end == nil {
			continue
		}
		for _, field := range secretFields() {
			if *fieldOf(&end.creds, field) == maskedSecret {
				return job.Fail(string(end.role)+"."+field, "is masked", "the value itself, env:NAME or file:PATH")
			}
		}
	}
	return nil
}

// errOpenAnew means that a change of a description is more than what opened stores can take over.
var errOpenAnew = errors.New("the change is not one of limits and credentials alone")

// renew brings the stores of a job that is open up to its description: requests that begin from now on are signed with its
// credentials.
func (d *jobDesk) renew(before []byte, job *fsm.Job, opened *transfer.Job) error {
	old, err := decodeSpec(&fsm.Job{ID: job.ID, Spec: before})
	if err != nil {
		return err
	}
	ends, spec, err := d.sidesOf(job)
	if err != nil {
		return err
	}
	changed, err := changedSpec(old, spec)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(changed, func(key string) bool { return !liveKey(key) }) {
		return errOpenAnew
	}
	if err := renewSide(ends.source, old.Source.Sealed, spec.Source.Sealed, opened.Source); err != nil || ends.destination == nil {
		return err
	}
	return renewSide(ends.destination, old.Destination.Sealed, spec.Destination.Sealed, opened.Destination)
}

func renewSide(end *side, before, now map[string][]byte, st any) error {
	if maps.EqualFunc(before, now, bytes.Equal) {
		return nil
	}
	r, ok := st.(store.Renewer)
	if !ok {
		return errOpenAnew
	}
	return r.Renew(context.Background(), end.creds)
}
