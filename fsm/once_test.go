package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testOnce makes a change under a key, of which one request asks.
func testOnce(key, request byte) Once {
	return Once{
		Key: bytes.Repeat([]byte{key}, digestOnce), Request: bytes.Repeat([]byte{request}, digestOnce), Answer: []byte("sealed"),
		Recorded: Recorded{Event: testEvent(), Command: SetNode{Node: "n", Draining: true}},
	}
}

func TestOnce(t *testing.T) {
	b := running(t)
	c := testOnce(1, 2)
	c.Recorded.Command = PauseJob{Job: "j", Nonce: testNonce, Reason: "r", At: 5}
	b.must(c)
	want := &Done{Key: c.Key, Request: c.Request, Target: "j", Answer: c.Answer, At: 1}
	if d := cmp.Diff(want, b.m.state.Done(c.Key, 1)); d != "" || b.job("j").State != Paused || len(b.m.state.History()) != 1 {
		t.Errorf("the job is %s, %d events, %s", b.job("j").State, len(b.m.state.History()), d)
	}
	b.must(ContinueJob{Job: "j", Nonce: testNonce})
	again := c
	again.Recorded.Event.Request = "sent again by the client"
	b.refuses(again, ErrDone) // and leaves the job alone, which runs again
	other := again
	other.Request = bytes.Repeat([]byte{9}, digestOnce)
	b.refuses(other, ErrKeyUsed)

	refused := testOnce(3, 3)
	refused.Recorded.Event.Request = "r3"
	refused.Recorded.Command = ContinueJob{Job: "none", Nonce: testNonce}
	b.refuses(refused, ErrNoJob)
	refused.Recorded.Command = SetNode{Node: "n", Draining: true}
	b.must(refused) // what was refused has used up nothing

	other.Recorded.Event.At += int64(OnceAge)
	other.Recorded.Event.Request = "r4"
	b.must(other) // a day later the key is free
	if b.m.state.Done(c.Key, other.Recorded.Event.At) == nil || len(b.m.state.done) != 1 {
		t.Errorf("%d changes are kept", len(b.m.state.done))
	}
}

func TestOnceRefusesBadSizes(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]func(*Once){
		"short key":     func(c *Once) { c.Key = c.Key[1:] },
		"no request":    func(c *Once) { c.Request = nil },
		"answer":        func(c *Once) { c.Answer = make([]byte, MaxAnswer+1) },
		"event refused": func(c *Once) { c.Recorded.Event.Actor = "" },
	} {
		t.Run(name, func(t *testing.T) {
			c := testOnce(1, 2)
			change(&c)
			b.refuses(c, ErrInvalid)
		})
	}
}

func TestOnceIsBounded(t *testing.T) {
	b := newBench(t)
	c := testOnce(0, 0)
	for i := range MaxOnce + 10 {
		c.Key = binary.BigEndian.AppendUint64(make([]byte, digestOnce-8), uint64(i))
		c.Recorded.Event.Request = ""
		b.must(c)
	}
	if n := len(b.m.state.done); n != MaxOnce || b.m.state.done[0].Key[digestOnce-1] != 10 {
		t.Errorf("%d are kept, the first is %x", n, b.m.state.done[0].Key)
	}
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != b.m.Hash() || m.state.Done(c.Key, 1) == nil {
		t.Error("the restored state differs")
	}
}

func TestOnceHoldsRecorded(t *testing.T) {
	entry, err := Encode(testOnce(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	size, n := binary.Uvarint(entry[2:])
	head := bytes.Clone(entry[:2+n+int(size)])
	single, err := Encode(RemoveJob{Job: "j"})
	if err != nil {
		t.Fatal(err)
	}
	for name, entry := range map[string][]byte{
		"nothing":   {FormatVersion, byte(TypeOnce)},
		"cut short": head[:20],
		"no change": head,
		"a command": append(bytes.Clone(head), single...),
		"another":   append(bytes.Clone(head), entry...),
	} {
		if c, err := Decode(entry); err == nil {
			t.Errorf("%s: decoded as %#v", name, c)
		}
	}
	if _, err := Encode(Recorded{Event: testEvent(), Command: testOnce(1, 2)}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a record of one: %v", err)
	}
	large := testOnce(1, 2)
	large.Recorded.Command = SubmitJob{Spec: make([]byte, MaxEntry/4*3-220)}
	if _, err := Encode(large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// TestOldSnapshotsAreRead restores one of before there were changes made once.
func TestOldSnapshotsAreRead(t *testing.T) {
	b := newBench(t)
	b.must(testOnce(1, 2))
	text := b.snapshot()
	if !bytes.Contains(text, []byte(`"done":[`)) {
		t.Fatalf("the snapshot is %s", text)
	}
	plain := newBench(t)
	plain.must(Recorded{Event: testEvent(), Command: SetNode{Node: "n", Draining: true}})
	text = plain.snapshot()
	if bytes.Contains(text, []byte("done")) {
		t.Fatalf("the snapshot is %s", text)
	}
	if err := NewMachine().Restore(bytes.NewReader(text)); err != nil {
		t.Error(err)
	}
}
