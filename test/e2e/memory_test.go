package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// peak watches the resident memory of a process. What the kernel tells of it after its end is of no use: there, the
// memory of the process that started it counts too.
type peak struct {
	end     chan struct{}
	once    sync.Once
	watcher sync.WaitGroup
	bytes   int64
}

// watchEvery is how often the kernel's high-water mark is read; only what grows after the last reading is missed.
const watchEvery = 10 * time.Millisecond

func watchMemory(pid int) *peak {
	p := &peak{end: make(chan struct{})}
	p.watcher.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			p.bytes = max(p.bytes, highWater(pid))
			select {
			case <-p.end:
				return
			case <-tick.C:
			}
		}
	})
	return p
}

// stop ends the watch and returns the most that was in use, in bytes.
func (p *peak) stop() int64 {
	p.once.Do(func() { close(p.end) })
	p.watcher.Wait()
	return p.bytes
}

// highWater reads the most that a process had in memory so far, 0 if it is gone.
func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
