package azblob

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func variables(pairs ...string) environment {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestCredentials(t *testing.T) {
	const key, sas = "a2V5", "?sv=2024-11-04&sp=rl&sig=a%2Bb%3D"
	for name, c := range map[string]struct {
		creds store.Credentials
		env   environment
		want  string // key, sas, token, none, or a part of the error
	}{
		"key":                      {store.Credentials{AccessKey: "acc", SecretKey: key}, nothing, "key"},
		"key without its account":  {store.Credentials{SecretKey: key}, nothing, "key"},
		"key of another account":   {store.Credentials{AccessKey: "other", SecretKey: key}, nothing, "account's name"},
		"no key":                   {store.Credentials{SecretKey: "not base64!"}, nothing, "not base64"},
		"account alone":            {store.Credentials{AccessKey: "acc"}, nothing, "not base64"},
		"SAS as token":             {store.Credentials{SessionToken: sas}, nothing, "sas"},
		"SAS as secret":            {store.Credentials{AccessKey: "acc", SecretKey: sas[1:]}, nothing, "sas"},
		"no SAS":                   {store.Credentials{SessionToken: "sv=1"}, nothing, "no query with"},
		"SAS that changes queries": {store.Credentials{SessionToken: "sig=x&prefix=y"}, nothing, `parameter "prefix"`},
		"nothing at all":           {env: nothing, want: "anonymous=true"},
		"AZURE_STORAGE_KEY":        {env: variables("AZURE_STORAGE_KEY", key, "AZURE_STORAGE_ACCOUNT", "acc"), want: "key"},
		"another account's key":    {env: variables("AZURE_STORAGE_KEY", key, "AZURE_STORAGE_ACCOUNT", "other"), want: `AZURE_STORAGE_ACCOUNT is "other"`},
		"AZURE_STORAGE_SAS_TOKEN":  {env: variables("AZURE_STORAGE_SAS_TOKEN", sas), want: "sas"},
		"connection string": {
			env: variables("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.windows.net"), want: "not base64"},
		"connection string with a key": {
			env: variables("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acc;AccountKey=a2V5MQ==;EndpointSuffix=core.windows.net"), want: "key"},
		"connection string with a SAS": {
			env: variables("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=sv=1&sig=x"), want: "sas"},
		"connection string of another account": {
			env: variables("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=a2V5"), want: `of the account "other"`},
		"connection string with nothing": {env: variables("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acc"), want: "no AccountKey"},
		"application": {
			env: variables("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "c", "AZURE_CLIENT_SECRET", "s"), want: "token"},
		"workload identity": {
			env: variables("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "c", "AZURE_FEDERATED_TOKEN_FILE", "/f"), want: "token"},
		"half an application": {env: variables("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "c"), want: "no credentials found"},
	} {
		o := options{account: "acc"}
		o.base.Scheme = "https"
		s, err := secretOf(c.creds, &o, c.env)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
			if store.ClassOf(err) != store.Auth {
				t.Errorf("%s: class %q", name, store.ClassOf(err))
			}
			if strings.Contains(got, "a2V5") || strings.Contains(got, "sig=x") {
				t.Errorf("%s: the error shows a secret: %s", name, got)
			}
		case s.key != nil:
			got = "key"
		case s.sas != "":
			got = "sas"
		case s.token != nil:
			got = "token"
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if text := fmt.Sprintf("%v %+v %#v", s, s, s); err == nil && strings.Contains(text, "sig") {
			t.Errorf("%s: printed as %s", name, text)
		}
	}
	if s, err := secretOf(store.Credentials{SessionToken: sas}, &options{account: "acc"}, nothing); err != nil || s.sas != "sig=a%2Bb%3D&sp=rl&sv=2024-11-04" {
		t.Errorf("SAS = %q, %v", s.sas, err)
	}
	if s, err := secretOf(store.Credentials{SecretKey: key}, &options{anonymous: true}, nothing); err != nil || s.key != nil {
		t.Errorf("anonymous: %v", err)
	}
}
