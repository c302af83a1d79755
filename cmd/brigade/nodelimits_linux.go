package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// prepareProcess keeps what is in memory, keys and credentials, out of core dumps and away from debuggers of the same user,
// unless they are allowed.
func prepareProcess(coreDumps bool) error {
	if coreDumps {
		return nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	if _, err := os.ReadDir("/proc/self/fdinfo"); !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	// Kernels before 5.14 hide from such a process, unless it is root's, what tells one mount from another, and without that no
	// path is safe to copy from. Core dumps stay off by their limit.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("let the process see its own mounts: %w", err)
	}
	return nil
}

// fewFiles is the limit of open files below which a busy node may run into it.
const fewFiles = 4096

// logLimits says what the process may do. That the limit of open files is as high as the system lets it be is the Go runtime's
// doing, which raises it at each start.
func logLimits(logger *slog.Logger) {
	var files, core unix.Rlimit
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err = errors.Join(err, unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_CORE, &core)); err != nil {
		logger.Warn("limits of the process are not known", "error", err)
		return
	}
	if files.Cur < fewFiles {
		logger.Warn("few files may be open at once; raise the hard limit (ulimit -Hn, LimitNOFILE=)", "limit", files.Cur)
	}
	logger.Debug("limits of the process", "open_files", files.Cur, "core_bytes", core.Max, "dumpable", dumpable)
}
