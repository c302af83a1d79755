package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/scheduler"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	exampleRecords  = 2000 // failed keys that are looked through for examples
	examplePatience = 3 * time.Second
	mostClasses     = 10 // of failures that a message shows
	testMail        = 20 * time.Second
	directMail      = time.Minute
	maxProblems     = 500
)

// rateHistory is how fast jobs went.
type rateHistory interface {
	// chart gives rates of a job's pass, evenly spaced, the oldest first; none where nothing is known.
	chart(ctx context.Context, job string) []notify.Rate
}

// teller puts notices into words and sends them to where the cluster is set to.
type teller struct {
	noticePlans
	spool transfer.Spool // nil: messages have no examples of failures
	rates rateHistory    // nil: messages have no charts

	problemsMu sync.Mutex               // also of directly
	problems   map[string]noticeProblem // of receivers that could not be told last, by name

	directly map[string]string // what receivers were told last without the outbox
}

// noticeProblem is why a receiver could not be told.
type noticeProblem struct {
	text string
	at   time.Time
}

// newTeller makes this node's.
func (n *node) newTeller(sealer api.Sealer) *teller {
	return &teller{
		noticePlans: noticePlans{machine: n.machine, sealer: sealer, node: n.dir.NodeID, now: time.Now},
		problems:    map[string]noticeProblem{}, directly: map[string]string{},
	}
}

