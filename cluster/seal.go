package cluster

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

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

// NewKeyFile makes a random key and stores it in a new file of mode 0600, one line of base64. An existing file is left
// alone and the error wraps fs.ErrExist.
func NewKeyFile(path string) (Key, error) {
	if _, err := os.Lstat(path); err == nil {
		return Key{}, fmt.Errorf("make key file %s: %w", path, fs.ErrExist)
	}
	var k Key
	rand.Read(k.secret[:]) // never fails, says its documentation
	line := base64.StdEncoding.EncodeToString(k.secret[:]) + "\n"
	if err := writeFile(path, []byte(line)); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	return k, nil
}

// ReadKeyFile reads a key. On Unix a file that group or others may read is refused with ErrKeyExposed.
func ReadKeyFile(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("read key file: %w", err)
	}
	if err := checkPrivate(path, info); err != nil {
		return Key{}, fmt.Errorf("read key file: %w", err)
	}
	text, err := readSmall(path)
	if err != nil {
		return Key{}, fmt.Errorf("read key file: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != keySize {
		return Key{}, fmt.Errorf("read key file %s: %w: want %d bytes in base64", path, ErrKeyFormat, keySize) // the content stays out
	}
	return Key{[keySize]byte(raw)}, nil
}

// LooksLikeKey tells whether a text has the form of a key: then it is to be shown to nobody, whatever it was meant as.
func LooksLikeKey(text string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return err == nil && len(raw) == keySize
}

// derive returns n bytes that depend on the key and the purpose.
func (k Key) derive(purpose string, n int) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, k.secret[:], nil, "brigade "+purpose, n)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", purpose, err)
	}
	return b, nil
}

// Sealer seals the secrets that go through raft.
type Sealer struct {
	id   []byte
	aead cipher.AEAD
}

// Sealer derives the sealing key.
func (k Key) Sealer() (*Sealer, error) {
	secret, err := k.derive("seal", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	id, err := k.derive("seal id", keyIDSize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	return &Sealer{id, aead}, nil
}

// Seal encrypts a value and binds it to aad, which is not secret: Open wants the same.
func (s *Sealer) Seal(plaintext, aad []byte) []byte {
	sealed := append([]byte{sealVersion}, s.id...)
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plaintext)+s.aead.Overhead())
	rand.Read(nonce)
	return append(sealed, s.aead.Seal(nonce, nonce, plaintext, bind(sealed, aad))...)
}

// Open returns the value. Errors wrap ErrOtherKey, or ErrSeal where value or aad are not as sealed.
func (s *Sealer) Open(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < sealHeader+s.aead.NonceSize()+s.aead.Overhead() {
		return nil, fmt.Errorf("open sealed value: %w: %d bytes", ErrSeal, len(sealed))
	}
	if sealed[0] != sealVersion {
		return nil, fmt.Errorf("open sealed value: %w: version %d, this binary reads %d", ErrSeal, sealed[0], sealVersion)
	}
	header, rest := sealed[:sealHeader], sealed[sealHeader:]
	if !bytes.Equal(header[1:], s.id) {
		return nil, fmt.Errorf("open sealed value: %w", ErrOtherKey)
	}
	nonce, ciphertext := rest[:s.aead.NonceSize()], rest[s.aead.NonceSize():]
	plaintext, err := s.aead.Open(nil, nonce, ciphertext, bind(header, aad))
	if err != nil {
		return nil, fmt.Errorf("open sealed value: %w", ErrSeal)
	}
	return plaintext, nil
}

// bind puts the header, of fixed length, before the caller's data, so that it cannot be exchanged either.
func bind(header, aad []byte) []byte {
	return append(bytes.Clone(header), aad...)
}
