package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	spoolPath      = "/spool/"
	copyPatience   = 15 * time.Second // for one attempt to store or fetch at one node
	copyPause      = 250 * time.Millisecond
	copyGiveUp     = time.Minute // of Put, for nodes that are said to be alive and do not answer
	maxSingle      = 100_000     // names remembered as having one copy
	codeNoSegment  = "no_segment"
	codeSpoolFull  = "spool_full"
	codeBadSegment = "bad_segment"
)

// SharedSpool keeps each segment on two nodes, and reads those of others.
type SharedSpool struct {
	local *Spool
	node  *Node
	log   *slog.Logger

	mu     sync.Mutex
	single map[[32]byte]struct{} // stored here only, since nobody else was alive
}

// ShareSpool makes a spool of this node one of the cluster. It is called once.
func (n *Node) ShareSpool(local *Spool) *SharedSpool {
	s := &SharedSpool{local: local, node: n, single: map[[32]byte]struct{}{}}
	if n.net == nil {
		return s
	}
	s.log = n.net.log
	n.Handle("PUT "+spoolPath+"{name}", http.HandlerFunc(s.servePut))
	n.Handle("GET "+spoolPath+"{name}", http.HandlerFunc(s.serveGet)) // HEAD, too
	n.Handle("POST "+havePath, handleJSON(n.net.logWrite, s.serveHave))
	n.net.run(s.copySingles)
	return s
}

// Put stores data on this node, and on a second one where another is alive, durably on both, and returns its name. It
// waits for nodes that gossip takes for alive, a minute at most. Errors are those of Spool.Put; ErrSpoolFull also where
// every other node is full.
func (s *SharedSpool) Put(ctx context.Context, data []byte) ([32]byte, error) {
	name, err := s.local.Put(ctx, data)
	if err != nil || s.node.net == nil {
		return name, err
	}
	if err := s.second(ctx, name, data); err != nil {
		return name, fmt.Errorf("put segment: second copy: %w", err)
	}
	return name, nil
}

// second stores a segment on another node, as long as there is one alive.
func (s *SharedSpool) second(ctx context.Context, name [32]byte, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, copyGiveUp)
	defer cancel()
	for {
		others := s.others(name)
		if len(others) == 0 {
			s.note(name)
			return nil
		}
		err := s.sendAny(ctx, others, name, data)
		if err == nil {
			s.done(name)
			return nil
		}
		if errors.Is(err, ErrSpoolFull) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(copyPause):
		}
	}
}

// sendAny stores a segment on the first of some nodes that takes it. It fails with ErrSpoolFull only if all are full.
func (s *SharedSpool) sendAny(ctx context.Context, to []string, name [32]byte, data []byte) error {
	var all error
	full := 0
	for _, id := range to {
		err := s.send(ctx, id, name, data)
		if err == nil {
			return nil
		}
		var refusal *PeerError
		if errors.As(err, &refusal) && refusal.Code == codeSpoolFull {
			full++
		}
		all = errors.Join(all, err)
	}
	if full == len(to) {
		return fmt.Errorf("%w: on every other node: %w", ErrSpoolFull, all)
	}
	return all
}

func (s *SharedSpool) send(ctx context.Context, nodeID string, name [32]byte, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	_, err := s.node.net.calls.call(ctx, nodeID, http.MethodPut, spoolPath+hex.EncodeToString(name[:]), data)
	return err
}

// Get returns a segment of this node or, where it has none, of another, and keeps it then. Errors wrap ErrNoSegment or
// ErrCorrupt where this node has none and no other gave one.
func (s *SharedSpool) Get(ctx context.Context, name [32]byte) ([]byte, error) {
	data, fetched, err := s.find(ctx, name)
	if fetched {
		if _, err := s.local.Put(ctx, data); err != nil {
			s.log.Debug("a fetched segment is not kept", "error", err) // the caller has it
		}
	}
	return data, err
}

// Peek is Get for a segment that is read once: one of another node is not kept.
func (s *SharedSpool) Peek(ctx context.Context, name [32]byte) ([]byte, error) {
	data, _, err := s.find(ctx, name)
	return data, err
}

// find returns a segment, and tells whether another node gave it.
func (s *SharedSpool) find(ctx context.Context, name [32]byte) (data []byte, fetched bool, err error) {
	data, err = s.local.Get(ctx, name)
	if err == nil || s.node.net == nil || !errors.Is(err, ErrNoSegment) && !errors.Is(err, ErrCorrupt) {
		return data, false, err
	}
	for _, id := range s.others(name) {
		data, fetchErr := s.fetch(ctx, id, name)
		if fetchErr != nil {
			err = errors.Join(err, fetchErr)
			continue
		}
		return data, true, nil
	}
	return nil, false, err
}

