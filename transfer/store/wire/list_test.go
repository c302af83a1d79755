package wire

import (
	"context"
	"strings"
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

// FuzzListing: whatever a server answers, keys come strictly ascending and under the prefix, or the listing is refused; and
// it ends.
func FuzzListing(f *testing.F) {
	f.Add([]byte(simple), "")
	f.Add([]byte(strings.ReplaceAll(simple, "<Key>c</Key>", "<Key>a</Key><Size>1</Size>")), "a")
	f.Add([]byte("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"), "p/")
	f.Fuzz(func(t *testing.T, data []byte, prefix string) {
		g := &Listing{
			Prefix: prefix, PageSize: 1000,
			Fetch: func(context.Context, string, string, int) (*Page, error) { return ParseListing(data) },
			Object: func(key string, e *Entry) (store.Object, error) {
				size, err := e.Bytes()
				return store.Object{Key: key, Size: size}, err
			},
			Wrap: func(_ context.Context, err error) error { return err },
		}
		l := g.List(store.ListOptions{})
		defer func() { _ = l.Close() }()
		last, some := "", false
		for range 3 { // the same page again is out of order, or its token repeats
			page, err := l.Next(t.Context())
			if err != nil {
				if page != nil {
					t.Errorf("a page with an error: %v", err)
				}
				return
			}
			for _, o := range page {
				if some && o.Key <= last || o.Size < 0 {
					t.Errorf("key %q of %d bytes after %q", o.Key, o.Size, last)
				}
				last, some = o.Key, true
			}
		}
		t.Error("the listing does not end")
	})
}
