package sorting

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What the flags of a record tell.
const (
	flagArchived = 1 << iota
	flagOneStream
	flagModTime
	flagWritten
	flagMeta
	flagErr
)

// texts are the fields of an object that are strings, but for its key. Most are empty: a record has a bit for each that is not,
// and only those.
func texts(o *store.Object) [15]*string {
	s := &o.Sums
	return [...]*string{
		&o.ETag, &s.MD5, &s.PartsMD5, &s.CRC32C, &s.CRC64NVME, &s.CRC64ECMA, &s.SHA256, &s.QETag, &o.Target, &o.Reason, &o.Origin,
		&s.QBlocks, &s.PartsQETag, &o.Class.Name, (*string)(&o.Class.Tier),
	}
}

// headers are the fields of metadata that are strings.
func headers(m *store.Metadata) [10]*string {
	return [...]*string{
		&m.ContentType, &m.CacheControl, &m.ContentDisposition, &m.ContentEncoding, &m.ContentLanguage, &m.Expires,
		&m.Class.Name, (*string)(&m.Class.Tier), (*string)(&m.Encryption), (*string)(&m.Access),
	}
}

// appendObject appends all of an object but its key.
func appendObject(b []byte, o *store.Object) []byte {
	fields := texts(o)
	mask := uint64(0)
	for i, f := range fields {
		if *f != "" {
			mask |= 1 << i
		}
	}
	flags := flagsOf(o)
	b = append(b, byte(o.Kind), flags)
	b = binary.AppendVarint(binary.AppendUvarint(b, mask), o.Size)
	for _, f := range fields {
		if *f != "" {
			b = appendText(b, *f)
		}
	}
	if flags&flagModTime != 0 {
		b = appendTime(b, o.ModTime)
	}
	if flags&flagWritten != 0 {
		b = appendTime(b, o.Written)
	}
	if o.Meta != nil {
		b = appendMeta(b, o.Meta)
	}
	if o.Err != nil {
		b = appendError(b, o.Err)
	}
	return b
}

func flagsOf(o *store.Object) (flags byte) {
	set := func(flag byte, on bool) {
		if on {
			flags |= flag
		}
	}
	set(flagArchived, o.Archived)
	set(flagOneStream, o.OneStream)
	set(flagModTime, !o.ModTime.IsZero())
	set(flagWritten, !o.Written.IsZero())
	set(flagMeta, o.Meta != nil)
	set(flagErr, o.Err != nil)
	return flags
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

func appendMeta(b []byte, m *store.Metadata) []byte {
	for _, h := range headers(m) {
		b = appendText(b, *h)
	}
	return appendMap(appendMap(b, m.User), m.Tags)
}

// appendMap appends the number of entries, counted from 1 as 0 is a nil map, and the entries.
func appendMap(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(m))+1)
	for name, value := range m {
		b = appendText(appendText(b, name), value)
	}
	return b
}

// appendError keeps what a caller asks of an error: its class, and what it says.
func appendError(b []byte, err error) []byte {
	e := &store.Error{Class: store.ClassOf(err), Err: err}
	if known := (*store.Error)(nil); errors.As(err, &known) {
		e = known
	}
	cause := ""
	if e.Err != nil {
		cause = e.Err.Error()
	}
	for _, text := range []string{e.Op, e.Key, string(e.Class), e.Code, e.RequestID, e.Hint, cause} {
		b = appendText(b, text)
	}
	return binary.AppendVarint(b, int64(e.RetryAfter))
}

// errDamaged is the error of a record that does not read as it was written.
var errDamaged = errors.New("a sorted run is damaged")

// record reads what appendObject wrote.
type record struct {
	b   []byte
	bad bool
}

// decodeObject gives back the object of a key and a record.
func decodeObject(key string, b []byte) (store.Object, error) {
	r := &record{b: b}
	o := store.Object{Key: key}
	o.Kind = store.Kind(r.octet())
	flags := r.octet()
	mask := r.unsigned()
	o.Size = r.signed()
	for i, f := range texts(&o) {
		if mask&(1<<i) != 0 {
			*f = r.text()
		}
	}
	o.Archived, o.OneStream = flags&flagArchived != 0, flags&flagOneStream != 0
	if flags&flagModTime != 0 {
		o.ModTime = r.time()
	}
	if flags&flagWritten != 0 {
		o.Written = r.time()
	}
	if flags&flagMeta != 0 {
		o.Meta = r.meta()
	}
	if flags&flagErr != 0 {
		o.Err = r.error()
	}
	if r.bad || len(r.b) != 0 {
		return store.Object{}, fault(errDamaged)
	}
	return o, nil
}

// take cuts n bytes off, or gives none if there are fewer.
func (r *record) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *record) octet() byte {
	if head := r.take(1); head != nil {
		return head[0]
	}
	return 0
}

func (r *record) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	r.bad = r.bad || n <= 0
	r.take(uint64(max(n, 0)))
	return v
}

func (r *record) signed() int64 {
	v, n := binary.Varint(r.b)
	r.bad = r.bad || n <= 0
	r.take(uint64(max(n, 0)))
	return v
}

func (r *record) text() string { return string(r.take(r.unsigned())) }

func (r *record) time() time.Time {
	seconds := r.signed()
	return time.Unix(seconds, int64(r.unsigned())).UTC()
}

func (r *record) meta() *store.Metadata {
	m := &store.Metadata{}
	for _, h := range headers(m) {
		*h = r.text()
	}
	m.User, m.Tags = r.texts(), r.texts()
	return m
}

func (r *record) texts() map[string]string {
	n := r.unsigned()
	if n == 0 {
		return nil
	}
	m := map[string]string{}
	for ; n > 1 && !r.bad; n-- {
		name := r.text()
		m[name] = r.text()
	}
	return m
}

func (r *record) error() error {
	e := &store.Error{Op: r.text(), Key: r.text(), Class: store.Class(r.text()), Code: r.text(), RequestID: r.text(), Hint: r.text()}
	if cause := r.text(); cause != "" {
		e.Err = errors.New(cause)
	}
	e.RetryAfter = time.Duration(r.signed())
	return e
}
