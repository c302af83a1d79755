package uss

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of parts (https://help.upyun.com/knowledge-base/rest_api/, resumable uploads).
const (
	partUnit    = 1 << 20 // bytes; also the size of parts where the request does not tell one
	largestPart = 50 << 20
	mostParts   = 10000
)

// upload is an upload in parts. Once completed it still is listed, as such.
type upload struct {
	id, key   string
	header    http.Header
	began     time.Time
	partSize  int
	length    int64 // of the whole as announced, -1 where it was not
	disorder  bool
	parts     map[int][]byte
	completed bool
}

// stage does what one request of an upload asks for: "initiate", "upload", "complete", or two of them with a comma.
func (c *call) stage(text string) *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	if c.slash {
		return notAcceptable()
	}
	c.b.tree.Lock()
	defer c.b.tree.Unlock()
	stages := strings.Split(text, ",")
	var u *upload
	if stages[0] == "initiate" {
		if u, bad = c.initiate(); bad != nil {
			return bad
		}
		stages = stages[1:]
	} else if u, bad = c.opened(); bad != nil {
		return bad
	}
	status := http.StatusNoContent
	for _, stage := range stages {
		switch stage {
		case "upload":
			bad = c.putPart(u, data)
		case "complete":
			status, bad = c.complete(u)
		default:
			bad = &fault{400, 40011055, "invalid invalid multipart stage"}
		}
		if bad != nil {
			return bad
		}
	}
	h := c.w.Header()
	h.Set("X-Upyun-Multi-Uuid", u.id)
	h.Set("X-Upyun-Multi-Part-Size", strconv.Itoa(u.partSize))
	if !u.disorder {
		h.Set("X-Upyun-Next-Part-Id", strconv.Itoa(u.next()))
	}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) initiate() (*upload, *fault) {
	h := c.r.Header
	u := &upload{
		key: c.key, began: c.s.opts.Now(), header: c.keptHeader(h.Get("X-Upyun-Multi-Type")), partSize: partUnit, length: -1,
		disorder: h.Get("X-Upyun-Multi-Disorder") == "true", parts: map[int][]byte{},
	}
	if text := h.Get("X-Upyun-Multi-Part-Size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < partUnit || n > largestPart || n%partUnit != 0 {
			return nil, &fault{400, 40011054, "invalid x-upyun-part-size"}
		}
		u.partSize = n
	}
	switch text := h.Get("X-Upyun-Multi-Length"); {
	case text != "":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > int64(u.partSize)*mostParts {
			return nil, &fault{400, 40011052, "invalid x-upyun-multi-length"}
		}
		u.length = n
	case !u.disorder:
		return nil, &fault{400, 40011052, "invalid x-upyun-multi-length"}
	}
	if c.b.folderAt(c.key) {
		return nil, notAcceptable()
	}
	u.id = fmt.Sprintf("%08x-0000-4000-8000-%012x", c.s.NextID(), u.began.UnixNano()&(1<<48-1))
	c.b.uploads[u.id] = u
	return u, nil
}

// opened finds the upload that a request names.
func (c *call) opened() (*upload, *fault) {
	id := c.r.Header.Get("X-Upyun-Multi-Uuid")
	if len(id) != 36 {
		return nil, &fault{400, 40011056, "invalid invalid x-upyun-multi-uuid"}
	}
	u := c.b.uploads[id]
	if u == nil || u.key != c.key || u.completed {
		return nil, &fault{400, 40011058, "invalid x-upyun-multi-uuid not found"}
	}
	return u, nil
}

// next is the part that an upload in order waits for, -1 after the last.
func (u *upload) next() int {
	if int64(len(u.parts))*int64(u.partSize) >= u.length {
		return -1
	}
	return len(u.parts)
}

