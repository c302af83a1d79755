package uss

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/recorded"
)

// codeOf is the code of an error answer, 0 for others and for those to HEAD.
func codeOf(w *httptest.ResponseRecorder) int {
	var doc struct{ Code int }
	if w.Code < 300 || json.Unmarshal(w.Body.Bytes(), &doc) != nil {
		return 0
	}
	return doc.Code
}

// TestPublishedVectors: what the vendor prints as signed is accepted, and nothing else.
func TestPublishedVectors(t *testing.T) {
	var vectors []struct {
		Name, Want string
		Inputs     struct {
			Operator, Password, Method, URI, Date string
			MD5                                   string `json:"content_md5"`
		}
	}
	recorded.Vectors(t, "upyun-vectors.json", &vectors)
	if len(vectors) != 3 {
		t.Fatalf("%d vectors, want 3", len(vectors))
	}
	for _, v := range vectors {
		in := v.Inputs
		at, err := http.ParseTime(in.Date)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Options{Operator: in.Operator, Password: in.Password, Now: func() time.Time { return at }})
		r := recorded.HTTP(in.Method, "server", in.URI, "", map[string]string{
			"Date": in.Date, "Content-MD5": in.MD5, "Authorization": "UPYUN " + in.Operator + ":" + v.Want,
		})
		if bad := s.authenticate(r); bad != nil {
			t.Errorf("%s: %d %s", v.Name, bad.code, bad.message)
		}
		r.RequestURI += "x"
		if bad := s.authenticate(r); bad == nil || bad.code != 40100005 {
			t.Errorf("%s, another path: %v, want 40100005", v.Name, bad)
		}
	}
}

// TestRecordedRequests replays what the vendor's SDK for Node.js sent: each passes the verifier, and with path, method, date or
// MD5 changed none does. There is no SDK in Go to be had that could drive the server here.
func TestRecordedRequests(t *testing.T) {
	all := recorded.Requests(t, "upyun-node-sdk-3.4.6.txt")
	if len(all) != 17 {
		t.Fatalf("%d requests, want 17", len(all))
	}
	methods := map[string]bool{}
	for _, r := range all {
		methods[r.Method] = true
		at, err := http.ParseTime(r.Header["X-Date"])
		if err != nil {
			t.Fatal(err)
		}
		s := New(Options{Operator: "akxx", Password: "skxx", Now: func() time.Time { return at }})
		s.NewBucket("bkt")
		send := func(change func(*http.Request)) int {
			req := r.HTTP()
			change(req)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			return codeOf(w)
		}
		switch code := send(func(*http.Request) {}); code {
		case 0, 40400001, 40011058: // the stub had what is not here
		default:
			t.Errorf("%s: %s %s: %d", r.Name, r.Method, r.Target, code)
		}
		for what, change := range map[string]func(*http.Request){
			"path":     func(req *http.Request) { req.URL.Path += "x"; req.RequestURI += "x" },
			"method":   func(req *http.Request) { req.Method = http.MethodOptions },
			"date":     func(req *http.Request) { req.Header.Set("X-Date", at.Add(time.Second).UTC().Format(http.TimeFormat)) },
			"MD5":      func(req *http.Request) { req.Header.Set("Content-MD5", strings.Repeat("0", 32)) },
			"password": func(*http.Request) { s.opts.Password = "another" },
		} {
			if code := send(change); code != 40100005 {
				t.Errorf("%s: %s %s with another %s: %d, want 40100005", r.Name, r.Method, r.Target, what, code)
			}
			s.opts.Password = "skxx"
		}
		if code := send(func(*http.Request) { at = at.Add(31 * time.Minute) }); code != 40100002 {
			t.Errorf("%s: 31 minutes later: %d", r.Name, code)
		}
	}
	for _, m := range []string{"PUT", "GET", "HEAD", "POST", "PATCH", "DELETE"} {
		if !methods[m] {
			t.Errorf("no %s among them", m)
		}
	}
}

// TestWhatIsNotSigned is refused, with the vendor's codes.
func TestWhatIsNotSigned(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := New(Options{Operator: "op", Password: "pw", Now: func() time.Time { return now }})
	s.NewBucket("bkt")
	date := now.Format(http.TimeFormat)
	for code, header := range map[int]map[string]string{
		40100004: {"Date": date},
		40100003: {"Date": date, "Authorization": "Basic b3A6cHc="},
		40100001: {"Authorization": "UPYUN op:x"},
		40100016: {"Authorization": "UPYUN op:x", "Date": "today"},
		40100002: {"Authorization": "UPYUN op:x", "Date": now.Add(31 * time.Minute).Format(http.TimeFormat)},
		40100006: {"Authorization": "UPYUN other:x", "Date": date},
		40100005: {"Authorization": "UPYUN op:x", "Date": date},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, recorded.HTTP(http.MethodGet, "server", "/bkt/", "", header))
		if got := codeOf(w); got != code {
			t.Errorf("%v: %d, want %d", header, got, code)
		}
	}
}
