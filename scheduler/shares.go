package scheduler

import (
	"cmp"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// Share is what one node may take of a job's bandwidth.
type Share struct {
	Job  JobKey `json:"job"`  // of all incarnations and passes
	Rate int64  `json:"rate"` // bytes a second; transfer.NoLimit, or 0 for nothing
}

// ShareUse is the share that a node goes by, and the bytes that it took under it since it began with the job.
type ShareUse struct {
	Share
	Used int64 `json:"used,omitempty"`
}

const (
	shareSpan   = time.Second     // over which use is measured, at least
	shareSpans  = 4               // of which the one with the highest use tells what a node needs
	shareGrace  = 3 * time.Second // a node between two tasks of a job keeps its part in the plan
	shareRepeat = time.Second     // before a poll is answered at once to tell the same again, as the first time had no effect
	hungryPart  = 0.85            // of its share: who takes more could do with more
	headroom    = 1.3             // times what a node took, for one that is content
	leastPart   = 8               // of an even share, one of so many is left to any node
	changePart  = 10              // a plan that differs from the old one by less than one of so many of an even share is none
	unlimited   = math.MaxInt64
)

// capped is a job whose bandwidth is limited, as it is shared out. Invariant: while the limit stays, the sum of inUse over
// all holders does not exceed it. It is guarded by the reign's mu.
type capped struct {
	limit   int64 // unlimited while the timetable says so
	holders map[string]*holder
}

// holder is the part of one node.
type holder struct {
	inUse  int64         // the most that the node may be going by: what it reported last, or was told since
	target int64         // what it shall have
	seen   time.Duration // when it held a task last

	told   int64 // latest rate that woke it, and when
	toldAt time.Duration

	used    int64 // at the start of the span
	since   time.Duration
	least   int64 // share during the span
	demands []int64
}

// capKey names what one limit holds for.
func capKey(job *fsm.Job) JobKey { return JobKey{ID: job.ID, Nonce: hex.EncodeToString(job.Nonce)} }

// bandwidthAt is a job's limit at a time, by the week of that time's zone.
func bandwidthAt(job *fsm.Job, now time.Time) int64 {
	minute := (int(now.Weekday())*24+now.Hour())*60 + now.Minute()
	if rate := job.Limits.BandwidthAt(minute); rate > 0 {
		return rate
	}
	return unlimited
}

// hearShares takes over what a poll says of the node's shares. Only one poll of a node is in flight, and it takes an
// answer in before it polls again: what it reports now is what it goes by, whatever it was told before.
func (r *reign) hearShares(s *session, uses []ShareUse) {
	now := r.cfg.Clock.Monotonic()
	reported := map[JobKey]bool{}
	s.shares = uses
	for _, u := range uses {
		reported[u.Job] = true
		if c := r.caps[u.Job]; c != nil {
			c.holder(s.node, now).hear(u, now)
		} else if u.Rate >= 0 {
			r.newCapped(u.Job, now)
		}
	}
	for key, c := range r.caps {
		if h := c.holders[s.node]; h != nil && !reported[key] {
			h.inUse, h.since = 0, 0
		}
	}
}

// newCapped begins to share a job's limit out, from what all nodes reported of it.
func (r *reign) newCapped(key JobKey, now time.Duration) *capped {
	c := &capped{limit: unlimited, holders: map[string]*holder{}}
	r.caps[key] = c
	for _, s := range r.sessions {
		for _, u := range s.shares {
			if u.Job == key {
				c.holder(s.node, now).hear(u, now)
			}
		}
	}
	return c
}

func (c *capped) holder(node string, now time.Duration) *holder {
	h := c.holders[node]
	if h == nil {
		h = &holder{seen: now}
		c.holders[node] = h
	}
	return h
}

// hear notes a share in use, and once per span how much of it was taken.
func (h *holder) hear(u ShareUse, now time.Duration) {
	rate := u.Rate
	if rate < 0 {
		rate = unlimited
	}
	h.inUse = rate
	if h.since == 0 || u.Used < h.used {
		h.since, h.used, h.least, h.demands = now, u.Used, rate, nil
		return
	}
	h.least = min(h.least, rate)
	span := now - h.since
	if span < shareSpan {
		return
	}
	pace := float64(u.Used-h.used) / span.Seconds()
	demand := int64(unlimited)
	if pace < hungryPart*float64(h.least) {
		demand = int64(pace * headroom)
	}
	h.demands = append(h.demands, demand)
	if len(h.demands) > shareSpans {
		h.demands = h.demands[1:]
	}
	h.since, h.used, h.least = now, u.Used, rate
}

// demand is what the node could do with: all there is until it has shown otherwise for a while.
func (h *holder) demand() int64 {
	if len(h.demands) < shareSpans {
		return unlimited
	}
	return slices.Max(h.demands)
}

// sharesOf are the shares that a node shall be told. urgent tells that it waits for one of them, or others do. The caller
// holds mu.
func (r *reign) sharesOf(state *fsm.State, s *session) (shares []Share, urgent bool) {
	now := r.cfg.Clock.Monotonic()
	r.planShares(state, now)
	for key, c := range r.caps {
		h := c.holders[s.node]
		if h == nil || h.seen != now && h.inUse == 0 {
			continue // it has no task of the job
		}
		rate := r.nextShare(c, h)
		if rate == h.inUse && c.limit == unlimited {
			continue
		}
		shares = append(shares, Share{Job: key, Rate: onWire(rate)})
		urgent = urgent || rate != h.inUse && (rate != h.told || now-h.toldAt >= shareRepeat)
	}
	slices.SortFunc(shares, func(a, b Share) int { return cmp.Compare(a.Job.String(), b.Job.String()) })
	return shares, urgent
}

// nextShare is what a holder may go by now: less at once, more only as far as others have given it up.
func (r *reign) nextShare(c *capped, h *holder) int64 {
	if h.target <= h.inUse || c.limit == unlimited {
		return h.target
	}
	if r.unheard() {
		return h.inUse // somebody may still go by a share of an earlier leader
	}
	room := c.limit
	for _, other := range c.holders {
		if other != h {
			room -= min(room, other.inUse)
		}
	}
	return max(h.inUse, min(h.target, room))
}

// unheard tells whether a holder of tasks has not polled since this node leads, and its lease has not ended.
func (r *reign) unheard() bool {
	for _, s := range r.sessions {
		if s.unheard {
			return true
		}
	}
	return false
}

// toldShares remembers what an answer carries: from now on the node may go by it.
func (r *reign) toldShares(s *session, shares []Share) {
	now := r.cfg.Clock.Monotonic()
	for _, share := range shares {
		h := r.caps[share.Job].holders[s.node]
		rate := share.Rate
		if rate < 0 {
			rate = unlimited
		}
		h.inUse = max(h.inUse, rate)
		h.told, h.toldAt = rate, now
	}
}

func onWire(rate int64) int64 {
	if rate == unlimited {
		return transfer.NoLimit
	}
	return rate
}

// planShares brings holders and targets up to date. The caller holds mu.
func (r *reign) planShares(state *fsm.State, now time.Duration) {
	limits := map[JobKey]int64{}
	wall := r.cfg.Clock.Now()
	for _, job := range state.Jobs() {
		if len(job.Limits.Bandwidth) == 0 && len(r.caps) == 0 {
			continue
		}
		key := capKey(job)
		if len(job.Limits.Bandwidth) == 0 && r.caps[key] == nil {
			continue
		}
		limits[key] = bandwidthAt(job, wall)
		c := r.caps[key]
		if c == nil {
			c = r.newCapped(key, now)
		}
		for t := range state.LeasedOf(job.ID) {
			if r.sessions[t.Node] != nil {
				c.holder(t.Node, now).seen = now
			}
		}
	}
	for key, c := range r.caps {
		limit, there := limits[key]
		if !there {
			limit = unlimited // the job is gone, or has no limit any more
		}
		r.forgetHolders(c, now)
		c.plan(limit, now)
		if len(c.holders) == 0 && !there {
			delete(r.caps, key)
		}
	}
}

// forgetHolders drops the nodes whose lease ended, and those that need the job's bandwidth no more.
func (r *reign) forgetHolders(c *capped, now time.Duration) {
	for node, h := range c.holders {
		if r.sessions[node] == nil || h.inUse == 0 && now-h.seen >= shareGrace {
			delete(c.holders, node)
		}
	}
}

// plan sets the targets. Small changes of what is ideal change nothing, or every poll would move shares about.
func (c *capped) plan(limit int64, now time.Duration) {
	changed := limit != c.limit
	c.limit = limit
	var takers []*holder
	for _, h := range c.holders {
		if now-h.seen < shareGrace {
			takers = append(takers, h)
		} else if h.target != 0 {
			h.target, changed = 0, true
		}
	}
	if len(takers) == 0 {
		return
	}
	ideal := fill(limit, takers)
	even := limit / int64(len(takers))
	sum := int64(0)
	for i, h := range takers {
		off := h.target - ideal[i]
		changed = changed || h.target == 0 || max(off, -off) > even/changePart
		sum += min(h.target, limit-min(sum, limit))
	}
	if !changed && sum >= limit-limit/100 {
		return
	}
	for i, h := range takers {
		h.target = ideal[i]
	}
}

// fill shares a limit out: nobody gets more than it can do with while others could do with it, and what nobody can do
// with now is left to all alike, so that each finds out at once when it could.
func fill(limit int64, takers []*holder) []int64 {
	shares := make([]int64, len(takers))
	if limit == unlimited {
		for i := range shares {
			shares[i] = unlimited
		}
		return shares
	}
	order := make([]int, len(takers))
	demand := make([]int64, len(takers))
	floor := limit / int64(len(takers)) / leastPart
	for i, h := range takers {
		order[i], demand[i] = i, max(h.demand(), floor)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(demand[a], demand[b]) })
	rest := limit
	for n, i := range order {
		shares[i] = min(demand[i], rest/int64(len(order)-n))
		rest -= shares[i]
	}
	for i := range shares {
		shares[i] += rest / int64(len(shares))
	}
	return shares
}
