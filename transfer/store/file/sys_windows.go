package file

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// openNonblock has no meaning here.
const openNonblock = 0

func nameMax(string) int { return defaultNameMax }

// openNames opens a directory for reading its names.
func openNames(dir *os.Root) (*os.File, error) { return dir.Open(".") }

// syncDir does nothing: NTFS journals names, and directories cannot be flushed.
func syncDir(*os.File) error { return nil }

// setLinkTime does nothing: links are told apart by their targets.
func setLinkTime(*os.Root, string, time.Time) error { return nil }

// changeTime is not told by this system's listings.
func changeTime(fs.FileInfo) time.Time { return time.Time{} }

// adviseSequential does nothing.
func adviseSequential(*os.File, int64, int64) {}

// allocate reserves the space of a file: setting the size does so on NTFS.
func allocate(f *os.File, size int64) error { return f.Truncate(size) }

// renameNew is not offered: a hard link does the same.
func renameNew(*os.Root, string, string) (supported bool, err error) { return false, nil }

func nameOfErrno(errno syscall.Errno) string { return "error " + strconv.Itoa(int(errno)) }

// classOfErrno says what an error number means for a copy.
func classOfErrno(errno syscall.Errno) store.Class {
	switch errno {
	case windows.ERROR_FILE_NOT_FOUND, windows.ERROR_PATH_NOT_FOUND:
		return store.NotFound
	case windows.ERROR_ACCESS_DENIED, syscall.EACCES, syscall.EPERM:
		return store.Auth
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
		windows.ERROR_WRITE_PROTECT, syscall.ENOSPC, syscall.EROFS:
		return store.Full
	case windows.ERROR_FILE_EXISTS, windows.ERROR_ALREADY_EXISTS, syscall.EEXIST:
		return store.Precondition
	case windows.ERROR_INVALID_NAME, windows.ERROR_FILENAME_EXCED_RANGE, windows.ERROR_DIR_NOT_EMPTY,
		windows.ERROR_DIRECTORY, syscall.EISDIR, syscall.EINVAL, syscall.ENAMETOOLONG:
		return store.Permanent
	}
	return store.Transient
}
