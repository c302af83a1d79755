package conf

import (
	"fmt"
	"strings"
)

// Error is one thing wrong with a job's description.
type Error struct {
	Origin       string // file name, or "flag --set"
	Line, Column int    // from 1; 0 where Origin has none
	Key          string // dotted path; "" for the whole file
	Problem      string
	Allowed      string // "" where Problem says it all
}

// Error gives one line: origin, line and column, key, problem, what is allowed.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Origin)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Problem)
	if e.Allowed != "" {
		b.WriteString("; allowed: " + e.Allowed)
	}
	return b.String()
}

// position is where something was written.
type position struct {
	origin       string
	line, column int
}

func (p position) fail(key string, bad *problem) error {
	return &Error{Origin: p.origin, Line: p.line, Column: p.column, Key: key, Problem: bad.what, Allowed: bad.allowed}
}

// problem is an Error that does not know yet where it stands.
type problem struct{ what, allowed string }

const unsupported = "not supported by this version"
