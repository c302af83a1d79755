package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

const (
	tokenBytes = 32
	tokenFile  = "token"
	addrFile   = "api.addr"
	maxSmall   = 4 << 10
)

// Token is a bearer token. It never prints.
type Token struct{ secret string }

// String keeps the token out of logs and errors.
func (Token) String() string { return "(token)" }

// Format keeps the token out of every verb of package fmt.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue keeps the token out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps the token out of encodings.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// IsZero tells that there is none.
func (t Token) IsZero() bool { return t.secret == "" }

// matches compares in a time that says nothing about where the two differ.
func (t Token) matches(given string) bool {
	want, got := sha256.Sum256([]byte(t.secret)), sha256.Sum256([]byte(given))
	return !t.IsZero() && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// LocalToken reads the token in a data directory, and makes it (mode 0600) if there is none.
func LocalToken(dir string) (Token, error) {
	t, err := ReadToken(filepath.Join(dir, tokenFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	raw := make([]byte, tokenBytes)
	rand.Read(raw) // never fails, says its documentation
	t = Token{base64.RawURLEncoding.EncodeToString(raw)}
	if err := writeSmall(filepath.Join(dir, tokenFile), t.secret); err != nil {
		return Token{}, fmt.Errorf("make token: %w", err)
	}
	return t, nil
}

// LocalTokenFile is where the token of a data directory stands.
func LocalTokenFile(dir string) string { return filepath.Join(dir, tokenFile) }

// ReadToken reads a token file: one line.
func ReadToken(path string) (Token, error) {
	text, err := readSmall(path)
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	if len(text) < 16 || bytes.ContainsAny(text, " \t\r\n") {
		return Token{}, fmt.Errorf("read token: %s does not hold a token", path) // the content stays out
	}
	return Token{string(text)}, nil
}

// WriteAddr tells commands on this machine where the node of a data directory answers.
func WriteAddr(dir, addr string) error {
	if err := writeSmall(filepath.Join(dir, addrFile), addr); err != nil {
		return fmt.Errorf("write API address: %w", err)
	}
	return nil
}

// ReadAddr reads what WriteAddr wrote. Without a node that was ever started there the error wraps fs.ErrNotExist.
func ReadAddr(dir string) (string, error) {
	text, err := readSmall(filepath.Join(dir, addrFile))
	if err != nil {
		return "", fmt.Errorf("read API address: %w", err)
	}
	return string(text), nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSmall))
	return bytes.TrimSpace(text), err
}

// writeSmall replaces a file of one line, readable by its owner only.
func writeSmall(path, line string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// RemoveAddr takes back what WriteAddr wrote.
func RemoveAddr(dir string) error {
	if err := os.Remove(filepath.Join(dir, addrFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove API address: %w", err)
	}
	return nil
}
