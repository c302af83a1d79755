package fsm

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
)

// Machine guards a State: one writer, raft, and any number of readers.
type Machine struct {
	mu      sync.RWMutex
	state   *State
	changed chan struct{} // closed and replaced on each change
}

// NewMachine returns a machine with an empty state.
func NewMachine() *Machine {
	return &Machine{state: newState(), changed: make(chan struct{})}
}

// Apply changes the state by the log entry at index and answers a Result, or a []Result for a Batch. A node that cannot
// read an entry, or is given one twice, would go on with a state unlike the others': it panics instead.
func (m *Machine) Apply(index uint64, entry []byte) any {
	c, err := Decode(entry)
	if err != nil {
		panic(fmt.Sprintf("log entry %d is not for this binary: %v", index, err))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.state.index {
		panic(fmt.Sprintf("log entry %d after entry %d", index, m.state.index))
	}
	m.state.index = index
	defer m.signal()
	if b, ok := c.(Batch); ok {
		results := make([]Result, len(b.Commands))
		for i, c := range b.Commands {
			results[i] = Result{Err: m.state.apply(c), Index: index}
		}
		return results
	}
	return Result{Err: m.state.apply(c), Index: index}
}

// Read calls f with the state, which must neither be kept nor read after f returned.
func (m *Machine) Read(f func(*State)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.state)
}

// Changed returns a channel that is closed at the next change. Take it before reading the state, then no change is missed.
func (m *Machine) Changed() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// signal wakes those who wait on Changed; the caller holds mu.
func (m *Machine) signal() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Snapshot notes the state as it is now, in milliseconds. The function returned writes it out and may run beside Apply.
func (m *Machine) Snapshot() func(io.Writer) error { return m.note().write }

func (m *Machine) note() *snapshot {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.snapshot()
}

// Restore replaces everything by a snapshot. After an error the state is the one before.
func (m *Machine) Restore(r io.Reader) error {
	s, err := readSnapshot(r)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
	m.signal()
	return nil
}

// Hash is the SHA-256 of the encoded state: equal on all nodes that applied the same entries.
func (m *Machine) Hash() [32]byte {
	_, hash := m.HashAt()
	return hash
}

// HashAt is Hash and the index of the last entry that is in it. It runs beside Apply.
func (m *Machine) HashAt() (index uint64, hash [32]byte) {
	s, h := m.note(), sha256.New()
	if err := s.write(h); err != nil {
		panic(fmt.Sprintf("encode state: %v", err)) // a hash takes every write, and everything in the state came from JSON
	}
	return s.header.Index, [32]byte(h.Sum(nil))
}
