package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// State is the replicated state as this node has it; *fsm.Machine is one.
type State interface {
	Read(func(*fsm.State))
	// HashAt is the hash of the encoded state and the index that it is of.
	HashAt() (index uint64, hash [32]byte)
	// Changed is closed at the next change.
	Changed() <-chan struct{}
}

// Leader is the scheduler of this node; *scheduler.Leader is one.
type Leader interface {
	// Propose commits a command. Where this node does not lead the error wraps scheduler.ErrNotLeader.
	Propose(ctx context.Context, cmd fsm.Command) (fsm.Result, error)
	// Status is where a job stands, with what running tasks did where this node leads.
	Status(id string) (scheduler.Status, bool)
	// Ready waits until this node leads and has applied all that was committed before.
	Ready(ctx context.Context) error
}

// Jobs knows what is in the descriptions of jobs, which to this package and to the state are opaque.
type Jobs interface {
	// Submission makes the command of a description as it was sent, with its credentials sealed. What is wrong with the
	// description is an InvalidJob.
	Submission(ctx context.Context, description, nonce []byte) (fsm.SubmitJob, error)
	// Edit makes the command that gives a job a description as it was sent. Secrets that it leaves masked are kept.
	Edit(ctx context.Context, job *fsm.Job, description []byte) (Change, error)
	// Description is a job's description in the form in which it is sent, secrets masked.
	Description(job *fsm.Job) (any, error)
	// Preview looks at what adding a description would meet. What is wrong with the description is an InvalidJob.
	Preview(ctx context.Context, description []byte) (*Preview, error)
	Inquiries
	// AbortUploads aborts the multipart uploads that the state records, before it forgets them.
	AbortUploads(ctx context.Context, job *fsm.Job) error
}

// Members are the nodes as this one sees them.
type Members interface {
	// Leader is the ID of the leading node, "" where none is known.
	Leader() string
	// Machines describes all nodes; how busy they are is added from the state.
	Machines(ctx context.Context) []Machine
}

// Forwarder sends a request to the API of the leader, over a connection that both sides trust.
type Forwarder interface {
	Forward(r *http.Request) (*http.Response, error)
}

// Control acts on the process of this node.
type Control interface {
	// Stop begins a graceful stop and returns.
	Stop()
	// Leave takes the node out of the cluster, then stops it.
	Leave(ctx context.Context) error
}

// Config is what a server works with. Everything down to Logger but Forwarder and Keys is required.
type Config struct {
	Node      string // this node's ID
	Token     Token
	State     State
	Leader    Leader
	Jobs      Jobs
	Members   Members
	Control   Control
	Forwarder Forwarder // nil: there are no other nodes
	Keys      Keys      // nil: there is no cluster key
	Spool     Spool     // nil: lists cannot be uploaded
	Notices   Notices   // nil: nobody is told of anything
	Rates     Rates     // nil: nothing is remembered of what was moved
	Logger    *slog.Logger
	// Authority is the hash of the authority that signs for the nodes now, for tokens; zero where the API is on loopback only.
	// nil: always zero.
	Authority func() [32]byte
	Now       func() time.Time // nil: the system's clock
	Sealer    Sealer           // nil: what is secret in an answer is not told again
	Version   string           // of this node
	// Metrics answers GET /metrics; nil: there are none. MetricsOpen: it does so without a token.
	Metrics     http.Handler
	MetricsOpen bool
	Heartbeat   time.Duration // of streams of events, where nothing happens; 0: 15 s
	Patience    time.Duration // with a client of such a stream that does not read; 0: 10 s
}

// Headers of requests and answers.
const (
	ForwardedHeader = "Brigade-Forwarded-By" // ID of the node that passed a request on; it is not passed on again
	IndexHeader     = "Brigade-Index"        // of the log, when the answer was made
	StaleHeader     = "Brigade-Stale"        // "true": the node sees no leader, the state may be old
	KeyHeader       = "Idempotency-Key"      // the request can be sent again, and takes effect once
	ReplayHeader    = "Idempotency-Replayed" // of answers, "true": the request was done before, under its key
	RequestHeader   = "Brigade-Request-Id"   // of answers: the ID that log and history know the request by
	CallerHeader    = "Brigade-Caller"       // between nodes: who asks, as JSON of a Caller
)

