package transfer

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Verdict is what comparing one key on both sides leads to.
type Verdict uint8

// The verdicts.
const (
	Equal     Verdict = iota // already there
	Differs                  // there, but not the same: copy
	Absent                   // not there: copy
	Undecided                // the listings do not tell: Stat decides, or a copy
	Unseen                   // named by a list: neither side was looked at
)

// sourceWindow is how long before the previous pass a source object must have been modified to be called older than it
// without a closer look: clocks of stores are only so good.
const sourceWindow = 300 * time.Second

// compareListed compares what the two listings say of one key; dst is nil where the destination does not have it.
func compareListed(job *Job, src, dst *store.Object) Verdict {
	if dst == nil {
		return Absent
	}
	if src.Kind != dst.Kind && (src.Kind == store.KindDir || dst.Kind == store.KindDir) {
		return Differs
	}
	if src.Kind == store.KindDir {
		return Equal
	}
	links := src.Kind == store.KindSymlink || dst.Kind == store.KindSymlink
	if job.Type == "verify" && !links {
		return compareVerified(job, src, dst)
	}
	switch job.Compare {
	case "always":
		return Differs
	case "missing":
		return Equal
	}
	if links {
		return compareLinks(src, dst)
	}
	if src.Size != dst.Size {
		return Differs
	}
	switch job.Compare {
	case "size":
		return Equal
	case "mtime":
		return compareTimes(job, src, dst)
	case "etag", "checksum":
		if equal, known, _ := src.Sums.Match(dst.Sums); known {
			return equalIf(equal)
		}
		return Undecided
	}
	return compareDefault(job, src, dst)
}

// compareVerified is the rule of verify jobs: times prove nothing, only content does.
func compareVerified(job *Job, src, dst *store.Object) Verdict {
	switch {
	case job.Verify == "none":
		return Equal
	case src.Size != dst.Size:
		return Differs
	case job.Verify == "size":
		return Equal
	}
	if equal, known, _ := src.Sums.Match(dst.Sums); known {
		return equalIf(equal)
	}
	return Undecided
}

// compareDefault is the rule of docs/compare.md.
func compareDefault(job *Job, src, dst *store.Object) Verdict {
	if equal, known, _ := src.Sums.Match(dst.Sums); known {
		return equalIf(equal)
	}
	if job.Destination.Abilities().ExactModTime {
		return compareTimes(job, src, dst)
	}
	unchanged := !job.PrevStart.IsZero() && !src.ModTime.IsZero() && src.ModTime.Before(job.PrevStart.Add(-sourceWindow))
	if unchanged && !dst.ModTime.Before(src.ModTime.Add(job.Skew)) {
		return Equal
	}
	return Undecided
}

// compareTimes holds modification times against each other at the coarser precision. Where one side is an object store
// the listed time is only when the object was stored; the recorded time decides then.
func compareTimes(job *Job, src, dst *store.Object) Verdict {
	if src.ModTime.IsZero() {
		return Undecided
	}
	if sameTime(src.ModTime, dst.ModTime, unitOf(job)) {
		return Equal
	}
	if job.Source.Abilities().ExactModTime && job.Destination.Abilities().ExactModTime {
		return Differs
	}
	return Undecided
}

func compareLinks(src, dst *store.Object) Verdict {
	if src.Kind == dst.Kind {
		return equalIf(src.Target == dst.Target)
	}
	return Undecided
}

func equalIf(equal bool) Verdict {
	if equal {
		return Equal
	}
	return Differs
}

// unitOf is the coarser precision of both sides' listed times.
func unitOf(job *Job) time.Duration {
	return max(job.Source.Abilities().ModTimeUnit, job.Destination.Abilities().ModTimeUnit, 1)
}

// sameTime compares at a precision; a time without a fraction of a second is only that precise.
func sameTime(a, b time.Time, unit time.Duration) bool {
	if a.Nanosecond() == 0 || b.Nanosecond() == 0 {
		unit = max(unit, time.Second)
	}
	return a.Truncate(unit).Equal(b.Truncate(unit))
}

// recordedTime reads the modification time that user metadata records.
func recordedTime(meta *store.Metadata) (time.Time, bool) {
	if meta == nil {
		return time.Time{}, false
	}
	return parseTime(meta.User[store.MTimeKey])
}

