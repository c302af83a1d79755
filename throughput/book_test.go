package throughput

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// mover is a job that moves what the test says.
type mover struct{ Totals }

func (m *mover) source(id, from, to string) Source {
	return Source{Job: Job{ID: id, Nonce: "\xff" + id}, Source: from, Destination: to, Totals: func() Totals { return m.Totals }}
}

func TestBookCountsWhatIsMoved(t *testing.T) {
	b, now := NewBook(), start()
	one, two := &mover{Totals{Written: 1000}}, &mover{}
	b.Follow(now, one.source("one", "s3://a/", "s3://b/"))
	b.Follow(now, two.source("two", "s3://a/", ""))
	one.Totals = Totals{Written: 1500, Read: 700, ReadBack: 30, Objects: 2}
	two.Totals = Totals{Read: 40, Objects: 5}
	b.Sample(now.Add(time.Second))
	b.Sample(now.Add(2 * time.Second)) // nothing new
	one.Written += 5
	b.Follow(now.Add(3*time.Second), one.source("one", "s3://a/", "s3://c/")) // its destination was changed
	one.Written += 7
	b.Sample(now.Add(4 * time.Second))
	w := plan(t, now.Add(4*time.Second), now, 0)
	if got := sum(b.Job(Job{"one", "\xffone"}, w)); got != (Counts{512, 730, 2}) {
		t.Errorf("one: %+v; what was moved before it was followed does not count", got)
	}
	if got := sum(b.Job(Job{"one", "other"}, w)); got != (Counts{}) {
		t.Errorf("another job of that name: %+v", got)
	}
	ends := b.Endpoints(w)
	for name, want := range map[string]Counts{"s3://a/": {0, 740, 7}, "s3://b/": {505, 30, 2}, "s3://c/": {7, 0, 0}} {
		if got := sum(ends[name]); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if len(ends) != 3 {
		t.Errorf("%d endpoints", len(ends))
	}
}

// TestBookIsBounded has more jobs and endpoints than are kept: those that were idle longest go.
func TestBookIsBounded(t *testing.T) {
	b, now := NewBook(), start()
	name := func(i int) Job { return Job{ID: fmt.Sprintf("job-%03d", i), Nonce: fmt.Sprintf("\xffjob-%03d", i)} }
	for i := range 3 * MaxJobs {
		m := &mover{}
		b.Follow(now, m.source(name(i).ID, fmt.Sprintf("s3://from-%d/", i), "s3://to/"))
		m.Written, m.Read = 1, 1
		now = now.Add(time.Second)
		b.Sample(now)
		if len(b.sources) > MaxJobs || len(b.jobs) > MaxJobs || len(b.endpoints) > MaxEndpoints {
			t.Fatalf("%d jobs, %d series, %d endpoints", len(b.sources), len(b.jobs), len(b.endpoints))
		}
	}
	w := plan(t, now, now.Add(-30*time.Minute), 0)
	if b.Follows(name(0)) || sum(b.Job(name(0), w)) != (Counts{}) {
		t.Error("the job that was idle longest is still there")
	}
	if last := name(3*MaxJobs - 1); !b.Follows(last) || sum(b.Job(last, w)) != (Counts{1, 1, 0}) {
		t.Error("the newest job is not there")
	}
	if got := sum(b.Endpoints(w)["s3://to/"]); got.Written != 3*MaxJobs {
		t.Errorf("the endpoint in use has %+v", got)
	}
	m := &mover{}
	b.Follow(now, Source{Job: Job{ID: string(make([]byte, 2*maxName))}, Totals: func() Totals { return m.Totals }})
	if len(b.sources) > MaxJobs {
		t.Error("a job with an endless name is followed")
	}
}

// TestJobOfTheSameName: a job that was removed and added again is another.
func TestJobOfTheSameName(t *testing.T) {
	b, now := NewBook(), start()
	old, fresh := &mover{}, &mover{}
	b.Follow(now, Source{Job: Job{"j", "1"}, Source: "a", Totals: func() Totals { return old.Totals }})
	old.Read = 5
	b.Sample(now)
	b.Follow(now, Source{Job: Job{"j", "2"}, Source: "a", Totals: func() Totals { return fresh.Totals }})
	fresh.Read = 7
	b.Sample(now)
	w := plan(t, now, now, 0)
	if got := sum(b.Job(Job{"j", "1"}, w)); got != (Counts{}) || b.Follows(Job{"j", "1"}) {
		t.Errorf("the old one: %+v", got)
	}
	if got := sum(b.Job(Job{"j", "2"}, w)); got.Read != 7 {
		t.Errorf("the new one: %+v", got)
	}
}

// random is a book with a past.
func random(t *testing.T, seed uint64) (*Book, time.Time) {
	t.Helper()
	b, now, r := NewBook(), start(), rand.New(rand.NewPCG(seed, 1))
	var movers [5]mover
	for i := range movers {
		b.Follow(now, movers[i].source(fmt.Sprint(i), fmt.Sprint("s3://a", i%2), "file://"))
	}
	for range 500 {
		now = now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
		m := &movers[r.IntN(len(movers))]
		m.Written, m.Read, m.Objects = m.Written+r.Int64N(1<<30), m.Read+r.Int64N(1<<30), m.Objects+r.Int64N(9)
		b.Sample(now)
	}
	return b, now
}

// TestWrittenBooksAreReadBack: the past survives the process, and goes on after it.
func TestWrittenBooksAreReadBack(t *testing.T) {
	for seed := range uint64(5) {
		b, now := random(t, seed)
		if !b.Changed() {
			t.Error("nothing changed")
		}
		data := b.Encode()
		if b.Changed() || len(data) > MaxFile {
			t.Errorf("changed %v, %d bytes", b.Changed(), len(data))
		}
		back := NewBook()
		if err := back.Decode(data); err != nil {
			t.Fatal(err)
		}
		for _, step := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute} {
			w := plan(t, now, now.Add(-300*time.Hour), step)
			for i := range 5 {
				j := Job{fmt.Sprint(i), "\xff" + fmt.Sprint(i)}
				if x, y := b.Job(j, w), back.Job(j, w); fmt.Sprint(x) != fmt.Sprint(y) {
					t.Fatalf("job %d in steps of %s differs", i, step)
				}
			}
			if fmt.Sprint(b.Endpoints(w)) != fmt.Sprint(back.Endpoints(w)) {
				t.Errorf("endpoints in steps of %s differ", step)
			}
		}
		m, j := &mover{}, Job{"1", "\xff1"}
		w := plan(t, now.Add(time.Minute), now.Add(-300*time.Hour), 10*time.Minute)
		before := sum(back.Job(j, w))
		back.Follow(now, m.source("1", "s3://a1", "file://"))
		m.Written = 11
		back.Sample(now.Add(time.Minute))
		if got := sum(back.Job(j, w)); got.Written != before.Written+11 {
			t.Errorf("it goes on with %d after %d", got.Written, before.Written)
		}
	}
}

