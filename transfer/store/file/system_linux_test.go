package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// exchange swaps two names again and again while f runs.
func exchange(t *testing.T, a, b string, f func()) {
	t.Helper()
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange: %v", err)
				return
			}
		}
	})
	f()
	close(stop)
	swapper.Wait()
}

// A directory that turns into a link while writes run must never lead one elsewhere, neither outside the root nor to
// another directory in it.
func TestWritesRaceWithLinks(t *testing.T) {
	for _, inside := range []bool{false, true} {
		dir, target := t.TempDir(), t.TempDir()
		if inside {
			target = filepath.Join(dir, "target")
			write(t, dir, "target/")
		}
		write(t, dir, "d/")
		link, err := filepath.Rel(dir, target)
		must(t, err)
		must(t, os.Symlink(link, filepath.Join(dir, "l")))
		dst := open(t, dir, store.RoleDestination)
		wrote := 0
		exchange(t, filepath.Join(dir, "d"), filepath.Join(dir, "l"), func() {
			for i := range 3000 {
				if _, err := dst.Put(t.Context(), fmt.Sprintf("d/f%d", i%10), body("x"), store.PutOptions{}); err == nil {
					wrote++
				}
			}
		})
		if got := paths(t, target); len(got) != 0 {
			t.Errorf("%d writes, link inside the root %v: written elsewhere %q", wrote, inside, got)
		}
	}
}

// A file that turns into a link while it is opened must never give the content of another.
func TestReadsRaceWithLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "other")
	must(t, os.Symlink("other", filepath.Join(dir, "l")))
	src := open(t, dir, store.RoleSource)
	exchange(t, filepath.Join(dir, "f"), filepath.Join(dir, "l"), func() {
		for range 20_000 {
			r, _, err := src.Open(t.Context(), "f", store.OpenOptions{Length: -1})
			if err != nil {
				continue // a link just then
			}
			b, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || string(b) != "f" {
				t.Errorf("read %q, %v", b, err)
				return
			}
		}
	})
}

// unprivileged runs f on a thread whose file accesses are those of nobody; a test run by a user runs it as it is. The
// thread ends with f.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread is not used again
		if err := errors.Join(unix.Setfsgid(65534), unix.Setfsuid(65534)); err != nil {
			t.Errorf("become nobody: %v", err)
			return
		}
		f()
	}()
	<-done
}

// closed makes a path below dir inaccessible with the given mode, until the test ends.
func closed(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	must(t, os.Chmod(path, mode))
	t.Cleanup(func() { must(t, os.Chmod(path, 0o777)) })
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "locked/x", "names/x", "secret", "z/y")
	src, dst := open(t, dir, store.RoleSource), open(t, dir, store.RoleDestination)
	for _, s := range []*disk{src, dst} { // the root is opened before the rights are gone
		_, err := s.Check(t.Context())
		must(t, err)
	}
	closed(t, filepath.Join(dir, "locked"), 0)
	closed(t, filepath.Join(dir, "names"), 0o444) // its names can be read, not what they are
	closed(t, filepath.Join(dir, "secret"), 0)
	unprivileged(t, func() {
		got, err := drain(t.Context(), src.List(store.ListOptions{}))
		if err != nil {
			t.Errorf("list: %v", err)
		}
		want := []string{"a object", "locked/ skipped unreadable directory", "names/ skipped unreadable directory", "secret object", "z/y object"}
		if diff := cmp.Diff(want, brief(got)); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
		for _, o := range got {
			if strings.HasPrefix(o.Reason, "unreadable") {
				wantClass(t, "list "+o.Key, o.Err, store.Auth, o.Key)
			}
		}
		_, _, err = src.Open(t.Context(), "secret", store.OpenOptions{Length: -1})
		wantClass(t, "open", err, store.Auth, "secret")
		_, err = src.Stat(t.Context(), "locked/")
		wantClass(t, "stat of what cannot be listed", err, store.Auth, "locked/")
		_, err = src.Stat(t.Context(), "locked/x")
		wantClass(t, "stat in it", err, store.Auth, "locked/x")

		there, err := drain(t.Context(), dst.List(store.ListOptions{To: "m"}))
		if err != nil || !slices.Equal(brief(there), []string{"a object", "locked/ dir unreadable directory"}) {
			t.Errorf("destination lists %q, %v", brief(there), err)
		}
	})
}

