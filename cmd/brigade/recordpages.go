package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

const (
	pagePatience = 4 * time.Second // after which a page ends where it is
	maxPageText  = 8 << 20         // bytes of the records of a page
)

// The stages of a listing of records: where the keys stand that failed and did nothing else since comes after all others.
// Lists under retry come before those that failed, for what fails again is appended there.
const (
	stageAudit  = iota // the records of all objects; those of failed ones are passed over
	stageRetry         // lists of a retry that is not over, by task
	stageFailed        // the job's failed keys
	stageLost          // tasks that were given up, by their place
	stageEnd
)

// cursor is a place in a listing: so many records into one list of a stage.
type cursor struct {
	stage int
	list  uint64
	at    int64
}

// token writes a cursor for a listing of a job, which it goes with and with no other.
func (c cursor) token(listing string) string {
	return fmt.Sprintf("%s.%d.%d.%d", listing, c.stage, c.list, c.at)
}

// parseCursor reads a token; "" is the start.
func parseCursor(token, listing string, start int) (cursor, error) {
	c := cursor{stage: start}
	if token == "" {
		return c, nil
	}
	numbers, err := tokenFields(token, listing, 3)
	if err != nil {
		return c, err
	}
	c.stage, c.list, c.at = int(numbers[0]), uint64(numbers[1]), numbers[2]
	if c.stage < start || c.stage >= stageEnd {
		return c, api.BadToken()
	}
	return c, nil
}

// tokenFields reads the numbers of a token behind the name of its listing.
func tokenFields(token, listing string, count int) ([]int64, error) {
	name, rest, _ := strings.Cut(token, ".")
	fields := strings.Split(rest, ".")
	if len(name) != len(listing) || len(fields) != count {
		return nil, api.BadToken()
	}
	numbers := make([]int64, count)
	for i, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n < 0 {
			return nil, api.BadToken()
		}
		numbers[i] = n
	}
	if name != listing {
		return nil, api.StaleToken()
	}
	return numbers, nil
}

