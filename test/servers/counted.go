package servers

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Counted is a server in this process whose bytes are counted as they come in, headers included.
type Counted struct {
	URL string

	mu      sync.Mutex
	samples []sample // one per span of sampleSpan in which something came
	total   int64
}

type sample struct {
	at    time.Time
	total int64 // up to then
}

const sampleSpan = 20 * time.Millisecond

// Count serves a handler on a free port until the test ends.
func Count(t testing.TB, h http.Handler) *Counted {
	t.Helper()
	c := &Counted{}
	s := httptest.NewUnstartedServer(h)
	s.Listener = countedListener{s.Listener, c}
	s.Start()
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// Total is what came so far, in bytes.
func (c *Counted) Total() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// Span returns how long bytes came in, from the first to the last.
func (c *Counted) Span() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.samples) == 0 {
		return 0
	}
	return c.samples[len(c.samples)-1].at.Sub(c.samples[0].at)
}

// Busiest returns the most bytes a second that came within any time so long.
func (c *Counted) Busiest(window time.Duration) (most float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := 0
	for _, s := range c.samples {
		for s.at.Sub(c.samples[first].at) > window {
			first++
		}
		most = max(most, float64(s.total-c.samples[first].total)/window.Seconds())
	}
	return most
}

func (c *Counted) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += int64(n)
	now := time.Now()
	if last := len(c.samples) - 1; last > 0 && now.Sub(c.samples[last].at) < sampleSpan {
		c.samples[last].total = c.total
		return
	}
	c.samples = append(c.samples, sample{now, c.total})
}

type countedListener struct {
	net.Listener
	c *Counted
}

// Accept counts what comes over a connection.
func (l countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{conn, l.c}, nil
}

type countedConn struct {
	net.Conn
	c *Counted
}

// Read counts.
func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.c.add(n)
	}
	return n, err
}
