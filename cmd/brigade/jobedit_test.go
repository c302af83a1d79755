package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// editBench is a desk with one job that copies from one endpoint to another.
type editBench struct {
	t    *testing.T
	desk *jobDesk
	job  *fsm.Job
}

const editedJob = `{"id":"j","source":{"url":"s3://a/x/?endpoint=http://one:1","access_key":"AK","secret_key":"SK","session_token":"ST"},
	"destination":{"url":"s3://b/?endpoint=http://two:2","access_key":"DK","secret_key":"DS"}}`

func newEditBench(t *testing.T) *editBench {
	t.Helper()
	sealer, err := sealerAt(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &editBench{t: t, desk: &jobDesk{app: newBench(t).app, sealer: sealer}}
	c, err := b.desk.Submission(t.Context(), []byte(editedJob), []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	b.job = &fsm.Job{ID: c.ID, Nonce: c.Nonce, Spec: c.Spec, Type: c.Kind, Limits: c.Limits}
	return b
}

// look is the job's description as ctl reads it, after some replacements.
func (b *editBench) look(replace ...string) []byte {
	b.t.Helper()
	d, err := b.desk.Description(b.job)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		b.t.Fatal(err)
	}
	out := string(text)
	for i := 0; i < len(replace); i += 2 {
		changed := strings.Replace(out, replace[i], replace[i+1], 1)
		if changed == out {
			b.t.Fatalf("%s is not in %s", replace[i], out)
		}
		out = changed
	}
	return []byte(out)
}

// credentials opens what the job has after a change.
func (b *editBench) credentials(spec []byte) (source, destination store.Credentials) {
	b.t.Helper()
	job := *b.job
	job.Spec = spec
	ends, _, err := b.desk.sidesOf(&job)
	if err != nil {
		b.t.Fatal(err)
	}
	return ends.source.creds, ends.destination.creds
}

// TestEditOfADescription says of changes what they touch, and what becomes of the credentials.
func TestEditOfADescription(t *testing.T) {
	const masks = `"access_key":"***","secret_key":"***","session_token":"***"`
	kept := store.Credentials{AccessKey: "AK", SecretKey: "SK", SessionToken: "ST"}
	for name, test := range map[string]struct {
		replace      []string
		fields, rest string
		places       string
		source       store.Credentials
	}{
		"nothing":        {nil, "", "", "", kept},
		"same secrets":   {[]string{masks, `"access_key":"AK","secret_key":"SK","session_token":"ST"`}, "", "", "", kept},
		"all secrets":    {[]string{masks, `"access_key":"A2","secret_key":"S2","session_token":"T2"`}, "source.access_key source.secret_key source.session_token", "", "", store.Credentials{AccessKey: "A2", SecretKey: "S2", SessionToken: "T2"}},
		"token alone":    {[]string{masks, `"access_key":"***","secret_key":"***","session_token":"T2"`}, "source.session_token", "", "", store.Credentials{AccessKey: "AK", SecretKey: "SK", SessionToken: "T2"}},
		"no token":       {[]string{masks, `"access_key":"A2","secret_key":"S2"`}, "source.access_key source.secret_key source.session_token", "", "", store.Credentials{AccessKey: "A2", SecretKey: "S2"}},
		"no secrets":     {[]string{"," + masks, ""}, "source.access_key source.secret_key source.session_token", "", "", store.Credentials{}},
		"limits":         {[]string{`"task"`, `"limits":{"bandwidth":"1M"},"max_failures":7,"task"`}, "limits.bandwidth max_failures", "", "", kept},
		"notify":         {[]string{`"task"`, `"notify":{"mail":["ops@example.com"]},"task"`}, "notify.mail", "", "", kept},
		"rest":           {[]string{`"compare":"default"`, `"compare":"size"`, `"task"`, `"filter":{"exclude":["x"]},"task"`}, "compare filter.exclude", "compare filter.exclude", "", kept},
		"prefix":         {[]string{"s3://a/x/", "s3://a/y/"}, "source.url", "source.url", "source.url", kept},
		"type":           {[]string{`"type":"copy"`, `"type":"verify"`}, "type", "type", "type", kept},
		"bucket, secret": {[]string{"s3://a/x/", "s3://c/x/", masks, `"access_key":"A2","secret_key":"S2"`}, "source.access_key source.secret_key source.session_token source.url", "source.url", "source.url", store.Credentials{AccessKey: "A2", SecretKey: "S2"}},
		"bucket, same":   {[]string{"s3://a/x/", "s3://c/x/", masks, `"access_key":"AK","secret_key":"SK","session_token":"ST"`}, "source.url", "source.url", "source.url", kept},
	} {
		t.Run(name, func(t *testing.T) {
			b := newEditBench(t)
			c, err := b.desk.Edit(t.Context(), b.job, b.look(test.replace...))
			if err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2]string{
				"fields": {strings.Join(c.Fields, " "), test.fields}, "rest": {strings.Join(c.Rest, " "), test.rest},
				"places": {strings.Join(c.Places, " "), test.places},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
				}
			}
			source, destination := b.credentials(c.Command.Spec)
			if source != test.source || destination != (store.Credentials{AccessKey: "DK", SecretKey: "DS"}) {
				t.Error("the credentials are not what they should be") // not shown: they could be real ones
			}
			if renews := strings.Contains(test.fields, "_"); name != "limits" && c.Command.Renews != renews {
				t.Errorf("renews is %v", c.Command.Renews)
			}
			if spec := string(c.Command.Spec); strings.Contains(spec, "***") || strings.Contains(spec, `"SK"`) {
				t.Error("a mask or a secret is in the state")
			}
			if len(c.Fields) == 0 && string(c.Command.Spec) != string(b.job.Spec) {
				t.Error("nothing changes, but what the state keeps")
			}
		})
	}
}

