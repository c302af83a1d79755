package e2e_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// vendor is a bucket at the server of a vendor, as the binary and the vendor's own client see it.
type vendor interface {
	// location is the bucket's URL for the binary, with options on top.
	location(prefix string, options ...string) string
	// env holds the account for sides "SRC" and "DST".
	env(sides ...string) []string
	// holdings reads all objects under a prefix by the vendor's client.
	holdings(t *testing.T, prefix string) map[string]object
	// onRequest has a function see the requests to the server first.
	onRequest(hook func(w http.ResponseWriter, r *http.Request) bool)
}

// envOf holds an account for sides "SRC" and "DST".
func envOf(access, secret string, sides []string) (env []string) {
	for _, s := range sides {
		env = append(env, "BRIGADE_"+s+"_ACCESS_KEY="+access, "BRIGADE_"+s+"_SECRET_KEY="+secret)
	}
	return env
}

// objectOf reads the content of an object, and closes it.
func objectOf(t *testing.T, key string, r io.ReadCloser) object {
	t.Helper()
	h := md5.New()
	n, err := io.Copy(h, r)
	_ = r.Close()
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return object{n, hex.EncodeToString(h.Sum(nil))}
}

// isPut tells requests that write, of most vendors.
func isPut(r *http.Request) bool { return r.Method == http.MethodPut }

// hasPart tells requests about one part, of most vendors.
func hasPart(r *http.Request) bool { return r.URL.Query().Has("partNumber") }

// isPart tells requests that send part n of an upload.
func isPart(r *http.Request, n string) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == n
}

// isLastPart tells requests that send the last part of a large file, of most vendors.
func isLastPart(r *http.Request) bool { return isPart(r, "5") }

// partsOf counts the parts that a bucket holds of uploads of a key.
func partsOf(held *memory.Bucket, key string) (n int) {
	for _, u := range held.Uploads() {
		if u.Key == key {
			parts, _ := held.Parts(key, u.ID)
			n += len(parts)
		}
	}
	return n
}

// isCompletion tells requests that complete an upload, of most vendors.
func isCompletion(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// counts counts the requests that are of some kind.
func counts(b vendor, is func(*http.Request) bool) *atomic.Int64 {
	n := new(atomic.Int64)
	b.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if is(r) {
			n.Add(1)
		}
		return false
	})
	return n
}

// goesAndComes sends a tree to a vendor, looks at it, finds it complete in a second run that sends nothing, and brings it back; env has
// the variables of runs by side.
func goesAndComes(
	t *testing.T, b vendor, source, at string, env func(sides ...string) []string, look func(), sends func(*http.Request) bool,
) {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back")
	up, fresh, down := command{env: env("DST")}, command{env: env("DST")}, command{env: env("SRC")}
	want := holdings(t, source)
	doc := up.run(t, "import", source, at, "--json", "--yes").want(t, 0).document(t)
	if n := int64(len(want)); doc.Objects["copied"] != n {
		t.Errorf("copied %v, want %d", doc.Objects, n)
	}
	same(t, b.holdings(t, "tree/"), want)
	look()

	// Without the first run's state, listings and one look at each must be enough.
	sent := counts(b, sends)
	doc = fresh.run(t, "import", source, at, "--json", "--yes").want(t, 0).document(t)
	if n := int64(len(want)); doc.Objects["skipped"] != n || sent.Load() != 0 {
		t.Errorf("second run: %v, %d requests with content", doc.Objects, sent.Load())
	}
	b.onRequest(nil)
	down.run(t, "import", at, back, "--yes").want(t, 0)
	diff(t, source, back)
	noTemporary(t, back)
}

// wantPageHeaders holds the headers of a copy at a vendor against what its original has; prefix is that of user metadata.
func wantPageHeaders(t *testing.T, h http.Header, prefix string) {
	t.Helper()
	got := headers{h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Content-Disposition"), h.Get("Content-Encoding"),
		h.Get("Content-Language"), h.Get("Expires"), map[string]string{"owner": h.Get(prefix + "Owner"), "mtime": h.Get(prefix + "Mtime")}}
	if diff := cmp.Diff(pageHeaders(), got); diff != "" {
		t.Errorf("metadata at the vendor:\n%s", diff)
	}
}

// fromS3AndBack copies objects of S3 to a vendor, looks at them there, and brings them to another bucket of S3, which it gives.
func fromS3AndBack(t *testing.T, b vendor, look func()) *bucket {
	t.Helper()
	from, to := newBucket(t), newBucket(t)
	putWithMetadata(t, from, "page ü.html")
	from.put(t, "plain", "content")
	from.put(t, "dir/x+y", "more")
	there, back := command{env: append(from.env("SRC"), b.env("DST")...)}, command{env: append(to.env("DST"), b.env("SRC")...)}
	there.run(t, "import", from.location(""), b.location("copy/"), "--yes").want(t, 0)
	same(t, b.holdings(t, "copy/"), from.holdings(t, ""))
	look()
	back.run(t, "import", b.location("copy/"), to.location(""), "--yes").want(t, 0)
	same(t, to.holdings(t, ""), from.holdings(t, ""))
	return to
}

