package scheduler

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// Teller tells people. It knows who is to be told of what and in which form; when, and who has been told, is the leader's.
type Teller interface {
	// Receivers names all who are to be told of a notice as things are set now.
	Receivers(n *fsm.Notice) []string
	// Window is how long a notice may wait for others that are told with it in one message; 0 is for those that go at once.
	Window(n *fsm.Notice) time.Duration
	// Tell delivers notices as one message to one receiver. The same notices make the same message. ErrUndeliverable means that
	// trying again is of no use.
	Tell(ctx context.Context, receiver string, notices []*fsm.Notice) error
}

// ErrUndeliverable is the end of telling a receiver something.
var ErrUndeliverable = errors.New("cannot be delivered")

const (
	tellFirst   = 10 * time.Second // until the second try; each later one comes after twice the time
	tellLongest = 10 * time.Minute
	tellGiveUp  = 72 * time.Hour // then nobody wants to know any more
	tellHourly  = 60             // messages that one receiver gets within an hour; the rest waits
	outboxTick  = time.Minute    // looks again even when nothing happens: settings of nodes change
)

// outbox is the leader's part of telling. It is used by one goroutine, but for what each receiver's deliveries return.
type outbox struct {
	r      *reign
	teller Teller
	// troubles and sent are of receivers, by name.
	troubles map[string]*trouble
	sent     map[string][]time.Time
}

// trouble is a receiver that could not be told.
type trouble struct {
	pause time.Duration
	until time.Time
}

// message is what one receiver gets at once.
type message struct {
	receiver string
	notices  []*fsm.Notice
}

// tellAll empties the outbox as long as this node leads.
func (r *reign) tellAll(ctx context.Context) {
	if r.cfg.Teller == nil {
		return
	}
	o := &outbox{r: r, teller: r.cfg.Teller, troubles: map[string]*trouble{}, sent: map[string][]time.Time{}}
	for {
		changed := r.cfg.Machine.Changed()
		wait := o.round(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// round tells what is due, and returns when to look again.
func (o *outbox) round(ctx context.Context) time.Duration {
	now := o.r.cfg.Clock.Now()
	var waiting []*fsm.Notice
	o.r.cfg.Machine.Read(func(s *fsm.State) { waiting = s.Notices() })
	due, over, next := o.sort(waiting, now)
	o.acknowledge(ctx, fsm.AckNotices{IDs: over, Final: true})
	if len(due) > 0 {
		o.deliver(ctx, due)
	}
	return max(next.Sub(now), 0)
}

// sort finds the messages that are due, the notices that nobody is left to be told of, and when the next is due.
func (o *outbox) sort(waiting []*fsm.Notice, now time.Time) (due []*message, over []uint64, next time.Time) {
	next = now.Add(outboxTick)
	open := map[string]*message{} // by receiver and window
	for _, n := range waiting {
		left := slices.DeleteFunc(slices.Clone(o.teller.Receivers(n)), func(who string) bool { return slices.Contains(n.Told, who) })
		at := time.Unix(0, n.At)
		if len(left) == 0 || now.Sub(at) > tellGiveUp {
			if len(left) > 0 {
				o.r.cfg.Logger.Error("notice given up: its receivers could not be told", "kind", n.Kind, "job", n.Job, "receivers", left)
			}
			over = append(over, n.ID)
			continue
		}
		key, ready := gathering(at, o.teller.Window(n))
		if ready.After(now) {
			next = earlier(next, ready)
			continue
		}
		for _, who := range left {
			if until := o.blocked(who, now); until.After(now) {
				next = earlier(next, until)
				continue
			}
			m := open[who+"\x00"+key]
			if m == nil || key == "" {
				m = &message{receiver: who}
				due = append(due, m)
				open[who+"\x00"+key] = m
			}
			m.notices = append(m.notices, n)
		}
	}
	return due, over, next
}

// gathering tells which notices go together, and when. Windows begin at the same times for every leader, so that a message sent
// again by the next one is the same.
func gathering(at time.Time, length time.Duration) (key string, ready time.Time) {
	if length <= 0 {
		return "", time.Time{}
	}
	begin := at.Truncate(length)
	return begin.UTC().Format(time.RFC3339Nano), begin.Add(length)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// blocked tells until when a receiver is left alone: it could not be told, or got as much as one reads within an hour.
func (o *outbox) blocked(who string, now time.Time) time.Time {
	if t := o.troubles[who]; t != nil && t.until.After(now) {
		return t.until
	}
	sent := slices.DeleteFunc(o.sent[who], func(at time.Time) bool { return now.Sub(at) >= time.Hour })
	o.sent[who] = sent
	if len(sent) >= tellHourly {
		return sent[0].Add(time.Hour)
	}
	return time.Time{}
}

// deliver tells receivers at the same time, and each of them one thing after the other.
func (o *outbox) deliver(ctx context.Context, due []*message) {
	byReceiver := map[string][]*message{}
	for _, m := range due {
		if len(o.sent[m.receiver])+len(byReceiver[m.receiver]) < tellHourly {
			byReceiver[m.receiver] = append(byReceiver[m.receiver], m)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for who, messages := range byReceiver {
		wg.Go(func() {
			for _, m := range messages {
				err := o.teller.Tell(ctx, who, m.notices)
				mu.Lock()
				goOn := o.settle(ctx, m, err)
				mu.Unlock()
				if !goOn {
					return
				}
			}
		})
	}
	wg.Wait()
}

// settle notes how a delivery ended, and tells whether the receiver may get more.
func (o *outbox) settle(ctx context.Context, m *message, err error) bool {
	now := o.r.cfg.Clock.Now()
	switch {
	case ctx.Err() != nil && err != nil:
		return false
	case err == nil:
		delete(o.troubles, m.receiver)
		o.sent[m.receiver] = append(o.sent[m.receiver], now)
	case errors.Is(err, ErrUndeliverable):
		o.r.cfg.Logger.Error("notice not told: its receiver refuses it", "receiver", m.receiver, "error", err)
	default:
		o.postpone(m.receiver, now, err)
		return false
	}
	ids := make([]uint64, len(m.notices))
	for i, n := range m.notices {
		ids[i] = n.ID
	}
	return o.acknowledge(ctx, fsm.AckNotices{IDs: ids, Receivers: []string{m.receiver}})
}

// postpone leaves a receiver alone for a while, each time for longer.
func (o *outbox) postpone(who string, now time.Time, err error) {
	t := o.troubles[who]
	if t == nil {
		t = &trouble{}
		o.troubles[who] = t
	}
	t.pause = min(max(2*t.pause, tellFirst), tellLongest)
	t.until = now.Add(t.pause)
	o.r.cfg.Logger.Warn("notice not told, will retry", "receiver", who, "in", t.pause, "error", err)
}

// acknowledge notes in the state who was told. Without that the next round, or the next leader, tells it again.
func (o *outbox) acknowledge(ctx context.Context, ack fsm.AckNotices) bool {
	if len(ack.IDs) == 0 {
		return true
	}
	out := o.r.propose(ctx, ack)[0]
	if err := errors.Join(out.err, out.result.Err); err != nil {
		if ctx.Err() == nil {
			o.r.cfg.Logger.Warn("notice told but not acknowledged, may be told again", "error", err)
		}
		return false
	}
	return true
}
