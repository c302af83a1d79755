package file

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nameMax asks the file system how many bytes a name may have.
func nameMax(path string) int {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil || s.Namelen <= 0 {
		return defaultNameMax
	}
	return int(s.Namelen)
}

// changeTime returns when the file system last changed the file's record, or the zero time.
func changeTime(info fs.FileInfo) time.Time {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(s.Ctim.Unix()).UTC()
}

// adviseSequential tells the kernel that a file will be read from off to its end, so that it reads further ahead.
func adviseSequential(f *os.File, off, length int64) {
	// The call is advice only: whether it fails changes nothing.
	_ = unix.Fadvise(int(f.Fd()), off, length, unix.FADV_SEQUENTIAL)
}

// allocate reserves the space of a file, so that a full disk shows before any byte is sent.
func allocate(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errnoIn(err, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL) {
		return f.Truncate(size)
	}
	return err
}

// renameNew renames oldname to newname in one directory, if and only if newname does not exist; it fails with EEXIST if
// it does. supported is false where the file system cannot.
func renameNew(dir *os.Root, oldname, newname string) (supported bool, err error) {
	f, err := dir.Open(".")
	if err != nil {
		return true, err
	}
	defer f.Close()
	fd := int(f.Fd())
	err = unix.Renameat2(fd, oldname, fd, newname, unix.RENAME_NOREPLACE)
	if errnoIn(err, unix.EINVAL, unix.ENOSYS, unix.ENOTSUP) {
		return false, nil
	}
	return true, err
}
