package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// onPart calls f with the number of each call that sends a part, from 1.
func (m *shareModel) onPart(f func(n int)) {
	n := 0 // guarded by the store's lock
	m.dst.fail(memFault{op: "part", times: -1, do: func() { n++; f(n) }})
}

// waitFor waits until something holds of the model; it may be called by a fault of either store.
func (m *shareModel) waitFor(what string, holds func() bool) {
	limit := time.NewTimer(shareLimit)
	defer limit.Stop()
	for {
		m.mu.Lock()
		ok, news := holds(), m.news
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-limit.C:
			m.t.Errorf("never: %s", what)
			return
		}
	}
}

// shareAtOnce has the owner share what follows its first parts, and lets it go on once another node has it.
func (m *shareModel) shareAtOnce() {
	m.onPart(func(n int) {
		switch n {
		case 1:
			m.ask(Range)
		case 2:
			m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
		}
	})
}

// TestUploadIsShared: two nodes send the parts of one object, each part once.
func TestUploadIsShared(t *testing.T) {
	for name, change := range map[string]func(m *shareModel){
		"sums of all kinds": func(*shareModel) {},
		"MD5 only":          func(m *shareModel) { m.dst.want = [2]bool{true, false} },
		"CRC64 only": func(m *shareModel) {
			m.dst.want = [2]bool{false, true}
			m.dst.show = func(c store.Checksums) store.Checksums { return store.Checksums{CRC64NVME: c.CRC64NVME} }
		},
		"from a disk": func(m *shareModel) {
			disk := newMemDisk()
			disk.set("k", m.src.data("k"))
			m.src, m.job.Source = disk.memStore, disk
		},
		"by size": func(m *shareModel) { m.job.Verify = "size" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newShareModel(t, 1, 2, 60)
			change(m)
			m.shareAtOnce()
			m.run()
			m.equal()
			m.once()
			if m.shared == 0 || m.whole == 0 {
				t.Errorf("%d ranges shared, %d sent by others", m.shared, m.whole)
			}
		})
	}
}

// TestSharedUploadIsProven: the sums of all parts, sent here or there, add up to what the source reports.
func TestSharedUploadIsProven(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	m.dst.want = [2]bool{false, true}
	m.dst.show = func(c store.Checksums) store.Checksums { return store.Checksums{CRC64NVME: c.CRC64NVME} }
	m.shareAtOnce()
	m.run()
	m.equal()
	if r := m.record; r.Source != "crc64nvme" || r.Sent != "crc64nvme" || r.How != "multipart" {
		t.Errorf("record %+v", r)
	}
	// Where the destination tells MD5s only, the sums that the other node reported are what proves the source.
	m = newShareModel(t, 1, 2, 60)
	m.dst.want = [2]bool{true, false}
	m.dst.show = func(c store.Checksums) store.Checksums { return store.Checksums{MD5: c.MD5, PartsMD5: c.PartsMD5} }
	m.shareAtOnce()
	m.run()
	m.equal()
	if r := m.record; r.Source != "crc64nvme" || m.whole == 0 {
		t.Errorf("record %+v, %d sent by others", r, m.whole)
	}
	// Parts of the source's own size: the multipart ETags agree.
	m = newShareModel(t, 1, 2, 60)
	data := content(59*80, 4)
	uploadInParts(t, memMultipart{m.src}, "k", data, 80)
	m.shareAtOnce()
	m.run()
	m.equal()
	if m.record.Source != "etag" || m.src.listed("k").ETag != m.dst.listed("k").ETag || m.whole == 0 {
		t.Errorf("record %+v, %d sent by others", m.record, m.whole)
	}
}

// TestHalve: what is left decides whether and where an object is divided, at its end too.
func TestHalve(t *testing.T) {
	const o, b, a, r = partOpen, partBegun, partAway, partArrived
	for _, tc := range []struct {
		name       string
		states     []partState // of parts of 100 bytes, the last one 50
		min, piece int64
		first, end int // 0, 0: not divided
	}{
		{"all", []partState{o, o, o, o, o, o}, 500, 100, 3, 6},
		{"no more than the least", []partState{o, o, o, o, o, o}, 550, 100, 0, 0},
		{"one byte more than the least", []partState{o, o, o, o, o, o}, 549, 100, 3, 6},
		{"no more than a piece", []partState{b, b, o, o, o, o}, 100, 350, 0, 0},
		{"one byte more than a piece", []partState{b, b, o, o, o, o}, 100, 349, 4, 6},
		{"what others have counts as left", []partState{b, o, o, a, a, a}, 449, 100, 2, 3},
		{"what others sent does not", []partState{b, o, o, r, r, r}, 449, 100, 0, 0},
		{"an odd number", []partState{b, o, o, o, o, o}, 100, 100, 4, 6},
		{"one part", []partState{b, b, b, b, o, b}, 0, 50, 0, 0},
		{"two parts", []partState{b, b, b, b, o, o}, 0, 50, 5, 6},
		{"the upper ones lie apart", []partState{o, o, o, o, b, o}, 0, 50, 5, 6},
		{"a gap at the end", []partState{o, o, o, o, b, b}, 0, 50, 2, 4},
		{"none", []partState{b, b, a, a, r, b}, 0, 50, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bench := newCopyBench(t, newMemStore(), memMultipart{newMemStore()})
			bench.n.Tuning.SharePiece = tc.piece
			m := &multipart{copier: &copier{n: bench.n}, plan: cutParts(550, 100)}
			m.reset(6)
			copy(m.states, tc.states)
			m.least = tc.min
			first, end, ok := m.halve()
			if first != tc.first || end != tc.end || ok != (tc.end > 0) {
				t.Errorf("got [%d, %d), %v", first, end, ok)
			}
			for i := range m.states {
				if want := i >= tc.first && i < tc.end || tc.states[i] == partAway; want != (m.states[i] == partAway) {
					t.Errorf("part %d is in state %d", i, m.states[i])
				}
			}
		})
	}
}

