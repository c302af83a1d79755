package cos

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// tagging is the document of tags.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

func (c *call) getTags() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	q, err := url.ParseQuery(o.Header.Get(headerTags))
	if err != nil || len(q) == 0 {
		return &fault{404, "NoSuchTagSet", "The TagSet does not exist."}
	}
	var doc tagging
	for _, name := range slices.Sorted(maps.Keys(q)) {
		doc.Tags = append(doc.Tags, tag{name, q.Get(name)})
	}
	return c.answer(doc)
}

func (c *call) putTags() *fault {
	var doc tagging
	if bad := c.document(&doc); bad != nil {
		return bad
	}
	q := url.Values{}
	for _, t := range doc.Tags {
		q.Set(t.Key, t.Value)
	}
	if len(q) > 10 || len(q) != len(doc.Tags) {
		return &fault{400, "InvalidTag", "The tags are not valid, or more than 10."}
	}
	return c.change(headerTags, q.Encode())
}

// change replaces one header that an object is kept with.
func (c *call) change(name, value string) *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	changed := *o
	changed.Header = maps.Clone(o.Header)
	changed.Header.Set(name, value)
	return fakehttp.As[*fault](c.b.Put(&changed, nil))
}

func (c *call) putACL() *fault {
	switch acl := c.r.Header.Get(headerACL); acl {
	case "default", "private", "public-read", "authenticated-read":
		return c.change(headerACL, acl)
	}
	return notImplemented(c.r) // grants
}

// owner is the account that all objects are of.
const owner = "qcs::cam::uin/100000000001:uin/100000000001"

type grantee struct {
	ID  string `xml:",omitempty"`
	URI string `xml:",omitempty"`
}

type grant struct {
	Grantee    grantee
	Permission string
}

// getACL answers with the grants that a canned ACL stands for (https://www.tencentcloud.com/document/product/436/30583).
func (c *call) getACL() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	doc := struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Owner   string   `xml:"Owner>ID"`
		Grants  []grant  `xml:"AccessControlList>Grant"`
	}{Owner: owner, Grants: []grant{{grantee{ID: owner}, "FULL_CONTROL"}}}
	acl := o.Header.Get(headerACL)
	switch acl {
	case "":
		acl = "default"
	case "public-read":
		doc.Grants = append(doc.Grants, grant{grantee{URI: "http://cam.qcloud.com/groups/global/AllUsers"}, "READ"})
	case "authenticated-read":
		doc.Grants = append(doc.Grants, grant{grantee{URI: "http://cam.qcloud.com/groups/global/AuthenticatedUsers"}, "READ"})
	}
	c.w.Header().Set(headerACL, acl)
	return c.answer(doc)
}

// restore takes an order to bring an archived object back (https://www.tencentcloud.com/document/product/436/12633).
func (c *call) restore() *fault {
	var doc struct {
		XMLName xml.Name `xml:"RestoreRequest"`
		Days    int
		Tier    string `xml:"CASJobParameters>Tier"`
	}
	if bad := c.document(&doc); bad != nil {
		return bad
	}
	o := c.b.Get(c.key)
	switch {
	case o == nil:
		return noSuchKey()
	case o.Class != "ARCHIVE" && o.Class != "DEEP_ARCHIVE":
		return &fault{405, "RestoreNonArchiveObject", "Restore non archive object."}
	case doc.Days < 1 || doc.Tier != "Standard" && doc.Tier != "Bulk" && (doc.Tier != "Expedited" || o.Class == "DEEP_ARCHIVE"):
		return &fault{400, "InvalidArgument", "Days or Tier is not valid."}
	case o.Header.Get(headerRestore) == underWay:
		return &fault{409, "RestoreAlreadyInProgress", "Object restore is already in progress."}
	case o.Header.Get(headerRestore) == "":
		if bad := c.change(headerRestore, underWay); bad != nil {
			return bad
		}
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

const underWay = `ongoing-request="true"`

// FinishRestore makes an object readable whose restoring is under way, and tells whether there was one.
func (s *Server) FinishRestore(bucket, key string) bool {
	b := s.NewBucket(bucket)
	o := b.Get(key)
	if o == nil || o.Header.Get(headerRestore) != underWay {
		return false
	}
	done := *o
	done.Header = maps.Clone(o.Header)
	done.Header.Set(headerRestore, `ongoing-request="false", expiry-date="`+s.opts.Now().Add(24*time.Hour).UTC().Format(http.TimeFormat)+`"`)
	return b.Put(&done, func(now *memory.Object) error {
		if now != o {
			return noSuchKey() // it was replaced meanwhile
		}
		return nil
	}) == nil
}
