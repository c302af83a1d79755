package gs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// scope is what tokens are asked for: objects and their ACLs. What of it is allowed, the account's roles say.
const scope = "https://www.googleapis.com/auth/devstorage.full_control"

const (
	tokenTimeout = 30 * time.Second // of one exchange for a token
	tokenYoung   = time.Minute      // a token refused at this age is refused for good
)

// tokens gives the access tokens of one set of credentials. The zero value of find means that none are sent.
type tokens struct {
	given store.Credentials // as they came, to tell sets from each other
	fixed bool              // the token was given as it is and cannot be renewed
	find  func() (oauth2.TokenSource, error)
	now   func() time.Time

	mu     sync.Mutex // held over an exchange: whoever comes meanwhile takes its result
	source oauth2.TokenSource
	last   string // token given last
	since  time.Time
}

// asToken as access key tells that the secret key is an access token, such as "gcloud auth print-access-token" prints.
const asToken = "token"

// newTokens reads credentials; what the environment has is looked for with the first request.
func newTokens(c store.Credentials, anonymous bool, client *http.Client) (*tokens, error) {
	t := &tokens{given: c, now: time.Now}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	key := strings.TrimSpace(c.SecretKey)
	switch {
	case anonymous:
		if c != (store.Credentials{}) {
			return nil, misconfigured(errors.New("anonymous=true and credentials exclude each other"))
		}
		return t, nil
	case c == store.Credentials{}:
		t.find = func() (oauth2.TokenSource, error) {
			found, err := google.FindDefaultCredentials(ctx, scope)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", wire.ErrCredentials, err)
			}
			return found.TokenSource, nil
		}
		return t, nil
	case c.SessionToken != "":
		return nil, misconfigured(errors.New("session tokens do not exist in Cloud Storage; an access token goes into secret_key, with access_key: " + asToken))
	case strings.HasPrefix(key, "{"):
		kind, err := kindOfKey([]byte(key), c.AccessKey)
		if err != nil {
			return nil, misconfigured(err)
		}
		t.find = func() (oauth2.TokenSource, error) {
			found, err := google.CredentialsFromJSONWithType(ctx, []byte(key), kind, scope)
			if err != nil {
				return nil, errBadKey
			}
			return found.TokenSource, nil
		}
		if _, err := t.find(); err != nil {
			return nil, misconfigured(err)
		}
		return t, nil
	case c.AccessKey == asToken:
		if strings.ContainsAny(key, " \r\n\t") {
			return nil, misconfigured(errors.New("the access token in secret_key has spaces or line breaks in it"))
		}
		t.fixed = true
		t.find = func() (oauth2.TokenSource, error) {
			return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: key}), nil
		}
		return t, nil
	case strings.HasPrefix(c.AccessKey, "GOOG"):
		return nil, misconfigured(errors.New("HMAC keys work with the S3 dialect only: write s3://BUCKET?endpoint=https://" + vendorHost))
	}
	return nil, misconfigured(errors.New("secret_key wants the text of a service account's JSON key, with its client_email as access_key"))
}

// errBadKey hides what the parser says, which may quote the key.
var errBadKey = errors.New("secret_key is no usable JSON key: create a new key for the service account and take its file's text as it is")

// kindOfKey checks a key that came with a job. Other kinds of credentials name files and programs of the machine they are used on,
// so they are taken from the environment only. The access key names the account, if it is an address.
func kindOfKey(key []byte, accessKey string) (google.CredentialsType, error) {
	var doc struct {
		Type     string `json:"type"`
		TokenURI string `json:"token_uri"`
		Email    string `json:"client_email"`
	}
	if json.Unmarshal(key, &doc) != nil {
		return "", errBadKey
	}
	kind := google.CredentialsType(doc.Type)
	if kind != google.ServiceAccount && kind != google.AuthorizedUser {
		return "", fmt.Errorf("secret_key of type %q: want service_account or authorized_user", wire.Clip(doc.Type, 50))
	}
	if strings.Contains(accessKey, "@") && kind == google.ServiceAccount && accessKey != doc.Email {
		return "", errors.New("secret_key is the key of another account than access_key names")
	}
	if u, err := url.Parse(doc.TokenURI); err != nil || doc.TokenURI != "" && u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return "", errors.New("token_uri of secret_key wants https://")
	}
	return kind, nil
}

// sends tells whether requests carry a token.
func (t *tokens) sends() bool { return t.find != nil }

// token gives a valid token, "" for none. It may take an exchange with the token server.
func (t *tokens) token() (string, error) {
	if !t.sends() {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source == nil {
		source, err := t.find()
		if err != nil {
			return "", err
		}
		t.source = source
	}
	token, err := t.source.Token()
	if err != nil {
		return "", err
	}
	if token.AccessToken != t.last {
		t.last, t.since = token.AccessToken, t.now()
	}
	return token.AccessToken, nil
}

// refused is told that the server did not accept a token. It tells whether a later request may have another.
func (t *tokens) refused(token string) (again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.fixed || token == "":
		return false
	case token != t.last:
		return true // somebody has renewed it meanwhile
	case t.now().Sub(t.since) < tokenYoung:
		return false
	}
	t.source = nil
	return true
}

// tokenFault classifies a failure to get a token.
func tokenFault(op, key string, err error) *store.Error {
	e := &store.Error{Op: op, Key: key, Class: store.Transient, Err: fmt.Errorf("get an access token: %w", plainFailure(err))}
	var answer *oauth2.RetrieveError
	code, said := "", ""
	if errors.As(err, &answer) {
		code, said = saidOf(answer)
	}
	switch {
	case errors.Is(err, wire.ErrCredentials):
		e.Class = store.Auth
		e.Hint = "give a service account's JSON key in secret_key, set GOOGLE_APPLICATION_CREDENTIALS, or anonymous=true for public buckets"
	case answer == nil:
		what := wire.RuleOfFailure(err)
		e.Class, e.Hint = what.Class, what.Hint
	case answer.Response != nil && answer.Response.StatusCode >= 500, answer.Response != nil && answer.Response.StatusCode == http.StatusTooManyRequests:
	case strings.Contains(said, "iat and exp"), strings.Contains(said, "short-lived token"):
		e.Class, e.Hint = store.Misconfigured, wire.HintClock
	default:
		e.Class, e.Hint = store.Auth, "the key was deleted, has expired or is not whole; create a new one"
	}
	e.Code = wire.Clip(code, 100)
	return e
}

// plainFailure leaves out the body of a token server's answer, which may hold anything.
func plainFailure(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return err
	}
	status := 0
	if answer.Response != nil {
		status = answer.Response.StatusCode
	}
	code, said := saidOf(answer)
	return errors.New(wire.Message(strings.TrimSpace(code+" "+said), status))
}

// saidOf gives the code and the description of a refusal (RFC 6749, section 5.2), which not all flows of the library read.
func saidOf(answer *oauth2.RetrieveError) (code, description string) {
	if answer.ErrorCode != "" {
		return answer.ErrorCode, answer.ErrorDescription
	}
	var doc struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(answer.Body, &doc) != nil {
		return "", ""
	}
	return doc.Code, doc.Description
}

func misconfigured(err error) *store.Error {
	return &store.Error{Op: "open", Class: store.Misconfigured, Err: err}
}
