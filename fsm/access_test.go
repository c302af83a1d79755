package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testEvent has every field set but Number, which is the state's.
func testEvent() Event {
	return Event{At: 1, Actor: "ann", Token: "0123456789abcdef", Role: Operator, From: "10.0.0.9", Node: "n", Request: "r", Verb: "pause", Target: "j"}
}

func testToken(n int) PutToken {
	return PutToken{ID: fmt.Sprintf("%016x", n), Name: fmt.Sprintf("name%d", n), Role: Viewer, Hash: bytes.Repeat([]byte{byte(n)}, hashSize), At: 100}
}

func (g *generator) accessCommand() Command {
	role := pick(g, []Role{Viewer, Operator, Admin, "root"})
	switch n := g.r.IntN(6); g.r.IntN(3) {
	case 0:
		c := testToken(n)
		c.Role, c.At, c.Lifetime = role, g.stamp, g.r.Int64N(5)
		return c
	case 1:
		return RemoveToken{ID: testToken(n).ID}
	}
	e := Event{At: g.stamp, Actor: "a", Role: role, Verb: "v", Target: fmt.Sprint(g.r.IntN(3)), Request: fmt.Sprint(g.r.IntN(200))}
	r := Recorded{Event: e, Command: pick(g, []Command{nil, testToken(g.r.IntN(6)), SetNode{Node: g.node(), Draining: g.chance(50)}})}
	if g.chance(60) {
		return r
	}
	c := testOnce(byte(g.r.IntN(50)), byte(g.r.IntN(3)))
	c.Recorded = r
	c.Recorded.Event.At *= pick(g, []int64{1, int64(OnceAge) / 100})
	return c
}

// checkAccess checks what must always hold of tokens and history.
func checkAccess(s *State) error {
	if len(s.tokens) > MaxTokens || len(s.history) > MaxHistory {
		return fmt.Errorf("%d tokens and %d events", len(s.tokens), len(s.history))
	}
	names := map[string]bool{}
	for id, t := range s.tokens {
		if t.ID != id || names[t.Name] || !t.Role.Valid() {
			return fmt.Errorf("token %s: %+v", id, t)
		}
		names[t.Name] = true
	}
	if len(s.done) > MaxOnce {
		return fmt.Errorf("%d changes made once", len(s.done))
	}
	for i, e := range s.history {
		if e.Number != s.lastEvent-uint64(len(s.history)-1-i) {
			return fmt.Errorf("event %d of %d has number %d, the last %d", i, len(s.history), e.Number, s.lastEvent)
		}
	}
	return nil
}

func TestPutToken(t *testing.T) {
	b := newBench(t)
	c := testToken(1)
	c.Lifetime = 50
	b.must(c)
	want := &Token{ID: c.ID, Name: "name1", Role: Viewer, Hash: c.Hash, Created: 100, Expires: 150}
	if d := cmp.Diff(want, b.m.state.Token(c.ID)); d != "" {
		t.Error(d)
	}
	again := c
	again.At = 900 // by another leader
	b.unchanged(again)
	for name, change := range map[string]func(*PutToken){
		"no ID":         func(c *PutToken) { c.ID = "" },
		"ID upper case": func(c *PutToken) { c.ID = "00000000000000AB" },
		"ID with dots":  func(c *PutToken) { c.ID = "00000000000000.." },
		"no name":       func(c *PutToken) { c.Name = "" },
		"odd name":      func(c *PutToken) { c.Name = "a b" },
		"long name":     func(c *PutToken) { c.Name = strings.Repeat("n", maxSetting+1) },
		"no role":       func(c *PutToken) { c.Role = "" },
		"other role":    func(c *PutToken) { c.Role = "root" },
		"no hash":       func(c *PutToken) { c.Hash = nil },
		"short hash":    func(c *PutToken) { c.Hash = c.Hash[1:] },
		"negative life": func(c *PutToken) { c.Lifetime = -1 },
		"endless life":  func(c *PutToken) { c.Lifetime = math.MaxInt64 },
	} {
		t.Run(name, func(t *testing.T) {
			bad := testToken(2)
			change(&bad)
			b.refuses(bad, ErrInvalid)
		})
	}
	for name, change := range map[string]func(*PutToken){
		"name taken":    func(c *PutToken) { c.Name = "name1" },
		"ID taken":      func(c *PutToken) { c.ID = testToken(1).ID },
		"other secret":  func(c *PutToken) { c.ID, c.Name = testToken(1).ID, "name1" },
		"more of a say": func(c *PutToken) { *c = testToken(1); c.Role = Admin },
	} {
		t.Run(name, func(t *testing.T) {
			bad := testToken(2)
			change(&bad)
			b.refuses(bad, ErrTokenExists)
		})
	}
	b.refuses(RemoveToken{ID: testToken(2).ID}, ErrNoToken)
	b.must(RemoveToken{ID: c.ID})
	if b.m.state.Token(c.ID) != nil || len(b.m.state.Tokens()) != 0 {
		t.Error("the token is still there")
	}
	b.must(testToken(2))
	if got := b.m.state.Token(testToken(2).ID); got.Expires != 0 {
		t.Errorf("a token without a lifetime expires at %d", got.Expires)
	}
}

