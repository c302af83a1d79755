package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
)

// generator makes commands that mostly fit the state, and now and then do not.
type generator struct {
	r     *rand.Rand
	stamp int64
	last  Command // sent again at times
}

func newGenerator(seed uint64) *generator { return &generator{r: rand.New(rand.NewPCG(seed, 1))} }

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func pick[T any](g *generator, from []T) T { return from[g.r.IntN(len(from))] }

func (g *generator) next(s *State) Command {
	if g.last != nil && g.chance(5) {
		return g.last
	}
	g.stamp++
	if g.chance(5) {
		b := Batch{}
		for range 1 + g.r.IntN(4) {
			b.Commands = append(b.Commands, g.one(s))
		}
		return b
	}
	g.last = g.one(s)
	return g.last
}

func (g *generator) one(s *State) Command {
	if len(s.Jobs()) < 3 {
		return SubmitJob{ID: fmt.Sprintf("job%d", g.r.IntN(4)), Nonce: g.nonce(), Kind: pick(g, []string{"copy", "verify", "list"}),
			Spec: sealedSpec(fmt.Sprintf("%016x", g.r.IntN(4))), Limits: JobLimits{MaxFailures: int64(g.r.IntN(200)), Bandwidth: g.timetable()}, At: g.stamp}
	}
	if g.chance(5) {
		return g.clusterCommand(s)
	}
	if g.chance(2) {
		return g.fixPlaces(pick(g, s.Jobs()))
	}
	if g.chance(12) {
		return g.jobCommand(pick(g, s.Jobs()))
	}
	if g.chance(30) {
		return g.assign(s)
	}
	return g.taskCommand(s)
}

func (g *generator) clusterCommand(s *State) Command {
	if g.chance(40) {
		return g.accessCommand()
	}
	if g.chance(25) {
		return g.noticeCommand(s)
	}
	if g.chance(30) {
		return g.keyCommand(s)
	}
	name := pick(g, []string{"a", "b.c", "d-e", "not valid"})
	switch g.r.IntN(8) {
	case 0:
		return SetClusterID{ID: fmt.Sprintf("%032x", g.r.IntN(2))}
	case 1, 2, 3:
		return SetNode{Node: g.node(), Draining: g.chance(50)}
	}
	return SetSettings{Settings: map[string]string{name: pick(g, []string{"", "1", "two"}), "z": fmt.Sprint(g.r.IntN(3))}}
}

// noticeCommand posts and acknowledges.
func (g *generator) noticeCommand(s *State) Command {
	if waiting := s.Notices(); len(waiting) > 0 && g.chance(60) {
		return AckNotices{IDs: []uint64{pick(g, waiting).ID, g.r.Uint64N(20)}, Receivers: []string{pick(g, []string{"a", "b"})}, Final: g.chance(40)}
	}
	return PostNotice{
		Kind: pick(g, []string{"node-dead", "disk-low", "not valid"}), Key: pick(g, []string{"", "k1", "k2"}), Value: pick(g, []string{"", "up", "down"}), Again: int64(g.r.IntN(100)), First: g.chance(50),
		Job: pick(g, []string{"", "", "job1"}), Node: g.node(), Reason: "r", At: g.stamp,
	}
}

func (g *generator) nonce() []byte { return fmt.Appendf(nil, "nonce%011d", g.r.IntN(2)) }

// jobCommand prefers what brings a job on.
func (g *generator) jobCommand(j *Job) Command {
	nonce := j.Nonce
	if g.chance(3) {
		nonce = g.nonce()
	}
	start := StartPass{Job: j.ID, Nonce: nonce, Pass: j.Pass + 1, At: g.stamp, Clock: g.stamp * 2}
	finish := FinishPass{Job: j.ID, Nonce: nonce, Pass: j.Pass, RetryAt: int64(g.r.IntN(2)) * (g.stamp + 60), At: g.stamp}
	goOn := ContinueJob{Job: j.ID, Nonce: nonce, At: g.stamp}
	retry := RetryJob{Job: j.ID, Nonce: nonce, Auto: g.chance(50), At: g.stamp}
	remove := RemoveJob{Job: j.ID, Nonce: nonce}
	redo := RedoJob{Job: j.ID, Nonce: nonce, Paused: g.chance(30), At: g.stamp}
	if g.chance(10) {
		return g.edit(j, nonce)
	}
	if g.chance(70) {
		switch j.State {
		case Pending, Succeeded, Waiting:
			return start
		case Running:
			return finish
		case Paused:
			return goOn
		case Failed:
			return pick(g, []Command{retry, start})
		case Canceled:
			return pick(g, []Command{remove, redo})
		}
	}
	if g.chance(40) {
		return pick(g, []Command{remove, redo, redo, redo, CancelJob{Job: j.ID, Nonce: nonce, Reason: "r", At: g.stamp}})
	}
	limits := SetJobLimits{Job: j.ID, Nonce: nonce, Spec: []byte(`{"version": 2}`), Limits: JobLimits{MaxFailures: int64(g.r.IntN(200)), Bandwidth: g.timetable()}}
	return pick(g, []Command{start, finish, goOn, retry, g.fold(j), limits,
		PauseJob{Job: j.ID, Nonce: nonce, Reason: "r", Class: "c", At: g.stamp}})
}

