package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// detailHeaders are the headers of https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.
func detailHeaders() wire.DetailHeaders {
	return wire.DetailHeaders{
		Class: "X-Amz-Storage-Class", Tags: "X-Amz-Tagging", Access: "X-Amz-Acl", Encryption: "X-Amz-Server-Side-Encryption",
		Managed: "AES256", KMS: "aws:kms",
	}
}

// mostTags is how many tags an object can have
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html, which has the rule of names too).
const mostTags = 10

func tagRule() func(name, value string) string {
	chars := wire.TagRule("+-=._:/@", unicode.IsLetter)
	return func(name, value string) string {
		if strings.HasPrefix(name, "aws:") {
			return "names that begin with aws: are the vendor's own"
		}
		return chars(name, value)
	}
}

// rules say what this bucket keeps.
func (s *Store) rules() wire.MetaRules {
	r := userMetadata()
	r.Classes = s.classes.all()
	if s.keepsTags {
		r.MostTags, r.Tag = mostTags, tagRule()
	}
	r.Access = []store.Access{store.AccessPrivate, store.AccessPublicRead, store.AccessPublicWrite, store.AccessAuthenticated}
	r.Encryption = []store.Encryption{store.EncryptionStore, store.EncryptionKMS}
	return r
}

// Fit implements store.Fitter.
func (s *Store) Fit(m store.Metadata) (store.Metadata, []store.Loss) { return s.rules().Fit(m) }

// setMeta writes all that a write is to keep.
func (s *Store) setMeta(h http.Header, m *store.Metadata) error {
	s.setDetails(h, m)
	return userMetadata().Set(h, m)
}

// setDetails writes what is no header of the content. What is the default anyway is left out: there are servers that take no
// such header.
func (s *Store) setDetails(h http.Header, m *store.Metadata) {
	given := *m
	if given.Access == store.AccessPrivate {
		given.Access = store.AccessUnknown
	}
	word := s.classes.word(m.Class.Name)
	if word == standardClass && s.plain {
		word = ""
	}
	detailHeaders().Set(h, &given, word)
}

// classOf reads a storage class. Amazon tells all but the standard one
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html).
func (s *Store) classOf(word string) store.StorageClass {
	if word == "" {
		if !s.aws {
			return store.StorageClass{}
		}
		word = standardClass
	}
	return s.classes.named(wire.Clip(word, 64))
}

// isArchived tells from the answer to a HEAD whether an object must be restored before it can be read.
func isArchived(h http.Header, class store.StorageClass) bool {
	return (class.Tier.Archived() || h.Get("X-Amz-Archive-Status") != "") && !wire.IsRestored(h.Get("X-Amz-Restore"))
}

// Detail implements store.Detailer. A server that knows no tags or ACLs has none to lose.
func (s *Store) Detail(ctx context.Context, key string, want store.Details, m *store.Metadata) ([]store.Loss, error) {
	if want.Tags {
		resp, err := s.ask(ctx, "get tags", key, "tagging=")
		if err != nil {
			return nil, err
		}
		if resp != nil {
			if m.Tags, err = wire.ReadTags(resp); err != nil {
				return nil, s.wrap(ctx, "get tags", key, err)
			}
		}
	}
	if !want.Access {
		return nil, nil
	}
	resp, err := s.ask(ctx, "get ACL", key, "acl=")
	if err != nil || resp == nil {
		return nil, err
	}
	var doc acl
	if err := wire.ReadXML(resp, &doc); err != nil {
		return nil, s.wrap(ctx, "get ACL", key, err)
	}
	access, lost := doc.canned()
	m.Access = access
	return lost, nil
}

