package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	urlpath "path"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	clientTimeout = 30 * time.Second
	maxAnswer     = 64 << 20 // bytes
	maxAttempts   = 4
	retryRest     = 100 * time.Millisecond
)

// ErrUnreachable means that nothing answers at a node's address.
var ErrUnreachable = errors.New("no node answers")

// ErrNotHTTP means that something listens there, but not the API of a node.
var ErrNotHTTP = errors.New("what is there does not speak HTTP, or went away")

// Client calls one node. Error answers come back as *Problem.
type Client struct {
	Version string // of the caller, which nodes name where it differs from theirs

	base  string
	token Token
	http  *http.Client

	signed atomic.Pointer[[authoritySize]byte] // what signed for the node that answered last, at first what the token names
}

// NewClient returns a client for a node at host:port, or at a URL of scheme http or https. Without a scheme it calls by HTTP
// on loopback and by HTTPS elsewhere. Where the token names an authority, only a node that this has signed may answer.
func NewClient(addr string, token Token) (*Client, error) {
	u, err := endpoint(addr, token)
	if err != nil {
		return nil, err
	}
	c := &Client{base: u.String(), token: token}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // a token is for the node alone
	if authority, ok := token.pin(); ok {
		c.signed.Store(&authority)
		known := func() [authoritySize]byte { return *c.signed.Load() }
		transport.TLSClientConfig = trusting(known, func(by [authoritySize]byte) { c.signed.Store(&by) })
	}
	c.http = &http.Client{Transport: transport, Timeout: clientTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // likewise
	}}
	return c, nil
}

