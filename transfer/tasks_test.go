package transfer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestCopyWhole(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst testStore
	}{
		{"store to store", newMemStore(), newMemStore()},
		{"disk to store", newMemDisk(), newMemStore()},
		{"store to disk", newMemStore(), newMemDisk()},
		{"disk to disk", newMemDisk(), newMemDisk()},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := c.src.mem(), c.dst.mem()
			fillStore(src, 2500, 1)
			b := newBench(t, c.src, c.dst)
			b.pass()
			b.equal(src, dst)
			if b.totals.Copied != 2500 || b.totals.Verified != 2500 && c.dst.Abilities().Metadata {
				t.Errorf("%+v", b.totals)
			}
			for _, r := range b.records {
				if !r.Listed {
					t.Fatalf("%q was not found in a listing", r.Key)
				}
			}
			puts := dst.count("put")
			b.again()
			b.pass()
			if b.totals.Skipped != 2500 || dst.count("put") != puts {
				t.Errorf("second pass: %+v, %d more puts", b.totals, dst.count("put")-puts)
			}
		})
	}
}

func TestScanCutsByDensity(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 5000, 2)
	b := newBench(t, src, dst)
	b.job.CutObjects = 1500
	b.pass()
	b.again()
	for i := 0; i < 5000; i += 100 { // one in a hundred changes: sparse
		src.set(fmt.Sprintf("d%d/k%05d", i%7, i), []byte("changed"))
	}
	lists := dst.count("list")
	scan := Task{ID: 1000, Kind: Scan}
	if done, err := b.one(&scan); err != nil || !done {
		t.Fatal(done, err)
	}
	for _, task := range b.todo {
		if task.Kind != List {
			t.Errorf("a %s task for sparse changes", task.Kind)
		}
	}
	b.drain()
	b.equal(src, dst)
	changed := int64(len(b.records)) - b.totals.Skipped
	if b.totals.Copied != changed || b.totals.Copied == 0 {
		t.Errorf("%+v", b.totals)
	}
	t.Logf("%d lists at the destination", dst.count("list")-lists)
}

func TestCutsTileAndBound(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 9000, 3)
	b := newBench(t, src, dst)
	b.job.CutObjects = 700
	scan := Task{ID: 1000, Kind: Scan}
	if done, err := b.one(&scan); err != nil || !done {
		t.Fatal(done, err)
	}
	var keys []string
	for k := range src.objects {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	bound := ""
	for i, task := range b.todo {
		if task.From != bound {
			t.Errorf("cut %d starts at %q, the one before ended at %q", i, task.From, bound)
		}
		if n := countKeys(src, task.From, task.To); n == 0 || n > 700 {
			t.Errorf("cut %d holds %d keys", i, n)
		}
		bound = task.To
	}
	if last := keys[len(keys)-1]; bound != store.Next(last) {
		t.Errorf("cuts end at %q, the last key is %q", bound, last)
	}
	b.drain()
	b.equal(src, dst)
}

// TestFirstCutsAreShort: nodes that wait for a pass to begin get a part each of its first page; a pass that goes on, or a part
// of it, is cut by what the job says.
func TestFirstCutsAreShort(t *testing.T) {
	src := newMemStore()
	fillStore(src, 9000, 3)
	for from, want := range map[string][]int64{"": {125, 125, 125, 125, 125, 125, 125, 125, 1000, 1000, 1000, 5000}, firstKey(src): {8999}} {
		b := newBench(t, src, newMemStore())
		scan := Task{ID: 1000, Kind: Scan, From: from}
		if done, err := b.one(&scan); err != nil || !done {
			t.Fatal(done, err)
		}
		var got []int64
		for _, task := range b.todo {
			got = append(got, countKeys(src, task.From, task.To))
		}
		if !slices.Equal(got, want) {
			t.Errorf("from %q: cuts of %v keys, want %v", from, got, want)
		}
	}
}

func firstKey(s *memStore) string {
	return store.Next(slices.Min(slices.Collect(maps.Keys(s.objects))))
}

func countKeys(s *memStore, from, to string) (n int64) {
	for k := range s.objects {
		if k >= from && k < to {
			n++
		}
	}
	return n
}

// A scan that dies between two advances must not have counted the keys between them.
func TestScanTakenOverCountsOnce(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 3000, 12)
	b := newBench(t, src, dst)
	b.job.CutObjects = 20 // an advance each 160 keys, amid stretches
	scan := Task{ID: 1000, Kind: Scan}
	b.refuse = 4
	if done, err := b.one(&scan); !errors.Is(err, errRefused) || done {
		t.Fatal(done, err)
	}
	if done, err := b.one(&scan); err != nil || !done {
		t.Fatal(done, err)
	}
	b.drain()
	b.equal(src, dst)
	if b.totals.Listed != 3000 {
		t.Errorf("%d listed", b.totals.Listed)
	}
}

