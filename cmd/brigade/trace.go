package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// search is the look for one key through the records of a job and the lists of its tasks. Its fields but the page and the
// answer go along in the token from one page to the next; each place only grows, so that a search which sees all that there
// is at one moment has missed nothing that moved meanwhile.
type search struct {
	key    string
	mark   []byte // part of every record of the key
	page   *recordPage
	trace  *api.Trace
	audit  int64  // records searched
	failed int64  // failed keys searched, where audit records are missing
	lists  uint64 // ID of the last task whose list was searched
	task   uint64 // whose list has the key; 0 for none
	line   int64  // of that list
	lost   int64  // records that could not be read
	last   int64  // index in outcomes of the last record found
}

// outcomes are what records say, in the order of the numbers that tokens know them by; 0 is no record.
func outcomes() []transfer.Outcome {
	return []transfer.Outcome{"", transfer.Copied, transfer.Skipped, transfer.Filtered, transfer.Vanished, transfer.Changed, transfer.Failed, "extra"}
}

const searchFields = 7

// Trace implements api.Inquiries.
func (d *jobDesk) Trace(ctx context.Context, job *fsm.Job, key, from string) (*api.Trace, error) {
	w, err := d.work(job)
	if err != nil {
		return nil, err
	}
	s, err := d.newSearch(w, key, from)
	if err != nil {
		return nil, err
	}
	err = s.run(ctx, w)
	if errors.Is(err, errEnough) {
		s.trace.Continue = s.token(listingOf(w.job, false))
	} else if err != nil {
		return nil, fmt.Errorf("look for a key of job %s: %w", job.ID, err)
	} else {
		s.judge(w)
	}
	s.trace.Missing = d.missed(ctx, s.lost)
	return s.trace, nil
}

func (d *jobDesk) newSearch(w work, key, from string) (*search, error) {
	s := &search{key: key, mark: markOf(key), page: d.newPage(0)}
	started := api.NewJob(w.job)
	s.trace = &api.Trace{
		ObjectKey: api.NewKey(key), Job: w.job.ID, Pass: w.job.Pass, State: w.job.State,
		StartedAt: started.StartedAt, FinishedAt: started.FinishedAt, Records: []json.RawMessage{},
	}
	s.page.lost = func(n int64) { s.lost += n }
	if from == "" {
		return s, nil
	}
	f, err := tokenFields(from, listingOf(w.job, false), searchFields)
	if err != nil {
		return nil, err
	}
	s.audit, s.failed, s.lists, s.task, s.line, s.lost, s.last = f[0], f[1], uint64(f[2]), uint64(f[3]), f[4], f[5], f[6]
	if s.last >= int64(len(outcomes())) {
		return nil, api.BadToken()
	}
	return s, nil
}

func (s *search) token(listing string) string {
	return fmt.Sprintf("%s.%d.%d.%d.%d.%d.%d.%d", listing, s.audit, s.failed, s.lists, s.task, s.line, s.lost, s.last)
}

// markOf is what every record of a key has in it, and few others.
func markOf(key string) []byte {
	var r transfer.Record
	r.SetKey(key)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as records are written
	if r.KeyBase64 != nil {
		_ = enc.Encode(r.KeyBase64) // neither can fail
	} else {
		_ = enc.Encode(r.Key)
	}
	return bytes.TrimSpace(b.Bytes())
}

// run looks everywhere, as far as one page goes. The records of all objects come first: most keys have one, and what is in
// no list then need not be looked for there.
func (s *search) run(ctx context.Context, w work) error {
	err := s.page.lines(ctx, all(w.job.Audit, s.audit), s.found)
	if s.audit = s.page.next; err != nil {
		return err
	}
	if s.lost > 0 { // a failed key stands in another segment as well
		err := s.page.lines(ctx, all(w.job.Failed, s.failed), s.found)
		if s.failed = s.page.next; err != nil {
			return err
		}
	}
	if last := outcomes()[s.last]; last != "" && last != transfer.Failed {
		return nil
	}
	for _, t := range listsOf(w) {
		if t.ID <= s.lists {
			continue
		}
		if s.page.any && s.page.rest() {
			return errEnough
		}
		if line, err := s.inList(ctx, t); err != nil {
			return err
		} else if line >= 0 {
			s.task, s.line = t.ID, line
		}
		s.lists = t.ID
	}
	return nil
}

