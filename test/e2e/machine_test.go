package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// stranger is a user who owns nothing.
const stranger = 65534

// asStranger lets the command run without root's rights, which no permission stops. The source must be readable by all.
func asStranger(t *testing.T, c *command, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	c.user = &syscall.Credential{Uid: stranger, Gid: stranger}
	c.state = filepath.Join(open(t), "state")
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// open makes a folder that every user may write into.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mounted lets the command run where dir is a tmpfs with options, in a mount namespace of its own. When the run ends,
// what the tmpfs holds stands in the file returned, as lines of size TAB path.
func mounted(t *testing.T, c *command, dir, options string) (listing string) {
	t.Helper()
	listing = filepath.Join(t.TempDir(), "listing")
	c.wrap = []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		c.wrap = append(c.wrap, "--map-root-user")
	}
	script := `mount -t tmpfs -o "$1" tmpfs "$0" || exit 99
listing=$2; shift 2; "$@"; code=$?
find "$0" -type f -printf '%s\t%P\n' >"$listing"; exit $code`
	c.wrap = append(c.wrap, "sh", "-c", script, dir, options, listing)
	return listing
}

func TestDestinationDiskFull(t *testing.T) {
	root := t.TempDir()
	source, dst := filepath.Join(root, "source"), filepath.Join(root, "dst")
	const size = 300_000
	writeFiles(t, source, 30, size)
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	var c command
	listing := mounted(t, &c, dst, "size=2m")
	r := c.run(t, "import", source, dst, "--yes").want(t, 1)
	if !regexp.MustCompile(`no space left|disk.*full`).MatchString(r.stderr) {
		t.Errorf("said %q", r.stderr)
	}
	held, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(held)) {
		if n, path, _ := strings.Cut(strings.TrimSpace(line), "\t"); n != strconv.Itoa(size) {
			t.Errorf("partial file %s of %s bytes left", path, n)
		}
	}
}

func TestDestinationReadOnly(t *testing.T) {
	root := t.TempDir()
	dst := filepath.Join(root, "dst")
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	bad{code: 1, line: `read-only`, setup: func(t *testing.T, c *command) []string {
		mounted(t, c, dst, "ro")
		return []string{"import", file(t), dst}
	}}.refuse(t)
}

func TestSourceIsAFile(t *testing.T) {
	source, b := file(t), newBucket(t)
	c := command{env: b.env("DST")}
	doc := c.run(t, "import", filepath.Join(source, "f"), b.location("one/"), "--json", "--yes").want(t, 0).document(t)
	if doc.Objects["copied"] != 1 {
		t.Errorf("copied %v", doc.Objects)
	}
	same(t, b.holdings(t, "one/"), holdings(t, source))
}

func TestEmptySource(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "empty")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	var c command
	r := c.run(t, "import", source, filepath.Join(root, "copy"), "--yes").want(t, 0)
	if !strings.Contains(r.stdout+r.stderr, "nothing matched") {
		t.Errorf("said %q %q, want: nothing matched", r.stdout, r.stderr)
	}
}

func TestTwoImportsOfOneJob(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFiles(t, source, 100, 1000)
	p := b.behind(t)
	c := command{env: b.env("DST")}
	args := []string{"import", source, b.location(""), "--yes"}
	// The first is held at its writes until the second was refused.
	release := make(chan struct{})
	hold(p, release)
	first := c.start(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if err := p.Wait(ctx, s3op.PutObject, 1); err != nil {
		t.Fatal(err)
	}
	r := c.run(t, args...).want(t, 1)
	if !regexp.MustCompile(`(?i)lock|in use|already run`).MatchString(r.stderr) {
		t.Errorf("second import said %q", r.stderr)
	}
	close(release)
	first.wait(t).want(t, 0)
	same(t, b.holdings(t, ""), holdings(t, source))
}

// hold makes writes wait for a channel.
func hold(p *faults.Proxy, release <-chan struct{}) {
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Until: release}})
}

func TestStateOfANewerVersion(t *testing.T) {
	source := file(t)
	dst := filepath.Join(t.TempDir(), "copy")
	var c command
	c.run(t, "import", source, dst, "--yes").want(t, 0)
	bumpVersion(t, c.state)
	bad{code: 1, line: `(?i)newer`, setup: func(_ *testing.T, second *command) []string {
		second.state = c.state
		return []string{"import", source, dst}
	}}.refuse(t)
}

func TestChangedDestinationIsAskedAbout(t *testing.T) {
	root, source := t.TempDir(), file(t)
	var c command
	c.run(t, "import", source, filepath.Join(root, "one"), "--id", "job", "--yes").want(t, 0)
	r := c.run(t, "import", source, filepath.Join(root, "two"), "--id", "job", "--yes").want(t, 2)
	if !strings.Contains(r.stderr, "--restart") {
		t.Errorf("said %q, want a hint at --restart", r.stderr)
	}
	c.run(t, "import", source, filepath.Join(root, "two"), "--id", "job", "--yes", "--restart").want(t, 0)
	diff(t, source, filepath.Join(root, "two"))
}

// Certificates of a private authority are trusted when the environment names it, in either way.
func TestTrustFromTheEnvironment(t *testing.T) {
	for _, variable := range []string{"SSL_CERT_FILE", "AWS_CA_BUNDLE"} {
		t.Run(variable, func(t *testing.T) {
			source, b := file(t), newBucket(t)
			p := faults.StartTLS(t, b.target())
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, p.CertificatePEM, 0o644); err != nil {
				t.Fatal(err)
			}
			b.url = p.URL
			c := command{env: append(b.env("DST"), variable+"="+ca)}
			c.run(t, "import", source, b.location(""), "--yes").want(t, 0)
			same(t, b.holdings(t, ""), holdings(t, source))
		})
	}
}

