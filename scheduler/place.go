package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// places are what both sides of a job are; nil where nothing is recorded.
type places struct {
	from        *fsm.Places // what they were read from
	pass        uint64
	source      *store.Identity
	destination *store.Identity
}

// readPlaces reads what the state has of a job's places.
func readPlaces(p *fsm.Places) (places, error) {
	out := places{from: p}
	if p == nil {
		return out, nil
	}
	out.pass = p.Pass
	var err error
	if out.source, err = readPlace(p.Source); err != nil {
		return places{}, err
	}
	out.destination, err = readPlace(p.Destination)
	return out, err
}

func readPlace(text json.RawMessage) (*store.Identity, error) {
	if len(text) == 0 {
		return nil, nil
	}
	id := new(store.Identity)
	if err := json.Unmarshal(text, id); err != nil {
		return nil, fmt.Errorf("read place: %w", err)
	}
	return id, nil
}

// fixPlaces makes the command that records what a node reported.
func fixPlaces(job *fsm.Job, key JobKey, p *Preflight) (fsm.Command, error) {
	cmd := fsm.FixPlaces{Job: job.ID, Nonce: job.Nonce, Pass: key.Pass}
	for _, side := range []struct {
		from *store.Identity
		to   *json.RawMessage
	}{{p.Source, &cmd.Source}, {p.Destination, &cmd.Destination}} {
		if side.from == nil {
			continue
		}
		text, err := json.Marshal(side.from)
		if err != nil {
			return nil, fmt.Errorf("encode place: %w", err)
		}
		*side.to = text
	}
	return cmd, nil
}

// differs names the first side that is not what is recorded, "" if both are: the same directory in the pass that the
// record was made for, in another one any directory of the same mount, for users may replace a directory between passes.
func (p places) differs(key JobKey, found *Preflight) (side, how string) {
	same := (*store.Identity).SameMount
	if p.pass == key.Pass {
		same = (*store.Identity).Same
	}
	for _, s := range []struct {
		name       string
		want, have *store.Identity
	}{{"source", p.source, found.Source}, {"destination", p.destination, found.Destination}} {
		if s.want == nil || s.have == nil || same(s.want, s.have) {
			continue
		}
		how = fmt.Sprintf("%s: the node has %s, but the job works with %s", s.name, s.have, s.want)
		if s.have.Machine != s.want.Machine && s.have.Type == s.want.Type {
			how += " of another machine"
		}
		return s.name, how
	}
	return "", ""
}

// rightPlace tells whether what a node has open is what its task is about. The leader looks at the same, but at what the
// node last told it.
func rightPlace(job *fsm.Job, found *Preflight) bool {
	recorded, err := readPlaces(job.Places)
	if err != nil {
		return false
	}
	side, _ := recorded.differs(keyOf(job, job.Pass), found)
	return side == ""
}

// openHere opens a job, or opens it anew where a side's path leads elsewhere than when it was opened. Tasks under way keep
// what they have open.
func (w *Worker) openHere(ctx context.Context, key JobKey, job *fsm.Job) (*openJob, error) {
	opened, err := w.jobs.acquire(ctx, key, job)
	if err != nil {
		return nil, err
	}
	moved := opened.moved(ctx)
	if moved == nil {
		return opened, nil
	}
	w.cfg.Logger.Warn("a side of the job is not what was opened, opening both anew", "job", job.ID, "reason", moved)
	w.jobs.outdate(key, opened)
	w.jobs.release(opened)
	return w.jobs.acquire(ctx, key, job)
}

// moved tells why a side is not what was opened, nil if both are.
func (e *openJob) moved(ctx context.Context) error {
	var sides []any
	if e.job.Source != nil {
		sides = append(sides, e.job.Source)
	}
	if e.job.Destination != nil {
		sides = append(sides, e.job.Destination)
	}
	for _, side := range sides {
		if s, ok := side.(store.Identifier); ok {
			if err := s.SamePlace(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// outdate closes a job as soon as nobody uses it, and lets the next user open it anew.
func (o *openJobs) outdate(key JobKey, e *openJob) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.entries[key] == e {
		o.drop(key, e)
	}
}

// report is what the node says of a job that it opened by a description of such a revision.
func (e *openJob) report(key JobKey, revision uint64) Preflight {
	p := e.preflight
	p.Job, p.Revision, p.OK = key, revision, true
	return p
}
