package gs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Put implements store.Destination: one request with description and content
// (https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object, multipart uploads of the JSON API).
func (s *Store) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	const op = "put"
	full, err := s.full(op, key, false)
	if err != nil {
		return store.Object{}, err
	}
	body, err = wire.BodyOfKind(key, body, opts)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	doc, err := s.resourceOf(&opts.Meta)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	doc.Name = full
	doc.MD5, doc.CRC32C = encoded(body.Sums.MD5), encoded(body.Sums.CRC32C)
	query, err := s.writeQuery("", opts)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	content, err := wire.NewPayload(ctx, body)
	if err != nil {
		return store.Object{}, wire.Wrap(ctx, op, key, err)
	}
	r := request{
		op: op, method: http.MethodPost, key: key, path: "/upload" + s.objectsPath(),
		query: "uploadType=multipart&fields=" + wire.EscapeQuery(listedFields) + query, header: make(http.Header, 8), body: content,
	}
	if err := related(r.header, content, doc); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	var out resource
	h, err := s.readJSON(ctx, r, &out)
	if err != nil {
		return store.Object{}, noBucket(err)
	}
	o, err := s.describe(key, &out)
	switch {
	case err != nil:
		return store.Object{}, nonsense(&r, h, err)
	case o.Size != body.Size:
		return store.Object{}, &store.Error{Op: op, Key: key, Class: store.Mismatch, RequestID: requestID(h), Err: fmt.Errorf("%d bytes were sent, the server took %d", body.Size, o.Size)}
	}
	return o, nil
}

func encoded(sum string) string { return base64.StdEncoding.EncodeToString([]byte(sum)) }

// noBucket sees what is not found by a write as the bucket: there is nothing else that would have to exist.
func noBucket(err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.NotFound {
		e.Class, e.Hint = store.Misconfigured, hintBucket
	}
	return err
}

// related makes a body of description and content (RFC 2387).
func related(h http.Header, content *wire.Payload, doc *resource) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	kind := doc.Type
	if kind == "" {
		kind = "application/octet-stream"
	}
	boundary := "brigade-" + rand.Text() // 128 bits: content does not have it by accident
	head := "--" + boundary + "\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n" + string(text) +
		"\r\n--" + boundary + "\r\nContent-Type: " + kind + "\r\n\r\n"
	content.Frame([]byte(head), []byte("\r\n--"+boundary+"--\r\n"))
	h["Content-Type"] = []string{"multipart/related; boundary=" + boundary}
	return nil
}

// writeQuery gives what goes with every write by the JSON API, with a leading "&"; the parameters of copies have a prefix.
func (s *Store) writeQuery(prefix string, opts store.PutOptions) (string, error) {
	var b strings.Builder
	generation, err := generationOf(opts.Condition)
	if err != nil {
		return "", err
	}
	if generation != "" {
		b.WriteString("&ifGenerationMatch=" + generation)
	}
	acl, err := aclOf(opts.Meta.Access)
	if err != nil {
		return "", err
	}
	for _, p := range [][2]string{{"predefinedAcl", acl}, {"kmsKeyName", s.opts.kmsKey}} {
		if name := p[0]; p[1] != "" {
			if prefix != "" {
				name = prefix + strings.ToUpper(name[:1]) + name[1:]
			}
			b.WriteString("&" + name + "=" + wire.EscapeQuery(p[1]))
		}
	}
	return b.String(), nil
}

// generationOf gives the generation that a condition asks for: "0" for none, "" for any.
func generationOf(c store.Condition) (string, error) {
	switch {
	case c.Absent:
		return "0", nil
	case c.ETag == "":
		return "", nil
	case !isGeneration(c.ETag):
		return "", fmt.Errorf("%q is no generation of an object", wire.Clip(c.ETag, 100))
	}
	return c.ETag, nil
}

// Delete implements store.Destination.
func (s *Store) Delete(ctx context.Context, key string) error {
	const op = "delete"
	full, err := s.full(op, key, false)
	if err != nil {
		return err
	}
	return s.discard(ctx, request{op: op, method: http.MethodDelete, key: key, path: s.objectPath(full)})
}

// discard sends a request to remove something; what is not there is no error.
func (s *Store) discard(ctx context.Context, r request) error {
	resp, err := s.exchange(ctx, r)
	if isClass(err, store.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	wire.Finish(resp.Body)
	return nil
}
