package s3

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// keyring is the credentials that requests are signed with, which can be replaced between two of them.
type keyring struct{ now atomic.Pointer[keys] }

type keys struct {
	given    store.Credentials // all empty for the default chain
	provider aws.CredentialsProvider
}

func newKeyring(given store.Credentials, provider aws.CredentialsProvider) *keyring {
	k := &keyring{}
	k.now.Store(&keys{given, provider})
	return k
}

// Retrieve implements aws.CredentialsProvider.
func (k *keyring) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return k.now.Load().provider.Retrieve(ctx)
}

func (k *keyring) given() store.Credentials { return k.now.Load().given }

// Renew implements store.Renewer.
func (s *Store) Renew(ctx context.Context, c store.Credentials) error {
	if c == s.creds.given() {
		return nil
	}
	opts, err := parseOptions(s.cfg.Location)
	if err != nil {
		return err
	}
	cfg := s.cfg
	cfg.Credentials = c
	conf, err := loadConfig(ctx, cfg, opts)
	if err != nil {
		return &store.Error{Op: "renew", Class: store.Misconfigured, Err: fmt.Errorf("load AWS configuration: %w", err)}
	}
	s.creds.now.Store(&keys{c, conf.Credentials})
	return nil
}
