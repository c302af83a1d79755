package file

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bucketbrigade/brigade/transfer/store"
)

const inMounts = "BRIGADE_TEST_MOUNTS"

// withMounts runs a test again in a mount namespace of its own, as root or in a user namespace, where f may mount and
// unmount. Without root and without user namespaces only CI insists.
func withMounts(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(inMounts) == t.Name() {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		f(t)
		return
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inMounts+"="+t.Name())
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) || os.Geteuid() == 0 || os.Getenv("CI") == "true":
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	default:
		t.Skipf("mounts need root, and there are no namespaces for users here: %v", err)
	}
}

// stage is a tmpfs at a mount point, seen at a second place too, so that one can look at it when it is gone from the first.
type stage struct{ point, window string }

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{point: filepath.Join(dir, "point"), window: filepath.Join(dir, "window")}
	must(t, os.Mkdir(s.point, 0o755))
	must(t, os.Mkdir(s.window, 0o755))
	s.mountNew(t)
	must(t, unix.Mount(s.point, s.window, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(s.window, unix.MNT_DETACH)) })
	return s
}

func (s *stage) mountNew(t *testing.T) {
	t.Helper()
	must(t, unix.Mount("none", s.point, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { _ = unix.Unmount(s.point, unix.MNT_DETACH) }) // unless the test did
}

// drop takes the tmpfs away although it is in use.
func (s *stage) drop(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(s.point, 0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount while the store is open: %v, want it busy", err)
	}
	must(t, unix.Unmount(s.point, unix.MNT_DETACH))
}

// elsewhere checks that a store knows that its path leads elsewhere now.
func elsewhere(t *testing.T, d *disk) {
	t.Helper()
	wantClass(t, "same place", d.SamePlace(t.Context()), store.Misconfigured, "unmounted")
}

func identity(t *testing.T, d *disk) store.Identity {
	t.Helper()
	id, err := d.Identity(t.Context())
	must(t, err)
	return id
}

// TestSourceOutlivesUnmount: an unmount under a listing or a read changes nothing of what they find, whatever the rule for
// links is.
func TestSourceOutlivesUnmount(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		for _, links := range []string{"skip", "follow"} {
			s := newStage(t)
			write(t, s.point, "a", "d/b", "d/c", "e/f")
			must(t, os.Symlink("../a", filepath.Join(s.point, "d", "link")))
			must(t, os.Symlink("e", filepath.Join(s.point, "linked")))
			src := open(t, s.point, store.RoleSource, "links="+links)
			want, _ := listAll(t, src, store.ListOptions{})
			l := src.List(store.ListOptions{Page: 1})
			first, err := l.Next(t.Context())
			must(t, err)
			must(t, src.SamePlace(t.Context()))
			s.drop(t)
			write(t, s.point, "d/decoy", "decoy", "d/b")
			rest, err := drain(t.Context(), l)
			if got := keysOf(append(first, rest...)); err != nil || !slices.Equal(got, keysOf(want)) {
				t.Errorf("links=%s: listed %q, %v; want %q", links, got, err, keysOf(want))
			}
			if again, _ := listAll(t, src, store.ListOptions{}); !slices.Equal(keysOf(again), keysOf(want)) {
				t.Errorf("links=%s: a new listing has %q, want %q", links, keysOf(again), keysOf(want))
			}
			for _, o := range want {
				if o.Kind == store.KindObject {
					checkAgrees(t, src, o)
				}
			}
			elsewhere(t, src)
			must(t, os.RemoveAll(filepath.Join(s.point, "d")))
			must(t, os.Remove(filepath.Join(s.point, "decoy")))
		}
	})
}

