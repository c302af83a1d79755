package kodo

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Limits of metadata (https://developer.qiniu.com/kodo/1252/chgm).
const (
	maxMetadata = 1024 // bytes of names and values of an object's user metadata
	maxName     = 50   // bytes
	maxValue    = 200  // bytes; of the content type too
)

// classes are the storage types, by their numbers (https://developer.qiniu.com/kodo/1308/stat, type).
var classes = store.StorageClasses{
	{Name: "STANDARD", Tier: store.TierStandard},
	{Name: "LINE", Tier: store.TierInfrequent},
	{Name: "GLACIER", Tier: store.TierArchive},
	{Name: "DEEP_ARCHIVE", Tier: store.TierDeepArchive},
	{Name: "GLACIER_IR", Tier: store.TierCold},
	{Name: "INTELLIGENT_TIERING", Tier: store.TierStandard},
}

// classOf names a storage type. One that is not known yet is no class that a write could ask for.
func classOf(number int) store.StorageClass {
	if number < 0 || number >= len(classes) {
		return store.StorageClass{Name: "type " + strconv.Itoa(number)}
	}
	return classes[number]
}

// typeOf is the number of a class; that of standard where none is asked for.
func typeOf(class store.StorageClass) int {
	for number, c := range classes {
		if c.Name == class.Name {
			return number
		}
	}
	return 0
}

// metaPrefix begins the names of user metadata, in forms, documents and headers.
const metaPrefix = "x-qn-meta-"

func metaRules() wire.MetaRules {
	return wire.MetaRules{
		Prefix: http.CanonicalHeaderKey(metaPrefix), Most: maxMetadata, Store: "Kodo", Name: badName, Value: badValue,
		Drops:   []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"},
		Classes: classes,
	}
}

// badName gives the reason why user metadata cannot have a name.
func badName(name string) string {
	if len(name) > maxName {
		return "Kodo takes names of 50 bytes"
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return "Kodo takes letters, digits, hyphens and underscores in names"
		}
	}
	return ""
}

// badValue gives the reason why user metadata or a content type cannot have a value. There is no escape: "%" is forbidden.
func badValue(value string) string {
	if value == "" {
		return "Kodo keeps no empty values"
	}
	if value != strings.TrimSpace(value) {
		return "Kodo keeps no spaces at the ends of values"
	}
	if len(value) > maxValue {
		return "Kodo takes values of 200 bytes"
	}
	for i := range len(value) {
		if c := value[i]; !isAlphanumeric(c) && strings.IndexByte(".+/-;=,_ ", c) < 0 {
			return "Kodo takes letters, digits, spaces and . + / - ; = , _ in values"
		}
	}
	return ""
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) {
	var lost []store.Loss
	if m.ContentType != "" {
		if reason := badValue(m.ContentType); reason != "" {
			lost = append(lost, store.Loss{What: "header", Name: "Content-Type", Reason: reason})
			m.ContentType = ""
		}
	}
	m, more := metaRules().Fit(m)
	return m, append(lost, more...)
}

// userFields gives user metadata as forms and documents name it.
func userFields(m *store.Metadata) map[string]string {
	fields := make(map[string]string, len(m.User))
	for name, value := range m.User {
		fields[metaPrefix+name] = value
	}
	return fields
}

// metaOf reads what a description tells. What begins with "!" is not the owner's: it makes headers of answers.
func metaOf(mime string, user map[string]string, number int) *store.Metadata {
	m := &store.Metadata{ContentType: mime, Class: classOf(number)}
	for name, value := range user {
		name = strings.TrimPrefix(strings.ToLower(name), metaPrefix)
		if name == "" || name[0] == '!' {
			continue
		}
		if m.User == nil {
			m.User = make(map[string]string)
		}
		m.User[name] = value
	}
	return m
}

// metaOfHeaders reads what the answer of a domain tells. Cache-Control and the like are the domain's own there.
func metaOfHeaders(h http.Header) *store.Metadata {
	m := metaRules().Get(h)
	return &store.Metadata{ContentType: m.ContentType, User: m.User}
}
