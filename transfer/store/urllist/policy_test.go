package urllist

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// serve runs a server until the test ends.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// TestCredentialsStayAtHome redirects to another host, which must see neither credentials nor headers of the list's host.
func TestCredentialsStayAtHome(t *testing.T) {
	seen := make(chan http.Header, 10)
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		_, _ = io.WriteString(w, "there")
	})
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "u" || password != "p" || r.Header.Get("Referer") != "http://example.test/" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, other.URL+"/elsewhere", http.StatusFound)
	})
	creds := store.Credentials{AccessKey: "u", SecretKey: "p"}
	s := openWith(t, url.Values{"auth_host": {strings.TrimPrefix(home.URL, "http://")}, "header.referer": {"http://example.test/"}}, creds)
	if _, data, err := readAll(t, s, home.URL+"/x"); err != nil || string(data) != "there" {
		t.Fatalf("%q, %v", data, err)
	}
	for len(seen) > 0 {
		if h := <-seen; h.Get("Authorization") != "" || h.Get("Referer") != "" {
			t.Errorf("the other host saw %v", h)
		}
	}
	// Credentials without a host that they are for go nowhere.
	s = openWith(t, nil, creds)
	if _, _, err := readAll(t, s, home.URL+"/x"); store.ClassOf(err) != store.Auth {
		t.Errorf("credentials were sent, or the refusal is not classed: %v", err)
	}
}

// TestWhereRequestsMayGo asks the policy by addresses alone.
func TestWhereRequestsMayGo(t *testing.T) {
	for _, c := range []struct {
		first, next string
		refused     bool
	}{
		{"http://192.0.2.1/a", "http://127.0.0.1/b", true},
		{"http://192.0.2.1/a", "http://10.1.2.3/b", true},
		{"http://192.0.2.1/a", "http://[::ffff:10.1.2.3]/b", true},
		{"http://192.0.2.1/a", "http://[fd00::1]/b", true},
		{"http://192.0.2.1/a", "http://100.64.1.1/b", true},
		{"http://192.0.2.1/a", "http://198.51.100.1/b", false},
		{"http://10.0.0.1/a", "http://10.1.2.3/b", false},
		{"http://10.0.0.1/a", "http://127.0.0.1/b", false},
		{"http://10.0.0.1/a", "http://169.254.169.254/latest/meta-data/", true},
		{"http://192.0.2.1/a", "http://169.254.169.254/latest/meta-data/", true},
		{"http://192.0.2.1/a", "http://[fe80::1%25eth0]/", true},
		{"http://192.0.2.1/a", "http://0.0.0.0/", true},
	} {
		first, err := url.Parse(c.first)
		if err != nil {
			t.Fatal(err)
		}
		next, err := url.Parse(c.next)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := follow(t.Context(), first, next); (err != nil) != c.refused {
			t.Errorf("%s to %s: %v", c.first, c.next, err)
		}
	}
	if (&guard{}).check(netip.MustParseAddr("127.0.0.1")) != nil {
		t.Error("a list may name a private host")
	}
	s := openWith(t, nil, store.Credentials{})
	if _, err := s.Stat(t.Context(), "http://169.254.169.254/latest/meta-data/"); store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("a link-local address was asked: %v", err)
	}
}

func TestRedirectsThatAreNotFollowed(t *testing.T) {
	target := ""
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusFound)
	}
	plain := serve(t, h)
	s := openWith(t, nil, store.Credentials{})
	for _, target = range []string{"file:///etc/passwd", "gopher://x/", "http://"} {
		if _, err := s.Stat(t.Context(), plain.URL); store.ClassOf(err) != store.Permanent {
			t.Errorf("redirect to %s: %v", target, err)
		}
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(h))
	t.Cleanup(secure.Close)
	s.transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	target = plain.URL
	if _, err := s.Stat(t.Context(), secure.URL); store.ClassOf(err) != store.Permanent || !strings.Contains(err.Error(), "https to http") {
		t.Errorf("redirect from https to http: %v", err)
	}
}

// TestEndlessAnswersEnd reads answers that never end: one that goes on, one in which nothing moves, one that does not begin.
func TestEndlessAnswersEnd(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/goes-on":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 32<<10))
			}
		case "/stands":
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			<-r.Context().Done()
		}
	})
	s := openWith(t, url.Values{"max_size": {"1000000"}}, store.Credentials{})
	s.idle = 100 * time.Millisecond
	for path, want := range map[string]store.Class{"/goes-on": store.Permanent, "/stands": store.Transient, "/silent": store.Transient} {
		if _, err := s.Stat(t.Context(), server.URL+path); store.ClassOf(err) != want {
			t.Errorf("%s: class %q, want %q: %v", path, store.ClassOf(err), want, err)
		}
	}
}

// TestServersThatLie checks what an answer says against what was asked.
func TestServersThatLie(t *testing.T) {
	headers, status := map[string]string{}, 206
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "abcdef")
	})
	s := openWith(t, nil, store.Credentials{})
	for _, text := range []string{"", "bytes 5-10/11", "bytes 0-5/3x", "bytes */6", "bytes -1-5/6", "items 2-3/9"} {
		headers["Content-Range"] = text
		if _, _, err := s.Open(t.Context(), server.URL, store.OpenOptions{Offset: 2, Length: 4}); store.ClassOf(err) != store.Permanent {
			t.Errorf("Content-Range %q: %v", text, err)
		}
	}
	for status = range map[int]bool{204: true, 300: true, 400: true} {
		if _, err := s.Stat(t.Context(), server.URL); store.ClassOf(err) != store.Permanent {
			t.Errorf("status %d: %v", status, err)
		}
	}
	// A server that does not look at If-Match tells by its ETag.
	status = 200
	headers["ETag"] = `"new"`
	if _, _, err := s.Open(t.Context(), server.URL, store.OpenOptions{Length: -1, IfMatch: "old"}); store.ClassOf(err) != store.Precondition {
		t.Errorf("another ETag: %v", err)
	}
	headers["ETag"] = `W/"weak"`
	if o, err := s.Stat(t.Context(), server.URL); err != nil || o.ETag != "" {
		t.Errorf("a weak ETag names no bytes: %+v, %v", o, err)
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"auth_host=a.example,b.example:8080&max_size=5&header.x-a=b": "",
		"auth_host=http://a": "not a host", "max_size=0": "above 0", "max_size=x": "above 0", "header.authorization=x": "secrets",
		"header.cookie=x": "secrets", "header.range=x": "Brigade sets it", "header.a%20b=x": "not a header", "header.a=b%0d%0ac": "not a header",
		"other=1": "unknown option",
	} {
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		err = Validate(store.Location{Scheme: store.ListScheme, Path: "/l", Options: values})
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestWritesAreRefused(t *testing.T) {
	s := openWith(t, nil, store.Credentials{})
	if _, err := s.Put(t.Context(), "k", store.Body{}, store.PutOptions{}); store.ClassOf(err) != store.Permanent {
		t.Errorf("put: %v", err)
	}
	if err := s.Delete(t.Context(), "k"); store.ClassOf(err) != store.Permanent {
		t.Errorf("delete: %v", err)
	}
}
