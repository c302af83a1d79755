package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// errUploadGone means that the destination does not know the upload: it was aborted, expired, or completed unnoticed.
var errUploadGone = errors.New("the upload is gone")

// multipart is one object on its way in parts.
type multipart struct {
	*copier
	to   store.Multiparter
	by   store.Copier // not nil: the destination fetches the parts by itself
	plan partPlan
	want wanted
	opts store.PutOptions

	id    string
	stuck bool              // the upload could not be aborted: it stays committed for the next owner
	held  []store.Part      // by index: what an earlier owner sent; Number 0 where nothing is held
	trust bool              // held parts are taken as they are, the whole is proven at the end
	parts []store.Part      // by index: as the store acknowledged them
	sums  []store.Checksums // by index: of what was read, or of a trusted part as listed
	proof string            // the sum that showed that all fetched parts arrived; "" for none
	shown []string          // by index: the sum that showed that a part arrived; "" for none

	division
	pieces   map[int]piece // by first index: what others sent
	stopping func() bool   // no part is begun any more; nil for never
	onPart   func()        // called after each part; may be nil
}

// putParts copies an object in parts; by, if not nil, is the destination that fetches them by itself. What is wrong with
// the whole after all parts were right makes it start over.
func (c *copier) putParts(ctx context.Context, to store.Multiparter, by store.Copier) error {
	m := &multipart{copier: c, to: to, by: by}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		c.attempts.Add(1)
		err := m.upload(ctx)
		again := store.ClassOf(err) == store.Mismatch || errors.Is(err, errUploadGone)
		if !again || m.stuck || try == rounds {
			return err
		}
		c.n.again(err)
	}
}

// prepare looks at the source, whose metadata an upload takes from the start, and plans the parts.
func (m *multipart) prepare(ctx context.Context) error {
	if err := m.lookAtSource(ctx); err != nil {
		return err
	}
	m.res.How = "multipart"
	if m.by != nil {
		m.res.How = "server-side"
	}
	return nil
}

// planNew plans the parts of a new upload. A store that fetches parts by itself gets large ones. One that reports QETags gets
// blocks, as long as they are not too many: only then its hash is that of the content.
func (m *multipart) planNew() (partPlan, error) {
	smallest, largest, most := m.to.PartLimits()
	least, o := m.n.Tuning.PartSize, m.src
	switch {
	case m.by != nil:
		least = m.n.Tuning.PartMax
	case reportsQETags(m.job):
		least, o.Sums.PartsMD5 = qetagBlock, ""
	}
	return planParts(&o, &m.n.Tuning, partBounds{smallest, largest, most}, least)
}

// layOut makes room for the parts of an upload.
func (m *multipart) layOut(plan partPlan) {
	m.plan = plan
	m.want = wantedOfParts(m.job, m.src.Sums, &m.plan, summedAfter)
	m.opts = m.options(m.plan.sameParts || m.plan.part == qetagBlock && m.listQETags(), nil)
	m.opts.Size, m.opts.PartSize = plan.size, plan.part
	m.held = make([]store.Part, m.plan.n)
	m.parts = make([]store.Part, m.plan.n)
	m.sums = make([]store.Checksums, m.plan.n)
	m.shown = make([]string, m.plan.n)
	m.trust = false
	m.reset(m.plan.n)
	m.pieces = map[int]piece{}
	m.res.Parts = m.plan.n
}

// upload carries on or starts an upload, sends its parts and completes it. An upload of an object that failed is aborted;
// one whose task ended is left for the next owner.
func (m *multipart) upload(ctx context.Context) error {
	found, err := m.begin(ctx)
	if found {
		return err
	}
	if err == nil {
		err = m.sendAll(ctx)
	}
	if err == nil {
		err = m.finish(ctx)
	}
	if err == nil || isEnd(err) || m.id == "" { // "": none was created, or it was completed with the wrong content
		return err
	}
	if refused := m.abort(ctx, m.id); refused != nil {
		m.stuck = true
		return errors.Join(err, refused)
	}
	return err
}

// sendAll sends all parts that are not held and proves that what was read is what the source reports.
func (m *multipart) sendAll(ctx context.Context) error {
	defer m.offer()()
	if err := m.sendParts(ctx); err != nil {
		return err
	}
	if m.trust && m.job.Verify == "checksum" && !m.proven() {
		// The parts of the earlier owner did not prove themselves as a whole: each is held against the source.
		m.trust = false
		if err := m.sendParts(ctx); err != nil {
			return err
		}
	}
	m.res.Sums = m.combined()
	if m.by != nil {
		return m.fetchedAll()
	}
	if err := m.sourceChecked(m.res.Sums); err != nil {
		return err
	}
	return m.recheck(ctx)
}

