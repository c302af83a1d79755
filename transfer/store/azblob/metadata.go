package azblob

import (
	"context"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// classes are the access tiers of block blobs
// (https://learn.microsoft.com/azure/storage/blobs/access-tiers-overview).
func classes() store.StorageClasses {
	return store.StorageClasses{
		{Name: "Hot", Tier: store.TierStandard}, {Name: "Cool", Tier: store.TierInfrequent}, {Name: "Cold", Tier: store.TierCold},
		{Name: "Archive", Tier: store.TierArchive},
	}
}

const tierArchive = "Archive"

// metaRules say what Azure keeps. Everything is encrypted, so that with the store's own keys can be asked for.
func metaRules() wire.MetaRules {
	return wire.MetaRules{
		Prefix: "X-Ms-Meta-", Most: maxMetadata, Store: "Azure", Name: refuseName, Drops: []string{"Expires"}, Classes: classes(),
		MostTags: maxTags, Tag: refuseTag, Encryption: []store.Encryption{store.EncryptionStore},
	}
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return metaRules().Fit(m) }

// refuseName tells why metadata cannot have a name: they are identifiers of C#
// (https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources).
func refuseName(name string) string {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return "names of metadata in Azure are letters, digits and underscores, and begin with no digit"
		}
	}
	return ""
}

// refuseTag tells why a tag cannot be kept
// (https://learn.microsoft.com/rest/api/storageservices/set-blob-tags).
func refuseTag(name, value string) string {
	switch {
	case name == "" || utf8.RuneCountInString(name) > 128:
		return "names of tags in Azure have 1 to 128 characters"
	case utf8.RuneCountInString(value) > 256:
		return "values of tags in Azure have at most 256 characters"
	case !isTagText(name) || !isTagText(value):
		return "tags in Azure are of letters, digits, spaces and + - . / : = _"
	}
	return ""
}

func isTagText(text string) bool {
	for i := range len(text) {
		c := text[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !plain && strings.IndexByte(" +-./:=_", c) < 0 {
			return false
		}
	}
	return true
}

// setMeta writes what goes with a blob into the headers of a write.
func setMeta(h http.Header, m *store.Metadata) error {
	own := make(http.Header, 8)
	rules := metaRules()
	if err := rules.Set(own, m); err != nil {
		return err
	}
	for name, values := range own {
		if strings.HasPrefix(name, rules.Prefix) {
			h[strings.ToLower(name)] = values // the service keeps the case of names
			continue
		}
		h["X-Ms-Blob-"+name] = values // a header "Content-Type" may be that of a document
	}
	if m.Class.Name != "" {
		h["X-Ms-Access-Tier"] = []string{m.Class.Name}
	}
	if len(m.Tags) > 0 {
		pairs := make([]string, 0, len(m.Tags))
		for _, name := range slices.Sorted(maps.Keys(m.Tags)) {
			pairs = append(pairs, wire.EscapeQuery(name)+"="+wire.EscapeQuery(m.Tags[name]))
		}
		h["X-Ms-Tags"] = []string{strings.Join(pairs, "&")}
	}
	return nil
}

// metaOf reads what an answer tells of a blob.
func metaOf(h http.Header) *store.Metadata {
	m := metaRules().Get(h)
	if tier := h.Get("X-Ms-Access-Tier"); tier != "" {
		m.Class = classes().Named(tier)
	}
	switch {
	case h.Get("X-Ms-Encryption-Scope") != "":
		m.Encryption = store.EncryptionKMS
	case h.Get("X-Ms-Server-Encrypted") == "true":
		m.Encryption = store.EncryptionStore
	}
	return m
}

// Detail implements store.Detailer: tags cost a request, and access is that of the container.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if !want.Tags {
		return nil, nil
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: "tags", Method: http.MethodGet, Key: key, Query: "comp=tags"})
	if err != nil {
		return nil, err
	}
	var out struct {
		XMLName xml.Name `xml:"Tags"`
		Tags    []struct {
			Key   string
			Value string
		} `xml:"TagSet>Tag"`
	}
	if err := document(resp, &out); err != nil {
		return nil, wire.Wrap(ctx, "tags", key, err)
	}
	for _, t := range out.Tags {
		if m.Tags == nil {
			m.Tags = make(map[string]string)
		}
		m.Tags[t.Key] = t.Value
	}
	return nil, nil
}

// Restore implements store.Restorer. Azure restores for good, by changing the tier to Hot: days mean nothing. speed is
// "Standard" or "High" (https://learn.microsoft.com/azure/storage/blobs/archive-rehydrate-overview).
func (s *Store) Restore(ctx context.Context, key string, _ int, speed string) error {
	const op = "restore"
	h, err := s.calls.Discard(ctx, wire.Request{Op: op, Method: http.MethodHead, Key: key})
	if err != nil || h.Get("X-Ms-Access-Tier") != tierArchive || h.Get("X-Ms-Archive-Status") != "" {
		return err
	}
	header := http.Header{"X-Ms-Access-Tier": {"Hot"}}
	if speed != "" {
		header["X-Ms-Rehydrate-Priority"] = []string{speed}
	}
	_, err = s.calls.Discard(ctx, wire.Request{Op: op, Method: http.MethodPut, Key: key, Query: "comp=tier", Header: header})
	return err
}
