package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// gzipped compresses zeros: a thousandth of them is left.
func gzipped(t *testing.T, zeros int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, zeros)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// badWeb answers as web servers should not. What nginx can do is asked of nginx.
func badWeb(bomb []byte) http.Handler {
	send := func(w http.ResponseWriter, n int) {
		chunk := make([]byte, 64<<10)
		for sent := 0; n < 0 || sent < n; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	mux := http.NewServeMux()
	for path, answer := range map[string]http.HandlerFunc{
		"/bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", strconv.Itoa(len(bomb)))
			_, _ = w.Write(bomb)
		},
		"/endless": func(w http.ResponseWriter, _ *http.Request) { send(w, -1) },
		"/longer-than-said": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		},
		"/cut": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "bytes=0-0" {
				w.Header().Set("Content-Range", "bytes 0-0/500000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write([]byte{0})
				return
			}
			w.Header().Set("Content-Length", "500000")
			send(w, 100_000)
			panic(http.ErrAbortHandler)
		},
		"/wrong-range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-3/2")
			w.WriteHeader(http.StatusPartialContent)
		},
		"/nowhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		},
		"/there": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/back", http.StatusFound) },
		"/back": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
		},
		"/teapot": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"/internal": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			send(w, 1<<20)
		},
		"/busy-for-long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1000000")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"/good": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("good")) },
	} {
		mux.HandleFunc(path, answer)
	}
	return mux
}

// TestURLListFromABadServer: what a server does on purpose against its clients costs its own objects only: no memory, no end of the
// job, and each failure is classed.
func TestURLListFromABadServer(t *testing.T) {
	bomb := gzipped(t, 512<<20)
	server := httptest.NewServer(badWeb(bomb))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	want := map[string]string{ // classes
		"endless": "permanent", "longer-than-said": "transient", "cut": "transient", "wrong-range": "permanent", "nowhere": "permanent",
		"there": "permanent", "back": "permanent", "teapot": "permanent", "internal": "transient", "busy-for-long": "throttled",
	}
	lines := []string{server.URL + "/bomb", server.URL + "/good"}
	for name := range want {
		lines = append(lines, server.URL+"/"+name)
	}
	c, to := command{}, filepath.Join(t.TempDir(), "to")
	r := c.run(t, "import", "urllist:"+writeLines(t, lines...)+"?max_size="+strconv.Itoa(32<<20), to, "--json", "--yes").want(t, 3)
	d := r.document(t)
	got := map[string]string{}
	for _, e := range d.Errors {
		got[e.Key] = e.Class
	}
	for name, class := range want {
		if got[name] != class {
			t.Errorf("%s is classed %q, want %q: %+v", name, got[name], class, d.Errors)
		}
	}
	if d.Objects["copied"] != 2 || d.Objects["failed"] != int64(len(want)) {
		t.Errorf("%v", d.Objects)
	}
	for name, content := range map[string][]byte{"bomb": bomb, "good": []byte("good")} {
		if data, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(data, content) {
			t.Errorf("%s: %d bytes, want the %d that were sent: %v", name, len(data), len(content), err)
		}
	}
	if files := holdings(t, to); len(files) != 2 {
		t.Errorf("the destination holds %v", files)
	}
	if r.maxRSS > maxMemory {
		t.Errorf("%d MiB of memory", r.maxRSS>>20)
	}
	if text := fmt.Sprint(d.Errors); strings.Contains(text, "root:") {
		t.Error("a file of this machine was read")
	}
}
