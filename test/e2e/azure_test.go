package e2e_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/bucketbrigade/brigade/test/servers"
)

// azureContainer is a container of Azurite, as the binary and the vendor's own client see it.
type azureContainer struct {
	server *servers.Azurite
	name   string
	url    string // where the binary asks: the server, or a proxy before it
	client *container.Client

	mu   sync.Mutex
	hook func(w http.ResponseWriter, r *http.Request) bool
}

// newAzureContainer makes an empty container behind a proxy with a hook; signatures do not cover the host.
func newAzureContainer(t *testing.T) *azureContainer {
	t.Helper()
	s := servers.StartAzurite(t)
	c := &azureContainer{server: s, name: s.NewContainer(t)}
	c.client = s.Client(t).ServiceClient().NewContainerClient(c.name)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		hook := c.hook
		c.mu.Unlock()
		if hook == nil || !hook(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	c.url = proxy.URL
	return c
}

// onRequest sets what sees requests first and may answer them.
func (c *azureContainer) onRequest(hook func(w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

func (c *azureContainer) location(prefix string, options ...string) string {
	q := append([]string{"account=" + c.server.Account, "endpoint=" + url.QueryEscape(c.url)}, options...)
	return "azblob://" + c.name + "/" + prefix + "?" + strings.Join(q, "&")
}

func (c *azureContainer) env(sides ...string) []string {
	return envOf(c.server.Account, c.server.Key, sides)
}

// holdings reads all blobs under a prefix by the vendor's client.
func (c *azureContainer) holdings(t *testing.T, prefix string) map[string]object {
	t.Helper()
	all := map[string]object{}
	pager := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	for pager.More() {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, b := range page.Segment.BlobItems {
			r, err := c.client.NewBlobClient(*b.Name).DownloadStream(t.Context(), nil)
			if err != nil {
				t.Fatalf("get %q: %v", *b.Name, err)
			}
			all[strings.TrimPrefix(*b.Name, prefix)] = objectOf(t, *b.Name, r.Body)
		}
	}
	return all
}

// blockOf gives the number of the part that a request sends as a block, 0 for other requests.
func blockOf(r *http.Request) uint32 {
	q := r.URL.Query()
	raw, err := base64.StdEncoding.DecodeString(q.Get("blockid"))
	if q.Get("comp") != "block" || err != nil || len(raw) != 48 {
		return 0
	}
	return binary.BigEndian.Uint32(raw[27:])
}

// Files go to Azure and back, where listings can begin at a name and where they cannot; the vendor's own client and the system's
// diff look at both copies.
func TestAzureRoundTrip(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2026-02-06", "2023-11-03"} {
		t.Run(version, func(t *testing.T) {
			source, c := ossTree(t), newAzureContainer(t)
			for i := range 300 {
				writeFile(t, filepath.Join(source, fmt.Sprintf("many/%d", i)), 10, uint64(i))
			}
			goesAndComes(t, c, source, c.location("tree/", "api_version="+version), c.env, func() {
				if p, err := c.client.NewBlobClient("tree/big/in parts").GetProperties(t.Context(), nil); err != nil || p.Metadata["Mtime"] == nil {
					t.Errorf("the large file: %v, %v", p.Metadata, err)
				}
			}, isPut)
		})
	}
}

// A run that is killed amid an upload leaves it to the next one, which sends what is missing and no more.
func TestAzureUploadIsResumed(t *testing.T) {
	t.Parallel()
	source, c := filepath.Join(t.TempDir(), "source"), newAzureContainer(t)
	writeFile(t, filepath.Join(source, "big"), bigFile, 3)
	// Someone else's unfinished upload, whose blocks have names of the same length.
	foreign := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("f", 48)))
	if _, err := c.client.NewBlockBlobClient("x/big").StageBlock(t.Context(), foreign, streaming.NopCloser(strings.NewReader("foreign")), nil); err != nil {
		t.Fatal(err)
	}
	stuck, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	var once sync.Once
	var arrived, again atomic.Int64
	all := make(chan struct{})
	c.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		switch n := blockOf(r); {
		case n == 5:
			_, _ = io.Copy(io.Discard, r.Body) // what it ends with shows below
			select {
			case <-all:
				once.Do(func() { close(stuck) })
			case <-r.Context().Done():
				return true
			case <-ended:
				return true
			}
			select {
			case <-r.Context().Done():
			case <-ended:
			}
			return true
		case n > 0 && n < 5:
			forward, err := url.Parse(c.server.URL)
			if err != nil {
				return false
			}
			httputil.NewSingleHostReverseProxy(forward).ServeHTTP(w, r)
			if arrived.Add(1) == 4 {
				close(all)
			}
			return true
		}
		return false
	})
	run := command{env: c.env("DST"), state: filepath.Join(t.TempDir(), "state")}
	args := []string{"import", source, c.location("x/"), "--yes", "--json"}
	p := run.start(t, args...)
	select {
	case <-stuck:
	case <-time.After(time.Minute):
		t.Error("the last part was never sent after the others")
	}
	p.kill(t)
	c.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if n := blockOf(r); n > 0 && n < 1000 {
			again.Add(1)
		}
		return false
	})
	run.run(t, args...).want(t, 0)
	same(t, c.holdings(t, "x/"), holdings(t, source))
	if again.Load() != 1 {
		t.Errorf("%d parts were sent again, want the one that was missing", again.Load())
	}
}

// The answer to the commit of an upload is lost: its blocks are gone then, and a look at the blob settles it.
func TestAzureLostCommit(t *testing.T) {
	t.Parallel()
	c := newAzureContainer(t)
	target, err := url.Parse(c.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	losesCompletion(t, c, httputil.NewSingleHostReverseProxy(target), func(r *http.Request) bool {
		return isPut(r) && r.URL.Query().Get("comp") == "blocklist"
	})
}

// Mistakes are told in one line that says what to do.
func TestAzureBadPlaces(t *testing.T) {
	t.Parallel()
	c := newAzureContainer(t)
	source := filepath.Join(t.TempDir(), "source")
	writeFile(t, filepath.Join(source, "a"), 1, 1)
	wrong := []string{"BRIGADE_DST_ACCESS_KEY=" + c.server.Account, "BRIGADE_DST_SECRET_KEY=" + c.server.Other.Key}
	for name, b := range map[string]struct {
		env  []string
		to   string
		want string
	}{
		"wrong key":         {wrong, c.location("x/"), "check the"},
		"missing container": {c.env("DST"), strings.Replace(c.location("x/"), c.name, "missing", 1), "check the container"},
		"no account":        {c.env("DST"), "azblob://" + c.name + "/x/", "account=NAME"},
		"no credentials":    {nil, c.location("x/"), "AZURE_STORAGE_KEY"},
	} {
		run := command{env: b.env}
		r := run.run(t, "import", source, b.to, "--yes")
		if r.code == 0 || !strings.Contains(r.stderr, b.want) {
			t.Errorf("%s: exit code %d, %q; want %q", name, r.code, r.stderr, b.want)
		}
		if strings.Contains(r.stderr, c.server.Other.Key) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}
