package file

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func nameMax(string) int { return defaultNameMax }

// changeTime returns when the file system last changed the file's record, or the zero time.
func changeTime(info fs.FileInfo) time.Time {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(s.Ctimespec.Unix()).UTC()
}

// adviseSequential does nothing: macOS detects sequential reads by itself.
func adviseSequential(*os.File, int64, int64) {}

// allocate reserves the space of a file, so that a full disk shows before any byte is sent.
func allocate(f *os.File, size int64) error {
	want := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: size}
	err := unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE, &want)
	if err != nil && !errnoIn(err, unix.ENOTSUP, unix.EINVAL) {
		return err
	}
	return f.Truncate(size)
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
	err = unix.RenameatxNp(fd, oldname, fd, newname, unix.RENAME_EXCL)
	if errnoIn(err, unix.EINVAL, unix.ENOSYS, unix.ENOTSUP) {
		return false, nil
	}
	return true, err
}
