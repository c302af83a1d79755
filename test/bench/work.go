package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// work is one thing that both programs do.
type work struct {
	Name    string
	Objects int
	Size    int64 // bytes of each
	FromS3  bool  // else from disk

	// What rclone is tuned with: the best that was found for small objects, its defaults for large ones.
	RcloneFlags []string
}

// works are what is measured. rclone's defaults are made for large objects; for small ones it gets as many transfers as
// Brigade has requests in flight, one listing instead of one for each folder, and no HEAD for modification times that
// only metadata would tell.
func works(scale int) []work {
	small := []string{"--transfers", "64", "--checkers", "64", "--fast-list"}
	return []work{
		{Name: "20,000 x 4 KiB, disk to S3", Objects: 20_000 / scale, Size: 4 << 10, RcloneFlags: small},
		{Name: "3 x 1 GiB, disk to S3", Objects: 3, Size: 1 << 30 / int64(scale), RcloneFlags: nil},
		{Name: "20,000 x 4 KiB, S3 to S3", Objects: 20_000 / scale, Size: 4 << 10, FromS3: true, RcloneFlags: append(small, "--use-server-modtime")},
	}
}

// filesPerFolder is how the small files are spread.
const filesPerFolder = 1000

// makeFiles writes the source of a work on disk.
func makeFiles(dir string, w work) error {
	random := rand.NewChaCha8([32]byte{byte(w.Objects), byte(w.Size >> 10)})
	for i := range w.Objects {
		folder := filepath.Join(dir, fmt.Sprintf("d%03d", i/filesPerFolder))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := makeFile(filepath.Join(folder, fmt.Sprintf("f%06d", i)), random, w.Size); err != nil {
			return err
		}
	}
	return nil
}

func makeFile(path string, random io.Reader, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	b := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(b, random, size); err != nil {
		f.Close()
		return fmt.Errorf("fill file: %w", err)
	}
	if err := b.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("fill file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	return nil
}
