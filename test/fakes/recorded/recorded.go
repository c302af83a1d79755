// Package recorded reads what vendors publish of their signatures, and what their SDKs were seen to send, for tests of the fakes.
package recorded

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
)

// dir holds the data, as seen from the folder of a fake.
const dir = "../../testdata/wire"

// Request is one request of a recording.
type Request struct {
	Name, Method, Target, Host, Body string
	Header                           map[string]string // without Host
}

var bodies = regexp.MustCompile(`\[body \d+ bytes\] (".*")`)

// Requests reads a file of requests. Blocks that begin with something else are passed over.
func Requests(t testing.TB, name string) (all []Request) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(data), "### ")[1:] {
		lines := strings.Split(block, "\n")
		words := strings.Fields(lines[1])
		if len(words) != 3 {
			continue
		}
		r := Request{Name: lines[0], Method: words[0], Target: words[1], Header: map[string]string{}}
		for _, line := range lines[2:] {
			if line == "" {
				break
			}
			field, value, _ := strings.Cut(line, ":")
			r.Header[field] = strings.TrimSpace(value)
		}
		r.Host = r.Header["Host"]
		delete(r.Header, "Host")
		if m := bodies.FindStringSubmatch(block); m != nil {
			// Some recorders put quotes around the body and left it as it was.
			r.Body = strings.TrimSuffix(strings.TrimPrefix(m[1], `"`), `"`)
			if plain, err := strconv.Unquote(m[1]); err == nil {
				r.Body = plain
			}
		}
		all = append(all, r)
	}
	return all
}

// HTTP makes a request as a server would see it.
func HTTP(method, host, target, body string, header map[string]string) *http.Request {
	r := httptest.NewRequest(method, "http://"+host+target, strings.NewReader(body))
	r.Host, r.RequestURI = host, target
	for name, v := range header {
		r.Header.Set(name, v)
	}
	return r
}

// HTTP makes the request as a server would see it.
func (r *Request) HTTP() *http.Request { return HTTP(r.Method, r.Host, r.Target, r.Body, r.Header) }

// Vectors reads a file of published signatures into a slice.
func Vectors(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
