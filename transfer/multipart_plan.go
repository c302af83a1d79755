package transfer

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// partPlan cuts an object into parts of one size, the last one smaller.
type partPlan struct {
	size int64 // of the object
	part int64
	n    int
	// sameParts: the source was made of parts of this very size, so that multipart ETags of both sides can be compared.
	sameParts bool
}

// span returns the range of part i, counted from 0.
func (p *partPlan) span(i int) (off, length int64) {
	off = int64(i) * p.part
	return off, min(p.part, p.size-off)
}

// partBounds are what a destination allows.
type partBounds struct {
	smallest, largest int64
	most              int
}

// planParts chooses the part size: the source's own where it can be told, else as small as the tuning and the bounds
// allow, but no less than least.
func planParts(o *store.Object, t *Tuning, b partBounds, least int64) (partPlan, error) {
	told, sure := sourcePart(o, t, b)
	part := told
	if part == 0 {
		part = max(least, ceilDiv(o.Size, int64(b.most)), b.smallest)
		part = min(ceilDiv(part, t.PartUnit)*t.PartUnit, b.largest)
	}
	plan := cutParts(o.Size, part)
	plan.sameParts = sure && part == told
	if plan.n > b.most {
		return partPlan{}, &store.Error{Op: "copy", Key: o.Key, Class: store.Permanent,
			Err: fmt.Errorf("%d bytes do not fit in %d parts of at most %d bytes", o.Size, b.most, b.largest)}
	}
	return plan, nil
}

// cutParts lays parts of one size over an object.
func cutParts(size, part int64) partPlan {
	return partPlan{size: size, part: part, n: int(min(ceilDiv(size, part), math.MaxInt32))}
}

// usualParts are the part sizes that tools upload with, in units, the most usual first.
var usualParts = [...]int64{8, 16, 5, 64, 50, 32, 100, 128}

// sourcePart tells the part size that a source object was uploaded with from the number of parts in its ETag; 0 where it
// cannot be told. sure is false where more than one usual size leads to that number: the first may well be the right
// one, but nothing may depend on it.
func sourcePart(o *store.Object, t *Tuning, b partBounds) (part int64, sure bool) {
	_, digits, ok := strings.Cut(o.Sums.PartsMD5, "-")
	n, err := strconv.ParseInt(digits, 10, 32)
	if !ok || err != nil || n < 1 || n > int64(b.most) {
		return 0, false
	}
	fits := func(part int64) bool {
		return ceilDiv(o.Size, part) == n && part >= max(t.PartMin, b.smallest) && part <= min(t.PartMax, b.largest)
	}
	even := ceilDiv(ceilDiv(o.Size, n), t.PartUnit) * t.PartUnit
	if n == 1 && even <= b.largest {
		return even, true
	}
	for _, units := range usualParts {
		if p := units * t.PartUnit; fits(p) {
			if part != 0 {
				return part, false
			}
			part = p
		}
	}
	if part == 0 && fits(even) {
		part = even
	}
	return part, part != 0
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
