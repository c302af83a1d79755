package kodo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const wireDir = "../../testdata/wire"

// TestPublishedVectors: what the vendor's tests have as signed is accepted, and nothing else.
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(wireDir, "kodo-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Want string
		Inputs     struct {
			Kind, Text, Method, Host, Path, Type, Body string
			Zeros                                      int
			AccessKey                                  string `json:"access_key"`
			SecretKey                                  string `json:"secret_key"`
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, v := range vectors {
		in := v.Inputs
		kinds[in.Kind]++
		s := New(Options{AccessKey: in.AccessKey, SecretKey: in.SecretKey})
		switch in.Kind {
		case "qetag":
			content := make([]byte, in.Zeros+1)
			if len(content) > 0 {
				content[in.Zeros] = '0'
			}
			if got := qetag(content); got != v.Want {
				t.Errorf("%s: %s, want %s", v.Name, got, v.Want)
			}
		case "sign":
			if bad := s.verify(v.Want, in.Text); bad != nil {
				t.Errorf("%s: %s", v.Name, bad.message)
			}
			if s.verify(v.Want, in.Text+"x") == nil {
				t.Errorf("%s: another text passes", v.Name)
			}
		case "upload":
			parts := strings.Split(v.Want, ":")
			if bad := s.verify(parts[0]+":"+parts[1], parts[2]); bad != nil {
				t.Errorf("%s: %s", v.Name, bad.message)
			}
		default:
			try := func(body string) *fault {
				r := httptest.NewRequest(in.Method, "http://x/", strings.NewReader(body))
				r.Host, r.URL.Path = in.Host, in.Path
				r.Header = http.Header{"Authorization": {in.Kind + " " + v.Want}}
				if in.Type != "" {
					r.Header.Set("Content-Type", in.Type)
				}
				_, bad := (&call{s: s, r: r}).manager()
				return bad
			}
			if bad := try(in.Body); bad != nil {
				t.Errorf("%s: %s", v.Name, bad.message)
			}
			if in.Body != "" && try(in.Body+"x") == nil {
				t.Errorf("%s: another body passes", v.Name)
			}
		}
	}
	if kinds["sign"] != 4 || kinds["upload"] != 2 || kinds["QBox"] != 2 || kinds["Qiniu"] != 2 || kinds["qetag"] != 3 {
		t.Errorf("vectors: %v", kinds)
	}
}

// recorded is one request of a recording.
type recorded struct {
	name, method, target, body string
	header                     map[string]string
}

// recording reads the requests, and the URL that was signed ahead.
func recording(t *testing.T) (all []recorded, signedURL string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(wireDir, "qiniu-go-sdk-v7.txt"))
	if err != nil {
		t.Fatal(err)
	}
	bodies := regexp.MustCompile(`\[body \d+ bytes\] (".*")`)
	for _, block := range strings.Split(string(data), "### ")[1:] {
		lines := strings.Split(block, "\n")
		words := strings.Fields(lines[1])
		if len(words) != 3 {
			signedURL = lines[1]
			continue
		}
		r := recorded{name: lines[0], method: words[0], target: words[1], header: map[string]string{}}
		for _, line := range lines[2:] {
			if line == "" {
				break
			}
			field, value, _ := strings.Cut(line, ":")
			r.header[field] = strings.TrimSpace(value)
		}
		if m := bodies.FindStringSubmatch(block); m != nil {
			if r.body, err = strconv.Unquote(m[1]); err != nil {
				t.Fatalf("%s: %v", r.name, err)
			}
		}
		if r.name == "form put" {
			r.body = completed(r)
		}
		all = append(all, r)
	}
	return all, signedURL
}

// completed gives a form, of which the recording has the beginning, its content.
func completed(r recorded) string {
	_, boundary, _ := strings.Cut(r.header["Content-Type"], "boundary=")
	head := r.body[:strings.LastIndex(r.body, "\r\n--")]
	return head + "\r\n--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nhello wire\r\n--" + boundary + "--\r\n"
}

// recordedDeadline is that of the recorded upload tokens.
const recordedDeadline = 1795227175

// send replays a request, changed, at a time.
func (rec recorded) send(at time.Time, change func(*http.Request)) (status int, message string) {
	s := New(Options{AccessKey: "akxx", SecretKey: "skxx", Now: func() time.Time { return at }})
	s.NewBucket("bkt")
	r := httptest.NewRequest(rec.method, "http://"+rec.header["Host"]+rec.target, strings.NewReader(rec.body))
	for name, v := range rec.header {
		if name != "Host" && name != "Content-Length" {
			r.Header.Set(name, v)
		}
	}
	r.RequestURI = rec.target
	change(r)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var doc struct{ Error string }
	_ = json.Unmarshal(w.Body.Bytes(), &doc) // other answers are no errors
	return w.Code, doc.Error
}

