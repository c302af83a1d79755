package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// maxLog is the size in bytes beyond which a log file is put aside; one old one is kept.
const maxLog = 16 << 20

// logLevel reads BRIGADE_LOG (debug, info, warn, error), which has the log go to stderr as well.
func (a *app) logLevel() (level slog.Level, mirror bool, err error) {
	text := a.getenv("BRIGADE_LOG")
	if text == "" {
		return slog.LevelInfo, false, nil
	}
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, false, misuse(fmt.Errorf("environment: BRIGADE_LOG: %q is not a level; allowed: debug, info, warn, error", text))
	}
	return level, true, nil
}

// openLog logs into a file beside a job's state.
func (a *app) openLog(dir string) (*slog.Logger, io.Closer, error) {
	level, mirror, err := a.logLevel()
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(dir, "brigade.log")
	if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
		if err := os.Rename(name, name+".old"); err != nil {
			return nil, nil, fmt.Errorf("put old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	to := io.Writer(f)
	if mirror {
		to = io.MultiWriter(f, a.err)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), f, nil
}
