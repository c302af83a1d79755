package azblob

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// PartLimits implements store.Multiparter.
func (s *Store) PartLimits() (smallest, largest int64, most int) {
	return smallestPart, largestPart, mostParts
}

// errNoUpload is why an upload is unknown.
var errNoUpload = errors.New("no such upload")

func unknown(op, key string) *store.Error {
	return &store.Error{Op: op, Key: key, Class: store.NotFound, Err: errNoUpload}
}

// CreateUpload implements store.Multiparter. It makes the block that shows the upload.
func (s *Store) CreateUpload(ctx context.Context, key string, _ store.PutOptions) (string, error) {
	const op = "create upload"
	if !s.clock.known.Load() {
		if _, err := s.Check(ctx); err != nil {
			return "", err
		}
	}
	head, err := newUpload(s.clock.at(s.now()), s.random)
	if err != nil {
		return "", wire.Permanent(op, key, err)
	}
	return head.id(), s.mark(ctx, op, key, head, markerPart)
}

// mark makes a block that says something about an upload. It has one byte, for Azure takes no empty ones.
func (s *Store) mark(ctx context.Context, op, key string, head uploadHead, part int) error {
	_, err := s.putBlock(ctx, op, key, blockName(head, part, store.Checksums{}), store.Body{Bytes: []byte{0}, Size: 1}, nil)
	return err
}

// putBlock sends a block (https://learn.microsoft.com/rest/api/storageservices/put-block) and gives the sums that the answer
// tells.
func (s *Store) putBlock(ctx context.Context, op, key, name string, body store.Body, header http.Header) (store.Checksums, error) {
	r := wire.Request{Op: op, Method: http.MethodPut, Key: key, Header: header, Query: "comp=block&blockid=" + wire.EscapeQuery(name)}
	resp, err := s.calls.Send(ctx, r, body)
	if err != nil {
		return store.Checksums{}, err
	}
	return s.sumsOfWrite(resp.Header), nil
}

// blockList is an answer of Get Block List
// (https://learn.microsoft.com/rest/api/storageservices/get-block-list).
type blockList struct {
	XMLName     xml.Name `xml:"BlockList"`
	Uncommitted []block  `xml:"UncommittedBlocks>Block"`
}

type block struct {
	Name string `xml:"Name"`
	Size int64  `xml:"Size"`
}

// uploads are those found at one key.
type uploads map[uploadHead]*upload

// upload is what the blocks at a key tell of an upload.
type upload struct {
	begun, ended bool
	blocks       map[string]store.Part // by name; a part sent twice with different content has two
}

// open tells whether an upload was begun and not aborted.
func (u uploads) open(head uploadHead) bool { return u[head] != nil && u[head].begun && !u[head].ended }

// add takes a block in, unless it is someone else's.
func (u uploads) add(b block) {
	head, n, checked, ok := parseBlock(b.Name)
	if !ok {
		return
	}
	if u[head] == nil {
		u[head] = &upload{blocks: map[string]store.Part{}}
	}
	switch n {
	case markerPart:
		u[head].begun = true
	case abortedPart:
		u[head].ended = true
	default:
		u[head].blocks[b.Name] = store.Part{Number: n, Size: b.Size, ETag: b.Name, Sums: checked}
	}
}

// uploadsAt reads the uncommitted blocks of a blob. Those of others are passed over.
func (s *Store) uploadsAt(ctx context.Context, op, key string) (uploads, error) {
	if err := checkKey(s.prefix + key); err != nil {
		return nil, wire.Permanent(op, key, err)
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodGet, Key: key, Query: "comp=blocklist&blocklisttype=uncommitted"})
	if store.ClassOf(err) == store.NotFound {
		return nil, nil
	}
	var e *store.Error
	if errors.As(err, &e) && e.Code == "InvalidBlobType" {
		return nil, nil // a page or append blob has no such blocks
	}
	if err != nil {
		return nil, err
	}
	var list blockList
	if err := document(resp, &list); err != nil {
		return nil, wire.Wrap(ctx, op, key, fmt.Errorf("the answer is no list of blocks: %w", err))
	}
	found := uploads{}
	for _, b := range list.Uncommitted {
		found.add(b)
	}
	return found, nil
}

// ListUploads implements store.Multiparter. Blocks that other programs left have no upload to be named by.
func (s *Store) ListUploads(ctx context.Context, key string) ([]store.Upload, error) {
	found, err := s.uploadsAt(ctx, "list uploads", key)
	if err != nil {
		return nil, err
	}
	var open []store.Upload
	for head := range found {
		if found.open(head) {
			open = append(open, store.Upload{ID: head.id(), Began: head.began()})
		}
	}
	return open, nil
}

