package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Requests without a valid token that one address may send.
const (
	failuresAtOnce = 10
	failuresEvery  = 2 * time.Second // one more
	failuresKept   = 1024            // addresses; the others share one allowance
)

// failures counts requests without a valid token by address, in bounded memory.
type failures struct {
	mu     sync.Mutex
	of     map[netip.Prefix]*failing
	others *failing
}

type failing struct {
	rate   *rate.Limiter
	warned time.Time
}

func newFailures() *failures {
	return &failures{of: map[netip.Prefix]*failing{}, others: newFailing()}
}

func newFailing() *failing {
	return &failing{rate: rate.NewLimiter(rate.Every(failuresEvery), failuresAtOnce)}
}

// note counts one and tells whether it is within the allowance, and whether it is worth a line in the log: one a minute is.
func (f *failures) note(from string, now time.Time) (within, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.find(from, now)
	if tell = now.Sub(a.warned) >= time.Minute; tell {
		a.warned = now
	}
	return a.rate.AllowN(now, 1), tell
}

func (f *failures) find(from string, now time.Time) *failing {
	key := networkOf(from)
	if a := f.of[key]; a != nil {
		return a
	}
	if len(f.of) >= failuresKept {
		for k, a := range f.of {
			if a.rate.TokensAt(now) >= failuresAtOnce && now.Sub(a.warned) >= time.Minute {
				delete(f.of, k) // as if it never had failed
			}
		}
	}
	if len(f.of) >= failuresKept {
		return f.others
	}
	f.of[key] = newFailing()
	return f.of[key]
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
