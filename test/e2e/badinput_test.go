package e2e_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
)

// bad is one thing that a run refuses.
type bad struct {
	name string
	// set up returns the arguments and where the command runs; it may look at what was written afterwards.
	setup func(t *testing.T, c *command) (args []string)
	code  int
	line  string // what the one line says, as a regular expression
}

// refuse runs a case: its exit code, one clear line, and nothing else.
func (b bad) refuse(t *testing.T) {
	var c command
	args := b.setup(t, &c)
	if len(args) > 1 {
		args = append(args, "--yes")
	}
	r := c.run(t, args...)
	if r.code != b.code {
		t.Errorf("exit %d, want %d", r.code, b.code)
	}
	lines := strings.Split(strings.TrimRight(r.stderr, "\n"), "\n")
	said := lines[len(lines)-1]
	if len(lines) != 1 || !strings.HasPrefix(said, "brigade: ") {
		t.Errorf("standard error is not one line of brigade's:\n%s", r.stderr)
	}
	if !regexp.MustCompile(b.line).MatchString(said) {
		t.Errorf("said %q\nwant a match of %q", said, b.line)
	}
	if strings.Contains(r.stderr+r.stdout, "goroutine ") {
		t.Errorf("a stack trace:\n%s%s", r.stdout, r.stderr)
	}
}

// file writes one small file and returns its folder.
func file(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(dir, "f"), 10, 1)
	return dir
}

// emptyAfter checks, when the test ends, that nothing was written.
func emptyAfter(t *testing.T, b *bucket) *bucket {
	t.Helper()
	t.Cleanup(func() { b.emptyNow(t) })
	return b
}

func TestBadCommandLines(t *testing.T) {
	dir := func(t *testing.T) string { return filepath.Join(t.TempDir(), "copy") }
	for _, b := range []bad{
		{"unknown command", func(t *testing.T, c *command) []string { return []string{"imprt"} }, 2, `unknown command "imprt".*import`},
		{"no arguments", func(t *testing.T, c *command) []string { return []string{"import"} }, 2, `import`},
		{"unknown flag", func(t *testing.T, c *command) []string { return []string{"import", file(t), dir(t), "--nonsense"} }, 2, `nonsense`},
		{"unknown scheme", func(t *testing.T, c *command) []string { return []string{"import", file(t), "s4://b/"} }, 2, `"s4".*known.*file.*s3`},
		{"unknown option", func(t *testing.T, c *command) []string {
			return []string{"import", file(t), "s3://b/?endpont=http://x"}
		}, 2, `endpont.*endpoint`},
		{"credentials in the URL", func(t *testing.T, c *command) []string { return []string{"import", file(t), "s3://ak:secret@b/"} }, 2, `credentials do not go into URLs`},
		{"destination inside source", func(t *testing.T, c *command) []string {
			d := file(t)
			return []string{"import", d, filepath.Join(d, "copy")}
		}, 2, `destination .*inside the source`},
		{"source inside destination", func(t *testing.T, c *command) []string {
			d := file(t)
			return []string{"import", d, filepath.Dir(d)}
		}, 2, `source .*inside the destination`},
		{"source inside destination through a symlink", func(t *testing.T, c *command) []string {
			d, link := file(t), filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(d, link); err != nil {
				t.Fatal(err)
			}
			return []string{"import", d, filepath.Join(link, "copy")}
		}, 2, `destination .*inside the source`},
		{"source is the destination", func(t *testing.T, c *command) []string {
			d := file(t)
			return []string{"import", d, d}
		}, 2, `same place`},
		{"prefix inside prefix", func(t *testing.T, c *command) []string {
			return []string{"import", "s3://b/x/?endpoint=http://127.0.0.1:1", "s3://b/x/y/?endpoint=http://127.0.0.1:1"}
		}, 2, `destination .*inside the source`},
		{"bad compare rule", func(t *testing.T, c *command) []string {
			return []string{"import", file(t), dir(t), "--compare", "sizes"}
		}, 2, `compare.*size`},
		{"bad concurrency", func(t *testing.T, c *command) []string {
			return []string{"import", file(t), dir(t), "--concurrency", "0"}
		}, 2, `concurrency`},
		{"bad ID", func(t *testing.T, c *command) []string { return []string{"import", file(t), dir(t), "--id", "a/b"} }, 2, `id`},
		{"malformed pattern", func(t *testing.T, c *command) []string { return []string{"import", file(t), dir(t), "--include", "[a"} }, 2, `\[a`},
	} {
		t.Run(b.name, b.refuse)
	}
}