// listingOf names what the places of a listing are good for: one pass of one incarnation of a job; and for listings that
// failed keys are part of, until the job is retried.
func listingOf(job *fsm.Job, failed bool) string {
	h := sha256.New()
	h.Write(job.Nonce)
	retried := job.Retried
	if !failed {
		retried = 0
	}
	for _, n := range []uint64{job.Incarnation, job.Pass, uint64(retried)} {
		h.Write(binary.BigEndian.AppendUint64(nil, n))
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// work is a job and its outstanding tasks, by their IDs, at one moment.
type work struct {
	job   *fsm.Job
	tasks []*fsm.Task
}

func (d *jobDesk) work(job *fsm.Job) (w work, err error) {
	d.machine.Read(func(s *fsm.State) {
		if w.job = s.Job(job.ID); w.job != nil {
			w.tasks = slices.Collect(s.TasksOf(job.ID))
		}
	})
	if w.job == nil {
		return w, fsm.ErrNoJob
	}
	slices.SortFunc(w.tasks, func(a, b *fsm.Task) int { return cmp.Compare(a.ID, b.ID) })
	return w, nil
}

// recordPage is a page being filled.
type recordPage struct {
	trail
	missing int64
	left    int // records that there is room for
	text    int // bytes of those taken
}

func (d *jobDesk) newPage(limit int) *recordPage {
	p := &recordPage{left: limit}
	over := time.Now().Add(pagePatience)
	p.get = d.peek
	p.lost = func(n int64) { p.missing += n }
	p.rest = func() bool { return time.Now().After(over) }
	return p
}

// peeker is a spool that reads the segments of other nodes without keeping them.
type peeker interface {
	Peek(ctx context.Context, name [32]byte) ([]byte, error)
}

// peek reads a segment, wherever it is. A look through a job's records must not fill the disk with them.
func (d *jobDesk) peek(ctx context.Context, name [32]byte) ([]byte, error) {
	if s, ok := d.spool.(peeker); ok {
		return s.Peek(ctx, name)
	}
	return d.spool.Get(ctx, name)
}

// room takes room for a record, or ends the page.
func (p *recordPage) room(size int) error {
	if p.left == 0 || p.text >= maxPageText {
		return errEnough
	}
	p.left--
	p.text += size
	return nil
}

// fill visits the records from a cursor on until the page is full, and returns the cursor of the rest; stageEnd where there
// is none. Ranges that were given up, which have no records, go to lost.
func (p *recordPage) fill(ctx context.Context, w work, c cursor, take func(line []byte) error, lost func(fsm.LostRange) error) (cursor, error) {
	for c.stage < stageEnd {
		for _, l := range w.lists(c.stage) {
			if l.id < c.list {
				continue
			}
			if l.id > c.list {
				c.list, c.at = l.id, 0
			}
			var err error
			if l.gone != nil {
				err = p.takeLost(*l.gone, lost)
			} else {
				l.from = max(l.from, c.at)
				err = p.lines(ctx, l.stretch, func(line []byte) error { return p.takeLine(c.stage, line, take) })
				c.at = p.next
			}
			if errors.Is(err, errEnough) {
				return c, nil
			}
			if err != nil {
				return c, err
			}
		}
		c = cursor{stage: c.stage + 1}
	}
	return c, nil
}

func (p *recordPage) takeLine(stage int, line []byte, take func(line []byte) error) error {
	if stage == stageAudit && bytes.Contains(line, []byte(markFailed)) {
		return nil // it stands below, unless something else became of it
	}
	if err := p.room(len(line)); err != nil {
		return err
	}
	return take(line)
}

func (p *recordPage) takeLost(l fsm.LostRange, lost func(fsm.LostRange) error) error {
	if lost == nil {
		return nil
	}
	if err := p.room(len(l.Reason)); err != nil {
		return err
	}
	return lost(l)
}

// recordList is one list of a stage: a stretch of records, or a range that was given up.
type recordList struct {
	id uint64
	stretch
	gone *fsm.LostRange
}

// lists are the lists of a stage, by their IDs.
func (w work) lists(stage int) (lists []recordList) {
	switch stage {
	case stageAudit:
		return []recordList{{stretch: all(w.job.Audit, 0)}}
	case stageRetry:
		for _, t := range w.tasks {
			if t.Retry && t.Kind == fsm.ListTask {
				lists = append(lists, recordList{id: t.ID, stretch: linesOf(t)})
			}
		}
	case stageFailed:
		return []recordList{{stretch: all(w.job.Failed, 0)}}
	case stageLost:
		for i := range w.job.LostRanges {
			l := &w.job.LostRanges[i]
			list := recordList{id: uint64(i), gone: l}
			if l.Task.Retry && l.Task.Kind == fsm.ListTask {
				list = recordList{id: uint64(i), stretch: linesOf(&l.Task)}
			}
			lists = append(lists, list)
		}
	}
	return lists
}

// linesOf are the lines of a list task that are not settled.
func linesOf(t *fsm.Task) stretch {
	return stretch{[]fsm.Segment{*t.Segment}, t.Line, t.EndLine}
}

// missed tells of the records that a page could not read, and who may have them.
func (d *jobDesk) missed(ctx context.Context, records int64) *api.Missing {
	if records == 0 {
		return nil
	}
	m := &api.Missing{Records: records}
	if d.away != nil {
		m.Nodes = d.away(ctx)
	}
	return m
}

// Errors implements api.Inquiries: failed keys, then the ranges that were given up.
func (d *jobDesk) Errors(ctx context.Context, job *fsm.Job, from string, limit int) (*api.ErrorList, error) {
	list := &api.ErrorList{Errors: []api.KeyError{}}
	var err error
	p := d.newPage(limit)
	p.get = d.spool.Get // they are few, and status asks for them again and again
	list.Continue, list.Missing, err = d.pageOf(ctx, p, job, from, stageRetry, func(line []byte) error {
		r, err := decodeRecord(line)
		if err == nil {
			list.Errors = append(list.Errors, api.NewKeyError(r.ExactKey(), r.Class, r.Reason))
		}
		return err
	}, func(l fsm.LostRange) error {
		e := api.NewKeyError(string(l.Task.From), l.Class, rangeReason(l))
		e.GivenUp = true
		list.Errors = append(list.Errors, e)
		return nil
	})
	return list, err
}

// Records implements api.Inquiries.
func (d *jobDesk) Records(ctx context.Context, job *fsm.Job, from string, limit int) (*api.RecordList, error) {
	list := &api.RecordList{Records: []json.RawMessage{}}
	var err error
	list.Continue, list.Missing, err = d.pageOf(ctx, d.newPage(limit), job, from, stageAudit, func(line []byte) error {
		list.Records = append(list.Records, shownRecord(line))
		return nil
	}, nil)
	return list, err
}

// shownRecord is a record as it may be shown: what stands behind the question mark of a URL may be a signature that opens it.
// It copies the line.
func shownRecord(line []byte) json.RawMessage {
	if !bytes.Contains(line, []byte(`"origin":`)) {
		return bytes.Clone(line)
	}
	r, err := decodeRecord(line)
	if err != nil {
		return bytes.Clone(line) // not ours: whoever reads it will say so
	}
	if place, _, signed := strings.Cut(r.Origin, "?"); signed {
		r.Origin = place + "?***"
	}
	var shown bytes.Buffer
	enc := json.NewEncoder(&shown)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return bytes.Clone(line)
	}
	return bytes.TrimSpace(shown.Bytes())
}

// pageOf fills a page with a job's records, from a stage on, and returns the token that brings the rest.
func (d *jobDesk) pageOf(ctx context.Context, p *recordPage, job *fsm.Job, from string, start int,
	take func(line []byte) error, lost func(fsm.LostRange) error,
) (rest string, missing *api.Missing, err error) {
	w, err := d.work(job)
	if err != nil {
		return "", nil, err
	}
	listing := listingOf(w.job, true)
	c, err := parseCursor(from, listing, start)
	if err != nil {
		return "", nil, err
	}
	if c, err = p.fill(ctx, w, c, take, lost); err != nil {
		return "", nil, fmt.Errorf("read records of job %s: %w", job.ID, err)
	}
	if c.stage < stageEnd {
		rest = c.token(listing)
	}
	return rest, d.missed(ctx, p.missing), nil
}

// Totals implements api.Inquiries.
func (d *jobDesk) Totals(ctx context.Context, job *fsm.Job, from string) (*api.Totals, error) {
	w, err := d.work(job)
	if err != nil {
		return nil, err
	}
	spec, err := decodeSpec(w.job)
	if err != nil {
		return nil, err
	}
	listing := listingOf(w.job, false)
	c, err := parseCursor(from, listing, stageAudit)
	if err != nil {
		return nil, err
	}
	e, p := newEvidence(), d.newPage(0)
	err = p.lines(ctx, all(w.job.Audit, c.at), e.addLine)
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("sum up records of job %s: %w", job.ID, err)
	}
	t := &api.Totals{
		Job: api.NewJob(w.job), Type: w.job.Type, Classes: w.job.Classes, Evidence: e.Evidence,
		HashedBefore: spec.Destination != nil && strings.HasPrefix(spec.Destination.URL, "file:"), Missing: d.missed(ctx, p.missing),
	}
	if err != nil {
		t.Continue = cursor{at: p.next}.token(listing)
	}
	return t, nil
}

// awayNodes are the members that do not answer now.
func (n *node) awayNodes(ctx context.Context) (ids []string) {
	for _, m := range n.place.members.Machines(ctx) {
		if m.State == api.Dead || m.State == api.Suspect {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
