package gs

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/gcs"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// newFront starts a front with a bucket.
func newFront(t *testing.T) (*gcs.Server, string) {
	t.Helper()
	behind := shared.FakeGCS(t)
	return gcs.Start(t, behind), behind.NewBucket(t)
}

// openAs opens the bucket with credentials, which must be well-formed.
func openAs(t *testing.T, front *gcs.Server, bucket string, c store.Credentials) *Store {
	t.Helper()
	s, err := open(configAt(front, c, bucket, "", store.RoleDestination))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// refusedAs fails unless the first contact is refused with a class and a text.
func refusedAs(t *testing.T, what string, s *Store, class store.Class, text string) {
	t.Helper()
	_, err := s.Check(t.Context())
	if store.ClassOf(err) != class || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v of class %q, want %q with %q", what, err, store.ClassOf(err), class, text)
	}
}

func TestCredentialsThatWork(t *testing.T) {
	front, bucket := newFront(t)
	if clock, err := openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)}).Check(t.Context()); err != nil || clock.IsZero() {
		t.Errorf("service account: %v, %v", clock, err)
	}
	if _, err := openAs(t, front, bucket, store.Credentials{AccessKey: "token", SecretKey: front.NewToken(time.Hour)}).Check(t.Context()); err != nil {
		t.Errorf("access token: %v", err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(front.Key(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	if _, err := openAs(t, front, bucket, store.Credentials{}).Check(t.Context()); err != nil {
		t.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %v", err)
	}
	front.Open = true
	s, err := open(configAt(front, store.Credentials{}, bucket, "", store.RoleSource, "anonymous", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(t.Context()); err != nil {
		t.Errorf("anonymous: %v", err)
	}
}

// TestTokenIsKept: one token serves all requests.
func TestTokenIsKept(t *testing.T) {
	front, bucket := newFront(t)
	s := openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)})
	for range 5 {
		if _, err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := front.Issued(); n != 1 {
		t.Errorf("%d tokens were taken", n)
	}
}

func TestCredentialsThatAreRefused(t *testing.T) {
	front, bucket := newFront(t)
	other, _ := newFront(t)
	wrong := strings.ReplaceAll(other.Key(t), other.URL, front.URL) // another private key
	refusedAs(t, "wrong key", openAs(t, front, bucket, store.Credentials{SecretKey: wrong}), store.Auth, "Invalid JWT Signature")
	var doc map[string]string
	if err := json.Unmarshal([]byte(front.Key(t)), &doc); err != nil {
		t.Fatal(err)
	}
	doc["client_email"] = "nobody@test.iam.gserviceaccount.com"
	nobody, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "unknown account", openAs(t, front, bucket, store.Credentials{SecretKey: string(nobody)}), store.Auth, "account not found")
	refusedAs(t, "unknown token", openAs(t, front, bucket, store.Credentials{AccessKey: "token", SecretKey: "ya29.x"}), store.Auth, "Invalid Credentials")
	expired := front.NewToken(-time.Minute)
	refusedAs(t, "expired token", openAs(t, front, bucket, store.Credentials{AccessKey: "token", SecretKey: expired}), store.Auth, "access token is not accepted")
	s, err := open(configAt(front, store.Credentials{}, bucket, "", store.RoleSource, "anonymous", "true"))
	if err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "nobody", s, store.Auth, "not public")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing.json"))
	refusedAs(t, "missing file", openAs(t, front, bucket, store.Credentials{}), store.Auth, "secret_key")
	front.DeleteKey()
	refusedAs(t, "deleted key", openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)}), store.Auth, "create a new one")
}

// TestClock: an assertion is dated by this machine's clock, and refused where it differs too much.
func TestClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"server behind": -20 * time.Minute, "server ahead": 61 * time.Minute} {
		front, bucket := newFront(t)
		front.Now = func() time.Time { return time.Now().Add(off) }
		refusedAs(t, name, openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)}), store.Misconfigured, "clock")
	}
	front, bucket := newFront(t)
	front.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	clock, err := openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)}).Check(t.Context())
	if off := time.Until(clock); err != nil || off < 19*time.Minute || off > 21*time.Minute {
		t.Errorf("clock off by %v, %v", off, err)
	}
}

