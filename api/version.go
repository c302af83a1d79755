package api

import "net/http"

// VersionHeader is the version of who sends it: clients say theirs, and nodes say theirs to those who showed a token.
const VersionHeader = "Brigade-Version"

// nameVersions says on a problem that may come from it that client and node are of different versions.
func (s *Server) nameVersions(p *Problem, r *http.Request) {
	theirs := clean(r.Header.Get(VersionHeader), fsmName)
	if theirs == "" || s.cfg.Version == "" || theirs == s.cfg.Version || callerOf(r.Context()).Name == "" {
		return
	}
	switch p.Code() {
	case CodeUnknownField, CodeWrongType, CodeNotFound, CodeNoMethod, CodeMediaType, CodeInvalidJob:
		if p.NodeVersion == "" {
			p.NodeVersion, p.ClientVersion = s.cfg.Version, theirs
			p.Detail += "; this node is brigade " + s.cfg.Version + ", the client " + theirs
		}
	}
}