func TestBadJobFiles(t *testing.T) {
	for _, b := range []struct{ name, text, line string }{
		{"broken YAML", "id: x\nsource: {url: /a\n", `job[.]yaml:\d+`},
		{"not a mapping", "- a\n- b\n", `job[.]yaml`},
		{"unknown key", "id: x\nsuorce: {url: /a}\n", `job[.]yaml:2.*suorce.*source`},
		{"unknown nested key", "id: x\nsource: {ulr: /a}\ndestination: {url: /b}\n", `job[.]yaml:2.*ulr.*url`},
		{"value that is not allowed", "id: x\nsource: {url: /a}\ndestination: {url: /b}\ncompare: maybe\n", `job[.]yaml:4.*compare.*default`},
		{"not supported yet", "id: x\nsource: {url: /a}\ndestination: {url: /b}\nschedule: {every: 24h}\n", `job[.]yaml:4.*schedule.*not supported by this version`},
		{"verify not supported yet", "id: x\nsource: {url: /a}\ndestination: {url: /b}\nverify: reread\n", `job[.]yaml:4.*reread.*not supported by this version`},
		{"no source", "id: x\ndestination: {url: /b}\n", `job[.]yaml.*source`},
		{"bad ID", "id: a/b\nsource: {url: /a}\ndestination: {url: /b}\n", `job[.]yaml:1.*id`},
	} {
		t.Run(b.name, bad{code: 2, line: b.line, setup: func(t *testing.T, c *command) []string {
			path := filepath.Join(t.TempDir(), "job.yaml")
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"import", path}
		}}.refuse)
	}
	t.Run("missing", bad{code: 2, line: `none[.]yaml.*no such file`, setup: func(t *testing.T, c *command) []string {
		return []string{"import", filepath.Join(t.TempDir(), "none.yaml")}
	}}.refuse)
}

func TestBadPlaces(t *testing.T) {
	to := func(t *testing.T, c *command, b *bucket, change func(b *bucket)) []string {
		t.Helper()
		emptyAfter(t, b)
		seen := *b
		change(&seen)
		c.env = append(c.env, seen.env("DST")...)
		return []string{"import", file(t), seen.location("")}
	}
	for _, b := range []bad{
		{"missing source", func(t *testing.T, c *command) []string {
			return []string{"import", filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "copy")}
		}, 1, `missing.*none`},
		{"unreadable source", func(t *testing.T, c *command) []string {
			d := file(t)
			asStranger(t, c, d)
			if err := os.Chmod(d, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(d, 0o755) })
			return []string{"import", d, filepath.Join(open(t), "copy")}
		}, 1, `source.*permission denied`},
		{"destination folder not writable", func(t *testing.T, c *command) []string {
			d := file(t)
			asStranger(t, c, d)
			dst := filepath.Join(t.TempDir(), "dst")
			if err := os.Mkdir(dst, 0o555); err != nil {
				t.Fatal(err)
			}
			return []string{"import", d, dst}
		}, 1, `permission denied`},
		{"missing bucket", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.name = "no-such-bucket" })
		}, 1, `no-such-bucket`},
		{"missing source bucket", func(t *testing.T, c *command) []string {
			b := newBucket(t)
			c.env, b.name = b.env("SRC"), "no-such-bucket"
			return []string{"import", b.location(""), filepath.Join(t.TempDir(), "copy")}
		}, 1, `no-such-bucket`},
		{"wrong access key", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.access = "nobody" })
		}, 1, `(?i)access ?key`},
		{"wrong secret key", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.secret = "wrong" })
		}, 1, `(?i)secret key`},
		{"no credentials", func(t *testing.T, c *command) []string {
			b := emptyAfter(t, newBucket(t))
			return []string{"import", file(t), b.location("")}
		}, 1, `(?i)credentials`},
		{"wrong region", func(t *testing.T, c *command) []string {
			args := to(t, c, newBucket(t), func(*bucket) {})
			args[2] = strings.Replace(args[2], "us-east-1", "eu-west-9", 1)
			return args
		}, 1, `(?i)region`},
		{"nobody listens", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.url = "http://" + closedPort(t) })
		}, 1, `connection refused`},
		{"unknown host", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.url = "http://no-such-host.invalid" })
		}, 1, `no-such-host[.]invalid`},
		{"no S3 server", func(t *testing.T, c *command) []string {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.Write([]byte("<html>welcome</html>"))
			}))
			t.Cleanup(web.Close)
			return to(t, c, newBucket(t), func(b *bucket) { b.url = web.URL })
		}, 1, `(?i)endpoint`},
		{"clock skew", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) {
				p := faults.Start(t, b.target())
				p.Add(faults.Rule{Fault: faults.Fault{Status: 403, Code: "RequestTimeTooSkewed"}})
				b.url = p.URL
			})
		}, 1, `(?i)clock`},
		{"certificate that nobody trusts", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) { b.url = faults.StartTLS(t, b.target()).URL })
		}, 1, `(?i)certificate`},
		{"bucket that refuses writes", func(t *testing.T, c *command) []string {
			return to(t, c, newBucket(t), func(b *bucket) {
				p := faults.Start(t, b.target())
				p.Add(faults.Rule{
					Ops:   append(writes(), s3op.CreateMultipartUpload, s3op.UploadPart),
					Fault: faults.Fault{Status: 403, Code: "AccessDenied"},
				})
				b.url = p.URL
			})
		}, 1, `AccessDenied|(?i)permission`},
		{"server that refuses writes", func(t *testing.T, c *command) []string {
			gw := servers.StartVersityGW(t)
			name := gw.NewBucket(t)
			ro := servers.StartVersityGWWith(t, servers.S3Options{Dir: gw.Dir, ReadOnly: true})
			b := &bucket{name: name, access: ro.AccessKey, secret: ro.SecretKey, url: ro.URL, client: clientOf(gw.URL, gw.AccessKey, gw.SecretKey)}
			return to(t, c, b, func(*bucket) {})
		}, 1, `AccessDenied|(?i)permission|read-only`},
	} {
		t.Run(b.name, b.refuse)
	}
}

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
