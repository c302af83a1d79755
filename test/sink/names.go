package sink

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// maxNames bounds synthetic buckets whose keys are kept in memory.
const maxNames = 10_000_000

// synNames makes the names of one kind, none of which has a slash: "hex" (16 random digits), "uuid", "date" (moments of
// five years, evenly, with an ID), "skew" (99 in 100 under one long prefix, numbered, the others anywhere), "mixed" (upper and lower
// case, characters on either side of those that UTF-16 writes as two units, some folders). It returns nil for kinds that it does
// not know. The names of one kind and number are always the same.
func synNames(kind string) func(r *rand.Rand, i, n int64) string {
	switch kind {
	case "hex":
		return func(r *rand.Rand, _, _ int64) string { return fmt.Sprintf("%016x", r.Uint64()) }
	case "uuid":
		return func(r *rand.Rand, _, _ int64) string {
			a, b := r.Uint64(), r.Uint64()
			return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>50|0x8000, b&(1<<48-1))
		}
	case "date":
		return dateName
	case "skew":
		return skewName
	case "mixed":
		return mixedName
	}
	return nil
}

func dateName(r *rand.Rand, i, n int64) string {
	begin := time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC)
	const span = 5 * 365 * 24 * time.Hour
	at := begin.Add(time.Duration(float64(span) / float64(n) * float64(i)))
	return at.Format("2006-01-02T15:04:05.000") + fmt.Sprintf("-%06x.json", r.Uint32()&0xffffff)
}

func skewName(r *rand.Rand, i, _ int64) string {
	if i%100 == 0 {
		return string(rune('a'+r.IntN(26))) + strconv.FormatUint(r.Uint64(), 36)
	}
	return fmt.Sprintf("production-eu-central-1-database-backup-daily-snapshot-%09d", i)
}

// mixedName is one that sorts elsewhere in each order: beside that of bytes, without case, and by units of UTF-16.
func mixedName(r *rand.Rand, i, _ int64) string {
	starts := []string{"a", "A", "b", "B", "~", "_", "a/", "A/", "é", "\uffee", "\U0001f600", "\ue000", "z/\U0001f680/", "z/\ufffc/"}
	return starts[r.IntN(len(starts))] + strconv.FormatUint(r.Uint64()>>40, 36) + "-" + strconv.FormatInt(i, 36)
}

// inOrder returns the keys of a bucket in another order, made at the first call.
func (s *synthetic) inOrder(b synBucket, o Order) []string {
	at := s.keys(b)
	id := b.kind + strconv.FormatInt(b.n, 10)
	s.mu.Lock()
	defer s.mu.Unlock()
	if names, ok := s.other[id]; ok {
		return names
	}
	names := make([]string, b.n)
	for i := range names {
		names[i] = at(int64(i))
	}
	if s.other == nil {
		s.other = map[string][]string{}
	}
	s.other[id] = o.inOrder(names)
	return s.other[id]
}

// namesOf returns the keys of a bucket, ascending, made at the first call.
func (s *synthetic) namesOf(b synBucket) []string {
	id := b.kind + strconv.FormatInt(b.n, 10)
	s.mu.Lock()
	defer s.mu.Unlock()
	if names, ok := s.names[id]; ok {
		return names
	}
	name := synNames(b.kind)
	r := rand.New(rand.NewPCG(1, uint64(b.n)))
	names := make([]string, b.n)
	for i := range names {
		names[i] = name(r, int64(i), b.n)
	}
	slices.Sort(names)
	if s.names == nil {
		s.names = map[string][]string{}
	}
	s.names[id] = names
	return names
}
