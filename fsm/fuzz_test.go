package fsm

import (
	"bytes"
	"testing"
)

// FuzzApply gives a state with a job at work whatever can be decoded. It is applied or refused, without a panic, and what
// becomes of the state can be written and read again.
func FuzzApply(f *testing.F) {
	for _, c := range append(everyCommand(), Batch{everyCommand()}) {
		entry, err := Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	f.Add([]byte{FormatVersion, byte(TypeAdvanceTask), 'n', 'u', 'l', 'l'})
	f.Add([]byte{FormatVersion, byte(TypeBatch), 2, FormatVersion, byte(TypeBatch)})
	f.Fuzz(func(t *testing.T, entry []byte) {
		c, err := Decode(entry)
		if err != nil || len(entry) > MaxEntry {
			return
		}
		for _, b := range []*bench{newBench(t), cut(t), listed(t)} {
			before := b.encoded()
			b.index++
			r, single := b.m.Apply(b.index, entry).(Result)
			if single && r.Err != nil && !bytes.Equal(before, b.encoded()) {
				t.Errorf("%#v was refused (%v) and changed the state", c, r.Err)
			}
			snap := b.snapshot()
			again := newBench(t)
			if err := again.m.Restore(bytes.NewReader(snap)); err != nil {
				t.Fatalf("%#v: the state is not read again: %v\n%s", c, err, snap)
			}
			if !bytes.Equal(snap, again.snapshot()) {
				t.Errorf("%#v: the state is another when it was read again", c)
			}
		}
	})
}

// FuzzRestore reads whatever as a snapshot. What can be read is the same when it was written and read again, and after an error
// the state is the one before.
func FuzzRestore(f *testing.F) {
	for _, b := range []*bench{newBench(f), cut(f), listed(f)} {
		f.Add(b.snapshot())
	}
	f.Add([]byte{FormatVersion})
	f.Add([]byte("\x01{\"index\":1,\"jobs\":9223372036854775807}\nnull"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := cut(t)
		before := b.snapshot()
		if err := b.m.Restore(bytes.NewReader(text)); err != nil {
			if !bytes.Equal(before, b.snapshot()) {
				t.Errorf("a snapshot was refused (%v) and changed the state", err)
			}
			return
		}
		snap := b.snapshot()
		if err := b.m.Restore(bytes.NewReader(snap)); err != nil || !bytes.Equal(snap, b.snapshot()) {
			t.Errorf("%q is another state when it was written and read again: %v", text, err)
		}
	})
}
