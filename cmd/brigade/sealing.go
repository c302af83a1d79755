package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// sealerAt reads the key file that seals a job's credentials, and makes it if there is none.
func sealerAt(path string) (*cluster.Sealer, error) {
	key, err := cluster.ReadKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = cluster.NewKeyFile(path)
	}
	if err != nil {
		return nil, err
	}
	return key.Sealer()
}

// sealing seals the credentials of one side of one job, bound to it, so that they are of no use anywhere else.
type sealing struct {
	sealer *cluster.Sealer
	job    string
	nonce  []byte
	side   *side
}

// binding is what a sealed value of a field belongs to; each part with its length before it, so that no two are alike.
func (s sealing) binding(field string) []byte {
	var b []byte
	for _, part := range []string{
		s.job, string(s.nonce), string(s.side.role), field, s.side.at.Scheme, s.side.at.Options.Get("endpoint"), s.side.at.Bucket,
	} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// seal encrypts the credentials that are there; nil if none is.
func (s sealing) seal(c store.Credentials) map[string][]byte {
	var sealed map[string][]byte
	for field, value := range map[string]string{
		fieldAccessKey: c.AccessKey, fieldSecretKey: c.SecretKey, fieldSessionToken: c.SessionToken,
	} {
		if value == "" {
			continue
		}
		if sealed == nil {
			sealed = map[string][]byte{}
		}
		sealed[field] = s.sealer.Seal([]byte(value), s.binding(field))
	}
	return sealed
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
		value, err := s.sealer.Open(data, s.binding(field))
		if err != nil {
			return store.Credentials{}, fmt.Errorf("%s of the %s: %w", field, s.side.role, err)
		}
		*to = string(value)
	}
	return c, nil
}
