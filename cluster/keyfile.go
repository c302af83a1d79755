package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// MaxKeys is how many keys a key file may hold: the one in use, and one that it changes to.
const MaxKeys = 2

// NewKeyFile makes a random key and stores it in a new file of mode 0600, one line of base64. An existing file is left
// alone and the error wraps fs.ErrExist.
func NewKeyFile(path string) (Key, error) {
	if _, err := os.Lstat(path); err == nil {
		return Key{}, fmt.Errorf("make key file %s: %w", path, fs.ErrExist)
	}
	k := newRandomKey()
	if err := writeFile(path, k.line()); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	return k, nil
}

func newRandomKey() (k Key) {
	rand.Read(k.secret[:]) // never fails, says its documentation
	return k
}

// line is the key as it stands in a file.
func (k Key) line() []byte {
	return append(base64.StdEncoding.AppendEncode(nil, k.secret[:]), '\n')
}

// ReadKeyFile reads a file of one key. On Unix a file that group or others may read is refused with ErrKeyExposed.
func ReadKeyFile(path string) (Key, error) {
	keys, err := ReadKeys(path)
	if err != nil {
		return Key{}, err
	}
	if len(keys) > 1 {
		return Key{}, fmt.Errorf("read key file %s: %w: it holds %d keys, want one", path, ErrKeyFormat, len(keys))
	}
	return keys[0], nil
}

// ReadKeys reads a file of one key, or of two while the cluster key changes, one a line. On Unix a file that group or
// others may read is refused with ErrKeyExposed.
func ReadKeys(path string) ([]Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	text, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	var keys []Key
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(raw) != keySize {
			return nil, fmt.Errorf("read key file %s: %w: want %d bytes in base64", path, ErrKeyFormat, keySize) // the content stays out
		}
		if k := (Key{[keySize]byte(raw)}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("read key file %s: %w: want %d bytes in base64", path, ErrKeyFormat, keySize)
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("read key file %s: %w: it holds %d keys, at most %d are allowed", path, ErrKeyFormat, len(keys), MaxKeys)
	}
	return keys, nil
}

// AddKey makes a random key and writes it behind the one in a key file, whose owner and mode stay as they are.
func AddKey(path string) (Key, error) {
	keys, err := ReadKeys(path)
	if err != nil {
		return Key{}, err
	}
	if len(keys) >= MaxKeys {
		return Key{}, fmt.Errorf("add to key file %s: it holds %s and %s already; take out the one that is not used any more first", path, keys[0].ID(), keys[1].ID())
	}
	k := newRandomKey()
	return k, rewrite(path, append(keys[0].line(), k.line()...))
}

// RemoveKey takes a key, named by its ID, out of a key file that holds another one, too.
func RemoveKey(path, id string) error {
	keys, err := ReadKeys(path)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.ID() == id })
	switch {
	case at < 0:
		return fmt.Errorf("remove from key file %s: it does not hold the key %s", path, id)
	case len(keys) == 1:
		return fmt.Errorf("remove from key file %s: %s is its only key", path, id)
	}
	return rewrite(path, keys[1-at].line())
}

// rewrite changes a key file in place, for a new file could belong to another user than the node's. What it held stays
// readable at each moment: lines are of equal length, and the first one is either kept or replaced by the only one.
func rewrite(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("change key file: %w", err)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("change key file: %w", err)
	}
	return nil
}

// LooksLikeKey tells whether a text has the form of a key: then it is to be shown to nobody, whatever it was meant as.
func LooksLikeKey(text string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return err == nil && len(raw) == keySize
}
