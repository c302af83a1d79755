package file

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// mountOf returns the ID of the mount that an open file is in, 0 if the system does not tell. It is not used again while
// the file is open.
func mountOf(f *os.File) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(id), 10, 64) // 0 is unknown
			return n
		}
	}
	return 0
}

// identify describes an open directory. What the system does not tell stays unknown.
func identify(f *os.File, at spot) (store.Identity, error) {
	var id store.Identity
	id.Inode, id.Born = inodeOf(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	m, ok := findMount(at.mount)
	if !ok {
		var s unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
			return id, err
		}
		id.Type = fmt.Sprintf("file system %#x", s.Type)
		return id, nil
	}
	id.Type, id.MountRoot, id.MountPoint = m.kind, clean(m.root), clean(m.point)
	id.MountInode, id.MountBorn = inodeOf(unix.AT_FDCWD, m.point, unix.AT_SYMLINK_NOFOLLOW)
	if isLocal(m.kind) {
		id.Machine = machine()
	} else {
		id.Source = clean(m.source)
	}
	return id, nil
}

// inodeOf returns the number and the birth of an inode; what is not known is 0.
func inodeOf(dir int, name string, flags int) (inode uint64, born int64) {
	var s unix.Statx_t
	if err := unix.Statx(dir, name, flags, unix.STATX_INO|unix.STATX_BTIME, &s); err != nil {
		return 0, 0
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return s.Ino, born
}

// mount is a line of mountinfo.
type mount struct{ root, point, kind, source string }

// findMount finds a mount by its ID. One that was unmounted is not found, nor one outside of a chroot.
func findMount(id uint64) (mount, bool) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || id == 0 {
		return mount{}, false
	}
	want := strconv.FormatUint(id, 10)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, ok := parseMount(lines.Text(), want); ok {
			return m, true
		}
	}
	return mount{}, false
}

// parseMount reads "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS" if it has the wanted ID.
func parseMount(line, id string) (mount, bool) {
	fields := strings.Fields(line)
	dash := slices.Index(fields, "-")
	if len(fields) < 6 || fields[0] != id || dash < 6 || len(fields) < dash+3 {
		return mount{}, false
	}
	return mount{
		root: unescape(fields[3]), point: unescape(fields[4]), kind: fields[dash+1], source: unescape(fields[dash+2]),
	}, true
}

// unescape replaces the octal escapes that mountinfo has for blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isLocal tells whether a file system of this type is on one machine only. Their inodes may be equal on machines made
// from one image, and their sources are devices, whose names change.
func isLocal(kind string) bool {
	switch kind {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "jfs", "reiserfs", "zfs", "tmpfs", "ramfs", "rootfs", "overlay",
		"aufs", "squashfs", "erofs", "iso9660", "udf", "vfat", "exfat", "ntfs", "ntfs3", "hfsplus":
		return true
	}
	return false
}

// machine names this machine; "" where it has no name that lasts.
func machine() string {
	text, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return clean(strings.TrimSpace(string(text)))
}

// pathOf is a path to an open directory that leads there whatever is mounted or unmounted meanwhile, for calls that
// follow links, which os.Root refuses. Without /proc it is the path that the directory was opened by.
func pathOf(h *held) string {
	path := fmt.Sprintf("/proc/self/fd/%d", h.file.Fd())
	if info, err := os.Stat(path); err != nil || !os.SameFile(info, h.spot.info) {
		return h.path
	}
	return path
}
