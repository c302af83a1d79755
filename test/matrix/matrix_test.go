package matrix_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// held is one object as its source tells of it.
type held struct {
	content []byte
	meta    store.Metadata
	modTime time.Time
}

// source is a filled stand, or a list of URLs.
type source struct {
	*stand
	list  string // location of the list; "" is the stand's folder
	holds map[string]held
	skips map[string]string // keys that it cannot hold, with the reason
}

// target is a stand that objects go to.
type target struct {
	*stand
	refuses map[string]string // keys that a plain write to it fails with
}

// TestMatrix moves the same objects through every pair of source and destination.
func TestMatrix(t *testing.T) {
	objects := things()
	all := stands(t)
	sources, targets := make([]*source, len(all)), make([]*target, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() { sources[i], targets[i] = fill(t, s, objects), probe(t, s, objects) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	sources = append(sources, serve(t, objects))
	for _, s := range sources {
		t.Logf("%s: holds %d of %d objects%s", s.scheme, len(s.holds), len(objects), listed(s.skips))
		if len(s.holds) < len(objects)*3/4 {
			t.Errorf("%s takes only %d of %d keys", s.scheme, len(s.holds), len(objects))
		}
	}
	limit := make(chan struct{}, 4)
	t.Run("pairs", func(t *testing.T) {
		for _, from := range sources {
			for _, to := range targets {
				t.Run(from.scheme+" to "+to.scheme, func(t *testing.T) {
					t.Parallel()
					limit <- struct{}{}
					defer func() { <-limit }()
					move(t, from, to)
				})
			}
		}
	})
}

func listed(skips map[string]string) string {
	text := ""
	for _, key := range slices.Sorted(maps.Keys(skips)) {
		text += fmt.Sprintf("\n  not %q: %.200s", key, skips[key])
	}
	return text
}

// each runs a step for every object, several at a time.
func each(objects []thing, step func(o *thing)) {
	work := make(chan *thing)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for o := range work {
				step(o)
			}
		})
	}
	for i := range objects {
		work <- &objects[i]
	}
	close(work)
	wg.Wait()
}

// fill writes the objects to a stand, with as much of their metadata as it keeps, and reads back what it tells of them.
func fill(t *testing.T, s *stand, objects []thing) *source {
	dst := s.open(t, "source", store.RoleDestination)
	src := &source{stand: s, holds: map[string]held{}, skips: map[string]string{}}
	var mu sync.Mutex
	each(objects, func(o *thing) {
		opts := store.PutOptions{Meta: o.meta, ModTime: time.Unix(1_600_000_000+int64(o.size), 0)}
		if f, ok := dst.(store.Fitter); ok {
			opts.Meta, _ = f.Fit(o.meta)
		}
		content := o.content()
		_, err := dst.Put(t.Context(), o.key, store.Body{Bytes: content, Size: int64(len(content))}, opts)
		if f, ok := dst.(store.Flusher); ok && err == nil {
			err = f.Flush(t.Context(), []string{o.key})
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			src.skips[o.key] = err.Error()
			return
		}
		src.holds[o.key] = held{content: content}
	})
	for key, h := range src.holds {
		h.meta, h.modTime = describe(t, dst, key)
		src.holds[key] = h
	}
	return src
}

// serve has nginx serve the objects, and makes a list of their URLs.
func serve(t *testing.T, objects []thing) *source {
	web := servers.StartNginx(t)
	src := &source{stand: &stand{place: place{scheme: store.ListScheme}}, holds: map[string]held{}, skips: map[string]string{}}
	var lines strings.Builder
	for i := range objects {
		o := &objects[i]
		content := o.content()
		name := fmt.Sprintf("%03d %%+中/file.txt", i)
		web.Write(t, name, content)
		fmt.Fprintf(&lines, "%s/files%s\t%s\n", web.URL, escaped("/"+name), o.key)
		stat, err := os.Stat(filepath.Join(web.Root, name))
		if err != nil {
			t.Fatal(err)
		}
		src.holds[o.key] = held{content: content, meta: store.Metadata{ContentType: "text/plain"}, modTime: stat.ModTime()}
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src.list = store.ListScheme + ":" + list
	return src
}

// url is where the objects are, for the binary.
func (s *source) url() string {
	if s.list != "" {
		return s.list
	}
	return s.location("source").String()
}

// describe reads all that a store tells of an object besides its content.
func describe(t *testing.T, s store.Source, key string) (store.Metadata, time.Time) {
	t.Helper()
	o, err := s.Stat(t.Context(), key)
	if err != nil {
		t.Errorf("stat %q: %v", key, err)
		return store.Metadata{}, time.Time{}
	}
	var m store.Metadata
	if o.Meta != nil {
		m = *o.Meta
	}
	if d, ok := s.(store.Detailer); ok {
		if _, err := d.Detail(t.Context(), key, store.Details{Tags: true}, &m); err != nil {
			t.Errorf("details of %q: %v", key, err)
		}
	}
	return m, o.ModTime
}

// probe finds out which keys a stand refuses, or hides under another name.
func probe(t *testing.T, s *stand, objects []thing) *target {
	dst := s.open(t, "probe", store.RoleDestination)
	to := &target{stand: s, refuses: map[string]string{}}
	var mu sync.Mutex
	each(objects, func(o *thing) {
		if _, err := dst.Put(t.Context(), o.key, store.Body{Bytes: []byte("x"), Size: 1}, store.PutOptions{ModTime: time.Unix(1_600_000_000, 0)}); err != nil {
			mu.Lock()
			defer mu.Unlock()
			to.refuses[o.key] = err.Error()
		}
	})
	return to
}

// move runs one pair and checks what arrived.
func move(t *testing.T, from *source, to *target) {
	folder := "from-" + from.scheme
	out := start(t, filepath.Join(t.TempDir(), "state"), append(from.env("SRC"), to.env("DST")...),
		append(settings(), from.url(), to.location(folder).String())...).wait(t)
	failed := map[string]string{}
	for _, e := range out.Errors {
		key := e.Key
		if e.KeyBase64 != nil {
			key = string(e.KeyBase64)
		}
		failed[key] = e.Class + ": " + e.Reason
	}
	dst := to.open(t, folder, store.RoleDestination)
	arrived := list(t, dst)
	want := 0
	for key, h := range from.holds {
		reason, fails := failed[key]
		_, refused := to.refuses[key]
		switch {
		case fails && !refused:
			t.Errorf("%q failed: %s", key, reason)
		case !fails && refused:
			t.Errorf("%q is refused by a plain write, but did not fail", key)
		case fails:
			if arrived[key] {
				t.Errorf("%q failed, but is there", key)
			}
		default:
			want++
			check(t, dst, key, &h, out.records[key])
		}
	}
	if len(arrived) != want || int(out.Objects["copied"]) != want || int(out.Objects["failed"]) != len(failed) {
		t.Errorf("%d objects are there, want %d; the job tells of %v, failures %v", len(arrived), want, out.Objects, failed)
	}
}

// settings are the keys of the job that have all be kept that can be.
func settings() []string { return []string{"--set", "preserve.tags=true"} }

// list reads the keys of a folder.
func list(t *testing.T, s store.Source) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for l := s.List(store.ListOptions{}); ; {
		page, err := l.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return keys
		}
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, o := range page {
			if o.Kind == store.KindObject {
				keys[o.Key] = true
			}
		}
	}
}

