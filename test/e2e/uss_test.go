package e2e_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fake "github.com/bucketbrigade/brigade/test/fakes/uss"
)

// ussService is a service of UPYUN on a server that verifies signatures.
type ussService struct {
	server  *fake.Server
	account fake.Options
	name    string
	url     string
}

func newUSSService(t *testing.T) *ussService {
	t.Helper()
	b := &ussService{name: "brigade-test"}
	b.server, b.account, b.url = fake.Start(t)
	b.server.NewBucket(b.name)
	return b
}

// location is the service's URL for the binary, with options on top.
func (b *ussService) location(prefix string, options ...string) string {
	q := append([]string{"endpoint=" + url.QueryEscape(b.url)}, options...)
	return "uss://" + b.name + "/" + prefix + "?" + strings.Join(q, "&")
}

// env holds the operator for sides "SRC" and "DST".
func (b *ussService) env(sides ...string) []string {
	return envOf(b.account.Operator, b.account.Password, sides)
}

// onRequest has a function see the requests first.
func (b *ussService) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	b.server.OnRequest(hook)
}

// holdings is what the server has under a prefix.
func (b *ussService) holdings(_ *testing.T, prefix string) map[string]object {
	all := map[string]object{}
	held, _ := b.server.NewBucket(b.name).List(prefix, "", math.MaxInt)
	for _, o := range held {
		if !strings.HasSuffix(o.Key, "/") {
			sum := md5.Sum(o.Data)
			all[strings.TrimPrefix(o.Key, prefix)] = object{int64(len(o.Data)), hex.EncodeToString(sum[:])}
		}
	}
	return all
}

// Files go to UPYUN and back, through a server that lists in no order.
func TestUSSRoundTrip(t *testing.T) {
	t.Parallel()
	b := newUSSService(t)
	goesAndComes(t, b, ossTree(t), b.location("tree/"), b.env, func() {
		if o := b.server.NewBucket(b.name).Get("tree/big/in parts"); o == nil || o.Header.Get("X-Upyun-Meta-Mtime") == "" {
			t.Errorf("the large file: %+v", o)
		}
	}, isPut)
}

// Within one service the server copies by itself: no content passes here.
func TestUSSCopiesByItself(t *testing.T) {
	t.Parallel()
	b := newUSSService(t)
	up := command{env: b.env("DST")}
	dir := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(dir, "a b+"), 1000, 1)
	up.run(t, "import", dir, b.location("from/"), "--yes").want(t, 0)
	var reads, copies atomic.Int64
	b.server.OnRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("X-Upyun-Copy-Source") != "":
			copies.Add(1)
		case r.Method == http.MethodGet && !strings.HasSuffix(r.URL.Path, "/"):
			reads.Add(1)
		}
		return false
	})
	both := command{env: b.env("SRC", "DST")}
	both.run(t, "import", b.location("from/"), b.location("to/"), "--yes").want(t, 0)
	if reads.Load() != 0 || copies.Load() != 1 {
		t.Errorf("%d reads, %d copies by the server", reads.Load(), copies.Load())
	}
	same(t, b.holdings(t, "to/"), b.holdings(t, "from/"))
	if o := b.server.NewBucket(b.name).Get("to/a b+"); o == nil || o.Header.Get("X-Upyun-Meta-Mtime") == "" {
		t.Errorf("metadata of the copy: %+v", o)
	}
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more.
func TestUSSUploadIsResumed(t *testing.T) {
	t.Parallel()
	b := newUSSService(t)
	var arrived atomic.Int64
	isAny := func(r *http.Request) bool { return isPut(r) && r.Header.Get("X-Upyun-Part-Id") != "" }
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.server.ServeHTTP(w, r)
		if isAny(r) {
			arrived.Add(1)
		}
	}))
	t.Cleanup(inner.Close)
	b.url = inner.URL
	resumed(t, b, func(r *http.Request) bool { return isAny(r) && r.Header.Get("X-Upyun-Part-Id") == "4" }, isAny, func() bool { return arrived.Load() >= 4 })
}

// A listing that is refused again and again, as UPYUN does to those who walk many folders, comes to its end all the same.
func TestUSSThrottledListing(t *testing.T) {
	t.Parallel()
	source, b := filepath.Join(t.TempDir(), "source"), newUSSService(t)
	for i := range 12 {
		writeFile(t, filepath.Join(source, "d"+string(rune('a'+i)), "f"), 100, uint64(i))
	}
	up := command{env: b.env("DST")}
	up.run(t, "import", source, b.location("x/"), "--yes").want(t, 0)
	var lists atomic.Int64
	b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/") || lists.Add(1)%2 != 0 {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"msg":"too many requests","code":42900001,"id":"1"}`)
		return true
	})
	back := filepath.Join(t.TempDir(), "back")
	down := command{env: b.env("SRC")}
	down.run(t, "import", b.location("x/"), back, "--yes").want(t, 0)
	same(t, holdings(t, back), holdings(t, source))
}

// Every refusal is one line that says which side, what the vendor's code and request ID are, and what to do.
func TestBadInputOfUSS(t *testing.T) {
	t.Parallel()
	to := func(change func(*ussService), options ...string) func(*testing.T, *command) []string {
		return importTo(newUSSService, change, options...)
	}
	none := func(*ussService) {}
	for _, b := range []bad{
		{"wrong password", to(func(b *ussService) { b.account.Password = "wrong" }), 1, `destination uss://.*40100005.*request 0{20,}.*password`},
		{"wrong operator", to(func(b *ussService) { b.account.Operator = "nobody" }), 1, `destination.*40100006.*request.*operator`},
		{"missing service", to(func(b *ussService) { b.name = "no-such-service" }), 1, `destination.*40100012.*check the service name`},
		{"service of others", to(func(b *ussService) { b.name = "foreign"; b.server.NewForeignBucket("foreign") }), 1, `destination.*40100006.*authorized for this service`},
		{"clock 40 minutes off", to(func(b *ussService) {
			late := b.account
			late.Now = func() time.Time { return time.Now().Add(40 * time.Minute) }
			server := fake.New(late)
			server.NewBucket(b.name)
			b.server.OnRequest(func(w http.ResponseWriter, r *http.Request) bool { server.ServeHTTP(w, r); return true })
		}), 1, `destination.*40100002.*clock`},
		{"no credentials", withEnv(to(none), true, "UPYUN_OPERATOR=", "UPYUN_USERNAME=", "UPYUN_PASSWORD="), 1, `destination.*credentials`},
		{"unknown option", to(none, "domian=x"), 2, `did you mean "domain"`},
		{"service inside the endpoint", importAt("uss://photos/?endpoint=photos.v0.api.upyun.com"), 2, `endpoint=v0.api.upyun.com`},
		{"no service", importAt("uss:///x/"), 2, `service name is missing`},
	} {
		t.Run(b.name, b.refuse)
	}
}
