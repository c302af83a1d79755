package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/throughput"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	ratesPath     = "/rates"        // of the call between nodes
	ratesName     = "throughput"    // file in the data directory
	ratesTick     = time.Second     // between looks at what was moved
	ratesKept     = time.Minute     // between writings of the file
	ratesPatience = 2 * time.Second // for what another node moved
	maxRatesCall  = 8 << 10         // bytes
	chartPoints   = 240             // of a job's chart at most
)

// rateKeeper remembers what this node moves, by job and endpoint, and asks the other nodes for what they moved.
type rateKeeper struct {
	book    *throughput.Book
	file    string
	log     *slog.Logger
	now     func() time.Time
	machine *fsm.Machine
	// others asks the other nodes. It passes on what they answer, one at a time, and returns those that did not. nil: there are none.
	others func(ctx context.Context, call ratesCall, take func(*ratesAnswer) error) []api.Unheard
	self   string

	mu      sync.Mutex
	traffic map[throughput.Job]*transfer.Traffic
}

// newRateKeeper goes on with what the file in the data directory says.
func newRateKeeper(data, self string, machine *fsm.Machine, log *slog.Logger, now func() time.Time) *rateKeeper {
	k := &rateKeeper{
		book: throughput.NewBook(), file: filepath.Join(data, ratesName), log: log, now: now, machine: machine, self: self,
		traffic: map[throughput.Job]*transfer.Traffic{},
	}
	if err := k.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("past rates are not known any more", "file", k.file, "error", err)
	}
	return k
}

func (k *rateKeeper) load() error {
	f, err := os.Open(k.file)
	if err != nil {
		return fmt.Errorf("open past rates: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, throughput.MaxFile+1))
	if err != nil {
		return fmt.Errorf("read past rates: %w", err)
	}
	return k.book.Decode(data)
}

// save writes the file, unless nothing happened since.
func (k *rateKeeper) save() {
	if !k.book.Changed() {
		return
	}
	data := k.book.Encode()
	err := writeFile(k.file, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		k.log.Warn("past rates not written down", "file", k.file, "error", err)
	}
}

// run counts until ctx ends. Where the disk is full nothing is written down.
func (k *rateKeeper) run(ctx context.Context, full func() bool) {
	tick := time.NewTicker(ratesTick)
	defer tick.Stop()
	saved := k.now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		now, over := k.now(), ctx.Err() != nil
		k.book.Sample(now)
		if (over || now.Sub(saved) >= ratesKept || now.Before(saved)) && !full() {
			k.save()
			saved = now
		}
		if over {
			return
		}
	}
}

// follow returns what a job's transfers are to be counted in: one for all that this process does of it.
func (k *rateKeeper) follow(job *fsm.Job, ends sides) *transfer.Traffic {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := api.RatedJob(job)
	maps.DeleteFunc(k.traffic, func(j throughput.Job, _ *transfer.Traffic) bool { return j != name && !k.book.Follows(j) })
	t := k.traffic[name]
	if t == nil {
		t = &transfer.Traffic{}
		k.traffic[name] = t
	}
	from := throughput.Source{Job: name, Source: ratedEndpoint(ends.source), Destination: ratedEndpoint(ends.destination)}
	from.Totals = func() throughput.Totals {
		return throughput.Totals{
			Written: t.BytesWritten.Load(), Read: t.BytesRead.Load(), ReadBack: t.ReadBack.Load(), Objects: t.Objects.Load(),
		}
	}
	k.book.Follow(k.now(), from)
	return t
}

// ratedEndpoint names what the requests of a side go to: the bucket, and where it is, without the prefix in it.
func ratedEndpoint(s *side) string {
	if s == nil {
		return ""
	}
	at := s.at
	at.Path, at.Options = "", url.Values{}
	for _, name := range []string{"endpoint", "region"} {
		if v := s.at.Options.Get(name); v != "" {
			at.Options.Set(name, v)
		}
	}
	return at.String()
}

// ratesCall asks a node for what it moved: of a job, or of all endpoints where Job is "".
type ratesCall struct {
	Job    string            `json:"job,omitempty"`
	Nonce  []byte            `json:"nonce,omitempty"`
	Window throughput.Window `json:"window"`
	Only   string            `json:"-"` // the node that is asked; "" for all
}

// ratesAnswer is what a node moved.
type ratesAnswer struct {
	Job       []throughput.Counts            `json:"job,omitempty"`
	Endpoints map[string][]throughput.Counts `json:"endpoints,omitempty"`
}

// answer is what this node moved.
func (k *rateKeeper) answer(c ratesCall) (*ratesAnswer, error) {
	if err := c.Window.Check(); err != nil {
		return nil, err
	}
	if c.Job != "" {
		return &ratesAnswer{Job: k.book.Job(throughput.Job{ID: c.Job, Nonce: string(c.Nonce)}, c.Window)}, nil
	}
	return &ratesAnswer{Endpoints: k.book.Endpoints(c.Window)}, nil
}

var errOddRates = errors.New("its answer is not of the time that was asked for")

// check refuses an answer that is not one to the call.
func (a *ratesAnswer) check(c ratesCall) error {
	series := slices.Collect(maps.Values(a.Endpoints))
	if c.Job != "" {
		series = [][]throughput.Counts{a.Job}
	}
	for _, counts := range series {
		if len(counts) != c.Window.Points() || len(a.Endpoints) > throughput.MaxEndpoints {
			return errOddRates
		}
		for _, n := range counts {
			if min(n.Written, n.Read, n.Objects) < 0 {
				return errOddRates
			}
		}
	}
	return nil
}

// JobCounts implements api.Rates.
func (k *rateKeeper) JobCounts(ctx context.Context, job throughput.Job, w throughput.Window) ([]throughput.Counts, []api.Unheard) {
	sum := k.book.Job(job, w)
	call := ratesCall{Job: job.ID, Nonce: []byte(job.Nonce), Window: w}
	return sum, k.ask(ctx, call, func(a *ratesAnswer) { addCounts(sum, a.Job) })
}

// EndpointCounts implements api.Rates. Of more endpoints than one node keeps, those with the most traffic are told.
func (k *rateKeeper) EndpointCounts(ctx context.Context, node string, w throughput.Window) (map[string][]throughput.Counts, []api.Unheard) {
	sums := map[string][]throughput.Counts{}
	if node == "" || node == k.self {
		sums = k.book.Endpoints(w)
	}
	var missing []api.Unheard
	if node != k.self {
		missing = k.ask(ctx, ratesCall{Window: w, Only: node}, func(a *ratesAnswer) {
			for name, counts := range a.Endpoints {
				if sums[name] == nil {
					sums[name] = make([]throughput.Counts, w.Points())
				}
				addCounts(sums[name], counts)
			}
		})
	}
	names := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(cmp.Compare(traffic(sums[b]), traffic(sums[a])), cmp.Compare(a, b))
	})
	for _, name := range names[min(len(names), throughput.MaxEndpoints):] {
		delete(sums, name)
	}
	return sums, missing
}

