package kodo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// CanCopyFrom implements store.Copier: within one region, by one account.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other, ok := src.(*Store)
	return ok && *other.opts.rs == *s.opts.rs && other.opts.region == s.opts.region && *other.creds.Load() == *s.creds.Load()
}

// CopyLimit implements store.Copier. A copy is of no more than names, however large the object.
func (s *Store) CopyLimit() int64 { return math.MaxInt64 }

// Copy implements store.Copier. The copy has the source's metadata and class; others cannot be asked for, which is an error of
// class Permanent. The source is looked at before and the copy after, because a copy cannot be made to depend on a version.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	const op = "copy"
	other, ok := src.(*Store)
	if !ok {
		return store.Object{}, wire.Permanent(op, key, fmt.Errorf("cannot copy from a store of another kind: %T", src))
	}
	now, err := other.stat(ctx, op, from.Key)
	if err != nil {
		return store.Object{}, err
	}
	if from.ETag != "" && now.ETag != from.ETag {
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Precondition, Err: errors.New("the source has changed")}
	}
	meta := opts.Meta
	if meta.Class == (store.StorageClass{}) {
		meta.Class = now.Meta.Class
	}
	unknown := from.Meta == nil && !wire.ReplacesMeta(nil, opts) // then the source's is to stay
	if meta.Class != now.Meta.Class || !unknown && wire.ReplacesMeta(now.Meta, opts) {
		return store.Object{}, wire.Permanent(op, key, errors.New("kodo copies objects with the metadata and the class that they have"))
	}
	r, err := other.manage(op, "copy", from.Key, "")
	if err != nil {
		return store.Object{}, err
	}
	if err := checkKey(s.prefix + key); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	r.key, r.slow = key, true
	r.path += "/" + encoded(s.bucket+":"+s.prefix+key) + "/force/" + strconv.FormatBool(!opts.Condition.Absent)
	if _, err := s.read(ctx, r, nil); err != nil {
		return store.Object{}, err
	}
	made, err := s.stat(ctx, op, key)
	if err == nil && made.ETag != now.ETag {
		err = &store.Error{Op: op, Key: key, Class: store.Mismatch, Err: errors.New("the source has changed while it was copied")}
	}
	return made, err
}

// CopyPart implements store.Copier. Kodo has nothing like it, and CopyLimit never asks for it.
func (s *Store) CopyPart(_ context.Context, _ store.Source, from store.Object, _, _ int64, key, _ string, _ int) (store.Part, error) {
	return store.Part{}, wire.Permanent("copy part", key, fmt.Errorf("kodo copies only whole objects, such as %q", wire.Clip(from.Key, 200)))
}
