package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset lies far beyond the content of the lock file: Windows refuses reading what is locked, and the content is
// for others to read.
const lockOffset = 1 << 30

// lockFile takes the exclusive lock of an open file, or returns errLockHeld at once.
func lockFile(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errLockHeld
	}
	return err
}

// syncDir does nothing: NTFS journals names, and a directory cannot be flushed.
func syncDir(string) error { return nil }

// diskSpace returns the bytes that this process may still write at path, and the size of its volume.
func diskSpace(path string) (free, total uint64, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %s: %w", path, err)
	}
	if err := windows.GetDiskFreeSpaceEx(name, &free, &total, nil); err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %s: %w", path, err)
	}
	return free, total, nil
}

// checkPrivate accepts every file: modes say nothing here, the access list inherited from the user's folder does.
func checkPrivate(string, fs.FileInfo) error { return nil }