// resumed kills a run amid an upload, when all parts but the last have arrived: the next one sends what is missing and no more.
func resumed(t *testing.T, b vendor, isLast, isAny func(*http.Request) bool, arrived func() bool) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	stuck, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	var once sync.Once
	b.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if !isLast(r) {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // what it ends with shows below
		for !arrived() && r.Context().Err() == nil {
			runtime.Gosched()
		}
		once.Do(func() { close(stuck) })
		select {
		case <-r.Context().Done():
		case <-ended:
		}
		return true
	})
	c := command{env: b.env("DST"), state: filepath.Join(t.TempDir(), "state")}
	args := []string{"import", source, b.location("x/"), "--yes", "--json"}
	p := c.start(t, args...)
	select {
	case <-stuck:
	case <-time.After(time.Minute):
		t.Error("the last part was never sent after the others")
	}
	p.kill(t)
	parts := counts(b, isAny)
	c.run(t, args...).want(t, 0)
	if parts.Load() != 1 {
		t.Errorf("%d parts were sent again, want the one that was missing", parts.Load())
	}
	b.onRequest(nil)
	same(t, b.holdings(t, "x/"), holdings(t, source))
}

// losesCompletion loses the answer to the completion of an upload: the upload then is unknown, and a look at the object settles it.
func losesCompletion(t *testing.T, b vendor, server http.Handler, completes func(*http.Request) bool) {
	t.Helper()
	failsOnce(t, b, completes, func(_ http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
}

// failsOnce answers the first request of a kind to the upload of a large file: it arrives all the same.
func failsOnce(t *testing.T, b vendor, is func(*http.Request) bool, answer http.HandlerFunc) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	var failed atomic.Bool
	b.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if !is(r) || failed.Swap(true) {
			return false
		}
		answer(w, r)
		return true
	})
	c := command{env: b.env("DST")}
	doc := c.run(t, "import", source, b.location("x/"), "--yes", "--json").want(t, 0).document(t)
	if doc.Objects["copied"] != 1 || !failed.Load() {
		t.Errorf("%v, failed once: %v", doc.Objects, failed.Load())
	}
	b.onRequest(nil)
	same(t, b.holdings(t, "x/"), holdings(t, source))
}

// damagedOnTheWay changes the byte at an offset of the first request of each name that name gives, "" for those that are left alone, and
// takes the header sum away, as if that had not been known: what arrives other than it was sent is found, and sent again.
func damagedOnTheWay(t *testing.T, b vendor, streamed int64, at int, sum string, name func(*http.Request) string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(source, "small"), 1000, 1)
	writeFile(t, filepath.Join(source, "streamed"), streamed, 2)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	var seen sync.Map
	var damaged atomic.Int64
	b.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		what := name(r)
		if what == "" {
			return false
		}
		if _, done := seen.LoadOrStore(what, true); !done {
			damaged.Add(1)
			r.Header.Del(sum)
			r.Body = io.NopCloser(&flipAt{r: r.Body, at: at})
		}
		return false
	})
	c := command{env: b.env("DST")}
	c.run(t, "import", source, b.location("x/"), "--yes").want(t, 0)
	if damaged.Load() < 3 {
		t.Errorf("%d requests were damaged", damaged.Load())
	}
	b.onRequest(nil)
	same(t, b.holdings(t, "x/"), holdings(t, source))
}

// flipAt changes one byte of what is read.
type flipAt struct {
	r  io.Reader
	at int // bytes before it
}

// Read reads.
func (f *flipAt) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}

// importTo makes the words of a run to a new bucket that something is wrong with.
func importTo[B vendor](open func(*testing.T) B, change func(B), options ...string) func(*testing.T, *command) []string {
	return func(t *testing.T, c *command) []string {
		b := open(t)
		change(b)
		c.env = b.env("DST")
		return []string{"import", file(t), b.location("x/", options...)}
	}
}

// withEnv adds variables to those of a run, or has those alone.
func withEnv(args func(*testing.T, *command) []string, alone bool, env ...string) func(*testing.T, *command) []string {
	return func(t *testing.T, c *command) []string {
		words := args(t, c)
		if alone {
			c.env = nil
		}
		c.env = append(c.env, env...)
		return words
	}
}

// importAt makes the words of a run to a location.
func importAt(location string) func(*testing.T, *command) []string {
	return func(t *testing.T, _ *command) []string { return []string{"import", file(t), location} }
}

// place is a location, with options.
func place(scheme, name, prefix string, options ...string) string {
	return scheme + "://" + name + "/" + prefix + "?" + strings.Join(options, "&")
}
