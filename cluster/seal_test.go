package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func newKey(t *testing.T) (Key, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.key")
	k, err := NewKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func sealer(t *testing.T, k Key) *Sealer {
	t.Helper()
	s, err := k.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyFile(t *testing.T) {
	k, path := newKey(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	got, err := ReadKeyFile(path)
	if err != nil || got != k {
		t.Errorf("the key does not come back: %v", err)
	}
	if _, err := NewKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was replaced: %v", err)
	}
	if again, _ := ReadKeyFile(path); again != k {
		t.Error("the refused call changed the file")
	}
	if other, _ := newKey(t); other == k {
		t.Error("two keys are equal")
	}
}

func TestReadKeyFileRefuses(t *testing.T) {
	if _, err := ReadKeyFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for name, content := range map[string]string{"empty": "", "short": "c2VjcmV0Cg==", "no base64": strings.Repeat("*", 44)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadKeyFile(path)
			if !errors.Is(err, ErrKeyFormat) {
				t.Errorf("got %v", err)
			}
			if content != "" && strings.Contains(err.Error(), content) {
				t.Error("the error shows the file's content")
			}
		})
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k, path := newKey(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&buf, nil)), slog.New(slog.NewJSONHandler(&buf, nil))} {
		logger.Info("key", "value", k, "pointer", &k, "in", struct{ K Key }{k})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&buf, verb, k)
		fmt.Fprintf(&buf, verb, struct{ K Key }{k})
		fmt.Fprintf(&buf, verb, &k)
	}
	if err := json.NewEncoder(&buf).Encode(map[string]any{"k": k}); err != nil {
		t.Fatal(err)
	}
	for form, secret := range map[string]string{
		"base64": strings.TrimSpace(string(text)), "hex": fmt.Sprintf("%x", k.secret), "decimal": strings.Trim(fmt.Sprint(k.secret), "[]"),
		"Go": fmt.Sprintf("%#v", k.secret[:3])[8:22], "raw": string(k.secret[:]),
	} {
		if strings.Contains(buf.String(), secret) {
			t.Errorf("the key was printed as %s", form)
		}
	}
}

func TestSeal(t *testing.T) {
	k, _ := newKey(t)
	s := sealer(t, k)
	aad := []byte("job\x00nonce\x00source\x00secret_key")
	for _, secret := range [][]byte{nil, []byte("AKIA"), bytes.Repeat([]byte("s"), 10000)} {
		sealed := s.Seal(secret, aad)
		got, err := sealer(t, k).Open(sealed, aad)
		if err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%d bytes come back as %d, %v", len(secret), len(got), err)
		}
		if len(secret) > 0 && bytes.Contains(sealed, secret) {
			t.Error("not encrypted")
		}
		if bytes.Equal(sealed, s.Seal(secret, aad)) {
			t.Error("sealing twice gives the same")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	k, _ := newKey(t)
	s := sealer(t, k)
	aad := []byte("job a")
	sealed := s.Seal([]byte("secret"), aad)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if got, err := s.Open(changed, aad); err == nil || got != nil {
			t.Errorf("byte %d changed: opened as %q", i, got)
		}
	}
	for name, other := range map[string][]byte{"another job": []byte("job b"), "nothing": nil, "longer": append(bytes.Clone(aad), 0)} {
		if _, err := s.Open(sealed, other); !errors.Is(err, ErrSeal) {
			t.Errorf("aad of %s: %v", name, err)
		}
	}
	for n := range len(sealed) {
		if _, err := s.Open(sealed[:n], aad); err == nil {
			t.Errorf("opened %d of %d bytes", n, len(sealed))
		}
	}
	newer := bytes.Clone(sealed)
	newer[0] = sealVersion + 1
	if _, err := s.Open(newer, aad); !errors.Is(err, ErrSeal) || !strings.Contains(err.Error(), "version 2, this binary reads 1") {
		t.Errorf("newer version: %v", err)
	}
	otherKey, _ := newKey(t)
	if _, err := sealer(t, otherKey).Open(sealed, aad); !errors.Is(err, ErrOtherKey) {
		t.Errorf("other key: %v", err)
	}
}

// FuzzKeyFile reads whatever stands in a key file. What is no key is not repeated, and a key that was read can be used.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(base64.StdEncoding.EncodeToString(make([]byte, keySize))))
	f.Add([]byte(base64.StdEncoding.EncodeToString(make([]byte, keySize+1)) + "\n\n"))
	f.Add([]byte("\x00\xff"))
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := ReadKeyFile(path)
		if err != nil {
			if len(text) > keySize && strings.Contains(err.Error(), string(text)) {
				t.Errorf("the error repeats the file: %v", err)
			}
			return
		}
		s, err := k.Sealer()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Open(s.Seal(text, text), text); err != nil || !bytes.Equal(got, text) {
			t.Errorf("a value is not what was sealed: %v", err)
		}
	})
}

// FuzzOpenSealed opens what nobody sealed.
func FuzzOpenSealed(f *testing.F) {
	k, err := NewKeyFile(filepath.Join(f.TempDir(), "key"))
	if err != nil {
		f.Fatal(err)
	}
	s, err := k.Sealer()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Seal([]byte("secret"), []byte("job"))[:20], []byte("job"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, sealed, aad []byte) {
		if got, err := s.Open(sealed, aad); err == nil {
			t.Errorf("%q is open: %q", sealed, got)
		}
	})
}
