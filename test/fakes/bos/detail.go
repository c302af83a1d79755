package bos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/test/fakes/fakehttp"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// OwnerID is the account that owns all objects.
const OwnerID = "10eb6f5ff6ff4605bf044313e8f3ffa5"

// change puts a changed copy of an object in its place; it keeps its time and ETag.
func (c *call) change(how func(o *memory.Object)) *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	changed := *o
	changed.Header = o.Header.Clone()
	how(&changed)
	return fakehttp.As[*fault](c.b.Put(&changed, nil))
}

// grant is an entry of an access control list (https://cloud.baidu.com/doc/BOS/s/ekc5ua7o6).
type grant struct {
	Grantee    []grantee `json:"grantee"`
	Permission []string  `json:"permission"`
}

type grantee struct {
	ID string `json:"id"`
}

type accessList struct {
	List []grant `json:"accessControlList"`
}

func (c *call) getACL() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	owner := grant{[]grantee{{OwnerID}}, []string{"FULL_CONTROL"}}
	switch acl := o.Header.Get(headerACL); acl {
	case "":
		return c.answer(accessList{[]grant{}})
	case "private":
		return c.answer(accessList{[]grant{owner}})
	case "public-read":
		return c.answer(accessList{[]grant{owner, {[]grantee{{"*"}}, []string{"READ"}}}})
	default: // a list that was uploaded
		c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = c.w.Write([]byte(acl)) // the client may be gone
		return nil
	}
}

func (c *call) putACL() *fault {
	canned := c.r.Header.Get(headerACL)
	if canned == "" {
		data, bad := c.body()
		if bad != nil {
			return bad
		}
		var doc accessList
		if err := json.Unmarshal(data, &doc); err != nil {
			return malformed(err)
		}
		canned = string(data)
	} else if canned != "private" && canned != "public-read" {
		return invalid("The value of x-bce-acl is invalid.")
	}
	return c.change(func(o *memory.Object) { o.Header.Set(headerACL, canned) })
}

func malformed(err error) *fault {
	return &fault{400, "MalformedJSON", "The JSON you provided was not well-formed: " + err.Error()}
}

// parseTags reads the header of tags and holds it to the limits (https://cloud.baidu.com/doc/BOS/s/hltz6hg6z).
func parseTags(text string) (url.Values, *fault) {
	q, err := url.ParseQuery(text)
	if err != nil {
		return nil, invalid("The tagging is invalid.")
	}
	if len(q) > 10 {
		return nil, invalid("An object has 10 tags at most.")
	}
	for name, v := range q {
		if name == "" || v[0] == "" || len(v) > 1 || len(name) > 128 || len(v[0]) > 256 || strings.Trim(name+v[0], tagCharacters) != "" {
			return nil, invalid("The tag " + name + " is invalid.")
		}
	}
	return q, nil
}

const tagCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 +-=._:/"

func (c *call) getTags() *fault {
	o := c.b.Get(c.key)
	if o == nil {
		return noSuchKey()
	}
	q, bad := parseTags(o.Header.Get(headerTags))
	if bad != nil {
		return bad
	}
	info := map[string]string{}
	for name, v := range q {
		info[name] = v[0]
	}
	if len(info) == 0 {
		return c.answer(struct{}{})
	}
	return c.answer(map[string]any{"tagSet": []any{map[string]any{"tagInfo": info}}})
}

func (c *call) putTags() *fault {
	text := c.r.Header.Get(headerTags)
	if text == "" {
		data, bad := c.body()
		if bad != nil {
			return bad
		}
		var doc struct {
			Set []struct {
				Info []struct{ Key, Value string } `json:"tagInfo"`
			} `json:"tagSet"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return malformed(err)
		}
		q := url.Values{}
		for _, set := range doc.Set {
			for _, tag := range set.Info {
				q.Add(tag.Key, tag.Value)
			}
		}
		text = q.Encode()
	}
	if _, bad := parseTags(text); bad != nil {
		return bad
	}
	return c.change(func(o *memory.Object) { o.Header.Set(headerTags, text) })
}

// restore begins to bring an archived object back (https://cloud.baidu.com/doc/BOS/s/akc5t3f12).
func (c *call) restore() *fault {
	o, bad := followed(c.b.Bucket, c.key)
	if bad != nil {
		return bad
	}
	days := 7
	if text := c.r.Header.Get("X-Bce-Restore-Days"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 30 {
			return invalid("x-bce-restore-days is invalid.")
		}
		days = n
	}
	switch tier := c.r.Header.Get("X-Bce-Restore-Tier"); tier {
	case "", "Standard", "Expedited", "LowCost":
	default:
		return invalid("x-bce-restore-tier is invalid.")
	}
	switch state := o.Header.Get(headerRestore); {
	case o.Class != "ARCHIVE":
		return invalid("The object is not archived.")
	case strings.Contains(state, `"true"`):
		return &fault{http.StatusConflict, "RestoreAlreadyInProgress", "The restore operation is in progress."}
	case state != "":
		return c.change(func(o *memory.Object) { o.Header.Set(headerRestore, c.s.restored(days)) })
	}
	return c.change(func(o *memory.Object) { o.Header.Set(headerRestore, `ongoing-request="true"`) })
}

func (s *Server) restored(days int) string {
	end := s.opts.Now().Add(time.Duration(days) * 24 * time.Hour)
	return fmt.Sprintf("ongoing-request=%q, expiry-date=%q", "false", end.UTC().Format(http.TimeFormat))
}

// FinishRestore makes an object readable that is being restored.
func (s *Server) FinishRestore(bucket, key string) {
	b := s.NewBucket(bucket)
	if o := b.Get(key); o != nil {
		done := *o
		done.Header = o.Header.Clone()
		done.Header.Set(headerRestore, s.restored(7))
		_ = b.Put(&done, nil) // without a condition it cannot fail
	}
}
