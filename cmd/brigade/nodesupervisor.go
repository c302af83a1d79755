package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/bucketbrigade/brigade/fsm"
)

const statusEvery = time.Second

// supervisor tells systemd how the node is, where that started it and asks to be told (sd_notify(3)); else it does nothing.
type supervisor struct {
	logger *slog.Logger
	on     bool

	mu     sync.Mutex
	ready  bool
	status string // told last
	note   string // what a reload has to say; goes before the status until the next one
}

func newSupervisor(a *app, logger *slog.Logger) *supervisor {
	return &supervisor{logger: logger, on: a.getenv("NOTIFY_SOCKET") != ""}
}

// tell sends assignments. A supervisor that does not listen is no reason to stop working.
func (s *supervisor) tell(lines ...string) {
	if !s.on {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		s.logger.Debug("systemd is not told", "error", err)
	}
}

// report tells the status where it is new, and once, when the node can be used, that it is ready.
func (s *supervisor) report(ready bool, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.note != "" {
		status = s.note + "; " + status
	}
	var lines []string
	if ready && !s.ready {
		s.ready = true
		lines = append(lines, daemon.SdNotifyReady)
	}
	if status != s.status {
		s.status = status
		lines = append(lines, "STATUS="+oneLine(status))
	}
	if len(lines) > 0 {
		s.tell(lines...)
	}
}

// reloading tells that a reload begins; the function returned tells that it is over, and what is to be noted of it.
func (s *supervisor) reloading() (done func(note string)) {
	s.tell(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
	return func(note string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note, s.status = note, ""
		if s.ready {
			s.tell(daemon.SdNotifyReady)
		}
	}
}

// stopping tells that the node stops, and how long that takes at most.
func (s *supervisor) stopping(atMost time.Duration) {
	s.tell(daemon.SdNotifyStopping, "STATUS=stopping: work is given back",
		fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (atMost+5*time.Second).Microseconds()))
}

// beReported tells how the node is until ctx ends, and often enough that it is alive: as long as its state can be read. A
// disk that hangs ends the process by itself.
func (n *node) beReported(ctx context.Context) {
	if !n.supervisor.on {
		return
	}
	every := statusEvery
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.logger.Warn("systemd's watchdog is not served", "error", err)
	}
	if watchdog > 0 {
		every = min(every, watchdog/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n.supervisor.report(n.condition())
		if watchdog > 0 {
			n.supervisor.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// condition is how the node is: usable once there is a leader.
func (n *node) condition() (ready bool, status string) {
	jobs := 0
	n.machine.Read(func(s *fsm.State) {
		for _, job := range s.Jobs() {
			if job.State == fsm.Running {
				jobs++
			}
		}
	})
	work := fmt.Sprintf("%s; %s", n.localAddress(), count(int64(jobs), "job runs", "jobs run"))
	switch n.place.members.Leader() {
	case "":
		return false, "waits for a leader, " + work
	case n.dir.NodeID:
		return true, "leads, " + work
	}
	return true, "follows, " + work
}
