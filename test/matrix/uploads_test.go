package matrix_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// partsKey is the object that goes in parts; the job uses them from 64 MiB.
const (
	partsKey  = "big 大.bin"
	partsSize = 72 << 20
)

// TestInterruptedUploads: into every kind of store that takes parts, a copy that is killed goes on with the parts that
// arrived, leaves no upload behind, and does not touch an upload of somebody else's at the same key.
func TestInterruptedUploads(t *testing.T) {
	o := thing{key: partsKey, size: partsSize}
	content := o.content()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, partsKey), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range stands(t) {
		dst := s.open(t, "parts", store.RoleDestination)
		m, ok := dst.(store.Multiparter)
		if !ok || s.keepsUploads {
			t.Logf("%s takes no parts, or keeps uploads", s.scheme)
			continue
		}
		t.Run(s.scheme, func(t *testing.T) { interrupt(t, s, dst, m, folder, content) })
	}
}

func interrupt(t *testing.T, s *stand, dst store.Destination, m store.Multiparter, folder string, content []byte) {
	foreign := openForeign(t, m)
	before := openUploads(t, s, m)
	args := []string{"--set", "limits.bandwidth=24M", folder, s.location("parts").String()}
	state := filepath.Join(t.TempDir(), "state")
	first := start(t, state, s.env("DST"), args...)
	ours, held := waitForParts(t, s, m, before)
	first.kill()
	args[1] = "limits.bandwidth=off"
	out := start(t, state, s.env("DST"), args...).wait(t)
	if out.code != 0 || out.Objects["copied"] != 1 {
		t.Fatalf("exit %d, %v\n%s", out.code, out.Objects, tail(out.stderr))
	}
	r, _, err := dst.Open(t.Context(), partsKey, store.OpenOptions{Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes arrived, %v; they equal: %t", len(got), err, bytes.Equal(got, content))
	}
	// The second run sent less than all, because the parts of the first were taken.
	if moved := out.Bytes["moved"]; moved >= partsSize {
		t.Errorf("the second run moved %d bytes, although %d parts of upload %s were there", moved, held, ours)
	}
	for _, u := range openUploads(t, s, m) {
		if !slices.Contains(before, u) {
			t.Errorf("upload %s is left", u)
		}
	}
	if s.dropsParts {
		return
	}
	if parts, err := m.ListParts(t.Context(), partsKey, foreign); err != nil || len(parts) != 1 {
		t.Errorf("somebody else's upload has parts %v, %v", parts, err)
	}
}

// openForeign opens an upload that is none of the job's and sends one part.
func openForeign(t *testing.T, m store.Multiparter) string {
	t.Helper()
	id, err := m.CreateUpload(t.Context(), partsKey, store.PutOptions{Size: 10 << 20, PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.Repeat([]byte("f"), 5<<20)
	if _, err := m.UploadPart(t.Context(), partsKey, id, 1, store.Body{Bytes: part, Size: int64(len(part))}); err != nil {
		t.Fatal(err)
	}
	return id
}

// openUploads are the IDs of the uploads at the key.
func openUploads(t *testing.T, s *stand, m store.Multiparter) (ids []string) {
	t.Helper()
	if s.bucketOf != nil {
		for _, u := range s.bucketOf.Uploads() {
			ids = append(ids, u.ID)
		}
		return ids
	}
	uploads, err := m.ListUploads(t.Context(), partsKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads {
		ids = append(ids, u.ID)
	}
	return ids
}

// partsOf counts the parts of an upload.
func partsOf(t *testing.T, m store.Multiparter, id string) int {
	t.Helper()
	held, err := m.ListParts(t.Context(), partsKey, id)
	if err != nil {
		return 0 // it may be completed by now
	}
	return len(held)
}

// waitForParts waits until the job's upload has parts.
func waitForParts(t *testing.T, s *stand, m store.Multiparter, before []string) (id string, parts int) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for limit := time.After(time.Minute); ; {
		for _, u := range openUploads(t, s, m) {
			if slices.Contains(before, u) {
				continue
			}
			if held := partsOf(t, m, u); held >= 2 {
				return u, held
			}
		}
		select {
		case <-poll.C:
		case <-limit:
			t.Fatal("no parts arrived")
		}
	}
}
