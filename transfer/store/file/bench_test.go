package file

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// BenchmarkPut writes 4 KiB files with 64 writers at once, 100 to a directory, and flushes every 5,000 names.
func BenchmarkPut(b *testing.B) {
	const writers, size, flushed = 64, 4 << 10, 5000
	s, err := Open(b.Context(), store.Config{
		Location: store.Location{Scheme: "file", Path: b.TempDir()}, Role: store.RoleDestination, Nonce: testNonce,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := store.Body{Bytes: make([]byte, size), Size: size}
	work := make(chan string)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for key := range work {
				if _, err := s.Put(b.Context(), key, body, store.PutOptions{Task: 1}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.SetBytes(size)
	b.ResetTimer()
	var keys []string
	for i := range b.N {
		key := fmt.Sprintf("dir-%04d/sub/file-%06d", i/100, i)
		keys = append(keys, key)
		work <- key
		if len(keys) == flushed {
			if err := s.(store.Flusher).Flush(b.Context(), keys); err != nil {
				b.Error(err)
			}
			keys = nil
		}
	}
	close(work)
	wg.Wait()
	if err := s.(store.Flusher).Flush(b.Context(), keys); err != nil {
		b.Error(err)
	}
}

// BenchmarkList lists a tree of 20,000 files in 200 directories.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	for i := range 200 {
		sub := filepath.Join(dir, fmt.Sprintf("dir-%03d", i))
		if err := os.Mkdir(sub, 0o777); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%03d", j)), nil, 0o666); err != nil {
				b.Fatal(err)
			}
		}
	}
	s, err := Open(b.Context(), store.Config{Location: store.Location{Scheme: "file", Path: dir}, Role: store.RoleSource})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		l, n := s.List(store.ListOptions{}), 0
		for {
			page, err := l.Next(b.Context())
			if len(page) == 0 {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += len(page)
		}
		if n != 20000 {
			b.Fatalf("listed %d files", n)
		}
	}
	b.ReportMetric(20000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkOpen opens, reads and closes 4 KiB files.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "a", "b", "c")
	if err := os.MkdirAll(path, 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), make([]byte, 4<<10), 0o666); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), store.Config{Location: store.Location{Scheme: "file", Path: dir}, Role: store.RoleSource})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	buf := make([]byte, 8<<10)
	for b.Loop() {
		r, _, err := s.Open(b.Context(), "a/b/c/f", store.OpenOptions{Length: -1})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Read(buf); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
