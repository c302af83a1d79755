package api

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/scheduler"
)

// bench is one node with a state, a leader of its own and a fake of everything else.
type bench struct {
	t       *testing.T
	machine *fsm.Machine
	token   Token
	server  *Server
	http    *httptest.Server
	client  *Client

	mu      sync.Mutex
	index   uint64
	at      int64
	leader  string // ID of the node that leads
	cannot  error  // what Propose answers instead of committing
	aborted []string
	stopped int
	left    int
	failed  []KeyError
	broken  error // of reading failed keys

	standing  Preview // at the destination of every job
	also      []Machine
	committed func(index uint64, entry []byte) // nil: nobody follows
	unready   error                            // of a leader that has not applied its log
}

const benchNode = "node-1"

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	token, err := LocalToken(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, machine: fsm.NewMachine(), token: token, leader: benchNode}
	cfg := Config{
		Node: benchNode, Token: token, State: b.machine, Leader: b, Jobs: b, Members: members{b}, Control: b,
		Logger: slog.New(slog.DiscardHandler), Now: b.now, Sealer: testSealer(t), Version: "2.0.0", Metrics: http.HandlerFunc(someMetrics),
	}
	for _, f := range change {
		f(&cfg)
	}
	b.server = New(cfg)
	b.http = httptest.NewServer(conform(t, b.server.Handler()))
	t.Cleanup(b.http.Close)
	if b.client, err = NewClient(b.http.URL, token); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// now is the time of the last commit.
func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Unix(0, b.at)
}

// testSealer has a key of its own for each test.
type testAEAD struct{ cipher.AEAD }

func testSealer(t *testing.T) Sealer {
	t.Helper()
	key := sha256.Sum256([]byte(t.Name()))
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		t.Fatal(err)
	}
	return testAEAD{aead}
}

func (a testAEAD) Seal(plain, aad []byte) []byte {
	nonce := make([]byte, a.NonceSize())
	rand.Read(nonce)
	return append(nonce, a.AEAD.Seal(nil, nonce, plain, aad)...)
}

func (a testAEAD) Open(sealed, aad []byte) ([]byte, error) {
	return a.AEAD.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], aad)
}

// Ready is true at once.
func (b *bench) Ready(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unready
}

// Propose commits at once.
func (b *bench) Propose(ctx context.Context, cmd fsm.Command) (fsm.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cannot != nil {
		if errors.Is(b.cannot, context.DeadlineExceeded) {
			<-ctx.Done()
		}
		return fsm.Result{}, b.cannot
	}
	b.at++
	cmd = stampAt(cmd, b.at)
	entry, err := fsm.Encode(cmd)
	if err != nil {
		return fsm.Result{}, err
	}
	b.index++
	if b.committed != nil {
		b.committed(b.index, entry)
	}
	return b.machine.Apply(b.index, entry).(fsm.Result), nil
}

// stampAt writes the time into a command, as the leader does.
func stampAt(cmd fsm.Command, at int64) fsm.Command {
	switch c := cmd.(type) {
	case fsm.RedoJob:
		c.At = at
		return c
	case fsm.RetryJob:
		c.At = at
		return c
	case fsm.PutToken:
		c.At = at
		return c
	case fsm.Recorded:
		c.Event.At = at
		if c.Command != nil {
			c.Command = stampAt(c.Command, at)
		}
		return c
	case fsm.Once:
		c.Recorded = stampAt(c.Recorded, at).(fsm.Recorded)
		return c
	}
	return cmd
}

func (b *bench) Status(id string) (scheduler.Status, bool) {
	var st scheduler.Status
	b.machine.Read(func(s *fsm.State) { st.Job = s.Job(id) })
	if st.Job == nil {
		return st, false
	}
	st.Counts, st.ListingDone = st.Job.Counts, st.Job.Pass > 0 && st.Job.Listing == 0
	return st, true
}

// Submission reads {"id": ...}.
func (b *bench) Submission(_ context.Context, description, nonce []byte) (fsm.SubmitJob, error) {
	var d struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(description, &d); err != nil || d.ID == "" {
		return fsm.SubmitJob{}, InvalidJob(errors.New("job:1:1: id: is missing"))
	}
	return fsm.SubmitJob{ID: d.ID, Nonce: nonce, Kind: "copy", Spec: description}, nil
}

// Edit reads {"id": ..., "live": ..., "rest": ..., "places": ...}; what is not as in the description that the job has changes.
func (b *bench) Edit(_ context.Context, job *fsm.Job, description []byte) (Change, error) {
	var before, now map[string]string
	if err := errors.Join(json.Unmarshal(job.Spec, &before), json.Unmarshal(description, &now)); err != nil {
		return Change{}, InvalidJob(errors.New("job:1:1: the file is not a mapping"))
	}
	c := Change{Command: fsm.EditJob{Job: job.ID, Nonce: job.Nonce, Kind: job.Type, Spec: description}}
	for _, key := range []string{"live", "places", "rest"} {
		if before[key] == now[key] {
			continue
		}
		c.Fields = append(c.Fields, key)
		if key != "live" {
			c.Rest = append(c.Rest, key)
		}
		if key == "places" {
			c.Places = append(c.Places, key)
		}
	}
	return c, nil
}

func (b *bench) Description(job *fsm.Job) (any, error) {
	return map[string]string{"id": job.ID, "secret_key": "***"}, nil
}

