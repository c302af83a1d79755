package api

import (
	"encoding/json"
	"testing"
)

// TestTraceGoesOn puts the pages of an answer together.
func TestTraceGoesOn(t *testing.T) {
	b := newBench(t)
	b.bring("running")
	got, err := b.client.Trace(t.Context(), "j", "caf\xe9")
	if err != nil || got.Standing != Settled || got.Exact() != "caf\xe9" || got.Continue != "" || got.Index != b.index {
		t.Fatalf("%+v, %v", got, err)
	}
	if text, err := json.Marshal(got.Records); err != nil || string(text) != `[{"page":""},{"page":"2"}]` {
		t.Errorf("%s, %v", text, err)
	}
}
