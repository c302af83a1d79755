package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// versionOf names the version of a source object that parts of an upload are of.
func versionOf(o *store.Object) string {
	if o.ETag != "" {
		return o.ETag
	}
	return strconv.FormatInt(o.Size, 10) + "-" + strconv.FormatInt(o.ModTime.UnixNano(), 10)
}

// clockTolerance is how far this machine's clock may be ahead of the store's: S3 refuses requests beyond it
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, RequestTimeTooSkewed).
const clockTolerance = 15 * time.Minute

// begin carries on the upload that an earlier owner committed, or starts one. found tells that the destination holds the
// object already: the earlier owner completed it and got no further.
func (m *multipart) begin(ctx context.Context) (found bool, err error) {
	m.id = ""
	resumed := false
	if prev := m.takeCommitted(); prev != nil {
		resumed, found, err = m.takeOver(ctx, prev)
	}
	if err != nil || resumed || found {
		return found, err
	}
	plan, err := m.planNew()
	if err != nil {
		return false, err
	}
	m.layOut(plan)
	return false, m.create(ctx)
}

// takeCommitted returns the upload that the task brought along for this key, once.
func (m *multipart) takeCommitted() *Upload {
	if m.resumed {
		return nil
	}
	m.resumed = true
	for i := range m.task.Uploads {
		if u := &m.task.Uploads[i]; u.Key == m.key {
			return u
		}
	}
	return nil
}

// takeOver deals with the upload of an earlier owner: it is carried on if it is of the version at hand, else aborted.
func (m *multipart) takeOver(ctx context.Context, prev *Upload) (resumed, found bool, err error) {
	if prev.ID == "" {
		return false, false, m.abortPlanned(ctx, prev)
	}
	_, _, most := m.to.PartLimits()
	if prev.Version != versionOf(&m.src) || prev.PartSize <= 0 || cutParts(m.src.Size, prev.PartSize).n > most {
		return false, false, m.abort(ctx, prev.ID)
	}
	plan := cutParts(m.src.Size, prev.PartSize)
	if fresh, err := m.planNew(); err == nil {
		plan.sameParts = fresh.sameParts && fresh.part == plan.part
	}
	m.layOut(plan)
	if resumed, err = m.resume(ctx, prev); err != nil || resumed {
		return resumed, false, err
	}
	if found, err = m.renewCondition(ctx); err != nil {
		return false, false, err
	}
	return false, found, m.close(ctx)
}

// create starts an upload: what is open at the key is committed first, and the ID before the first part, so that the
// next owner can tell this upload from those of others at every moment.
func (m *multipart) create(ctx context.Context) error {
	u := Upload{Key: m.key, Version: versionOf(&m.src), PartSize: m.plan.part}
	u.Planned = m.clock(ctx)
	var open []store.Upload
	err := m.n.retry(ctx, m.lease, func() (err error) {
		ended := m.n.began(m.job.Destination, opListUploads)
		open, err = m.to.ListUploads(ctx, m.key)
		return ended(err)
	})
	if err != nil {
		return err
	}
	for _, o := range open {
		u.Known = append(u.Known, o.ID)
	}
	if err := m.ledger.PlanUpload(ctx, u); err != nil {
		return fmt.Errorf("plan upload: %w", err)
	}
	if u.ID, err = m.createOnce(ctx, &u); err != nil {
		return err
	}
	m.id = u.ID
	if err := m.ledger.OpenUpload(ctx, u); err != nil {
		return fmt.Errorf("open upload: %w", err)
	}
	return nil
}

// clock returns the time by the destination's clock, or one that is surely no later: then Known alone tells the uploads
// that were open before. A destination that cannot be asked just now shows that by the requests that follow.
func (m *multipart) clock(ctx context.Context) time.Time {
	ended := m.n.began(m.job.Destination, opCheck)
	now, err := m.job.Destination.Check(ctx)
	if ended(err) != nil || now.IsZero() {
		return m.n.Now().Add(-clockTolerance)
	}
	return now
}

// createOnce creates the upload of a plan. An answer that is lost leaves an upload behind, which the plan tells from
// those of others: it is aborted before the next attempt.
func (m *multipart) createOnce(ctx context.Context, plan *Upload) (id string, err error) {
	failed := false
	err = m.n.retry(ctx, m.lease, func() (err error) {
		if failed {
			if err := m.abortOrphans(ctx, plan); err != nil {
				return err
			}
		}
		ended := m.n.began(m.job.Destination, opCreateUpload)
		id, err = m.to.CreateUpload(ctx, m.key, m.opts)
		failed = ended(err) != nil
		return err
	})
	if err == nil || isEnd(err) {
		return id, err
	}
	return "", errors.Join(err, m.abortPlanned(ctx, plan))
}

// abortPlanned aborts what a plan may have left open and forgets the plan.
func (m *multipart) abortPlanned(ctx context.Context, plan *Upload) error {
	err := m.n.retry(ctx, m.lease, func() error { return m.abortOrphans(ctx, plan) })
	if err != nil {
		return err
	}
	return m.close(ctx)
}

