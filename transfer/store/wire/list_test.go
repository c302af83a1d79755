package wire

import (
	"context"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestSmallPagesAreNotReadAhead: whoever asks for small pages looks for a key, and does not pay for what follows.
func TestSmallPagesAreNotReadAhead(t *testing.T) {
	g := &Listing{
		PageSize: 1000,
		Fetch: func(context.Context, string, string, int) (*Page, error) {
			return &Page{Truncated: "true", Token: "t", Entries: []Entry{{Key: "a"}}}, nil
		},
		Object: func(key string, _ *Entry) (store.Object, error) { return store.Object{Key: key}, nil },
		Wrap:   func(_ context.Context, err error) error { return err },
	}
	for page, ahead := range map[int]bool{1: false, 0: true} {
		l := g.List(store.ListOptions{Page: page})
		if _, err := l.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.(*lister).ahead != nil; got != ahead {
			t.Errorf("pages of %d: reads ahead: %v", page, got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