// fetchedAll holds what the destination reports of the parts that it fetched against what the source reports.
func (m *multipart) fetchedAll() error {
	equal, known, by := m.res.Sums.Match(m.src.Sums)
	if known && !equal && m.job.Verify == "checksum" {
		return mismatch(m.key, by, "the parts", m.res.Sums, "the source", m.src.Sums)
	}
	m.proof = by
	return nil
}

// combined returns the sums of the whole as far as the parts' sums tell them.
func (m *multipart) combined() store.Checksums {
	parts := make([]store.Part, len(m.parts))
	for i := range parts {
		_, length := m.plan.span(i)
		parts[i] = store.Part{Size: length, Sums: m.sums[i]}
	}
	whole := combineParts(parts)
	if len(m.pieces) == 0 {
		return whole
	}
	joined := make([]store.Part, 0, len(parts))
	for i := 0; i < len(parts); {
		p, next := parts[i], i+1
		if by, ok := m.pieces[i]; ok {
			from, _ := m.plan.span(i)
			last, length := m.plan.span(by.end - 1)
			p, next = store.Part{Size: last + length - from, Sums: by.sums}, by.end
		}
		joined = append(joined, p)
		i = next
	}
	return whole.Merge(combineParts(joined))
}

// proven tells whether the sums of the parts add up to what the source reports of the whole.
func (m *multipart) proven() bool {
	equal, known, _ := m.combined().Match(m.src.Sums)
	return known && equal
}

// sendPart sends part i unless it is held, has been sent, or is for others to send.
func (m *multipart) sendPart(ctx context.Context, i int) error {
	switch {
	case m.stopping != nil && m.stopping():
		return nil // what was sent is told with the task's end
	case m.stopping == nil && stopped(m.lease):
		return ErrStopped // the next owner carries the upload on
	case !m.claim(i):
		return nil
	}
	if m.held[i].Number != 0 {
		kept, err := m.keep(ctx, i)
		if err != nil || kept {
			return err
		}
	}
	if m.parts[i].Number != 0 {
		return nil
	}
	err := m.movePart(ctx, i)
	if m.onPart != nil {
		m.onPart()
	}
	if store.ClassOf(err) == store.NotFound && !errors.Is(err, errVanished) {
		return fmt.Errorf("%w: %w", errUploadGone, err)
	}
	return err
}

// movePart gets part i to the destination in the way that costs least: fetched by it, from memory, or streamed.
func (m *multipart) movePart(ctx context.Context, i int) error {
	if m.by != nil {
		return m.n.retry(ctx, m.lease, func() error { return m.fetchOnce(ctx, i) })
	}
	_, length := m.plan.span(i)
	if length > limiterOf(m.lease).second() {
		return m.n.retry(ctx, m.lease, func() error { return m.sendOnce(ctx, i) }) // memory would wait for the limit
	}
	if content := m.n.Memory.TryPart(ctx, length, m.n.Now, &m.n.Tuning); content != nil {
		defer m.n.Memory.PutPart(content)
		return m.sendFromMemory(ctx, i, content)
	}
	return m.n.retry(ctx, m.lease, func() error { return m.sendOnce(ctx, i) })
}

// sendFromMemory reads part i whole and then sends it, so that its sum goes ahead and a retry does not read again. Where
// the answer shows another sum than the one sent along, that one is computed as well.
func (m *multipart) sendFromMemory(ctx context.Context, i int, content []byte) error {
	if err := m.n.retry(ctx, m.lease, func() error { return m.fillPart(ctx, i, content) }); err != nil {
		return err
	}
	sums := sumsOf(wantedOfParts(m.job, m.src.Sums, &m.plan, summedBefore), content)
	again := resending{lease: m.lease, size: int64(len(content))}
	return m.n.retry(ctx, m.lease, func() error {
		if err := again.pay(ctx); err != nil {
			return err
		}
		ended := m.n.began(m.job.Destination, opUploadPart)
		part, err := m.to.UploadPart(ctx, m.key, m.id, i+1, store.Body{Bytes: content, Size: int64(len(content)), Sums: sums})
		m.wrote(len(content))
		if ended(err) != nil {
			return err
		}
		if _, known, _ := sums.Match(part.Sums); !known && m.job.Verify == "checksum" {
			sums = sums.Merge(sumsOf(wantedOf(part.Sums), content))
		}
		return m.sentPart(i, part, sums)
	})
}

// fillPart fills content with part i.
func (m *multipart) fillPart(ctx context.Context, i int, content []byte) error {
	off, length := m.plan.span(i)
	if err := pay(ctx, m.lease, length); err != nil {
		return err
	}
	r, _, err := m.openSource(ctx, off, length)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.ReadFull(fencedReader{r, m.lease}, content)
	m.n.readFrom(m.job.Source, n)
	m.job.Traffic.read(n)
	if err != nil {
		return m.readFailure(ctx, err)
	}
	return nil
}

