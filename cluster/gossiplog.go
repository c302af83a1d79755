package cluster

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// What memberlist says of a message that was encrypted with another key, and of one with another label. It has no errors
// to compare with.
const (
	noKeyText      = "no installed keys could decrypt the message"
	otherLabelText = "unacceptable label"
)

// gossipLogger returns a logger for memberlist that writes to l.
func gossipLogger(l *slog.Logger) *log.Logger {
	return log.New(&gossipLog{log: l.With("component", "gossip"), told: map[string]time.Time{}, quiet: newQuiet()}, "", 0)
}

// gossipLog takes memberlist's lines, each a Write.
type gossipLog struct {
	log   *slog.Logger
	quiet *quiet

	mu   sync.Mutex
	told map[string]time.Time // strangers' hosts
}

// Write implements io.Writer. Levels come down by one, as raft's do: a node that cannot be reached is an error to
// memberlist. Messages of strangers are the exception: somebody has to correct a file.
func (g *gossipLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelDebug
	if strings.HasPrefix(text, "[ERR]") {
		level = slog.LevelInfo
	}
	if _, rest, ok := strings.Cut(text, "memberlist: "); ok {
		text = rest
	}
	host := source(text)
	switch {
	case strings.Contains(text, noKeyText):
		if g.first(host) {
			g.log.Warn("peer "+host+" does not have this cluster's key", "error", text)
		}
		return len(line), nil
	case strings.Contains(text, otherLabelText):
		if g.first(host) {
			g.log.Warn("peer "+host+" is of a cluster with another label", "error", text)
		}
		return len(line), nil
	}
	if level > slog.LevelDebug {
		leftOut, ok := g.quiet.pass(sameAs(text))
		if !ok {
			return len(line), nil
		}
		if leftOut > 0 {
			g.log.Log(context.Background(), level, text, "left_out", leftOut)
			return len(line), nil
		}
	}
	g.log.Log(context.Background(), level, text)
	return len(line), nil
}

// first tells whether nothing was said of a host in the last minute.
func (g *gossipLog) first(host string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Sub(g.told[host]) < quietAfterWarn {
		return false
	}
	if len(g.told) >= warnedHosts {
		clear(g.told)
	}
	g.told[host] = now
	return true
}

// source reads the host out of a line that ends with "from=HOST:PORT", or the address that could not be joined.
func source(text string) string {
	if _, to, ok := strings.Cut(text, "failed to join "); ok {
		to, _, _ = strings.Cut(to, ": ")
		return to
	}
	_, from, ok := strings.Cut(text, "from=")
	if !ok {
		return "(unknown)"
	}
	from, _, _ = strings.Cut(from, " ")
	if i := strings.LastIndexByte(from, ':'); i > 0 {
		from = from[:i]
	}
	return strings.Trim(from, "[]")
}
