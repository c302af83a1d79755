package gs

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// resource is an object as the JSON API describes it (https://cloud.google.com/storage/docs/json_api/v1/objects#resource).
type resource struct {
	Name        string            `json:"name,omitempty"`
	Size        string            `json:"size,omitempty"`
	Generation  string            `json:"generation,omitempty"`
	Updated     string            `json:"updated,omitempty"`
	MD5         string            `json:"md5Hash,omitempty"`
	CRC32C      string            `json:"crc32c,omitempty"`
	Class       string            `json:"storageClass,omitempty"`
	KMSKey      string            `json:"kmsKeyName,omitempty"`
	Type        string            `json:"contentType,omitempty"`
	Cache       string            `json:"cacheControl,omitempty"`
	Disposition string            `json:"contentDisposition,omitempty"`
	Encoding    string            `json:"contentEncoding,omitempty"`
	Language    string            `json:"contentLanguage,omitempty"`
	User        map[string]string `json:"metadata,omitempty"`
}

// The fields that are asked for: of a listing, and of one object.
const (
	listedFields = "name,size,generation,updated,md5Hash,crc32c,storageClass"
	objectFields = listedFields + ",kmsKeyName,contentType,cacheControl,contentDisposition,contentEncoding,contentLanguage,metadata"
)

// describe fills in an object from its description.
func (s *Store) describe(key string, r *resource) (store.Object, error) {
	size, err := strconv.ParseUint(r.Size, 10, 63)
	if err != nil {
		return store.Object{}, fmt.Errorf("key %q has a size of %q bytes", wire.Clip(key, 200), wire.Clip(r.Size, 50))
	}
	if !isGeneration(r.Generation) {
		return store.Object{}, fmt.Errorf("key %q has the generation %q", wire.Clip(key, 200), wire.Clip(r.Generation, 50))
	}
	o := store.Object{
		Key: key, Kind: wire.KindOf(s.prefix+key, int64(size)), Size: int64(size), ETag: r.Generation,
		Sums: store.Checksums{MD5: sum(r.MD5, 16), CRC32C: sum(r.CRC32C, 4)},
	}
	if t, err := time.Parse(time.RFC3339Nano, r.Updated); err == nil {
		o.ModTime = t.UTC()
	}
	return o, nil
}

// isGeneration tells whether a text is a generation: a decimal number.
func isGeneration(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0
}

// sum reads a checksum in base64, "" where it has not the length it must have.
func sum(text string, length int) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != length {
		return ""
	}
	return string(raw)
}

// sumsOf reads X-Goog-Hash (https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash).
func sumsOf(h http.Header) store.Checksums {
	var c store.Checksums
	for _, line := range h["X-Goog-Hash"] {
		for text := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(text), "=")
			switch name {
			case "crc32c":
				c.CRC32C = sum(value, 4)
			case "md5":
				c.MD5 = sum(value, 16)
			}
		}
	}
	return c
}

// hashOf writes X-Goog-Hash, "" where there is nothing to tell.
func hashOf(c store.Checksums) string {
	var list []string
	if c.CRC32C != "" {
		list = append(list, "crc32c="+base64.StdEncoding.EncodeToString([]byte(c.CRC32C)))
	}
	if c.MD5 != "" {
		list = append(list, "md5="+base64.StdEncoding.EncodeToString([]byte(c.MD5)))
	}
	return strings.Join(list, ",")
}

// classes are those that a write can ask for (https://cloud.google.com/storage/docs/storage-classes). All of them are read at once,
// ARCHIVE too, so the coldest is no archive in the words of package store.
func classes() store.StorageClasses {
	return store.StorageClasses{
		{Name: "STANDARD", Tier: store.TierStandard}, {Name: "NEARLINE", Tier: store.TierInfrequent},
		{Name: "COLDLINE", Tier: store.TierCold}, classArchive,
	}
}

var classArchive = store.StorageClass{Name: "ARCHIVE", Tier: store.TierCold}

// classOf knows the names of old as well, which writes no longer ask for.
func classOf(name string) store.StorageClass {
	switch name {
	case "":
		return store.StorageClass{}
	case "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY":
		return store.StorageClass{Name: name, Tier: store.TierStandard}
	}
	return classes().Named(wire.Clip(name, 50))
}

