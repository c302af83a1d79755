package uss

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// metaPrefix begins the headers of user metadata.
const metaPrefix = "X-Upyun-Meta-"

// The vendor keeps of the headers of content only the type. Two others it serves where they stand in metadata under these names.
const (
	nameCacheControl = "cache-control"
	nameDisposition  = "content-disposition"
)

// metaRules say what metadata files of USS can have.
func metaRules() wire.MetaRules {
	return wire.MetaRules{
		Prefix: metaPrefix, Most: maxMetadata, Store: "USS", Name: checkMetaName,
		Drops: []string{"Content-Encoding", "Content-Language", "Expires"},
	}
}

// checkMetaName refuses names that the vendor gives a meaning, which user metadata from elsewhere does not have, and characters
// that headers pass on in more than one way.
func checkMetaName(name string) string {
	switch name {
	case "ttl":
		return "USS would delete the file after so many days"
	case "secret":
		return "USS would protect the file with it as a password"
	case nameCacheControl, nameDisposition:
		return "USS takes it for the header of that name"
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "names in USS have lower-case letters, digits and hyphens only"
		}
	}
	return ""
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return metaRules().Fit(m) }

// setMeta writes metadata into the headers of a write. What Fit would drop is not there, or the write is refused by it.
func setMeta(h http.Header, m *store.Metadata) error {
	own, _ := metaRules().Fit(*m)
	if err := metaRules().Set(h, &own); err != nil {
		return err
	}
	for header, name := range map[string]string{"Cache-Control": nameCacheControl, "Content-Disposition": nameDisposition} {
		if v := h[header]; v != nil {
			delete(h, header)
			h[http.CanonicalHeaderKey(metaPrefix+name)] = v
		}
	}
	return nil
}

// metaOf reads the metadata of an answer. The password of a protected file is no metadata, nor is its end.
func metaOf(h http.Header) *store.Metadata {
	m := metaRules().Get(h)
	m.CacheControl, m.ContentDisposition = h.Get(metaPrefix+nameCacheControl), h.Get(metaPrefix+nameDisposition)
	m.ContentEncoding, m.ContentLanguage, m.Expires = "", "", "" // those of this answer, not of the file
	for name := range m.User {
		if checkMetaName(strings.ToLower(name)) != "" {
			delete(m.User, name)
		}
	}
	if len(m.User) == 0 {
		m.User = nil
	}
	return m
}

// headState is what answers have taught about HEAD. The vendor says of GET alone that it tells user metadata; its SDKs look for it in
// both. So where a HEAD tells none, a GET is asked as well, until it is known which of the two holds.
type headState struct {
	tells  atomic.Bool  // HEAD has told some
	hides  atomic.Bool  // GET has told some where HEAD told none
	agreed atomic.Int32 // files of which GET told none either
}

// enoughAgreed is how many files without metadata show that HEAD does not hide any.
const enoughAgreed = 32

// ask tells whether a GET is to be asked for what a HEAD told.
func (h *headState) ask(told *store.Metadata) bool {
	if len(told.User) > 0 || told.CacheControl != "" || told.ContentDisposition != "" {
		h.tells.Store(true)
	}
	return !h.tells.Load() && (h.hides.Load() || h.agreed.Load() < enoughAgreed)
}

// complete gives the metadata of a file whose HEAD told m.
func (s *Store) complete(ctx context.Context, r wire.Request, size int64, m *store.Metadata) (*store.Metadata, error) {
	if !s.heads.ask(m) || size == 0 { // nothing of an empty file can be asked for without its whole answer being an error
		return m, nil
	}
	r.Method, r.Header = http.MethodGet, http.Header{"Range": {"bytes=0-0"}}
	resp, err := s.calls.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		wire.Finish(resp.Body)
	} else {
		_ = resp.Body.Close() // the whole file: its headers are what counts
	}
	told := metaOf(resp.Header)
	if len(told.User) == 0 && told.CacheControl == "" && told.ContentDisposition == "" {
		s.heads.agreed.Add(1)
		return m, nil
	}
	s.heads.hides.Store(true)
	return told, nil
}
