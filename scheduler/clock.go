package scheduler

import "time"

// Clock tells the time. Leases are measured by Monotonic, which goes on while the machine sleeps, so that a machine
// that wakes up finds its leases gone.
type Clock interface {
	// Now is the wall clock, for stamps and reports.
	Now() time.Time
	// Monotonic never goes back, runs through suspend and has an arbitrary zero.
	Monotonic() time.Duration
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now is the wall clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Monotonic is CLOCK_BOOTTIME on Linux, and the nearest that there is elsewhere.
func (SystemClock) Monotonic() time.Duration { return bootTime() }