// listsOf are the tasks that have a list and are not over, those given up included, by their IDs.
func listsOf(w work) (tasks []*fsm.Task) {
	for _, t := range w.tasks {
		if t.Kind == fsm.ListTask {
			tasks = append(tasks, t)
		}
	}
	for i := range w.job.LostRanges {
		if t := &w.job.LostRanges[i].Task; t.Kind == fsm.ListTask {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b *fsm.Task) int { return cmp.Compare(a.ID, b.ID) })
	return tasks
}

// found takes a record if it is one of the key.
func (s *search) found(line []byte) error {
	if !bytes.Contains(line, s.mark) {
		return nil
	}
	r, err := decodeRecord(line)
	if err != nil || r.ExactKey() != s.key {
		return err
	}
	shown := shownRecord(line)
	if slices.ContainsFunc(s.trace.Records, func(known json.RawMessage) bool { return bytes.Equal(known, shown) }) {
		return nil
	}
	s.trace.Records = append(s.trace.Records, shown)
	s.last = int64(max(0, slices.Index(outcomes(), r.Outcome)))
	return nil
}

// inList looks for the key in the list of a task, and returns the number of its line; -1 if it is in none.
func (s *search) inList(ctx context.Context, t *fsm.Task) (line int64, err error) {
	s.page.any = true
	if t.Retry {
		return s.inRecords(ctx, linesOf(t))
	}
	data, err := s.page.get(ctx, [32]byte(t.Segment.Name))
	if s.page.takesLoss(err) {
		s.lost += t.EndLine - t.Line
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("read the list of task %d: %w", t.ID, err)
	}
	line, listed, err := transfer.FindListed(data, s.key)
	if err != nil || !listed || line < t.Line || line >= t.EndLine {
		return -1, err
	}
	return line, nil
}

// inRecords looks for the key in a stretch of records.
func (s *search) inRecords(ctx context.Context, in stretch) (line int64, err error) {
	line = -1
	p := &trail{get: s.page.get, lost: s.page.lost}
	err = p.lines(ctx, in, func(text []byte) error {
		if !bytes.Contains(text, s.mark) {
			return nil
		}
		r, err := decodeRecord(text)
		if err == nil && r.ExactKey() == s.key {
			line = p.next
		}
		return err
	})
	return line, err
}

// judge says where the key stands, once everything was looked through.
func (s *search) judge(w work) {
	last := outcomes()[s.last]
	t := s.holder(w)
	say := func(standing, format string, args ...any) {
		s.trace.Standing, s.trace.Explanation = standing, fmt.Sprintf(format, args...)
	}
	lost := s.givenUp(w)
	switch {
	case last != "" && last != transfer.Failed:
		say(api.Settled, "%s", settledAs(last, w.job.Type))
	case t != nil:
		s.hold(w, t)
		say(api.InTask, "%s", s.inHand(w, t, last == transfer.Failed))
	case lost != nil:
		s.hold(w, &lost.Task)
		say(api.GivenUp, "the task that had it was given up: %s; brigade ctl retry %s works on it again", lost.Reason, w.job.ID)
	case last == transfer.Failed:
		say(api.Settled, "it failed; brigade ctl retry %s tries it again", w.job.ID)
	case s.lost > 0:
		say(api.Unknown, "no record of it is found; it may be among the %d that are missing", s.lost)
	case w.job.TasksLost > int64(len(w.job.LostRanges)):
		say(api.Unknown, "no record of it is found; it may lie in one of %d ranges that were given up and are not recorded",
			w.job.TasksLost-int64(len(w.job.LostRanges)))
	case w.job.Pass == 0:
		say(api.NotBegun, "the job has not begun its first pass")
	case w.job.State == fsm.Canceled:
		say(api.NotBegun, "the job was canceled before it got to this key, or the source does not have it")
	default:
		say(api.NotFound, "the listing of the source is past it, and the source did not have it in pass %d", w.job.Pass)
	}
}

