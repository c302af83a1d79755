package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// endOf takes one connection and reports how it ended after at least one byte of content came.
func endOf(t *testing.T, l net.Listener, ended chan<- error) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		ended <- err
		return
	}
	defer func() { _ = c.Close() }()
	_, err = io.Copy(io.Discard, c)
	if err == nil {
		err = io.EOF
	}
	ended <- err
}

// brokenBody gives some content and then fails or cancels.
type brokenBody struct {
	left int
	fail func() error
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.fail()
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestBrokenUploadsNeverEndInAnOrderlyWay(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	for _, scheme := range []string{"http", "https"} {
		for i, how := range []string{"fails", "is canceled", "stalls", "fails", "is canceled"} {
			sent := []int{100 << 10, 1 << 10}[i/3]
			t.Run(fmt.Sprintf("%s content of %d bytes %s", scheme, sent, how), func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				in := l
				if scheme == "https" {
					in = tls.NewListener(l, &tls.Config{Certificates: certified.TLS.Certificates})
				}
				ended := make(chan error, 1)
				go endOf(t, in, ended)
				s := openURL(t, scheme+"://"+l.Addr().String(), "")
				s.client.Transport.TLSClientConfig.InsecureSkipVerify = true
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cause := errors.New("the source broke")
				content := &brokenBody{left: sent, fail: func() error { return cause }}
				body := store.Body{Reader: content, Size: int64(2 * sent)}
				switch how {
				case "is canceled":
					content.fail = func() error { cancel(); return ctx.Err() }
				case "stalls":
					s.client.Idle = 50 * time.Millisecond
					body.Size = int64(content.left)
					content.fail = func() error { return io.EOF }
				}
				if _, err := s.Put(ctx, "k", body, store.PutOptions{}); err == nil {
					t.Error("put succeeded")
				}
				if err := <-ended; how != "stalls" && errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the server saw an orderly end: %v", err)
				}
			})
		}
	}
}

func TestUploadsOverTLSShareConnections(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
		w.Header()["Content-Length"] = []string{"0"}
	}))
	defer server.Close()
	s := openURL(t, server.URL, "")
	s.client.Transport.TLSClientConfig.InsecureSkipVerify = true
	dials := 0
	dial := s.client.Transport.DialContext
	s.client.Transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return dial(ctx, network, addr)
	}
	for i := range 20 { // writes and reads in turn, each request's ctx ending with it
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		if i%2 == 0 {
			_, err = s.Put(ctx, "k", store.Body{Reader: strings.NewReader("abc"), Size: 3}, store.PutOptions{})
		} else {
			_, err = s.Stat(ctx, "k")
		}
		cancel()
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections for 20 requests in a row", dials)
	}
}

func TestSilentServersAreGivenUp(t *testing.T) {
	silent := make(chan struct{})
	defer close(silent)
	s := openFake(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && !r.URL.Query().Has("uploadId") {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "the first bytes")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	})
	s.client.Idle = 50 * time.Millisecond
	var stalled wire.Stalled
	if _, err := s.Stat(t.Context(), "k"); !errors.As(err, &stalled) || store.ClassOf(err) != store.Transient {
		t.Errorf("no answer: %v", err)
	}
	if _, err := s.ListParts(t.Context(), "k", "id"); !errors.As(err, &stalled) || store.ClassOf(err) != store.Transient {
		t.Errorf("no answer to the SDK: %v", err)
	}
	r, _, err := s.Open(t.Context(), "k", store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); !errors.As(err, &stalled) || string(got) != "the first bytes" {
		t.Errorf("content that stops: %q, %v", got, err)
	}
}
