package transfer

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// memStore is an object store in memory with programmable faults. By itself it is a Source and a Destination;
// memMultipart, memDisk and memCopier add abilities. Its fields may be changed before it is used.
type memStore struct {
	ab       store.Abilities
	page     int                                   // keys a page where the caller lets the store choose
	now      func() time.Time                      // the store's clock
	etags    bool                                  // objects have ETags
	reports  bool                                  // answers carry sums
	show     func(store.Checksums) store.Checksums // what answers show of sums; nil for all
	checks   bool                                  // a body whose known sums do not fit is refused, as with Content-MD5
	smallest int64                                 // part limits
	largest  int64
	most     int
	want     [2]bool // md5, crc64: what WantSums answers

	mu       sync.Mutex
	objects  map[string]*memObject
	uploads  map[string]*memUpload
	faults   []*memFault
	calls    map[string]int
	ids      int
	open     int // readers not closed
	writes   int // writes in flight
	peak     int // most writes in flight at once
	ranged   int // Ranged neither committed nor aborted
	writings map[string]int
}

type memObject struct {
	store.Object
	data []byte
}

type memUpload struct {
	key   string
	began time.Time
	opts  store.PutOptions
	parts map[int]memPart
}

type memPart struct {
	store.Part
	data []byte
}

// memFault changes what happens to some calls.
type memFault struct {
	op     string // see memStore's methods: stat, open, list, put, delete, create, uploads, part, parts, complete, abort, copy, copypart, ranged, writeat, commit
	key    string // "" is any key
	nth    int    // the first call it strikes, counted from 1 over matching calls; 0 is 1
	times  int    // how many calls it strikes; 0 is 1, < 0 is all
	err    error  // the call, or with body the reader at offset at, answers this
	late   bool   // err comes after the effect: the answer is lost
	body   bool   // err, do and short strike the reader that open returned, at offset at
	short  bool   // the reader ends early, at offset at
	at     int64  // offset in the body
	flip   bool   // one byte, at offset at, arrives changed
	lose   bool   // the write is acknowledged and forgotten
	do     func() // called when it strikes; must not call the store while body is false
	seen   int    // matching calls so far
	struck int    // calls struck

}

// newMemStore returns a store that behaves as S3 does: byte order, conditions, pinned reads, MD5 ETags, metadata.
func newMemStore() *memStore {
	var ticks int
	base := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	s := &memStore{
		ab: store.Abilities{Scheme: "mem", Order: store.OrderBytes, Conditional: true, Pinned: true, Metadata: true,
			ModTimeUnit: time.Millisecond, ListsByKeys: true, MaxKey: 1024},
		page: 1000, etags: true, reports: true, smallest: 5, largest: 1 << 30, most: 10000, want: [2]bool{true, false},
		objects: map[string]*memObject{}, uploads: map[string]*memUpload{}, calls: map[string]int{}, writings: map[string]int{},
	}
	s.now = func() time.Time { // only called with s.mu held
		ticks++
		return base.Add(time.Duration(ticks) * time.Second)
	}
	return s
}

// newMemDisk returns a store that behaves as a local disk does: exact times, no ETags, no sums, no pinned reads.
func newMemDisk() *memDisk {
	s := newMemStore()
	s.ab = store.Abilities{Scheme: "memdisk", Order: store.OrderBytes, ExactModTime: true, ModTimeUnit: time.Nanosecond,
		HashedBeforeWrite: true, MaxKey: 4096}
	s.etags, s.reports = false, false
	return &memDisk{s}
}

// fail adds a fault.
func (s *memStore) fail(f memFault) *memFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.nth = max(f.nth, 1)
	if f.times == 0 {
		f.times = 1
	}
	s.faults = append(s.faults, &f)
	return s.faults[len(s.faults)-1]
}

// fault counts a call and returns what strikes it, nil for nothing. s.mu is held.
func (s *memStore) fault(op, key string) *memFault {
	s.calls[op]++
	var hit *memFault
	for _, f := range s.faults {
		if f.op != op || f.key != "" && f.key != key {
			continue
		}
		f.seen++
		if hit == nil && f.seen >= f.nth && (f.times < 0 || f.struck < f.times) {
			f.struck++
			hit = f
		}
	}
	if hit != nil && hit.do != nil && !hit.body {
		hit.do()
	}
	return hit
}

