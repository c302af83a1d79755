package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/throughput"
)

const (
	maxEndpointPoints = 400 // of each endpoint's series
	recentRates       = time.Hour
	settleRates       = 2 * time.Second // after the end of a job, when the last of what it moved is counted
)

// Rates are what nodes remember of what they moved.
type Rates interface {
	// JobCounts adds up what all nodes moved of a job in the steps of a window. Nodes that do not answer are named.
	JobCounts(ctx context.Context, job throughput.Job, w throughput.Window) ([]throughput.Counts, []Unheard)
	// EndpointCounts likewise, by endpoint, of one node or, where node is "", of all.
	EndpointCounts(ctx context.Context, node string, w throughput.Window) (map[string][]throughput.Counts, []Unheard)
}

// JobRates is how fast a job went, over all nodes, the oldest step first.
type JobRates struct {
	Job         string      `json:"job"`
	Since       time.Time   `json:"since"` // later than asked for where no more is kept
	Until       time.Time   `json:"until"`
	StepSeconds int64       `json:"step_seconds"`
	Rates       []RatePoint `json:"rates"`
	Missing     []Unheard   `json:"missing,omitempty"` // what these nodes moved is left out
	Freshness
}

// RatePoint is one step: the rates times its seconds are what passed.
type RatePoint struct {
	At                 time.Time `json:"at"`                    // when the step began
	Seconds            float64   `json:"seconds"`               // that it took; fewer than a step where it is not over
	BytesPerSecond     float64   `json:"bytes_per_second"`      // to the destination; attempts that failed count too
	ReadBytesPerSecond float64   `json:"read_bytes_per_second"` // from the source, and from the destination to verify
	ObjectsPerSecond   float64   `json:"objects_per_second"`    // settled, whatever became of them
}

// EndpointRates is how fast endpoints gave and took, the oldest step first.
type EndpointRates struct {
	Since       time.Time        `json:"since"` // later than asked for where no more is kept
	Until       time.Time        `json:"until"`
	StepSeconds int64            `json:"step_seconds"`
	Endpoints   []EndpointSeries `json:"endpoints"` // in order of their names; those without traffic are left out
	Missing     []Unheard        `json:"missing,omitempty"`
	Freshness
}

// EndpointSeries are the rates of one endpoint: bytes_per_second is what it was sent, read_bytes_per_second what it gave.
type EndpointSeries struct {
	Endpoint string      `json:"endpoint"`
	Rates    []RatePoint `json:"rates"`
}

// Unheard is a node that did not tell what it moved.
type Unheard struct {
	ID     string `json:"id"`
	State  string `json:"state"` // alive, suspect, dead, left
	Reason string `json:"reason,omitempty"`
}

func (s *Server) showJobRates(ctx context.Context, in *call) (*reply, error) {
	job, err := s.job(in.PathValue("id"))
	if err != nil {
		return nil, err
	}
	since, now := RatedSpan(job, s.now())
	w, err := s.window(in, now, since, throughput.MaxPoints)
	if err != nil {
		return nil, err
	}
	d := &JobRates{Job: job.ID, Since: w.From, Until: w.Until, StepSeconds: int64(w.Step / time.Second)}
	counts := make([]throughput.Counts, w.Points())
	if s.cfg.Rates != nil {
		counts, d.Missing = s.cfg.Rates.JobCounts(ctx, RatedJob(job), w)
	}
	d.Rates = ratePoints(counts, w, now)
	return &reply{document: d}, nil
}

func (s *Server) showRates(ctx context.Context, in *call) (*reply, error) {
	now := s.now()
	w, err := s.window(in, now, now.Add(-recentRates), maxEndpointPoints)
	if err != nil {
		return nil, err
	}
	node := in.URL.Query().Get("node")
	if node != "" && !slices.ContainsFunc(s.cfg.Members.Machines(ctx), func(m Machine) bool { return m.ID == node }) {
		return nil, problemf(http.StatusNotFound, CodeNotFound, "no such node", "there is no node %q", clean(node, maxTarget))
	}
	d := &EndpointRates{Since: w.From, Until: w.Until, StepSeconds: int64(w.Step / time.Second), Endpoints: []EndpointSeries{}}
	var counts map[string][]throughput.Counts
	if s.cfg.Rates != nil {
		counts, d.Missing = s.cfg.Rates.EndpointCounts(ctx, node, w)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		d.Endpoints = append(d.Endpoints, EndpointSeries{name, ratePoints(counts[name], w, now)})
	}
	return &reply{document: d}, nil
}