// edit makes a change of a job's description, now and then of one that it does not have.
func (g *generator) edit(j *Job, nonce []byte) Command {
	base := j.SpecHash()
	c := EditJob{Job: j.ID, Nonce: nonce, Base: base[:], Spec: fmt.Appendf(nil, `{"version": %d}`, 3+g.r.IntN(3)), Kind: j.Type,
		Limits: JobLimits{MaxFailures: int64(g.r.IntN(200)), Bandwidth: g.timetable()}, Renews: g.chance(50), At: g.stamp,
		Scope: pick(g, []EditScope{EditLive, EditRest, EditPlaces, ""})}
	if g.chance(10) {
		c.Base = g.segment().Name
	}
	if c.Scope == EditPlaces {
		c.Kind = pick(g, []string{"copy", "verify", "list"})
	}
	return c
}

func (g *generator) fixPlaces(j *Job) Command {
	c := FixPlaces{Job: j.ID, Nonce: j.Nonce, Pass: j.Pass, Source: fmt.Appendf(nil, `{"a":%d}`, g.r.IntN(2))}
	if j.State != Running || g.chance(5) {
		c.Pass++
	}
	return c
}

func (g *generator) fold(j *Job) Command {
	c := FoldSegments{Job: j.ID, Nonce: j.Nonce, Failed: g.chance(50), Count: 1 + g.r.IntN(3), Manifest: *g.segment()}
	c.Manifest.Manifest = !g.chance(5)
	list := j.Audit
	if c.Failed {
		list = j.Failed
	}
	if len(list) > 0 {
		c.First = list[0].Name
	}
	return c
}

func (g *generator) segment() *Segment {
	name := make([]byte, nameSize)
	for i := range name {
		name[i] = byte(g.r.Uint32())
	}
	return &Segment{Name: name, Lines: 1 + g.r.Int64N(20)}
}

func (g *generator) assign(s *State) Command {
	c := AssignTasks{}
	for _, j := range s.Jobs() {
		for t := range s.PendingScans(j.ID) {
			if g.chance(50) {
				c.Grants = append(c.Grants, Grant{t.ID, g.node()})
			}
		}
		for t := range s.Pending(j.ID) {
			if g.chance(20) && len(c.Grants) < 20 {
				c.Grants = append(c.Grants, Grant{t.ID, g.node()})
			}
		}
	}
	return c
}

func (g *generator) node() string { return fmt.Sprintf("node%d", g.r.IntN(3)) }

func (g *generator) taskCommand(s *State) Command {
	leased := slices.Collect(s.Leased())
	if len(leased) == 0 {
		return g.assign(s)
	}
	t := pick(g, leased)
	epoch := t.Epoch
	if g.chance(3) {
		epoch += uint64(g.r.IntN(3)) - 1
	}
	switch n := g.r.IntN(100); {
	case n < 60:
		return g.advance(s, t, epoch)
	case n < 68:
		return SplitTask{Task: t.ID, Epoch: epoch, At: g.between(t.From, t.To), AtLine: t.Line + g.r.Int64N(t.EndLine-t.Line+2)}
	case n < 76:
		return ReleaseTasks{Tasks: []TaskEpoch{{t.ID, epoch}, {g.r.Uint64N(50), epoch}}}
	case n < 82:
		return FailTask{Task: t.ID, Epoch: epoch, Class: pick(g, []string{"auth", "transient"}), Reason: "r", NotBefore: g.stamp,
			GiveUp: g.chance(40), Pause: g.chance(10), At: g.stamp}
	default:
		return g.upload(t, epoch)
	}
}

func (g *generator) upload(t *Task, epoch uint64) Command {
	plan := PlanUpload{Task: t.ID, Epoch: epoch, Key: g.between(t.From, t.To), Known: []string{"x"}, Planned: g.stamp}
	if len(t.Uploads) == 0 {
		return plan
	}
	key := pick(g, t.Uploads).Key
	if c, ok := g.share(t, epoch); ok {
		return c
	}
	return pick(g, []Command{
		plan,
		OpenUpload{Task: t.ID, Epoch: epoch, Key: key, ID: fmt.Sprint(g.r.IntN(3)), Version: "v", Part: 8},
		CloseUpload{Task: t.ID, Epoch: epoch, Key: key},
	})
}

// share hands out parts of an open upload, of 20 parts of 8 bytes, or takes some back.
func (g *generator) share(t *Task, epoch uint64) (Command, bool) {
	u := pick(g, t.Uploads)
	if u.ID == "" || g.chance(40) {
		return nil, false
	}
	first := g.r.Int64N(21)
	c := ShareParts{Task: t.ID, Epoch: epoch, Key: u.Key, First: first, End: first + g.r.Int64N(8), Size: 160, Back: g.chance(30)}
	if len(u.Shares) > 0 && g.chance(40) {
		sh := pick(g, u.Shares)
		c.First, c.End = sh.First, sh.End
	}
	return c, true
}