// TestRecordedRequests replays what the vendor's SDK sent: each passes the verifier, and with a signed part changed none does.
func TestRecordedRequests(t *testing.T) {
	all, _ := recording(t)
	if len(all) < 12 {
		t.Fatalf("%d requests, want at least 12", len(all))
	}
	at := time.Unix(recordedDeadline-3600, 0)
	for _, r := range all {
		status, message := r.send(at, func(*http.Request) {})
		if status == 401 || status == 403 || status == 501 || r.name == "form put" && status != 200 {
			t.Errorf("%s: %s %s: %d %s", r.name, r.method, r.target, status, message)
		}
		auth := r.header["Authorization"]
		if !strings.HasPrefix(auth, "Qiniu ") {
			if status, message := r.send(at.Add(2*time.Hour), func(*http.Request) {}); status != 401 || message != "token out of date" {
				t.Errorf("%s: after its deadline: %d %s", r.name, status, message)
			}
		}
		for what, change := range forgeries(r) {
			if status, _ := r.send(at, change); status != 401 && status != 403 {
				t.Errorf("%s: %s %s with another %s: %d, want 401 or 403", r.name, r.method, r.target, what, status)
			}
		}
	}
}

// forgeries change what the signature of a request covers.
func forgeries(r recorded) map[string]func(*http.Request) {
	auth := r.header["Authorization"]
	switch {
	case strings.HasPrefix(auth, "Qiniu "):
		return map[string]func(*http.Request){
			"query":  func(r *http.Request) { r.URL.RawQuery += "&x=1" },
			"path":   func(r *http.Request) { r.URL.Path += "/x" },
			"method": func(r *http.Request) { r.Method = http.MethodPut },
			"host":   func(r *http.Request) { r.Host = "example.com" },
			"type":   func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			"header": func(r *http.Request) { r.Header.Set("X-Qiniu-Forged", "1") },
			"body":   func(r *http.Request) { r.Body = http.NoBody; r.Header.Del("Content-Type") },
			"key":    func(r *http.Request) { r.Header.Set("Authorization", strings.Replace(auth, "akxx", "akyy", 1)) },
		}
	case strings.HasPrefix(auth, "UpToken "):
		changed := map[string]func(*http.Request){
			"policy": func(r *http.Request) { r.Header.Set("Authorization", auth[:len(auth)-8]+"9"+auth[len(auth)-7:]) },
			"key":    func(r *http.Request) { r.Header.Set("Authorization", strings.Replace(auth, "akxx", "akyy", 1)) },
			"token":  func(r *http.Request) { r.Header.Del("Authorization") },
		}
		if strings.HasPrefix(r.target, "/buckets/") {
			changed["object"] = func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "ZGlyL2", "ZGlyLz", 1) }
		}
		return changed
	}
	return map[string]func(*http.Request){
		"policy": func(req *http.Request) {
			req.Body = http.NoBody
			*req = *httptest.NewRequest(req.Method, req.URL.String(), strings.NewReader(strings.Replace(r.body, ":eyJzY29wZSI6", ":eyJzY29wZSI7", 1)))
			req.Header.Set("Content-Type", r.header["Content-Type"])
		},
		"object": func(req *http.Request) {
			*req = *httptest.NewRequest(req.Method, req.URL.String(), strings.NewReader(strings.Replace(r.body, "dir/a", "dir/b", 1)))
			req.Header.Set("Content-Type", r.header["Content-Type"])
		},
	}
}

// TestRecordedURL: the vendor's SDK leaves "+" and "&" in paths as they are, and signs them so.
func TestRecordedURL(t *testing.T) {
	_, signed := recording(t)
	if !strings.Contains(signed, "+&.txt?e=1900000000&token=akxx:") {
		t.Fatalf("recorded %q", signed)
	}
	s := New(Options{AccessKey: "akxx", SecretKey: "skxx", Now: func() time.Time { return time.Unix(1899999999, 0) }})
	b := s.NewBucket("bkt")
	s.Bind("bkt", "127.0.0.1:43463")
	plain, _, _ := strings.Cut(signed, "?")
	get := func(at string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, at, nil)
		r.RequestURI = strings.TrimPrefix(at, "http://127.0.0.1:43463")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for at, want := range map[string]int{
		signed: 404, strings.Replace(signed, "e=19", "e=20", 1): 401, strings.Replace(signed, "dir/a", "dir/b", 1): 401,
		strings.Replace(signed, "akxx:5", "akxx:6", 1): 401, strings.Replace(signed, "akxx", "akyy", 1): 401, plain: 401,
	} {
		if w := get(at); w.Code != want {
			t.Errorf("%s: %d, want %d", at, w.Code, want)
		}
	}
	s.opts.Now = func() time.Time { return time.Unix(1900000001, 0) }
	if w := get(signed); w.Code != 401 || !strings.Contains(w.Body.String(), "expired") {
		t.Errorf("after its deadline: %d %s", w.Code, w.Body)
	}
	if objects, _ := b.List("", "", 1); len(objects) > 0 {
		t.Error("a read made an object")
	}
}
