package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const keyA, keyB, keyC = "00000000000000aa", "00000000000000bb", "00000000000000cc"

// sealedBy looks like a value sealed with a key.
func sealedBy(key, value string) []byte {
	id, err := hex.DecodeString(key)
	if err != nil {
		panic(err)
	}
	return append(append([]byte{sealedVersion}, id...), value...)
}

// sealedSpec is a description whose two sides have a value each that is sealed with a key.
func sealedSpec(key string) []byte {
	spec, err := json.Marshal(Spec{
		Version: 1, Source: Side{URL: "s3://a<b", Sealed: map[string][]byte{"secret_key": sealedBy(key, "source")}},
		Destination: &Side{URL: "s3://c", Sealed: map[string][]byte{"secret_key": sealedBy(key, "destination")}},
	})
	if err != nil {
		panic(err)
	}
	return spec
}

// reseal is the command that seals both values of a job again.
func reseal(j *Job, key string) ResealJob {
	var spec Spec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		panic(err)
	}
	c := ResealJob{Job: j.ID, Nonce: j.Nonce}
	for _, side := range []*Side{&spec.Source, spec.Destination} {
		if side == nil {
			continue
		}
		for field, value := range side.Sealed {
			was := sha256.Sum256(value)
			c.Values = append(c.Values, Resealed{
				Destination: side == spec.Destination, Field: field, Was: was[:], Sealed: append(sealedBy(key, ""), value[1+keyIDSize:]...),
			})
		}
	}
	return c
}

func (g *generator) keyCommand(s *State) Command {
	key := func() string { return fmt.Sprintf("%016x", g.r.IntN(12)) }
	k := s.Keys()
	from, to := k.Current, k.Old
	if from == "" {
		from = key()
	}
	if to == "" || g.chance(5) {
		to = key()
	}
	switch g.r.IntN(4) {
	case 0:
		return SwitchKey{From: from, To: to, At: g.stamp}
	case 1:
		return RetireKey{Key: to, At: g.stamp}
	}
	if jobs := s.SealedWith(to); len(jobs) > 0 {
		return reseal(pick(g, jobs), from)
	}
	return reseal(pick(g, s.Jobs()), from)
}

// checkKeys checks what must always hold of cluster keys.
func checkKeys(s *State) error {
	k := s.Keys()
	if len(k.Retired) > MaxRetiredKeys || k.IsRetired(k.Current) || k.IsRetired(k.Old) || k.Old != "" && k.Old == k.Current ||
		(k.Old == "") != (k.Began == "") || k.Old != "" && k.Began != k.Old && k.Began != k.Current {
		return fmt.Errorf("keys %+v", k)
	}
	for _, j := range s.Jobs() {
		if slices.ContainsFunc(keysOfSpec(j.Spec), k.IsRetired) {
			return fmt.Errorf("job %s is sealed with a key that was replaced", j.ID)
		}
	}
	return nil
}

func sealedJob(id, key string) SubmitJob {
	return SubmitJob{ID: id, Nonce: testNonce, Kind: "copy", Spec: sealedSpec(key), At: 1}
}

// TestChangeOfKeys goes the whole way, with every command sent twice, and in every wrong order.
func TestChangeOfKeys(t *testing.T) {
	b := newBench(t)
	b.must(sealedJob("j", keyA), sealedJob("k", keyA))
	b.refuses(RetireKey{Key: keyA, At: 5}, ErrKeyState)
	b.refuses(reseal(b.m.state.Job("j"), keyB), ErrKeyState)
	change := SwitchKey{From: keyA, To: keyB, At: 5}
	b.must(change)
	b.unchanged(change)
	b.refuses(SwitchKey{From: keyA, To: keyC, At: 6}, ErrKeyState)
	b.refuses(SwitchKey{From: keyB, To: keyC, At: 6}, ErrKeyState)
	b.refuses(RetireKey{Key: keyB, At: 6}, ErrKeyState)
	b.refuses(RetireKey{Key: keyA, At: 6}, ErrKeyInUse)
	b.refuses(reseal(b.m.state.Job("j"), keyC), ErrKeyState)

	before := b.m.state.Job("j")
	b.must(reseal(before, keyB))
	if jobs := b.m.state.SealedWith(keyA); len(jobs) != 1 || jobs[0].ID != "k" {
		t.Errorf("%d jobs are sealed with the old key", len(jobs))
	}
	b.refuses(reseal(before, keyB), ErrSealChanged) // a repeat, or another leader's: what it read is gone
	var was, is Spec
	if err := json.Unmarshal(before.Spec, &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.m.state.Job("j").Spec, &is); err != nil {
		t.Fatal(err)
	}
	if got := is.Destination.Sealed["secret_key"]; !bytes.Equal(got, sealedBy(keyB, "destination")) {
		t.Errorf("sealed again: %x", got)
	}
	was.Source.Sealed, was.Destination.Sealed = is.Source.Sealed, is.Destination.Sealed
	if d := cmp.Diff(was, is); d != "" {
		t.Errorf("more than sealed values changed: %s", d)
	}
	b.refuses(RetireKey{Key: keyA, At: 6}, ErrKeyInUse)
	b.must(sealedJob("late", keyA)) // a node that had not heard
	b.must(reseal(b.m.state.Job("k"), keyB))
	b.refuses(RetireKey{Key: keyA, At: 6}, ErrKeyInUse)
	b.must(reseal(b.m.state.Job("late"), keyB))
	b.must(RetireKey{Key: keyA, At: 7})
	b.unchanged(RetireKey{Key: keyA, At: 8})
	if d := cmp.Diff(Keys{Current: keyB, Since: 5, Retired: []RetiredKey{{keyA, 7}}}, b.m.state.Keys()); d != "" {
		t.Error(d)
	}
	b.refuses(sealedJob("too-late", keyA), ErrKeyRetired)
	b.refuses(SetJobLimits{Job: "j", Nonce: testNonce, Spec: sealedSpec(keyA)}, ErrKeyRetired)
	b.refuses(SwitchKey{From: keyB, To: keyA, At: 9}, ErrKeyRetired)
	b.must(SwitchKey{From: keyB, To: keyC, At: 9})
}

