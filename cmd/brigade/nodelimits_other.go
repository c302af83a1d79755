//go:build !linux

package main

import "log/slog"

// prepareProcess does nothing here: nodes are meant to run on Linux.
func prepareProcess(bool) error { return nil }

// logLimits does nothing here.
func logLimits(*slog.Logger) {}
