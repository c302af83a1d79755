package matrix_test

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestKeys: the names are what they are meant to be.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	thousand := 0
	for _, o := range things() {
		if seen[o.key] || !utf8.ValidString(o.key) {
			t.Errorf("bad key %q", o.key)
		}
		seen[o.key] = true
		for part := range strings.SplitSeq(o.key, "/") {
			if part == "" || len(part) > 255 {
				t.Errorf("%q has a part of %d bytes", o.key, len(part))
			}
		}
		if len(o.key) == 1000 {
			thousand++
		}
	}
	if len(seen) != count || thousand != 3 {
		t.Errorf("%d keys, %d of 1,000 bytes", len(seen), thousand)
	}
}
