package main

import (
	"errors"
	"strings"
)

// The exit codes, which scripts rely on.
const (
	codeDone        = 0   // every object accounted for
	codeRefused     = 1   // the machine or a side refuses, or the job was paused; state is kept
	codeMisuse      = 2   // decided from command line, job file and URLs alone
	codeFailed      = 3   // finished, some objects failed
	codeDiffers     = 4   // a verify job found differences
	codeInterrupted = 130 // state is kept, the same command resumes
)

// exitError ends a command with a code. With err nil everything was said already.
type exitError struct {
	code int
	err  error
}

// Error gives the cause.
func (e *exitError) Error() string {
	if e.err == nil {
		return "already reported"
	}
	return e.err.Error()
}

// Unwrap gives the cause.
func (e *exitError) Unwrap() error { return e.err }

// refused says that the machine or a side does not let the command go on, unless err knows its code already.
func refused(err error) *exitError {
	var known *exitError
	if errors.As(err, &known) {
		return known
	}
	return &exitError{codeRefused, err}
}

// misuse says that the command line, the job file or a URL is wrong.
func misuse(err error) *exitError { return &exitError{codeMisuse, err} }

// ended carries a code of which the report told the reason.
func ended(code int) error {
	if code == codeDone {
		return nil
	}
	return &exitError{code: code}
}

// oneLine joins the lines of an error, so that scripts read it as one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
