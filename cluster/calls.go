package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	maxCallBody     = 8 << 20 // of requests and answers
	callHeaderLimit = 10 * time.Second
	callIdle        = 90 * time.Second
	callsPerNode    = 64 // connections kept to a node
)

// PeerError is what a node answers instead of a result. Code is for programs, Message for people.
type PeerError struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *PeerError) Error() string { return e.Message + " (" + e.Code + ")" }

// WritePeerError answers a call with an error.
func WritePeerError(w http.ResponseWriter, status int, code, message string) error {
	return writeJSON(w, status, PeerError{Code: code, Message: message})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

type callerKey struct{}

// Caller is the node ID of whoever makes a call, proved by its certificate; "" outside of handlers.
func Caller(ctx context.Context) string {
	id, _ := ctx.Value(callerKey{}).(string)
	return id
}

// calls are the calls between nodes, HTTP/1.1 over the peer port.
type calls struct {
	dialer *dialer
	watch  Watcher // nil: nobody watches
	routes *http.ServeMux
	server *http.Server
	done   chan error

	mu      sync.Mutex
	clients map[string]*http.Client
}

// newCalls serves a lane of the peer port until close.
func newCalls(l net.Listener, d *dialer) *calls {
	c := &calls{dialer: d, routes: http.NewServeMux(), done: make(chan error, 1), clients: map[string]*http.Client{}}
	c.server = &http.Server{
		Handler:           http.MaxBytesHandler(c.routes, maxCallBody),
		ReadHeaderTimeout: callHeaderLimit, IdleTimeout: callIdle, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if p, ok := conn.(*peerConn); ok {
				return context.WithValue(ctx, callerKey{}, p.peer)
			}
			return ctx
		},
	}
	go func() { c.done <- c.server.Serve(l) }() // waited for in close
	return c
}

// close ends the calls under way, of both directions.
func (c *calls) close() error {
	err := c.server.Close()
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
	return err
}

// client returns the client for one node. Connections are kept per node.
func (c *calls) client(nodeID string) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[nodeID]; ok {
		return client
	}
	base := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.dialer.connect(ctx, nodeID, callByte)
		},
		MaxIdleConnsPerHost: callsPerNode, IdleConnTimeout: callIdle, DisableCompression: true,
	}
	client := &http.Client{Transport: &freshRetry{base}}
	if c.watch != nil {
		client.Transport = watched{client.Transport, c.watch}
	}
	c.clients[nodeID] = client
	return client
}

// drop closes the idle connections to a node that has gone or has moved.
func (c *calls) drop(nodeID string) {
	c.mu.Lock()
	client := c.clients[nodeID]
	delete(c.clients, nodeID)
	c.mu.Unlock()
	if client != nil {
		client.CloseIdleConnections()
	}
}

// dropAll has the next call to each node make a connection of its own; calls under way go on over theirs.
func (c *calls) dropAll() {
	c.mu.Lock()
	clients := c.clients
	c.clients = map[string]*http.Client{}
	c.mu.Unlock()
	for _, client := range clients {
		client.CloseIdleConnections()
	}
}

// freshRetry repeats a call that may be repeated once over a new connection: after the restart of a node every
// connection kept to it is dead, and trying one after the other would use all retries up.
type freshRetry struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t *freshRetry) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if err == nil || req.Context().Err() != nil {
		return resp, err
	}
	t.CloseIdleConnections() // the others will be dead as well
	if !repeatable(req) {
		return nil, err
	}
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		body, bodyErr := req.GetBody()
		if bodyErr != nil {
			return nil, err
		}
		again.Body = body
	}
	return t.Transport.RoundTrip(again)
}

// repeatable tells whether a call may reach the other side twice: by its method, or because its caller says so with the
// header Idempotency-Key.
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return true
	}
	return len(req.Header.Values("Idempotency-Key")) > 0
}

// call sends a request to a node and returns the body of its answer. An answer of an error becomes a *PeerError.
func (c *calls) call(ctx context.Context, nodeID, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+nodeID+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("call node %s: %w", nodeID, err)
	}
	resp, err := c.client(nodeID).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCallBody+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s %s of node %s: %w", method, path, nodeID, err)
	}
	if len(answer) > maxCallBody {
		return nil, fmt.Errorf("%s %s of node %s: answer: %w", method, path, nodeID, ErrTooLarge)
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	refusal := &PeerError{Status: resp.StatusCode}
	if json.Unmarshal(answer, refusal) != nil || refusal.Code == "" {
		refusal.Code, refusal.Message = "http", http.StatusText(resp.StatusCode)
	}
	return nil, fmt.Errorf("%s %s of node %s: %w", method, path, nodeID, refusal)
}

// callJSON posts a value and reads the answer into another; either may be nil.
func (c *calls) callJSON(ctx context.Context, nodeID, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode call of %s: %w", path, err)
	}
	answer, err := c.call(ctx, nodeID, http.MethodPost, path, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of %s from node %s: %w", path, nodeID, err)
	}
	return nil
}

// handleJSON answers posts with what f makes of them. Its errors go to the caller: a *PeerError as it is, others as 500.
func handleJSON[In, Out any](log func(error), f func(ctx context.Context, in In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			log(WritePeerError(w, http.StatusBadRequest, "bad_request", err.Error()))
			return
		}
		out, err := f(r.Context(), in)
		var refusal *PeerError
		switch {
		case errors.As(err, &refusal):
			log(WritePeerError(w, refusal.Status, refusal.Code, refusal.Message))
		case err != nil:
			log(WritePeerError(w, http.StatusInternalServerError, "internal", err.Error()))
		default:
			log(writeJSON(w, http.StatusOK, out))
		}
	})
}