func (c *call) putPart(u *upload, data []byte) *fault {
	n, err := strconv.Atoi(c.r.Header.Get("X-Upyun-Part-Id"))
	_, there := u.parts[n]
	switch {
	case err != nil || n < 0 || n >= mostParts:
		return &fault{400, 40011051, "invalid x-upyun-part-id"}
	case !u.disorder && n != len(u.parts):
		return &fault{400, 40011061, "part id error"}
	case there && c.s.opts.NoReplacing:
		return &fault{400, 40011062, "part already complete"}
	case len(data) > u.partSize || len(data) == 0:
		return &fault{400, 40011060, "invalid x-upyun-part-size"}
	}
	u.parts[n] = data
	return nil
}

// complete makes the file of all parts.
func (c *call) complete(u *upload) (status int, bad *fault) {
	var whole []byte
	for n := range len(u.parts) {
		data, ok := u.parts[n]
		switch {
		case !ok:
			return 0, &fault{400, 40011061, "part id error"}
		case len(data) < u.partSize && n < len(u.parts)-1:
			return 0, &fault{400, 40011060, "invalid x-upyun-part-size"}
		}
		whole = append(whole, data...)
	}
	if u.length >= 0 && u.length != int64(len(whole)) {
		return 0, &fault{400, 40000025, "file size not match"}
	}
	if sum := c.r.Header.Get("X-Upyun-Multi-Md5"); sum != "" && sum != sumOf(whole) {
		return 0, &fault{400, 40011059, "file md5 not match"}
	}
	replaced, bad := c.keepLocked(whole, u.header)
	if bad != nil {
		return 0, bad
	}
	u.completed, u.parts = true, nil
	h := c.w.Header()
	h.Set("X-Upyun-Multi-Type", u.header.Get("Content-Type"))
	h.Set("X-Upyun-Multi-Length", strconv.Itoa(len(whole)))
	if replaced {
		return http.StatusNoContent, nil
	}
	return http.StatusCreated, nil
}

// listUploads answers with the uploads under a prefix, the completed ones too.
func (c *call) listUploads() *fault {
	prefix, err := base64.StdEncoding.DecodeString(c.r.Header.Get("X-Upyun-List-Prefix"))
	if err != nil {
		return &fault{400, 40000034, "client error"}
	}
	most := mostParts
	if text := c.r.Header.Get("X-Upyun-List-Limit"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 {
			return &fault{400, 40000034, "client error"}
		}
	}
	type file struct {
		Key       string `json:"key"`
		UUID      string `json:"uuid"`
		Completed bool   `json:"completed"`
		CreatedAt int64  `json:"created_at"`
	}
	files := []file{}
	c.b.tree.Lock()
	for _, id := range slices.Sorted(maps.Keys(c.b.uploads)) {
		u := c.b.uploads[id]
		if strings.HasPrefix("/"+u.key, "/"+strings.TrimPrefix(string(prefix), "/")) && len(files) < most {
			files = append(files, file{"/" + u.key, u.id, u.completed, u.began.Unix()})
		}
	}
	c.b.tree.Unlock()
	return c.answer(map[string]any{"files": files})
}

// partsPage is how many parts are listed at once.
const partsPage = 1000

func (c *call) listParts() *fault {
	from, err := strconv.Atoi(c.r.Header.Get("X-Upyun-Part-Id"))
	if err != nil && c.r.Header.Get("X-Upyun-Part-Id") != "" {
		return &fault{400, 40011051, "invalid x-upyun-part-id"}
	}
	type part struct {
		ETag string `json:"etag"`
		Size int    `json:"size"`
		ID   int    `json:"id"`
	}
	parts := []part{}
	c.b.tree.Lock()
	u, bad := c.opened()
	if bad == nil {
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			if n >= from && len(parts) < partsPage {
				parts = append(parts, part{sumOf(u.parts[n]), len(u.parts[n]), n})
			}
		}
	}
	c.b.tree.Unlock()
	if bad != nil {
		return bad
	}
	return c.answer(map[string]any{"parts": parts})
}
