package fsm

import (
	"iter"
	"slices"
)

// idSet is an ascending set of task IDs in a slice. It is made for queues: taking from the front, adding at the end and
// putting back near the front move few elements, whatever the length.
type idSet struct {
	buf  []uint64
	head int // buf[:head] is free room before the first element
}

func (s *idSet) len() int { return len(s.buf) - s.head }

func (s *idSet) add(id uint64) {
	live := s.buf[s.head:]
	i, found := slices.BinarySearch(live, id)
	switch {
	case found:
	case i < len(live)/2 && s.head > 0:
		s.head--
		copy(s.buf[s.head:], live[:i])
		s.buf[s.head+i] = id
	default:
		s.buf = slices.Insert(s.buf, s.head+i, id)
	}
}

func (s *idSet) remove(id uint64) {
	live := s.buf[s.head:]
	i, found := slices.BinarySearch(live, id)
	if !found {
		return
	}
	if i < len(live)/2 {
		copy(live[1:i+1], live[:i])
		s.head++
	} else {
		s.buf = slices.Delete(s.buf, s.head+i, s.head+i+1)
	}
	s.compact()
}

// compact gives room back once more than half of the buffer is free before the first element.
func (s *idSet) compact() {
	if s.len() == 0 {
		s.buf, s.head = nil, 0
		return
	}
	if s.head > 64 && s.head > s.len() {
		s.buf, s.head = slices.Clone(s.buf[s.head:]), 0
	}
}

// all yields the IDs in ascending order; the set must not change meanwhile.
func (s *idSet) all() iter.Seq[uint64] {
	return slices.Values(s.buf[s.head:])
}

// list returns a copy in ascending order.
func (s *idSet) list() []uint64 { return slices.Clone(s.buf[s.head:]) }
