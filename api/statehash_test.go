package api

import (
	"encoding/hex"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

func TestStateHash(t *testing.T) {
	b := newBench(t)
	b.bring(fsm.Running)
	first, err := b.client.StateHash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hash := b.machine.Hash()
	if first.Index != b.index || first.SHA256 != hex.EncodeToString(hash[:]) {
		t.Errorf("%+v, want index %d and hash %x", first, b.index, hash)
	}
	if _, err := b.client.Set(t.Context(), map[string]string{MaxTasks: "16"}); err != nil {
		t.Fatal(err)
	}
	second, err := b.client.StateHash(t.Context())
	if err != nil || second.Index <= first.Index || second.SHA256 == first.SHA256 {
		t.Errorf("after a change %+v, before %+v: %v", second, first, err)
	}
}
