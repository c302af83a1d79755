package transfer

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// tiring is a listing of one key that costs many requests: every request but the last fails, and most of them with progress.
type tiring struct {
	store.Source
	requests, advanced, stuckAt int64
	lists                       int
}

func (t *tiring) Abilities() store.Abilities { return store.Abilities{Order: store.OrderBytes} }

func (t *tiring) List(store.ListOptions) store.Lister {
	t.lists++
	return t
}

func (t *tiring) Next(context.Context) ([]store.Object, error) {
	t.requests++
	switch {
	case t.advanced == t.stuckAt:
	case t.advanced < 50:
		t.advanced++
	case t.advanced == 50:
		t.advanced++
		return []store.Object{{Key: "k"}}, nil
	default:
		return nil, io.EOF
	}
	return nil, &store.Error{Op: "list", Class: store.Throttled, Err: errors.New("too many requests")}
}

func (t *tiring) Close() error    { return nil }
func (t *tiring) Resumes() bool   { return true }
func (t *tiring) Advanced() int64 { return t.advanced }

// TestListingsThatAdvanceAreNotGivenUp: failures with progress between them are no reason to give a listing up, others are.
func TestListingsThatAdvanceAreNotGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		stuckAt int64
		class   store.Class
	}{"advancing": {-1, ""}, "stuck": {20, store.Throttled}} {
		t.Run(name, func(t *testing.T) {
			s := &tiring{stuckAt: c.stuckAt}
			now := time.Unix(0, 0)
			n := &Node{
				Now: func() time.Time { return now }, Jitter: func() float64 { return 0.5 },
				Sleep: func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil },
			}
			p := n.newPager(s, store.ListOptions{}, free{})
			o, err := p.peek(t.Context())
			if store.ClassOf(err) != c.class || c.class == "" && (o == nil || o.Key != "k") || s.lists != 1 {
				t.Errorf("%v, %v after %d requests of %d listings; want class %q of one listing", o, err, s.requests, s.lists, c.class)
			}
			if c.class != "" && s.requests > c.stuckAt+2*retryAttempts {
				t.Errorf("%d requests", s.requests)
			}
		})
	}
}