const (
	maxBody       = 1<<20 + 64<<10 // bytes: the largest description
	maxHeader     = 32 << 10       // bytes
	writePatience = 4500 * time.Millisecond
	readPatience  = 2 * time.Second // of the leader, before a node answers by itself
	abortPatience = 3 * time.Second
	readyPatience = 500 * time.Millisecond
	localPatience = 20 * time.Second
	leaderPoll    = 50 * time.Millisecond
	followPoll    = 5 * time.Millisecond
)

// Server answers for one node.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	failures *allowances // by address
	probes   *allowances // likewise, of what is open
	calls    *allowances // by token
	currency *currency
	changes  *changes
	waiting  *waiting
	openAPI  func() ([]byte, error)
}

// New returns a server.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), failures: newAllowances(failuresAtOnce, failuresEvery),
		probes: newAllowances(probesAtOnce, probesEvery), calls: newAllowances(callsAtOnce, callsEvery),
		currency: newCurrency(), changes: newChanges(), waiting: newWaiting(),
	}
	if s.cfg.Heartbeat <= 0 {
		s.cfg.Heartbeat = heartbeat
	}
	if s.cfg.Patience <= 0 {
		s.cfg.Patience = streamPatience
	}
	routes := s.routes()
	s.openAPI = sync.OnceValues(func() ([]byte, error) { return openAPI(routes, cfg.Version) })
	for _, r := range routes {
		s.mux.Handle(r.pattern, s.handle(r))
	}
	s.mux.Handle("/", s.answer(s.nothingThere))
	return s
}

// Close ends the requests that wait for changes: a server that is to be shut down would wait for them.
func (s *Server) Close() { s.waiting.close() }

// dispatch gives a request to its route. The mux would redirect from paths such as /v1//jobs, where there is nothing.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if !isClean(r) {
		s.answer(s.nothingThere).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// isClean tells whether a path has no empty part, and no dots that lead elsewhere; escaped ones are part of a name.
func isClean(r *http.Request) bool {
	p := r.URL.EscapedPath()
	return p == path.Clean(p)
}

// nothingThere answers what no route takes: a wrong path, or a wrong method.
func (s *Server) nothingThere(r *http.Request) (*reply, error) {
	var methods []string
	all := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	if !isClean(r) {
		all = nil
	}
	for _, method := range all {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" && pattern != "" {
			methods = append(methods, method)
		}
	}
	shown := clean(r.URL.Path, maxTarget)
	if len(methods) > 0 {
		p := problemf(http.StatusMethodNotAllowed, CodeNoMethod, "method not allowed", "%s takes %s", shown, either(methods))
		p.methods = methods
		return nil, p
	}
	return nil, problemf(http.StatusNotFound, CodeNotFound, "not found", "there is nothing at %s", shown)
}

// HTTPServer returns an HTTP server with bounds on all that a client could take its time with.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute,
	}
}

func (s *Server) now() time.Time {
	if s.cfg.Now != nil {
		return s.cfg.Now()
	}
	return time.Now()
}

// authority is the hash of the authority that tokens are to name.
func (s *Server) authority() [32]byte {
	if s.cfg.Authority == nil {
		return [32]byte{}
	}
	return s.cfg.Authority()
}

// leads tells whether this node is the leader as far as it knows.
func (s *Server) leads() bool { return s.cfg.Members.Leader() == s.cfg.Node }

// freshness says of which state an answer of this node is.
func (s *Server) freshness() Freshness {
	f := Freshness{Stale: s.cfg.Members.Leader() == ""}
	s.cfg.State.Read(func(state *fsm.State) { f.Index = state.Index() })
	return f
}

// job finds a job.
func (s *Server) job(id string) (job *fsm.Job, err error) {
	s.cfg.State.Read(func(state *fsm.State) { job = state.Job(id) })
	if job == nil {
		return nil, problemf(http.StatusNotFound, CodeNoJob, "no such job", "there is no job %q", id)
	}
	return job, nil
}
