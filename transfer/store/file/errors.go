package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What an attempt to go down a path may meet.
var (
	errNotDir = errors.New("not a directory")
	errLink   = errors.New("a symbolic link; links are not followed")
)

// fault makes a classified error out of a reason.
func fault(class store.Class, op, key, reason string) error {
	return &store.Error{Op: op, Key: key, Class: class, Err: errors.New(reason)}
}

// fail classifies an error of the operating system. What is classified already stays as it is.
func fail(op, key string, err error) error {
	var done *store.Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	e := &store.Error{Op: op, Key: key, Err: rootCause(err), Class: store.Transient}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		e.Class, e.Code = classOfErrno(errno), nameOfErrno(errno)
	case errors.Is(err, fs.ErrNotExist):
		e.Class = store.NotFound
	case errors.Is(err, fs.ErrPermission):
		e.Class = store.Auth
	case errors.Is(err, fs.ErrExist):
		e.Class = store.Precondition
	case errors.Is(err, errNotDir), errors.Is(err, errLink), errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrClosed):
		e.Class = store.Permanent
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Class = store.Canceled
	}
	if e.Class == store.Full {
		e.Hint = "make room or writable, then run the job again"
	}
	return e
}

// atRoot classifies an error that the root itself gave, and names its path: what is permanent for a key is a wrong
// configuration here.
func atRoot(op, path string, err error) error {
	err = fail(op, "", err)
	var e *store.Error
	if !errors.As(err, &e) || e.Class == store.Misconfigured {
		return err
	}
	named := *e
	named.Err = fmt.Errorf("%s: %w", path, e.Err)
	if named.Class == store.Permanent {
		named.Class = store.Misconfigured
	}
	return &named
}

// stopped is the error of an operation whose ctx is over, or nil.
func stopped(ctx context.Context, op, key string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &store.Error{Op: op, Key: key, Class: store.Canceled, Err: context.Cause(ctx)}
}

// rootCause drops the operation and the path that package os puts around an error: both would name what the user does
// not know, a temporary file or a path relative to some handle.
func rootCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

// isMissing tells that a name, or a directory on the way to it, does not exist.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// isAbsent tells that no object can be at a path: nothing is there, or something that is no directory is on the way.
func isAbsent(err error) bool {
	return isMissing(err) || errors.Is(err, errNotDir) || errors.Is(err, syscall.ENOTDIR)
}