func addCounts(to, more []throughput.Counts) {
	for i, c := range more {
		to[i] = to[i].Plus(c)
	}
}

func traffic(counts []throughput.Counts) (n int64) {
	for _, c := range counts {
		n += c.Written + c.Read
	}
	return n
}

// ask asks the others, or one of them, and takes what they answer as they were asked.
func (k *rateKeeper) ask(ctx context.Context, c ratesCall, take func(*ratesAnswer)) []api.Unheard {
	if k.others == nil {
		return nil
	}
	missing := k.others(ctx, c, func(a *ratesAnswer) error {
		err := a.check(c)
		if err == nil {
			take(a)
		}
		return err
	})
	slices.SortFunc(missing, func(a, b api.Unheard) int { return cmp.Compare(a.ID, b.ID) })
	return missing
}

// chart returns how fast a job went over its pass, for drawing: the oldest first, evenly spaced; nil where there is no such
// job. What nodes moved that do not answer is left out.
func (k *rateKeeper) chart(ctx context.Context, id string) []notify.Rate {
	var job *fsm.Job
	k.machine.Read(func(s *fsm.State) { job = s.Job(id) })
	if job == nil {
		return nil
	}
	since, until := api.RatedSpan(job, k.now())
	w, err := throughput.Plan(until, since, 0, chartPoints)
	if err != nil {
		return nil
	}
	counts, _ := k.JobCounts(ctx, api.RatedJob(job), w)
	rates := make([]notify.Rate, len(counts))
	for i, c := range counts {
		at := w.From.Add(time.Duration(i) * w.Step)
		seconds := max(time.Second, min(w.Step, until.Sub(at))).Seconds()
		rates[i] = notify.Rate{At: at, BytesPerSecond: float64(c.Written) / seconds, ObjectsPerSecond: float64(c.Objects) / seconds}
	}
	return rates
}

// askRates asks the other nodes for what they moved. Answers are passed on one at a time.
func (m *manyMembers) askRates(ctx context.Context, call ratesCall, take func(*ratesAnswer) error) (missing []api.Unheard) {
	ctx, cancel := context.WithTimeout(ctx, ratesPatience)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, member := range m.member.Members() {
		if member.Self || call.Only != "" && call.Only != member.ID {
			continue
		}
		asking.Go(func() {
			u := api.Unheard{ID: member.ID, State: stateOf(member)}
			var a ratesAnswer
			var err error
			if u.State == api.Alive {
				err = m.member.Call(ctx, member.ID, ratesPath, call, &a)
			}
			mu.Lock()
			defer mu.Unlock()
			if u.State == api.Alive && err == nil {
				err = take(&a)
			}
			var refusal *cluster.PeerError
			switch {
			case u.State != api.Alive:
			case err == nil:
				return
			case errors.Is(err, errOddRates):
				u.Reason = errOddRates.Error()
			case errors.As(err, &refusal):
				u.Reason = "it runs a version that does not remember what it moved"
			default:
				u.State = api.Suspect
				m.log.Debug("node does not say what it moved", "node", member.ID, "error", err)
			}
			missing = append(missing, u)
		})
	}
	asking.Wait()
	return missing
}

// serveRates answers other nodes.
func (m *manyMembers) serveRates(w http.ResponseWriter, r *http.Request) {
	var call ratesCall
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRatesCall)).Decode(&call)
	var a *ratesAnswer
	if err == nil {
		a, err = m.node.rates.answer(call)
	}
	if err != nil {
		if err := cluster.WritePeerError(w, http.StatusBadRequest, "bad_request", err.Error()); err != nil {
			m.log.Debug("answer to a node not sent", "error", err)
		}
		return
	}
	m.answer(w, a)
}
