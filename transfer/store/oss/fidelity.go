package oss

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// detailHeaders are the headers of https://www.alibabacloud.com/help/en/oss/developer-reference/putobject.
func detailHeaders() wire.DetailHeaders {
	return wire.DetailHeaders{
		Class: "X-Oss-Storage-Class", Tags: "X-Oss-Tagging", Access: headerACL, Encryption: "X-Oss-Server-Side-Encryption",
		Managed: "AES256", KMS: "KMS",
	}
}

const headerACL = "X-Oss-Object-Acl"

// mostTags is how many tags an object can have (https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8, which has
// the rule of names too).
const mostTags = 10

func tagRule() func(name, value string) string {
	return wire.TagRule("+-=._:/", func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' })
}

// classes are those of https://www.alibabacloud.com/help/en/oss/user-guide/overview-53.
func classes() store.StorageClasses {
	return store.StorageClasses{
		{Name: "Standard", Tier: store.TierStandard}, {Name: "IA", Tier: store.TierInfrequent}, {Name: "Archive", Tier: store.TierArchive},
		{Name: "ColdArchive", Tier: store.TierArchive}, {Name: "DeepColdArchive", Tier: store.TierDeepArchive},
	}
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) {
	r := userMetadata()
	r.Classes, r.MostTags, r.Tag = classes(), mostTags, tagRule()
	r.Access = []store.Access{store.AccessPrivate, store.AccessPublicRead, store.AccessPublicWrite}
	r.Encryption = []store.Encryption{store.EncryptionStore, store.EncryptionKMS}
	return r.Fit(m)
}

// setMeta writes all that a write is to keep.
func setMeta(h http.Header, m *store.Metadata) error {
	detailHeaders().Set(h, m, m.Class.Name)
	return userMetadata().Set(h, m)
}

// setUploadMeta is setMeta for an upload, which takes access when it is completed.
func setUploadMeta(h http.Header, m *store.Metadata) error {
	without := *m
	without.Access = store.AccessUnknown
	return setMeta(h, &without)
}

// isArchived tells from the answer to a HEAD whether an object must be restored before it can be read
// (https://www.alibabacloud.com/help/en/oss/developer-reference/headobject, x-oss-restore).
func isArchived(h http.Header, class store.StorageClass) bool {
	return class.Tier.Archived() && !wire.IsRestored(h.Get("X-Oss-Restore"))
}

// Detail implements store.Detailer.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if want.Tags {
		const op = "get tags"
		resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodGet, Key: key, Query: "tagging"})
		if err != nil {
			return nil, err
		}
		if m.Tags, err = wire.ReadTags(resp); err != nil {
			return nil, wire.Wrap(ctx, op, key, err)
		}
	}
	if !want.Access {
		return nil, nil
	}
	var doc struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Grant   string   `xml:"AccessControlList>Grant"`
	}
	if _, err := s.calls.Read(ctx, wire.Request{Op: "get ACL", Method: http.MethodGet, Key: key, Query: "acl"}, &doc); err != nil {
		return nil, err
	}
	switch access := store.Access(doc.Grant); access {
	case store.AccessPrivate, store.AccessPublicRead, store.AccessPublicWrite:
		m.Access = access
	case "default": // the bucket's
	default:
		return []store.Loss{{What: "access", Name: wire.Clip(doc.Grant, 100), Reason: "no canned ACL says it"}}, nil
	}
	return nil, nil
}

// Restore implements store.Restorer (https://www.alibabacloud.com/help/en/oss/developer-reference/restoreobject). Speed is a tier of
// cold archives; objects of class Archive know none.
func (s *Store) Restore(ctx context.Context, key string, days int, speed string) error {
	const op = "restore"
	text := "<RestoreRequest><Days>" + strconv.Itoa(days) + "</Days>"
	if speed != "" {
		var escaped strings.Builder
		if err := xml.EscapeText(&escaped, []byte(speed)); err != nil {
			return wire.Permanent(op, key, fmt.Errorf("speed %q: %w", speed, err))
		}
		text += "<JobParameters><Tier>" + escaped.String() + "</Tier></JobParameters>"
	}
	r := wire.Request{Op: op, Method: http.MethodPost, Key: key, Query: "restore", Header: make(http.Header, 8), Document: []byte(text + "</RestoreRequest>")}
	resp, refused, err := s.calls.Exchange(ctx, r)
	if refused != nil {
		switch refusalOf(refused).Code {
		case "RestoreAlreadyInProgress", "OperationNotSupported": // the latter of what is in no archive
			return nil
		}
		return s.fault(op, key, refused)
	}
	if err != nil {
		return wire.Wrap(ctx, op, key, err)
	}
	wire.Finish(resp.Body)
	return nil
}
