package bos

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// oneZone and multiZone are the storage classes that buckets of either kind take (https://cloud.baidu.com/doc/BOS/s/Nkc5uy7ox).
func oneZone() store.StorageClasses {
	return store.StorageClasses{
		{Name: "STANDARD", Tier: store.TierStandard}, {Name: "STANDARD_IA", Tier: store.TierInfrequent},
		{Name: "COLD", Tier: store.TierCold}, {Name: "ARCHIVE", Tier: store.TierArchive},
	}
}

func multiZone() store.StorageClasses {
	return store.StorageClasses{
		{Name: "MAZ_STANDARD", Tier: store.TierStandard}, {Name: "MAZ_STANDARD_IA", Tier: store.TierInfrequent},
		{Name: "MAZ_COLD", Tier: store.TierCold},
	}
}

func allClasses() store.StorageClasses { return slices.Concat(oneZone(), multiZone()) }

// Limits of tags (https://cloud.baidu.com/doc/BOS/s/hltz6hg6z).
const (
	mostTags    = 10
	maxTagName  = 128 // characters
	maxTagValue = 256 // characters
)

func rulesOf(o options) wire.MetaRules {
	classes := oneZone()
	if o.multiAZ {
		classes = multiZone()
	}
	return wire.MetaRules{
		Prefix: "X-Bce-Meta-", Most: maxMetadata, Store: "BOS", Classes: classes, MostTags: mostTags, Tag: checkTag,
		Access: []store.Access{store.AccessPrivate, store.AccessPublicRead}, Encryption: []store.Encryption{store.EncryptionStore},
	}
}

// checkTag gives the reason why a tag cannot be kept.
func checkTag(name, value string) string {
	switch {
	case name == "":
		return "its name is empty"
	case value == "":
		return "BOS keeps no tags without a value"
	case utf8.RuneCountInString(name) > maxTagName:
		return fmt.Sprintf("BOS takes names of %d characters", maxTagName)
	case utf8.RuneCountInString(value) > maxTagValue:
		return fmt.Sprintf("BOS takes values of %d characters", maxTagValue)
	case !isTagText(name) || !isTagText(value):
		return "BOS takes letters, digits, spaces and +-=._:/"
	}
	return ""
}

func isTagText(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(" +-=._:/", c) < 0 {
			return false
		}
	}
	return true
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return s.rules.Fit(m) }

// setPlace writes what an object has besides headers and user metadata into the headers of the request that begins it.
func setPlace(h http.Header, m *store.Metadata) {
	if m.Class.Name != "" {
		h["X-Bce-Storage-Class"] = []string{m.Class.Name}
	}
	if m.Access != store.AccessUnknown {
		h["X-Bce-Acl"] = []string{string(m.Access)}
	}
	if m.Encryption == store.EncryptionStore {
		h["X-Bce-Server-Side-Encryption"] = []string{"AES256"}
	}
	if len(m.Tags) > 0 {
		h["X-Bce-Tagging"] = []string{encodeTags(m.Tags)}
	}
}

// encodeTags gives tags as a header has them: a query, sorted.
func encodeTags(tags map[string]string) string {
	q := make(url.Values, len(tags))
	for name, value := range tags {
		q.Set(name, value)
	}
	return q.Encode()
}

// metaOf reads the metadata of an answer.
func (s *Store) metaOf(h http.Header) *store.Metadata {
	m := s.rules.Get(h)
	if isDefaultExpires(m.Expires, h.Get("Date")) {
		m.Expires = ""
	}
	if name := h.Get("X-Bce-Storage-Class"); name != "" {
		m.Class = allClasses().Named(name)
	}
	switch {
	case h.Get("X-Bce-Server-Side-Encryption-Bos-Kms-Key-Id") != "":
		m.Encryption = store.EncryptionKMS
	case h.Get("X-Bce-Server-Side-Encryption") != "":
		m.Encryption = store.EncryptionStore
	}
	return m
}

// defaultExpires is how long after the request an object without Expires is said to expire
// (https://cloud.baidu.com/doc/BOS/s/Ikc5nv3wc).
const defaultExpires = 72 * time.Hour

// isDefaultExpires tells whether the server made an Expires up.
func isDefaultExpires(expires, date string) bool {
	at, err := http.ParseTime(expires)
	asked, err2 := http.ParseTime(date)
	if err != nil || err2 != nil {
		return false
	}
	off := at.Sub(asked) - defaultExpires
	return off >= -2*time.Second && off <= 2*time.Second
}