// abortOrphans aborts what the plan may have left open at its key.
func (m *multipart) abortOrphans(ctx context.Context, plan *Upload) error {
	return abortOrphans(ctx, m.to, plan)
}

// abortOrphans aborts the uploads of exactly a plan's key that the plan does not know and that began after it. Every other
// upload is someone else's.
func abortOrphans(ctx context.Context, to store.Multiparter, plan *Upload) error {
	open, err := to.ListUploads(ctx, plan.Key)
	if err != nil {
		return err
	}
	for _, u := range open {
		// A store that tells whole seconds rounds the beginning down, a plan may be finer.
		if slices.Contains(plan.Known, u.ID) || u.Began.Before(plan.Planned.Truncate(time.Second)) {
			continue
		}
		if err := to.AbortUpload(ctx, plan.Key, u.ID); err != nil {
			return err
		}
	}
	return nil
}

// AbortUpload aborts an upload that a task recorded and nobody carries on. Of one that was only planned it aborts what may
// have been created since; uploads of others stay.
func AbortUpload(ctx context.Context, to store.Multiparter, u Upload) error {
	return Retry(ctx, func() error {
		if u.ID == "" {
			return abortOrphans(ctx, to, &u)
		}
		return to.AbortUpload(ctx, u.Key, u.ID)
	})
}

// abort drops an upload of ours and forgets it. If the store refuses, it stays committed for the next owner.
func (m *multipart) abort(ctx context.Context, id string) error {
	err := m.n.retry(ctx, m.lease, func() error {
		return m.n.began(m.job.Destination, opAbortUpload)(m.to.AbortUpload(ctx, m.key, id))
	})
	if err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	return m.close(ctx)
}

// close forgets the committed upload.
func (m *multipart) close(ctx context.Context) error {
	m.id = ""
	if err := m.ledger.CloseUpload(ctx, m.key); err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	return nil
}

// resume takes the parts over that an upload holds. It returns false when the store does not know the upload.
func (m *multipart) resume(ctx context.Context, prev *Upload) (bool, error) {
	var listed []store.Part
	err := m.n.retry(ctx, m.lease, func() (err error) {
		ended := m.n.began(m.job.Destination, opListParts)
		listed, err = m.to.ListParts(ctx, m.key, prev.ID)
		return ended(err)
	})
	if store.ClassOf(err) == store.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.id = prev.ID
	for _, p := range listed {
		if p.Number < 1 || p.Number > m.plan.n {
			continue // never named in Complete
		}
		if _, length := m.plan.span(p.Number - 1); p.Size == length {
			m.held[p.Number-1] = p
			m.set(p.Number-1, p.Number, partBegun)
		}
	}
	for _, sh := range prev.Shares {
		for i := max(sh.First, 0); i < min(sh.End, m.plan.n); i++ {
			m.held[i] = store.Part{}
		}
		m.set(sh.First, sh.End, partAway)
	}
	m.trust = true
	return true, nil
}

// keep decides whether the held part i stays as it is. At first all do: where the sums that they were listed with add up,
// with those of the parts sent since, to what the source reports of the whole, nothing has to be read again. Where they
// do not, each is held against the source's bytes, because its sender may have died before it saw that the part arrived
// wrong. Verification by less than checksums trusts sizes.
func (m *multipart) keep(ctx context.Context, i int) (bool, error) {
	held := m.held[i]
	if m.trust {
		_, _, by := held.Sums.Match(held.Sums)
		m.parts[i], m.sums[i], m.shown[i] = held, held.Sums, by
		return true, nil
	}
	if m.by != nil { // fetching it again costs less than reading it here
		m.parts[i], m.held[i] = store.Part{}, store.Part{}
		return false, nil
	}
	var sums store.Checksums
	err := m.n.retry(ctx, m.lease, func() (err error) {
		sums, err = m.readPart(ctx, i, m.want.and(wantedOf(held.Sums)))
		return err
	})
	if err != nil {
		return false, err
	}
	if equal, known, by := sums.Match(held.Sums); known && equal {
		m.parts[i], m.sums[i], m.shown[i] = held, sums, by
		return true, nil
	}
	m.parts[i], m.held[i] = store.Part{}, store.Part{}
	return false, nil
}

// readPart computes sums of part i of the source without sending it.
func (m *multipart) readPart(ctx context.Context, i int, want wanted) (store.Checksums, error) {
	off, length := m.plan.span(i)
	return m.hashRange(ctx, off, length, want, func([]byte, int64) error { return nil })
}

// hashRange reads a range of the source piece by piece, hands each to take with its offset in the object, and returns
// the sums.
func (c *copier) hashRange(ctx context.Context, off, length int64, want wanted, take func(p []byte, off int64) error) (store.Checksums, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := c.newBody(ctx, off, length, func(*store.Object) wanted { return want }, nil)
	if err != nil {
		return store.Checksums{}, err
	}
	for err == nil {
		var p []byte
		if p, err = b.chunk(); err == nil {
			err = take(p, off)
			off += int64(len(p))
		}
	}
	cancel()
	sums, failure := b.stop()
	switch {
	case failure != nil:
		return sums, failure
	case errors.Is(err, io.EOF):
		return sums, nil
	}
	return sums, err
}
