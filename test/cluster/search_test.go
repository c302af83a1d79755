package cluster_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// forms are the ways in which a text may stand inside of another: as it is, in a URL, in JSON, in hex, in either alphabet of
// base64 whatever stands before it; and where it is itself base64 of bytes, such as a key, those bytes and their hex.
func forms(s string) (all [][]byte) {
	quoted, _ := json.Marshal(s) // never fails for a string
	for _, text := range []string{
		s, url.QueryEscape(s), url.PathEscape(s), string(quoted[1 : len(quoted)-1]),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
	} {
		all = append(all, []byte(text))
	}
	all = append(all, base64Forms([]byte(s))...)
	const key = 16 // bytes; what is shorter is base64 by chance
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := e.DecodeString(strings.TrimRight(s, "=")); err == nil && len(raw) >= key {
			text := hex.EncodeToString(raw)
			all = append(append(all, raw, []byte(text), []byte(strings.ToUpper(text))), base64Forms(raw)...)
		}
	}
	return all
}

// base64Forms are those characters that depend on nothing but the text, for each place in a group of three bytes.
func base64Forms(text []byte) (all [][]byte) {
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			whole := e.EncodeToString(append(make([]byte, before), text...))
			all = append(all, []byte(whole[(before*8+5)/6:(before+len(text))*8/6]))
		}
	}
	return all
}

// holds tells whether a text stands in another, in whatever form.
func holds(text []byte, s string) bool {
	for _, form := range forms(s) {
		if bytes.Contains(text, form) {
			return true
		}
	}
	return false
}

// secrets are what nobody may find, by name.
type secrets map[string]string

// note adds the secret in a token file, which stands between its ID and its authority.
func (s secrets) note(t *testing.T, file string) {
	t.Helper()
	line, err := os.ReadFile(file)
	parts := strings.Split(strings.TrimSpace(string(line)), ".")
	if err != nil || len(parts) < 3 {
		t.Fatalf("%s has %d parts: %v", file, len(parts), err)
	}
	s["token "+filepath.Base(file)+" of "+filepath.Base(filepath.Dir(file))] = parts[2]
}

// ofCluster are the secrets of a cluster and a job of it.
func ofCluster(t *testing.T, c *cluster, j *job) secrets {
	t.Helper()
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s := secrets{
		"access key": j.gateway.AccessKey, "secret key": j.gateway.SecretKey, "cluster key": strings.TrimSpace(string(key)),
	}
	if j.session != "" {
		s["session token"] = j.session
	}
	for _, n := range c.nodes {
		s.note(t, filepath.Join(n.data, "token"))
	}
	for name, secret := range s {
		if len(secret) < 8 {
			t.Fatalf("the %s is %q: it would be found by chance, or everywhere", name, secret)
		}
	}
	return s
}

// absent fails the test where a text holds a secret.
func (s secrets) absent(t *testing.T, where string, text []byte) {
	t.Helper()
	for name, secret := range s {
		if holds(text, secret) {
			t.Errorf("the %s stands in %s", name, where)
		}
	}
}

// absentIn looks through everything that a node keeps and said, but for its own token file, and wants a text to be there
// that shows that it looks in the right place.
func (s secrets) absentIn(t *testing.T, n *node, there string) {
	t.Helper()
	files := readFiles(t, n.data)
	delete(files, filepath.Join(n.data, "token"))
	files[n.log] = []byte(n.said(t))
	found := false
	for path, text := range files {
		found = found || holds(text, there)
		s.absent(t, path, text)
	}
	if !found {
		t.Errorf("nothing of %s names %q: this test looks in the wrong place", n.name, there)
	}
}

// readFiles reads everything below a folder. What is compressed is there as it is, and unpacked.
func readFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	all := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = text
		if err == nil && bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			if all[path+" unpacked"], err = unpack.DecodeAll(text, nil); err != nil {
				return fmt.Errorf("unpack %s: %w", path, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	return all
}

// TestSearchFindsSecrets plants a secret in every form in the middle of noise, and packed in a file.
func TestSearchFindsSecrets(t *testing.T) {
	from := newRandom(t)
	noise := make([]byte, 4096)
	from.Read(noise)
	raw := make([]byte, 32)
	from.Read(raw)
	key := base64.StdEncoding.EncodeToString(raw)
	password := fmt.Sprintf("pass/word+%d&<>\"", rand.New(from).Uint64())
	planted := map[string]string{
		"plain": key, "raw": string(raw), "hex": hex.EncodeToString([]byte(key)), "hex of raw": strings.ToUpper(hex.EncodeToString(raw)),
		"base64url of raw": base64.RawURLEncoding.EncodeToString(append([]byte("ab"), raw...)), "URL": url.QueryEscape(key),
	}
	for i := range 3 {
		planted[fmt.Sprintf("base64 at %d", i)] = base64.StdEncoding.EncodeToString([]byte("abc"[:i] + key + "xyz"))
	}
	among := func(s string) []byte { return append(append(append([]byte{}, noise...), s...), noise...) }
	if holds(among(""), key) {
		t.Fatal("noise holds the key")
	}
	for name, s := range planted {
		if !holds(among(s), key) {
			t.Errorf("a key is not found, %s", name)
		}
	}
	quoted, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"JSON": string(quoted), "URL": "https://u:" + url.PathEscape(password) + "@host/"} {
		if !holds(among(s), password) {
			t.Errorf("a password is not found, %s", name)
		}
	}
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pack.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "segment"), pack.EncodeAll(bytes.Repeat([]byte(password), 3), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if !holds(readFiles(t, dir)[filepath.Join(dir, "segment unpacked")], password) {
		t.Error("a password is not found in a packed file")
	}
}
