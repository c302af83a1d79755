package matrix_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	fakebos "github.com/bucketbrigade/brigade/test/fakes/bos"
	fakecos "github.com/bucketbrigade/brigade/test/fakes/cos"
	"github.com/bucketbrigade/brigade/test/fakes/gcs"
	fakekodo "github.com/bucketbrigade/brigade/test/fakes/kodo"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
	fakeoss "github.com/bucketbrigade/brigade/test/fakes/oss"
	fakeuss "github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/azblob"
	"github.com/bucketbrigade/brigade/transfer/store/bos"
	"github.com/bucketbrigade/brigade/transfer/store/cos"
	"github.com/bucketbrigade/brigade/transfer/store/file"
	"github.com/bucketbrigade/brigade/transfer/store/gs"
	"github.com/bucketbrigade/brigade/transfer/store/kodo"
	"github.com/bucketbrigade/brigade/transfer/store/oss"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
	"github.com/bucketbrigade/brigade/transfer/store/uss"
)

// place is one kind of store.
type place struct {
	scheme   string
	provider store.Provider
	// start starts the place's server, with an empty bucket, and tells where that is and whose.
	start func(t *testing.T) spot
}

// spot is an empty bucket or folder.
type spot struct {
	bucket  string
	root    string // path that all is below, ending in "/"; "" for the bucket's root
	options url.Values
	account store.Credentials
	lenient string // what of TestRefusedPlaces the server lets pass, and why
	// bucketOf looks into a server of our own whose protocol does not list uploads; nil elsewhere.
	bucketOf *memory.Bucket
	// dropsParts: whoever writes an object drops the parts that others sent for it.
	dropsParts bool
	// keepsUploads: uploads cannot be dropped, and stay in the listing when they are complete; TestUSSUploadIsResumed looks closer.
	keepsUploads bool
}

// places lists all kinds, one line each. Lists of URLs, which are sources only, come with the web server that they lead to.
func places() []place {
	return []place{
		{"file", store.Provider{Open: file.Open, Validate: file.Validate}, startFolder},
		{"s3", store.Provider{Open: s3.Open, Validate: s3.Validate}, startVersityGW},
		{"oss", store.Provider{Open: oss.Open, Validate: oss.Validate}, startOSS},
		{"cos", store.Provider{Open: cos.Open, Validate: cos.Validate}, startCOS},
		{"kodo", store.Provider{Open: kodo.Open, Validate: kodo.Validate}, startKodo},
		{"bos", store.Provider{Open: bos.Open, Validate: bos.Validate}, startBOS},
		{"azblob", store.Provider{Open: azblob.Open, Validate: azblob.Validate}, startAzurite},
		{"gs", store.Provider{Open: gs.Open, Validate: gs.Validate}, startGCS},
		{"uss", store.Provider{Open: uss.Open, Validate: uss.Validate}, startUSS},
	}
}

func startFolder(t *testing.T) spot { return spot{root: t.TempDir() + "/", options: url.Values{}} }

func startVersityGW(t *testing.T) spot {
	gw := shared.gateway.VersityGW(t)
	return spot{
		bucket: gw.NewBucket(t), options: url.Values{"endpoint": {gw.URL}, "region": {gw.Region}},
		account: store.Credentials{AccessKey: gw.AccessKey, SecretKey: gw.SecretKey},
	}
}

func startOSS(t *testing.T) spot {
	server, account, at := fakeoss.Start(t)
	server.NewBucket("matrix")
	return spot{
		bucket: "matrix", options: url.Values{"endpoint": {at}, "region": {account.Region}},
		account: store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey, SessionToken: account.Token},
	}
}

func startCOS(t *testing.T) spot {
	server, account, at := fakecos.Start(t)
	server.NewBucket("matrix-1250000000")
	return spot{
		bucket: "matrix-1250000000", options: url.Values{"endpoint": {at}, "region": {account.Region}},
		account: store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey, SessionToken: account.Token},
	}
}

