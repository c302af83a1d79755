package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestFramedContent: head, content and tail arrive as one body of the right length, however the content is handed over; content that is
// not as long as it is announced arrives not at all.
func TestFramedContent(t *testing.T) {
	var got []byte
	var length int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got, length = body, r.ContentLength
		_, _ = io.WriteString(w, "document")
	}))
	defer srv.Close()
	client := newTestClient(t)
	send := func(body store.Body) (string, error) {
		got, length = nil, 0
		content, err := NewPayload(t.Context(), body)
		if err != nil {
			return "", err
		}
		content.Frame([]byte("<head>"), []byte("<tail>"))
		req, err := http.NewRequest(http.MethodPost, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		content.Attach(req)
		_, data, refused, err := client.ExchangeRead(t.Context(), req, content, time.Minute)
		if refused != nil {
			t.Errorf("refused: %+v", refused)
		}
		return string(data), err
	}
	for _, n := range []int{0, 1, smallBody - 12, smallBody - 11, smallBody + 1, 300 << 10} {
		content := bytes.Repeat([]byte("x"), n)
		for name, body := range map[string]store.Body{
			"bytes":  {Bytes: content, Size: int64(n)},
			"stream": {Reader: struct{ io.Reader }{bytes.NewReader(content)}, Size: int64(n)},
		} {
			answer, err := send(body)
			if err != nil || answer != "document" || string(got) != "<head>"+string(content)+"<tail>" || length != int64(n+12) {
				t.Errorf("%s of %d: %d bytes announced as %d, answer %q, %v", name, n, len(got), length, answer, err)
			}
		}
		long := store.Body{Reader: strings.NewReader(string(content) + "y"), Size: int64(n)}
		if _, err := send(long); !errors.Is(err, ErrLongBody) || got != nil {
			t.Errorf("%d bytes and one more: %v, %d bytes arrived", n, err, len(got))
		}
		short := store.Body{Reader: bytes.NewReader(content), Size: int64(n) + 1}
		if _, err := send(short); !errors.Is(err, ErrShortBody) || got != nil {
			t.Errorf("%d bytes announced as one more: %v, %d bytes arrived", n, err, len(got))
		}
	}
}

func TestExchangeRead(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "why")
	}))
	defer srv.Close()
	client := newTestClient(t)
	for _, content := range []*Payload{nil, {ctx: t.Context(), body: store.Body{Bytes: []byte("x"), Size: 1}}} {
		req, err := http.NewRequest(http.MethodPost, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if content != nil {
			content.Attach(req)
		}
		resp, data, refused, err := client.ExchangeRead(t.Context(), req, content, time.Minute)
		if resp != nil || data != nil || err != nil || refused == nil || refused.Status != http.StatusConflict || string(refused.Body) != "why" {
			t.Errorf("%v, %q, %+v, %v", resp, data, refused, err)
		}
	}
}

func newTestClient(t *testing.T) *Client {
	t.Helper()
	transport, err := NewTransport(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return NewClient(transport)
}