// check holds one object against what its source has.
func check(t *testing.T, dst store.Source, key string, want *held, record transfer.Record) {
	t.Helper()
	r, o, err := dst.Open(t.Context(), key, store.OpenOptions{Length: -1})
	if err != nil {
		t.Errorf("open %q: %v", key, err)
		return
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Errorf("read %q: %v", key, err)
		return
	}
	if !bytes.Equal(got, want.content) {
		t.Errorf("%q: content of %d bytes differs from the source's %d", key, len(got), len(want.content))
	}
	if record.Outcome != transfer.Copied {
		t.Errorf("%q: recorded as %q", key, record.Outcome)
	}
	meta, modTime := describe(t, dst, key)
	for _, d := range differences(&want.meta, &meta) {
		if !isLost(record, d) {
			t.Errorf("%q: %s, and the record does not list it: lost %q", key, d, lossesOf(record))
		}
	}
	if dst.Abilities().ExactModTime && !sameSecond(modTime, want) {
		t.Errorf("%q: modified at %s, want %s or what the source records (%q)", key, modTime, want.modTime, want.meta.User[store.MTimeKey])
	}
	_ = o
}

// sameSecond compares with the time that the source lists, or records.
func sameSecond(got time.Time, want *held) bool {
	if recorded, _, _ := strings.Cut(want.meta.User[store.MTimeKey], "."); recorded != "" && recorded == fmt.Sprint(got.Unix()) {
		return true
	}
	return got.Unix() == want.modTime.Unix()
}

// differences names what one object has otherwise than another, as losses begin.
func differences(want, got *store.Metadata) (all []string) {
	for _, h := range []struct{ name, want, got string }{
		{"Cache-Control", want.CacheControl, got.CacheControl}, {"Content-Disposition", want.ContentDisposition, got.ContentDisposition},
		{"Content-Encoding", want.ContentEncoding, got.ContentEncoding}, {"Content-Language", want.ContentLanguage, got.ContentLanguage},
		{"Expires", want.Expires, got.Expires}, {"Content-Type", plainType(want.ContentType), plainType(got.ContentType)},
	} {
		if h.name == "Content-Type" && want.ContentType == "" {
			continue // some stores then tell one by the name
		}
		if h.want != h.got {
			all = append(all, fmt.Sprintf("header %q", h.name))
		}
	}
	for _, m := range []struct {
		what      string
		want, got map[string]string
	}{{"metadata", want.User, got.User}, {"tag", want.Tags, got.Tags}} {
		for name, v := range m.want {
			if has, ok := m.got[name]; !ok || has != v {
				all = append(all, fmt.Sprintf("%s %q", m.what, name))
			}
		}
		for name := range m.got {
			if _, ok := m.want[name]; !ok && name != store.MTimeKey {
				all = append(all, fmt.Sprintf("invented %s %q", m.what, name))
			}
		}
	}
	if want.Class.Tier != got.Class.Tier && want.Class.Tier != "" && (got.Class.Tier != "" || want.Class.Tier != store.TierStandard) {
		all = append(all, fmt.Sprintf("storage class %q", want.Class.Name))
	}
	return all
}

// plainType is "" for the types that say nothing.
func plainType(t string) string {
	if t == "application/octet-stream" || t == "binary/octet-stream" {
		return ""
	}
	return t
}

func isLost(r transfer.Record, difference string) bool {
	return slices.ContainsFunc(lossesOf(r), func(l string) bool { return strings.HasPrefix(l, difference) })
}

// lossesOf are the lines of a record that say what could not be kept.
func lossesOf(r transfer.Record) []string { return r.Lost }