// settledAs words an outcome.
func settledAs(o transfer.Outcome, jobType string) string {
	switch o {
	case transfer.Copied:
		return "it was copied"
	case transfer.Skipped:
		switch jobType {
		case "verify":
			return "it is at the destination, and equal"
		case "list":
			return "it was listed"
		}
		return "it was at the destination already, and was not copied"
	case transfer.Filtered:
		return "a rule leaves it out"
	case transfer.Vanished:
		return "it vanished from the source before it could be read"
	case transfer.Changed:
		return "it changed at the source during every attempt to read it"
	}
	return "the destination has it, and the source does not"
}

// holder is the outstanding task that has the key; a re-listing, which settles nothing, only where no other has it.
func (s *search) holder(w work) (holder *fsm.Task) {
	for _, t := range w.tasks {
		switch t.Kind {
		case fsm.ListTask:
			if s.listedIn(t) {
				return t
			}
		case fsm.ScanTask, fsm.RangeTask:
			if spans(t, s.key) {
				return t
			}
		case fsm.RelistTask:
			if spans(t, s.key) {
				holder = t
			}
		}
	}
	return holder
}

// listedIn tells whether the key was found in the list of a task, in a line that is not settled.
func (s *search) listedIn(t *fsm.Task) bool {
	return t.ID == s.task && s.line >= t.Line && s.line < t.EndLine
}

// spans tells whether a key lies in the range of a task.
func spans(t *fsm.Task, key string) bool {
	return string(t.From) <= key && (len(t.To) == 0 || key < string(t.To))
}

// givenUp finds the task given up that had the key.
func (s *search) givenUp(w work) *fsm.LostRange {
	for i := range w.job.LostRanges {
		l := &w.job.LostRanges[i]
		if l.Task.Kind == fsm.ListTask && s.listedIn(&l.Task) || l.Task.Kind != fsm.ListTask && spans(&l.Task, s.key) {
			return l
		}
	}
	return nil
}

// hold describes the task that has the key.
func (s *search) hold(w work, t *fsm.Task) {
	s.trace.Task = api.NewKeyTask(t, s.key)
	for _, other := range w.tasks {
		if p := other.Parts; p != nil && other.Leased() && string(p.Key) == s.key && p.Owner == t.ID {
			s.trace.Task.Helpers = append(s.trace.Task.Helpers, other.Node)
		}
	}
}

// inHand words what becomes of a key that a task has.
func (s *search) inHand(w work, t *fsm.Task, failed bool) string {
	var b strings.Builder
	switch {
	case failed:
		b.WriteString("it failed, and is to be tried again")
	case t.Kind == fsm.ScanTask:
		b.WriteString("the listing has not come to it yet")
	case t.Kind == fsm.RelistTask:
		b.WriteString("its range is listed once more, for the listings of it disagree")
	default:
		b.WriteString("it is not settled yet")
	}
	fmt.Fprintf(&b, ": task %d has it, ", t.ID)
	switch {
	case t.Leased():
		fmt.Fprintf(&b, "and node %s works on that", shortID(t.Node))
	case w.job.State == fsm.Paused:
		b.WriteString("and waits until the job goes on")
	default:
		b.WriteString("and waits for a node")
	}
	if s.trace.Task.Upload != nil {
		b.WriteString("; its upload is open")
	}
	return b.String()
}
