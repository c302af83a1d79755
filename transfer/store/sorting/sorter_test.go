package sorting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pairs reads all that is sorted, as "key=value".
func pairs(t *testing.T, s *Sorted) (all []string) {
	t.Helper()
	for {
		key, value, ok, err := s.Peek()
		must(t, err)
		if !ok {
			return all
		}
		again, _, _, err := s.Peek()
		if err != nil || again != key {
			t.Fatalf("peek %q, again %q, %v", key, again, err)
		}
		all = append(all, key+"="+string(value))
		s.Take()
	}
}

// odd makes keys that sort otherwise in UTF-16, without case, and by length.
func odd(rng *rand.Rand) string {
	letters := []string{"a", "B", "b", "-", "/", "0", "~", " ", "\xff", "\x01", "é", "\U0001f600", "\uffee", "\x00"}
	key := ""
	for range rng.IntN(6) {
		key += letters[rng.IntN(len(letters))]
	}
	return key
}

func TestSorterSortsByBytesWithinAnyLimit(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, limit := range []int{0, 1, 40, 300, 5000, 1 << 20} {
		rng := rand.New(rand.NewPCG(7, uint64(limit)))
		s := New(limit)
		defer s.Discard()
		var want []string
		for i := range 5000 { // with limit 0, a run each: more than FanIn runs of FanIn runs
			key := fmt.Sprintf("%s%04d", odd(rng), rng.IntN(5000)*5000+i)
			value := strings.Repeat("v", rng.IntN(20))
			want = append(want, key+"="+value)
			must(t, s.Add(key, []byte(value)))
		}
		if s.Len() != 5000 {
			t.Errorf("limit %d: %d records", limit, s.Len())
		}
		slices.SortFunc(want, func(a, b string) int {
			ka, _, _ := strings.Cut(a, "=")
			kb, _, _ := strings.Cut(b, "=")
			return strings.Compare(ka, kb)
		})
		sorted, err := s.Sorted(t.Context())
		must(t, err)
		if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
			t.Errorf("limit %d: %d temporary files with a name, %v", limit, len(left), err)
		}
		if got := pairs(t, sorted); !slices.Equal(got, want) {
			t.Errorf("limit %d: %d records, want %d in order", limit, len(got), len(want))
		}
		sorted.Close()
		sorted.Close()
	}
}

func TestSorterOfNothing(t *testing.T) {
	sorted, err := New(10).Sorted(t.Context())
	must(t, err)
	if got := pairs(t, sorted); len(got) != 0 {
		t.Errorf("%q out of nothing", got)
	}
}

// openFiles counts the open files of this process that have no name any more.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.Contains(to, "brigade-sort-") {
			n++
		}
	}
	return n
}

func TestSorterLeavesNoFileOpen(t *testing.T) {
	before := openFiles(t)
	dropped := New(1)
	must(t, dropped.Add("a", nil))
	must(t, dropped.Add("b", nil))
	dropped.Discard()
	dropped.Discard()
	taken := New(1)
	must(t, taken.Add("a", nil))
	must(t, taken.Add("b", nil))
	sorted, err := taken.Sorted(t.Context())
	must(t, err)
	taken.Discard() // what was handed over is not the sorter's any more
	if got := pairs(t, sorted); len(got) != 2 {
		t.Errorf("%q after the sorter was discarded", got)
	}
	sorted.Close()
	if left := openFiles(t) - before; left != 0 {
		t.Errorf("%d temporary files left open", left)
	}
}

func TestSorterStopsWithItsContext(t *testing.T) {
	s := New(1)
	defer s.Discard()
	for i := range FanIn + 2 {
		must(t, s.Add(fmt.Sprint(i), nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sorted(ctx); store.ClassOf(err) != store.Canceled {
		t.Errorf("sorted with a ctx that is over: %v", err)
	}
}

func TestSorterWithoutAPlaceForItsRuns(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	s := New(1)
	must(t, s.Add("a", nil))
	err := s.Add("b", nil)
	if store.ClassOf(err) != store.Misconfigured || !strings.Contains(err.Error(), "TMPDIR") || errors.Is(err, os.ErrNotExist) {
		t.Errorf("add: %v of class %q", err, store.ClassOf(err))
	}
}

func TestSorterTellsOfDamagedRuns(t *testing.T) {
	for name, damage := range map[string]func(f *os.File) error{
		"cut short":        func(f *os.File) error { return f.Truncate(5) },
		"a huge record":    func(f *os.File) error { _, err := f.WriteAt([]byte("\xff\xff\xff\xff\xff\x7f"), 0); return err },
		"no length at all": func(f *os.File) error { _, err := f.WriteAt([]byte(strings.Repeat("\xff", 12)), 0); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := New(1)
			defer s.Discard()
			for i := range 3 {
				must(t, s.Add(fmt.Sprint("key", i), []byte("value of some length")))
			}
			must(t, damage(s.runs.f))
			sorted, err := s.Sorted(t.Context())
			for err == nil {
				var ok bool
				if _, _, ok, err = sorted.Peek(); err == nil && !ok {
					t.Fatal("all records were read out of a damaged file")
				}
				sorted.Take()
			}
			if store.ClassOf(err) != store.Misconfigured {
				t.Errorf("%v of class %q", err, store.ClassOf(err))
			}
		})
	}
}

func TestSorterRefusesWhatItCouldNotReadAgain(t *testing.T) {
	if err := New(1).Add("a", make([]byte, maxField+1)); store.ClassOf(err) != store.Permanent {
		t.Errorf("a record beyond the limit: %v", err)
	}
}