// TestLargestBook: a book that is full in every step can be written and read.
func TestLargestBook(t *testing.T) {
	b := NewBook()
	for i := range MaxJobs + MaxEndpoints {
		s := &series{}
		for k, tier := range tiers {
			s.rings[k] = ring{last: 1 << 31, steps: make([]Counts, tier.Steps)}
			for n := range s.rings[k].steps {
				s.rings[k].steps[n] = Counts{1 << 42, 1 << 42, 1 << 20}
			}
		}
		if i < MaxJobs {
			b.jobs[Job{ID: fmt.Sprint(i)}] = s
		} else {
			b.endpoints[fmt.Sprint(i)] = s
		}
	}
	if err := NewBook().Decode(b.Encode()); err != nil {
		t.Error(err)
	}
}

// TestBrokenFilesChangeNothing cuts and changes a written book everywhere.
func TestBrokenFilesChangeNothing(t *testing.T) {
	b, now := random(t, 1)
	data := b.Encode()
	w := plan(t, now, now.Add(-300*time.Hour), 0)
	before := fmt.Sprint(b.Endpoints(w))
	for i := 0; i < len(data); i += 1 + len(data)/500 {
		changed := bytes.Clone(data)
		changed[i] ^= 0x41
		if b.Decode(data[:i]) == nil || b.Decode(changed) == nil {
			t.Fatalf("cut or changed at %d it is taken", i)
		}
	}
	if b.Decode(make([]byte, MaxFile+1)) == nil {
		t.Error("it is taken whatever its size")
	}
	if fmt.Sprint(b.Endpoints(w)) != before {
		t.Error("the book changed")
	}
}

// FuzzDecode: no content makes it panic or take more memory than is stated; the checksum is put right so that it is got past.
func FuzzDecode(f *testing.F) {
	m, b := &mover{}, NewBook()
	b.Follow(start(), m.source("j", "a", "b"))
	m.Totals = Totals{Written: 1, Read: 2, Objects: 3}
	b.Sample(start())
	data := b.Encode()
	f.Add(data[len(magic) : len(data)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := NewBook()
		if b.Decode(sealed(append([]byte(magic), body...))) != nil {
			return
		}
		if len(b.jobs) > MaxJobs || len(b.endpoints) > MaxEndpoints {
			t.Errorf("%d jobs, %d endpoints", len(b.jobs), len(b.endpoints))
		}
		if err := NewBook().Decode(b.Encode()); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
