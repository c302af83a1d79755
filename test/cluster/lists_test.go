package cluster_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
)

// TestListSurvivesKill copies what a list of URLs names, on three nodes of which one is killed for good: every line is counted
// once, and the list outlives the node that took it in. Once the list is uploaded, once the nodes read it from a shared path.
func TestListSurvivesKill(t *testing.T) {
	for _, name := range []string{"uploaded", "shared path"} {
		t.Run(name, func(t *testing.T) {
			j, web, random := newJob(t), servers.StartNginx(t), newRandom(t)
			lines := []string{"# objects on the web"}
			for i := range 1200 {
				key := fmt.Sprintf("d%02d/f%04d", i%20, i)
				data := make([]byte, 1+i*37%4096)
				if _, err := io.ReadFull(random, data); err != nil {
					t.Fatal(err)
				}
				web.Write(t, fmt.Sprintf("f%04d", i), data)
				sum := md5.Sum(data)
				j.want[key] = object{int64(len(data)), hex.EncodeToString(sum[:])}
				lines = append(lines, fmt.Sprintf("%s/files/f%04d\t%s", web.URL, i, key))
			}
			list := filepath.Join(t.TempDir(), "list.txt")
			if err := os.WriteFile(list, []byte(strings.Join(lines, "\r\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			c := startCluster(t, 3)
			j.slow(200 * time.Millisecond)
			ref := list
			if name == "shared path" {
				ref = "file://" + list
			}
			j.addList(t, c.nodes[0], ref)
			if name == "uploaded" { // the nodes have it
				if err := os.Remove(list); err != nil {
					t.Fatal(err)
				}
			}
			j.waitWrites(t, 60, startLimit)
			c.nodes[0].kill(t)
			j.waitWrites(t, 60, startLimit)
			j.proxy.Clear()
			j.finish(t, c.nodes[1], 2*time.Minute)
		})
	}
}

// addList submits the job with a list of URLs as its source.
func (j *job) addList(t *testing.T, at *node, ref string) {
	t.Helper()
	text := fmt.Sprintf(`id: %s
source: {url: "urllist:%s"}
destination: {url: "s3://%s/?endpoint=%s&region=%s", access_key: %q, secret_key: %q}
task: {objects: 20}
`, j.id, ref, j.bucket, j.proxy.URL, j.gateway.Region, j.gateway.AccessKey, j.gateway.SecretKey)
	path := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.must(t, "ctl", "add", path)
}