// enter counts a call; a non-nil error ends it.
func (s *memStore) enter(ctx context.Context, op, key string) (*memFault, error) {
	if err := ctx.Err(); err != nil {
		return nil, &store.Error{Op: op, Key: key, Class: store.Canceled, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fault(op, key)
	if f != nil && f.err != nil && !f.late && !f.body {
		return nil, f.err
	}
	return f, nil
}

// leave is the error of a call whose answer is lost.
func (f *memFault) leave() error {
	if f != nil && f.late {
		return f.err
	}
	return nil
}

// memErr makes a classified error.
func memErr(op, key string, class store.Class, format string, args ...any) error {
	return &store.Error{Op: op, Key: key, Class: class, Err: fmt.Errorf(format, args...)}
}

// count returns how often an operation was called.
func (s *memStore) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// set stores an object as somebody else would.
func (s *memStore) set(key string, data []byte, change ...func(*store.Object)) store.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep(key, data, store.PutOptions{}, change...)
}

// remove deletes an object as somebody else would.
func (s *memStore) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

// data returns the content of an object, nil if there is none.
func (s *memStore) data(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[key]; o != nil {
		return o.data
	}
	return nil
}

// listed returns an object as a listing shows it.
func (s *memStore) listed(key string) store.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key].Object
	o.Meta = nil
	return o
}

// leftovers tells what was not given back: readers, uploads, ranged writes; "" if nothing.
func (s *memStore) leftovers() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == 0 && len(s.uploads) == 0 && s.ranged == 0 && s.writes == 0 {
		return ""
	}
	return fmt.Sprintf("%d readers, %d uploads, %d ranged, %d writes", s.open, len(s.uploads), s.ranged, s.writes)
}

// shown is what an answer shows of sums.
func (s *memStore) shown(c store.Checksums) store.Checksums {
	if s.show == nil {
		return c
	}
	return s.show(c)
}

// memSums returns the sums that an S3 store would show of content.
func memSums(data []byte) store.Checksums {
	m := md5.Sum(data)
	return store.Checksums{MD5: string(m[:]), CRC64NVME: string(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(data)))}
}

// keep stores content. s.mu is held.
func (s *memStore) keep(key string, data []byte, opts store.PutOptions, change ...func(*store.Object)) store.Object {
	meta := store.Metadata{User: map[string]string{}}
	if s.ab.Metadata {
		meta = opts.Meta
		user := map[string]string{}
		for k, v := range opts.Meta.User {
			user[k] = v
		}
		meta.User = user
	}
	o := &memObject{data: bytes.Clone(data), Object: store.Object{Key: key, Size: int64(len(data)), ModTime: s.now(), Meta: &meta}}
	if o.data == nil {
		o.data = []byte{}
	}
	if s.ab.ExactModTime {
		o.Kind, o.Target = opts.Kind, opts.Target
		if !opts.ModTime.IsZero() {
			o.ModTime = opts.ModTime
		}
	} else if strings.HasSuffix(key, "/") && len(data) == 0 {
		o.Kind = store.KindDir
	}
	if s.reports {
		o.Sums = s.shown(memSums(data))
	}
	if s.etags {
		m := md5.Sum(data)
		o.ETag = hex.EncodeToString(m[:])
	}
	for _, f := range change {
		f(&o.Object)
	}
	s.objects[key] = o
	return o.Object
}

func (s *memStore) Abilities() store.Abilities { return s.ab }

func (s *memStore) WantSums() store.SumKinds {
	return store.SumKinds{MD5: s.want[0], CRC64NVME: s.want[1]}
}

func (s *memStore) Check(ctx context.Context) (time.Time, error) {
	if _, err := s.enter(ctx, "check", ""); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now(), nil
}

