package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// allowancesKept bounds how many are counted apart; the others share one.
const allowancesKept = 1024

// allowances are so many events at once and one more every so often, for each of those who cause them.
type allowances struct {
	atOnce int
	every  time.Duration

	mu     sync.Mutex
	of     map[string]*allowance
	others *allowance
}

type allowance struct {
	rate   *rate.Limiter
	warned time.Time
}

func newAllowances(atOnce int, every time.Duration) *allowances {
	a := &allowances{atOnce: atOnce, every: every, of: map[string]*allowance{}}
	a.others = a.fresh()
	return a
}

func (a *allowances) fresh() *allowance {
	return &allowance{rate: rate.NewLimiter(rate.Every(a.every), a.atOnce)}
}

// note counts one event and tells whether it is within the allowance, and whether it is worth a line in the log: one a
// minute is.
func (a *allowances) note(by string, now time.Time) (within, tell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.find(by, now)
	if tell = now.Sub(o.warned) >= time.Minute; tell {
		o.warned = now
	}
	return o.rate.AllowN(now, 1), tell
}

func (a *allowances) find(by string, now time.Time) *allowance {
	if o := a.of[by]; o != nil {
		return o
	}
	if len(a.of) >= allowancesKept {
		for k, o := range a.of {
			if o.rate.TokensAt(now) >= float64(a.atOnce) && now.Sub(o.warned) >= time.Minute {
				delete(a.of, k) // as if it never had been
			}
		}
	}
	if len(a.of) >= allowancesKept {
		return a.others
	}
	a.of[by] = a.fresh()
	return a.of[by]
}

// networkOf is an IPv4 address, or the /64 of an IPv6 one: a single machine has that many.
func networkOf(from string) netip.Prefix {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // the bits fit
	return prefix
}
