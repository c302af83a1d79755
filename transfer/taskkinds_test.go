package transfer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestVerifyJob(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst testStore
	}{
		{"stores", newMemStore(), newMemStore()},
		{"disk and store", newMemDisk(), newMemStore()},
		{"disks", newMemDisk(), newMemDisk()},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := c.src.mem(), c.dst.mem()
			at := time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC)
			same := func(o *store.Object) { o.ModTime = at }
			for i := range 1200 {
				src.set(fmt.Sprintf("k%04d", i), fmt.Append(nil, "content ", i), same)
				dst.set(fmt.Sprintf("k%04d", i), fmt.Append(nil, "content ", i), same)
			}
			src.set("missing", []byte("m"))
			src.set("other", []byte("abc"), same)
			dst.set("other", []byte("abd"), same)
			src.set("size", []byte("abc"))
			dst.set("size", []byte("abcd"))
			dst.set("extra", nil)
			b := newBench(t, c.src, c.dst)
			b.job.Type = "verify"
			b.pass()
			if c := b.totals; c.Skipped != 1200 || c.Verified != 1200 || c.Failed != 3 || c.Extra != 1 {
				t.Errorf("%+v", c)
			}
			if b.classes["missing"] != 1 || b.classes["differs"] != 2 {
				t.Errorf("%v", b.classes)
			}
			if dst.count("put") != 0 {
				t.Error("a verify job wrote")
			}
		})
	}
}

func TestListJob(t *testing.T) {
	src := newMemStore()
	fillStore(src, 1500, 10)
	b := newBench(t, src, nil)
	b.job.Destination, b.job.Type = nil, "list"
	b.pass()
	if b.totals.Skipped != 1500 {
		t.Errorf("%+v", b.totals)
	}
}

func TestUnorderedListingIsRefused(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newBench(t, disordered{src}, dst)
	task := Task{ID: 1, Kind: Scan}
	_, err := b.one(&task)
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Fatal(err)
	}
}

// disordered lists keys that do not ascend.
type disordered struct{ *memStore }

func (d disordered) List(store.ListOptions) store.Lister { return &disorderedLister{} }

type disorderedLister struct{ n int }

func (l *disorderedLister) Next(context.Context) ([]store.Object, error) {
	l.n++
	return []store.Object{{Key: "b"}, {Key: "a"}}, nil
}

func (l *disorderedLister) Close() error { return nil }

func TestRelistAgreesWithCopy(t *testing.T) {
	src := newMemStore()
	fillStore(src, 700, 11)
	b := newBench(t, src, newMemStore())
	var want Digest
	for _, o := range src.objects {
		want = want.Add(Entry(&o.Object))
	}
	task := Task{ID: 1, Kind: Relist}
	got := Advance{}
	err := b.n.Run(context.Background(), b.job, task, b, &captureLedger{benchLedger{bench: b, task: &task}, &got})
	if err != nil || got.Objects != 700 || got.Digest != want || !got.Done {
		t.Fatalf("%v %+v", err, got)
	}
}

type captureLedger struct {
	benchLedger
	got *Advance
}

func (l *captureLedger) Advance(_ context.Context, a Advance) (bool, error) {
	*l.got = a
	return false, nil
}

func TestPreview(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	src.set("a", []byte("1"))
	src.set("b", []byte("2"))
	src.set("c", []byte("3"))
	dst.set("b", []byte("2"))
	dst.set("c", []byte("4"))
	dst.set("d", nil)
	b := newBench(t, src, dst)
	var got []string
	err := b.n.Preview(context.Background(), b.job, func(p Preview) error {
		got = append(got, p.Action+" "+p.Key)
		return nil
	})
	if err != nil || strings.Join(got, ", ") != "copy a, skip b, copy c, extra d" {
		t.Fatal(got, err)
	}
}

func TestKeyLines(t *testing.T) {
	for _, key := range []string{"", "a", "a b", "#a", `\a`, "a\tb", "a\nb", "a\rb", "\xff\xfe", "日本", `\b64:`, strings.Repeat("x", 1024)} {
		text := EncodeKey(key)
		if strings.ContainsAny(text, "\t\r\n") {
			t.Errorf("%q is written as %q", key, text)
		}
		if back, err := DecodeKey(text); err != nil || back != key {
			t.Errorf("%q came back as %q, %v", key, back, err)
		}
	}
}

// TestFindListed looks for keys in the lines of a list, among others that begin alike.
func TestFindListed(t *testing.T) {
	keys := []string{"a", "a\tb", "ab", "caf\xe9", "#c", "d/e"}
	var entries []entry
	for _, key := range keys {
		entries = append(entries, entry{src: store.Object{Key: key}})
	}
	data, err := encodeEntries(entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if line, found, err := FindListed(data, key); err != nil || !found || line != int64(i) {
			t.Errorf("%q: line %d, %v, %v", key, line, found, err)
		}
	}
	for _, key := range []string{"", "b", "a\t", "d", "d/e/", "0"} {
		if line, found, err := FindListed(data, key); err != nil || found {
			t.Errorf("%q: line %d, %v, %v", key, line, found, err)
		}
	}
	if _, _, err := FindListed([]byte("no segment"), "a"); err == nil {
		t.Error("a broken segment is searched without an error")
	}
}

// encodeEntries packs entries as a scan does.
func encodeEntries(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	for i := range entries {
		appendEntry(&b, &entries[i])
	}
	return compress(b.Bytes())
}
