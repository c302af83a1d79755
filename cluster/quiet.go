package cluster

import (
	"regexp"
	"sync"
	"time"
)

const (
	quietFor  = 30 * time.Second // between two lines that say the same
	quietKeys = 1000             // that are remembered
)

// quiet keeps a log readable while a node is away: of lines that say the same, the first is passed on at once, then one each
// 30 s with the number of those left out.
type quiet struct {
	now func() time.Time

	mu   sync.Mutex
	told map[string]*toldLine
}

// toldLine is a line that was passed on.
type toldLine struct {
	at      time.Time
	leftOut int
}

func newQuiet() *quiet { return &quiet{now: time.Now, told: map[string]*toldLine{}} }

// pass tells whether a line is to be passed on, and how many like it were left out before.
func (q *quiet) pass(key string) (leftOut int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	line := q.told[key]
	switch {
	case line == nil:
		if len(q.told) >= quietKeys {
			clear(q.told)
		}
		q.told[key] = &toldLine{at: now}
		return 0, true
	case now.Sub(line.at) < quietFor:
		line.leftOut++
		return 0, false
	}
	leftOut = line.leftOut
	line.at, line.leftOut = now, 0
	return leftOut, true
}

// fleeting is what differs from line to line that say the same: the port of this side of a connection.
var fleeting = regexp.MustCompile(`\S+->`)

// sameAs is a text without what differs from line to line.
func sameAs(text string) string { return fleeting.ReplaceAllString(text, "") }
