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
	"strings"
)

const (
	tokenBytes = 32
	tokenFile  = "token"
	addrFile   = "api.addr"
	maxSmall   = 4 << 10
	minSecret  = 16
)

// A token is written on one line, its parts with dots between them: the version, the ID, the secret and, unless it is for
// loopback only, the hash of the cluster's authority. What nodes are shown is the same without the hash.
const (
	tokenVersion  = "brigade1"
	localID       = "local" // of the token in a node's data directory
	authoritySize = sha256.Size
)

// Token is a bearer token. It never prints.
type Token struct {
	id, secret string
	authority  string // hash in base64url; "" where it is not known
}

// newToken makes a token of a secret.
func newToken(id string, secret [tokenBytes]byte) Token {
	return Token{id: id, secret: base64.RawURLEncoding.EncodeToString(secret[:])}
}

// For returns the token with the authority of its cluster; zero takes it away.
func (t Token) For(authority [authoritySize]byte) Token {
	t.authority = ""
	if authority != [authoritySize]byte{} {
		t.authority = base64.RawURLEncoding.EncodeToString(authority[:])
	}
	return t
}

// line is the token as it is written down.
func (t Token) line() string {
	if t.authority == "" {
		return t.bearer()
	}
	return t.bearer() + "." + t.authority
}

// bearer is the token as nodes are shown it.
func (t Token) bearer() string { return tokenVersion + "." + t.id + "." + t.secret }

// pin is the hash of the authority.
func (t Token) pin() (hash [authoritySize]byte, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(t.authority)
	if err != nil || len(raw) != authoritySize {
		return hash, false
	}
	return [authoritySize]byte(raw), true
}

// parseToken reads a token. A secret alone is a local token, as the first version wrote them.
func parseToken(text string) (t Token, ok bool) {
	if strings.ContainsFunc(text, isForeign) {
		return Token{}, false
	}
	parts := strings.Split(text, ".")
	if len(parts) == 1 && len(text) >= minSecret {
		return Token{id: localID, secret: text}, true
	}
	if len(parts) < 3 || len(parts) > 4 || parts[0] != tokenVersion || parts[1] == "" || len(parts[2]) < minSecret {
		return Token{}, false
	}
	t = Token{id: parts[1], secret: parts[2]}
	if len(parts) == 4 {
		t.authority = parts[3]
		_, ok := t.pin()
		return t, ok
	}
	return t, true
}

// isForeign tells of a character that is in no token.
func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

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
	var raw [tokenBytes]byte
	rand.Read(raw[:]) // never fails, says its documentation
	t = newToken(localID, raw)
	return t, WriteToken(LocalTokenFile(dir), t)
}

// WriteToken writes a token file, mode 0600.
func WriteToken(path string, t Token) error {
	if err := writeSmall(path, t.line()); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return nil
}

// RenewToken gives a token file another authority. It is written in place, so that owner and mode stay, and it may be a link.
func RenewToken(path string, t Token) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	line := []byte(t.line() + "\n")
	if _, err = f.WriteAt(line, 0); err == nil { // as long as what it held
		err = f.Truncate(int64(len(line)))
	}
	return errors.Join(err, f.Close())
}

// LocalTokenFile is where the token of a data directory stands.
func LocalTokenFile(dir string) string { return filepath.Join(dir, tokenFile) }

// ReadToken reads a token file: one line.
func ReadToken(path string) (Token, error) {
	text, err := readSmall(path)
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	t, ok := parseToken(string(text))
	if !ok || bytes.ContainsAny(text, " \t\r\n") {
		return Token{}, fmt.Errorf("read token: %s does not hold a token that this version reads", path) // the content stays out
	}
	return t, nil
}

// WriteAddr tells commands on this machine where the node of a data directory answers.
func WriteAddr(dir, addr string) error {
	if err := writeSmall(filepath.Join(dir, addrFile), addr); err != nil {
		return fmt.Errorf("write API address: %w", err)
	}
	return nil
}

// AddrFile is the file in which a node's data directory has the address of its API.
func AddrFile(dir string) string { return filepath.Join(dir, addrFile) }

// ReadAddr reads what WriteAddr wrote. Without a node that was ever started there the error wraps fs.ErrNotExist.
func ReadAddr(dir string) (string, error) {
	text, err := readSmall(AddrFile(dir))
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
