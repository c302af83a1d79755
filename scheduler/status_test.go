package scheduler

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/fsm"
)

// TestStatus: settled sums and live progress together, nothing twice.
func TestStatus(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if _, ok := r.leader.Status("a"); ok {
			t.Error("status of no job")
		}
		p := r.puppet("n", 2)
		copying(r, p, 3)
		first, second := &p.running[0], &p.running[1]
		first.Progress = fsm.Counts{Copied: 1, BytesFound: 10, BytesMoved: 10}
		second.Progress = fsm.Counts{BytesMoved: 4}
		p.poll()
		st, ok := r.leader.Status("a")
		want := fsm.Counts{Listed: 3, BytesListed: 30, Copied: 1, BytesFound: 10, BytesMoved: 14}
		if d := cmp.Diff(want, st.Counts); !ok || d != "" {
			t.Error(d)
		}
		if st.Tasks != (TaskNumbers{Pending: 1, Running: 2, Done: 1}) || !st.ListingDone {
			t.Errorf("status %+v", st)
		}
		// What the first task did is settled: its live progress counts no more, before any poll says so.
		task := r.task(first.Task)
		settle := fsm.AdvanceTask{
			Task: task.ID, Epoch: task.Epoch, From: task.From, To: append(bytes.Clone(task.From), '/'), Objects: 1, Bytes: 10,
			Counts: fsm.Counts{Copied: 1, BytesFound: 10, BytesCopied: 10, BytesMoved: 10},
		}
		if err := p.do(settle); err != nil {
			t.Fatal(err)
		}
		want.BytesCopied = 10
		st, _ = r.leader.Status("a")
		if d := cmp.Diff(want, st.Counts); d != "" {
			t.Errorf("after the advance: %s", d)
		}
	})
}

// TestRates: the recent rate forgets what was before, the other does not.
func TestRates(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		step := func(moved int64) {
			p.running[0].Progress = fsm.Counts{BytesMoved: moved}
			p.poll() // 2 s
		}
		start := time.Unix(0, r.job("a").Started)
		for i := range int64(10) {
			step(1000 * (i + 1)) // 500 a second
		}
		for range 10 {
			step(10000) // and then nothing
		}
		st, _ := r.leader.Status("a")
		if st.Rate.Bytes != 0 {
			t.Errorf("recent rate %v", st.Rate)
		}
		if want := 10000 / time.Since(start).Seconds(); st.Overall.Bytes < want*0.99 || st.Overall.Bytes > want*1.01 {
			t.Errorf("overall rate %v, want %v", st.Overall.Bytes, want)
		}
		for i := range int64(10) {
			step(10000 + 200*(i+1))
		}
		st, _ = r.leader.Status("a")
		if st.Rate.Bytes < 80 || st.Rate.Bytes > 120 {
			t.Errorf("recent rate %v, want about 100", st.Rate.Bytes)
		}
	})
}

func TestETA(t *testing.T) {
	second := func(s float64) *time.Duration { d := time.Duration(s * float64(time.Second)); return &d }
	all := 100 * time.Second
	for name, test := range map[string]struct {
		first, now fsm.Counts
		want       *time.Duration
	}{
		"nothing known": {now: fsm.Counts{Listed: 5, BytesListed: 50}},
		"done":          {now: fsm.Counts{Listed: 5, Copied: 5, BytesListed: 50, BytesFound: 50}, want: second(0)},
		"objects take longer": {
			now:  fsm.Counts{Listed: 40, Copied: 10, BytesListed: 200, BytesFound: 100},
			want: second(30),
		},
		"bytes take longer": {
			now:  fsm.Counts{Listed: 20, Copied: 10, BytesListed: 500, BytesFound: 100},
			want: second(40),
		},
		"a large object moves long before it is found": {
			now:  fsm.Counts{Listed: 10, Copied: 10, BytesListed: 500, BytesMoved: 100},
			want: second(50),
		},
		"a pace that stands still falls back on the whole": {
			first: fsm.Counts{Copied: 10}, now: fsm.Counts{Listed: 20, Copied: 10}, want: second(100),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, eta(test.first, test.now, 10*time.Second, all)); d != "" {
				t.Error(d)
			}
		})
	}
}
