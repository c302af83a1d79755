package scheduler

import (
	"time"

	"golang.org/x/sys/windows"
)

// bootTime reads the time since boot, which on Windows counts the time asleep; its step is 10 to 16 ms.
func bootTime() time.Duration { return windows.DurationSinceBoot() }
