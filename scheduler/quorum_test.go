package scheduler

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/fsm"
)

// plainLog hides that a log can verify its leadership.
type plainLog struct{ Log }

// clusterLog has the methods of a cluster's node, and no more than those: Verify is found by its signature.
type clusterLog struct {
	Log
	verified atomic.Int64
	err      error
}

func (l *clusterLog) Verify(context.Context) error {
	l.verified.Add(1)
	return l.err
}

// TestVerifiedLog: an answer that no commit proves is proved by the log's Verify, once; a commit needs no further proof;
// a log that cannot verify is taken at its word.
func TestVerifiedLog(t *testing.T) {
	for name, test := range map[string]struct {
		plain, command bool
		err            error
		want           int64
	}{
		"idle poll":              {want: 1},
		"idle poll, no quorum":   {want: 1, err: errWire},
		"commit":                 {command: true},
		"commit, no quorum":      {command: true, err: errWire},
		"log that cannot verify": {plain: true, err: errWire},
	} {
		t.Run(name, func(t *testing.T) {
			log := &clusterLog{err: test.err}
			bubble(t, func(t *testing.T, r *rig) {
				req := r.puppet("n", 1).request()
				if test.command {
					req.Commands = encode(t, fsm.ReleaseTasks{})
				}
				_, err := r.leader.Sync(t.Context(), req)
				if refused := test.want > 0 && test.err != nil; errors.Is(err, ErrNotLeader) != refused {
					t.Errorf("answered %v", err)
				}
				if got := log.verified.Load(); got != test.want {
					t.Errorf("verified %d times, want %d", got, test.want)
				}
			}, func(c *LeaderConfig) {
				log.Log = c.Log
				c.Log = log
				if test.plain {
					c.Log = plainLog{log}
				}
			})
		})
	}
}
