package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

// heldSegments is a spool that keeps what it is given.
type heldSegments map[[32]byte][]byte

func (h heldSegments) Put(_ context.Context, data []byte) ([32]byte, error) {
	name := sha256.Sum256(data)
	h[name] = bytes.Clone(data)
	return name, nil
}

// TestSegmentsAreTaken: a segment may be as large as a segment, and no other body may.
func TestSegmentsAreTaken(t *testing.T) {
	b, packed := newBench(t, calmly), map[string]string{"Content-Type": bytesMedia}
	resp, body := b.request(http.MethodPut, "/v1/segments", "x", packed)
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("without a spool: %s %s", resp.Status, body)
	}
	held := heldSegments{}
	b.server.cfg.Spool = held
	data := strings.Repeat("x", maxSegment)
	name := sha256.Sum256([]byte(data))
	resp, body = b.request(http.MethodPut, "/v1/segments", data, packed)
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, hex.EncodeToString(name[:])) || string(held[name]) != data {
		t.Errorf("%s %.200s", resp.Status, body)
	}
	if resp, body = b.request(http.MethodPut, "/v1/segments", data+"x", packed); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte more: %s %.200s", resp.Status, body)
	}
	if resp, body = b.request(http.MethodPut, "/v1/segments", "", packed); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("nothing: %s %.200s", resp.Status, body)
	}
	if resp, body = b.request(http.MethodPost, "/v1/jobs", data, nil); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a description as large as a segment: %s %.200s", resp.Status, body)
	}
	if len(held) != 1 {
		t.Errorf("%d segments are kept", len(held))
	}
}