// sendOnce reads part i and sends it while reading.
func (m *multipart) sendOnce(ctx context.Context, i int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	off, length := m.plan.span(i)
	b, err := m.newBody(ctx, off, length, func(*store.Object) wanted { return m.want }, nil)
	if err != nil {
		return err
	}
	ended := m.n.began(m.job.Destination, opUploadPart)
	part, err := m.to.UploadPart(ctx, m.key, m.id, i+1, store.Body{Reader: b, Size: length})
	whole := b.whole()
	cancel()
	sums, failure := b.stop()
	_ = ended(blamed(err, failure))
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return err
	case !whole:
		return &store.Error{Op: "put", Key: m.key, Class: store.Mismatch, Err: fmt.Errorf("part %d acknowledged before all was sent", i+1)}
	}
	return m.sentPart(i, part, sums)
}

// sentPart holds the answer to part i against what was sent.
func (m *multipart) sentPart(i int, part store.Part, sums store.Checksums) error {
	equal, known, by := sums.Match(part.Sums)
	if known && !equal && m.job.Verify == "checksum" {
		return mismatch(m.key, by, fmt.Sprintf("part %d", i+1), sums, "the destination", part.Sums)
	}
	m.parts[i], m.sums[i], m.shown[i] = part, sums, by
	return nil
}

// fetchOnce lets the destination fetch part i by itself.
func (m *multipart) fetchOnce(ctx context.Context, i int) error {
	off, length := m.plan.span(i)
	ended := m.n.began(m.job.Destination, opCopyPart)
	part, err := m.by.CopyPart(ctx, m.job.Source, m.src, off, length, m.key, m.id, i+1)
	if store.ClassOf(ended(err)) == store.Precondition {
		return m.changed(err)
	}
	if store.ClassOf(err) == store.NotFound {
		if _, gone := m.statSource(ctx); gone != nil {
			return gone
		}
	}
	if err != nil {
		return err
	}
	m.parts[i], m.sums[i] = part, part.Sums
	return nil
}

// finish completes the upload and checks the whole. A condition that is refused is renewed; the parts stay.
func (m *multipart) finish(ctx context.Context) error {
	for try := 1; ; try++ {
		dst, err := m.complete(ctx)
		switch {
		case err == nil:
			return m.finished(ctx, dst)
		case store.ClassOf(err) != store.Precondition || try == rounds:
			return err
		}
		held, err := m.renewCondition(ctx)
		if err != nil {
			return err
		}
		if held {
			return m.abort(ctx, m.id)
		}
	}
}

// complete makes the object of the parts. When the store no longer knows the upload, the object itself tells whether an
// earlier call did it whose answer was lost.
func (m *multipart) complete(ctx context.Context) (store.Object, error) {
	opts := m.opts
	opts.Condition = m.cond
	var dst store.Object
	err := m.n.retry(ctx, m.lease, func() (err error) {
		ended := m.n.began(m.job.Destination, opCompleteUpload)
		dst, err = m.to.CompleteUpload(ctx, m.key, m.id, m.parts, opts)
		return ended(err)
	})
	if store.ClassOf(err) != store.NotFound {
		return dst, err
	}
	now, found := m.n.stat(ctx, m.job.Destination, m.key, m.lease)
	if found != nil && store.ClassOf(found) != store.NotFound {
		return dst, errors.Join(found, err)
	}
	if found == nil {
		if _, equal := m.holds(&now); equal {
			return now, nil
		}
	}
	return dst, fmt.Errorf("%w: %w", errUploadGone, err)
}

// finished forgets the upload and holds the object against what was sent.
func (m *multipart) finished(ctx context.Context, dst store.Object) error {
	m.id = ""
	if err := m.ledger.CloseUpload(ctx, m.key); err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	if m.by != nil {
		err := m.fetched(ctx, dst)
		if m.res.SentChecked == "" && m.job.Verify == "checksum" {
			m.res.SentChecked = m.proof
		}
		return err
	}
	sums := m.res.Sums
	if err := m.acknowledged(dst, m.src.Size, sums); err != nil {
		return err
	}
	if m.job.Verify != "checksum" || m.res.SentChecked != "" {
		return nil
	}
	by := shownBy(m.shown)
	if by == "md5" && sums.PartsMD5 != "" && dst.Sums.PartsMD5 != "" && sums.PartsMD5 != dst.Sums.PartsMD5 {
		// The store's ETags are MD5s, of the parts too: this one cannot be of the same parts.
		m.overwrite(dst)
		return mismatch(m.key, "etag", "what was sent", sums, "the destination", dst.Sums)
	}
	m.res.SentChecked = by
	return nil
}

// shownBy names the sum that showed that every part arrived, "" where one was not shown.
func shownBy(shown []string) string {
	by := shown[0]
	for _, s := range shown {
		if s == "" {
			return ""
		}
		by = s
	}
	return by
}
