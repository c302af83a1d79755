package uss

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/sorting"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// What is trusted of a listing.
const (
	sortLimit     = 4 << 20                  // bytes of memory for each folder on the way down
	lastIter      = "g2gCZAAEbmV4dGQAA2VvZg" // comes with the last page
	headerIter    = "X-Upyun-List-Iter"
	mostPages     = 1 << 20 // of one folder
	mostEmptyRuns = 100     // pages without entries, one after the other
	mostIter      = 64 << 10
)

// row is what a listing tells of a name in a folder.
type row struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Length   int64  `json:"length"`
	Modified int64  `json:"last_modified"`
}

// folderPage is one page of a folder.
type folderPage struct {
	Files *[]row `json:"files"`
	Iter  string `json:"iter"`
}

// folderPage fetches a page of a folder ("" or ending in "/"). A refusal comes with its headers.
func (s *Store) folderPage(ctx context.Context, op, folder, iter string, most int) (*folderPage, http.Header, error) {
	r := wire.Request{Op: op, Method: http.MethodGet, Key: strings.TrimPrefix(folder, s.prefix), Path: folder, Header: make(http.Header, 8)}
	r.Header["Accept"], r.Header["X-Upyun-Folder"] = []string{"application/json"}, []string{"true"}
	r.Header["X-List-Limit"] = []string{strconv.Itoa(most)}
	if iter != "" {
		r.Header["X-List-Iter"] = []string{iter}
	}
	page := new(folderPage)
	h, err := s.calls.Read(ctx, r, page)
	if err != nil {
		return nil, h, err
	}
	if page.Files == nil {
		// A file of this name would be answered with its content, were it JSON.
		return nil, h, wire.Permanent(op, r.Key, errors.New("the server answers with something else than a listing"))
	}
	return page, h, nil
}

// lister walks the folders depth first. Names are sorted with "/" behind those of folders: that is the byte order of the whole
// keys, as every key below "a/" begins with it.
type lister struct {
	s        *Store
	from, to string
	page     int
	closed   atomic.Bool
	pages    atomic.Int64 // read so far

	mu     sync.Mutex
	begun  bool
	broken bool  // what was read is lost, so that nothing can go on
	late   error // came after objects that went to the caller first
	err    error // what ended the listing
	stack  []*frame
}

// frame is one folder on the way down.
type frame struct {
	prefix   string // relative; "" or ending in "/"
	modified time.Time
	iter     string // of the next page
	pages    int
	empty    int // pages without entries at the end of those read
	total    int // names in it
	sorter   *sorting.Sorter
	sorted   *sorting.Sorted // nil while it is being read
}

// List starts a listing. Each folder is read once, when the walk comes to it; those outside the bounds are not read at all.
func (s *Store) List(opts store.ListOptions) store.Lister {
	page := pageSize
	if opts.Page > 0 {
		page = min(opts.Page, pageSize)
	}
	return &lister{s: s, from: opts.From, to: opts.To, page: page}
}

// Resumes tells that Next may be called again after an error that may pass: a folder is read on where it failed. A listing that
// ended in an error has to be started anew.
func (l *lister) Resumes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil
}

// Advanced tells how many pages of folders were read: the server allows few of them at a time, and a walk may take thousands
// before it has the first file.
func (l *lister) Advanced() int64 { return l.pages.Load() }

// Next implements store.Lister.
func (l *lister) Next(ctx context.Context) ([]store.Object, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed.Load():
		l.release()
		return nil, io.EOF
	case l.err != nil:
		return nil, l.err
	}
	if !l.begun {
		l.begun, l.stack = true, []*frame{l.newFrame("", time.Time{})}
	}
	var page []store.Object
	err := l.late
	if l.late = nil; err == nil {
		page, err = l.fill(ctx)
	}
	if len(page) > 0 {
		l.late = err
		return page, nil
	}
	if err == nil {
		err = io.EOF
	}
	if class := store.ClassOf(err); err == io.EOF || l.broken || class != store.Canceled && !store.Retryable(err) {
		l.err = err
		l.release()
	}
	return nil, err
}

// Close implements store.Lister.
func (l *lister) Close() error {
	l.closed.Store(true) // a Next that is running stops soon
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	return nil
}

func (l *lister) release() {
	for _, f := range l.stack {
		f.close()
	}
	l.stack = nil
}

func (l *lister) newFrame(prefix string, modified time.Time) *frame {
	return &frame{prefix: prefix, modified: modified, sorter: sorting.New(l.s.limit)}
}

func (f *frame) close() {
	f.sorter.Discard()
	if f.sorted != nil {
		f.sorted.Close()
	}
}

func (l *lister) interrupted(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return &store.Error{Op: "list", Class: store.Canceled, Err: context.Cause(ctx)}
	case l.closed.Load():
		return &store.Error{Op: "list", Class: store.Canceled, Err: errors.New("the listing was closed")}
	}
	return nil
}

// fill collects a page. What was collected before an error is returned with it.
func (l *lister) fill(ctx context.Context) (page []store.Object, err error) {
	for len(page) < l.page && len(l.stack) > 0 {
		if err := l.interrupted(ctx); err != nil {
			return page, err
		}
		top := l.stack[len(l.stack)-1]
		var found *store.Object
		if top.sorted == nil {
			found, err = l.enter(ctx, top)
		} else {
			found, err = l.step(top)
		}
		if err != nil {
			return page, err
		}
		if found != nil {
			page = append(page, *found)
		}
	}
	return page, nil
}

func (l *lister) pop() {
	l.stack[len(l.stack)-1].close()
	l.stack = l.stack[:len(l.stack)-1]
}

