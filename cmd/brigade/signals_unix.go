//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals ask a command to stop; the second one makes it stop at once.
func stopSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} }

// isReload tells whether a signal asks a node to read its configuration again.
func isReload(s os.Signal) bool { return s == syscall.SIGHUP }
