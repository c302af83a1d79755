package cluster_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNoCredentialInClear(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 300)
	c := startCluster(t, 3)
	j.slow(300 * time.Millisecond)
	j.add(t, c.nodes[0], 10)
	j.waitWrites(t, 30, startLimit)
	leader, _ := c.leader(t)
	leader.kill(t)
	leader.start(t)
	c.waitWhole(t)
	j.proxy.Clear()
	j.finish(t, c.nodes[0], time.Minute)
	for _, n := range c.nodes {
		n.stop(t)
	}

	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"access key": j.gateway.AccessKey, "secret key": j.gateway.SecretKey, "cluster key": strings.TrimSpace(string(key)),
	}
	for _, n := range c.nodes {
		files := readFiles(t, n.data)
		files[n.log] = []byte(n.said(t))
		spec := false // the job's description, which credentials came with, is among what is searched
		for path, text := range files {
			spec = spec || holds(text, j.bucket)
			for name, secret := range secrets {
				if holds(text, secret) {
					t.Errorf("the %s stands in %s", name, path)
				}
			}
		}
		if !spec {
			t.Errorf("the data directory of %s does not hold the job: this test looks in the wrong place", n.name)
		}
	}
}

// holds tells whether a text stands in another as it is, or inside of something that was encoded as base64 or hex.
func holds(text []byte, s string) bool {
	if bytes.Contains(text, []byte(s)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(s)))) {
		return true
	}
	for before := range 3 { // bytes that stand before it in its group of three
		whole := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), s...))
		inner := whole[(before*8+5)/6 : (before+len(s))*8/6] // without the characters that its neighbors share
		if bytes.Contains(text, []byte(inner)) {
			return true
		}
	}
	return false
}

// readFiles reads everything below a folder.
func readFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatalf("read %s: %v", dir, err)
	}
	return all
}
