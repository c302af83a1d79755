package oss

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// mostTags is how many tags an object can have (https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8).
const mostTags = 10

var (
	tagName  = regexp.MustCompile(`^[a-zA-Z0-9 +\-=._:/]{1,128}$`)
	tagValue = regexp.MustCompile(`^[a-zA-Z0-9 +\-=._:/]{0,256}$`)
)

// tag is one tag in a document.
type tag struct{ Key, Value string }

// tagsOf reads the header of tags, a URL's query.
func tagsOf(text string) (tags []tag, bad *fault) {
	query, err := url.ParseQuery(text)
	if err != nil || len(query) > mostTags {
		return nil, &fault{400, "InvalidTag", "The tags you have provided are invalid.", "0016-00000701", ""}
	}
	for name, values := range query {
		if len(values) != 1 || !tagName.MatchString(name) || !tagValue.MatchString(values[0]) {
			return nil, &fault{400, "InvalidTag", "The TagKey or TagValue you have provided is invalid.", "0016-00000702", ""}
		}
		tags = append(tags, tag{name, values[0]})
	}
	slices.SortFunc(tags, func(a, b tag) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return tags, nil
}

// details are what the headers of a write say besides metadata.
func details(h http.Header) (class, tags, access string, bad *fault) {
	class, tags, access = classOf(h), h.Get("X-Oss-Tagging"), h.Get("X-Oss-Object-Acl")
	if !slices.Contains([]string{"Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"}, class) {
		return "", "", "", &fault{400, "InvalidArgument", "The storage class you specified is invalid.", "0003-00000405", ""}
	}
	if !slices.Contains([]string{"", "default", "private", "public-read", "public-read-write"}, access) {
		return "", "", "", &fault{400, "InvalidArgument", "no such object access control exists", "0003-00000406", ""}
	}
	if how := h.Get("X-Oss-Server-Side-Encryption"); !slices.Contains([]string{"", "AES256", "KMS", "SM4"}, how) {
		return "", "", "", &fault{400, "InvalidEncryptionAlgorithmError", "The encryption request you specified is not valid.", "0003-00000407", ""}
	}
	_, bad = tagsOf(tags)
	return class, tags, access, bad
}

func (c *call) getTags() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	tags, bad := tagsOf(o.Tags)
	if bad != nil {
		return bad
	}
	return c.answer(struct {
		XMLName xml.Name `xml:"Tagging"`
		Tags    []tag    `xml:"TagSet>Tag"`
	}{Tags: tags})
}

func (c *call) getACL() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	access := o.ACL
	if access == "" {
		access = "default"
	}
	type owner struct{ ID, DisplayName string }
	return c.answer(struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Owner   owner
		Grant   string `xml:"AccessControlList>Grant"`
	}{Owner: owner{"0022012", "0022012"}, Grant: access})
}

// thaw is a restored object, or one on its way.
type thaw struct {
	of    *memory.Object // written again, it is frozen again
	ready time.Time
	until time.Time
}

// SetRestoreTime says how long restoring an object takes; it takes no time at first.
func (s *Server) SetRestoreTime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thaws = d
}

// thawed tells where the restoring of an object stands: asked for at all, and readable now.
func (s *Server) thawed(bucket string, o *memory.Object) (t thaw, asked, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, asked = s.thawing[bucket+"/"+o.Key]
	now := s.opts.Now()
	asked = asked && t.of == o && now.Before(t.until)
	return t, asked, asked && !now.Before(t.ready)
}

// frozen tells whether an object cannot be read now.
func (s *Server) frozen(bucket string, o *memory.Object) bool {
	_, _, ready := s.thawed(bucket, o)
	return isArchived(o.Class) && !ready
}

// restore answers RestoreObject (https://www.alibabacloud.com/help/en/oss/developer-reference/restoreobject).
func (c *call) restore() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	if !isArchived(o.Class) {
		return &fault{400, "OperationNotSupported", "The operation is not supported for this resource", "0016-00000703", ""}
	}
	doc := struct {
		XMLName xml.Name `xml:"RestoreRequest"`
		Days    int
		Tier    string `xml:"JobParameters>Tier"`
	}{Days: 1}
	if c.r.ContentLength != 0 {
		if bad := c.document(&doc); bad != nil {
			return bad
		}
	}
	_, asked, ready := c.s.thawed(c.name, o)
	switch {
	case doc.Days < 1 || doc.Days > 365 || doc.Tier != "" && o.Class == "Archive":
		return malformed("restore of " + o.Class)
	case asked && !ready:
		return &fault{409, "RestoreAlreadyInProgress", "The restore operation is in progress.", "0016-00000704", ""}
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	now := c.s.opts.Now()
	t := thaw{of: o, ready: now.Add(c.s.thaws), until: now.Add(c.s.thaws + time.Duration(doc.Days)*24*time.Hour)}
	if ready {
		t.ready = now
		c.s.thawing[c.name+"/"+c.key] = t
		return nil
	}
	c.s.thawing[c.name+"/"+c.key] = t
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// restoreHeader says in the answer to a HEAD where restoring stands.
func (c *call) restoreHeader(o *memory.Object) {
	t, asked, ready := c.s.thawed(c.name, o)
	switch {
	case ready:
		c.w.Header().Set("X-Oss-Restore", `ongoing-request="false", expiry-date="`+t.until.UTC().Format(http.TimeFormat)+`"`)
	case asked:
		c.w.Header().Set("X-Oss-Restore", `ongoing-request="true"`)
	}
}
