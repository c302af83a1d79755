package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// What bounds the attempts at one request.
const (
	retryFirst    = 200 * time.Millisecond
	retryLongest  = 20 * time.Second
	retryGrowth   = 2
	retryAttempts = 5
	retryElapsed  = 5 * time.Minute
)

// retry runs one request until it succeeds, fails for good, or was tried often and long enough. Transient, throttled and
// mismatching answers are tried again, after a pause that doubles, or the one that the store asked for. Nothing is tried
// again once ctx is cancelled or the lease is lost; the error then wraps ErrFenced or ctx's and is of class Canceled.
func (n *Node) retry(ctx context.Context, lease Lease, request func() error) error {
	pauses := backoff.ExponentialBackOff{InitialInterval: retryFirst, Multiplier: retryGrowth, MaxInterval: retryLongest}
	pauses.Reset()
	began := n.Now()
	for attempt := 1; ; attempt++ {
		if err := allowed(ctx, lease); err != nil {
			return err
		}
		err := request()
		if err == nil {
			return nil
		}
		if stop := allowed(ctx, lease); stop != nil {
			return canceled(errors.Join(stop, err))
		}
		if !retryable(err) || attempt == retryAttempts {
			return err
		}
		pause := n.spread(pauses.NextBackOff(), err)
		if n.Now().Add(pause).Sub(began) > retryElapsed {
			return err
		}
		n.again(err)
		if stop := n.Sleep(ctx, pause); stop != nil {
			return canceled(errors.Join(stop, err))
		}
	}
}

// spread stretches a pause to between half and one and a half of itself, so that nodes that failed together do not come back
// together; what the store asked for is a lower bound.
func (n *Node) spread(d time.Duration, err error) time.Duration {
	d = time.Duration(float64(d) * (0.5 + n.Jitter()))
	var e *store.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		d = max(d, e.RetryAfter)
	}
	return d
}

// Retry runs one request that writes nothing, with the rules of retries that tasks have, outside of any task.
func Retry(ctx context.Context, request func() error) error {
	n := Node{Now: time.Now, Jitter: rand.Float64, Sleep: sleep}
	return n.retry(ctx, free{}, request)
}

// allowed tells whether the task may go on at all.
func allowed(ctx context.Context, lease Lease) error {
	if err := ctx.Err(); err != nil {
		return canceled(context.Cause(ctx))
	}
	if err := lease.Check(); err != nil {
		return canceled(err)
	}
	return nil
}

// retryable tells whether the same request may succeed later.
func retryable(err error) bool { return store.Retryable(err) && !isEnd(err) }

// isEnd tells that an error ends the task rather than the object: the lease is lost, a stop was asked for, ctx is done.
func isEnd(err error) bool {
	return errors.Is(err, ErrFenced) || errors.Is(err, ErrStopped) || store.ClassOf(err) == store.Canceled
}

// canceled marks an error as one that says nothing about the object.
func canceled(err error) error {
	if store.ClassOf(err) == store.Canceled {
		return err
	}
	return &store.Error{Op: "copy", Class: store.Canceled, Err: err}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait before retry: %w", context.Cause(ctx))
	}
}
