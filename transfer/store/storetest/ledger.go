package storetest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Result is what became of one case at one place, as a line of the file that BRIGADE_CONFORMANCE names.
type Result struct {
	Place  string `json:"place"` // the test's package folder and name: "s3 TestConformance/bucket"
	Case   string `json:"case"`
	Failed bool   `json:"failed,omitempty"`
	Lacks  string `json:"lacks,omitempty"` // why the case does not apply
}

// ledger collects results.
type ledger struct {
	place string
	path  string

	mu     sync.Mutex
	lacks  []string
	failed error
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{place: t.Name(), path: os.Getenv("BRIGADE_CONFORMANCE")}
	if dir, err := os.Getwd(); err == nil {
		l.place = dir[strings.LastIndexAny(dir, `/\`)+1:] + " " + t.Name()
	}
	return l
}

func (l *ledger) add(r Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Lacks != "" {
		l.lacks = append(l.lacks, fmt.Sprintf("%s: %s", r.Case, r.Lacks))
	}
	if l.path == "" {
		return
	}
	r.Place = l.place
	if err := appendLine(l.path, r); err != nil {
		l.failed = err
	}
}

// appendLine writes with one call, so that lines of several test processes do not mix.
func appendLine(path string, r Result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		_ = f.Close() // the first error counts
		return err
	}
	return f.Close()
}

// print tells which cases did not apply.
func (l *ledger) print(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lacks) > 0 {
		t.Logf("cases that do not apply to this store:\n  %s", strings.Join(l.lacks, "\n  "))
	}
	if l.failed != nil {
		t.Errorf("keep results: %v", l.failed)
	}
}