// TestChangeOfKeysTakenBack has the new key retired instead of the old one.
func TestChangeOfKeysTakenBack(t *testing.T) {
	b := newBench(t)
	b.must(sealedJob("j", keyA), SwitchKey{From: keyA, To: keyB, At: 5}, reseal(&Job{ID: "j", Nonce: testNonce, Spec: sealedSpec(keyA)}, keyB))
	b.must(SwitchKey{From: keyB, To: keyA, At: 6})
	if d := cmp.Diff(Keys{Current: keyA, Old: keyB, Began: keyA, Since: 6}, b.m.state.Keys()); d != "" {
		t.Error(d)
	}
	b.refuses(RetireKey{Key: keyB, At: 7}, ErrKeyInUse)
	b.must(reseal(b.m.state.Job("j"), keyA), RetireKey{Key: keyB, At: 7})
	if d := cmp.Diff(Keys{Current: keyA, Since: 6, Retired: []RetiredKey{{keyB, 7}}}, b.m.state.Keys()); d != "" {
		t.Error(d)
	}
}

func TestKeyCommandsRefuse(t *testing.T) {
	b := newBench(t)
	b.must(sealedJob("j", keyA))
	for _, c := range []SwitchKey{{From: keyA, To: keyA}, {From: "", To: keyA}, {From: keyA, To: "AA"}, {From: keyA, To: "00000000000000AB"}} {
		b.refuses(c, ErrInvalid)
	}
	b.refuses(RetireKey{}, ErrInvalid)
	b.must(SwitchKey{From: keyA, To: keyB, At: 1})
	good := reseal(b.m.state.Job("j"), keyB)
	for name, change := range map[string]func(*ResealJob){
		"nothing":         func(c *ResealJob) { c.Values = nil },
		"too many":        func(c *ResealJob) { c.Values = make([]Resealed, maxResealed+1) },
		"another job":     func(c *ResealJob) { c.Job = "k" },
		"its predecessor": func(c *ResealJob) { c.Nonce = bytes.Repeat([]byte{9}, nonceSize) },
		"another field":   func(c *ResealJob) { c.Values[1].Field = "access_key" },
		"another value":   func(c *ResealJob) { c.Values[1].Was = digest(1) },
		"the other side":  func(c *ResealJob) { c.Values[1].Destination = !c.Values[1].Destination },
		"not sealed":      func(c *ResealJob) { c.Values[1].Sealed = []byte("clear") },
	} {
		bad := good
		bad.Values = slices.Clone(good.Values)
		change(&bad)
		before := b.snapshot()
		if r := b.apply(bad); r.Err == nil || len(b.m.state.SealedWith(keyB)) > 0 {
			t.Errorf("%s: %v", name, r.Err)
		}
		if !bytes.Equal(b.m.state.Job("j").Spec, sealedSpecOf(t, before)) {
			t.Errorf("%s: refused, and in part done", name)
		}
	}
	b.must(good)
}

// sealedSpecOf reads the description of the only job out of a snapshot.
func sealedSpecOf(t *testing.T, snapshot []byte) []byte {
	t.Helper()
	m := NewMachine()
	if err := m.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	return m.state.Job("j").Spec
}

// TestRetiredKeysAreBounded changes the key again and again.
func TestRetiredKeysAreBounded(t *testing.T) {
	b := newBench(t)
	for n := range MaxRetiredKeys + 3 {
		from, to := fmt.Sprintf("%016x", n), fmt.Sprintf("%016x", n+1)
		b.must(SwitchKey{From: from, To: to, At: 1}, RetireKey{Key: from, At: 1})
	}
	if k := b.m.state.Keys(); len(k.Retired) != MaxRetiredKeys || k.Retired[0].ID != fmt.Sprintf("%016x", 3) {
		t.Errorf("%d keys are remembered, the first %+v", len(k.Retired), k.Retired[0])
	}
}
