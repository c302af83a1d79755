//go:build !unix

package main

import "os"

// stopSignals ask a command to stop; the second one makes it stop at once.
func stopSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// isReload tells whether a signal asks a node to read its configuration again; this system has none that does.
func isReload(os.Signal) bool { return false }