func (s *SharedSpool) fetch(ctx context.Context, nodeID string, name [32]byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	data, err := s.node.net.calls.call(ctx, nodeID, http.MethodGet, spoolPath+hex.EncodeToString(name[:]), nil)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != name {
		return nil, fmt.Errorf("get segment of node %s: %w: %x", nodeID, ErrCorrupt, name)
	}
	return data, nil
}

// Replicate makes sure that a segment is on another node besides this one, as after the loss of a node for good. It
// returns ErrNoSegment where no node has it.
func (s *SharedSpool) Replicate(ctx context.Context, name [32]byte) error {
	data, err := s.Get(ctx, name)
	if err != nil || s.node.net == nil {
		return err
	}
	for _, id := range s.others(name) {
		if _, err := s.node.net.calls.call(ctx, id, http.MethodHead, spoolPath+hex.EncodeToString(name[:]), nil); err == nil {
			s.done(name)
			return nil
		}
	}
	return s.second(ctx, name, data)
}

// Singles is the number of segments stored since the start of which there is no second copy yet.
func (s *SharedSpool) Singles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.single)
}

func (s *SharedSpool) note(name [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.single) < maxSingle {
		s.single[name] = struct{}{}
	}
}

func (s *SharedSpool) done(name [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.single, name)
}

// copySingles stores second copies when another node comes.
func (s *SharedSpool) copySingles(ctx context.Context) {
	for {
		changed := s.node.net.table.wait()
		for _, name := range s.names() {
			if ctx.Err() != nil || len(s.others(name)) == 0 {
				break
			}
			err := s.Replicate(ctx, name)
			if errors.Is(err, ErrNoSegment) {
				s.done(name) // it was removed
			} else if err != nil && ctx.Err() == nil {
				s.log.Warn("a segment has one copy only", "segment", hex.EncodeToString(name[:]), "error", err)
				break
			}
		}
		retry := time.NewTimer(s.node.net.conf.Timing.Rejoin)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-retry.C:
		}
		retry.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (s *SharedSpool) names() (names [][32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.single {
		names = append(names, name)
	}
	return names
}

// others are the other nodes alive, in an order that depends on the segment: every node looks for it at the same places,
// and segments spread over all.
func (s *SharedSpool) others(name [32]byte) []string {
	type ranked struct {
		id   string
		rank [32]byte
	}
	var nodes []ranked
	for _, m := range s.node.net.table.alive() {
		if m.Cluster == s.node.net.origin.cluster() && !m.Leaving {
			nodes = append(nodes, ranked{m.ID, sha256.Sum256(append([]byte(m.ID), name[:]...))})
		}
	}
	slices.SortFunc(nodes, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.id
	}
	return ids
}

// Sweep removes the segments of this node that were stored before a time and that keep does not want. A segment is stored
// before the command that names it, so that before lies well back.
func (s *SharedSpool) Sweep(ctx context.Context, before time.Time, keep func(name [32]byte) bool) (removed int, err error) {
	for e, err := range s.local.List(ctx) {
		if err != nil {
			return removed, err
		}
		if !e.ModTime.Before(before) || keep(e.Name) {
			continue
		}
		gone, err := s.local.removeOlder(e.Name, before)
		if err != nil {
			return removed, err
		}
		if gone {
			s.done(e.Name)
			removed++
		}
	}
	return removed, nil
}

func (s *SharedSpool) servePut(w http.ResponseWriter, r *http.Request) {
	name, ok := pathName(r)
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSegment))
	switch {
	case !ok:
		s.refuse(w, http.StatusBadRequest, codeBadSegment, "that is no name of a segment")
	case err != nil:
		s.refuse(w, http.StatusBadRequest, codeBadSegment, err.Error())
	case sha256.Sum256(data) != name:
		s.refuse(w, http.StatusBadRequest, codeBadSegment, ErrCorrupt.Error())
	default:
		switch _, err := s.local.Put(r.Context(), data); {
		case errors.Is(err, ErrSpoolFull):
			s.refuse(w, http.StatusInsufficientStorage, codeSpoolFull, err.Error())
		case err != nil:
			s.refuse(w, http.StatusInternalServerError, "internal", err.Error())
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func (s *SharedSpool) serveGet(w http.ResponseWriter, r *http.Request) {
	name, ok := pathName(r)
	if !ok {
		s.refuse(w, http.StatusBadRequest, codeBadSegment, "that is no name of a segment")
		return
	}
	data, err := s.local.Get(r.Context(), name)
	switch {
	case errors.Is(err, ErrNoSegment):
		s.refuse(w, http.StatusNotFound, codeNoSegment, err.Error())
	case err != nil:
		s.refuse(w, http.StatusInternalServerError, "internal", err.Error())
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		if _, err := w.Write(data); err != nil {
			s.node.net.logWrite(err)
		}
	}
}

func (s *SharedSpool) refuse(w http.ResponseWriter, status int, code, message string) {
	s.node.net.logWrite(WritePeerError(w, status, code, message))
}

func pathName(r *http.Request) (name [32]byte, ok bool) { return parseName(r.PathValue("name")) }