func (s *Store) rules() wire.MetaRules {
	r := wire.MetaRules{
		Prefix: "X-Goog-Meta-", Most: maxMetadata, Store: "Cloud Storage", Drops: []string{"Expires"}, Classes: classes(),
		Access:     []store.Access{store.AccessPrivate, store.AccessPublicRead, store.AccessAuthenticated},
		Encryption: []store.Encryption{store.EncryptionStore},
	}
	if s.opts.kmsKey != "" {
		r.Encryption = append(r.Encryption, store.EncryptionKMS)
	}
	return r
}

// Fit implements store.Fitter. What was archived elsewhere goes to the coldest class, not to the first of the nearest tier.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) {
	var lost []store.Loss
	if m.Class.Tier.Archived() {
		lost = append(lost, store.Loss{
			What: "storage class", Name: m.Class.Name, Reason: "Cloud Storage reads all classes at once, kept as " + classArchive.Name,
		})
		m.Class = classArchive
	}
	if m.Encryption == store.EncryptionKMS && s.opts.kmsKey == "" {
		lost = append(lost, store.Loss{What: "encryption", Name: string(m.Encryption), Reason: "no key is named; set kms_key=..."})
		m.Encryption = store.EncryptionUnknown
	}
	m, more := s.rules().Fit(m)
	return m, append(lost, more...)
}

// resourceOf describes what is to be written. Encryption with a key is asked for in the query.
func (s *Store) resourceOf(m *store.Metadata) (*resource, error) {
	if m.Expires != "" {
		without := *m
		without.Expires, m = "", &without
	}
	h := make(http.Header, 8)
	rules := s.rules()
	if err := rules.Set(h, m); err != nil {
		return nil, err
	}
	r := &resource{
		Class: m.Class.Name, Type: m.ContentType, Cache: m.CacheControl, Disposition: m.ContentDisposition, Encoding: m.ContentEncoding,
		Language: m.ContentLanguage,
	}
	for name, values := range h {
		if short, ok := strings.CutPrefix(name, rules.Prefix); ok {
			if r.User == nil {
				r.User = make(map[string]string, len(m.User))
			}
			r.User[strings.ToLower(short)] = values[0]
		}
	}
	return r, nil
}

// metadataOf reads the metadata of a description.
func (s *Store) metadataOf(r *resource) *store.Metadata {
	h := make(http.Header, len(r.User))
	rules := s.rules()
	for name, value := range r.User {
		h[http.CanonicalHeaderKey(rules.Prefix+name)] = []string{value}
	}
	m := rules.Get(h)
	m.ContentType, m.CacheControl, m.ContentDisposition = r.Type, r.Cache, r.Disposition
	m.ContentEncoding, m.ContentLanguage, m.Class = r.Encoding, r.Language, classOf(r.Class)
	if r.KMSKey != "" {
		m.Encryption = store.EncryptionKMS
	}
	return m
}

// metadataIn reads the metadata in the headers of an answer of the XML API. sure is false where a header may not have carried it as
// it is.
func (s *Store) metadataIn(h http.Header) (m *store.Metadata, sure bool) {
	rules := s.rules()
	sure = true
	for name, values := range h {
		if strings.HasPrefix(name, rules.Prefix) && !isPlain(values) {
			sure = false
		}
	}
	m = rules.Get(h)
	m.Expires = "" // says when caches drop it, and is the server's
	m.ContentEncoding = h.Get("X-Goog-Stored-Content-Encoding")
	if m.ContentEncoding == "identity" {
		m.ContentEncoding = ""
	}
	m.Class = classOf(h.Get("X-Goog-Storage-Class"))
	if h.Get("X-Goog-Encryption-Kms-Key-Name") != "" {
		m.Encryption = store.EncryptionKMS
	}
	return m, sure
}

// isPlain tells whether a header's value is one line of printable ASCII, without what stands for a character that a header could
// not carry.
func isPlain(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if strings.HasPrefix(values[0], "=?") {
		return true // encoded by whoever wrote it
	}
	for i := range len(values[0]) {
		if c := values[0][i]; c < 0x20 || c > 0x7e || c == '?' {
			return false
		}
	}
	return true
}

// aclOf gives the name of a predefined ACL in the JSON API, "" where the bucket's default is to hold
// (https://cloud.google.com/storage/docs/access-control/lists#predefined-acl).
func aclOf(a store.Access) (string, error) {
	switch a {
	case store.AccessUnknown:
		return "", nil
	case store.AccessPrivate:
		return "private", nil
	case store.AccessPublicRead:
		return "publicRead", nil
	case store.AccessAuthenticated:
		return "authenticatedRead", nil
	}
	return "", fmt.Errorf("access %q does not exist for objects in Cloud Storage", a)
}
