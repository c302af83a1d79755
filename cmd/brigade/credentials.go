package main

import (
	"fmt"

	"github.com/bucketbrigade/brigade/conf"
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
	return resolveCredentials(job, side, s)
}

// resolveCredentials resolves what the job says of a side.
func resolveCredentials(job *conf.Job, side string, s conf.Side) (store.Credentials, error) {
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
