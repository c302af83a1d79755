package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// maxLog is the size in bytes beyond which a log file is put aside; one old one is kept.
const maxLog = 16 << 20

// openLog logs into a file beside a job's state. BRIGADE_LOG (debug, info, warn, error) sets the level, and has the log
// go to stderr as well.
func (a *app) openLog(dir string) (*slog.Logger, io.Closer, error) {
	level := slog.LevelInfo
	wanted := a.getenv("BRIGADE_LOG")
	if wanted != "" {
		if err := level.UnmarshalText([]byte(strings.ToUpper(wanted))); err != nil {
			return nil, nil, misuse(fmt.Errorf("environment: BRIGADE_LOG: %q is not a level; allowed: debug, info, warn, error", wanted))
		}
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
	if wanted != "" {
		to = io.MultiWriter(f, a.err)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), f, nil
}
