package fsm

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestStateDoesNotGrow works through ever more objects and compares the size of the state at equal work in flight.
func TestStateDoesNotGrow(t *testing.T) {
	b := running(t)
	e := b.lease(1)
	var from []byte
	step := func(i int) int {
		to := fmt.Appendf(nil, "%08d", i+1)
		b.must(AdvanceTask{Task: 1, Epoch: e, From: from, To: to, Counts: Counts{Listed: 1000, BytesListed: 1 << 20},
			Cuts: []NewCut{{From: from, To: to, Objects: 1000, Bytes: 1 << 20, Digest: digest(7)}}})
		id := b.m.state.lastTask
		b.must(AdvanceTask{Task: id, Epoch: b.lease(id), From: from, To: to, Done: true, Objects: 1000, Bytes: 1 << 20, Digest: digest(7),
			Counts: Counts{Copied: 1000, BytesFound: 1 << 20, BytesCopied: 1 << 20}})
		from = to
		return len(b.snapshot())
	}
	first := step(0)
	last := 0
	for i := 1; i < 3000; i++ {
		last = step(i)
	}
	if j := b.job("j"); j.Counts.Copied != 3000*1000 || j.Counts.Listed != j.Counts.Copied {
		t.Fatalf("counts: %+v", j.Counts)
	}
	if last > first+100 { // the digits of the counters
		t.Errorf("state grew from %d to %d bytes over three million objects", first, last)
	}
}

// outstanding returns a machine with n range tasks, each with keys of 40 bytes and its cut.
func outstanding(tb testing.TB, n int) *bench {
	b := running(tb)
	e := b.lease(1)
	var from []byte
	for made := 0; made < n; {
		c := AdvanceTask{Task: 1, Epoch: e, From: from, Counts: Counts{Listed: 1e6, BytesListed: 100 << 30}}
		for range 100 {
			made++
			to := fmt.Appendf(nil, "photos/2019/album-%08d/IMG_%08d.jp", made, made)
			c.Cuts = append(c.Cuts, NewCut{From: from, To: to, Objects: 10000, Bytes: 1 << 30, Digest: digest(uint64(made))})
			from = to
		}
		c.To = from
		b.must(c)
		b.log = nil
	}
	return b
}

// What the state is made for: so many outstanding tasks in so much heap.
const (
	manyTasks = 100_000
	maxHeap   = 64 << 20
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestManyOutstandingTasks holds a quarter of the tasks to a quarter of the memory: the race detector makes it slow. The
// benchmark takes all of them.
func TestManyOutstandingTasks(t *testing.T) {
	const tasks, limit = manyTasks / 4, maxHeap / 4
	before := heap()
	b := outstanding(t, tasks)
	made := heap() - before
	if got := b.m.state.TaskCounts("j").Pending; got != tasks {
		t.Fatalf("%d tasks", got)
	}
	start := time.Now()
	persist := b.m.Snapshot()
	stall := time.Since(start)
	var buf bytes.Buffer
	if err := persist(&buf); err != nil {
		t.Fatal(err)
	}
	before = heap()
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(buf.Bytes())); err != nil {
		t.Fatal(err)
	}
	restored := heap() - before
	runtime.KeepAlive(b)
	runtime.KeepAlive(buf)
	runtime.KeepAlive(m)
	t.Logf("heap %d KiB made, %d KiB restored; snapshot of %d KiB, stall %v", made>>10, restored>>10, buf.Len()>>10, stall)
	if made > limit || restored > limit {
		t.Errorf("%d tasks take %d bytes of heap, %d after a restore", tasks, made, restored)
	}
	if stall > time.Second { // generous; the benchmark measures
		t.Errorf("Snapshot held Apply up for %v", stall)
	}
}

// BenchmarkSnapshotStall measures how long Apply has to wait for a snapshot of 100,000 outstanding tasks, and their memory.
func BenchmarkSnapshotStall(b *testing.B) {
	before := heap()
	m := outstanding(b, manyTasks).m
	made := heap() - before
	for b.Loop() {
		m.Snapshot()
	}
	b.ReportMetric(float64(made)/(1<<20), "MiB-heap")
	if made > maxHeap {
		b.Errorf("%d tasks take %d bytes of heap, allowed are %d", manyTasks, made, maxHeap)
	}
	if per := b.Elapsed() / time.Duration(b.N); per > 50*time.Millisecond {
		b.Errorf("a snapshot holds Apply up for %v, allowed are 50ms", per)
	}
}

// BenchmarkAdvance measures one AdvanceTask among 100,000 outstanding tasks, decoding included.
func BenchmarkAdvance(b *testing.B) {
	bench := outstanding(b, manyTasks)
	e := bench.lease(2)
	from := bench.task(2).From
	var entries [][]byte
	for i := range b.N {
		to := fmt.Appendf(nil, "a%012d", i)
		entry, err := Encode(AdvanceTask{Task: 2, Epoch: e, From: from, To: to, Counts: Counts{Copied: 1}, Objects: 1, Digest: digest(1)})
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, entry)
		from = to
	}
	b.ResetTimer()
	for i, entry := range entries {
		if r := bench.m.Apply(bench.index+uint64(i)+1, entry).(Result); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkAssign measures taking the oldest of 100,000 pending tasks and putting it back.
func BenchmarkAssign(b *testing.B) {
	bench := outstanding(b, manyTasks)
	for b.Loop() {
		e := bench.lease(2)
		bench.must(ReleaseTasks{Tasks: []TaskEpoch{{2, e}}})
		bench.log = nil
	}
}