func TestUnreadableTarget(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // testing keeps it for the owner
	write(t, far, "x")
	write(t, dir, "z")
	must(t, os.Symlink(filepath.Join(far, "x"), filepath.Join(dir, "link")))
	src := open(t, dir, store.RoleSource, "links=follow")
	closed(t, far, 0)
	unprivileged(t, func() {
		got, err := drain(t.Context(), src.List(store.ListOptions{}))
		if err != nil || !slices.Equal(brief(got), []string{"link skipped unreadable", "z object"}) {
			t.Errorf("listed %q, %v", brief(got), err)
			return
		}
		wantClass(t, "list link", got[0].Err, store.Auth, "link")
	})
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "old")
	dst := open(t, dir, store.RoleDestination)
	_, err := dst.Check(t.Context())
	must(t, err)
	closed(t, dir, 0o555)
	unprivileged(t, func() {
		for key, opts := range map[string]store.PutOptions{
			"old": {}, "new": {}, "dir/new": {}, "dir/": {Kind: store.KindDir}, "link": {Kind: store.KindSymlink, Target: "x"},
		} {
			_, err := dst.Put(t.Context(), key, store.Body{}, opts)
			wantClass(t, "put "+key, err, store.Auth, key)
		}
		wantClass(t, "delete", dst.Delete(t.Context(), "old"), store.Auth, "old")
	})
	if got := paths(t, dir); !slices.Equal(got, []string{"old"}) {
		t.Errorf("left %q", got)
	}
}

func TestUnreadableRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(dir, 0o777))
	must(t, os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)) // testing keeps it for the owner
	src := open(t, dir, store.RoleSource)
	closed(t, dir, 0)
	unprivileged(t, func() {
		_, err := src.Check(t.Context())
		wantClass(t, "check", err, store.Auth)
		_, err = src.List(store.ListOptions{}).Next(t.Context())
		wantClass(t, "list", err, store.Auth)
	})
}

func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file")
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	at, err := os.Getwd()
	must(t, err)
	t.Chdir(dir) // the path of a socket may be no longer than 108 bytes
	l, err := net.Listen("unix", "socket")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	t.Chdir(at)
	must(t, os.Symlink("/dev/null", filepath.Join(dir, "device")))
	must(t, os.Symlink("pipe", filepath.Join(dir, "to-pipe")))
	src := open(t, dir, store.RoleSource, "links=follow")
	got, _ := listAll(t, src, store.ListOptions{})
	want := []string{"device skipped device", "file object", "pipe skipped pipe", "socket skipped socket", "to-pipe skipped pipe"}
	if diff := cmp.Diff(want, brief(got)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for _, o := range got {
		checkAgrees(t, src, o)
	}
}

// fullDir tells a test process started by TestFullDisk where to work, and fullBy what limits it there.
const (
	fullDir = "BRIGADE_TEST_FULL_DIR"
	fullBy  = "BRIGADE_TEST_FULL_BY"
)

// TestFullDisk runs itself again in a mount namespace with a small tmpfs, as root or in a user namespace, and once more
// under a limit of the file size, for which every system lets a user ask.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv(fullDir); dir != "" {
		fullDisk(t, dir, os.Getenv(fullBy))
		return
	}
	if out, err := again(t, "rlimit", nil); err != nil {
		t.Errorf("with a limited file size: %v\n%s", err, out)
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := again(t, "tmpfs", attr)
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) || os.Geteuid() == 0:
		t.Errorf("on a full tmpfs: %v\n%s", err, out)
	default:
		t.Logf("no namespaces for users here (%v): only the limited file size was tested", err)
	}
}