// RatedJob is the name that a job's rates go by.
func RatedJob(job *fsm.Job) throughput.Job {
	return throughput.Job{ID: job.ID, Nonce: string(job.Nonce)}
}

// RatedSpan is the time that a job's rates are of: its pass, or the last hour of one that has not begun.
func RatedSpan(job *fsm.Job, now time.Time) (since, until time.Time) {
	since = now.Add(-recentRates)
	if job.Started != 0 {
		since = time.Unix(0, job.Started)
	}
	if over := time.Unix(0, job.Finished).Add(settleRates); job.Finished != 0 && over.Before(now) {
		now = over
	}
	return since, now
}

// window reads since (a time, or how long ago) and step.
func (s *Server) window(in *call, now, since time.Time, most int) (w throughput.Window, err error) {
	bad := func(format string, args ...any) (throughput.Window, error) {
		return w, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", format, args...)
	}
	query := in.URL.Query()
	if text := query.Get("since"); text != "" {
		ago, ofDuration := time.ParseDuration(text)
		at, ofTime := time.Parse(time.RFC3339, text)
		switch {
		case ofTime == nil && at.Unix() > 0:
			since = at
		case ofDuration == nil && ago >= 0:
			since = now.Add(-ago)
		default:
			return bad("since=%q is neither a time as 2006-01-02T15:04:05Z nor how long ago, as 90m", clean(text, maxTarget))
		}
	}
	var step time.Duration
	if text := query.Get("step"); text != "" {
		if step, err = time.ParseDuration(text); err != nil || step <= 0 {
			return bad("step=%q is not a duration such as 10s, 1m, 10m", clean(text, maxTarget))
		}
	}
	w, err = throughput.Plan(now, since, step, most)
	var wrong *throughput.StepError
	if errors.As(err, &wrong) {
		return bad("%s; without step the finest one that there is will do", wrong)
	}
	return w, err
}

// ratePoints makes rates of counts. The step that now is in is not over.
func ratePoints(counts []throughput.Counts, w throughput.Window, now time.Time) []RatePoint {
	points := make([]RatePoint, len(counts))
	for i, c := range counts {
		at := w.From.Add(time.Duration(i) * w.Step)
		seconds := max(1, min(w.Step, now.Sub(at)).Seconds())
		points[i] = RatePoint{at, seconds, float64(c.Written) / seconds, float64(c.Read) / seconds, float64(c.Objects) / seconds}
	}
	return points
}

// JobRates returns how fast a job went. A zero since is the start of its pass, a zero step the finest that there is.
func (c *Client) JobRates(ctx context.Context, id string, since time.Time, step time.Duration) (*JobRates, error) {
	var d JobRates
	return &d, c.call(ctx, http.MethodGet, jobPath(id)+"/rates?"+rateQuery(since, step).Encode(), nil, nil, &d)
}

// Rates returns how fast endpoints gave and took, on one node or, where node is "", on all. A zero since is an hour ago.
func (c *Client) Rates(ctx context.Context, node string, since time.Time, step time.Duration) (*EndpointRates, error) {
	query := rateQuery(since, step)
	if node != "" {
		query.Set("node", node)
	}
	var d EndpointRates
	return &d, c.call(ctx, http.MethodGet, "/v1/rates?"+query.Encode(), nil, nil, &d)
}

func rateQuery(since time.Time, step time.Duration) url.Values {
	query := url.Values{}
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339))
	}
	if step > 0 {
		query.Set("step", step.String())
	}
	return query
}
