package cluster

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed value is a byte of version, the ID of the key, the nonce and the ciphertext of XChaCha20-Poly1305, whose
// nonces are long enough to be drawn at random for ever.
const (
	sealVersion = 1
	keySize     = 32
	keyIDSize   = 8
	sealHeader  = 1 + keyIDSize
)

// What keys and sealed values are refused for.
var (
	ErrKeyExposed = errors.New("the key file is open to others than its owner")
	ErrKeyFormat  = errors.New("not a cluster key")
	ErrOtherKey   = errors.New("sealed with another key")
	ErrSeal       = errors.New("the sealed value was changed or belongs elsewhere")
)

// Key is the cluster key, the one secret that all others are derived from. It never prints.
type Key struct{ secret [keySize]byte }

// String keeps the key out of logs and errors.
func (Key) String() string { return "(cluster key)" }

// Format keeps the key out of every verb of package fmt.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue keeps the key out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps the key out of encodings.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// derive returns n bytes that depend on the key and the purpose.
func (k Key) derive(purpose string, n int) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, k.secret[:], nil, "brigade "+purpose, n)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", purpose, err)
	}
	return b, nil
}

// ID names the key, in 16 hex digits. It gives nothing away.
func (k Key) ID() string {
	id, err := k.derive("seal id", keyIDSize)
	if err != nil {
		panic(err) // fails for lengths that HKDF does not give only
	}
	return hex.EncodeToString(id)
}

// Sealer seals the secrets that go through raft. It may be used while its keys change.
type Sealer struct{ keys atomic.Pointer[[]sealKey] }

// sealKey is what seals and opens for one cluster key.
type sealKey struct {
	id   []byte
	aead cipher.AEAD
}

// NewSealer returns a sealer that seals with the first key and opens with each.
func NewSealer(keys ...Key) (*Sealer, error) {
	s := &Sealer{}
	return s, s.SetKeys(keys)
}

// Sealer returns a sealer of this key alone.
func (k Key) Sealer() (*Sealer, error) { return NewSealer(k) }

// SetKeys changes the keys: the first seals, each opens.
func (s *Sealer) SetKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("make sealer: no cluster key")
	}
	all := make([]sealKey, len(keys))
	for i, k := range keys {
		secret, err := k.derive("seal", chacha20poly1305.KeySize)
		if err != nil {
			return err
		}
		if all[i].id, err = hex.DecodeString(k.ID()); err != nil {
			return fmt.Errorf("make sealer: %w", err)
		}
		if all[i].aead, err = chacha20poly1305.NewX(secret); err != nil {
			return fmt.Errorf("make sealer: %w", err)
		}
	}
	s.keys.Store(&all)
	return nil
}

// Seal encrypts a value and binds it to aad, which is not secret: Open wants the same.
func (s *Sealer) Seal(plaintext, aad []byte) []byte {
	k := (*s.keys.Load())[0]
	sealed := append([]byte{sealVersion}, k.id...)
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plaintext)+k.aead.Overhead())
	rand.Read(nonce)
	return append(sealed, k.aead.Seal(nonce, nonce, plaintext, bind(sealed, aad))...)
}

// Open returns the value. Errors wrap ErrOtherKey, or ErrSeal where value or aad are not as sealed.
func (s *Sealer) Open(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < sealHeader+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("open sealed value: %w: %d bytes", ErrSeal, len(sealed))
	}
	if sealed[0] != sealVersion {
		return nil, fmt.Errorf("open sealed value: %w: version %d, this binary reads %d", ErrSeal, sealed[0], sealVersion)
	}
	header, rest := sealed[:sealHeader], sealed[sealHeader:]
	keys := *s.keys.Load()
	at := slices.IndexFunc(keys, func(k sealKey) bool { return bytes.Equal(header[1:], k.id) })
	if at < 0 {
		return nil, fmt.Errorf("open sealed value: %w: %x", ErrOtherKey, header[1:])
	}
	nonce, ciphertext := rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:]
	plaintext, err := keys[at].aead.Open(nil, nonce, ciphertext, bind(header, aad))
	if err != nil {
		return nil, fmt.Errorf("open sealed value: %w", ErrSeal)
	}
	return plaintext, nil
}

// bind puts the header, of fixed length, before the caller's data, so that it cannot be exchanged either.
func bind(header, aad []byte) []byte {
	return append(bytes.Clone(header), aad...)
}
