package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// KeyList names what a job copies, line by line.
type KeyList struct {
	Text Text
	URLs bool // lines as ParseURLLine reads them, else as ParseKeyLine does
}

func (l *KeyList) parse(text string) (ListLine, bool, error) {
	if l.URLs {
		return ParseURLLine(text)
	}
	return ParseKeyLine(text)
}

// The bounds of a scan of a list are places in its text, where lines begin, with what tells the version of the text: so
// parts of the text go to other nodes as parts of a key range do, and nobody reads on in another version.
//
//	16 hexadecimal digits of the place, ".", 16 of the version's hash

func listBound(at int64, version string) string {
	hash := sha256.Sum256([]byte(version))
	return fmt.Sprintf("%016x.%x", at, hash[:8])
}

// listPlace reads a bound of the version at hand.
func listPlace(bound, version string) (int64, error) {
	digits, _, _ := strings.Cut(bound, ".")
	at, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || at < 0 {
		return 0, fmt.Errorf("%q is not a place in a list", bound)
	}
	if bound != listBound(at, version) {
		return 0, textChanged()
	}
	return at, nil
}

// listScan is the state of a scan of a list.
type listScan struct {
	*scanRun
	version string
	end     int64 // of the task, in the text
	lines   *lineReader
	body    io.Closer // of lines; nil while none is open
	pos     int64     // of the next line
}

// listWorth is what a part of a list must be worth that others are given to cut, in bytes.
const listWorth = 256 << 10

// scanList cuts lists of what a part of a list names. Nothing is looked at: whoever copies does that, with many requests in
// flight.
func (t *taskRun) scanList(ctx context.Context) error {
	s := &listScan{scanRun: &scanRun{taskRun: t, batch: newBatch(t.task.From, 0, t.n.Now()), first: t.task.From == ""}}
	if err := s.place(ctx); err != nil {
		return err
	}
	defer s.close()
	split := t.newSplitter(true)
	defer split.close()
	split.ready = func() bool { return true }
	split.parts = s.handOut
	for {
		if err := split.serve(ctx); err != nil {
			return err
		}
		more, err := s.stretch(ctx)
		if err != nil {
			return err
		}
		if !more {
			return s.finish(ctx)
		}
		if l, ok := t.lease.(LeftLease); ok {
			l.Left(1 + (s.end-s.pos)/listWorth)
		}
		stop := t.stopping()
		if yield, err := s.flush(ctx, stop); err != nil || yield {
			return err
		}
		if stop {
			return ErrStopped
		}
	}
}