func (s *memStore) Stat(ctx context.Context, key string) (store.Object, error) {
	if _, err := s.enter(ctx, "stat", key); err != nil {
		return store.Object{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	if o == nil {
		return store.Object{}, memErr("stat", key, store.NotFound, "no such key")
	}
	return o.Object, nil
}

func (s *memStore) Open(ctx context.Context, key string, opts store.OpenOptions) (io.ReadCloser, store.Object, error) {
	f, err := s.enter(ctx, "open", key)
	if err != nil {
		return nil, store.Object{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	switch {
	case o == nil:
		return nil, store.Object{}, memErr("open", key, store.NotFound, "no such key")
	case opts.IfMatch != "" && s.ab.Pinned && opts.IfMatch != o.ETag:
		return nil, store.Object{}, memErr("open", key, store.Precondition, "the object has another ETag")
	case opts.Offset > o.Size:
		return nil, store.Object{}, memErr("open", key, store.Permanent, "offset beyond the end")
	}
	data := o.data[opts.Offset:]
	if opts.Length >= 0 {
		data = data[:min(opts.Length, int64(len(data)))]
	}
	s.open++
	return &memReader{s: s, ctx: ctx, data: data, fault: f}, o.Object, nil
}

// memReader reads a snapshot of an object.
type memReader struct {
	s      *memStore
	ctx    context.Context
	data   []byte
	off    int64
	fault  *memFault
	closed bool
}

func (r *memReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	end := int64(len(r.data))
	if f := r.fault; f != nil && (f.body || f.short) {
		if r.off >= f.at {
			if f.do != nil && f.body {
				f.do()
			}
			r.fault = nil
			if f.short {
				r.data = r.data[:min(r.off, end)]
				return 0, io.EOF
			}
			if f.err != nil {
				return 0, f.err
			}
		} else {
			end = min(end, f.at)
		}
	}
	if r.off >= int64(len(r.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.data[r.off:end])
	if f := r.fault; f != nil && f.flip && f.at >= r.off && f.at < r.off+int64(n) {
		p[f.at-r.off] ^= 1
	}
	r.off += int64(n)
	return n, nil
}

func (r *memReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.s.open--
	}
	return nil
}

func (s *memStore) Close() error { return nil }

// take reads a body as a server does and applies a fault to it.
func (s *memStore) take(ctx context.Context, op, key string, body store.Body, f *memFault) ([]byte, error) {
	s.mu.Lock()
	s.writes++
	s.peak = max(s.peak, s.writes)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.writes--
		s.mu.Unlock()
	}()
	data := bytes.Clone(body.Bytes)
	if body.Bytes == nil && body.Reader != nil {
		var err error
		if data, err = io.ReadAll(io.LimitReader(body.Reader, body.Size)); err != nil {
			// As HTTP clients do, the cause is lost.
			return nil, memErr(op, key, store.Transient, "send body: %s", err.Error())
		}
	}
	if int64(len(data)) != body.Size {
		return nil, memErr(op, key, store.Transient, "body of %d bytes, %d announced", len(data), body.Size)
	}
	if err := ctx.Err(); err != nil {
		return nil, &store.Error{Op: op, Key: key, Class: store.Canceled, Err: err}
	}
	if f != nil && f.flip && f.at < int64(len(data)) {
		data[f.at] ^= 1
	}
	if s.checks {
		if equal, known, by := memSums(data).Match(body.Sums); known && !equal {
			return nil, memErr(op, key, store.Mismatch, "the %s sent does not fit the body", by)
		}
	}
	return data, nil
}

// allowed checks a condition. s.mu is held.
func (s *memStore) allowed(op, key string, c store.Condition) error {
	if !s.ab.Conditional && !s.ab.ExactModTime { // a file system can tell whether a name is taken
		return nil
	}
	o := s.objects[key]
	if c.Absent && o != nil || c.ETag != "" && (o == nil || o.ETag != c.ETag) {
		return memErr(op, key, store.Precondition, "condition not met")
	}
	return nil
}

func (s *memStore) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	f, err := s.enter(ctx, "put", key)
	if err != nil {
		return store.Object{}, err
	}
	data, err := s.take(ctx, "put", key, body, f)
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
	if err := s.allowed("put", key, opts.Condition); err != nil {
		return store.Object{}, err
	}
	s.writings[key]++
	o := s.keep(key, data, opts)
	if f != nil && f.lose {
		delete(s.objects, key)
	}
	return o, f.leave()
}

func (s *memStore) Delete(ctx context.Context, key string) error {
	f, err := s.enter(ctx, "delete", key)
	if err != nil {
		return err
	}
	s.remove(key)
	return f.leave()
}

// memLister lists what the store holds when Next is called.
type memLister struct {
	s    *memStore
	opts store.ListOptions
	from string
	done bool
}

func (s *memStore) List(opts store.ListOptions) store.Lister {
	return &memLister{s: s, opts: opts, from: opts.From}
}

func (l *memLister) Next(ctx context.Context) ([]store.Object, error) {
	if _, err := l.s.enter(ctx, "list", ""); err != nil {
		return nil, err
	}
	if l.done {
		return nil, io.EOF
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var keys []string
	for k := range l.s.objects {
		if k >= l.from && (l.opts.To == "" || k < l.opts.To) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	size := l.opts.Page
	if size <= 0 || size > l.s.page {
		size = l.s.page
	}
	if len(keys) == 0 {
		l.done = true
		return nil, io.EOF
	}
	keys = keys[:min(size, len(keys))]
	l.from = store.Next(keys[len(keys)-1])
	page := make([]store.Object, len(keys))
	for i, k := range keys {
		page[i] = l.s.objects[k].Object
		page[i].Meta = nil
	}
	return page, nil
}

func (l *memLister) Close() error {
	l.done = true
	return nil
}

var errLostAnswer = errors.New("connection reset")
