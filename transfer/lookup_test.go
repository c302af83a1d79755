package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// statStore answers Stat only, and counts how many ask at once.
type statStore struct {
	store.Source
	has  map[string]bool
	fail string // key that cannot be looked at

	mu    sync.Mutex
	now   int
	most  int
	asked []string
	full  chan struct{} // closed once statAtOnce ask at once; nil: nobody waits for it
}

func (s *statStore) Abilities() store.Abilities { return store.Abilities{Order: store.OrderBytes} }

func (s *statStore) Stat(ctx context.Context, key string) (store.Object, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.asked = append(s.asked, key)
	if s.full != nil && s.now == statAtOnce {
		close(s.full)
		s.full = nil
	}
	full := s.full
	s.mu.Unlock()
	if full != nil {
		select {
		case <-full:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	switch {
	case key == s.fail:
		return store.Object{}, &store.Error{Op: "stat", Key: key, Class: store.Auth, Err: errors.New("no")}
	case !s.has[key]:
		return store.Object{}, &store.Error{Op: "stat", Key: key, Class: store.NotFound, Err: errors.New("none")}
	}
	return store.Object{Key: key, Size: int64(len(key))}, nil
}

// TestLookupsByStatGoTogether: a store that cannot list from a key on is asked for many keys at once, but not for all, and each
// answer goes to its key.
func TestLookupsByStatGoTogether(t *testing.T) {
	s := &statStore{has: map[string]bool{}, full: make(chan struct{})}
	var keys []string
	for i := range 3*statAhead + 5 {
		key := fmt.Sprintf("%04d", i)
		keys = append(keys, key)
		s.has[key] = i%3 != 0
	}
	s.fail = keys[10]
	n := NewNode("n", nil, nil, 1, 1<<20)
	l := n.newLookup(&Job{}, s, keys, free{})
	defer l.close()
	for i, key := range keys {
		if i == 20 || i == statAhead+3 {
			continue // who asks may pass over some
		}
		o, err := l.find(t.Context(), key)
		switch {
		case key == s.fail:
			if store.ClassOf(err) != store.Auth {
				t.Errorf("%s: %v", key, err)
			}
		case err != nil:
			t.Errorf("%s: %v", key, err)
		case (o != nil) != s.has[key] || o != nil && o.Key != key:
			t.Errorf("%s: %v, there: %v", key, o, s.has[key])
		}
	}
	if s.most != statAtOnce {
		t.Errorf("%d asked at once, want %d", s.most, statAtOnce)
	}
	if len(s.asked) != len(keys) {
		t.Errorf("%d requests for %d keys", len(s.asked), len(keys))
	}
}

// TestLookupsOutOfOrder: keys that come in no order are looked at all the same.
func TestLookupsOutOfOrder(t *testing.T) {
	s := &statStore{has: map[string]bool{"a": true, "b": true, "d": true}}
	keys := []string{"d", "a", "c", "b"}
	l := NewNode("n", nil, nil, 1, 1<<20).newLookup(&Job{}, s, slices.Clone(keys), free{})
	defer l.close()
	for _, key := range keys {
		if o, err := l.find(t.Context(), key); err != nil || (o != nil) != s.has[key] || o != nil && o.Key != key {
			t.Errorf("%s: %v, %v", key, o, err)
		}
	}
}