// Errors has tokens that are numbers.
func (b *bench) Errors(_ context.Context, _ *fsm.Job, from string, limit int) (*ErrorList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	start, err := strconv.Atoi("0" + from)
	if err != nil {
		return nil, BadToken()
	}
	rest := b.failed[min(start, len(b.failed)):]
	list := &ErrorList{Errors: append([]KeyError{}, rest[:min(limit, len(rest))]...)}
	if len(rest) > limit {
		list.Continue = strconv.Itoa(start + limit)
	}
	return list, b.broken
}

// Records has one record a failed key.
func (b *bench) Records(ctx context.Context, job *fsm.Job, from string, limit int) (*RecordList, error) {
	errs, err := b.Errors(ctx, job, from, limit)
	if err != nil {
		return nil, err
	}
	list := &RecordList{Records: []json.RawMessage{}, Continue: errs.Continue}
	for range errs.Errors {
		list.Records = append(list.Records, json.RawMessage(`{"outcome":"failed"}`))
	}
	return list, nil
}

func (b *bench) Totals(_ context.Context, job *fsm.Job, _ string) (*Totals, error) {
	return &Totals{Job: NewJob(job), Type: job.Type}, b.broken
}

// Trace finds a key on the second page.
func (b *bench) Trace(_ context.Context, job *fsm.Job, key, from string) (*Trace, error) {
	t := &Trace{ObjectKey: NewKey(key), Job: job.ID, State: job.State, Records: []json.RawMessage{json.RawMessage(`{"page":"` + from + `"}`)}}
	if from == "" {
		t.Continue = "2"
	} else {
		t.Standing = Settled
	}
	return t, b.broken
}

// Preview sees what the test put at the destination.
func (b *bench) Preview(ctx context.Context, description []byte) (*Preview, error) {
	cmd, err := b.Submission(ctx, description, testNonce)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.standing
	p.ID = cmd.ID
	return &p, nil
}

func (b *bench) AbortUploads(_ context.Context, job *fsm.Job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aborted = append(b.aborted, job.ID)
	return errors.New("the store is away") // which keeps nothing from going on
}

func (b *bench) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped++
}

func (b *bench) Leave(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left++
	return nil
}

func (b *bench) leads(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leader = id
}

func (b *bench) fails(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cannot = err
}

// members are node-1, which is a bench, and node-2.
type members struct{ b *bench }

func (m members) Leader() string {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	return m.b.leader
}

func (m members) States() map[string]string {
	return map[string]string{benchNode: Alive, "node-2": Dead}
}

func (m members) Machines(context.Context) []Machine {
	own := []Machine{{ID: benchNode, State: Alive, Role: "leader", Slots: 8}, {ID: "node-2", State: Dead, Role: "voter"}}
	return append(own, m.b.also...)
}

// eventually waits for a condition that no channel tells of.
func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(20 * time.Second); !is(); {
		select {
		case <-tick.C:
		case <-over:
			b.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// request sends one request and returns the answer with its body.
func (b *bench) request(method, path, body string, header map[string]string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.http.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token.secret)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), eventMedia) {
		return resp, "" // which does not end
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(data)
}

// must commits commands as if the cluster had gone on by itself.
func (b *bench) must(cmds ...fsm.Command) {
	b.t.Helper()
	for _, cmd := range cmds {
		if r, err := b.Propose(b.t.Context(), cmd); err != nil || r.Err != nil {
			b.t.Fatalf("%#v: %v, %v", cmd, err, r.Err)
		}
	}
}

func (b *bench) job(id string) (job *fsm.Job) {
	b.machine.Read(func(s *fsm.State) { job = s.Job(id) })
	return job
}

var testNonce = []byte("0123456789abcdef")

// submitted has job j pending; running, paused, canceled, failed and succeeded go on from there.
func (b *bench) bring(state fsm.JobState) {
	b.t.Helper()
	b.must(fsm.SubmitJob{ID: "j", Nonce: testNonce, Kind: "copy", Spec: []byte(`{}`), At: 1})
	start := fsm.StartPass{Job: "j", Nonce: testNonce, Pass: 1, At: 2, Clock: 2}
	grant := fsm.AssignTasks{Grants: []fsm.Grant{{Task: 1, Node: benchNode}}}
	switch state {
	case fsm.Running:
		b.must(start, grant)
	case fsm.Paused:
		b.must(start, fsm.PauseJob{Job: "j", Nonce: testNonce, Reason: "r"})
	case fsm.Canceled:
		b.must(start, fsm.CancelJob{Job: "j", Nonce: testNonce})
	case fsm.Succeeded, fsm.Failed:
		b.must(start, grant)
		advance := fsm.AdvanceTask{Task: 1, Epoch: b.index, Done: true, Counts: fsm.Counts{Listed: 3, Copied: 2, Skipped: 1}}
		if state == fsm.Failed {
			advance.Counts = fsm.Counts{Listed: 3, Copied: 2, Failed: 1}
			advance.Failed = &fsm.Segment{Name: []byte(strings.Repeat("x", 32)), Lines: 1}
		}
		b.must(advance, fsm.FinishPass{Job: "j", Nonce: testNonce, Pass: 1, At: 3})
	}
	if got := b.job("j").State; got != state {
		b.t.Fatalf("job is %s, wanted %s", got, state)
	}
}
