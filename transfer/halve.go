package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// halver finds an existing key about halfway through the rest of a range, without walking it. It lists single keys from
// estimated places on. The places are made-up text and serve for nothing else: what is found is a key of the source.
type halver struct {
	t    *taskRun
	src  store.Source
	low  string // an existing key; only keys above it are wanted
	stop string // bound; "" means no end

	probes int
	err    error // of a probe; the search ends with what it has
}

const (
	maxProbes = 24           // requests of one search
	highest   = "\U0010FFFF" // sorts behind every other valid text
	precision = 4            // the top of the keys is known well enough when this part of the rest is left uncertain
)

// find returns the key, or "" when there is none that leaves keys on both sides.
func (h *halver) find(ctx context.Context) string {
	top, last := h.limit(ctx)
	if top == "" {
		return ""
	}
	under, over := h.top(ctx, top, last)
	if under == "" {
		return ""
	}
	if place, ok := between(h.low, over); ok {
		if key := h.above(ctx, place, last); key != "" && key < under {
			return key
		}
	}
	if h.above(ctx, under, last) == "" {
		return "" // it is the last key, or was
	}
	return under
}

// limit returns a text that no wanted key is above, and the key that is the last of the range, where it is known: a cut
// behind that one would leave nothing. With no stop the text is found by the prefixes of the lowest key: from some length
// on there are keys behind all those with the prefix. Text "" means that nothing is left.
func (h *halver) limit(ctx context.Context) (text, last string) {
	if h.stop != "" {
		key, _ := store.After(h.stop)
		return key, key
	}
	prefixes := prefixesOf(h.low)
	// Behind the shortest prefix, which is empty, there is nothing.
	short, long := 0, len(prefixes)
	for short+1 < long {
		mid := (short + long) / 2
		if h.above(ctx, prefixes[mid]+highest, "") == "" {
			short = mid
		} else {
			long = mid
		}
	}
	if h.err != nil {
		return "", ""
	}
	return prefixes[short] + highest, ""
}

// prefixesOf lists the prefixes of a key that end between two characters, the empty one first.
func prefixesOf(key string) []string {
	prefixes := make([]string, 0, len(key)+1)
	for i := range key {
		prefixes = append(prefixes, key[:i])
	}
	return append(prefixes, key)
}

// top narrows down where the keys below a limit end: over is a text that no key but perhaps the last is above, under the
// highest key found below it.
func (h *halver) top(ctx context.Context, limit, last string) (under, over string) {
	over = limit
	from := h.low
	for h.err == nil && h.probes < maxProbes {
		if under != "" && distance(under, over, h.low) <= distance(h.low, over, h.low)/precision {
			break
		}
		place, ok := between(from, over)
		if !ok {
			break
		}
		if key := h.above(ctx, place, last); key == "" || key >= over {
			over = place
		} else {
			from, under = key, key
		}
	}
	return under, over
}

// above returns the first source key above a place that has another one of the range behind it as far as is known; ""
// where there is none.
func (h *halver) above(ctx context.Context, place, last string) string {
	if h.err != nil {
		return ""
	}
	h.probes++
	p := h.t.n.newPager(h.src, store.ListOptions{From: store.Next(place), To: h.stop, Page: 1}, h.t.lease)
	defer p.close()
	err := p.fill(ctx)
	switch {
	case errors.Is(err, io.EOF):
		return ""
	case err != nil:
		h.err = err
		return ""
	}
	key := p.page[0].Key
	if last != "" && key >= last {
		return ""
	}
	return key
}

// between returns a text about halfway between two, taken as fractions; ok is false where there is no room for one. It
// is valid UTF-8 without control characters, for it goes into requests and comes back in answers.
func between(low, high string) (text string, ok bool) {
	n := common(low, high)
	for n > 0 && n < len(high) && !utf8.RuneStart(high[n]) {
		n-- // to the start of the character that they differ in
	}
	if text, ok := betweenBytes(low, high, n); ok {
		return text, true
	}
	return betweenRunes(low, high, n)
}

// betweenBytes takes the bytes from n on for digits of a fraction.
func betweenBytes(low, high string, n int) (text string, ok bool) {
	a, b := digits(low, n), digits(high, n)
	if b <= a || b-a < 2 {
		return "", false
	}
	var mid [8]byte
	binary.BigEndian.PutUint64(mid[:], (a+(b-a)/2)<<8)
	out := []byte(low[:n])
	i := 0
	for ; i < fractionBytes && mid[i] >= ' ' && mid[i] < 0x7f; i++ {
		out = append(out, mid[i])
	}
	switch {
	case i < fractionBytes && mid[i] >= 0x7f:
		out = utf8.AppendRune(out, runeNear(mid[i:]))
	case string(out) <= low:
		out = append(out, ' ')
	}
	text = string(out)
	return text, utf8.ValidString(text) && low < text && text < high
}

// betweenRunes goes by the first character that differs, where what lies between two encodings is none.
func betweenRunes(low, high string, n int) (text string, ok bool) {
	if n >= len(high) || !utf8.ValidString(low) || !utf8.ValidString(high) {
		return "", false
	}
	l, size := rune(0), 0
	if n < len(low) {
		l, size = utf8.DecodeRuneInString(low[n:])
	}
	h, _ := utf8.DecodeRuneInString(high[n:])
	text = low[:n] + string(printable(l+(h-l)/2))
	if low < text && text < high {
		return text, true
	}
	if size == 0 {
		return "", false
	}
	rest, ok := betweenBytes(low[n+size:], highest, 0) // behind the same character
	text = low[:n+size] + rest
	return text, ok && text < high
}

// printable returns a character near r that requests and answers can carry.
func printable(r rune) rune {
	switch {
	case r < ' ':
		return ' '
	case 0x7f <= r && r < 0xa0:
		return 0xa0
	case !utf8.ValidRune(r):
		return 0xd000
	case 0xfff0 <= r && r <= 0xffff:
		return 0xf000
	}
	return r
}

// runeNear returns the printable character beyond ASCII whose encoding is near some bytes.
func runeNear(b []byte) rune {
	size, low, high := 3, byte(0x80), byte(0xbf) // of the encoding, and bounds of its second byte
	switch c := b[0]; {
	case c < 0xc2:
		return 0xa0
	case c == 0xc2:
		size, low = 2, 0xa0
	case c < 0xe0:
		size = 2
	case c == 0xe0:
		low = 0xa0
	case c == 0xed:
		high = 0x9f
	case c == 0xf0:
		size, low = 4, 0x90
	case c == 0xf4:
		size, high = 4, 0x8e
	case c > 0xf4:
		return 0x10ffff
	case c > 0xf0:
		size = 4
	}
	var near [utf8.UTFMax]byte
	copy(near[:], b[:min(size, len(b))])
	near[1] = min(max(near[1], low), high)
	for i := 2; i < size; i++ {
		near[i] = min(max(near[i], 0x80), 0xbf)
	}
	r, _ := utf8.DecodeRune(near[:size])
	return r
}

// fractionBytes are so many as are looked at behind what two texts have in common.
const fractionBytes = 7

// digits reads the bytes from n on as a number.
func digits(s string, n int) uint64 {
	var b [8]byte
	copy(b[1:], s[min(n, len(s)):])
	return binary.BigEndian.Uint64(b[:])
}

// common is the length of what two texts begin with.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// distance is how far high lies above low, on the scale on which base and high are told apart.
func distance(low, high, base string) uint64 {
	n := common(base, high)
	a, b := digits(low, n), digits(high, n)
	if common(low, high) < n || b < a {
		return 0
	}
	return b - a
}
