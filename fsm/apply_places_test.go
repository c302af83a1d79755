package fsm

import (
	"bytes"
	"strings"
	"testing"
)

func places(pass uint64, source string) FixPlaces {
	return FixPlaces{Job: "j", Nonce: testNonce, Pass: pass, Source: []byte(source)}
}

// TestPlacesAreKept: what a pass works with is recorded once, and stays known in later ones until the job starts afresh.
func TestPlacesAreKept(t *testing.T) {
	b := newBench(t)
	b.must(submit("j"), places(1, `{"a":1}`), places(1, `{"a":2}`),
		StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 200}, places(1, `{"a":2}`))
	check := func(pass uint64, source string) {
		t.Helper()
		if p := b.job("j").Places; p == nil || p.Pass != pass || string(p.Source) != source {
			t.Errorf("places are %+v, want %s of pass %d", p, source, pass)
		}
	}
	check(1, `{"a":2}`)
	b.unchanged(places(1, `{"a":2}`))
	b.refuses(places(1, `{"a":3}`), ErrInvalid)
	check(1, `{"a":2}`)
	e := b.lease(1)
	b.must(AdvanceTask{Task: 1, Epoch: e, Done: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 300},
		StartPass{Job: "j", Nonce: testNonce, Pass: 2, At: 400})
	check(1, `{"a":2}`)
	b.must(places(2, `{"a":4}`))
	check(2, `{"a":4}`)
	b.must(PauseJob{Job: "j", Nonce: testNonce}, RedoJob{Job: "j", Nonce: testNonce, At: 500})
	if p := b.job("j").Places; p != nil {
		t.Errorf("started afresh, the job still has %+v", p)
	}
}

func TestPlacesRefused(t *testing.T) {
	for name, c := range map[string]FixPlaces{
		"earlier pass":  places(1, `{}`),
		"later pass":    places(3, `{}`),
		"too long":      places(2, `"`+strings.Repeat("x", maxPlace)+`"`),
		"another nonce": {Job: "j", Nonce: []byte("fedcba9876543210"), Pass: 2},
		"no job":        {Job: "k", Nonce: testNonce, Pass: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := running(t)
			e := b.lease(1)
			b.must(AdvanceTask{Task: 1, Epoch: e, Done: true}, FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 300})
			before := b.encoded()
			if r := b.apply(c); r.Err == nil || !bytes.Equal(before, b.encoded()) {
				t.Errorf("taken, or changed the state: %v", r.Err)
			}
		})
	}
	b := running(t)
	b.must(PauseJob{Job: "j", Nonce: testNonce})
	b.refuses(places(1, `{}`), ErrJobState)
}