// Renewed returns the token with another authority, once a node answered that this one has signed for and the token's own
// authority vouches for it: the cluster key is being replaced, and the token's authority will soon be worth nothing.
func (c *Client) Renewed() (Token, bool) {
	by := c.signed.Load()
	if by == nil {
		return Token{}, false
	}
	renewed := c.token.For(*by)
	return renewed, renewed != c.token
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Submit creates a job. With the same nonce (16 bytes) it can be sent again.
func (c *Client) Submit(ctx context.Context, description, nonce []byte) (string, error) {
	var d Created
	header := http.Header{KeyHeader: {hex.EncodeToString(nonce)}}
	err := c.call(ctx, http.MethodPost, "/v1/jobs", header, description, &d)
	return d.ID, err
}

// Jobs lists all jobs.
func (c *Client) Jobs(ctx context.Context) (*JobList, error) {
	all := &JobList{Jobs: []Job{}}
	for after := ""; ; {
		var page JobList
		if err := c.call(ctx, http.MethodGet, "/v1/jobs?after="+url.QueryEscape(after), nil, nil, &page); err != nil {
			return nil, err
		}
		all.Jobs, all.Freshness = append(all.Jobs, page.Jobs...), page.Freshness
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	var d Job
	return &d, c.call(ctx, http.MethodGet, jobPath(id), nil, nil, &d)
}

// Remove forgets a job that is not running.
func (c *Client) Remove(ctx context.Context, id string) (*Removed, error) {
	var d Removed
	return &d, c.call(ctx, http.MethodDelete, jobPath(id), nil, nil, &d)
}

// Pause stops a job.
func (c *Client) Pause(ctx context.Context, id, reason string) (*Job, error) {
	var body []byte
	if reason != "" {
		var err error
		if body, err = json.Marshal(Reason{Reason: reason}); err != nil {
			return nil, fmt.Errorf("encode reason: %w", err)
		}
	}
	return c.act(ctx, id, "pause", body)
}

// Continue lets a paused job go on.
func (c *Client) Continue(ctx context.Context, id string) (*Job, error) {
	return c.act(ctx, id, "continue", nil)
}

// Redo starts a job afresh; paused, it begins when it is continued.
func (c *Client) Redo(ctx context.Context, id string, paused bool) (*Job, error) {
	if !paused {
		return c.act(ctx, id, "redo", nil)
	}
	body, err := json.Marshal(Reason{Paused: true})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return c.act(ctx, id, "redo", body)
}

// Retry runs the failed objects of a job again.
func (c *Client) Retry(ctx context.Context, id string) (*Job, error) {
	return c.act(ctx, id, "retry", nil)
}

func (c *Client) act(ctx context.Context, id, verb string, body []byte) (*Job, error) {
	var d Job
	return &d, c.call(ctx, http.MethodPost, jobPath(id)+"/"+verb, nil, body, &d)
}

// Spec returns a job's description as JSON, secrets masked.
func (c *Client) Spec(ctx context.Context, id string) (json.RawMessage, error) {
	var d json.RawMessage
	return d, c.call(ctx, http.MethodGet, jobPath(id)+"/spec", nil, nil, &d)
}

// Machines lists the nodes.
func (c *Client) Machines(ctx context.Context) (*Machines, error) {
	var d Machines
	return &d, c.call(ctx, http.MethodGet, "/v1/machines", nil, nil, &d)
}

// Drain takes work from a node, or with on false lets it have work again.
func (c *Client) Drain(ctx context.Context, node string, on bool) (*Machines, error) {
	verb := "/undrain"
	if on {
		verb = "/drain"
	}
	var d Machines
	return &d, c.call(ctx, http.MethodPost, "/v1/machines/"+url.PathEscape(node)+verb, nil, nil, &d)
}

// Self tells which node answers.
func (c *Client) Self(ctx context.Context) (*Self, error) {
	var d Self
	return &d, c.call(ctx, http.MethodGet, "/v1/node", nil, nil, &d)
}

// Stop has the node stop; it stays a member of the cluster.
func (c *Client) Stop(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/node/stop", nil, nil, nil)
}

// Leave has the node leave the cluster and stop.
func (c *Client) Leave(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/node/leave", nil, nil, nil)
}

// Settings lists the settings of the cluster.
func (c *Client) Settings(ctx context.Context) (*SettingList, error) {
	var d SettingList
	return &d, c.call(ctx, http.MethodGet, "/v1/settings", nil, nil, &d)
}

// Set changes settings.
func (c *Client) Set(ctx context.Context, settings map[string]string) (*SettingList, error) {
	body, err := json.Marshal(SettingChange{settings})
	if err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	var d SettingList
	return &d, c.call(ctx, http.MethodPut, "/v1/settings", nil, body, &d)
}

func jobPath(id string) string { return "/v1/jobs/" + url.PathEscape(id) }

// CallError is why a call has no answer of a node: nobody listens at the address, or something else does.
type CallError struct {
	Address string // that was called, as a URL
	err     error
}

// Error names the address and what is wrong with it.
func (e *CallError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.err }

// call makes one request and reads the answer into the document. An error that no node answered is a CallError.
func (c *Client) call(ctx context.Context, method, path string, header http.Header, body []byte, into any) error {
	_, err := c.exchange(ctx, method, path, header, body, into)
	return c.callError(ctx, err)
}

// callError makes a CallError of an error that is no answer of a node.
func (c *Client) callError(ctx context.Context, err error) error {
	var p *Problem
	if err == nil || ctx.Err() != nil || errors.As(err, &p) {
		return err
	}
	return &CallError{c.base, err}
}

// exchange is call that gives the header of the answer as well. What changes something gets a key, so that it can be sent again
// where the answer was lost on the way.
func (c *Client) exchange(ctx context.Context, method, path string, header http.Header, body []byte, into any) (http.Header, error) {
	if place, _, _ := strings.Cut(path, "?"); place != urlpath.Clean(place) {
		return nil, problemf(http.StatusNotFound, CodeNotFound, "not found", "there is nothing at %s: no name is empty or dots only", place)
	}
	h := http.Header{}
	if len(body) > 0 {
		h.Set("Content-Type", jsonMedia)
	}
	if method != http.MethodGet {
		h.Set(KeyHeader, newKey())
	}
	maps.Copy(h, header)
	for attempt := 1; ; attempt++ {
		answer, rest, err := c.attempt(ctx, method, path, h, body, into)
		if err == nil || rest <= 0 || attempt == maxAttempts {
			return answer, err
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// attempt makes a request once. Where it failed and another may do better it says after which time.
func (c *Client) attempt(ctx context.Context, method, path string, header http.Header, body []byte, into any) (answer http.Header, rest time.Duration, err error) {
	r, err := c.request(ctx, method, path, header, body)
	if err != nil {
		return nil, 0, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		return nil, lost(err), c.unanswered(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, retryRest, fmt.Errorf("read answer of %s: %w", c.base, err)
	}
	if speaksTLS(resp, data) {
		return nil, 0, c.wantsTLS()
	}
	if resp.StatusCode >= 300 {
		err := problemFrom(c.base, resp, data)
		return nil, restFor(err, resp), err
	}
	if into == nil {
		return resp.Header, 0, nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return nil, 0, fmt.Errorf("read answer of %s: %w", c.base, err)
	}
	return resp.Header, 0, nil
}

func (c *Client) request(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Authorization", "Bearer "+c.token.bearer())
	if c.Version != "" {
		r.Header.Set("User-Agent", "brigade/"+c.Version)
		r.Header.Set(VersionHeader, c.Version)
	}
	return r, nil
}

// lost tells when to try again after a failure on the way: at once where the node was reached, not at all where nobody was.
func lost(err error) time.Duration {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return 0
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return retryRest
	}
	return 0
}

// restFor tells when a node that cannot answer yet is to be asked again. One that found no leader has waited for one.
func restFor(err error, resp *http.Response) time.Duration {
	var p *Problem
	if !errors.As(err, &p) || p.Code() != CodeNotReady && p.Code() != CodeTooMany || p.Status == http.StatusUnauthorized {
		return 0
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 5 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// inner leaves method and URL out of an error of net/http: the caller names the node.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func problemFrom(base string, resp *http.Response, data []byte) error {
	var p Problem
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), problemMedia) || json.Unmarshal(data, &p) != nil || p.Type == "" {
		return fmt.Errorf("%s answered %s: it is not a Brigade node", base, resp.Status)
	}
	return &p
}