// TestSecretsAreBoundToTheirPlace: no edit brings a masked secret to where it was not given for.
func TestSecretsAreBoundToTheirPlace(t *testing.T) {
	for name, test := range map[string]struct {
		replace []string
		want    string
	}{
		"bucket":        {[]string{"s3://a/x/", "s3://mine/x/"}, "source.access_key is masked, and scheme, endpoint or bucket of the source change"},
		"endpoint":      {[]string{"endpoint=http%3A%2F%2Fone%3A1", "endpoint=http%3A%2F%2Fmine%3A1"}, "source.access_key is masked, and scheme, endpoint or bucket of the source change"},
		"no endpoint":   {[]string{"?endpoint=http%3A%2F%2Ftwo%3A2", ""}, "destination.access_key is masked"},
		"scheme":        {[]string{"s3://a/x/?endpoint=http%3A%2F%2Fone%3A1", "file:///x/"}, "source.access_key is masked"},
		"the other's":   {[]string{`"access_key":"***","secret_key":"***"}`, `"access_key":"***","secret_key":"***","session_token":"***"}`}, "destination.session_token is masked, and the job has none"},
		"half":          {[]string{"s3://a/x/", "s3://mine/x/", `"access_key":"***"`, `"access_key":"A2"`}, "source.secret_key is masked"},
		"stale token":   {[]string{`"access_key":"***","secret_key":"***"`, `"access_key":"A2","secret_key":"S2"`}, "source.session_token belongs to the keys that are replaced"},
		"reference":     {[]string{`"secret_key":"***"`, `"secret_key":"file:/etc/passwd"`}, "source.secret_key: refers to a variable or file"},
		"another ID":    {[]string{`"id":"j"`, `"id":"k"`}, "keeps its ID"},
		"within itself": {[]string{"s3://b/?endpoint=http%3A%2F%2Ftwo%3A2", "s3://a/x/y/?endpoint=http%3A%2F%2Fone%3A1"}, "lies inside"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newEditBench(t)
			_, err := b.desk.Edit(t.Context(), b.job, b.look(test.replace...))
			var p *api.Problem
			if !errors.As(err, &p) || p.Code() != api.CodeInvalidJob || !strings.Contains(p.Detail, test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// TestMasksAreNoSecrets: what was copied from where secrets are masked makes no job.
func TestMasksAreNoSecrets(t *testing.T) {
	b := newEditBench(t)
	if _, err := b.desk.Submission(t.Context(), b.look(), []byte("0123456789abcdef")); err == nil || !strings.Contains(err.Error(), "source.access_key: is masked") {
		t.Error(err)
	}
}

// renewed is a store that notes what it is renewed with.
type renewed struct {
	store.Destination
	got []store.Credentials
}

func (r *renewed) Renew(_ context.Context, c store.Credentials) error {
	r.got = append(r.got, c)
	return nil
}

// TestRenewOfOpenStores: a side takes its own credentials over, and what changes more is opened anew.
func TestRenewOfOpenStores(t *testing.T) {
	for name, test := range map[string]struct {
		replace             []string
		source, destination []store.Credentials
		err                 error
	}{
		"source":      {[]string{`"session_token":"***"`, `"session_token":"T2"`}, []store.Credentials{{AccessKey: "AK", SecretKey: "SK", SessionToken: "T2"}}, nil, nil},
		"destination": {[]string{`"access_key":"***","secret_key":"***"}`, `"access_key":"D2","secret_key":"S2"}`}, nil, []store.Credentials{{AccessKey: "D2", SecretKey: "S2"}}, nil},
		"limits":      {[]string{`"task"`, `"limits":{"bandwidth":"1M"},"task"`}, nil, nil, nil},
		"filter":      {[]string{`"task"`, `"filter":{"exclude":["x"]},"task"`, `"session_token":"***"`, `"session_token":"T2"`}, nil, nil, errOpenAnew},
	} {
		t.Run(name, func(t *testing.T) {
			b := newEditBench(t)
			c, err := b.desk.Edit(t.Context(), b.job, b.look(test.replace...))
			if err != nil {
				t.Fatal(err)
			}
			src, dst := &renewed{}, &renewed{}
			now := *b.job
			now.Spec = c.Command.Spec
			if err := b.desk.renew(b.job.Spec, &now, &transfer.Job{Source: src, Destination: dst}); !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
			if !slices.Equal(src.got, test.source) || !slices.Equal(dst.got, test.destination) {
				t.Errorf("the source was renewed %d times, the destination %d times", len(src.got), len(dst.got))
			}
		})
	}
	b := newEditBench(t)
	c, err := b.desk.Edit(t.Context(), b.job, b.look(`"session_token":"***"`, `"session_token":"T2"`))
	if err != nil {
		t.Fatal(err)
	}
	now := *b.job
	now.Spec = c.Command.Spec
	if err := b.desk.renew(b.job.Spec, &now, &transfer.Job{Source: struct{ store.Source }{}}); !errors.Is(err, errOpenAnew) {
		t.Errorf("a store that cannot: %v", err)
	}
}
