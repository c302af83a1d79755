package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// tempPrefix starts the names of files that are not complete yet.
const tempPrefix = ".tmp-"

// writeFile makes or replaces a file (mode 0600) so that after a crash it is there in full or not at all.
func writeFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	// From here on the file is not ours to remove: the rename took place.
	if syncErr := syncDir(dir); syncErr != nil {
		return fmt.Errorf("write %s: %w", path, syncErr)
	}
	return nil
}

// makeDir creates a directory with mode 0700, parents included, and makes its name durable.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	return nil
}