// UploadPart implements store.Multiparter. Azure does not know uploads: blocks of one that another process aborted or
// completed are taken, and never committed.
func (s *Store) UploadPart(ctx context.Context, key, id string, n int, body store.Body) (store.Part, error) {
	const op = "upload part"
	head, ok := parseID(id)
	switch {
	case !ok || s.gone.has(id):
		return store.Part{}, unknown(op, key)
	case n < 1 || n > mostParts:
		return store.Part{}, wire.Permanent(op, key, fmt.Errorf("part %d; Azure takes 1 to %d", n, mostParts))
	case body.Size == 0:
		return store.Part{}, wire.Permanent(op, key, errors.New("an empty part; Azure takes none"))
	case body.Size > largestPart:
		return store.Part{}, wire.Permanent(op, key, fmt.Errorf("a part of %d bytes; Azure takes %d", body.Size, int64(largestPart)))
	}
	header := make(http.Header, 8)
	checked := s.announce(header, body.Sums, true)
	name := blockName(head, n, checked)
	told, err := s.putBlock(ctx, op, key, name, body, header)
	if err != nil {
		return store.Part{}, err
	}
	return store.Part{Number: n, Size: body.Size, ETag: name, Sums: told.Merge(checked)}, nil
}

// ListParts implements store.Multiparter. The list of blocks tells no sums, but their names may. Of a part that was sent twice with
// different content nobody can tell which came last: it is left out, to be sent again.
func (s *Store) ListParts(ctx context.Context, key, id string) ([]store.Part, error) {
	const op = "list parts"
	found, err := s.uploadOf(ctx, op, key, id)
	if err != nil {
		return nil, err
	}
	sent := map[int]int{}
	for _, p := range found.blocks {
		sent[p.Number]++
	}
	var parts []store.Part
	for _, p := range found.blocks {
		if sent[p.Number] == 1 && p.Number <= mostParts {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b store.Part) int { return a.Number - b.Number })
	return parts, nil
}

// uploadOf finds an open upload.
func (s *Store) uploadOf(ctx context.Context, op, key, id string) (*upload, error) {
	head, ok := parseID(id)
	if !ok {
		return nil, unknown(op, key)
	}
	found, err := s.uploadsAt(ctx, op, key)
	if err != nil {
		return nil, err
	}
	if !found.open(head) {
		return nil, unknown(op, key)
	}
	return found[head], nil
}

// commitment is the request of Put Block List
// (https://learn.microsoft.com/rest/api/storageservices/put-block-list). Only blocks that are not committed are named: one
// that is gone must not be taken from what the blob holds already.
type commitment struct {
	XMLName xml.Name `xml:"BlockList"`
	Blocks  []string `xml:"Uncommitted"`
}

// CompleteUpload implements store.Multiparter. The blob's metadata is that of opts.
func (s *Store) CompleteUpload(ctx context.Context, key, id string, parts []store.Part, opts store.PutOptions) (store.Object, error) {
	const op = "complete upload"
	header := make(http.Header, 16)
	if err := setMeta(header, &opts.Meta); err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	found, err := s.uploadOf(ctx, op, key, id)
	if err != nil {
		return store.Object{}, err
	}
	list, size, err := commitmentOf(found.blocks, parts)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	text, err := xml.Marshal(list)
	if err != nil {
		return store.Object{}, wire.Permanent(op, key, err)
	}
	if err := wire.BeforeCommit(op, key, &opts); err != nil {
		return store.Object{}, err
	}
	setCondition(header, opts.Condition)
	header["Content-Type"] = []string{"application/xml"}
	h, err := s.calls.Discard(ctx, wire.Request{
		Op: op, Method: http.MethodPut, Key: key, Query: "comp=blocklist", Header: header, Document: append([]byte(xml.Header), text...), Slow: true,
	})
	var e *store.Error
	if errors.As(err, &e) && e.Code == "InvalidBlockList" {
		return store.Object{}, unknown(op, key) // someone wrote the blob in the meantime, and the blocks went
	}
	if err != nil {
		return store.Object{}, err
	}
	// The answer's sums are those of the list.
	return store.Object{Key: key, Size: size, ETag: wire.Unquote(h.Get("Etag")), ModTime: wire.Date(h.Get("Last-Modified"))}, nil
}

// commitmentOf names the blocks of parts that the store holds.
func commitmentOf(held map[string]store.Part, parts []store.Part) (commitment, int64, error) {
	var list commitment
	var size int64
	last := 0
	for _, p := range parts {
		b, ok := held[p.ETag]
		switch {
		case p.Number <= last || p.Number > mostParts:
			return list, 0, fmt.Errorf("part %d after part %d", p.Number, last)
		case !ok || b.Number != p.Number:
			return list, 0, fmt.Errorf("part %d is not there", p.Number)
		case b.Size != p.Size:
			return list, 0, fmt.Errorf("part %d has %d bytes, %d were sent", p.Number, b.Size, p.Size)
		}
		last = p.Number
		size += p.Size
		list.Blocks = append(list.Blocks, p.ETag)
	}
	return list, size, nil
}

// AbortUpload implements store.Multiparter. Its blocks cannot be removed: a block that says so marks it.
func (s *Store) AbortUpload(ctx context.Context, key, id string) error {
	const op = "abort upload"
	head, ok := parseID(id)
	if !ok {
		return nil
	}
	found, err := s.uploadsAt(ctx, op, key)
	if err == nil && found.open(head) {
		err = s.mark(ctx, op, key, head, abortedPart)
	}
	if err != nil {
		return err
	}
	s.gone.add(id)
	return nil
}