// parseTime reads decimal seconds since 1970 with up to nine digits of fraction, without the rounding of a float.
func parseTime(text string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(frac) > 18 {
		return time.Time{}, false
	}
	nanos := int64(0)
	if frac != "" {
		frac = (frac + "000000000")[:9]
		if nanos, err = strconv.ParseInt(frac, 10, 64); err != nil || nanos < 0 {
			return time.Time{}, false
		}
	}
	if strings.HasPrefix(whole, "-") {
		nanos = -nanos
	}
	return time.Unix(sec, nanos).UTC(), true
}

// compareClosely settles what the listings left undecided, with one Stat a side at most. It returns the destination
// object as it is now (nil when gone) and never Undecided: in doubt the object is copied.
func (n *Node) compareClosely(ctx context.Context, job *Job, src, dst *store.Object, lease Lease) (Verdict, *store.Object, error) {
	now, err := n.stat(ctx, job.Destination, dst.Key, lease)
	if store.ClassOf(err) == store.NotFound {
		return Absent, nil, nil
	}
	if err != nil {
		return Undecided, dst, err
	}
	v, err := n.compareStats(ctx, job, src, &now, lease)
	return v, &now, err
}

func (n *Node) compareStats(ctx context.Context, job *Job, src, dst *store.Object, lease Lease) (Verdict, error) {
	if src.Kind == store.KindSymlink || dst.Kind == store.KindSymlink {
		return n.compareLinkStats(ctx, job, src, dst, lease)
	}
	if src.Size != dst.Size {
		return Differs, nil
	}
	unit := unitOf(job)
	byTime := job.Compare != "etag" && job.Compare != "checksum" && !src.ModTime.IsZero() // some sources tell no time
	if equal, known, _ := src.Sums.Match(dst.Sums); known {
		return equalIf(equal), nil
	}
	if t, ok := recordedTime(dst.Meta); byTime && ok && sameTime(t, src.ModTime, unit) {
		return Equal, nil
	}
	if job.Source.Abilities().ExactModTime {
		return Differs, nil
	}
	full, err := n.statSource(ctx, job, src, lease)
	if err != nil {
		return Undecided, err
	}
	if equal, known, _ := full.Sums.Match(dst.Sums); known {
		return equalIf(equal && full.Size == dst.Size), nil
	}
	if !byTime {
		return Differs, nil
	}
	want, ok := recordedTime(full.Meta)
	if !ok {
		want = full.ModTime
	}
	have := dst.ModTime
	if !job.Destination.Abilities().ExactModTime {
		if have, ok = recordedTime(dst.Meta); !ok {
			return Differs, nil
		}
	}
	return equalIf(sameTime(want, have, unit) && full.Size == dst.Size), nil
}

// compareLinkStats compares a link with a link, or with the object that a link is kept as.
func (n *Node) compareLinkStats(ctx context.Context, job *Job, src, dst *store.Object, lease Lease) (Verdict, error) {
	if src.Kind == store.KindSymlink {
		return equalIf(sameLink(src, dst)), nil
	}
	full, err := n.statSource(ctx, job, src, lease)
	if err != nil {
		return Undecided, err
	}
	return equalIf(sameLink(&full, dst)), nil
}

// sameLink compares two sides of which one is a link at least, both described with their metadata.
func sameLink(src, dst *store.Object) bool {
	if src.Kind == dst.Kind {
		return src.Target == dst.Target
	}
	if src.Kind == store.KindSymlink {
		return keepsLink(dst, src.Target)
	}
	return keepsLink(src, dst.Target)
}

// keepsLink tells whether an object, described with its metadata, stands for a link with this target.
func keepsLink(o *store.Object, target string) bool {
	if o.Meta == nil || o.Meta.User[kindKey] != kindSymlink || o.Size != int64(len(target)) {
		return false
	}
	same, known, _ := o.Sums.Match(sumsOf(wanted{md5: true, crc64: true, crc32c: true, sha256: true, ecma: true, qetag: true}, []byte(target)))
	return known && same
}

// statSource is Stat of a source object, under the key that it has at the destination.
func (n *Node) statSource(ctx context.Context, job *Job, o *store.Object, lease Lease) (store.Object, error) {
	now, err := n.stat(ctx, job.Source, o.Name(), lease)
	if o.Origin != "" {
		now.Key, now.Origin = o.Key, o.Origin
	}
	return now, err
}

// stat is Stat with retries.
func (n *Node) stat(ctx context.Context, s store.Source, key string, lease Lease) (store.Object, error) {
	var o store.Object
	err := n.retry(ctx, lease, func() (err error) {
		ended := n.began(s, opStat)
		o, err = s.Stat(ctx, key)
		return ended(err)
	})
	return o, err
}
