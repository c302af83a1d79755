//go:build linux || darwin

package file

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// openNonblock keeps an open from waiting for the other end of a pipe.
const openNonblock = unix.O_NONBLOCK

// openNames opens a directory for reading its names. Files opened through an os.Root lstat every entry they read, which
// costs a round trip each on a network file system; a duplicate of the descriptor does not.
func openNames(dir *os.Root) (*os.File, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// syncDir makes the names in an open directory durable.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	if errnoIn(err, unix.EINVAL, unix.ENOTSUP, unix.EBADF) {
		return nil // this file system has no such thing for directories
	}
	return err
}

// setLinkTime sets the modification time of a symbolic link itself.
func setLinkTime(dir *os.Root, name string, mtime time.Time) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := unix.TimeToTimespec(mtime)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(int(f.Fd()), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// errnoIn tells whether an error is one of these error numbers.
func errnoIn(err error, set ...syscall.Errno) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains(set, errno)
}

func nameOfErrno(errno syscall.Errno) string { return unix.ErrnoName(errno) }

// classOfErrno says what an error number means for a copy.
func classOfErrno(errno syscall.Errno) store.Class {
	switch errno {
	case unix.ENOENT:
		return store.NotFound
	case unix.EACCES, unix.EPERM:
		return store.Auth
	case unix.ENOSPC, unix.EDQUOT, unix.EROFS:
		return store.Full
	case unix.EEXIST:
		return store.Precondition
	case unix.ENAMETOOLONG, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.EILSEQ, unix.EINVAL, unix.EFBIG, unix.ENOTEMPTY,
		unix.EXDEV, unix.EMLINK, unix.ENXIO, unix.EOVERFLOW, unix.ENOTSUP:
		return store.Permanent
	}
	return store.Transient // EIO, ESTALE, EMFILE, ETIMEDOUT and others
}
