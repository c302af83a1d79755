package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

// SharedUpload is what the leader tells the owner of an upload about the parts that others send.
type SharedUpload struct {
	Task   uint64      `json:"t"`
	Epoch  uint64      `json:"e"`
	Key    []byte      `json:"k"`
	ID     string      `json:"id"`
	Shares []ShareView `json:"s"`
}

// ShareView is a share, and whether its task waits to be granted.
type ShareView struct {
	fsm.Share
	Waits bool `json:"w,omitempty"`
}

// shareMark is what makes news of a shared upload: the numbers of shares, of those that ended and of those that wait.
type shareMark struct {
	task                uint64
	shares, ended, wait int
}

// sharedBy lists the uploads of a node's tasks that others send parts of.
func sharedBy(state *fsm.State, s *session) (out []SharedUpload) {
	for t := range state.LeasedBy(s.node) {
		for _, u := range t.Uploads {
			if len(u.Shares) > 0 {
				out = append(out, sharedUpload(state, t, u))
			}
		}
	}
	return out
}

func sharedUpload(state *fsm.State, t *fsm.Task, u *fsm.Upload) SharedUpload {
	su := SharedUpload{Task: t.ID, Epoch: t.Epoch, Key: u.Key, ID: u.ID}
	for _, sh := range u.Shares {
		part := state.Task(sh.Task)
		su.Shares = append(su.Shares, ShareView{Share: sh, Waits: part != nil && !part.Leased()})
	}
	return su
}

// markShares sums up what is told.
func markShares(shared []SharedUpload) (marks []shareMark) {
	for i := range shared {
		m := shareMark{task: shared[i].Task, shares: len(shared[i].Shares)}
		for _, sh := range shared[i].Shares {
			if sh.Result != nil {
				m.ended++
			}
			if sh.Waits {
				m.wait++
			}
		}
		marks = append(marks, m)
	}
	return marks
}

// sharesChanged tells whether the owner has something to learn that it should not wait for.
func (s *session) sharesChanged(shared []SharedUpload) bool {
	return !slices.Equal(s.sharesTold, markShares(shared))
}

// helped tells whether a task that does nothing itself waits for others that do. The caller holds mu.
func (r *reign) helped(state *fsm.State, t *fsm.Task, now time.Duration) bool {
	for _, u := range t.Uploads {
		for _, sh := range u.Shares {
			part := state.Task(sh.Task)
			if part == nil || !part.Leased() || r.sessions[part.Node] == nil {
				continue
			}
			m := r.sessions[part.Node].marks[holdingOf(part)]
			if m == nil || now-m.moved < r.taskStall(state) {
				return true
			}
		}
	}
	return false
}

// sharedUploads is what a worker knows of the parts that others send for a task.
type sharedUploads struct {
	mu    sync.Mutex
	heard map[uploadName][]transfer.Share
	news  chan struct{} // closed when more is heard
}

type uploadName struct{ key, id string }

// start begins with what the grant brought along.
func (s *sharedUploads) start(t *fsm.Task) {
	s.heard, s.news = map[uploadName][]transfer.Share{}, make(chan struct{})
	for _, u := range t.Uploads {
		if up := uploadOf(u); len(up.Shares) > 0 {
			s.heard[uploadName{up.Key, up.ID}] = up.Shares
		}
	}
}

// hear replaces what is known of one upload.
func (s *sharedUploads) hear(u *SharedUpload) {
	shares := make([]transfer.Share, len(u.Shares))
	for i, sh := range u.Shares {
		shares[i] = shareOf(sh)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard[uploadName{string(u.Key), u.ID}] = shares
	close(s.news)
	s.news = make(chan struct{})
}

// Shares implements transfer.SharingLedger.
func (t *taskRun) Shares(key, uploadID string) ([]transfer.Share, <-chan struct{}) {
	s := &t.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[uploadName{key, uploadID}], s.news
}

// ShareParts implements transfer.SharingLedger.
func (t *taskRun) ShareParts(ctx context.Context, key string, size int64, first, end int) error {
	if err := t.commitShare(ctx, key, size, first, end, false); err != nil {
		return fmt.Errorf("share parts %d to %d of %q: %w", first+1, end, key, err)
	}
	return nil
}

// ReclaimParts implements transfer.SharingLedger.
func (t *taskRun) ReclaimParts(ctx context.Context, key string, size int64, first, end int) error {
	if err := t.commitShare(ctx, key, size, first, end, true); err != nil {
		return fmt.Errorf("take back parts %d to %d of %q: %w", first+1, end, key, err)
	}
	return nil
}

func (t *taskRun) commitShare(ctx context.Context, key string, size int64, first, end int, back bool) error {
	err := t.commit(ctx, fsm.ShareParts{
		Task: t.held.Task, Epoch: t.held.Epoch, Key: []byte(key), First: int64(first), End: int64(end), Size: size, Back: back,
	})
	if errors.Is(err, fsm.ErrBadRange) || errors.Is(err, fsm.ErrInvalid) || errors.Is(err, fsm.ErrNotPending) || errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w: %w", transfer.ErrSplitRefused, err)
	}
	return err
}

func shareOf(sh ShareView) transfer.Share {
	out := transfer.Share{First: int(sh.First), End: int(sh.End), Waits: sh.Waits}
	if r := sh.Result; r != nil {
		out.Result = &transfer.PartsResult{
			Tags: r.Tags, CRC64: r.CRC64, CRC32C: r.CRC32C, CRC64ECMA: r.CRC64ECMA, Shown: r.Shown, Class: r.Class, Reason: r.Reason,
		}
	}
	return out
}

func resultFrom(r *transfer.PartsResult) *fsm.PartsResult {
	if r == nil {
		return nil
	}
	out := &fsm.PartsResult{Tags: r.Tags, CRC64: r.CRC64, CRC32C: r.CRC32C, CRC64ECMA: r.CRC64ECMA, Shown: r.Shown, Class: r.Class}
	if r.Reason != "" {
		out.Reason = oneLine(r.Reason)
	}
	return out
}
