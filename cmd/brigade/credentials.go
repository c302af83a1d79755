package main

import (
	"fmt"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// The names of a side's sealed fields.
const (
	fieldAccessKey    = "access_key"
	fieldSecretKey    = "secret_key"
	fieldSessionToken = "session_token"
)

// credentialsOf resolves what the job says of a side, else what BRIGADE_SRC_... or BRIGADE_DST_... say. Nothing of
// either leaves the provider its own default chain.
func (a *app) credentialsOf(job *conf.Job, side string, s conf.Side, prefix string) (store.Credentials, error) {
	if s.AccessKey.IsZero() {
		c := store.Credentials{
			AccessKey: a.getenv(prefix + "ACCESS_KEY"), SecretKey: a.getenv(prefix + "SECRET_KEY"),
			SessionToken: a.getenv(prefix + "SESSION_TOKEN"),
		}
		if (c.AccessKey == "") != (c.SecretKey == "") {
			return store.Credentials{}, misuse(fmt.Errorf("environment: %sACCESS_KEY and %sSECRET_KEY go together, one is missing", prefix, prefix))
		}
		if c.AccessKey == "" && c.SessionToken != "" {
			return store.Credentials{}, misuse(fmt.Errorf("environment: %sSESSION_TOKEN stands without %sACCESS_KEY", prefix, prefix))
		}
		return c, nil
	}
	var c store.Credentials
	for _, f := range []struct {
		field string
		from  conf.Secret
		to    *string
	}{{fieldAccessKey, s.AccessKey, &c.AccessKey}, {fieldSecretKey, s.SecretKey, &c.SecretKey}, {fieldSessionToken, s.SessionToken, &c.SessionToken}} {
		if f.from.IsZero() {
			continue
		}
		value, err := f.from.Reveal()
		if err != nil {
			return store.Credentials{}, misuse(job.Fail(side+"."+f.field, err.Error(), ""))
		}
		*f.to = value
	}
	return c, nil
}

// sealing binds sealed values to one side of one job, so that they are of no use anywhere else.
type sealing struct {
	key   cluster.Key
	job   string
	nonce []byte
	side  store.Role
	at    store.Location
}

func (s sealing) binding(field string) cluster.Binding {
	return cluster.Binding{
		Job: s.job, Nonce: s.nonce, Side: string(s.side), Field: field,
		Scheme: s.at.Scheme, Endpoint: s.at.Options.Get("endpoint"), Bucket: s.at.Bucket,
	}
}

// seal encrypts the fields that are there; nil if none is.
func (s sealing) seal(c store.Credentials) (map[string][]byte, error) {
	var sealed map[string][]byte
	for field, value := range map[string]string{
		fieldAccessKey: c.AccessKey, fieldSecretKey: c.SecretKey, fieldSessionToken: c.SessionToken,
	} {
		if value == "" {
			continue
		}
		data, err := s.key.Seal(s.binding(field), []byte(value))
		if err != nil {
			return nil, fmt.Errorf("seal %s of the %s: %w", field, s.side, err)
		}
		if sealed == nil {
			sealed = map[string][]byte{}
		}
		sealed[field] = data
	}
	return sealed, nil
}

// open decrypts what seal made.
func (s sealing) open(side fsm.Side) (store.Credentials, error) {
	var c store.Credentials
	for field, to := range map[string]*string{
		fieldAccessKey: &c.AccessKey, fieldSecretKey: &c.SecretKey, fieldSessionToken: &c.SessionToken,
	} {
		data, ok := side.Sealed[field]
		if !ok {
			continue
		}
		value, err := s.key.Open(s.binding(field), data)
		if err != nil {
			return store.Credentials{}, fmt.Errorf("open %s of the %s: %w", field, s.side, err)
		}
		*to = string(value)
	}
	return c, nil
}