// ask gets something about an object; nil where the server has no such thing.
func (s *Store) ask(ctx context.Context, op, key, query string) (*http.Response, error) {
	resp, refused, err := s.exchange(ctx, request{op: op, method: http.MethodGet, key: key, query: query})
	switch {
	case refused == nil:
		return resp, s.wrap(ctx, op, key, err)
	case refused.status == http.StatusNotImplemented, refused.status == http.StatusMethodNotAllowed:
		return nil, nil
	}
	switch refused.code {
	case "NoSuchTagSet", "NoSuchTagSetError", "NotImplemented", "MethodNotAllowed":
		return nil, nil
	}
	return nil, s.fault(op, key, refused)
}

// acl is an answer of GetObjectAcl (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html).
type acl struct {
	XMLName xml.Name `xml:"AccessControlPolicy"`
	Owner   string   `xml:"Owner>ID"`
	Grants  []grant  `xml:"AccessControlList>Grant"`
}

type grant struct {
	ID         string `xml:"Grantee>ID"`
	URI        string `xml:"Grantee>URI"`
	Permission string `xml:"Permission"`
}

// The groups of https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html.
const (
	allUsers      = "http://acs.amazonaws.com/groups/global/AllUsers"
	authenticated = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
)

// canned gives the canned ACL that grants most of what this one does; other grants are lost.
func (a *acl) canned() (store.Access, []store.Loss) {
	access := store.AccessPrivate
	has := func(uri, permission string) bool {
		for _, g := range a.Grants {
			if g.URI == uri && (g.Permission == permission || g.Permission == "FULL_CONTROL") {
				return true
			}
		}
		return false
	}
	switch {
	case has(allUsers, "READ") && has(allUsers, "WRITE"):
		access = store.AccessPublicWrite
	case has(allUsers, "READ"):
		access = store.AccessPublicRead
	case has(authenticated, "READ"):
		access = store.AccessAuthenticated
	}
	var lost []store.Loss
	for _, g := range a.Grants {
		own := g.URI == "" && g.ID == a.Owner
		told := g.URI == allUsers && (g.Permission == "READ" && access != store.AccessPrivate || g.Permission == "WRITE" && access == store.AccessPublicWrite) ||
			g.URI == authenticated && g.Permission == "READ" && access != store.AccessPrivate
		if !own && !told {
			who := g.URI[strings.LastIndexByte(g.URI, '/')+1:]
			if who == "" {
				who = g.ID
			}
			lost = append(lost, store.Loss{What: "access", Name: wire.Clip(g.Permission, 50) + " of " + wire.Clip(who, 100), Reason: "no canned ACL says it"})
		}
	}
	return access, lost
}

// Restore implements store.Restorer (https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html).
func (s *Store) Restore(ctx context.Context, key string, days int, speed string) error {
	const op = "restore"
	text := "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>" + strconv.Itoa(days) + "</Days>"
	if speed != "" {
		var escaped strings.Builder
		if err := xml.EscapeText(&escaped, []byte(speed)); err != nil {
			return &store.Error{Op: op, Key: key, Class: store.Permanent, Err: fmt.Errorf("speed %q: %w", speed, err)}
		}
		text += "<GlacierJobParameters><Tier>" + escaped.String() + "</Tier></GlacierJobParameters>"
	}
	body, err := wire.NewPayload(ctx, store.Body{Bytes: []byte(text + "</RestoreRequest>"), Size: int64(len(text) + len("</RestoreRequest>"))})
	if err != nil {
		return s.wrap(ctx, op, key, err)
	}
	r := request{op: op, method: http.MethodPost, key: key, query: "restore=", header: http.Header{"Content-Type": {"application/xml"}}, body: body}
	resp, refused, err := s.exchange(ctx, r)
	switch {
	case refused != nil && refused.code == "RestoreAlreadyInProgress":
		return nil
	case refused != nil && refused.code == "InvalidObjectState": // it is in no archive
		return nil
	case refused != nil:
		return s.fault(op, key, refused)
	case err != nil:
		return s.wrap(ctx, op, key, err)
	}
	wire.Finish(resp.Body)
	return nil
}
