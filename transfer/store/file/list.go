package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/sorting"
)

// openFrames is how many directories a listing keeps open; those further up are opened again when it comes back.
const openFrames = 64

// lister walks the tree depth first. Names are sorted with "/" behind those of directories: that is the byte order of
// the whole keys, as every key below "a/" begins with it.
type lister struct {
	d        *disk
	from, to string
	page     int
	ended    atomic.Bool // Close was called

	mu    sync.Mutex
	begun bool
	err   error // what ended the listing
	stack []*frame
	reads atomic.Int64
}

// frame is one directory on the way down.
type frame struct {
	prefix string // "" or ending in "/"
	dir    folder // Root is nil while parked
	info   fs.FileInfo
	names  *names
}

// List starts a listing. Entries are read once per directory, in the order of the walk; a subtree below From or behind
// To is not read at all.
func (d *disk) List(opts store.ListOptions) store.Lister {
	page := opts.Page
	if page <= 0 || page > pageSize {
		page = pageSize
	}
	return &lister{d: d, from: opts.From, to: opts.To, page: page}
}

// DirectoriesRead tells how many directories the listing has read so far.
func (l *lister) DirectoriesRead() int { return int(l.reads.Load()) }

// Next returns the next page.
func (l *lister) Next(ctx context.Context) ([]store.Object, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() {
		l.release()
		return nil, fail("list", "", fs.ErrClosed)
	}
	if l.err != nil {
		return nil, l.err
	}
	page, err := l.fill(ctx)
	if err == nil && len(page) == 0 {
		err = io.EOF
	}
	if err != nil {
		l.err = err
		l.release()
	}
	if len(page) > 0 {
		return page, nil
	}
	return nil, l.err
}