func TestTokensAreBounded(t *testing.T) {
	b := newBench(t)
	for i := range MaxTokens {
		b.must(testToken(i))
	}
	b.refuses(testToken(MaxTokens), ErrTooManyTokens)
	b.must(RemoveToken{ID: testToken(7).ID}, testToken(MaxTokens))
	names := make([]string, 0, MaxTokens)
	for _, token := range b.m.state.Tokens() {
		names = append(names, token.Name)
	}
	if !slices.IsSorted(names) || len(names) != MaxTokens {
		t.Errorf("%d tokens, in order: %v", len(names), slices.IsSorted(names))
	}
}

func TestRecorded(t *testing.T) {
	b := running(t)
	pause := Recorded{Event: testEvent(), Command: PauseJob{Job: "j", Nonce: testNonce, Reason: "r", At: 5}}
	b.must(pause)
	if b.job("j").State != Paused {
		t.Errorf("the job is %s", b.job("j").State)
	}
	want := testEvent()
	want.Number = 1
	if d := cmp.Diff([]Event{want}, b.m.state.History()); d != "" {
		t.Error(d)
	}
	refused := pause
	refused.Event.Request, refused.Command = "r2", ContinueJob{Job: "none", Nonce: testNonce}
	b.refuses(refused, ErrNoJob)
	b.must(ContinueJob{Job: "j", Nonce: testNonce})
	b.unchanged(pause) // happened before: the job, which runs again, is left alone
	note := Recorded{Event: Event{At: 9, Actor: "local", Role: Admin, Verb: "stop"}}
	b.must(note, note)
	if h := b.m.state.History(); len(h) != 3 || h[2].Number != 3 || h[2].Verb != "stop" {
		t.Errorf("%+v", h)
	}
}

func TestRecordedRefusesBadEvents(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]func(*Event){
		"too large":    func(e *Event) { e.Target = strings.Repeat("x", MaxEvent) },
		"no actor":     func(e *Event) { e.Actor = "" },
		"no verb":      func(e *Event) { e.Verb = "" },
		"no role":      func(e *Event) { e.Role = "" },
		"own number":   func(e *Event) { e.Number = 7 },
		"escape codes": func(e *Event) { e.Target = "\x1b[2J" },
		"two lines":    func(e *Event) { e.From = "a\nb" },
	} {
		t.Run(name, func(t *testing.T) {
			c := Recorded{Event: testEvent(), Command: testToken(1)}
			change(&c.Event)
			b.refuses(c, ErrInvalid)
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	b := newBench(t)
	for i := range MaxHistory + 23 {
		b.must(Recorded{Event: Event{At: int64(i), Actor: "a", Role: Viewer, Verb: "v"}})
	}
	h := b.m.state.History()
	if len(h) != MaxHistory || h[0].Number != 24 || h[MaxHistory-1].Number != MaxHistory+23 {
		t.Errorf("%d events, from %d to %d", len(h), h[0].Number, h[len(h)-1].Number)
	}
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(b.snapshot())); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != b.m.Hash() || len(m.state.History()) != MaxHistory {
		t.Error("the restored history differs")
	}
}

func TestRecordedHoldsSingleCommands(t *testing.T) {
	for _, c := range []Command{Batch{}, Recorded{Event: testEvent()}} {
		if _, err := Encode(Recorded{Event: testEvent(), Command: c}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%T: %v", c, err)
		}
	}
	if _, err := Encode(Recorded{Event: testEvent(), Command: SubmitJob{Spec: make([]byte, MaxEntry/4*3-100)}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	plain, err := Encode(Recorded{Event: testEvent(), Command: RemoveToken{ID: "i"}})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := Encode(RemoveToken{ID: "i"})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(event string, command []byte) []byte {
		entry := binary.AppendUvarint([]byte{FormatVersion, byte(TypeRecorded)}, uint64(len(event)))
		return append(append(entry, event...), command...)
	}
	batch, err := JoinBatch([][]byte{inner})
	if err != nil {
		t.Fatal(err)
	}
	for name, entry := range map[string][]byte{
		"nothing":       {FormatVersion, byte(TypeRecorded)},
		"cut short":     plain[:20],
		"unknown field": frame(`{"actor":"a","sudo":true}`, inner),
		"two events":    frame(`{} {}`, inner),
		"a batch":       frame(`{}`, batch),
		"another":       frame(`{}`, plain),
		"garbage":       frame(`{}`, []byte{FormatVersion, 200, '{', '}'}),
	} {
		if c, err := Decode(entry); err == nil {
			t.Errorf("%s: decoded as %#v", name, c)
		}
	}
	if got, err := Decode(frame(`{"actor":"a"}`, nil)); err != nil || !reflect.DeepEqual(got, Recorded{Event: Event{Actor: "a"}}) {
		t.Errorf("without a command: %#v, %v", got, err)
	}
}
