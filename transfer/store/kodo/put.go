package kodo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// octets is the type of content that tells none. Kodo guesses one of it.
const octets = "application/octet-stream"

// token makes the token of a write of one key.
func (s *Store) token(key string, opts store.PutOptions) string {
	p := policy{Scope: s.bucket + ":" + s.prefix + key, Deadline: s.now().Add(tokenLife).Unix(), FileType: typeOf(opts.Meta.Class)}
	if opts.Condition.Absent {
		p.InsertOnly = 1
	}
	return uploadToken(*s.creds.Load(), p)
}

// acknowledged is the answer to a write.
type acknowledged struct {
	Hash string `json:"hash"`
	Key  string `json:"key"`
}

// Put implements store.Destination. Of the condition, only absence can be asked for.
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	body, err := wire.BodyOfKind(key, body, opts)
	if err == nil {
		err = checkKey(s.prefix + key)
	}
	if err == nil {
		err = checkMeta(&opts.Meta)
	}
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	form, kind, err := s.form(key, body, opts)
	if err != nil {
		return store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	content, err := wire.NewPayload(ctx, form)
	if err != nil {
		return store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	var out acknowledged
	r := request{op: op, method: http.MethodPost, key: key, host: s.opts.up, path: "/", header: http.Header{"Content-Type": {kind}}, body: content}
	if _, err := s.read(ctx, r, &out); err != nil {
		return store.Object{}, err
	}
	return s.written(op, key, body.Size, out)
}

// written describes what a write made.
func (s *Store) written(op, key string, size int64, out acknowledged) (store.Object, error) {
	if out.Hash == "" || out.Key != s.prefix+key {
		err := fmt.Errorf("the server acknowledges %q with hash %q", wire.Clip(out.Key, 200), wire.Clip(out.Hash, 50))
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Transient, Err: err}
	}
	return store.Object{Key: key, Kind: wire.KindOf(s.prefix+key, size), Size: size, ETag: out.Hash, Sums: sumsOf(out.Hash, "")}, nil
}

// checkMeta refuses metadata that Kodo would refuse, or keep otherwise than it is.
func checkMeta(m *store.Metadata) error {
	if m.ContentType != "" {
		if reason := badValue(m.ContentType); reason != "" {
			return fmt.Errorf("content type: %s", reason)
		}
	}
	size := 0
	for name, value := range m.User {
		if reason := badName(name) + badValue(value); reason != "" {
			return fmt.Errorf("user metadata %q: %s", wire.Clip(name, 100), reason)
		}
		size += len(name) + len(value)
	}
	if size > maxMetadata {
		return fmt.Errorf("user metadata of %d bytes; Kodo takes %d", size, maxMetadata)
	}
	return nil
}

// smallForm is the content that is copied into its form, in bytes: such a form goes out in one piece and can be sent again.
const smallForm = 8 << 10

// form wraps content in a form (https://developer.qiniu.com/kodo/1312/upload). The CRC32 follows the content, so that content
// that is altered on its way is refused.
func (s *Store) form(key string, body store.Body, opts store.PutOptions) (form store.Body, contentType string, err error) {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	if err := w.SetBoundary("brigade" + rand.Text()); err != nil {
		return form, "", err
	}
	fields := userFields(&opts.Meta)
	fields["token"], fields["key"] = s.token(key, opts), s.prefix+key
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			return form, "", err
		}
	}
	file := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="file"`}, "Content-Type": {octets}}
	if opts.Meta.ContentType != "" {
		file.Set("Content-Type", opts.Meta.ContentType)
	}
	if _, err := w.CreatePart(file); err != nil {
		return form, "", err
	}
	tail := "\r\n--" + w.Boundary() + "\r\nContent-Disposition: form-data; name=\"crc32\"\r\n\r\n%010d\r\n--" + w.Boundary() + "--\r\n"
	length := len(tail) - len("%010d") + 10
	form.Size = int64(head.Len()) + body.Size + int64(length)
	if body.Bytes != nil && body.Size <= smallForm && int64(len(body.Bytes)) == body.Size {
		head.Write(body.Bytes)
		fmt.Fprintf(&head, tail, crc32.ChecksumIEEE(body.Bytes))
		form.Bytes = head.Bytes()
		return form, w.FormDataContentType(), nil
	}
	content, err := contentOf(body)
	form.Reader = io.MultiReader(&head, content, &trailer{sum: content.sum, format: tail})
	return form, w.FormDataContentType(), err
}

// contentReader passes on content of exactly its announced size and sums it up.
type contentReader struct {
	r    io.Reader
	left int64
	sum  hash.Hash32
}

func contentOf(body store.Body) (*contentReader, error) {
	c := &contentReader{r: body.Reader, left: body.Size, sum: crc32.NewIEEE()}
	switch {
	case body.Size < 0, body.Bytes != nil && int64(len(body.Bytes)) != body.Size:
		return nil, fmt.Errorf("%w: %d bytes as %d", wire.ErrBadBody, len(body.Bytes), body.Size)
	case body.Bytes != nil:
		c.r = bytes.NewReader(body.Bytes)
	case body.Reader == nil && body.Size == 0:
		c.r = strings.NewReader("")
	case body.Reader == nil:
		return nil, fmt.Errorf("%w: nothing as %d bytes", wire.ErrBadBody, body.Size)
	}
	return c, nil
}

// Read reads the next piece. The form goes on only after the end was seen where it was announced.
func (c *contentReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.atEnd()
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if err = nil; c.left > 0 {
			err = wire.ErrShortBody
		}
	}
	return n, err
}

// atEnd gives io.EOF where the content has ended.
func (c *contentReader) atEnd() error {
	var one [1]byte
	for range 100 { // a Reader may return nothing and no error, but not for ever
		if n, err := c.r.Read(one[:]); n > 0 {
			return wire.ErrLongBody
		} else if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// trailer is the end of a form, with the sum of what was read before.
type trailer struct {
	sum    hash.Hash32
	format string
	text   *strings.Reader
}

// Read reads from the end of the form.
func (t *trailer) Read(p []byte) (int, error) {
	if t.text == nil {
		t.text = strings.NewReader(fmt.Sprintf(t.format, t.sum.Sum32()))
	}
	return t.text.Read(p)
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	r, err := s.manage("delete", "delete", key, "")
	if err != nil {
		return err
	}
	return s.discard(ctx, r)
}

// discard sends a request to remove something; what is not there is no error.
func (s *Store) discard(ctx context.Context, r request) error {
	_, err := s.read(ctx, r, nil)
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.NotFound {
		return nil
	}
	return err
}
