package transfer

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestRecordLines: what is settled comes back from a segment as it was noted, with what was found of it since.
func TestRecordLines(t *testing.T) {
	at := time.Date(2024, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
	size := int64(9)
	records := []Record{
		{Key: "a<b>&c", Outcome: Copied, Size: 1, ModTime: at, At: at, Sums: map[string]string{"md5": "00ff"}, Sent: "md5"},
		{Outcome: Failed, Class: "auth", Reason: "}\n", Size: 2},
		{Key: "c", Outcome: Skipped, Lost: []string{"acl"}, WantSize: &size, WantMD5: []byte("0123456789abcdef")},
		{Key: "d", Outcome: Copied, Size: 4, Task: 7, Epoch: 8},
	}
	records[1].SetKey("b\xff\n")
	var l recordLines
	for i := range records {
		if err := l.add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	l.listed(0)
	if err := l.change(3, func(r *Record) { r.Outcome, r.Reason = Failed, "lost" }); err != nil {
		t.Fatal(err)
	}
	records[0].Listed, records[3].Outcome, records[3].Reason = true, Failed, "lost"
	decoded(t, &l, false, records)
	decoded(t, &l, true, []Record{records[1], records[3]})
	if err := l.add(&Record{ModTime: time.Unix(1<<40, 0)}); err == nil {
		t.Error("a time that JSON cannot hold is noted without an error")
	}
}

// decoded compares what a segment of the lines reads as.
func decoded(t *testing.T, l *recordLines, failed bool, want []Record) {
	t.Helper()
	text, lines := l.join(failed)
	data, err := compress(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []Record
	for r, err := range DecodeRecords(data) {
		if err != nil {
			t.Fatal(err)
		}
		if r.KeyBase64 != nil {
			r.SetKey(r.ExactKey())
		}
		got = append(got, r)
	}
	if lines != int64(len(want)) || !reflect.DeepEqual(got, want) {
		t.Errorf("failed %v: %d lines:\n%+v\nwant\n%+v", failed, lines, got, want)
	}
}

// TestBatchWithRecordThatCannotBeNoted is not advanced: its key would be counted, and nobody would know which it was.
func TestBatchWithRecordThatCannotBeNoted(t *testing.T) {
	b := newBatch("", 0, time.Now())
	b.add(&settled{record: Record{Key: "k", ModTime: time.Unix(1<<40, 0)}})
	run := &taskRun{n: &Node{}, task: &Task{}}
	if _, err := run.advance(context.Background(), b, true, nil); err == nil {
		t.Error("advanced")
	}
}

// TestTaskLines: a task takes the lines it was given, in turn, and no others.
func TestTaskLines(t *testing.T) {
	const total = 5
	text := ""
	for i := range total {
		text += fmt.Sprintf("k%d\t%d\t0\t0\te\t\t%d\td\t\t\n", i, i, Differs)
	}
	run := &taskRun{task: &Task{}}
	for _, c := range []struct {
		from, to int64
		keys, ok bool
	}{
		{0, 5, true, true}, {0, 5, false, true}, {1, 4, true, true}, {4, 5, false, true}, {5, 5, true, true}, {0, 0, false, true},
		{0, 6, false, false}, {3, 2, false, false}, {-1, 2, false, false}, {6, 6, false, false},
	} {
		l := &taskLines{text: text, parse: run.listedItem}
		err := l.bound(c.from, c.to, c.keys)
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		if n := int64(len(l.sizes)); n != c.to-c.from || c.keys != (len(l.keys) > 0) && n > 0 {
			t.Errorf("%+v: %d lines, %d keys", c, n, len(l.keys))
		}
		for i := c.from; i < c.to; i++ {
			it, ok, err := l.take()
			if err != nil || !ok || it.line != i+1 || it.src.Key != fmt.Sprintf("k%d", i) || it.src.Size != i || it.dst.ETag != "d" {
				t.Fatalf("%+v: line %d: %+v, %v, %v", c, i, it, ok, err)
			}
		}
		if _, ok, err := l.take(); ok || err != nil {
			t.Errorf("%+v: %v at the end, %v", c, ok, err)
		}
	}
	bad := &taskLines{text: text + "k\tnot\tan\tentry\n", parse: run.listedItem}
	if err := bad.bound(0, total+1, false); err == nil {
		t.Error("a bad line is found only when its turn comes")
	}
}

// TestCutOfAListIsSorted: the lines of a list are in any order, and what a task wrote is looked for in that of the keys.
func TestCutOfAListIsSorted(t *testing.T) {
	for sorted, want := range map[bool]string{true: "bca", false: "abc"} {
		c := &openCut{}
		for _, key := range []string{"b", "c", "a"} {
			c.addEntry(&look{src: &store.Object{Key: key, Size: 2}, verdict: Absent}, sorted)
		}
		l := &taskLines{text: string(c.lines()), parse: (&taskRun{}).listedItem}
		if err := l.bound(0, 3, true); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, key := range l.keys {
			got += key
		}
		if got != want || c.objects != 3 || c.bytes != 6 {
			t.Errorf("sorted %v: %q, %d objects, %d bytes", sorted, got, c.objects, c.bytes)
		}
	}
}