// parts makes the one report of a parts task, and now and then another.
func (g *generator) parts(t *Task, epoch uint64) Command {
	c := AdvanceTask{Task: t.ID, Epoch: epoch, FromLine: t.Line, ToLine: t.EndLine, Done: true, At: g.stamp,
		Counts: Counts{BytesMoved: g.r.Int64N(50)}, Parts: &PartsResult{Tags: g.segment().Name, CRC64: digest(3)[:8], Shown: "md5"}}
	switch g.r.IntN(12) {
	case 0:
		c.Parts = nil
	case 1:
		c.Done = false
	case 2:
		c.Counts.Copied = 1
	case 3, 4:
		c.Parts = &PartsResult{Class: "changed", Reason: "r"}
	}
	return c
}

// between makes a key that mostly lies in (from, to).
func (g *generator) between(from, to []byte) []byte {
	for range 8 {
		key := make([]byte, 1+g.r.IntN(3))
		for i := range key {
			key[i] = "abcdefgh"[g.r.IntN(8)]
		}
		if bytes.Compare(key, from) > 0 && before(key, to) {
			return key
		}
	}
	return append(bytes.Clone(from), 'a')
}

func (g *generator) advance(s *State, t *Task, epoch uint64) Command {
	if t.Kind == PartsTask {
		return g.parts(t, epoch)
	}
	c := AdvanceTask{Task: t.ID, Epoch: epoch, From: t.From, FromLine: t.Line, Done: g.chance(35), At: g.stamp}
	if g.chance(3) {
		c.From, c.FromLine = g.between(nil, nil), t.Line+1
	}
	switch {
	case c.Done:
		c.To, c.ToLine = t.To, t.EndLine
	default:
		c.To, c.ToLine = g.between(t.From, t.To), t.Line+1+g.r.Int64N(t.EndLine-t.Line+1)
	}
	if t.Kind != RelistTask {
		c.Counts = g.counts(s.Job(t.Job), t)
		c.Classes = map[string]int64{pick(g, []string{"auth", "transient"}): c.Counts.Failed}
	}
	if c.Counts.Failed > 0 {
		c.Failed = g.segment()
	}
	if g.chance(10) {
		c.Audit = g.segment()
	}
	if t.Kind == ScanTask {
		c.Cuts = g.cuts(c.From, c.To)
		for _, cut := range c.Cuts {
			c.Counts.Listed += cut.Objects
			c.Counts.BytesListed += cut.Bytes
		}
	} else {
		c.Objects, c.Bytes, c.Digest = g.listing(s, t)
	}
	return c
}

// listing makes sums which often agree with the cut.
func (g *generator) listing(s *State, t *Task) (objects, size int64, sum []byte) {
	if cut := s.Cut(t.Job, t.Cut); cut != nil && g.chance(60) {
		if t.Kind == RelistTask {
			return cut.SettledObjects, cut.SettledBytes, cut.SettledDigest
		}
		return cut.Objects, cut.Bytes, cut.Digest
	}
	return g.r.Int64N(3), g.r.Int64N(30), digest(g.r.Uint64N(3))
}

func (g *generator) counts(j *Job, t *Task) Counts {
	n := func() int64 { return g.r.Int64N(5) }
	c := Counts{Copied: n(), Skipped: n(), Filtered: n(), Vanished: n(), Changed: n(), Recovered: n(), BytesFound: n(), BytesMoved: n()}
	if g.chance(20) {
		c.Failed = n()
	}
	if t.Kind == ScanTask {
		c.Listed, c.BytesListed = 10*n(), 100*n()
	}
	if t.Retry {
		c.Failed = -g.r.Int64N(j.Counts.Failed + 2)
	}
	if g.chance(2) {
		c.Copied = -1
	}
	return c
}

func (g *generator) cuts(from, to []byte) (cuts []NewCut) {
	for range g.r.IntN(4) {
		if g.chance(40) {
			seg := g.segment()
			cuts = append(cuts, NewCut{Segment: seg, Objects: seg.Lines})
			continue
		}
		end := g.between(from, to)
		cuts = append(cuts, NewCut{From: from, To: end, Objects: g.r.Int64N(3), Bytes: g.r.Int64N(30), Digest: digest(g.r.Uint64N(3))})
		from = end
	}
	return cuts
}

// timetable makes some slots of a week, often none.
func (g *generator) timetable() (slots []RateSlot) {
	for from := g.r.IntN(minutesOfWeek); from < minutesOfWeek && g.r.IntN(2) == 0; from += 1 + g.r.IntN(1000) {
		slots = append(slots, RateSlot{from, g.r.Int64N(1 << 40)})
	}
	return slots
}
