package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class says what a failure means for the caller.
type Class string

// The classes. Each provider classifies its own errors.
const (
	Transient     Class = "transient"    // may pass: retry with back-off
	Throttled     Class = "throttled"    // the store asks for fewer requests: retry later
	Auth          Class = "auth"         // refused: credentials, permission
	NotFound      Class = "not found"    // no such key, bucket, upload
	Permanent     Class = "permanent"    // this key will not work here: name, size, conflict
	Precondition  Class = "precondition" // the condition of a write or read does not hold (HTTP 412)
	Full          Class = "full"         // the side takes no more at all: disk full, quota, read-only
	Misconfigured Class = "config"       // the side as configured cannot work: endpoint, region, TLS, clock, bucket
	Mismatch      Class = "mismatch"     // what arrived is not what was sent
	Changed       Class = "changed"      // the source changed while it was read
	Archived      Class = "archived"     // the object must be restored before it can be read
	Canceled      Class = "canceled"     // ctx was cancelled or the lease lost
)

// Error is a classified failure of one operation.
type Error struct {
	Op         string // "put", "list"
	Key        string // relative; "" for the store itself
	Class      Class
	Code       string        // the provider's own code, such as "AccessDenied"
	RequestID  string        // the provider's
	Hint       string        // what the user can do about it; may be ""
	RetryAfter time.Duration // what the store asked for; 0 if nothing
	Err        error
}

// Error gives one line: operation, key, cause, code, request ID, hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		fmt.Fprintf(&b, " %q", e.Key)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Code != "" && (e.Err == nil || !strings.Contains(e.Err.Error(), e.Code)) {
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " [request %s]", e.RequestID)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error: Canceled for a cancelled ctx, Transient for what nobody classified.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Transient
}

// Retryable tells whether trying again may help.
func Retryable(err error) bool {
	c := ClassOf(err)
	return c == Transient || c == Throttled || c == Mismatch
}
