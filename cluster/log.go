package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger returns a logger for raft that writes to l.
func raftLogger(l *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	logger.RegisterSink(logSink{l.With("component", "raft"), newQuiet()})
	return logger
}

// logSink receives raft's messages.
type logSink struct {
	log   *slog.Logger
	quiet *quiet
}

// Accept implements hclog.SinkAdapter. Levels come down: every start and election is a warning to raft, to the operator of a
// cluster it is not, and who leads is told in words of our own. That a peer cannot be reached is an error to raft; here it is a
// warning, and raft tells it several times a second: see quiet.
func (s logSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Error && strings.HasPrefix(msg, "failed to"):
		to = slog.LevelWarn
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn && strings.HasPrefix(msg, "failed to contact"):
		to = slog.LevelInfo
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, to) {
		return
	}
	attrs := make([]slog.Attr, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		// As text: some values are live structures of raft.
		attrs = append(attrs, slog.String(fmt.Sprint(args[i]), fmt.Sprint(args[i+1])))
	}
	if to > slog.LevelDebug {
		leftOut, ok := s.quiet.pass(lineKey(msg, attrs))
		if !ok {
			return
		}
		if leftOut > 0 {
			attrs = append(attrs, slog.Int("left_out", leftOut))
		}
	}
	s.log.LogAttrs(ctx, to, msg, attrs...)
}

// lineKey is what makes two of raft's lines say the same: the message, and the peer that it is of.
func lineKey(msg string, attrs []slog.Attr) string {
	for _, a := range attrs {
		switch a.Key {
		case "peer", "target", "server-id", "last-leader-id":
			msg += " " + a.Value.String()
		}
	}
	return msg
}
