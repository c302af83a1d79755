package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func openSpool(t *testing.T) *Spool {
	t.Helper()
	s, err := OpenSpool(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	s.space = func(string) (free, total uint64, err error) { return 1 << 40, 1 << 40, nil }
	return s
}

func put(t *testing.T, s *Spool, data []byte) [32]byte {
	t.Helper()
	name, err := s.Put(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if name != sha256.Sum256(data) {
		t.Errorf("name %x", name)
	}
	return name
}

func TestSpool(t *testing.T) {
	s := openSpool(t)
	for _, data := range [][]byte{{}, []byte("hello"), bytes.Repeat([]byte("x"), MaxSegment)} {
		name := put(t, s, data)
		if put(t, s, data) != name {
			t.Error("storing again gives another name")
		}
		got, err := s.Get(t.Context(), name)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes come back as %d, %v", len(data), len(got), err)
		}
	}
	if _, err := s.Put(t.Context(), make([]byte, MaxSegment+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a segment: %v", err)
	}
	if _, err := s.Get(t.Context(), [32]byte{1}); !errors.Is(err, ErrNoSegment) {
		t.Errorf("a segment that is not there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ended, []byte("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(ended, [32]byte{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSpoolFindsCorruption(t *testing.T) {
	s := openSpool(t)
	data := []byte("the content")
	name := put(t, s, data)
	for what, bad := range map[string][]byte{"changed": []byte("the Content"), "short": data[:3], "empty": nil, "long": append(data, 'x')} {
		if err := os.WriteFile(s.path(name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), name); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v", what, err)
		}
		put(t, s, data)
		if got, err := s.Get(t.Context(), name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: not repaired by storing again: %v", what, err)
		}
	}
}

func TestSpoolListAndRemove(t *testing.T) {
	s := openSpool(t)
	want := map[[32]byte]int64{}
	for i := range 300 {
		data := fmt.Appendf(nil, "%d", i)
		want[put(t, s, data)] = int64(len(data))
	}
	// What else lies there is no segment.
	stray := filepath.Join(s.dir, "00")
	if err := os.MkdirAll(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stray, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list := func() (names [][32]byte) {
		t.Helper()
		for e, err := range s.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if size, ok := want[e.Name]; !ok || size != e.Size || e.ModTime.IsZero() {
				t.Errorf("listed %+v, want size %d", e, size)
			}
			if len(names) > 0 && bytes.Compare(names[len(names)-1][:], e.Name[:]) >= 0 {
				t.Error("not in order")
			}
			names = append(names, e.Name)
		}
		return names
	}
	names := list()
	if len(names) != len(want) {
		t.Fatalf("listed %d of %d", len(names), len(want))
	}
	for _, name := range names[:100] {
		if err := s.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(name); err != nil {
			t.Errorf("removing again: %v", err)
		}
	}
	if left := list(); len(left) != 200 {
		t.Errorf("%d left", len(left))
	}
	for range s.List(t.Context()) {
		break
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.List(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

func TestSpoolFull(t *testing.T) {
	tests := map[string]struct {
		free, total uint64
		full        bool
	}{
		"plenty":           {100 << 30, 200 << 30, false},
		"little of little": {300 << 20, 1 << 30, false},
		"below 256 MiB":    {255 << 20, 1 << 30, true},
		"below 5 percent":  {40 << 30, 1000 << 30, true},
		"nothing":          {0, 1 << 30, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := openSpool(t)
			old := put(t, s, []byte("stored before"))
			s.space = func(string) (uint64, uint64, error) { return test.free, test.total, nil }
			if _, err := s.Put(t.Context(), []byte("new")); errors.Is(err, ErrSpoolFull) != test.full || err != nil && !test.full {
				t.Errorf("got %v", err)
			}
			if put(t, s, []byte("stored before")) != old {
				t.Error("what is there already needs no space")
			}
		})
	}
	s := openSpool(t)
	broken := errors.New("no such disk")
	s.space = func(string) (uint64, uint64, error) { return 0, 0, broken }
	if _, err := s.Put(t.Context(), []byte("new")); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestDiskSpace(t *testing.T) {
	free, total, err := diskSpace(t.TempDir())
	if err != nil || total == 0 || free > total {
		t.Errorf("%d of %d free, %v", free, total, err)
	}
	if _, _, err := diskSpace(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("space of nothing")
	}
}

func TestOpenSpoolRemovesUnfinished(t *testing.T) {
	s := openSpool(t)
	name := put(t, s, []byte("kept"))
	unfinished := filepath.Join(filepath.Dir(s.path(name)), tempPrefix+"123")
	if err := os.WriteFile(unfinished, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSpool(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished file: %v", err)
	}
	if _, err := again.Get(t.Context(), name); err != nil {
		t.Error(err)
	}
}

func TestSpoolFromManySides(t *testing.T) {
	s := openSpool(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20 {
				data := fmt.Appendf(nil, "segment %d", i)
				name, err := s.Put(t.Context(), data)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Get(t.Context(), name); err != nil || !bytes.Equal(got, data) {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
