package transfer

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"sort"
	"sync"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// memMultipart is a memStore that takes objects in parts.
type memMultipart struct{ *memStore }

func (s memMultipart) PartLimits() (smallest, largest int64, most int) {
	return s.smallest, s.largest, s.most
}

func (s memMultipart) CreateUpload(ctx context.Context, key string, opts store.PutOptions) (string, error) {
	f, err := s.enter(ctx, "create", key)
	if err != nil {
		return "", err
	}
	id := s.begin(key, opts)
	return id, f.leave()
}

// begin opens an upload as CreateUpload or a stranger would.
func (s memMultipart) begin(key string, opts store.PutOptions) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	id := fmt.Sprintf("upload-%d", s.ids)
	s.uploads[id] = &memUpload{key: key, began: s.now(), opts: opts, parts: map[int]memPart{}}
	return id
}

func (s memMultipart) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	if _, err := s.enter(ctx, "uploads", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []store.Upload
	for id, u := range s.uploads {
		if u.key == key {
			out = append(out, store.Upload{ID: id, Began: u.began})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

func (s memMultipart) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	f, err := s.enter(ctx, "part", key)
	if err != nil {
		return store.Part{}, err
	}
	data, err := s.take(ctx, "part", key, body, f)
	if err != nil {
		return store.Part{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keepPart("part", key, id, n, data, f)
}

// keepPart stores one part. s.mu is held.
func (s memMultipart) keepPart(op, key, id string, n int, data []byte, f *memFault) (store.Part, error) {
	u := s.uploads[id]
	switch {
	case u == nil || u.key != key:
		return store.Part{}, memErr(op, key, store.NotFound, "no such upload")
	case n < 1 || n > s.most:
		return store.Part{}, memErr(op, key, store.Permanent, "part number %d", n)
	}
	s.writings[fmt.Sprintf("%s#%d", key, n)]++
	m := md5.Sum(data)
	p := store.Part{Number: n, Size: int64(len(data)), ETag: hex.EncodeToString(m[:])}
	if s.reports {
		p.Sums = s.shown(memSums(data))
	}
	u.parts[n] = memPart{p, data}
	return p, f.leave()
}

func (s memMultipart) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	if _, err := s.enter(ctx, "parts", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil {
		return nil, memErr("parts", key, store.NotFound, "no such upload")
	}
	var out []store.Part
	for _, p := range u.parts {
		out = append(out, p.Part)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Number < out[j].Number })
	return out, nil
}

func (s memMultipart) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	f, err := s.enter(ctx, "complete", key)
	if err != nil {
		return store.Object{}, err
	}
	if opts.BeforeCommit != nil {
		if err := opts.BeforeCommit(); err != nil {
			return store.Object{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil || u.key != key {
		return store.Object{}, memErr("complete", key, store.NotFound, "no such upload")
	}
	data, tag, err := s.assemble(u, parts)
	if err != nil {
		return store.Object{}, err
	}
	if err := s.allowed("complete", key, opts.Condition); err != nil {
		return store.Object{}, err
	}
	if f != nil && f.flip {
		data[f.at] ^= 1
	}
	delete(s.uploads, id)
	s.writings[key]++
	o := s.keep(key, data, u.opts, func(o *store.Object) {
		o.ETag = tag
		if s.reports {
			o.Sums = store.SumsOfETag(tag)
			if s.want[1] {
				o.Sums.CRC64NVME = memSums(data).CRC64NVME
			}
			o.Sums = s.shown(o.Sums)
		}
	})
	if f != nil && f.lose {
		delete(s.objects, key)
	}
	return o, f.leave()
}

// assemble joins the parts that a Complete names and computes the multipart ETag.
func (s memMultipart) assemble(u *memUpload, parts []store.Part) (data []byte, etag string, err error) {
	var sums []byte
	for i, p := range parts {
		have, ok := u.parts[p.Number]
		switch {
		case !ok || have.ETag != p.ETag:
			return nil, "", memErr("complete", u.key, store.Permanent, "part %d is not what was named", p.Number)
		case i+1 < len(parts) && (have.Size < s.smallest || parts[i+1].Number <= p.Number):
			return nil, "", memErr("complete", u.key, store.Permanent, "part %d: size %d or order", p.Number, have.Size)
		}
		data = append(data, have.data...)
		m := md5.Sum(have.data)
		sums = append(sums, m[:]...)
	}
	if len(parts) == 0 {
		return nil, "", memErr("complete", u.key, store.Permanent, "no parts")
	}
	m := md5.Sum(sums)
	return data, fmt.Sprintf("%x-%d", m, len(parts)), nil
}

func (s memMultipart) AbortUpload(ctx context.Context, key, id string) error {
	f, err := s.enter(ctx, "abort", key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.uploads[id]; u != nil && u.key == key {
		delete(s.uploads, id)
	}
	return f.leave()
}

// memCopier is a memMultipart that copies from other stores of its kind by itself.
type memCopier struct {
	memMultipart
	limit int64
}

func (s memCopier) CanCopyFrom(src store.Source) bool { return sourceOf(src) != nil }

func (s memCopier) CopyLimit() int64 { return s.limit }

// sourceOf returns the memStore behind a source.
func sourceOf(src store.Source) *memStore {
	switch src := src.(type) {
	case *memStore:
		return src
	case memMultipart:
		return src.memStore
	case memCopier:
		return src.memStore
	case memKeeper:
		return src.memStore
	}
	return nil
}

// pick returns a source object if it is the version that from describes.
func pick(op string, src store.Source, from store.Object) (*memObject, error) {
	s := sourceOf(src)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[from.Key]
	switch {
	case o == nil:
		return nil, memErr(op, from.Key, store.NotFound, "no such key")
	case o.ETag != from.ETag:
		return nil, memErr(op, from.Key, store.Precondition, "the source has another ETag")
	}
	return o, nil
}

func (s memCopier) Copy(ctx context.Context, src store.Source, from store.Object, key string, opts store.PutOptions) (store.Object, error) {
	f, err := s.enter(ctx, "copy", key)
	if err != nil {
		return store.Object{}, err
	}
	o, err := pick("copy", src, from)
	if err != nil {
		return store.Object{}, err
	}
	if o.Size > s.limit {
		return store.Object{}, memErr("copy", key, store.Permanent, "too large")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.allowed("copy", key, opts.Condition); err != nil {
		return store.Object{}, err
	}
	s.writings[key]++
	if from.Meta == nil {
		own := opts.Meta
		opts.Meta = *o.Meta
		opts.Meta.Class, opts.Meta.Encryption, opts.Meta.Tags, opts.Meta.Access = own.Class, own.Encryption, own.Tags, own.Access
	}
	data := bytes.Clone(o.data)
	if f != nil && f.flip {
		data[f.at] ^= 1
	}
	return s.keep(key, data, opts), f.leave()
}

func (s memCopier) CopyPart(ctx context.Context, src store.Source, from store.Object, off, n int64, key, id string, part int) (store.Part, error) {
	f, err := s.enter(ctx, "copypart", key)
	if err != nil {
		return store.Part{}, err
	}
	o, err := pick("copypart", src, from)
	if err != nil {
		return store.Part{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := bytes.Clone(o.data[off : off+n])
	if f != nil && f.flip {
		data[f.at] ^= 1
	}
	return s.keepPart("copypart", key, id, part, data, f)
}

// memDisk is a memStore that takes ranges of one object in any order.
type memDisk struct{ *memStore }

func (s *memDisk) CreateRanged(ctx context.Context, key string, size int64, opts store.PutOptions) (store.Ranged, error) {
	if _, err := s.enter(ctx, "ranged", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranged++
	return &memRanged{s: s, key: key, opts: opts, data: make([]byte, size), ctx: ctx}, nil
}

// memRanged is one object being written by ranges.
type memRanged struct {
	s    *memDisk
	ctx  context.Context
	key  string
	opts store.PutOptions
	mu   sync.Mutex
	data []byte
	done bool
}

func (r *memRanged) WriteAt(p []byte, off int64) (int, error) {
	f, err := r.s.enter(r.ctx, "writeat", r.key)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if off+int64(len(p)) > int64(len(r.data)) {
		return 0, memErr("writeat", r.key, store.Permanent, "beyond the end")
	}
	n := copy(r.data[off:], p)
	if f != nil && f.flip {
		r.data[off] ^= 1
	}
	return n, f.leave()
}

func (r *memRanged) Commit(ctx context.Context) (store.Object, error) {
	f, err := r.s.enter(ctx, "commit", r.key)
	if err != nil {
		return store.Object{}, err
	}
	if r.opts.BeforeCommit != nil {
		if err := r.opts.BeforeCommit(); err != nil {
			return store.Object{}, err
		}
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if err := r.s.allowed("commit", r.key, r.opts.Condition); err != nil {
		return store.Object{}, err
	}
	r.s.writings[r.key]++
	o := r.s.keep(r.key, r.data, r.opts)
	r.finish()
	if f != nil && f.lose {
		delete(r.s.objects, r.key)
	}
	return o, f.leave()
}

func (r *memRanged) Abort() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.finish()
	return nil
}

// finish counts the write as over. The store's lock is held.
func (r *memRanged) finish() {
	if !r.done {
		r.done = true
		r.s.ranged--
	}
}

// The stores have the abilities that their names promise.
var (
	_ store.Destination = (*memStore)(nil)
	_ store.Multiparter = memMultipart{}
	_ store.Copier      = memCopier{}
	_ store.RangeWriter = (*memDisk)(nil)
)