// TestNotShared: objects that only one node can copy, or that are not worth it.
func TestNotShared(t *testing.T) {
	for name, change := range map[string]func(m *shareModel){
		"small": func(m *shareModel) { m.nods[0].Tuning.ShareMin = 5950 },
		"off":   func(m *shareModel) { m.nods[0].Tuning.ShareMin = 0 },
		"copied by the destination": func(m *shareModel) {
			m.job.Destination = memCopier{memMultipart{m.dst}, 100}
		},
		"a source that names no version": func(m *shareModel) { m.src.etags = false; m.src.set("k", m.src.data("k")) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newShareModel(t, 1, 1, 60)
			change(m)
			for _, op := range []string{"part", "copypart"} {
				m.dst.fail(memFault{op: op, times: -1, do: func() { m.ask(Range) }})
			}
			m.run()
			m.equal()
			if m.shared > 0 {
				t.Errorf("%d ranges shared", m.shared)
			}
		})
	}
}

// TestAlone: with one slot everywhere nobody ever takes the parts, and the owner takes them back.
func TestAlone(t *testing.T) {
	m := newShareModel(t, 1, 1, 60)
	m.newSlots(1)
	m.onPart(func(n int) {
		m.ask(Range)
		if n == 2 {
			m.waitFor("parts are shared", func() bool { return m.shared > 0 })
		}
	})
	m.run()
	m.equal()
	m.once()
	if m.shared == 0 || m.taken != m.shared || m.runs[Parts] > 0 {
		t.Errorf("%d ranges shared, %d taken back, %d tasks ran", m.shared, m.taken, m.runs[Parts])
	}
}

// TestHelperDies: the parts of a node that died go to another one, which holds what the upload has against the source.
func TestHelperDies(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	killed := false
	m.onPart(func(n int) {
		switch {
		case n == 1:
			m.ask(Range)
		case n == 2:
			m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
		case n > 20 && !killed:
			killed = m.kill(Parts)
		}
	})
	m.run()
	m.equal()
	if !killed {
		t.Error("nothing was killed")
	}
}

// TestOwnerDies: what others sent and what they are at stays theirs for the next owner.
func TestOwnerDies(t *testing.T) {
	m := newShareModel(t, 1, 3, 60)
	killed := false
	m.onPart(func(n int) {
		switch {
		case n == 1:
			m.ask(Range)
		case n == 2:
			m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
		case n > 10 && !killed:
			killed = m.kill(Range)
		}
	})
	m.run()
	m.equal()
	if !killed || m.runs[Range] < 2 || m.whole == 0 {
		t.Errorf("killed %v, owners %d, sent by others %d", killed, m.runs[Range], m.whole)
	}
	for i := 31; i <= 60; i++ { // shared before the death
		if n := m.dst.writings[fmt.Sprintf("k#%d", i)]; n != 1 {
			t.Errorf("part %d was sent %d times", i, n)
		}
	}
}

// TestSourceChangesWhileShared: whoever sees it first, the new version is copied whole.
func TestSourceChangesWhileShared(t *testing.T) {
	for name, disk := range map[string]bool{"pinned": false, "from a disk": true} {
		t.Run(name, func(t *testing.T) {
			m := newShareModel(t, 1, 2, 60)
			if disk {
				d := newMemDisk()
				d.set("k", m.src.data("k"))
				m.src, m.job.Source = d.memStore, d
			}
			m.onPart(func(n int) {
				switch n {
				case 1:
					m.ask(Range)
				case 2:
					m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
				case 20:
					m.src.set("k", content(6100, 77))
				}
			})
			m.run()
			m.equal()
		})
	}
}

// TestHelperCannot: what another node cannot send its owner sends.
func TestHelperCannot(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	m.shareAtOnce()
	// The other node's first look at the source fails for good.
	looks := 0
	f := m.src.fail(memFault{op: "stat", times: -1})
	f.do = func() {
		if looks++; looks == 2 {
			f.err = memErr("stat", "k", store.Auth, "not for you")
		} else {
			f.err = nil
		}
	}
	m.run()
	m.equal()
	m.once()
	if m.runs[Parts] == 0 || m.taken == 0 || looks < 2 {
		t.Errorf("%d parts tasks, %d ranges taken back, %d looks", m.runs[Parts], m.taken, looks)
	}
}

