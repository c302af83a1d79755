package azblob

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// secret is what requests are authorised with: one of the three, or none for what everybody may read.
type secret struct {
	key   []byte // of the account
	sas   string // a shared access signature, as a query
	token *tokens
}

// String never shows it.
func (secret) String() string { return "credentials(***)" }

// GoString never shows it.
func (s secret) GoString() string { return s.String() }

// environment is where a variable is looked up.
type environment func(name string) string

// secretOf takes the job's credentials, else those that the vendor's tools take from the environment. The access key is the
// name of the account; the secret key is the account's key, or a SAS; the session token is a SAS.
func secretOf(c store.Credentials, o *options, env environment) (secret, error) {
	switch {
	case o.anonymous:
		return secret{}, nil
	case o.managed:
		return secret{token: machineTokens(env)}, nil
	}
	if c == (store.Credentials{}) {
		return secretOfEnvironment(o, env)
	}
	if c.AccessKey != "" && c.AccessKey != o.account {
		return secret{}, refused(fmt.Errorf("the access key is to be the account's name: it is %q, the location says %q", wire.Clip(c.AccessKey, 50), o.account))
	}
	switch {
	case c.SessionToken != "":
		return sasOf(c.SessionToken)
	case strings.Contains(c.SecretKey, "sig="):
		return sasOf(c.SecretKey)
	}
	return keyOf(c.SecretKey)
}

func secretOfEnvironment(o *options, env environment) (secret, error) {
	named := env("AZURE_STORAGE_ACCOUNT")
	if named != "" && named != o.account {
		return secret{}, refused(fmt.Errorf("AZURE_STORAGE_ACCOUNT is %q, the location says account=%s", wire.Clip(named, 50), o.account))
	}
	if key := env("AZURE_STORAGE_KEY"); key != "" {
		return keyOf(key)
	}
	if sas := env("AZURE_STORAGE_SAS_TOKEN"); sas != "" {
		return sasOf(sas)
	}
	if text := env("AZURE_STORAGE_CONNECTION_STRING"); text != "" {
		return secretOfConnection(text, o)
	}
	if t := tokensOf(env); t != nil {
		if o.base.Scheme != "https" {
			return secret{}, refused(errors.New("tokens go over https only"))
		}
		return secret{token: t}, nil
	}
	return secret{}, refused(wire.ErrCredentials)
}

// secretOfConnection reads a connection string
// (https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string). Its endpoints are not used.
func secretOfConnection(text string, o *options) (secret, error) {
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			fields[strings.ToLower(name)] = value
		}
	}
	if named := fields["accountname"]; named != "" && named != o.account {
		return secret{}, refused(fmt.Errorf("AZURE_STORAGE_CONNECTION_STRING is of the account %q, the location says account=%s", wire.Clip(named, 50), o.account))
	}
	switch {
	case fields["accountkey"] != "":
		return keyOf(fields["accountkey"])
	case fields["sharedaccesssignature"] != "":
		return sasOf(fields["sharedaccesssignature"])
	}
	return secret{}, refused(errors.New("AZURE_STORAGE_CONNECTION_STRING has no AccountKey and no SharedAccessSignature"))
}

func keyOf(text string) (secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) == 0 {
		return secret{}, refused(errors.New("the account key is not base64; a SAS has sig= in it"))
	}
	return secret{key: key}, nil
}

// sasOf checks a shared access signature and brings it in the form that requests take.
func sasOf(text string) (secret, error) {
	values, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(text), "?"))
	if err != nil || values.Get("sig") == "" {
		return secret{}, refused(errors.New("the SAS token is no query with sv= and sig= in it"))
	}
	for name := range values {
		switch strings.ToLower(name) {
		case "comp", "restype", "prefix", "marker", "maxresults", "include", "startfrom", "blockid", "blocklisttype", "snapshot", "versionid", "timeout":
			return secret{}, refused(fmt.Errorf("the SAS token has the parameter %q, which is no part of one", wire.Clip(name, 50)))
		}
	}
	return secret{sas: values.Encode()}, nil
}

// refused is the error of credentials that cannot be used.
func refused(err error) *store.Error {
	hint := "give the account key or a SAS token"
	if errors.Is(err, wire.ErrCredentials) {
		hint = "no credentials found; give access_key (the account) and secret_key (its key, or a SAS) in the job file, BRIGADE_SRC_… and BRIGADE_DST_… " +
			"variables, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; anonymous=true reads what is public"
	}
	return &store.Error{Op: "open", Class: store.Auth, Hint: hint, Err: err}
}

// getenv is the environment of the process.
func getenv(name string) string { return os.Getenv(name) }