// A proxy that the environment names is used. The host is known to the proxy alone.
func TestProxyFromTheEnvironment(t *testing.T) {
	source, b := file(t), newBucket(t)
	target, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, target.Host)
		}},
	}
	proxy := httptest.NewServer(forward)
	t.Cleanup(proxy.Close)
	b.url = "http://store.brigade.invalid"
	c := command{env: append(b.env("DST"), "HTTP_PROXY="+proxy.URL)}
	c.run(t, "import", source, b.location(""), "--yes").want(t, 0)
	same(t, b.holdings(t, ""), holdings(t, source))
}

// Secrets show nowhere: not in what is printed, not in the state.
func TestSecretsShowNowhere(t *testing.T) {
	source, b := file(t), newBucket(t)
	b.secret = "s3cr3t-that-must-not-show"
	c := command{env: b.env("DST")}
	r := c.run(t, "import", source, b.location(""), "--yes", "--json").want(t, 1)
	if strings.Contains(r.stdout+r.stderr, b.secret) {
		t.Error("the secret key was printed")
	}
	err := filepath.WalkDir(c.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), b.secret) {
			t.Errorf("the secret key stands in %s", path)
		}
		return err
	})
	if err != nil {
		t.Errorf("read the state: %v", err)
	}
}

// Keys that a side cannot hold are failed objects with a reason; all others arrive.
func TestOddKeys(t *testing.T) {
	long := strings.Repeat("d/", 400) + strings.Repeat("x", 224) // 1,024 bytes in all
	for name, keys := range map[string]struct{ kept, refused []string }{
		"hostile": {
			kept:    []string{"plain", "with space", "ü/€", "a-", "a/b", "a0", "tab\there", "new\nline", "%41", "x+y&z=1", long},
			refused: []string{"../escape", "x/../../escape", "/lead", "x//y", ".", "..", "dir/./file", strings.Repeat("n", 300)},
		},
		"file and folder": {kept: []string{"b"}, refused: []string{"a", "a/b"}}, // one of the two cannot be
	} {
		t.Run(name, func(t *testing.T) {
			b := newSink(t)
			for i, key := range slices.Concat(keys.kept, keys.refused) {
				b.put(t, key, fmt.Sprint("content ", i))
			}
			root := t.TempDir()
			dst := filepath.Join(root, "deep", "copy")
			c := command{env: b.env("SRC")}
			doc := c.run(t, "import", b.location(""), dst, "--json", "--yes").want(t, 3).document(t)
			failed := doc.errorKeys()
			if name == "file and folder" {
				if len(failed) != 1 || !slices.Contains(keys.refused, failed[0]) {
					t.Errorf("failed %q, want one of %q", failed, keys.refused)
				}
			} else {
				slices.Sort(keys.refused)
				if !slices.Equal(failed, keys.refused) {
					t.Errorf("failed %q\nwant %q", failed, keys.refused)
				}
			}
			got := holdings(t, dst)
			for _, key := range keys.kept {
				if _, ok := got[key]; !ok {
					t.Errorf("%q did not arrive", key)
				}
			}
			if all := holdings(t, root); len(all) != len(got) {
				t.Errorf("files stand outside the destination: %d instead of %d", len(all), len(got))
			}
		})
	}
}

// Names that are no UTF-8 cannot be keys in S3: they are named exactly, the others arrive.
func TestNamesThatAreNotUTF8(t *testing.T) {
	source, b := filepath.Join(t.TempDir(), "source"), newBucket(t)
	writeFile(t, filepath.Join(source, "good"), 10, 1)
	writeFile(t, filepath.Join(source, "bad-\xff\xfe"), 10, 2)
	c := command{env: b.env("DST")}
	doc := c.run(t, "import", source, b.location(""), "--json", "--yes").want(t, 3).document(t)
	if keys := doc.errorKeys(); !slices.Equal(keys, []string{"bad-\xff\xfe"}) {
		t.Errorf("failed %q: %+v", keys, doc.Errors)
	}
	if keys := b.keys(t); !slices.Equal(keys, []string{"good"}) {
		t.Errorf("the bucket holds %q", keys)
	}

	// Disk to disk they are names like any other.
	back := filepath.Join(t.TempDir(), "back")
	var local command
	local.run(t, "import", source, back, "--yes").want(t, 0)
	diff(t, source, back)
}

// Special files cannot be copied, and do not stop the rest.
func TestSpecialFiles(t *testing.T) {
	source := file(t)
	if err := syscall.Mkfifo(filepath.Join(source, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("f", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "copy")
	var c command
	doc := c.run(t, "import", source, dst, "--json", "--yes").want(t, 0).document(t)
	if doc.Objects["copied"] != 1 || doc.Objects["filtered"] != 2 {
		t.Errorf("counts: %v", doc.Objects)
	}
	if got := holdings(t, dst); len(got) != 1 {
		t.Errorf("the copy holds %v", got)
	}
}

// bumpVersion makes a state look as if a later version had written it.
func bumpVersion(t *testing.T, state string) {
	t.Helper()
	bumped := 0
	err := filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "version" {
			return err
		}
		bumped++
		return os.WriteFile(path, []byte("1000\n"), 0o600)
	})
	if err != nil || bumped == 0 {
		t.Fatalf("no version file in %s (%v)", state, err)
	}
}