// enter reads the folder that the walk has come to, and gives its marker where it has one.
func (l *lister) enter(ctx context.Context, f *frame) (*store.Object, error) {
	err := l.read(ctx, f)
	switch class := store.ClassOf(err); {
	case class == store.NotFound:
		l.pop() // gone meanwhile; a root that is not there has nothing in it
		return nil, nil
	case class == store.Permanent && f.prefix != "":
		l.pop()
		return l.unreadable(f, err), nil
	case err != nil:
		return nil, err
	}
	if f.prefix == "" || !l.wants(f.prefix) {
		return nil, nil
	}
	if l.s.role == store.RoleDestination || l.s.opts.emptyDirs && f.total == 0 {
		return &store.Object{Key: f.prefix, Kind: store.KindDir, ModTime: f.modified}, nil
	}
	return nil, nil
}

// unreadable is the entry of a folder that cannot be read, so that it is counted as failed and the listing goes on. At a
// destination it stays a folder: what it holds is not extra.
func (l *lister) unreadable(f *frame, err error) *store.Object {
	if !l.wants(f.prefix) {
		return nil
	}
	o := &store.Object{Key: f.prefix, Kind: store.KindSkipped, Reason: "unreadable folder", Err: err}
	if l.s.role == store.RoleDestination {
		o.Kind = store.KindDir
	}
	return o
}

// read reads the rest of a folder and sorts it.
func (l *lister) read(ctx context.Context, f *frame) error {
	const op = "list"
	for f.iter != lastIter {
		if err := l.interrupted(ctx); err != nil {
			return err
		}
		page, _, err := l.s.folderPage(ctx, op, l.s.prefix+f.prefix, f.iter, pageSize)
		if err != nil {
			return err
		}
		l.pages.Add(1)
		f.pages++
		f.empty++
		if len(*page.Files) > 0 {
			f.empty = 0
		}
		switch {
		case page.Iter == "" || page.Iter == f.iter || len(page.Iter) > mostIter || strings.ContainsAny(page.Iter, "\r\n"):
			return wire.Permanent(op, f.prefix, fmt.Errorf("the listing does not go on after page %d", f.pages))
		case f.pages >= mostPages || f.empty >= mostEmptyRuns:
			return wire.Permanent(op, f.prefix, errors.New("the listing has no end"))
		}
		for i := range *page.Files {
			if err := l.sift(f, &(*page.Files)[i]); err != nil {
				return err
			}
		}
		f.iter = page.Iter
	}
	sorted, err := f.sorter.Sorted(ctx)
	l.broken, f.sorted = err != nil, sorted
	return err
}

// sift gives one row to the sorter if the listing may need it.
func (l *lister) sift(f *frame, r *row) error {
	if r.Name == "" || strings.ContainsAny(r.Name, "/\x00") || r.Length < 0 {
		return wire.Permanent("list", f.prefix, fmt.Errorf("the listing has a name that cannot be: %q of %d bytes", wire.Clip(r.Name, 100), r.Length))
	}
	f.total++
	name := r.Name
	if r.Type == typeFolder {
		name += "/"
	}
	key := f.prefix + name
	if l.to != "" && key >= l.to {
		return nil
	}
	if key < l.from && !(r.Type == typeFolder && strings.HasPrefix(l.from, key)) {
		return nil
	}
	value := binary.AppendVarint(binary.AppendVarint(nil, r.Length), r.Modified)
	return f.sorter.Add(name, value)
}

// wants tells whether a key is inside the listing's bounds.
func (l *lister) wants(key string) bool { return key >= l.from && (l.to == "" || key < l.to) }

// step takes the next name of a folder: a file is given, a folder entered.
func (l *lister) step(f *frame) (*store.Object, error) {
	name, size, modified, ok, err := takeName(f)
	switch {
	case err != nil:
		l.broken = true // names have been taken that nobody got
		return nil, err
	case !ok:
		l.pop()
		return nil, nil
	}
	plain, folder := strings.CutSuffix(name, "/")
	key := f.prefix + name
	if bad := checkPathOf(l.s.prefix+f.prefix+plain, plain); bad != nil {
		return &store.Object{Key: key, Kind: store.KindSkipped, Reason: "a name that cannot be asked for", Err: wire.Permanent("list", key, bad)}, nil
	}
	if folder {
		l.stack = append(l.stack, l.newFrame(key, since(modified)))
		return nil, nil
	}
	return &store.Object{Key: key, Size: size, ModTime: since(modified)}, nil
}

// checkPathOf refuses names that a listing told but no request can name, because paths with them mean something else.
func checkPathOf(path, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(path) > maxKey {
		return fmt.Errorf("the name has %d bytes; %d can be asked for", len(path), maxKey)
	}
	return nil
}

// takeName takes the lowest name. Of a file that was replaced while its folder was read, the listing has the name twice: the
// later one counts. The same row twice is a page that came twice.
func takeName(f *frame) (name string, size, modified int64, ok bool, err error) {
	for {
		next, value, more, err := f.sorted.Peek()
		if err != nil || !more || ok && next != name {
			return name, size, modified, ok, err
		}
		nextSize, n := binary.Varint(value)
		nextModified, m := binary.Varint(value[max(n, 0):])
		if n <= 0 || m <= 0 {
			return "", 0, 0, false, wire.Permanent("list", f.prefix, errors.New("what was sorted cannot be read back"))
		}
		f.sorted.Take()
		switch {
		case ok && nextSize == size && nextModified == modified:
			err := fmt.Errorf("the listing has %q twice", wire.Clip(name, 200))
			return "", 0, 0, false, &store.Error{Op: "list", Key: f.prefix, Class: store.Transient, Err: err}
		case !ok || nextModified > modified:
			name, size, modified, ok = next, nextSize, nextModified, true
		}
	}
}