func TestExtrasCountOnce(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			src, dst := newMemStore(), newMemStore()
			extras := int64(0)
			for i := range 6000 {
				key := fmt.Sprintf("k%05d", i)
				dense := i/1000%2 == 0
				switch {
				case rnd.IntN(5) == 0:
					dst.set(key, []byte("extra"))
					extras++
				case dense || rnd.IntN(20) == 0:
					src.set(key, []byte(key))
				default:
					src.set(key, []byte(key))
					dst.set(key, []byte(key))
				}
			}
			b := newBench(t, src, dst)
			b.job.CutObjects = 300 + rnd.Int64N(2000)
			b.pass()
			b.equal(src, dst)
			if b.totals.Extra != extras {
				t.Errorf("%d extra, want %d", b.totals.Extra, extras)
			}
		})
	}
}

func TestFilterAndSkippedKinds(t *testing.T) {
	src, dst := newMemDisk(), newMemStore()
	src.set("a.jpg", []byte("1"))
	src.set("b.txt", []byte("2"))
	src.set("tmp/c.jpg", []byte("3"))
	src.set("sock", nil, func(o *store.Object) { o.Kind, o.Reason = store.KindSkipped, "socket" })
	src.set("dir/", nil, func(o *store.Object) {
		o.Kind, o.Err = store.KindSkipped, memErr("list", "dir/", store.Auth, "permission denied")
	})
	b := newBench(t, src, dst)
	b.job.Filter = &Filter{Include: []string{"*.jpg", "dir/", "sock"}, Exclude: []string{"tmp/**"}}
	b.pass()
	if c := b.totals; c.Copied != 1 || c.Filtered != 3 || c.Failed != 1 {
		t.Errorf("%+v", c)
	}
	if r := b.record("sock"); r.Reason != "socket" {
		t.Errorf("%+v", r)
	}
	if r := b.record("dir/"); r.Class != "auth" || !strings.Contains(r.Reason, "permission denied") {
		t.Errorf("%+v", r)
	}
}

func TestLostAndCorruptedAreFound(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 50, 4)
	src.set("lost", []byte("lost"))
	src.set("flipped", []byte("flipped"))
	dst.fail(memFault{op: "put", key: "lost", lose: true, times: -1})
	dst.fail(memFault{op: "put", key: "flipped", flip: true, times: -1})
	b := newBench(t, src, dst)
	b.pass()
	if b.totals.Failed != 2 || b.totals.Copied != 50 || b.classes["mismatch"] != 2 {
		t.Errorf("%+v %v", b.totals, b.classes)
	}
	for _, key := range []string{"lost", "flipped"} {
		if r := b.record(key); r.Outcome != Failed || r.Class != "mismatch" || r.Reason == "" {
			t.Errorf("%+v", r)
		}
	}
	// What failed is retried from the segments, and counts once in the end.
	dst.faults = nil
	for _, seg := range b.failed {
		b.next++
		b.todo = append(b.todo, Task{ID: b.next, Kind: List, Segment: seg, EndLine: seg.Lines, Retry: true})
	}
	b.records = slices.DeleteFunc(b.records, func(r Record) bool { return r.Outcome == Failed })
	b.drain()
	b.equal(src, dst)
	if b.totals.Failed != 0 || b.totals.Copied != 52 {
		t.Errorf("after the retry: %+v %v", b.totals, b.classes)
	}
}

func TestTakeoverCountsRecovered(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 100, 5)
	b := newBench(t, src, dst)
	scan := Task{ID: 1000, Kind: Scan}
	if _, err := b.one(&scan); err != nil {
		t.Fatal(err)
	}
	old := dst.now() // before the pass, by the destination's clock
	b.job.PassStart = dst.now()
	n := 0
	for k, o := range src.objects {
		switch n++; {
		case n <= 10: // was there before
			dst.set(k, o.data, func(d *store.Object) { d.ModTime = old })
		case n <= 40: // written by the dead holder
			dst.set(k, o.data)
		}
	}
	for i := range b.todo {
		b.todo[i].Takeover = true
	}
	b.drain()
	b.equal(src, dst)
	if c := b.totals; c.Skipped != 10 || c.Copied != 90 || c.Recovered != 30 {
		t.Errorf("%+v", c)
	}
	if dst.count("put") != 60 {
		t.Errorf("%d puts", dst.count("put"))
	}
}

