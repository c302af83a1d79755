package fsm

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// A snapshot is a byte of FormatVersion and lines of JSON: the header, then jobs, cuts and tasks in order of their IDs.

type snapshotHeader struct {
	Index    uint64 `json:"index"`
	LastTask uint64 `json:"last_task"`
	Jobs     int    `json:"jobs"`
	Cuts     int    `json:"cuts"`
	Tasks    int    `json:"tasks"`

	ClusterID string            `json:"cluster_id,omitempty"`
	Settings  map[string]string `json:"settings,omitempty"`
	Draining  map[string]bool   `json:"draining,omitempty"`
	Keys      Keys              `json:"keys,omitzero"`

	Tokens    map[string]*Token `json:"tokens,omitempty"`
	History   []Event           `json:"history,omitempty"`
	LastEvent uint64            `json:"last_event,omitempty"`
	Done      []*Done           `json:"done,omitempty"`

	Notices        []*Notice       `json:"notices,omitempty"`
	LastNotice     uint64          `json:"last_notice,omitempty"`
	DroppedNotices uint64          `json:"dropped_notices,omitempty"`
	Told           map[string]Told `json:"told,omitempty"`
}

type savedCut struct {
	Job string `json:"job"`
	ID  uint64 `json:"id"`
	Cut *Cut   `json:"cut"`
}

// snapshot holds pointers to values that never change. Collecting them is all that Apply has to wait for.
type snapshot struct {
	header snapshotHeader
	jobs   []*Job
	cuts   []savedCut
	tasks  []*Task
}

func (s *State) snapshot() *snapshot {
	n := &snapshot{
		header: snapshotHeader{
			Index: s.index, LastTask: s.lastTask, ClusterID: s.clusterID, Settings: s.settings, Draining: s.draining, Keys: s.keys,
			Tokens: s.tokens, History: s.history, LastEvent: s.lastEvent, Done: s.done,
			Notices: s.notices, LastNotice: s.lastNotice, DroppedNotices: s.droppedNotices, Told: s.told,
		},
		jobs: make([]*Job, 0, len(s.jobs)), tasks: make([]*Task, 0, len(s.tasks)),
	}
	for _, j := range s.jobs {
		n.jobs = append(n.jobs, j)
	}
	for job, cuts := range s.cuts {
		n.cuts = slices.Grow(n.cuts, len(cuts))
		for id, c := range cuts {
			n.cuts = append(n.cuts, savedCut{job, id, c})
		}
	}
	for _, t := range s.tasks {
		n.tasks = append(n.tasks, t)
	}
	n.header.Jobs, n.header.Cuts, n.header.Tasks = len(n.jobs), len(n.cuts), len(n.tasks)
	return n
}

// write encodes the snapshot in the one order that all nodes agree on.
func (n *snapshot) write(w io.Writer) error {
	slices.SortFunc(n.jobs, func(a, b *Job) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.cuts, func(a, b savedCut) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(n.tasks, func(a, b *Task) int { return cmp.Compare(a.ID, b.ID) })

	buf := bufio.NewWriterSize(w, 64<<10)
	if err := buf.WriteByte(FormatVersion); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(n.header); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := encodeAll(enc, n.jobs); err != nil {
		return err
	}
	if err := encodeAll(enc, n.cuts); err != nil {
		return err
	}
	if err := encodeAll(enc, n.tasks); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func encodeAll[T any](enc *json.Encoder, values []T) error {
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	return nil
}

// readSnapshot is the reverse of write, and rebuilds what is derived.
func readSnapshot(r io.Reader) (*State, error) {
	buf := bufio.NewReaderSize(r, 64<<10)
	version, err := buf.ReadByte()
	if err != nil {
		return nil, fmt.Errorf("read format: %w", err)
	}
	if version != FormatVersion {
		return nil, fmt.Errorf("%w: snapshot of version %d, this binary reads %d", ErrUnknownFormat, version, FormatVersion)
	}
	dec := json.NewDecoder(buf)
	dec.DisallowUnknownFields()
	var h snapshotHeader
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	s := newState()
	s.index, s.lastTask = h.Index, h.LastTask
	s.clusterID, s.settings, s.draining = h.ClusterID, h.Settings, h.Draining
	s.keys = h.Keys
	s.tokens, s.history, s.lastEvent, s.done = h.Tokens, h.History, h.LastEvent, h.Done
	s.notices, s.lastNotice, s.droppedNotices, s.told = h.Notices, h.LastNotice, h.DroppedNotices, h.Told
	if err := s.readJobs(dec, h.Jobs); err != nil {
		return nil, err
	}
	if err := s.readCuts(dec, h.Cuts); err != nil {
		return nil, err
	}
	if err := s.readTasks(dec, h.Tasks); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: data after the last task", ErrUnknownFormat)
	}
	return s, nil
}

func (s *State) readJobs(dec *json.Decoder, n int) error {
	for range n {
		j := new(Job)
		if err := dec.Decode(j); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		s.jobs[j.ID] = j
	}
	return nil
}

func (s *State) readCuts(dec *json.Decoder, n int) error {
	for range n {
		var c savedCut
		if err := dec.Decode(&c); err != nil {
			return fmt.Errorf("read cut: %w", err)
		}
		j := s.jobs[c.Job]
		if j == nil || c.Cut == nil {
			return fmt.Errorf("read cut %d: %w: of job %q", c.ID, ErrInvalid, c.Job)
		}
		s.putCut(j.ID, c.ID, c.Cut)
	}
	return nil
}

func (s *State) readTasks(dec *json.Decoder, n int) error {
	names := map[string]string{} // one copy of each node and kind: tasks are many, names few
	for range n {
		t := new(Task)
		if err := dec.Decode(t); err != nil {
			return fmt.Errorf("read task: %w", err)
		}
		j := s.jobs[t.Job]
		if j == nil || t.ID > s.lastTask || s.tasks[t.ID] != nil {
			return fmt.Errorf("read task %d: %w: of job %q", t.ID, ErrInvalid, t.Job)
		}
		t.Job, t.Node, t.Kind = j.ID, intern(names, t.Node), TaskKind(intern(names, string(t.Kind)))
		if c := s.Cut(t.Job, t.Cut); c != nil {
			t.From, t.To = share(t.From, c.From), share(t.To, c.To)
		}
		s.putTask(t)
	}
	return nil
}

// intern returns the first copy seen of an equal string, so that the others can be freed.
func intern(seen map[string]string, s string) string {
	if first, ok := seen[s]; ok {
		return first
	}
	seen[s] = s
	return s
}

// share returns b in place of an equal a.
func share(a, b []byte) []byte {
	if bytes.Equal(a, b) {
		return b
	}
	return a
}
