package cos

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// Detail implements store.Detailer.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if want.Tags {
		tags, err := s.tags(ctx, key)
		if err != nil {
			return nil, err
		}
		m.Tags = tags
	}
	if !want.Access {
		return nil, nil
	}
	access, lost, err := s.access(ctx, key)
	if err != nil {
		return nil, err
	}
	m.Access = access
	return lost, nil
}

// tags reads the tags of an object (https://www.tencentcloud.com/document/product/436/35710).
func (s *Store) tags(ctx context.Context, key string) (map[string]string, error) {
	var doc struct {
		XMLName xml.Name `xml:"Tagging"`
		Tags    []struct {
			Key   string `xml:"Key"`
			Value string `xml:"Value"`
		} `xml:"TagSet>Tag"`
	}
	_, err := s.calls.Read(ctx, wire.Request{Op: "get tags", Method: http.MethodGet, Key: key, Query: "tagging"}, &doc)
	if code(err) == "NoSuchTagSet" {
		return nil, nil
	}
	if err != nil || len(doc.Tags) == 0 {
		return nil, err
	}
	tags := make(map[string]string, len(doc.Tags))
	for _, t := range doc.Tags {
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// The groups that permissions can be given to (https://www.tencentcloud.com/document/product/436/30583). Older answers name the
// first by an ID.
const (
	everybody    = "http://cam.qcloud.com/groups/global/AllUsers"
	anyone       = "qcs::cam::anyone:anyone"
	everyAccount = "http://cam.qcloud.com/groups/global/AuthenticatedUsers"
)

// grant is one permission of an ACL.
type grant struct {
	ID         string `xml:"Grantee>ID"`
	URI        string `xml:"Grantee>URI"`
	Permission string `xml:"Permission"`
}

// access reads the ACL of an object (https://www.tencentcloud.com/document/product/436/7744). Objects without one have the
// bucket's, which is nothing that they have themselves.
func (s *Store) access(ctx context.Context, key string) (store.Access, []store.Loss, error) {
	var doc struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Owner   string   `xml:"Owner>ID"`
		Grants  []grant  `xml:"AccessControlList>Grant"`
	}
	h, err := s.calls.Read(ctx, wire.Request{Op: "get access", Method: http.MethodGet, Key: key, Query: "acl"}, &doc)
	if err != nil || h.Get("X-Cos-Acl") == "default" {
		return store.AccessUnknown, nil, err
	}
	access := store.AccessPrivate
	var lost []store.Loss
	for _, g := range doc.Grants {
		switch {
		case g.URI == "" && g.ID == doc.Owner:
		case (g.URI == everybody || g.ID == anyone) && g.Permission == "READ":
			access = store.AccessPublicRead
		case g.URI == everyAccount && g.Permission == "READ":
			if access == store.AccessPrivate {
				access = store.AccessAuthenticated
			}
		default:
			lost = append(lost, store.Loss{What: "access", Name: wire.Clip(g.Permission+" of "+g.ID+g.URI, 200), Reason: "there is no common word for it"})
		}
	}
	return access, lost, nil
}

// restoring is the request of POST Object restore (https://www.tencentcloud.com/document/product/436/12633).
type restoring struct {
	XMLName xml.Name `xml:"RestoreRequest"`
	Days    int      `xml:"Days"`
	Speed   string   `xml:"CASJobParameters>Tier"`
}

// Restore implements store.Restorer. Speeds are Expedited (not for DEEP_ARCHIVE), Standard and Bulk.
func (s *Store) Restore(ctx context.Context, key string, days int, speed string) error {
	const op = "restore"
	if speed == "" {
		speed = "Standard"
	}
	switch {
	case days < 1:
		return wire.Permanent(op, key, fmt.Errorf("%d days: want 1 or more", days))
	case speed != "Expedited" && speed != "Standard" && speed != "Bulk":
		return wire.Permanent(op, key, fmt.Errorf("speed %q: COS knows Expedited, Standard and Bulk", wire.Clip(speed, 50)))
	}
	document, err := xml.Marshal(restoring{Days: days, Speed: speed})
	if err != nil {
		return wire.Permanent(op, key, err)
	}
	resp, err := s.calls.Do(ctx, wire.Request{Op: op, Method: http.MethodPost, Key: key, Query: "restore", Header: make(http.Header, 8), Document: document})
	switch code(err) {
	case "RestoreAlreadyInProgress", "RestoreNonArchiveObject":
		return nil
	}
	if err != nil {
		return err
	}
	wire.Finish(resp.Body)
	return nil
}
