package api

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// How many requests may wait for changes at a time, and for how long.
const (
	maxWaiting     = 512
	maxWaitingOne  = 64 // of one token
	maxWait        = 60 * time.Second
	initialWait    = 10 * time.Second
	answerPatience = 60 * time.Second // for writing an answer
)

// waiting counts the requests that wait for changes.
type waiting struct {
	closed chan struct{}
	close  func()

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newWaiting() *waiting {
	w := &waiting{closed: make(chan struct{}), of: map[string]int{}}
	w.close = sync.OnceFunc(func() { close(w.closed) })
	return w
}

// enter lets a caller wait, unless too many do. The function returned ends it.
func (wt *waiting) enter(w http.ResponseWriter, c Caller) (leave func(), err error) {
	by := c.Token + " " + c.Name
	wt.mu.Lock()
	defer wt.mu.Unlock()
	if wt.all >= maxWaiting || wt.of[by] >= maxWaitingOne {
		return nil, tooMany(w, "5", "too many requests wait for changes, %d with this token", wt.of[by])
	}
	wt.all++
	wt.of[by]++
	return sync.OnceFunc(func() {
		wt.mu.Lock()
		defer wt.mu.Unlock()
		wt.all--
		if wt.of[by]--; wt.of[by] == 0 {
			delete(wt.of, by)
		}
	}), nil
}

// await holds a request back until what it asks for has changed after the index that it names, or its time is over. Other
// nodes' requests have waited there.
func (s *Server) await(w http.ResponseWriter, in *call) error {
	query := in.URL.Query()
	if !query.Has("index") || fromPeer(in.Context()) {
		return nil
	}
	index, err := number(in, "index", 0, 0, 1<<53)
	if err != nil {
		return err
	}
	patience := initialWait
	if text := query.Get("wait"); text != "" {
		if patience, err = time.ParseDuration(text); err != nil || patience < 0 || patience > maxWait {
			return problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "wait=%q is not a time from 0s to %.0fs", clean(text, maxTarget), maxWait.Seconds())
		}
	}
	leave, err := s.waiting.enter(w, in.caller)
	if err != nil {
		return err
	}
	defer leave()
	unhurried(w, patience+answerPatience)
	ctx, cancel := context.WithTimeout(in.Context(), patience)
	defer cancel()
	s.awaitChange(ctx, in.PathValue("id"), uint64(index))
	return s.still(in)
}

// awaitChange waits until a job, or with "" any, changed after an index.
func (s *Server) awaitChange(ctx context.Context, id string, index uint64) {
	for {
		changed := s.cfg.State.Changed()
		s.changes.look(s.cfg.State, time.Now())
		if s.changes.changed(id, index) || !s.awaitNext(ctx, changed) {
			return
		}
	}
}

// awaitNext waits for a change of the state, and until it is time to look; false means that the wait is over.
func (s *Server) awaitNext(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
	case <-ctx.Done():
		return false
	case <-s.waiting.closed:
		return false
	}
	rest := time.NewTimer(s.changes.rest(time.Now()))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	case <-s.waiting.closed:
	}
	return true
}

// still makes sure that a token is good after a wait: it may have been removed, or have expired.
func (s *Server) still(in *call) error {
	c := in.caller
	return s.authenticate(in.Request, &c)
}

// unhurried gives an answer more time than the server does otherwise.
func unhurried(w http.ResponseWriter, d time.Duration) {
	rc := http.NewResponseController(w)
	// Where the connection cannot be told, it has no limits either.
	_ = rc.SetReadDeadline(time.Time{}) // else the server takes the client for gone
	_ = rc.SetWriteDeadline(time.Now().Add(d))
}