// Receivers implements scheduler.Teller. Those that a job names are told of everything that concerns it.
func (t *teller) Receivers(n *fsm.Notice) []string {
	p := t.plan()
	var names []string
	if notify.SeverityOf(notify.Kind(n.Kind)) >= p.severity {
		names = p.receivers()
	}
	if n.Job == "" || p.mailer == nil {
		return names
	}
	if job := t.job(n); job != nil {
		if spec, err := decodeSpec(job); err == nil {
			for _, a := range spec.Notify.Mail {
				if name := api.MailReceiver + a; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// Window implements scheduler.Teller.
func (t *teller) Window(n *fsm.Notice) time.Duration {
	if notify.SeverityOf(notify.Kind(n.Kind)) >= notify.Critical {
		return 0
	}
	return t.plan().digest
}

// Tell implements scheduler.Teller. What the settings are to blame for is kept, and told once they are right.
func (t *teller) Tell(ctx context.Context, receiver string, notices []*fsm.Notice) error {
	all := make([]notify.Notice, len(notices))
	for i, n := range notices {
		all[i] = t.notice(ctx, n)
	}
	err := t.send(ctx, t.plan(), receiver, all)
	t.note(receiver, err)
	var mail *notify.DeliveryError
	var hook *notify.HookError
	switch {
	case errors.As(err, &mail) && !mail.Temporary && !mail.Setup, errors.As(err, &hook) && !hook.Temporary && !hook.Setup:
		return fmt.Errorf("%w: %w", scheduler.ErrUndeliverable, err)
	}
	return err
}

// send puts notices into words, and these on their way.
func (t *teller) send(ctx context.Context, p *noticePlan, receiver string, notices []notify.Notice) error {
	words, err := notify.NewRenderer(t.cluster(), p.language)
	if err != nil {
		return err
	}
	m, err := words.Render(notices)
	if err != nil {
		return fmt.Errorf("%w: %w", scheduler.ErrUndeliverable, err)
	}
	if name, ok := strings.CutPrefix(receiver, api.WebhookReceiver); ok {
		h := p.hooks[name]
		switch {
		case h == nil:
			return fmt.Errorf("there is no webhook %s", name)
		case h.err != nil:
			return h.err
		}
		return h.hook.Send(ctx, m)
	}
	if p.mailErr != nil {
		return p.mailErr
	}
	return p.mailer.Send(ctx, m, strings.TrimPrefix(receiver, api.MailReceiver))
}

// cluster is who tells.
func (t *teller) cluster() notify.Cluster {
	name := "brigade"
	t.machine.Read(func(s *fsm.State) {
		if id := s.ClusterID(); len(id) >= 8 {
			name += "-" + id[:8]
		}
	})
	return notify.Cluster{Name: name}
}

// job is the one that a notice is about, nil if it is gone.
func (t *teller) job(n *fsm.Notice) (job *fsm.Job) {
	t.machine.Read(func(s *fsm.State) { job = s.Job(n.Job) })
	if job == nil || !bytes.Equal(job.Nonce, n.Nonce) {
		return nil
	}
	return job
}

// notice adds what is known of the job to what the outbox holds.
func (t *teller) notice(ctx context.Context, n *fsm.Notice) notify.Notice {
	out := notify.Notice{ID: n.ID, Kind: notify.Kind(n.Kind), At: time.Unix(0, n.At), Node: n.Node, Reason: n.Reason}
	if n.Job == "" {
		return out
	}
	c := n.Counts
	out.Job = &notify.Job{
		ID: n.Job, State: string(n.State), Pass: n.Pass, BytesFound: c.BytesFound, BytesCopied: c.BytesCopied,
		Objects: notify.Counts{
			Listed: c.Listed, Found: c.Found(), Copied: c.Copied, Skipped: c.Skipped, Filtered: c.Filtered, Vanished: c.Vanished,
			Changed: c.Changed, Failed: c.Failed, Verified: c.Verified,
		},
	}
	job := t.job(n)
	if job == nil {
		return out
	}
	out.Job.Type = job.Type
	if spec, err := decodeSpec(job); err == nil {
		out.Job.Source = spec.Source.URL
		if spec.Destination != nil {
			out.Job.Destination = spec.Destination.URL
		}
	}
	if job.Pass != n.Pass || job.Started == 0 {
		return out
	}
	out.Job.Started = time.Unix(0, job.Started)
	if job.Finished != 0 && n.State != fsm.Running && n.State != fsm.Paused {
		out.Job.Ended = time.Unix(0, job.Finished)
	}
	out.Job.Failures = t.failures(ctx, job)
	if t.rates != nil {
		out.Job.Rates = t.rates.chart(ctx, job.ID)
	}
	return out
}

// failures are a job's failed objects by class, the most frequent first, with an example of each where one is soon found.
func (t *teller) failures(ctx context.Context, job *fsm.Job) (all []notify.Failures) {
	byClass := map[string]int{}
	for class, count := range job.Classes {
		if count > 0 {
			all = append(all, notify.Failures{Class: class, Count: count})
		}
	}
	slices.SortFunc(all, func(a, b notify.Failures) int {
		if a.Count != b.Count {
			return int(max(min(b.Count-a.Count, 1), -1))
		}
		return strings.Compare(a.Class, b.Class)
	})
	all = all[:min(len(all), mostClasses)]
	for i := range all {
		byClass[all[i].Class] = i
	}
	if len(all) == 0 || t.spool == nil {
		return all
	}
	ctx, cancel := context.WithTimeout(ctx, examplePatience)
	defer cancel()
	seen, found := 0, 0
	_ = records(ctx, t.spool, job.Failed, func(r *transfer.Record) error { // a message without examples is better than none
		if i, ok := byClass[r.Class]; ok && all[i].Key == "" {
			all[i].Key, all[i].Cause = r.Key, r.Reason
			found++
		}
		if seen++; seen >= exampleRecords || found == len(all) {
			return errEnough
		}
		return nil
	})
	return all
}

// note keeps why a receiver could not be told last.
func (t *teller) note(receiver string, err error) {
	t.problemsMu.Lock()
	defer t.problemsMu.Unlock()
	if err == nil {
		delete(t.problems, receiver)
		return
	}
	if len(t.problems) >= maxProblems {
		clear(t.problems) // addresses of jobs that are long gone; those that are used come again
	}
	t.problems[receiver] = noticeProblem{oneLine(err.Error()), t.now()}
}

// direct tells the cluster's receivers at once, without the outbox. Those that took it are not told again.
func (t *teller) direct(ctx context.Context, n notify.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, directMail)
	defer cancel()
	p := t.plan()
	if notify.SeverityOf(n.Kind) < p.severity {
		return nil
	}
	id := fmt.Sprint(n.Kind, n.At.UnixNano())
	var errs []error
	var telling sync.WaitGroup
	left := p.receivers()
	t.problemsMu.Lock()
	left = slices.DeleteFunc(left, func(name string) bool { return t.directly[name] == id })
	t.problemsMu.Unlock()
	for _, name := range left {
		telling.Go(func() {
			err := t.send(ctx, p, name, []notify.Notice{n})
			t.note(name, err)
			t.problemsMu.Lock()
			defer t.problemsMu.Unlock()
			if err == nil {
				t.directly[name] = id
			}
			errs = append(errs, err)
		})
	}
	telling.Wait()
	return errors.Join(errs...)
}

// notices shows the teller to the API.
type notices struct{ *teller }

// Receivers implements api.Notices.
func (t notices) Receivers() (all []api.NoticeReceiver) {
	p := t.plan()
	names := p.receivers()
	if p.mailer == nil && len(p.to) > 0 {
		for _, a := range p.to {
			names = append(names, api.MailReceiver+a)
		}
	}
	cluster := slices.Clone(names)
	t.problemsMu.Lock()
	defer t.problemsMu.Unlock()
	for name := range t.problems {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		r := api.NoticeReceiver{Name: name, Cluster: slices.Contains(cluster, name)}
		if problem, ok := t.problems[name]; ok {
			r.Problem, r.ProblemAt = problem.text, &problem.at
		} else if strings.HasPrefix(name, api.MailReceiver) && p.mailErr != nil {
			r.Problem = p.mailErr.Error()
		} else if h := p.hooks[strings.TrimPrefix(name, api.WebhookReceiver)]; h != nil && h.err != nil {
			r.Problem = h.err.Error()
		}
		all = append(all, r)
	}
	return all
}

// Test implements api.Notices.
func (t notices) Test(ctx context.Context, receivers []string) []api.NoticeTested {
	p := t.plan()
	ctx, cancel := context.WithTimeout(ctx, testMail)
	defer cancel()
	results := make([]api.NoticeTested, len(receivers))
	var testing sync.WaitGroup
	for i, name := range receivers {
		testing.Go(func() {
			err := t.send(ctx, p, name, []notify.Notice{{Kind: notify.Test, At: t.now(), Node: shortID(t.node)}})
			t.note(name, err)
			results[i] = api.NoticeTested{Name: name, OK: err == nil}
			if p.mailer != nil && strings.HasPrefix(name, api.MailReceiver) {
				results[i].Server = p.mailer.String()
			}
			if err != nil {
				results[i].Problem = oneLine(err.Error())
			}
		})
	}
	testing.Wait()
	return results
}