func TestCredentialsThatAreNone(t *testing.T) {
	front, bucket := newFront(t)
	key := front.Key(t)
	for name, c := range map[string]struct {
		creds store.Credentials
		more  []string
		want  string
	}{
		"no JSON":           {store.Credentials{AccessKey: "a", SecretKey: "secret-text"}, nil, "JSON key"},
		"broken JSON":       {store.Credentials{AccessKey: "a", SecretKey: "{secret-text"}, nil, "no usable JSON key"},
		"no private key":    {store.Credentials{AccessKey: "a", SecretKey: `{"type":"service_account","private_key":"secret-text"}`}, nil, ""},
		"external account":  {store.Credentials{AccessKey: "a", SecretKey: `{"type":"external_account"}`}, nil, "want service_account"},
		"other account":     {store.Credentials{AccessKey: "x@y", SecretKey: key}, nil, "another account"},
		"HMAC":              {store.Credentials{AccessKey: "GOOG1EXAMPLE", SecretKey: "secret-text"}, nil, "s3://BUCKET"},
		"session token":     {store.Credentials{AccessKey: "a", SecretKey: key, SessionToken: "secret-text"}, nil, "session tokens do not exist"},
		"spaces":            {store.Credentials{AccessKey: "token", SecretKey: "secret-text x"}, nil, "spaces"},
		"plain token URI":   {store.Credentials{AccessKey: "a", SecretKey: `{"type":"service_account","token_uri":"http://evil.example/"}`}, nil, "token_uri"},
		"anonymous and key": {store.Credentials{AccessKey: "a", SecretKey: key}, []string{"anonymous", "true"}, "exclude"},
		"plain HTTP":        {store.Credentials{AccessKey: "a", SecretKey: key}, []string{"endpoint", "http://gs.example.com"}, "plain HTTP"},
	} {
		s, err := open(configAt(front, c.creds, bucket, "", store.RoleSource, c.more...))
		if err == nil { // only its use shows that the key is none
			_, err = s.Check(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-text") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestRevokedToken: a token that was good is refused; the next request takes another, and only a fresh one that is refused as well is
// for good.
func TestRevokedToken(t *testing.T) {
	front, bucket := newFront(t)
	s := openAs(t, front, bucket, store.Credentials{SecretKey: front.Key(t)})
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.NotFound {
		t.Fatal(err)
	}
	front.Revoke()
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.Auth {
		t.Errorf("a token refused when it was new: %v", err)
	}
	later := time.Now().Add(2 * tokenYoung)
	s.tokens.Load().now = func() time.Time { return later }
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.Transient {
		t.Errorf("a token refused later on: %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.NotFound {
		t.Errorf("with a new token: %v", err)
	}
}

func TestRenew(t *testing.T) {
	front, bucket := newFront(t)
	s := openAs(t, front, bucket, store.Credentials{AccessKey: "token", SecretKey: front.NewToken(-time.Second)})
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.Auth {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context(), store.Credentials{AccessKey: "a", SecretKey: "nonsense"}); err == nil {
		t.Error("nonsense was taken")
	}
	if err := s.Renew(t.Context(), store.Credentials{SecretKey: front.Key(t)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "k"); store.ClassOf(err) != store.NotFound {
		t.Errorf("after renewal: %v", err)
	}
}

// TestTokenServerAway: what fails before a token is there is classified like any other failure.
func TestTokenServerAway(t *testing.T) {
	front, bucket := newFront(t)
	for status, class := range map[int]store.Class{500: store.Transient, 429: store.Transient, 403: store.Auth} {
		away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		key := strings.ReplaceAll(front.Key(t), front.URL, away.URL)
		refusedAs(t, http.StatusText(status), openAs(t, front, bucket, store.Credentials{SecretKey: key}), class, "get an access token")
		away.Close()
	}
}

// TestPersonsCredentials: the file that "gcloud auth application-default login" writes. Google's token server is asked whatever the file
// says, so its requests are led to the front.
func TestPersonsCredentials(t *testing.T) {
	front, _ := newFront(t)
	client := &http.Client{Transport: led(front.URL)}
	for refresh, class := range map[string]store.Class{"refresh-of-a-person": "", "revoked": store.Auth} {
		key := `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"` + refresh + `"}`
		tokens, err := newTokens(store.Credentials{AccessKey: "me", SecretKey: key}, false, client)
		if err != nil {
			t.Fatal(err)
		}
		token, err := tokens.token()
		if err != nil {
			err = tokenFault("check", "", err)
		}
		if store.ClassOf(err) != class || (token == "") != (class != "") {
			t.Errorf("%s: %q, %v", refresh, token, err)
		}
	}
}

// led sends all requests to a server.
type led string

// RoundTrip implements http.RoundTripper.
func (l led) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := http.NewRequestWithContext(r.Context(), r.Method, string(l)+r.URL.Path, r.Body)
	if err != nil {
		return nil, err
	}
	to.Header, to.ContentLength = r.Header, r.ContentLength
	return http.DefaultTransport.RoundTrip(to)
}
