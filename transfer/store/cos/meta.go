package cos

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// oneZone and manyZones are the classes of COS, by where a bucket lies: each takes its own only
// (https://www.tencentcloud.com/document/product/436/30925). INTELLIGENT_TIERING moves between tiers by itself and is read at once.
var (
	oneZone = store.StorageClasses{
		{Name: classStandard, Tier: store.TierStandard},
		{Name: "INTELLIGENT_TIERING", Tier: store.TierStandard},
		{Name: "STANDARD_IA", Tier: store.TierInfrequent},
		{Name: "COLD", Tier: store.TierCold},
		{Name: "ARCHIVE", Tier: store.TierArchive},
		{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive},
	}
	manyZones = store.StorageClasses{
		{Name: "MAZ_STANDARD", Tier: store.TierStandard},
		{Name: "MAZ_INTELLIGENT_TIERING", Tier: store.TierStandard},
		{Name: "MAZ_STANDARD_IA", Tier: store.TierInfrequent},
	}
)

// classNamed finds a class of either kind.
func classNamed(name string) store.StorageClass {
	if c := oneZone.Named(name); c.Tier != store.TierUnknown {
		return c
	}
	return manyZones.Named(name)
}

// classes are those that a write to the bucket can ask for.
func (s *Store) classes() store.StorageClasses {
	if s.opts.manyZones {
		return manyZones
	}
	return oneZone
}

// classStandard is what objects have whose answers tell no class.
const classStandard = "STANDARD"

// How objects are encrypted at rest (https://www.tencentcloud.com/document/product/436/7728).
const (
	headerSSE = "X-Cos-Server-Side-Encryption"
	sseStore  = "AES256"
	sseKMS    = "cos/kms"
)

// Limits of what goes with an object (https://www.tencentcloud.com/document/product/436/7749,
// https://www.tencentcloud.com/document/product/436/35665).
const (
	maxMetadata = 2 << 10 // bytes of names and values of user metadata
	mostTags    = 10
	maxTagKey   = 127 // characters
	maxTagValue = 255 // characters
)

func (s *Store) metaRules() wire.MetaRules {
	return wire.MetaRules{
		Prefix: "X-Cos-Meta-", Most: maxMetadata, Store: "COS", Name: nameReason, Classes: s.classes(), MostTags: mostTags, Tag: tagReason,
		Access:     []store.Access{store.AccessPrivate, store.AccessPublicRead, store.AccessAuthenticated},
		Encryption: []store.Encryption{store.EncryptionStore, store.EncryptionKMS},
	}
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return s.metaRules().Fit(m) }

// nameReason tells why user metadata cannot have a name.
func nameReason(name string) string {
	for _, c := range name {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "names in COS have letters, digits and hyphens only"
		}
	}
	return ""
}

// tagReason tells why a tag cannot be kept.
func tagReason(name, value string) string {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxTagKey:
		return "keys of tags in COS have 1 to 127 characters"
	case value == "" || utf8.RuneCountInString(value) > maxTagValue:
		return "values of tags in COS have 1 to 255 characters"
	case strings.ContainsFunc(name+value, notInTags):
		return "tags in COS have letters, digits, spaces and + - = . _ : / @ only"
	}
	return ""
}

func notInTags(c rune) bool {
	return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune(" +-=._:/@", c)
}

// setMeta writes all that goes with a new object into the headers of its write.
func (s *Store) setMeta(h http.Header, m *store.Metadata) error {
	if err := s.metaRules().Set(h, m); err != nil {
		return err
	}
	s.setPlacement(h, m)
	return nil
}

// setPlacement writes what a copy does not take from its source: class, tags, access, encryption. The standard class is not named:
// it is what objects get, and in a bucket of several zones it has another name.
func (s *Store) setPlacement(h http.Header, m *store.Metadata) {
	if name := m.Class.Name; name != "" && name != classStandard {
		h["X-Cos-Storage-Class"] = []string{name}
	}
	if len(m.Tags) > 0 {
		h["X-Cos-Tagging"] = []string{encodeTags(m.Tags)}
	}
	if m.Access != "" {
		h["X-Cos-Acl"] = []string{string(m.Access)}
	}
	switch m.Encryption {
	case store.EncryptionStore:
		h[headerSSE] = []string{sseStore}
	case store.EncryptionKMS:
		h[headerSSE] = []string{sseKMS}
		s.etagOpaque.Store(true) // the answers to parts need not say it
	}
}

// encodeTags gives tags as a header has them, sorted.
func encodeTags(tags map[string]string) string {
	pairs := make([]string, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, wire.EscapeQuery(name)+"="+wire.EscapeQuery(tags[name]))
	}
	return strings.Join(pairs, "&")
}

// metaOf reads what an answer tells of an object besides its content.
func (s *Store) metaOf(h http.Header) *store.Metadata {
	m := s.metaRules().Get(h)
	if m.ContentDisposition == "attachment" && h.Get("X-Cos-Force-Download") == "true" {
		// The vendor's own domains answer with it, so that browsers show nothing from there; the object does not have it.
		m.ContentDisposition = ""
	}
	m.Class = classOf(h)
	switch h.Get(headerSSE) {
	case sseStore:
		m.Encryption = store.EncryptionStore
	case sseKMS:
		m.Encryption = store.EncryptionKMS
	}
	return m
}

func classOf(h http.Header) store.StorageClass {
	name := h.Get("X-Cos-Storage-Class")
	if name == "" {
		name = classStandard // it is not told (https://www.tencentcloud.com/document/product/436/7745)
	}
	return classNamed(wire.Clip(name, 100))
}

// isArchived tells by an answer whether the object must be restored first.
func isArchived(h http.Header) bool {
	return classOf(h).Tier.Archived() && !wire.IsRestored(h.Get("X-Cos-Restore"))
}
