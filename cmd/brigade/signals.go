package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

var errInterrupted = errors.New("interrupted; the same command goes on where it stopped")

// stopper turns signals into contexts: the first signal ends soft, the second one hard.
type stopper struct {
	soft, hard context.Context
	reloads    chan struct{} // room for one; nil: a signal to reload stops as any other
	cancel     context.CancelFunc
	watcher    sync.WaitGroup
}

// watchSignals starts watching; close ends it.
func watchSignals(ctx context.Context, signals <-chan os.Signal) *stopper {
	return watchFor(ctx, signals, nil)
}

// watchFor is watchSignals where a signal to reload asks for that, if there is a channel for it.
func watchFor(ctx context.Context, signals <-chan os.Signal, reloads chan struct{}) *stopper {
	hard, cancelHard := context.WithCancel(ctx)
	soft, cancelSoft := context.WithCancel(hard)
	s := &stopper{soft: soft, hard: hard, reloads: reloads, cancel: cancelHard}
	s.watcher.Go(func() {
		for _, stop := range []context.CancelFunc{cancelSoft, cancelHard} {
			if !s.awaitStop(signals) {
				return
			}
			stop()
		}
	})
	return s
}

// awaitStop waits for a signal to stop, and passes on those to reload. It returns false when the watching ends.
func (s *stopper) awaitStop(signals <-chan os.Signal) bool {
	for {
		select {
		case signal := <-signals:
			if s.reloads == nil || !isReload(signal) {
				return true
			}
			select {
			case s.reloads <- struct{}{}:
			default: // one is asked for already
			}
		case <-s.hard.Done():
			return false
		}
	}
}

func (s *stopper) close() {
	s.cancel()
	s.watcher.Wait()
}

// or returns err, or where a signal is behind it, that the run was interrupted.
func (s *stopper) or(err error) error {
	var exit *exitError
	if err == nil || s.soft.Err() == nil || errors.As(err, &exit) && exit.code != codeRefused {
		return err
	}
	return &exitError{codeInterrupted, errInterrupted}
}

// interrupted is the end of a run that a signal stopped.
func interrupted(id string) error {
	return &exitError{codeInterrupted, fmt.Errorf("%s: %w", id, errInterrupted)}
}
