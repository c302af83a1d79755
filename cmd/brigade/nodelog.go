package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// The forms of a log.
const (
	logText = "text"
	logJSON = "json"
)

// The bounds of log files.
const (
	logUnit     = 1 << 20 // bytes that --log-max-size is a multiple of
	maxLogSize  = 10 << 30
	maxLogFiles = 1000
)

// nodeLog is where a node's log goes.
type nodeLog struct {
	logger *slog.Logger
	level  *slog.LevelVar
	file   *lumberjack.Logger // nil: the log goes to stderr
}

// openNodeLog opens the log as configured. A file begins where it was left; what is in the way of it shows here and not at
// the first line.
func openNodeLog(cfg *nodeConfig, stderr io.Writer) (*nodeLog, error) {
	l := &nodeLog{level: &slog.LevelVar{}}
	l.level.Set(cfg.logLevel)
	to := stderr
	if cfg.logFile != "" {
		f, err := os.OpenFile(cfg.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, refused(fmt.Errorf("open the log: %w; --log-file names it", err))
		}
		l.file = &lumberjack.Logger{Filename: cfg.logFile, MaxSize: int(cfg.logMaxSize / logUnit), MaxBackups: cfg.logMaxFiles - 1}
		to = l.file
	}
	options := &slog.HandlerOptions{Level: l.level}
	if cfg.logFormat == logJSON {
		l.logger = slog.New(slog.NewJSONHandler(to, options))
	} else {
		l.logger = slog.New(slog.NewTextHandler(to, options))
	}
	return l, nil
}

// reopen has the next line go to a file of the configured name, for whoever has moved the one in use away.
func (l *nodeLog) reopen() error {
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	return nil
}

const (
	leaderLook    = 250 * time.Millisecond
	leaderPatient = 5 * time.Second // without a leader, before it is worth a line
)

// logLeader logs who leads, and when nobody does, until ctx ends. What this node does as leader the scheduler tells.
func (n *node) logLeader(ctx context.Context) {
	tick := time.NewTicker(leaderLook)
	defer tick.Stop()
	said, since := "", time.Now()
	for missed := false; ; {
		switch now := n.place.members.Leader(); {
		case now == "" && !missed && time.Since(since) > leaderPatient:
			missed, said = true, ""
			n.logger.Warn("no leader is known: jobs wait until enough nodes can agree on one")
		case now == "":
		default:
			since, missed = time.Now(), false
			if now != said && now != n.dir.NodeID {
				n.logger.Info("another node leads", "leader", now)
			}
			said = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