// place finds the part of the text that the task is about.
func (s *listScan) place(ctx context.Context) error {
	err := s.n.retry(ctx, s.lease, func() (err error) {
		s.end, s.version, err = s.job.List.Text.Stat(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if s.task.From != "" {
		if s.pos, err = listPlace(s.task.From, s.version); err != nil {
			return err
		}
	}
	if s.task.To != "" {
		if s.end, err = listPlace(s.task.To, s.version); err != nil {
			return err
		}
	}
	return nil
}

// stretch takes the next lines; more is false once the part is at its end.
func (s *listScan) stretch(ctx context.Context) (more bool, err error) {
	c := Counts{}
	for range stretchKeys {
		if s.pos >= s.end {
			more = false
			break
		}
		line, ok, err := s.line(ctx)
		if err != nil {
			return false, err
		}
		more = true
		s.seen = listBound(s.pos, s.version)
		if !ok {
			continue
		}
		c.Listed++
		c.BytesListed += max(0, line.Size)
		if err := s.takeLine(ctx, &line); err != nil {
			return false, err
		}
	}
	s.n.Meter.Listed.Add(c.Listed)
	s.progress(c)
	if s.open != nil && s.early() {
		if err := s.closeCut(ctx); err != nil {
			return false, err
		}
	}
	return more && s.pos < s.end, nil
}

// line reads the next line, again from its start after an error.
func (s *listScan) line(ctx context.Context) (line ListLine, ok bool, err error) {
	var text string
	err = s.n.retry(ctx, s.lease, func() (err error) {
		if s.body == nil {
			r, err := s.job.List.Text.Open(ctx, s.version, s.pos)
			if err != nil {
				return err
			}
			s.body, s.lines = r, newLineReader(r, s.pos)
		}
		text, _, err = s.lines.next()
		switch {
		case errors.Is(err, errLineTooLong):
			return s.malformed(err)
		case errors.Is(err, io.EOF):
			err = &store.Error{Op: "read list", Class: store.Transient, Err: io.ErrUnexpectedEOF}
		}
		if err != nil {
			s.close()
			return err
		}
		return nil
	})
	if err != nil {
		return line, false, err
	}
	line, ok, err = s.job.List.parse(text)
	if err != nil {
		return line, false, s.malformed(err)
	}
	moved(s.lease, int(s.lines.off-s.pos))
	s.pos = s.lines.off
	return line, ok, nil
}

// malformed is the error of a line. Its number is not known here: the list was checked when the job began.
func (s *listScan) malformed(err error) error {
	return &store.Error{Op: "read list", Class: store.Permanent, Err: fmt.Errorf("the line at byte %d: %w", s.pos, err)}
}

func (s *listScan) close() {
	if s.body != nil {
		_ = s.body.Close() // what was read is good, or its error is known
		s.body, s.lines = nil, nil
	}
}

// takeLine counts a line and hands it to the open cut, or settles it.
func (s *listScan) takeLine(ctx context.Context, line *ListLine) error {
	l := look{src: line.object(), verdict: Unseen, size: line.Size}
	l.reason = s.job.Filter.keyReason(l.src.Key)
	s.batch.counts.Listed++
	s.batch.counts.BytesListed += l.src.Size
	if l.reason != "" || s.job.Destination == nil {
		s.settleLook(&l)
		return nil
	}
	s.openAt(false).addEntry(&l, false) // what a task wrote is looked for in key order
	if s.full() {
		return s.closeCut(ctx)
	}
	return nil
}

// handOut gives others up to n parts of what is left.
func (s *listScan) handOut(ctx context.Context, n int) (made int, err error) {
	worth := int64(listWorth)
	if s.n.Tuning.SplitWorth <= 0 {
		worth = 1
	}
	left := s.end - s.pos
	parts := min(int64(n), left/worth-1)
	for i := parts; i > 0; i-- {
		at, err := s.lineFrom(ctx, s.pos+left*i/(parts+1))
		if err != nil {
			return made, err
		}
		if at <= s.pos || at >= s.end {
			continue
		}
		bound := listBound(at, s.version)
		holds, err := s.splits(ctx, bound, 0)
		if err != nil || !holds {
			return made, err
		}
		s.end, s.task.To = at, bound
		made++
	}
	return made, nil
}

// lineFrom finds where the first line begins behind a place.
func (s *listScan) lineFrom(ctx context.Context, place int64) (at int64, err error) {
	err = s.n.retry(ctx, s.lease, func() error {
		r, err := s.job.List.Text.Open(ctx, s.version, place)
		if err != nil {
			return err
		}
		defer r.Close()
		lines := newLineReader(r, place)
		_, _, err = lines.next() // the rest of the line that the place is in
		at = lines.off
		return err
	})
	return at, err
}

// previewList calls visit for every line of the job's list.
func (t *taskRun) previewList(ctx context.Context, visit func(Preview) error) error {
	s := &listScan{scanRun: &scanRun{taskRun: t}}
	if err := s.place(ctx); err != nil {
		return err
	}
	defer s.close()
	for s.pos < s.end {
		line, ok, err := s.line(ctx)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := t.previewLine(ctx, &line, visit); err != nil {
			return err
		}
	}
	return nil
}

func (t *taskRun) previewLine(ctx context.Context, line *ListLine, visit func(Preview) error) error {
	v := Preview{Key: line.Key, Size: max(0, line.Size), Action: "filter", Reason: t.job.Filter.keyReason(line.Key)}
	if v.Reason != "" {
		return visit(v)
	}
	if t.job.Destination == nil {
		v.Action = "list"
		return visit(v)
	}
	src, err := t.n.statSource(ctx, t.job, line.object(), t.lease)
	switch {
	case store.ClassOf(err) == store.NotFound:
		v.Reason = "not at the source"
		return visit(v)
	case err != nil:
		return fmt.Errorf("look at %q: %w", line.Key, err)
	}
	src.Key, v.Size = line.Key, src.Size
	if v.Reason = t.job.leftOut(&src); v.Reason != "" {
		return visit(v)
	}
	p := pair{src: &src}
	dst, err := t.n.stat(ctx, t.job.Destination, line.Key, t.lease)
	switch class := store.ClassOf(err); {
	case err == nil:
		dst.Key = line.Key
		p.dst = &dst
	case class != store.NotFound:
		return fmt.Errorf("look at %q: %w", line.Key, err)
	}
	return t.preview(ctx, p, visit)
}
