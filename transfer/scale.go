package transfer

import (
	"strings"
	"time"
)

// scale reads keys as fractions: behind what they have in common, each position has its own alphabet, which is what keys
// seen there had, widened to the whole of its kind (ten digits, hexadecimal digits, letters) where positions vary. On
// this scale names that count, name moments or are random lie about evenly. Keys of other than printable ASCII have none.
type scale struct {
	positions []alphabet
}

// alphabet is the characters of one position, ascending, and the number of them below each byte.
type alphabet struct {
	symbols string
	below   [256]uint8
}

const (
	digitSymbols = "0123456789"
	lowerSymbols = "abcdefghijklmnopqrstuvwxyz"
	upperSymbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexLetters   = 6
	finest       = 1e-13 // of a fraction
)

// scaleOf learns from keys; ok is false where they are not printable ASCII.
func scaleOf(keys []string) (s *scale, ok bool) {
	var seen []charset
	for _, key := range keys {
		for len(seen) < len(key) {
			seen = append(seen, charset{})
		}
		for i := range len(key) {
			if key[i] < ' ' || key[i] > '~' {
				return nil, false
			}
			seen[i].add(key[i])
		}
	}
	var varying, all charset
	for i := range seen {
		all.addAll(&seen[i])
		if seen[i].n > 1 {
			varying.addAll(&seen[i])
		}
	}
	varying.widen(&all)
	s = &scale{positions: make([]alphabet, len(seen))}
	for i := range seen {
		if seen[i].within(&varying) {
			seen[i].addAll(&varying)
		}
		s.positions[i] = seen[i].alphabet()
	}
	if at := dateAt(keys[0]); at >= 0 && at == dateAt(keys[len(keys)/2]) && at == dateAt(keys[len(keys)-1]) {
		s.positions[at+len("2006-")] = charsetOf("01").alphabet()
		s.positions[at+len("2006-01-")] = charsetOf("0123").alphabet()
	}
	return s, true
}

// dateAt is where a name has a date; -1 where it has none. Months and days use few of the digits, and dates are what keys
// begin with most often: with all digits the ends of months would look far apart.
func dateAt(key string) int {
	for i := 0; i+len(time.DateOnly) <= len(key); i++ {
		if _, err := time.Parse(time.DateOnly, key[i:i+len(time.DateOnly)]); err == nil {
			return i
		}
	}
	return -1
}

func charsetOf(symbols string) *charset {
	c := &charset{}
	for i := range len(symbols) {
		c.add(symbols[i])
	}
	return c
}

// charset is a set of printable ASCII.
type charset struct {
	has [128]bool
	n   int
}

func (c *charset) add(b byte) {
	if !c.has[b] {
		c.has[b] = true
		c.n++
	}
}

func (c *charset) addAll(other *charset) {
	for b, has := range other.has {
		if has {
			c.add(byte(b))
		}
	}
}

// within tells whether a set has letters and digits of another only. One that has punctuation stays as it is: the names
// have it in their places.
func (c *charset) within(other *charset) bool {
	for b, has := range c.has {
		if has && (!other.has[b] || !strings.ContainsRune(digitSymbols+lowerSymbols+upperSymbols, rune(b))) {
			return false
		}
	}
	return true
}

// widen completes the kinds of characters in the set. Letters are taken for hexadecimal digits unless any of the names has
// others.
func (c *charset) widen(names *charset) {
	for _, kind := range []string{digitSymbols, lowerSymbols, upperSymbols} {
		some, far := false, false
		for i := range len(kind) {
			some = some || c.has[kind[i]]
			far = far || i >= hexLetters && names.has[kind[i]]
		}
		if kind != digitSymbols && !far {
			kind = kind[:hexLetters]
		}
		if some {
			for i := range len(kind) {
				c.add(kind[i])
			}
		}
	}
}

func (c *charset) alphabet() (a alphabet) {
	var symbols []byte
	for b := range a.below {
		a.below[b] = uint8(len(symbols))
		if b < len(c.has) && c.has[b] {
			symbols = append(symbols, byte(b))
		}
	}
	a.symbols = string(symbols)
	return a
}

// value is where a text lies behind its first at bytes, from 0 to 1.
func (s *scale) value(text string, at int) float64 {
	v, unit := 0.0, 1.0
	for i := at; i < len(text) && i < len(s.positions) && unit > finest; i++ {
		a := &s.positions[i]
		size := float64(len(a.symbols))
		rank := float64(a.below[text[i]])
		v += unit * rank / size
		if int(rank) == len(a.symbols) || a.symbols[int(rank)] != text[i] {
			break
		}
		unit /= size
	}
	return v
}

// text is about the place of a fraction behind a prefix, written with as many characters as tell it apart from others so
// far away.
func (s *scale) text(prefix string, v, apart float64) string {
	out := []byte(prefix)
	unit := 1.0
	for i := len(prefix); i < len(s.positions) && unit > max(apart, finest); i++ {
		a := &s.positions[i]
		size := len(a.symbols)
		rank := min(int(v/unit*float64(size)), size-1)
		out = append(out, a.symbols[rank])
		unit /= float64(size)
		v = max(0, v-float64(rank)*unit)
	}
	return string(out)
}
