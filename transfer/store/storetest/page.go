package storetest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// PageNames are so many names of files of one folder that sorts as it stands.
func PageNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("some-folder-of-a-tree-%08d.jpg", i)
	}
	return names
}

// BenchPage measures reading one page of a listing, from the answer's bytes to the objects, in names per second. It puts itself into
// the transport of the store, whose endpoint has to be plain HTTP: every request is answered with page, and no socket is in the way.
func BenchPage(b *testing.B, t *http.Transport, s store.Source, page string, names int) {
	b.Helper()
	t.RegisterProtocol("http", canned(page))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		l := s.List(store.ListOptions{Page: names}) // reads nothing ahead
		objects, err := l.Next(b.Context())
		if err != nil || len(objects) != names {
			b.Fatalf("listed %d names, want %d: %v", len(objects), names, err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(names)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
}

// canned answers all requests alike.
type canned string

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(string(c))), ContentLength: int64(len(c)),
	}, nil
}
