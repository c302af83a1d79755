package cluster

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	now := planNow
	q := newQuiet()
	q.now = func() time.Time { return now }
	pass := func(key string, leftOut int, ok bool) {
		t.Helper()
		if n, got := q.pass(key); n != leftOut || got != ok {
			t.Errorf("%s: %d left out, %v; want %d, %v", key, n, got, leftOut, ok)
		}
	}
	pass("a", 0, true)
	for range 3 {
		now = now.Add(time.Second)
		pass("a", 0, false)
	}
	pass("b", 0, true)
	now = now.Add(quietFor)
	pass("a", 3, true)
	pass("a", 0, false)
	for i := range 3 * quietKeys {
		q.pass(strings.Repeat("x", i))
	}
	if len(q.told) > quietKeys {
		t.Errorf("%d lines remembered", len(q.told))
	}
}

// TestRaftIsQuietAboutPeersAway says once of each peer what raft says several times a second.
func TestRaftIsQuietAboutPeersAway(t *testing.T) {
	var buf logBuffer
	l := raftLogger(slog.New(slog.NewTextHandler(&buf, nil)))
	for range 50 {
		for _, peer := range []string{"b", "c"} {
			l.Error("failed to heartbeat to", "peer", peer, "backoff time", time.Second, "error", errors.New("refused"))
		}
	}
	if n := strings.Count(buf.String(), "failed to heartbeat to"); n != 2 {
		t.Errorf("%d lines:\n%s", n, buf.String())
	}
}

// TestGossipIsQuietAboutPeersAway takes lines for the same that differ in the port of this side only.
func TestGossipIsQuietAboutPeersAway(t *testing.T) {
	var buf logBuffer
	l := gossipLogger(slog.New(slog.NewTextHandler(&buf, nil)))
	for i := range 50 {
		l.Printf("[ERR] memberlist: Failed to send ping: write tcp 10.0.0.1:%d->10.0.0.2:7462: broken pipe", 30000+i)
		l.Printf("[ERR] memberlist: failed to join 10.0.0.3:7462: no installed keys could decrypt the message")
	}
	for text, want := range map[string]int{"Failed to send ping": 1, "peer 10.0.0.3:7462 does not have this cluster's key": 1} {
		if n := strings.Count(buf.String(), text); n != want {
			t.Errorf("%q is there %d times, want %d:\n%s", text, n, want, buf.String())
		}
	}
}
