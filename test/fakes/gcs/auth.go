package gcs

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// account is the service account that the server knows.
type account struct {
	key     *rsa.PrivateKey
	email   string
	deleted bool
}

// refreshToken is the one of a person's account that is good.
const refreshToken = "refresh-of-a-person"

// tokenLife is how long tokens are good.
const tokenLife = time.Hour

// Key gives the account's key as the console would: JSON, to be kept secret.
func (s *Server) Key(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.account.key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "test", "private_key_id": "1", "client_email": s.account.email, "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": s.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// Email is the account's name.
func (s *Server) Email() string { return s.account.email }

// DeleteKey makes the server forget the account's key. Tokens that were given stay good, until Revoke.
func (s *Server) DeleteKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.deleted = true
}

// Revoke takes all tokens back.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Issued tells how many tokens were given.
func (s *Server) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// NewToken gives a token that is good for so long.
func (s *Server) NewToken(life time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	token := fmt.Sprintf("ya29.test-%d", s.issued)
	s.tokens[token] = s.Now().Add(life)
	return token
}

// allowed checks the token of a request.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !has && s.Open {
		return true
	}
	s.mu.Lock()
	until, known := s.tokens[token]
	s.mu.Unlock()
	if known && s.Now().Before(until) {
		return true
	}
	_, _, isXML := xmlTarget(r)
	switch {
	case isXML:
		xmlError(w, http.StatusUnauthorized, "AuthenticationRequired", "Authentication required.")
	case !has:
		jsonError(w, http.StatusUnauthorized, "required", "Anonymous caller does not have storage.objects.list access to the Google Cloud Storage bucket.")
	default:
		jsonError(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
	}
	return false
}

// serveToken exchanges a signed assertion (RFC 7523) or a refresh token for an access token.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		oauthError(w, "invalid_request", err.Error())
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if why := s.checkAssertion(r.PostForm.Get("assertion")); why != "" {
			oauthError(w, "invalid_grant", why)
			return
		}
	case "refresh_token":
		if r.PostForm.Get("refresh_token") != refreshToken {
			oauthError(w, "invalid_grant", "Token has been expired or revoked.")
			return
		}
	default:
		oauthError(w, "unsupported_grant_type", "Invalid grant_type")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": s.NewToken(tokenLife), "expires_in": int(tokenLife.Seconds()), "token_type": "Bearer"})
}

func oauthError(w http.ResponseWriter, code, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": why})
}

// checkAssertion gives the reason why an assertion is refused, "" when it is good.
func (s *Server) checkAssertion(text string) string {
	fields := strings.Split(text, ".")
	if len(fields) != 3 {
		return "Bad Request"
	}
	var header struct{ Alg string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(fields[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return "Bad Request"
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(fields[2])
	digest := sha256.Sum256([]byte(fields[0] + "." + fields[1]))
	s.mu.Lock()
	account := s.account
	s.mu.Unlock()
	now, skew := s.Now().Unix(), int64(300)
	switch {
	case claims.Iss != account.email:
		return "Invalid grant: account not found"
	case header.Alg != "RS256", err != nil, account.deleted,
		rsa.VerifyPKCS1v15(&account.key.PublicKey, crypto.SHA256, digest[:], signature) != nil:
		return "Invalid JWT Signature."
	case claims.Aud != s.URL+"/token":
		return "Invalid JWT: audience does not match"
	case !strings.Contains(claims.Scope, "devstorage"):
		return "Invalid OAuth scope or ID token audience provided."
	case claims.Iat > now+skew, claims.Exp < now, claims.Exp > claims.Iat+3600:
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	}
	return ""
}
