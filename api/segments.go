package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
)

// Spool takes segments in, on two nodes where there are two.
type Spool interface {
	// Put stores data of at most 4 MiB and returns its name, the SHA-256 of it.
	Put(ctx context.Context, data []byte) ([32]byte, error)
}

const (
	segmentsPattern = "PUT /v1/segments"
	maxSegment      = 4 << 20
)

// Segment is a part of a list, packed.
type Segment []byte

// Stored names a segment that was stored.
type Stored struct {
	Name string `json:"name"` // hexadecimal
}

// bodyLimit is the largest body that a route takes, in bytes.
func (r *route) bodyLimit() int64 {
	if r.pattern == segmentsPattern {
		return maxSegment
	}
	return maxBody
}

// putSegment stores a part of a list that a job is about to name. What no job names within an hour is removed again.
func (s *Server) putSegment(ctx context.Context, in *call) (*reply, error) {
	if s.cfg.Spool == nil {
		return nil, problemf(http.StatusNotFound, CodeNotFound, "not found", "this node keeps no segments")
	}
	if len(in.body) == 0 {
		return nil, problemf(http.StatusBadRequest, CodeBadRequest, "bad request", "the segment is empty")
	}
	name, err := s.cfg.Spool.Put(ctx, in.body)
	if err != nil {
		return nil, err
	}
	return &reply{document: &Stored{Name: hex.EncodeToString(name[:])}}, nil
}

// PutSegment stores a part of a list and returns its name.
func (c *Client) PutSegment(ctx context.Context, data []byte) (name [32]byte, err error) {
	var d Stored
	header := http.Header{"Content-Type": {bytesMedia}}
	if err := c.call(ctx, http.MethodPut, "/v1/segments", header, data, &d); err != nil {
		return name, err
	}
	if n, err := hex.Decode(name[:], []byte(d.Name[:min(len(d.Name), 64)])); err != nil || n != len(name) {
		return name, fmt.Errorf("the node names a segment %q", d.Name)
	}
	return name, nil
}
