package transfer

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestListedKeysThatAreNotThere: a key that the source goes on listing and cannot give was not removed by anyone; its object is missing
// at the destination, and nobody may take the job for complete.
func TestListedKeysThatAreNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		key     string
		removed bool // the object goes while it is read
		sorted  bool // the source lists in no order, and is sorted on its way here
		want    string
	}{
		"listed on":                        {key: "m", want: "has no object of that name"},
		"listed on, the first key":         {key: "A", want: "has no object of that name"},
		"listed on, a control character":   {key: "\x01", want: "has no object of that name"},
		"listed on, no UTF-8":              {key: "m\xff", want: "U+FFFD"},
		"listed on, in other characters":   {key: "m\ufffd", want: "U+FFFD"},
		"listed on, behind the surrogates": {key: "m\ue000", want: "has no object of that name"},
		"removed":                          {key: "m", removed: true},
		"removed, the first key":           {key: "A", removed: true},
		"sorted here":                      {key: "m", sorted: true},
		"sorted here, in other characters": {key: "m\ufffd", sorted: true, want: "U+FFFD"},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			src.ab.ListsByKeys = !c.sorted
			for _, key := range []string{"a", "l", "lz", c.key, "mm", "n", "z"} {
				src.set(key, content(20, 1))
			}
			f := memFault{op: "open", key: c.key, times: -1, err: memErr("open", c.key, store.NotFound, "NoSuchKey")}
			if c.removed {
				f.do = func() { delete(src.objects, c.key) }
			}
			src.fail(f)
			b := newBench(t, src, dst)
			b.pass()
			r := b.record(c.key)
			if c.want == "" {
				if b.totals.Vanished != 1 || b.totals.Failed != 0 || r.Outcome != Vanished {
					t.Errorf("%+v, %+v", b.totals, r)
				}
				return
			}
			if b.totals.Failed != 1 || b.totals.Vanished != 0 || b.totals.Copied != 6 || r.Class != string(store.Mismatch) || !strings.Contains(r.Reason, c.want) {
				t.Errorf("%+v, %+v", b.totals, r)
			}
		})
	}
}

// TestBoundsJustBefore: the bound lies below its key and above the keys in front of it.
func TestBoundsJustBefore(t *testing.T) {
	for _, key := range []string{"a", "b/c", "k000001000", "é", "\ue000", "\U00010000", "\x01", "\x00", "", " ", "a\xff", "\xff", "x\U0010FFFF"} {
		bound := justBefore(key)
		if bound > key {
			t.Errorf("%q: the bound %q is behind it", key, bound)
		}
	}
	if bound := justBefore("k000001000"); bound <= "k0000009999" || bound <= "k00000099\U0010FFF0" {
		t.Errorf("%q is far before the key", bound)
	}
}