// Close ends the listing.
func (l *lister) Close() error {
	l.ended.Store(true) // a Next that is running stops soon
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

func (f *frame) close() {
	f.park()
	if f.names != nil { // nil where reading failed
		f.names.close()
	}
}

// park gives the handle of the directory back.
func (f *frame) park() {
	if f.dir.Root != nil {
		f.dir.close()
		f.dir = folder{}
	}
}

// fill collects a page. What was collected before an error is returned with it.
func (l *lister) fill(ctx context.Context) (page []store.Object, err error) {
	if !l.begun {
		l.begun = true
		if page, err = l.begin(ctx); err != nil {
			return page, err
		}
	}
	for len(page) < l.page && len(l.stack) > 0 {
		if err := l.interrupted(ctx); err != nil {
			return page, err
		}
		top := l.stack[len(l.stack)-1]
		name, ok, err := top.names.peek()
		if err != nil {
			return page, fail("list", top.prefix, err)
		}
		if ok {
			ok, err = l.unpark(top)
		}
		if err != nil {
			return page, fail("list", top.prefix, err)
		}
		if !ok {
			top.close()
			l.stack = l.stack[:len(l.stack)-1]
			continue
		}
		var found []store.Object
		if strings.HasSuffix(name, "/") {
			top.names.take()
			found, err = l.enter(ctx, top, name)
		} else {
			found, err = l.files(top, l.page-len(page))
		}
		page = append(page, found...)
		if err != nil {
			return page, err
		}
	}
	return page, nil
}

func (l *lister) interrupted(ctx context.Context) error {
	if l.ended.Load() {
		return fail("list", "", fs.ErrClosed)
	}
	return stopped(ctx, "list", "")
}

// unpark opens the directory again if it was parked; false means that it is gone.
func (l *lister) unpark(f *frame) (bool, error) {
	if f.dir.Root != nil {
		return true, nil
	}
	dir, err := l.d.openFolder(f.prefix)
	if isAbsent(err) || errors.Is(err, errLink) {
		return false, nil
	}
	f.dir = dir
	return err == nil, err
}

// begin reads the root.
func (l *lister) begin(ctx context.Context) ([]store.Object, error) {
	if one := l.d.single; one != nil {
		return l.onlyOne(one)
	}
	root, err := l.d.handle()
	if isMissing(err) && l.d.role == store.RoleDestination {
		return nil, nil // it is made by the first write
	}
	if err != nil {
		return nil, l.d.rootError("list", err)
	}
	f := &frame{dir: folder{Root: root}}
	if _, err := l.read(ctx, f); err != nil {
		return nil, atRoot("list", l.d.path, err)
	}
	l.stack = append(l.stack, f)
	return nil, nil
}

// onlyOne lists the root that is one file.
func (l *lister) onlyOne(one *single) ([]store.Object, error) {
	if one.key < l.from || l.to != "" && one.key >= l.to {
		return nil, nil
	}
	o, err := l.d.stat("list", one.key)
	if err != nil {
		return nil, err
	}
	o.Meta = nil
	return []store.Object{o}, nil
}

// enter goes into a directory and returns its marker where it has one.
func (l *lister) enter(ctx context.Context, parent *frame, name string) ([]store.Object, error) {
	f := &frame{prefix: parent.prefix + name}
	total, err := l.open(ctx, parent, f, name)
	switch {
	case err == nil:
	case isAbsent(err) || errors.Is(err, errLink) && l.d.options.links != linksFollow:
		return nil, nil // gone, or something else by now
	default:
		return l.unreadable(f.prefix, err)
	}
	var found []store.Object
	if l.wants(f.prefix) && (l.d.role == store.RoleDestination || l.d.options.emptyDirs && total == 0) {
		found = append(found, directory(f.prefix, f.info))
	}
	l.push(f)
	return found, nil
}

func (l *lister) open(ctx context.Context, parent, f *frame, name string) (total int, err error) {
	if l.d.options.links == linksFollow {
		f.dir.Root, err = os.OpenRoot(l.d.native(f.prefix))
	} else {
		f.dir.Root, err = descend(parent.dir.Root, strings.TrimSuffix(name, "/"))
	}
	if err != nil {
		return 0, err
	}
	f.dir.owned = true
	if total, err = l.read(ctx, f); err != nil {
		f.close()
	}
	return total, err
}

// unreadable turns the error of one directory into an entry, so that the listing goes on and the directory is counted
// as failed. At a destination it stays a directory: what it holds is not extra. Errors that may pass end the listing.
func (l *lister) unreadable(key string, err error) ([]store.Object, error) {
	err = fail("list", key, err)
	class := store.ClassOf(err)
	if class != store.Auth && class != store.Permanent {
		return nil, err
	}
	if !l.wants(key) {
		return nil, nil
	}
	o := store.Object{Key: key, Kind: store.KindSkipped, Reason: "unreadable directory", Err: err}
	if l.d.role == store.RoleDestination {
		o.Kind = store.KindDir
	}
	return []store.Object{o}, nil
}

// push makes f the directory being listed.
func (l *lister) push(f *frame) {
	l.stack = append(l.stack, f)
	if i := len(l.stack) - 1 - openFrames; i > 0 {
		l.stack[i].park()
	}
}

// read reads the names of a directory, sorted and without those that cannot be in the listing. total counts all names.
func (l *lister) read(ctx context.Context, f *frame) (total int, err error) {
	l.reads.Add(1)
	if f.info, err = f.dir.Lstat("."); err != nil {
		return 0, err
	}
	file, err := openNames(f.dir.Root)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	s := sorting.New(l.d.sortLimit)
	defer s.Discard()
	for {
		if err := l.interrupted(ctx); err != nil {
			return total, err
		}
		entries, err := file.ReadDir(1024)
		for _, e := range entries {
			total++
			if err := l.sift(f, e, s); err != nil {
				return total, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, err
		}
	}
	f.names, err = newNames(ctx, s)
	return total, err
}

// sift gives one entry to the sorter if the listing may need it.
func (l *lister) sift(f *frame, e fs.DirEntry, s *sorting.Sorter) error {
	name := e.Name()
	if e.IsDir() || e.Type()&fs.ModeSymlink != 0 && l.descends(f, name) {
		name += "/"
	} else if l.d.role == store.RoleDestination {
		if _, ours := l.d.tempTask(name); ours {
			return nil
		}
	}
	key := f.prefix + name
	if l.to != "" && key >= l.to {
		return nil
	}
	holdsFrom := strings.HasSuffix(name, "/") && strings.HasPrefix(l.from, key)
	if key < l.from && !holdsFrom {
		return nil
	}
	return s.Add(name, nil)
}

// descends tells whether a symbolic link is followed into a directory that the walk is not in already.
func (l *lister) descends(f *frame, name string) bool {
	if l.d.options.links != linksFollow {
		return false
	}
	target, err := os.Stat(l.d.native(f.prefix + name))
	return err == nil && target.IsDir() && !l.within(f, target)
}

// within tells whether dir is f or one of the directories above it, by device and inode.
func (l *lister) within(f *frame, dir fs.FileInfo) bool {
	if f.info != nil && os.SameFile(f.info, dir) {
		return true
	}
	for _, above := range l.stack {
		if os.SameFile(above.info, dir) {
			return true
		}
	}
	return false
}

// wants tells whether a key is inside the listing's bounds.
func (l *lister) wants(key string) bool { return key >= l.from && (l.to == "" || key < l.to) }

// files describes the run of names up to the next directory, at most n of them.
func (l *lister) files(f *frame, n int) ([]store.Object, error) {
	run := make([]string, 0, min(n, 64))
	for len(run) < n {
		name, ok, err := f.names.peek()
		if err != nil {
			return nil, fail("list", f.prefix, err)
		}
		if !ok || strings.HasSuffix(name, "/") {
			break
		}
		f.names.take()
		run = append(run, name)
	}
	found := make([]described, len(run))
	l.describeAll(f, run, found)
	page := make([]store.Object, 0, len(run))
	for i := range found {
		if found[i].err != nil {
			return page, found[i].err
		}
		if !found[i].gone {
			page = append(page, found[i].object)
		}
	}
	return page, nil
}

// described is what became of one name.
type described struct {
	object store.Object
	gone   bool
	err    error
}

// statWorkers look at the files of a run of statRun names or more: a network file system takes a round trip for each.
const (
	statWorkers = 8
	statRun     = 64
)

func (l *lister) describeAll(f *frame, run []string, found []described) {
	if len(run) < statRun {
		for i, name := range run {
			found[i] = l.describe(f, name)
		}
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range statWorkers {
		workers.Go(func() {
			for {
				end := int(next.Add(16))
				for i := end - 16; i < min(end, len(run)); i++ {
					found[i] = l.describe(f, run[i])
				}
				if end >= len(run) {
					return
				}
			}
		})
	}
	workers.Wait()
}

// describe looks at one name that was no directory to descend into.
func (l *lister) describe(f *frame, name string) described {
	key := f.prefix + name
	o, info, err := l.d.look(f.dir.Root, key, name)
	switch {
	case isAbsent(err) || errors.Is(err, errIsDir) && !l.within(f, info):
		return described{gone: true}
	case errors.Is(err, errIsDir):
		return described{object: skipped(key, info, "symlink loop")}
	}
	if err = fail("list", key, err); err == nil {
		return described{object: o}
	}
	switch store.ClassOf(err) {
	case store.Auth, store.Permanent:
		return described{object: store.Object{Key: key, Kind: store.KindSkipped, Reason: "unreadable", Err: err}}
	}
	return described{err: err}
}

// skipped is a key that is named but never copied.
func skipped(key string, info fs.FileInfo, reason string) store.Object {
	return store.Object{Key: key, Kind: store.KindSkipped, ModTime: info.ModTime().UTC(), Reason: reason}
}

// directory is the marker of a directory.
func directory(key string, info fs.FileInfo) store.Object {
	return store.Object{Key: key, Kind: store.KindDir, ModTime: info.ModTime().UTC(), Written: changeTime(info)}
}
