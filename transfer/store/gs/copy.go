package gs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// maxRewrites bounds the requests of one copy. Each moves 1 MiB at the very least, and a whole object is 5 TiB.
const maxRewrites = 5 << 20

// of gives the Store under a source of this package, nil for any other.
func of(src store.Source) *Store {
	switch s := src.(type) {
	case *Store:
		return s
	case *Parallel:
		return s.Store
	}
	return nil
}

// CanCopyFrom implements store.Copier: at one endpoint, by one account.
func (s *Store) CanCopyFrom(src store.Source) bool {
	other := of(src)
	if other == nil {
		return false
	}
	mine, theirs := s.tokens.Load(), other.tokens.Load()
	return other.base == s.base && other.opts.project == s.opts.project && mine.given == theirs.given && mine.sends() == theirs.sends()
}

// CopyLimit implements store.Copier.
func (s *Store) CopyLimit() int64 { return math.MaxInt64 }

// rewritten is an answer of objects.rewrite (https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite).
type rewritten struct {
	Done     bool      `json:"done"`
	Token    string    `json:"rewriteToken"`
	Resource *resource `json:"resource"`
}

// Copy implements store.Copier. The metadata stays the source's unless opts.Meta differs from what from tells of it; where from tells
// nothing and opts.Meta is empty, it stays as well.
func (s *Store) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	const op = "copy"
	other := of(src)
	if other == nil {
		return store.Object{}, wire.Permanent(op, key, fmt.Errorf("cannot copy from a store of another kind: %T", src))
	}
	full, err := s.full(op, key, false)
	if err != nil {
		return store.Object{}, err
	}
	source, err := other.full(op, from.Key, true)
	if err != nil {
		return store.Object{}, err
	}
	document, err := s.copyDocument(ctx, other, from, opts)
	if err != nil {
		return store.Object{}, err
	}
	query, err := s.writeQuery("destination", opts)
	if err == nil && from.ETag != "" {
		if !isGeneration(from.ETag) {
			err = fmt.Errorf("%q is no generation of an object", wire.Clip(from.ETag, 100))
		}
		query += "&sourceGeneration=" + from.ETag + "&ifSourceGenerationMatch=" + from.ETag
	}
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	r := request{
		op: op, method: http.MethodPost, key: key, path: other.objectPath(source) + "/rewriteTo" + s.objectPath(full)[len("/storage/v1"):],
		query: "fields=" + wire.EscapeQuery("done,rewriteToken,resource("+listedFields+")") + query, document: document, slow: true,
	}
	o, err := s.rewrite(ctx, r)
	if isClass(err, store.NotFound) && from.ETag != "" {
		// The generation is gone; whether the object is, too, the source tells.
		if now, statErr := other.stat(ctx, op, from.Key); statErr == nil && now.ETag != from.ETag {
			return o, &store.Error{Op: op, Key: key, Class: store.Precondition, Err: fmt.Errorf("the source is of generation %s now", now.ETag)}
		}
	}
	return o, err
}

// rewrite asks for a copy until it is whole.
func (s *Store) rewrite(ctx context.Context, r request) (store.Object, error) {
	query, token := r.query, ""
	for range maxRewrites {
		if token != "" {
			r.query = query + "&rewriteToken=" + wire.EscapeQuery(token)
		}
		r.header = http.Header{"Content-Type": []string{"application/json"}}
		var out rewritten
		h, err := s.readJSON(ctx, r, &out)
		switch {
		case err != nil:
			return store.Object{}, err
		case !out.Done && out.Token == "":
			return store.Object{}, nonsense(&r, h, errors.New("neither a result nor a token to go on with"))
		case !out.Done:
			token = out.Token
			continue
		case out.Resource == nil:
			return store.Object{}, nonsense(&r, h, errors.New("no result"))
		}
		o, err := s.describe(r.key, out.Resource)
		if err != nil {
			return store.Object{}, nonsense(&r, h, err)
		}
		return o, nil
	}
	return store.Object{}, wire.Permanent(r.op, r.key, errors.New("the copy has no end"))
}

// copyDocument describes the copy. An empty description keeps the source's metadata and takes the bucket's class; any other takes the
// place of all of it.
func (s *Store) copyDocument(ctx context.Context, src *Store, from store.Object, opts store.PutOptions) ([]byte, error) {
	const op = "copy"
	meta := opts.Meta
	if !wire.ReplacesMeta(from.Meta, opts) {
		if opts.Meta.Class.Name == "" {
			return []byte{}, nil
		}
		if from.Meta == nil {
			now, err := src.stat(ctx, op, from.Key)
			if err != nil {
				return nil, err
			}
			if from.ETag != "" && now.ETag != from.ETag {
				return nil, &store.Error{Op: op, Key: from.Key, Class: store.Precondition, Err: fmt.Errorf("the source is of generation %s now", now.ETag)}
			}
			from.Meta = now.Meta
		}
		meta = *from.Meta
		meta.Class = opts.Meta.Class
	}
	doc, err := s.resourceOf(&meta)
	if err != nil {
		return nil, wire.Permanent(op, from.Key, err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, wire.Permanent(op, from.Key, err)
	}
	return text, nil
}

// CopyPart implements store.Copier. Cloud Storage copies objects of any size whole, and no ranges of them.
func (s *Store) CopyPart(_ context.Context, _ store.Source, _ store.Object, _, _ int64, key, _ string, _ int) (store.Part, error) {
	return store.Part{}, wire.Permanent("copy part", key, errors.New("only whole objects are copied by Cloud Storage"))
}
