package uss

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier: within one service, by one operator.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && *other.opts.endpoint == *s.opts.endpoint && other.bucket == s.bucket && *other.key.Load() == *s.key.Load()
}

// CopyLimit implements store.Copier: the vendor tells none, and nothing copies in parts.
func (s *Store) CopyLimit() int64 { return math.MaxInt64 }

// errVersion is why a copy is refused.
var errVersion = errors.New("the source is another version than the one to copy")

// Copy implements store.Copier. No condition can go with it, so the source is looked at before and the copy afterwards. Where
// the copy does not have the metadata that was asked for, the error is of class Permanent, and the caller copies by itself.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	const op = "copy"
	other, ok := src.(*Store)
	if !ok {
		return store.Object{}, wire.Permanent(op, key, fmt.Errorf("cannot copy from a store of another kind: %T", src))
	}
	r, err := s.on(op, http.MethodPut, key)
	if err != nil {
		return store.Object{}, err
	}
	full := other.prefix + from.Key
	if err := checkKey(full); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	now, err := other.head(ctx, op, from.Key)
	if err != nil {
		return store.Object{}, err
	}
	if !sameVersion(&now, &from) {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Precondition, Err: errVersion}
	}
	r.Header["X-Upyun-Copy-Source"], r.Slow = []string{"/" + other.bucket + "/" + wire.EscapePath(full)}, true
	want := now.Meta // the source's stays
	r.Header["X-Upyun-Metadata-Directive"] = []string{"copy"}
	if wire.ReplacesMeta(from.Meta, opts) {
		r.Header["X-Upyun-Metadata-Directive"] = []string{"replace"}
		want = &opts.Meta
		if err := setMeta(r.Header, want); err != nil {
			return store.Object{}, wire.Permanent(op, key, err)
		}
	}
	resp, err := s.calls.Do(ctx, r)
	if err != nil {
		return store.Object{}, err
	}
	wire.Finish(resp.Body)
	return s.copied(ctx, op, key, &now, want)
}

// copied looks at what became of a copy.
func (s *Store) copied(ctx context.Context, op, key string, from *store.Object, want *store.Metadata) (store.Object, error) {
	made, err := s.head(ctx, op, key)
	if err != nil {
		return store.Object{}, err
	}
	equal, known, _ := made.Sums.Match(from.Sums)
	switch {
	case made.Size != from.Size, known && !equal:
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Precondition, Err: errVersion}
	case want != nil && lacks(made.Meta, want):
		return store.Object{}, wire.Permanent(op, key, errors.New("the copy has other metadata than it was given"))
	}
	made.Meta = nil
	return made, nil
}

// lacks tells whether a copy has other metadata than it should, as far as USS keeps any. A type that was not given is the server's
// choice.
func lacks(made, want *store.Metadata) bool {
	own, _ := metaRules().Fit(*want)
	if own.ContentType == "" {
		own.ContentType = made.ContentType
	}
	return wire.ReplacesMeta(made, store.PutOptions{Meta: own})
}

// sameVersion compares as far as both tell.
func sameVersion(now, then *store.Object) bool {
	equal, known, _ := now.Sums.Match(then.Sums)
	switch {
	case known:
		return equal
	case then.Size != 0 && now.Size != then.Size:
		return false
	}
	return then.ModTime.IsZero() || now.ModTime.Equal(then.ModTime)
}

// CopyPart implements store.Copier. USS copies whole files only; CopyLimit sees to it that nothing asks.
func (s *Store) CopyPart(_ context.Context, _ store.Source, _ store.Object, _, _ int64, key, _ string, _ int) (store.Part, error) {
	return store.Part{}, wire.Permanent("copy part", key, errors.New("USS copies whole files only"))
}
