package throughput

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// MaxFile is the size in bytes of the largest book in writing.
const MaxFile = 16 << 20

// latest is the largest number of a step that is believed.
const latest = 1 << 40

// magic begins a written book; its last byte is the version of the format.
const magic = "brigade-rates\x01"

var errBroken = errors.New("the file of past rates is broken")

// Kinds of series in a written book.
const (
	jobKind = iota + 1
	endpointKind
)

// Changed tells whether something was counted since the book was written down.
func (b *Book) Changed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Encode writes down all series, without the steps in which nothing happened.
func (b *Book) Encode() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = false
	out := []byte(magic)
	for j, s := range b.jobs {
		out = appendSeries(out, jobKind, j.ID, j.Nonce, s)
	}
	for name, s := range b.endpoints {
		out = appendSeries(out, endpointKind, name, "", s)
	}
	return sealed(out)
}

// sealed adds the checksum.
func sealed(out []byte) []byte { return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out)) }

func appendSeries(out []byte, kind byte, name, nonce string, s *series) []byte {
	out = append(out, kind)
	for _, text := range []string{name, nonce} {
		out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	}
	out = binary.AppendVarint(out, s.used.Unix())
	for i := range s.rings {
		r := &s.rings[i]
		out = binary.AppendVarint(out, r.last)
		full := 0
		for _, c := range r.steps {
			if c != (Counts{}) {
				full++
			}
		}
		out = binary.AppendUvarint(out, uint64(full))
		for back := range int64(len(r.steps)) {
			if c := r.at(r.last - back); c != (Counts{}) {
				for _, v := range []int64{back, c.Written, c.Read, c.Objects} {
					out = binary.AppendVarint(out, v)
				}
			}
		}
	}
	return out
}

// Decode takes over the series of a written book, in place of those that are there. What is broken changes nothing.
func (b *Book) Decode(data []byte) error {
	if len(data) < len(magic)+4 || len(data) > MaxFile || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: it is of another kind", errBroken)
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(data[len(body):]) {
		return fmt.Errorf("%w: its checksum differs", errBroken)
	}
	read := &reader{rest: body[len(magic):]}
	next := NewBook()
	for len(read.rest) > 0 && !read.bad {
		kind, name, nonce := read.byte(), read.text(), read.text()
		s := read.series()
		switch {
		case kind == jobKind && len(next.jobs) < MaxJobs:
			next.jobs[Job{name, nonce}] = s
		case kind == endpointKind && len(next.endpoints) < MaxEndpoints:
			next.endpoints[name] = s
		default:
			read.bad = true
		}
	}
	if read.bad {
		return errBroken
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs, b.endpoints = next.jobs, next.endpoints
	return nil
}

// reader takes a written book apart. Once something is wrong it is bad, and answers zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

func (r *reader) number() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) length(most int) int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(most) {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

func (r *reader) text() string {
	n := min(r.length(maxName), len(r.rest))
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

func (r *reader) series() *series {
	s := &series{used: time.Unix(r.number(), 0)}
	for i, t := range tiers {
		last, full := r.number(), r.length(t.Steps)
		if last < 0 || last > latest || last == 0 && full > 0 {
			r.bad = true
		}
		if last <= 0 || r.bad {
			continue
		}
		ring := &s.rings[i]
		ring.steps, ring.last = make([]Counts, t.Steps), last
		for range full {
			back := r.number()
			c := Counts{r.number(), r.number(), r.number()}
			if back < 0 || back >= int64(t.Steps) || back > last || slices.Min([]int64{c.Written, c.Read, c.Objects}) < 0 {
				r.bad = true
				break
			}
			ring.steps[(last-back)%int64(t.Steps)] = c
		}
	}
	return s
}
