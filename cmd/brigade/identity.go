package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// canonical gives a location one spelling, so that the same place is recognised on the next run.
func canonical(l store.Location) store.Location {
	if l.Scheme == "file" {
		l.Path = filepath.ToSlash(nativePath(l.Path))
		if !strings.HasPrefix(l.Path, "/") {
			l.Path = "/" + l.Path // C:/dir
		}
	}
	return l
}

// nativePath turns the path of a file location into one of this system: "/C:/dir" is C:\dir on Windows.
func nativePath(path string) string {
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	return filepath.Clean(filepath.FromSlash(path))
}

// defaultID derives the ID of a job without a name from its type and both canonical URLs.
func defaultID(kind, source, destination string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + source + "\n" + destination))
	return "import-" + hex.EncodeToString(sum[:6])
}

// jobPaths are the places on disk that belong to one job.
type jobPaths struct {
	dir string // state: log, snapshots, spool, report files
	key string // seals the credentials in dir; beside it, so that a copy of dir gives nothing away
}

// keySuffix ends the name of a key file, and so may not end an ID.
const keySuffix = ".key"

// pathsOf places the state of job id below base, or below the user's state directory where base is "".
func (a *app) pathsOf(base, id string) (jobPaths, error) {
	if strings.HasSuffix(id, keySuffix) {
		return jobPaths{}, misuse(fmt.Errorf("id %q: IDs that end in %q are kept for key files", id, keySuffix))
	}
	if base == "" {
		var err error
		if base, err = a.stateHome(); err != nil {
			return jobPaths{}, err
		}
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return jobPaths{}, refused(fmt.Errorf("find state directory: %w", err))
	}
	jobs := filepath.Join(base, "jobs")
	return jobPaths{dir: filepath.Join(jobs, id), key: filepath.Join(jobs, id+keySuffix)}, nil
}

// stateHome is where state goes by default: $XDG_STATE_HOME/brigade, as the XDG base directory specification has it.
func (a *app) stateHome() (string, error) {
	if dir := a.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "brigade"), nil
	}
	if runtime.GOOS == "windows" {
		if dir := a.getenv("LOCALAPPDATA"); dir != "" {
			return filepath.Join(dir, "brigade"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", refused(fmt.Errorf("find state directory: %w; set XDG_STATE_HOME or give --state-dir", err))
	}
	return filepath.Join(home, ".local", "state", "brigade"), nil
}
