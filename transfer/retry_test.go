package transfer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

func TestRetryPauses(t *testing.T) {
	src, dst := newMemStore(), newMemStore()
	b := newCopyBench(t, src, dst)
	dst.fail(memFault{op: "put", times: 2, err: memErr("put", "k", store.Transient, "planned")})
	dst.fail(memFault{op: "put", nth: 3, err: &store.Error{Op: "put", Class: store.Throttled, RetryAfter: 7 * time.Second, Err: errors.New("slow down")}})
	b.copied(b.copy(t.Context(), src.set("k", []byte("hello")), nil), src, dst, "k")
	want := []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 7 * time.Second}
	if diff := cmp.Diff(want, b.slept); diff != "" {
		t.Error(diff)
	}
	if n := b.n.Meter.Retries.Load(); n != 3 {
		t.Errorf("%d retries counted", n)
	}
}

// TestRetryElapsed: a store that asks for a longer pause than a request may take in all is not waited for.
func TestRetryElapsed(t *testing.T) {
	b := newCopyBench(t, newMemStore(), newMemStore())
	calls := 0
	err := b.n.retry(t.Context(), b, func() error {
		calls++
		return &store.Error{Class: store.Throttled, RetryAfter: 6 * time.Minute, Err: errors.New("slow down")}
	})
	if calls != 1 || store.ClassOf(err) != store.Throttled || len(b.slept) != 0 {
		t.Errorf("%d calls, %v, slept %v", calls, err, b.slept)
	}
}

func TestRetryEndsWithLease(t *testing.T) {
	b := newCopyBench(t, newMemStore(), newMemStore())
	calls := 0
	err := b.n.retry(t.Context(), b, func() error {
		calls++
		b.fence()
		return errLostAnswer
	})
	if calls != 1 || !errors.Is(err, ErrFenced) || !errors.Is(err, errLostAnswer) || store.ClassOf(err) != store.Canceled {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestSleep(t *testing.T) {
	if err := sleep(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
