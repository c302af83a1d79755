package fsm

import "testing"

// failing makes a running job whose only key failed, as its holders see it.
func failing(t *testing.T) *bench {
	t.Helper()
	b := running(t)
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Counts: Counts{Listed: 1, Failed: 1}, Classes: map[string]int64{"transient": 1},
		Failed: segment('f', 1)})
	return b
}

// again lets the retried key fail once more.
func (b *bench) again(task uint64) {
	b.tb.Helper()
	b.must(AdvanceTask{Task: task, Epoch: b.lease(task), ToLine: 1, Done: true, Counts: Counts{}, Failed: segment('f', 1)})
}

// TestRetriesOfTheLeader: only a planned retry may be made without being asked; each counts, and one that was asked for
// starts the count again.
func TestRetriesOfTheLeader(t *testing.T) {
	b := failing(t)
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 400})
	if j := b.job("j"); j.State != Failed || j.RetryAt != 0 {
		t.Fatalf("job without a plan: %+v", j)
	}
	b.refuses(RetryJob{Job: "j", Nonce: testNonce, Auto: true, At: 500}, ErrJobState)
	b.must(RetryJob{Job: "j", Nonce: testNonce, At: 500})
	b.again(2)

	const planned = 1_700_000_000_000_000_000
	for n := range 2 {
		b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 600, RetryAt: planned})
		j := b.job("j")
		if j.State != Failed || j.RetryAt != planned || j.Retries != n ||
			j.Reason != "1 objects failed, 0 ranges were given up, to be retried at 2023-11-14T22:13:20Z" {
			t.Fatalf("job that is to be retried: %+v", j)
		}
		retry := RetryJob{Job: "j", Nonce: testNonce, Auto: true, At: int64(700 + n)}
		b.must(retry)
		b.unchanged(retry)
		if j := b.job("j"); j.State != Running || j.RetryAt != 0 || j.Retries != n+1 || j.Reason != "" {
			t.Fatalf("retried job: %+v", j)
		}
		b.again(uint64(3 + n))
	}
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 800, RetryAt: planned},
		RetryJob{Job: "j", Nonce: testNonce, At: 900})
	if j := b.job("j"); j.State != Running || j.RetryAt != 0 || j.Retries != 0 {
		t.Errorf("job retried by somebody: %+v", j)
	}
	b.again(5)
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 1000, RetryAt: planned},
		StartPass{Job: "j", Nonce: testNonce, Pass: 2, At: 1100})
	if j := b.job("j"); j.RetryAt != 0 || j.Retries != 0 {
		t.Errorf("job in its next pass: %+v", j)
	}
}

// TestNoRetryOfSuccess: a plan for a pass that succeeded means nothing.
func TestNoRetryOfSuccess(t *testing.T) {
	b := running(t)
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Counts: Counts{Listed: 1, Copied: 1}},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 400, RetryAt: 500})
	if j := b.job("j"); j.State != Succeeded || j.RetryAt != 0 || j.Reason != "" {
		t.Errorf("%+v", j)
	}
}

// TestAwaitedObjects are no reason to pause a job; while the leader means to look for them again, the job says that it waits, and
// since when is kept over the looks.
func TestAwaitedObjects(t *testing.T) {
	b := running(t)
	b.must(SetJobLimits{Job: "j", Nonce: testNonce, Spec: b.job("j").Spec, Limits: JobLimits{AwaitArchived: true, MaxFailures: 1, MaxFailuresPercent: 1e-9}})
	b.must(AdvanceTask{Task: 1, Epoch: b.lease(1), Done: true, Counts: Counts{Listed: 6, Failed: 6},
		Classes: map[string]int64{ArchivedClass: 5, "auth": 1}, Failed: segment('f', 6)})
	if j := b.job("j"); j.State != Running || j.Awaited() != 5 {
		t.Fatalf("%+v", j)
	}
	const planned = 1_700_000_000_000_000_000
	b.must(FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 600, RetryAt: planned})
	j := b.job("j")
	if j.Awaiting != 600 || j.Reason != "waiting for 5 archived objects to be restored, looked for again at 2023-11-14T22:13:20Z; 1 other objects failed" {
		t.Fatalf("%+v", j)
	}
	b.must(RetryJob{Job: "j", Nonce: testNonce, Auto: true, At: 700})
	if j := b.job("j"); j.Awaiting != 600 || j.Tolerated != 1 {
		t.Fatalf("%+v", j)
	}
	b.must(AdvanceTask{Task: 2, Epoch: b.lease(2), ToLine: 6, Done: true, Counts: Counts{Copied: 1, Failed: -1},
		Classes: map[string]int64{ArchivedClass: -1}, Failed: segment('f', 5)},
		FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 800, RetryAt: planned})
	if j := b.job("j"); j.Awaiting != 600 || j.Awaited() != 4 {
		t.Fatalf("%+v", j)
	}
	b.must(RetryJob{Job: "j", Nonce: testNonce, At: 900})
	if j := b.job("j"); j.Awaiting != 0 {
		t.Errorf("asked for by somebody: %+v", j)
	}
}
