package notify

import (
	"fmt"
	"slices"
)

// Kind is what a notice is about.
type Kind string

// The kinds of notices. A new one is a line in kinds and a file for each language in templates.
const (
	JobDone           Kind = "job-done"
	JobFailed         Kind = "job-failed"
	JobPaused         Kind = "job-paused" // by a rule, not by a person
	JobStalled        Kind = "job-stalled"
	Mismatch          Kind = "mismatch"
	ErrorShare        Kind = "error-share"
	CredentialRefused Kind = "credential-refused"
	NodeJoined        Kind = "node-joined"
	NodeLeft          Kind = "node-left"
	NodeDead          Kind = "node-dead"
	NodeBack          Kind = "node-back"
	LeaderChanged     Kind = "leader-changed"
	NoLeader          Kind = "no-leader"
	DiskLow           Kind = "disk-low"
	Test              Kind = "test"
)

// Severity says how urgent a notice is.
type Severity uint8

// The severities, in ascending order.
const (
	Info Severity = iota + 1
	Warning
	Critical
)

// severityNames are what settings call them.
var severityNames = []string{Info: "info", Warning: "warning", Critical: "critical"}

// String gives the name that settings use.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// ParseSeverity reads info, warning or critical.
func ParseSeverity(text string) (Severity, error) {
	if i := slices.Index(severityNames, text); i > 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("severity %q: want info, warning or critical", text)
}

// about is the registration of a kind.
type about struct {
	kind     Kind
	severity Severity
	ofJob    bool // it concerns one job, so its message shows the job's counts
}

var kinds = []about{
	{JobDone, Info, true},
	{JobFailed, Critical, true},
	{JobPaused, Critical, true},
	{JobStalled, Warning, true},
	{Mismatch, Critical, true},
	{ErrorShare, Warning, true},
	{CredentialRefused, Critical, true},
	{NodeJoined, Info, false},
	{NodeLeft, Info, false},
	{NodeDead, Critical, false},
	{NodeBack, Info, false},
	{LeaderChanged, Info, false},
	{NoLeader, Critical, false},
	{DiskLow, Critical, false},
	{Test, Info, false},
}

// Kinds lists all kinds.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i, k := range kinds {
		all[i] = k.kind
	}
	return all
}

// SeverityOf is the severity of a kind; Critical for one that nobody registered, so that it is not kept from anyone.
func SeverityOf(k Kind) Severity {
	for _, a := range kinds {
		if a.kind == k {
			return a.severity
		}
	}
	return Critical
}
