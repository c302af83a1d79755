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
	cancel     context.CancelFunc
	watcher    sync.WaitGroup
}

// watchSignals starts watching; close ends it.
func watchSignals(ctx context.Context, signals <-chan os.Signal) *stopper {
	hard, cancelHard := context.WithCancel(ctx)
	soft, cancelSoft := context.WithCancel(hard)
	s := &stopper{soft: soft, hard: hard, cancel: cancelHard}
	s.watcher.Go(func() {
		for _, stop := range []context.CancelFunc{cancelSoft, cancelHard} {
			select {
			case <-signals:
				stop()
			case <-hard.Done():
				return
			}
		}
	})
	return s
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
