package api

import (
	"context"
	"encoding/hex"
	"net/http"
)

// StateHash is the replicated state of the node that answers in one value, as GET /v1/state answers. Nodes at equal index
// have equal hashes; where they do not, one of them went wrong.
type StateHash struct {
	Index  uint64 `json:"index"`  // of the last log entry that is in the state
	SHA256 string `json:"sha256"` // of the encoded state, in hex
}

// hashState encodes the whole state, which takes a while where much is outstanding: it is asked for on its own.
func (s *Server) hashState(context.Context, *call) (*reply, error) {
	index, hash := s.cfg.State.HashAt()
	return &reply{document: &StateHash{Index: index, SHA256: hex.EncodeToString(hash[:])}}, nil
}

// StateHash returns the hash of the node's own state and the index that it is of. It is never passed on to the leader.
func (c *Client) StateHash(ctx context.Context) (*StateHash, error) {
	var d StateHash
	return &d, c.call(ctx, http.MethodGet, "/v1/state", nil, nil, &d)
}
