package file

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// A tree deeper than the handles that a listing keeps open.
func TestListDeepTree(t *testing.T) {
	const depth = 3 * openFrames
	dir := t.TempDir()
	prefix := ""
	var want []string
	for range depth {
		write(t, dir, prefix+"a", prefix+"z")
		want = append(want, prefix+"a", prefix+"z")
		prefix += "d/"
	}
	sort.Strings(want)
	before := descriptors(t)
	src := open(t, dir, store.RoleSource)
	l := src.List(store.ListOptions{Page: 1})
	var got []string
	most := 0
	for {
		page, err := l.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, keysOf(page)...)
		most = max(most, descriptors(t)-before)
	}
	if !slices.Equal(want, got) {
		t.Errorf("%d keys, want %d in order", len(got), len(want))
	}
	if most > openFrames+8 {
		t.Errorf("%d descriptors open at once, want about %d", most, openFrames)
	}
	if left := descriptors(t) - before; left > 2 { // the root's two
		t.Errorf("%d descriptors left open", left)
	}
}

// descriptors counts the open descriptors of this process, or gives 0 where the system does not tell.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

func TestListSortsLargeDirectoriesOnDisk(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(5, 5))
	var want []string
	for i := range 500 {
		name := fmt.Sprintf("%x-%d", rng.Uint64()%100, i)
		if i%50 == 0 {
			name += "/file"
		}
		want = append(want, name)
	}
	write(t, dir, want...)
	sort.Strings(want)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, limit := range []int{1, 150, 6_000, 20_000} {
		src := open(t, dir, store.RoleSource)
		src.sortLimit = limit
		l := src.List(store.ListOptions{Page: 13})
		first, err := l.Next(t.Context())
		must(t, err)
		if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
			t.Errorf("limit %d: %d runs with a name, %v", limit, len(left), err)
		}
		rest, err := drain(t.Context(), l)
		if got := keysOf(append(first, rest...)); err != nil || !slices.Equal(want, got) {
			t.Errorf("limit %d: %d keys, %v; want %d in order", limit, len(got), err, len(want))
		}
	}
	src := open(t, dir, store.RoleSource)
	src.sortLimit = 200
	before := descriptors(t)
	l := src.List(store.ListOptions{Page: 1})
	_, err := l.Next(t.Context())
	must(t, err)
	must(t, l.Close())
	if left := descriptors(t) - before; left > 2 { // the root's two
		t.Errorf("%d descriptors left open after Close", left)
	}
	t.Setenv("TMPDIR", filepath.Join(tmp, "missing"))
	write(t, dir, "below/many/a", "below/many/b", "below/many/c")
	src.sortLimit = 20
	_, err = drain(t.Context(), src.List(store.ListOptions{From: "below/", To: "below0"}))
	wantClass(t, "list without a place for the runs", err, store.Misconfigured, "TMPDIR")
}

// heapPeak runs f and returns how far the heap grew meanwhile, in bytes.
func heapPeak(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, peak := m.HeapAlloc, m.HeapAlloc
	stop := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	})
	f()
	close(stop)
	sampler.Wait()
	return peak - base
}

func TestListHugeDirectoryInBoundedMemory(t *testing.T) {
	const files, perInode, bound = 200_000, 50_000, 24 << 20
	dir := t.TempDir()
	pad := strings.Repeat("p", 200) // all names together take 45 MiB
	for i := range files {
		name := filepath.Join(dir, fmt.Sprintf("%06d%s", (i*7919)%files, pad))
		origin := filepath.Join(dir, fmt.Sprintf("%06d%s", (i/perInode*perInode*7919)%files, pad))
		if i%perInode == 0 { // hard links are cheaper than files, but an inode has only so many
			must(t, os.WriteFile(name, nil, 0o666))
			continue
		}
		must(t, os.Link(origin, name))
	}
	src := open(t, dir, store.RoleSource)
	n, last := 0, ""
	grown := heapPeak(func() {
		l := src.List(store.ListOptions{})
		for {
			page, err := l.Next(t.Context())
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, o := range page {
				if o.Key <= last {
					t.Errorf("%q after %q", o.Key, last)
				}
				last = o.Key
			}
			n += len(page)
		}
	})
	if n != files {
		t.Errorf("%d files listed, want %d", n, files)
	}
	t.Logf("heap grew by %.1f MiB", float64(grown)/(1<<20))
	if grown > bound {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
	}
}