// TestPartsOfOthersAreChecked: a part that is not what was acknowledged to the node that sent it is sent again.
func TestPartsOfOthersAreChecked(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	m.shareAtOnce()
	m.dst.fail(memFault{op: "parts", do: func() {
		for _, u := range m.dst.uploads {
			p := u.parts[60]
			p.ETag, p.data = "other", content(len(p.data), 9)
			u.parts[60] = p
		}
	}})
	m.run()
	m.equal()
	if n := m.dst.writings["k#60"]; n != 2 || m.taken != 1 {
		t.Errorf("part 60 was sent %d times, %d ranges taken back", n, m.taken)
	}
}

// TestUploadGoneWhileShared: the object is copied by another upload.
func TestUploadGoneWhileShared(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	m.onPart(func(n int) {
		switch n {
		case 1:
			m.ask(Range)
		case 2:
			m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
		case 20:
			clear(m.dst.uploads)
		}
	})
	m.run()
	m.equal()
}

// TestObjectFailsWhileShared: the upload is aborted, and what others do for it ends.
func TestObjectFailsWhileShared(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	m.shareAtOnce()
	m.dst.fail(memFault{op: "complete", times: -1, err: memErr("complete", "k", store.Permanent, "no")})
	m.run()
	if len(m.done) != 1 || m.done[0] != Failed || m.totals.Failed != 1 || m.dst.leftovers() != "" {
		t.Errorf("outcomes %v, counts %+v, left %s", m.done, m.totals, m.dst.leftovers())
	}
}

// TestPartsTaskStops: a stop settles what is in flight and gives the rest back.
func TestPartsTaskStops(t *testing.T) {
	m := newShareModel(t, 1, 2, 60)
	stopped := false
	m.onPart(func(n int) {
		switch {
		case n == 1:
			m.ask(Range)
		case n == 2:
			m.waitFor("a parts task runs", func() bool { return m.runs[Parts] > 0 })
		case n > 10 && !stopped:
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, task := range m.tasks {
				if task.Kind == Parts && task.held {
					close(task.stop)
					stopped = true
				}
			}
		}
	})
	m.run()
	m.equal()
	if !stopped {
		t.Error("nothing was stopped")
	}
}

// TestSharesAtRandom: requests, refusals, lost answers, deaths of owners and of others at random points; the object
// arrives equal, is counted once, and nothing is left behind.
func TestSharesAtRandom(t *testing.T) {
	shared, taken, whole, killed := 0, 0, 0, 0
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := newShareModel(t, seed, 1+int(seed%4), 60+int(seed%50))
			m.fates = true
			r := rand.New(rand.NewPCG(seed, 8))
			deaths := r.IntN(6)
			m.onPart(func(int) {
				kind := []Kind{Range, Parts}[r.IntN(2)]
				switch n := r.IntN(40); {
				case n < 20:
					m.ask(kind)
				case n < 22 && deaths > 0 && m.kill(kind):
					deaths--
					killed++
				case n == 23:
					m.dst.faults[0].err = memErr("part", "k", store.Transient, "try again")
					return
				}
				m.dst.faults[0].err = nil
			})
			m.run()
			m.equal()
			shared, taken, whole = shared+m.shared, taken+m.taken, whole+m.whole
		})
	}
	if shared == 0 || taken == 0 || whole == 0 || killed == 0 {
		t.Errorf("shared %d, taken back %d, sent by others %d, killed %d: nothing was tested", shared, taken, whole, killed)
	}
	t.Logf("shared %d, taken back %d, sent by others %d, killed %d", shared, taken, whole, killed)
}

// TestPartsTaskRefuses: a task that cannot be of this object.
func TestPartsTaskRefuses(t *testing.T) {
	for name, task := range map[string]Task{
		"beyond the end": {Line: 5, EndLine: 61},
		"empty":          {Line: 5, EndLine: 5},
		"negative":       {Line: -1, EndLine: 5},
	} {
		t.Run(name, func(t *testing.T) {
			m := newShareModel(t, 1, 1, 60)
			task.Kind, task.Parts = Parts, &PartsOf{Key: "k", UploadID: "u", PartSize: 100, Size: 5950}
			l := &oneAdvance{modelLedger: &modelLedger{m: m, id: 1}}
			err := m.nods[0].Run(t.Context(), m.job, task, free{}, l)
			if err != nil || l.got.Parts == nil || l.got.Parts.Class != string(store.Permanent) {
				t.Errorf("%v, %+v", err, l.got.Parts)
			}
		})
	}
}

// oneAdvance keeps what a task reported.
type oneAdvance struct {
	*modelLedger
	got Advance
}

func (l *oneAdvance) Advance(_ context.Context, a Advance) (bool, error) {
	l.got = a
	return false, nil
}
