package azblob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Where tokens of Microsoft Entra ID come from, and what for.
const (
	authorityDefault = "https://login.microsoftonline.com"
	metadataDefault  = "http://169.254.169.254"
	audience         = "https://storage.azure.com"
	maxToken         = 64 << 10        // bytes of an answer or a file
	renewBefore      = 5 * time.Minute // a token is replaced so long before its end
)

// tokens gets access tokens of one identity, and keeps each until shortly before its end. Its sources, by variables that the
// vendor's tools share: a client secret or a federated token (workload identity) of an application, and the managed identity
// of the machine (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
type tokens struct {
	authority, tenant string // of an application
	client            string
	secret            string
	file              string // of the federated token, read each time
	metadata          string // base URL of the machine's metadata service; "" for an application

	mu    sync.Mutex
	token string
	until time.Time
}

// tokensOf reads the variables; nil where they name no identity.
func tokensOf(env environment) *tokens {
	t := &tokens{
		authority: env("AZURE_AUTHORITY_HOST"), tenant: env("AZURE_TENANT_ID"), client: env("AZURE_CLIENT_ID"),
		secret: env("AZURE_CLIENT_SECRET"), file: env("AZURE_FEDERATED_TOKEN_FILE"),
	}
	if t.authority == "" {
		t.authority = authorityDefault
	}
	t.authority = strings.TrimSuffix(t.authority, "/")
	if t.tenant == "" || t.client == "" || t.secret == "" && t.file == "" {
		return nil
	}
	return t
}

// machineTokens are those of the machine's managed identity; AZURE_CLIENT_ID chooses one of several.
func machineTokens(env environment) *tokens {
	t := &tokens{client: env("AZURE_CLIENT_ID"), metadata: env("AZURE_POD_IDENTITY_AUTHORITY_HOST")}
	if t.metadata == "" {
		t.metadata = metadataDefault
	}
	t.metadata = strings.TrimSuffix(t.metadata, "/")
	return t
}

// get returns a token that is good for a while. One caller fetches it, the others wait.
func (t *tokens) get(ctx context.Context, client *wire.Client, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && now.Before(t.until.Add(-renewBefore)) {
		return t.token, nil
	}
	req, err := t.request()
	if err != nil {
		return "", tokenError(store.Auth, "", err)
	}
	resp, refusal, err := client.Exchange(ctx, req, nil, client.Idle)
	switch {
	case refusal != nil:
		return "", t.refusedBy(refusal)
	case err != nil:
		return "", fmt.Errorf("get a token: %w", err)
	}
	return t.take(resp, now)
}

func (t *tokens) request() (*http.Request, error) {
	if t.metadata != "" {
		query := url.Values{"api-version": {"2018-02-01"}, "resource": {audience + "/"}}
		if t.client != "" {
			query.Set("client_id", t.client)
		}
		req, err := http.NewRequest(http.MethodGet, t.metadata+"/metadata/identity/oauth2/token?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Metadata", "true")
		return req, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {t.client}, "scope": {audience + "/.default"}}
	if t.secret != "" {
		form.Set("client_secret", t.secret)
	} else {
		assertion, err := readToken(t.file)
		if err != nil {
			return nil, err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	if !strings.HasPrefix(t.authority, "https://") {
		return nil, errors.New("AZURE_AUTHORITY_HOST does not begin with https://")
	}
	req, err := http.NewRequest(http.MethodPost, t.authority+"/"+url.PathEscape(t.tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("AZURE_AUTHORITY_HOST is no URL") // the cause would show the request
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

// readToken reads the federated token, which is replaced by others while it is in use.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken))
	return strings.TrimSpace(string(data)), err
}

// take reads a token and its end.
func (t *tokens) take(resp *http.Response, now time.Time) (string, error) {
	defer wire.Finish(resp.Body)
	var out struct {
		Token   string      `json:"access_token"`
		Seconds json.Number `json:"expires_in"` // a string, from a machine's metadata service
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&out); err != nil || out.Token == "" {
		return "", tokenError(store.Auth, "", errors.New("the answer has no token"))
	}
	seconds, err := out.Seconds.Int64()
	if err != nil || seconds < 0 {
		seconds = 0 // used once
	}
	t.token, t.until = out.Token, now.Add(time.Duration(min(seconds, 7*24*3600))*time.Second)
	return t.token, nil
}

// refusedBy classifies a refusal. What the service says of the reason names identities, not secrets.
func (t *tokens) refusedBy(w *wire.Refusal) error {
	var out struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(w.Body, &out) != nil {
		out.Code, out.Description = "", ""
	}
	class := wire.RuleOfStatus(w.Status).Class
	if w.Status == http.StatusBadRequest || w.Status == http.StatusNotFound {
		class = store.Auth
	}
	text, _, _ := strings.Cut(out.Description, "\r\n") // request IDs and times follow
	return tokenError(class, out.Code, errors.New(wire.Message(text, w.Status)))
}

func tokenError(class store.Class, code string, err error) *store.Error {
	hint := ""
	if class == store.Auth {
		hint = "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE, or the machine's managed identity"
	}
	return &store.Error{Op: "get a token", Class: class, Code: wire.Clip(code, 100), Hint: hint, Err: err}
}
