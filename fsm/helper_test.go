package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// bench applies commands to a machine as raft would, through their encoding.
type bench struct {
	tb    testing.TB
	m     *Machine
	index uint64
	log   [][]byte
}

func newBench(tb testing.TB) *bench { return &bench{tb: tb, m: NewMachine()} }

func (b *bench) apply(c Command) Result {
	b.tb.Helper()
	entry, err := Encode(c)
	if err != nil {
		b.tb.Fatalf("encode %#v: %v", c, err)
	}
	b.index++
	b.log = append(b.log, entry)
	switch r := b.m.Apply(b.index, entry).(type) {
	case Result:
		return r
	case []Result:
		return r[len(r)-1]
	default:
		b.tb.Fatalf("apply answered a %T", r)
		return Result{}
	}
}

func (b *bench) must(cs ...Command) {
	b.tb.Helper()
	for _, c := range cs {
		if r := b.apply(c); r.Err != nil {
			b.tb.Fatalf("%#v: %v", c, r.Err)
		}
	}
}

// refuses checks the error, and that a refusal changes nothing but the index.
func (b *bench) refuses(c Command, want error) {
	b.tb.Helper()
	before := b.encoded()
	if r := b.apply(c); !errors.Is(r.Err, want) {
		b.tb.Errorf("%#v: got error %v, want %v", c, r.Err, want)
	}
	if after := b.encoded(); !bytes.Equal(before, after) {
		b.tb.Errorf("%#v was refused and changed the state from\n%s\nto\n%s", c, before, after)
	}
}

// unchanged checks that a command succeeds and changes nothing but the index.
func (b *bench) unchanged(c Command) {
	b.tb.Helper()
	before := b.encoded()
	b.must(c)
	if after := b.encoded(); !bytes.Equal(before, after) {
		b.tb.Errorf("repeating %#v changed the state from\n%s\nto\n%s", c, before, after)
	}
}

// encoded is the state without its index.
func (b *bench) encoded() []byte {
	b.tb.Helper()
	n := b.m.state.snapshot()
	n.header.Index = 0
	var buf bytes.Buffer
	if err := n.write(&buf); err != nil {
		b.tb.Fatal(err)
	}
	return buf.Bytes()
}

func (b *bench) job(id string) *Job {
	b.tb.Helper()
	j := b.m.state.Job(id)
	if j == nil {
		b.tb.Fatalf("no job %q", id)
	}
	return j
}

func (b *bench) task(id uint64) *Task {
	b.tb.Helper()
	t := b.m.state.Task(id)
	if t == nil {
		b.tb.Fatalf("no task %d", id)
	}
	return t
}

// lease grants a task to node n and returns its epoch.
func (b *bench) lease(id uint64) uint64 {
	b.tb.Helper()
	b.must(AssignTasks{Grants: []Grant{{id, "n"}}})
	if e := b.task(id).Epoch; e != b.index {
		b.tb.Fatalf("task %d has epoch %d, assigned at %d", id, e, b.index)
	}
	return b.index
}

var testNonce = []byte("0123456789abcdef")

func submit(id string) SubmitJob {
	return SubmitJob{ID: id, Nonce: testNonce, Kind: "copy", Spec: []byte(`{"version": 1}`), At: 100}
}

// running returns a bench with job j in pass 1; its scan is task 1.
func running(tb testing.TB) *bench {
	tb.Helper()
	b := newBench(tb)
	b.must(submit("j"), StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 200, Clock: 210, SkewNanos: 3})
	return b
}

func digest(n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), ^n)
}

func segment(c byte, lines int64) *Segment {
	return &Segment{Name: bytes.Repeat([]byte{c}, nameSize), Lines: lines}
}

// cut returns a bench whose scan ended and left range task 2, [b, m), of 3 objects and 30 bytes.
func cut(tb testing.TB) *bench {
	tb.Helper()
	b := running(tb)
	e := b.lease(1)
	b.must(AdvanceTask{Task: 1, Epoch: e, Done: true, Counts: Counts{Listed: 5, Skipped: 2, BytesListed: 50, BytesFound: 20},
		Cuts: []NewCut{{From: []byte("b"), To: []byte("m"), Objects: 3, Bytes: 30, Digest: digest(7)}}})
	return b
}

// listed returns a bench whose scan ended and left list task 2 of 10 lines.
func listed(tb testing.TB) *bench {
	tb.Helper()
	b := running(tb)
	e := b.lease(1)
	b.must(AdvanceTask{Task: 1, Epoch: e, Done: true, Counts: Counts{Listed: 10}, Cuts: []NewCut{{Segment: segment('s', 10), Objects: 10}}})
	return b
}
