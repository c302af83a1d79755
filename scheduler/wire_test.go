package scheduler

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// jsonWire puts every call and answer through JSON, as the peer port does.
type jsonWire struct{ to Syncer }

func (w jsonWire) Sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	var there SyncRequest
	if err := through(req, &there); err != nil {
		return SyncResponse{}, err
	}
	resp, err := w.to.Sync(ctx, there)
	if err != nil {
		return SyncResponse{}, err
	}
	var back SyncResponse
	return back, through(resp, &back)
}

func through(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

// TestOverJSON: everything a worker and its leader tell each other survives JSON.
func TestOverJSON(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		e := &engine{keys: 50, pause: time.Millisecond}
		n := &node{wire: &wire{to: func() Syncer { return jsonWire{r.leader} }}, result: make(chan error, 1)}
		n.launch("n", 2, e.on("n"))
		r.submit("a", 0)
		r.eventually("done", func() bool { return allDone(r) })
		r.checkSums(50, "a")
		e.check(t, "a")
		n.end(t)
	})
}