func TestStopAndResume(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 3000, 6)
	b := newBench(t, src, dst)
	scan := Task{ID: 1000, Kind: Scan}
	if _, err := b.one(&scan); err != nil {
		t.Fatal(err)
	}
	task := b.todo[0]
	b.todo = b.todo[1:]
	stopAt := dst.fail(memFault{op: "put", nth: 100})
	var once sync.Once
	stopAt.do = func() { once.Do(func() { close(b.stop) }) }
	done, err := b.one(&task)
	if !errors.Is(err, ErrStopped) || done {
		t.Fatal(done, err)
	}
	puts := dst.count("put")
	if task.From == "" || b.totals.Copied != int64(puts) {
		t.Errorf("stopped at %q with %d counted, %d put", task.From, b.totals.Copied, puts)
	}
	b.stop = make(chan struct{})
	task.Takeover = true
	b.todo = append(b.todo, task)
	b.drain()
	b.equal(src, dst)
	if dst.count("put") != 3000 {
		t.Errorf("%d puts for 3000 objects", dst.count("put"))
	}
}

func TestYieldingScanGoesOn(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 5000, 7)
	b := newBench(t, src, dst)
	b.yields = 2
	b.pass()
	b.equal(src, dst)
}

func TestFenceEndsTask(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	fillStore(src, 500, 8)
	b := newBench(t, src, dst)
	f := dst.fail(memFault{op: "put", nth: 20})
	f.do = func() {
		b.mu.Lock()
		b.fence = fmt.Errorf("deadline passed: %w", ErrFenced)
		b.mu.Unlock()
	}
	scan := Task{ID: 1000, Kind: Scan}
	if _, err := b.one(&scan); err != nil {
		t.Fatal(err)
	}
	task := b.todo[0]
	_, err := b.one(&task)
	if !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	if dst.count("put") > 20+16 || b.totals.Copied != 0 {
		t.Errorf("%d puts after the lease was lost, %d counted", dst.count("put"), b.totals.Copied)
	}
}

func TestDestinationThatTakesNothing(t *testing.T) {
	for _, class := range []store.Class{store.Full, store.Auth} {
		t.Run(string(class), func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			fillStore(src, 300, 9)
			dst.fail(memFault{op: "put", times: -1, err: memErr("put", "", class, "no")})
			b := newBench(t, src, dst)
			scan := Task{ID: 1000, Kind: Scan}
			if _, err := b.one(&scan); err != nil {
				t.Fatal(err)
			}
			task := b.todo[0]
			_, err := b.one(&task)
			var stop *JobError
			if !errors.As(err, &stop) || stop.Class != class {
				t.Fatal(err)
			}
			if dst.count("put") > 16 {
				t.Errorf("%d writes were tried", dst.count("put"))
			}
		})
	}
}

// TestSourceThatRefusesToBeRead stops the job where a store refuses one object after the other, but goes on past files that
// nobody may read.
func TestSourceThatRefusesToBeRead(t *testing.T) {
	for _, code := range []string{"InvalidAccessKeyId", ""} {
		t.Run("code "+code, func(t *testing.T) {
			src, dst := newMemStore(), newMemStore()
			fillStore(src, 300, 9)
			src.fail(memFault{op: "open", nth: 50, times: -1, err: &store.Error{Op: "get", Class: store.Auth, Code: code, Err: errors.New("no")}})
			b := newBench(t, src, dst)
			scan := Task{ID: 1000, Kind: Scan}
			if _, err := b.one(&scan); err != nil {
				t.Fatal(err)
			}
			var err error
			for i := 0; i < len(b.todo) && err == nil; i++ {
				_, err = b.one(&b.todo[i])
			}
			var stop *JobError
			if stopped := errors.As(err, &stop); stopped != (code != "") || stopped && (stop.Class != store.Auth || !strings.HasPrefix(err.Error(), "source: ")) {
				t.Fatal(err)
			}
			if tried := src.count("open"); code != "" && tried > 49+refusedInRow+64 || code == "" && tried < 300 {
				t.Errorf("%d reads were tried", tried)
			}
		})
	}
}

func TestVanishedAndChanged(t *testing.T) {
	src, dst := newMemDisk(), newMemStore()
	src.set("gone", []byte("x"))
	src.set("kept", []byte("y"))
	b := newBench(t, src, dst)
	scan := Task{ID: 1000, Kind: Scan}
	if _, err := b.one(&scan); err != nil {
		t.Fatal(err)
	}
	src.remove("gone")
	b.drain()
	if c := b.totals; c.Vanished != 1 || c.Copied != 1 {
		t.Errorf("%+v", c)
	}
}