func again(t *testing.T, by string, attr *syscall.SysProcAttr) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), fullDir+"="+t.TempDir(), fullBy+"="+by)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func fullDisk(t *testing.T, dir, by string) {
	const room = 1 << 20
	class := store.Full
	if by == "tmpfs" {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		must(t, unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", room)))
	} else {
		class = store.Permanent // a file too large is the file's own failure
		signal.Ignore(unix.SIGXFSZ)
		must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: room}))
	}
	dst := open(t, dir, store.RoleDestination)
	write(t, dir, "kept")
	big := bytes.Repeat([]byte("x"), 2*room)
	_, err := dst.Put(t.Context(), "kept", store.Body{Bytes: big, Size: int64(len(big))}, store.PutOptions{})
	wantClass(t, "put bytes", err, class, "kept")
	_, err = dst.Put(t.Context(), "d/stream", store.Body{Reader: bytes.NewReader(big), Size: int64(len(big))}, store.PutOptions{})
	wantClass(t, "put stream", err, class, "d/stream")
	_, err = dst.CreateRanged(t.Context(), "ranged", int64(len(big)), store.PutOptions{})
	wantClass(t, "create", err, class, "ranged")
	if _, err := dst.Put(t.Context(), "small", body("x"), store.PutOptions{}); err != nil {
		t.Errorf("put of what fits: %v", err)
	}
	if got := paths(t, dir); !slices.Equal(got, []string{"d/", "kept", "small"}) {
		t.Errorf("left %q", got)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || string(got) != "kept" {
		t.Errorf("the old content became %d bytes, %v", len(got), err)
	}
	if by == "tmpfs" {
		must(t, unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		readOnly(t, dst)
	}
}

func readOnly(t *testing.T, dst *disk) {
	_, err := dst.Check(t.Context())
	must(t, err)
	for _, key := range []string{"kept", "new", "d2/new"} {
		_, err := dst.Put(t.Context(), key, body("x"), store.PutOptions{})
		wantClass(t, "put on a read-only file system", err, store.Full, key)
	}
	_, err = dst.Put(t.Context(), "d2/", store.Body{}, store.PutOptions{Kind: store.KindDir})
	wantClass(t, "directory on a read-only file system", err, store.Full)
	wantClass(t, "delete on a read-only file system", dst.Delete(t.Context(), "kept"), store.Full)
}

func TestClassesOfErrors(t *testing.T) {
	for errno, class := range map[syscall.Errno]store.Class{
		unix.ENOSPC: store.Full, unix.EDQUOT: store.Full, unix.EROFS: store.Full, unix.EACCES: store.Auth, unix.EPERM: store.Auth,
		unix.ENAMETOOLONG: store.Permanent, unix.ENOTDIR: store.Permanent, unix.EISDIR: store.Permanent, unix.EILSEQ: store.Permanent,
		unix.EIO: store.Transient, unix.ESTALE: store.Transient, unix.EMFILE: store.Transient, unix.ENOENT: store.NotFound,
		unix.EEXIST: store.Precondition,
	} {
		err := fail("put", "k", &os.PathError{Op: "openat", Path: tempPrefix + "x", Err: errno})
		wantClass(t, errno.Error(), err, class, errno.Error(), `"k"`)
		if strings.Contains(err.Error(), tempPrefix) || !errors.Is(err, errno) {
			t.Errorf("%v names a temporary file or lost its cause", err)
		}
	}
}

func TestModeFollowsUmask(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	old := unix.Umask(0o027)
	_, err := dst.Put(t.Context(), "d/f", body("x"), store.PutOptions{})
	r, createErr := dst.CreateRanged(t.Context(), "d/r", 0, store.PutOptions{})
	unix.Umask(old)
	must(t, errors.Join(err, createErr))
	_, err = r.Commit(t.Context())
	must(t, err)
	for name, want := range map[string]os.FileMode{"d": 0o750, "d/f": 0o640, "d/r": 0o640} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

// Keys longer than PATH_MAX cannot be given to the system in one piece.
func TestLongKeys(t *testing.T) {
	dir := t.TempDir()
	dst := open(t, dir, store.RoleDestination)
	key := strings.Repeat(strings.Repeat("n", 254)+"/", 16)
	key += strings.Repeat("f", maxKey-len(key))
	_, err := dst.Put(t.Context(), key, body("deep"), store.PutOptions{})
	must(t, err)
	must(t, dst.Flush(t.Context(), []string{key}))
	got, _ := listAll(t, open(t, dir, store.RoleSource), store.ListOptions{})
	if len(got) != 1 || got[0].Key != key {
		t.Fatalf("listed %d keys", len(got))
	}
	r, _, err := dst.Open(t.Context(), key, store.OpenOptions{Offset: 1, Length: 2})
	must(t, err)
	if b, err := io.ReadAll(r); err != nil || string(b) != "ee" {
		t.Errorf("read %q, %v", b, err)
	}
	must(t, r.Close())
	must(t, dst.Delete(t.Context(), key))
}
