package uss

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/test/fakes/memory"
)

// lastIter is what the vendor gives after the last page.
const lastIter = "g2gCZAAEbmV4dGQAA2VvZg"

// Entries a page.
const (
	usualPage   = 100
	largestPage = 10000
)

// entry is what a listing tells of a name.
type entry struct {
	Type     string `json:"type"`
	Length   int    `json:"length"`
	Name     string `json:"name"`
	Modified int64  `json:"last_modified"`
	place    string // where it stands among the others
}

// all returns what is under a prefix, however deep.
func (c *call) all(prefix string) []*memory.Object {
	objects, _ := c.b.objects.List(prefix, "", math.MaxInt)
	return objects
}

// children are the names in a folder, by time and then in no order that anybody could guess.
func (c *call) children() []entry {
	prefix := c.key + "/"
	if c.key == "" {
		prefix = ""
	}
	var found []entry
	for _, o := range c.all(prefix) {
		name := strings.TrimPrefix(o.Key, prefix)
		folder := strings.HasSuffix(name, "/")
		name = strings.TrimSuffix(name, "/")
		if name == "" || strings.Contains(name, "/") {
			continue
		}
		e := entry{Type: typeFolder, Name: name, Modified: o.Modified.Unix()}
		if !folder {
			e.Type, e.Length = o.Header.Get("Content-Type"), len(o.Data)
		}
		mixed := md5.Sum([]byte(name))
		e.place = fmt.Sprintf("%020d%s", o.Modified.Unix(), hex.EncodeToString(mixed[:]))
		found = append(found, e)
	}
	slices.SortFunc(found, func(a, b entry) int { return strings.Compare(a.place, b.place) })
	if c.r.Header.Get("X-List-Order") == "desc" {
		slices.Reverse(found)
	}
	return found
}

// list answers with a page of a folder, in JSON where that is asked for.
func (c *call) list() *fault {
	h := c.r.Header
	most := usualPage
	if text := h.Get("X-List-Limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return &fault{400, 40000034, "client error"}
		}
		most = min(n, largestPage)
	}
	switch h.Get("X-List-Order") {
	case "", "asc", "desc":
	default:
		return &fault{403, 40300014, "order must be asc or desc"}
	}
	found := c.children()
	if iter := h.Get("X-List-Iter"); iter != "" {
		after, err := base64.RawURLEncoding.DecodeString(iter)
		if err != nil {
			return &fault{400, 40000034, "client error"}
		}
		past := func(e entry) bool { return e.place > string(after) }
		if h.Get("X-List-Order") == "desc" {
			past = func(e entry) bool { return e.place < string(after) }
		}
		i := slices.IndexFunc(found, past)
		if i < 0 {
			i = len(found)
		}
		found = found[i:]
	}
	next := lastIter
	if len(found) > most {
		found = found[:most]
		next = base64.RawURLEncoding.EncodeToString([]byte(found[most-1].place))
	}
	c.w.Header().Set("X-Upyun-List-Iter", next)
	if h.Get("Accept") == "application/json" {
		if found == nil {
			found = []entry{}
		}
		return c.answer(map[string]any{"files": found, "iter": next})
	}
	lines := make([]string, len(found))
	for i, e := range found {
		kind := "N"
		if e.Type == typeFolder {
			kind = "F"
		}
		lines[i] = fmt.Sprintf("%s\t%s\t%d\t%d", e.Name, kind, e.Length, e.Modified)
	}
	_, _ = io.WriteString(c.w, strings.Join(lines, "\n")) // the client may be gone
	return nil
}
