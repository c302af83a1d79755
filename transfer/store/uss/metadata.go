package uss

import (
	"net/http"
	"strings"

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