func startKodo(t *testing.T) spot {
	server, account, at := fakekodo.Start(t)
	return spot{
		bucketOf: server.NewBucket("matrix"), bucket: "matrix", options: url.Values{"endpoint": {at}, "region": {account.Region}, "domain": {server.StartDomain(t, "matrix")}},
		account: store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey},
	}
}

func startBOS(t *testing.T) spot {
	server, account, at := fakebos.Start(t)
	server.NewBucket("matrix")
	return spot{
		bucket: "matrix", options: url.Values{"endpoint": {at}},
		account: store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey, SessionToken: account.Token},
	}
}

// startAzurite starts a server that sorts by UTF-16, which shows beyond the basic plane.
func startAzurite(t *testing.T) spot {
	server := servers.StartAzurite(t)
	return spot{
		dropsParts: true, // https://learn.microsoft.com/en-us/rest/api/storageservices/put-block-list
		bucket:     server.NewContainer(t), options: url.Values{"endpoint": {server.URL}, "account": {server.Account}, "api_version": {"2025-11-05"}, "list_order": {"none"}},
		account: store.Credentials{AccessKey: server.Account, SecretKey: server.Key},
	}
}

// startGCS starts fake-gcs-server, and before it what checks access tokens and takes uploads in parts.
func startGCS(t *testing.T) spot {
	server := servers.StartFakeGCS(t)
	front := gcs.Start(t, server)
	return spot{
		bucket: server.NewBucket(t), options: url.Values{"endpoint": {front.URL}, "multipart": {"true"}},
		account: store.Credentials{AccessKey: front.Email(), SecretKey: front.Key(t)},
	}
}

func startUSS(t *testing.T) spot {
	server, account, at := fakeuss.Start(t)
	server.NewBucket("matrix")
	return spot{
		bucket: "matrix", options: url.Values{"endpoint": {at}}, keepsUploads: true,
		account: store.Credentials{AccessKey: account.Operator, SecretKey: account.Password},
	}
}

// stand is a place whose server runs.
type stand struct {
	place
	spot
}

// location is a folder of a stand; options are pairs of names and values.
func (s *stand) location(folder string, options ...string) store.Location {
	l := store.Location{Scheme: s.scheme, Bucket: s.bucket, Path: s.root + folder + "/", Options: url.Values{}}
	for name, v := range s.options {
		l.Options[name] = v
	}
	for i := 0; i+1 < len(options); i += 2 {
		l.Options.Set(options[i], options[i+1])
	}
	return l
}

// open opens a folder of a stand in this process, to fill it and to look at what is there.
func (s *stand) open(t *testing.T, folder string, role store.Role) store.Destination {
	t.Helper()
	l := s.location(folder)
	if err := s.provider.Validate(l); err != nil {
		t.Fatalf("%s: %v", l, err)
	}
	opened, err := s.provider.Open(context.Background(), store.Config{
		Location: l, Role: role, Credentials: s.account, Nonce: "00112233445566778899aabbccddeeff", Concurrency: 16,
	})
	if err != nil {
		t.Fatalf("open %s: %v", l, err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Errorf("close %s: %v", l, err)
		}
	})
	return opened
}

// env holds the account for a side, "SRC" or "DST".
func (s *stand) env(side string) []string {
	var env []string
	for name, v := range map[string]string{
		"ACCESS_KEY": s.account.AccessKey, "SECRET_KEY": s.account.SecretKey, "SESSION_TOKEN": s.account.SessionToken,
	} {
		if v != "" {
			env = append(env, "BRIGADE_"+side+"_"+name+"="+v)
		}
	}
	return env
}

// stands starts every place; all end with the test.
func stands(t *testing.T) []*stand {
	t.Helper()
	var all []*stand
	for _, p := range places() {
		all = append(all, &stand{p, p.start(t)})
	}
	return all
}

// escaped is a path as URLs have it.
func escaped(path string) string {
	return strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "+", "%2B")
}
