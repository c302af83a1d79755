package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// mouth is a Teller that remembers.
type mouth struct {
	to     []string
	length time.Duration
	takes  time.Duration

	mu   sync.Mutex
	fail map[string]error // by receiver
	told []string         // "receiver: kinds"
	last time.Time
}

func (m *mouth) Receivers(*fsm.Notice) []string { return m.to }

func (m *mouth) Window(n *fsm.Notice) time.Duration {
	if n.Kind == "urgent" {
		return 0
	}
	return m.length
}

func (m *mouth) Tell(ctx context.Context, who string, notices []*fsm.Notice) error {
	after(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail[who]; err != nil {
		return err
	}
	text := who + ":"
	for _, n := range notices {
		text += fmt.Sprintf(" %s%d", n.Kind, n.ID)
	}
	m.told = append(m.told, text)
	m.last = time.Now()
	return ctx.Err()
}

func (m *mouth) set(who string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.fail = map[string]error{}
	}
	m.fail[who] = err
}

func (m *mouth) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.told)
	slices.Sort(all)
	return all
}

func with(m *mouth) func(*LeaderConfig) { return func(c *LeaderConfig) { c.Teller = m } }

func (r *rig) waiting() (n int) {
	r.log.machine.Read(func(s *fsm.State) { n = len(s.Notices()) })
	return n
}

func (r *rig) post(kinds ...string) {
	r.t.Helper()
	for _, k := range kinds {
		r.must(fsm.PostNotice{Kind: k})
	}
}

// TestOutboxTellsEveryReceiverOnce: and then is empty.
func TestOutboxTellsEveryReceiverOnce(t *testing.T) {
	m := &mouth{to: []string{"a", "b"}}
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent", "urgent")
		r.eventually("all told", func() bool { return r.waiting() == 0 })
		if got, want := m.heard(), []string{"a: urgent1", "a: urgent2", "b: urgent1", "b: urgent2"}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	}, with(m))
}

// TestOutboxWithoutReceivers: what nobody is to be told of does not stay.
func TestOutboxWithoutReceivers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent")
		r.eventually("gone", func() bool { return r.waiting() == 0 })
	}, with(&mouth{}))
}

// TestOutboxOutlivesServers: a receiver that is away for ten minutes gets everything, in order, and others do not wait for it.
func TestOutboxOutlivesServers(t *testing.T) {
	m := &mouth{to: []string{"a", "b"}}
	m.set("a", errors.New("connection refused"))
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent", "urgent", "urgent")
		r.eventually("b told", func() bool { return len(m.heard()) == 3 })
		after(10 * time.Minute)
		r.post("urgent")
		if got := r.waiting(); got != 4 {
			t.Errorf("%d wait", got)
		}
		m.set("a", nil)
		after(tellLongest)
		r.eventually("a told", func() bool { return r.waiting() == 0 })
		if got := m.heard(); len(got) != 8 || !slices.IsSorted(got) {
			t.Errorf("told %v", got)
		}
	}, with(m))
}

// TestOutboxRefused: a receiver that refuses for good is not asked again, and loses nobody else's.
func TestOutboxRefused(t *testing.T) {
	m := &mouth{to: []string{"a", "b"}}
	m.set("a", fmt.Errorf("550 no such user: %w", ErrUndeliverable))
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent")
		r.eventually("gone", func() bool { return r.waiting() == 0 })
		if got := m.heard(); !slices.Equal(got, []string{"b: urgent1"}) {
			t.Errorf("told %v", got)
		}
	}, with(m))
}

// TestOutboxGathers: what can wait goes as one message when its window closes; what cannot goes at once.
func TestOutboxGathers(t *testing.T) {
	m := &mouth{to: []string{"a"}, length: 10 * time.Minute}
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now().Truncate(m.length).Add(m.length)
		after(time.Until(began))
		r.post("calm", "urgent", "calm")
		after(time.Minute)
		synctest.Wait()
		if got := m.heard(); !slices.Equal(got, []string{"a: urgent2"}) {
			t.Errorf("told %v", got)
		}
		after(10 * time.Minute)
		r.eventually("told", func() bool { return r.waiting() == 0 })
		if got := m.heard(); !slices.Equal(got, []string{"a: calm1 calm3", "a: urgent2"}) {
			t.Errorf("told %v", got)
		}
	}, with(m))
}

// TestOutboxLimitsMessages: more than an hour's worth waits for the next hour, and is not lost.
func TestOutboxLimitsMessages(t *testing.T) {
	m := &mouth{to: []string{"a"}}
	bubble(t, func(t *testing.T, r *rig) {
		for range tellHourly + 20 {
			r.post("urgent")
		}
		after(time.Minute)
		synctest.Wait()
		if got := len(m.heard()); got != tellHourly {
			t.Errorf("%d messages in an hour", got)
		}
		after(time.Hour)
		r.eventually("told", func() bool { return r.waiting() == 0 })
		if got := len(m.heard()); got != tellHourly+20 {
			t.Errorf("%d messages", got)
		}
	}, with(m))
}

// TestOutboxOfANewLeader: what was told but not acknowledged is told again, as the same message; what was acknowledged is not.
func TestOutboxOfANewLeader(t *testing.T) {
	m := &mouth{to: []string{"a"}}
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent")
		r.eventually("told", func() bool { return r.waiting() == 0 })
		r.post("urgent")
		r.log.set(func(l *fakeLog) { l.fail = errors.New("leadership lost") })
		r.eventually("told twice", func() bool { return len(m.heard()) >= 2 })
		r.stop()
		r.log.set(func(l *fakeLog) { l.fail = nil })
		r.start(with(m))
		r.eventually("told by the next", func() bool { return r.waiting() == 0 })
		got := slices.Compact(m.heard())
		if !slices.Equal(got, []string{"a: urgent1", "a: urgent2"}) {
			t.Errorf("told %v", m.heard())
		}
	}, with(m))
}

// TestOutboxGivesUp: what could not be told for days is nobody's news any more.
func TestOutboxGivesUp(t *testing.T) {
	m := &mouth{to: []string{"a"}}
	m.set("a", errors.New("connection refused"))
	bubble(t, func(t *testing.T, r *rig) {
		r.post("urgent")
		after(tellGiveUp + time.Hour)
		r.eventually("given up", func() bool { return r.waiting() == 0 })
	}, with(m))
}
