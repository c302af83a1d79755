package wire

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Fit is store.Fitter's, by the rules. What is kept when not all can be is the same at every call.
func (r MetaRules) Fit(m store.Metadata) (store.Metadata, []store.Loss) {
	var lost []store.Loss
	lose := func(what, name, reason string) {
		lost = append(lost, store.Loss{What: what, Name: name, Reason: reason})
	}
	r.fitHeaders(&m, lose)
	r.fitUser(&m, lose)
	r.fitTags(&m, lose)
	class, exact := r.Classes.For(m.Class)
	switch {
	case exact:
	case len(r.Classes) == 0:
		// A store of one class loses nothing that is standard.
		if m.Class.Tier != store.TierStandard {
			lose("storage class", m.Class.Name, r.Store+" has no storage classes")
		}
	case class.Name == "":
		lose("storage class", m.Class.Name, r.Store+" has none like it")
	default:
		lose("storage class", m.Class.Name, fmt.Sprintf("%s has none like it, kept as %s", r.Store, class.Name))
	}
	m.Class = class
	if m.Access != "" && !slices.Contains(r.Access, m.Access) {
		if m.Access != store.AccessPrivate {
			lose("access", string(m.Access), r.Store+" cannot keep it")
		}
		m.Access = store.AccessUnknown
	}
	if m.Encryption != "" && !slices.Contains(r.Encryption, m.Encryption) {
		lose("encryption", string(m.Encryption), r.Store+" cannot be asked for it")
		m.Encryption = store.EncryptionUnknown
	}
	return m, lost
}

func (r MetaRules) fitHeaders(m *store.Metadata, lose func(what, name, reason string)) {
	for _, f := range contentHeaders(m) {
		switch {
		case *f.value == "":
		case slices.Contains(r.Drops, f.name):
			lose("header", f.name, r.Store+" does not keep it")
			*f.value = ""
		case !isHeaderValue(*f.value):
			lose("header", f.name, "it has characters that a header cannot carry")
			*f.value = ""
		}
	}
}

// fitUser keeps what can be kept in the order of the names, the recorded modification time first.
func (r MetaRules) fitUser(m *store.Metadata, lose func(what, name, reason string)) {
	kept, size, changed := make(map[string]string, len(m.User)), 0, false
	for _, name := range namesOf(m.User) {
		value := m.User[name]
		reason := ""
		room := len(name) + len(encodeValue(value))
		switch {
		case r.Most == 0:
			reason = r.Store + " keeps no user metadata"
		case !isHeaderName(name):
			reason = "it cannot be a header's name"
		case r.Name != nil && r.Name(name) != "":
			reason = r.Name(name)
		case size+room > r.Most:
			reason = fmt.Sprintf("%s keeps %d bytes of user metadata", r.Store, r.Most)
		}
		if reason != "" {
			lose("metadata", Clip(name, 200), reason)
			changed = true
			continue
		}
		size += room
		kept[name] = value
	}
	if changed {
		m.User = kept
	}
}

func (r MetaRules) fitTags(m *store.Metadata, lose func(what, name, reason string)) {
	kept, changed := make(map[string]string, len(m.Tags)), false
	for _, name := range slices.Sorted(maps.Keys(m.Tags)) {
		reason := ""
		switch {
		case r.MostTags == 0:
			reason = r.Store + " keeps no tags"
		case r.Tag != nil && r.Tag(name, m.Tags[name]) != "":
			reason = r.Tag(name, m.Tags[name])
		case len(kept) == r.MostTags:
			reason = fmt.Sprintf("%s keeps %d tags an object", r.Store, r.MostTags)
		}
		if reason != "" {
			lose("tag", Clip(name, 200), reason)
			changed = true
			continue
		}
		kept[name] = m.Tags[name]
	}
	if changed {
		m.Tags = kept
	}
}

func namesOf(user map[string]string) []string {
	names := slices.Sorted(maps.Keys(user))
	if i := slices.Index(names, store.MTimeKey); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, store.MTimeKey)
	}
	return names
}

// contentHeader is a header that all stores know.
type contentHeader struct {
	name  string
	value *string
}

func contentHeaders(m *store.Metadata) [6]contentHeader {
	return [...]contentHeader{
		{"Content-Type", &m.ContentType}, {"Cache-Control", &m.CacheControl}, {"Content-Disposition", &m.ContentDisposition},
		{"Content-Encoding", &m.ContentEncoding}, {"Content-Language", &m.ContentLanguage}, {"Expires", &m.Expires},
	}
}
