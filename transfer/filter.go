package transfer

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Filter selects objects. A pattern without "/" is held against the last part of the key, one with "/" against the
// whole key; "**" spans "/". An object passes if no exclude matches and, where there are includes, one of them does.
type Filter struct {
	Include, Exclude []string
	Since            time.Time // objects modified at or before it are out; zero: no limit
	MinSize          int64     // bytes
}

// Validate reports the first pattern that is malformed.
func (f *Filter) Validate() error {
	for _, p := range append(append([]string{}, f.Include...), f.Exclude...) {
		if !doublestar.ValidatePattern(p) {
			return fmt.Errorf("malformed pattern %q", p)
		}
	}
	return nil
}

// Reason returns why an object is left out, or "" if it passes.
func (f *Filter) Reason(o *store.Object) string {
	if reason := f.keyReason(o.Key); f == nil || reason != "" {
		return reason
	}
	if !f.Since.IsZero() && !o.ModTime.After(f.Since) {
		return "not modified since " + f.Since.UTC().Format(time.RFC3339)
	}
	if o.Size < f.MinSize {
		return fmt.Sprintf("smaller than %d bytes", f.MinSize)
	}
	return ""
}

// keyReason is Reason as far as the key alone tells.
func (f *Filter) keyReason(key string) string {
	if f == nil {
		return ""
	}
	for _, p := range f.Exclude {
		if matches(p, key) {
			return "excluded by " + p
		}
	}
	if len(f.Include) > 0 && !f.included(key) {
		return "not included"
	}
	return ""
}

func (f *Filter) included(key string) bool {
	for _, p := range f.Include {
		if matches(p, key) {
			return true
		}
	}
	return false
}

func matches(pattern, key string) bool {
	if !strings.Contains(pattern, "/") {
		key = path.Base(key)
	}
	ok, err := doublestar.Match(strings.TrimPrefix(pattern, "/"), key)
	return err == nil && ok
}