// TestNothingFallsThrough: whatever a destination does after an unmount, it does in the file system that was mounted.
func TestNothingFallsThrough(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		for _, root := range []string{"", "made", "made/later"} {
			s := newStage(t)
			dst := open(t, filepath.Join(s.point, root), store.RoleDestination)
			_, err := dst.Check(t.Context())
			must(t, err)
			must(t, dst.SamePlace(t.Context()))
			before := identity(t, dst)
			if (before.Inode == 0) != (root != "") || before.Type != "tmpfs" || before.MountPoint != s.point || !before.Empty {
				t.Errorf("root %q: identity %+v", root, before)
			}
			s.drop(t)
			elsewhere(t, dst)
			put := func(key string) {
				t.Helper()
				if _, err := dst.Put(t.Context(), key, body("x"), store.PutOptions{Task: 1}); err != nil {
					t.Errorf("root %q: put: %v", root, err)
				}
			}
			put("a")
			put("d/b")
			must(t, dst.Flush(t.Context(), []string{"a", "d/b"}))
			r, err := dst.CreateRanged(t.Context(), "d/ranged", 1, store.PutOptions{Task: 1})
			must(t, err)
			_, err = r.WriteAt([]byte("x"), 0)
			must(t, err)
			_, err = r.Commit(t.Context())
			must(t, err)
			must(t, dst.RemoveTemp(t.Context(), 1, []string{"d/b"}))
			if got := paths(t, s.point); len(got) != 0 {
				t.Errorf("root %q: the bare mount point holds %q", root, got)
			}
			if got := paths(t, filepath.Join(s.window, root)); !slices.Equal(got, []string{"a", "d/", "d/b", "d/ranged"}) {
				t.Errorf("root %q: the file system holds %q", root, got)
			}
			if after := identity(t, dst); after.Inode == 0 || !before.Same(&after) {
				t.Errorf("root %q: made, the identity is %+v, before %+v", root, after, before)
			}
			elsewhere(t, dst)
		}
	})
}

// TestIdentities: the same folder mounted at two places is one place; a bare mount point, another folder of the same file
// system, and another file system are others.
func TestIdentities(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		s := newStage(t)
		write(t, s.point, "one/a", "two/a")
		dir := t.TempDir()
		for _, name := range []string{"one", "same", "two", "bare"} {
			must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		}
		of := func(path string) store.Identity { return identity(t, open(t, path, store.RoleSource)) }
		for at, from := range map[string]string{"one": "one", "same": "one", "two": "two"} {
			must(t, unix.Mount(filepath.Join(s.point, from), filepath.Join(dir, at), "", unix.MS_BIND, ""))
			t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(dir, at), unix.MNT_DETACH)) })
		}
		one := of(filepath.Join(dir, "one"))
		if same := of(filepath.Join(dir, "same")); !one.Same(&same) || !one.SameMount(&same) {
			t.Errorf("the same folder: %s and %s", &one, &same)
		}
		for _, other := range []string{"two", "bare"} {
			if id := of(filepath.Join(dir, other)); one.SameMount(&id) || one.Same(&id) {
				t.Errorf("%s and %s are the same", &one, &id)
			}
		}
		if bare := of(filepath.Join(dir, "bare")); bare.Depth() >= one.Depth() || !bare.Empty || one.Empty {
			t.Errorf("bare %+v, mounted %+v", bare, one)
		}
		a, b := of(filepath.Join(s.point, "one")), of(filepath.Join(s.point, "two"))
		if !a.SameMount(&b) || a.Same(&b) {
			t.Errorf("two folders in one mount: %s and %s", &a, &b)
		}
	})
}

func TestMountinfo(t *testing.T) {
	line := `36 35 98:0 /mnt\0401 /mnt/two\134x rw,noatime master:1 shared:2 - nfs4 srv:/a\040b rw,errors=continue`
	got, ok := parseMount(line, "36")
	if want := (mount{"/mnt 1", `/mnt/two\x`, "nfs4", "srv:/a b"}); !ok || got != want {
		t.Errorf("read %+v, %v; want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "36", "36 35 98:0 / /mnt rw", "36 35 98:0 / /mnt rw - ext4", strings.Replace(line, "36", "37", 1)} {
		if got, ok := parseMount(bad, "36"); ok {
			t.Errorf("of %q it made %+v", bad, got)
		}
	}
}
