// Package storetest is the conformance suite that every provider passes: what the interfaces of package store promise,
// asked of a real store.
package storetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/minio/crc64nvme"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Harness is one empty store to test.
type Harness struct {
	// Store is opened as a destination; nil means one of NewStore.
	Store store.Destination
	// NewStore opens another handle on the same place; nil where one handle is all there can be.
	NewStore func(role store.Role) store.Destination
	// LeftOvers names what must not be there when nothing is in flight, such as temporary files, as the place itself
	// tells it and not the store; nil where nobody can look.
	LeftOvers func() []string
	// Refuses gives the reason why a key cannot exist in this store, "" for those that can; nil where all can.
	Refuses func(key string) string
	// HidesUploads: open uploads cannot be listed.
	HidesUploads bool
	// CopiesAsIs: Copy refuses, with class Permanent, to give a copy metadata of its own.
	CopiesAsIs bool
	// ChecksSums: the store checks the sums that are sent along and refuses wrong ones.
	ChecksSums bool
	// KeepsUploads: the store has no way to drop an upload; it goes by itself some time later.
	KeepsUploads bool
	// Forgets names what the server takes without an error and does not keep, of "class", "tags", "access", "encryption".
	Forgets []string
}

// refuses tells why a key cannot be tested.
func (h Harness) refuses(key string) string {
	if h.Refuses == nil {
		return ""
	}
	return h.Refuses(key)
}

// check is one case.
type check struct {
	name string
	// lacks gives the reason why the case does not apply, "" when it does; nil when it always does.
	lacks func(Harness) string
	run   func(t *testing.T, h Harness)
}

// Run runs the suite; open makes a new empty store for each case. Cases about abilities that the store does not have
// are listed at the end with the reason. Where BRIGADE_CONFORMANCE names a file, a line is added to it for each case.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	l := newLedger(t)
	for _, c := range slices.Concat(objectChecks(), listChecks(), writeChecks(), multipartChecks(), otherChecks(), detailChecks(), fidelityChecks()) {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			if h.Store == nil {
				h.Store = h.NewStore(store.RoleDestination)
			}
			if c.lacks != nil {
				if reason := c.lacks(h); reason != "" {
					l.add(Result{Case: c.name, Lacks: reason})
					return
				}
			}
			defer func() { l.add(Result{Case: c.name, Failed: t.Failed()}) }()
			c.run(t, h)
			noLeftOvers(t, h)
		})
	}
	l.print(t)
}

func noLeftOvers(t *testing.T, h Harness) {
	t.Helper()
	if h.LeftOvers == nil {
		return
	}
	if left := h.LeftOvers(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// content gives n bytes that are the same in every run and differ between seeds.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 'b'})
	_, _ = r.Read(b) // never fails
	return b
}

// sumsOf computes what a sender may know of content.
func sumsOf(b []byte) store.Checksums {
	sum := md5.Sum(b)
	return store.Checksums{
		MD5: string(sum[:]), CRC64NVME: bigEndian(crc64nvme.Checksum(b)), CRC64ECMA: bigEndian(crc64.Checksum(b, crc64.MakeTable(crc64.ECMA))),
		CRC32C: string(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))),
	}
}

func bigEndian(v uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, v))
}

func inMemory(b []byte) store.Body { return store.Body{Bytes: b, Size: int64(len(b))} }

// streamed hides all that a Reader could tell besides its bytes.
func streamed(b []byte) store.Body {
	return store.Body{Reader: struct{ io.Reader }{bytes.NewReader(b)}, Size: int64(len(b))}
}

func put(t *testing.T, s store.Destination, key string, b []byte) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, inMemory(b), store.PutOptions{})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

// putAll writes small objects, several at a time.
func putAll(t *testing.T, s store.Destination, keys []string) {
	t.Helper()
	work := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range work {
				if _, err := s.Put(t.Context(), key, inMemory([]byte("x")), store.PutOptions{}); err != nil {
					t.Errorf("put %q: %v", key, err)
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func read(t *testing.T, s store.Source, key string, opts store.OpenOptions) ([]byte, store.Object) {
	t.Helper()
	r, o, err := s.Open(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return b, o
}

func readWhole(t *testing.T, s store.Source, key string) []byte {
	t.Helper()
	b, _ := read(t, s, key, store.OpenOptions{Length: -1})
	return b
}

// absent fails unless the key does not exist.
func absent(t *testing.T, s store.Source, key string) {
	t.Helper()
	// The test's own ctx may be the one that a case cancelled.
	if o, err := s.Stat(context.WithoutCancel(t.Context()), key); store.ClassOf(err) != store.NotFound {
		t.Errorf("stat %q = %+v, %v; want class %q", key, o, err, store.NotFound)
	}
}

func wantClass(t *testing.T, what string, err error, want ...store.Class) {
	t.Helper()
	if got := store.ClassOf(err); !slices.Contains(want, got) {
		t.Errorf("%s: error %v of class %q, want %q", what, err, got, want)
	}
}

// list reads a listing to its end and checks what every listing must be. Directories, which a file system lists beside the
// keys that were put, are left out.
func list(t *testing.T, s store.Source, opts store.ListOptions) []store.Object {
	t.Helper()
	l := s.List(opts)
	var all []store.Object
	for {
		page, err := l.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("list %+v: %v", opts, err)
		}
		if len(page) == 0 {
			t.Fatalf("list %+v: an empty page", opts)
		}
		if opts.Page > 0 && len(page) > opts.Page {
			t.Fatalf("list %+v: a page of %d", opts, len(page))
		}
		all = append(all, slices.DeleteFunc(page, func(o store.Object) bool { return o.Kind == store.KindDir })...)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close listing: %v", err)
	}
	return all
}

func keysOf(objects []store.Object) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys
}
