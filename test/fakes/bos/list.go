package bos

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// maxKeys is the most that one page holds, and what it holds unless asked otherwise.
const maxKeys = 1000

// most reads how many entries a page is to have; more than there can be are as many as can be.
func (c *call) most(name string) (int, *fault) {
	text := c.q.Get(name)
	if text == "" {
		return maxKeys, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalid(name + " is invalid.")
	}
	return min(n, maxKeys), nil
}

func stamp(t time.Time) string { return t.UTC().Format(timeISO) }

// entry is one object of a listing (https://cloud.baidu.com/doc/BOS/s/Ekc4epj6m).
type entry struct {
	Key      string            `json:"key"`
	Modified string            `json:"lastModified"`
	ETag     string            `json:"eTag"`
	Size     int               `json:"size"`
	Class    string            `json:"storageClass"`
	Owner    map[string]string `json:"owner"`
}

func owner() map[string]string { return map[string]string{"id": OwnerID, "displayName": "tester"} }

func (c *call) listObjects() *fault {
	n, bad := c.most("maxKeys")
	if bad != nil {
		return bad
	}
	objects, more := c.b.List(c.q.Get("prefix"), c.q.Get("marker"), n)
	doc := struct {
		Name      string  `json:"name"`
		Prefix    string  `json:"prefix"`
		Delimiter string  `json:"delimiter"`
		Marker    string  `json:"marker"`
		Next      string  `json:"nextMarker,omitempty"`
		MaxKeys   int     `json:"maxKeys"`
		Truncated bool    `json:"isTruncated"`
		Contents  []entry `json:"contents"`
	}{Name: c.name, Prefix: c.q.Get("prefix"), Marker: c.q.Get("marker"), MaxKeys: n, Truncated: more, Contents: []entry{}}
	for _, o := range objects {
		doc.Contents = append(doc.Contents, entry{o.Key, stamp(o.Modified), o.ETag, len(o.Data), o.Class, owner()})
	}
	if more {
		doc.Next = objects[len(objects)-1].Key
	}
	return c.answer(doc)
}

// deleteMany deletes up to 1,000 objects.
func (c *call) deleteMany() *fault {
	data, bad := c.body()
	if bad != nil {
		return bad
	}
	var doc struct {
		Objects []struct {
			Key string `json:"key"`
		} `json:"objects"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return malformed(err)
	}
	for _, o := range doc.Objects {
		c.b.Delete(o.Key)
	}
	return nil
}

// upload is one open upload of a listing (https://cloud.baidu.com/doc/BOS/s/Ikc5w7snc).
type upload struct {
	Key       string            `json:"key"`
	ID        string            `json:"uploadId"`
	Owner     map[string]string `json:"owner"`
	Initiated string            `json:"initiated"`
}

// listUploads lists the uploads that are open, ascending by key, then ID.
func (c *call) listUploads() *fault {
	n, bad := c.most("maxUploads")
	if bad != nil {
		return bad
	}
	prefix, marker, idMarker := c.q.Get("prefix"), c.q.Get("keyMarker"), c.q.Get("uploadIdMarker")
	doc := struct {
		Bucket    string   `json:"bucket"`
		Prefix    string   `json:"prefix"`
		KeyMarker string   `json:"keyMarker"`
		IDMarker  string   `json:"uploadIdMarker"`
		NextKey   string   `json:"nextKeyMarker"`
		NextID    string   `json:"nextUploadIdMarker"`
		Max       int      `json:"maxUploads"`
		Truncated bool     `json:"isTruncated"`
		Uploads   []upload `json:"uploads"`
	}{Bucket: c.name, Prefix: prefix, KeyMarker: marker, IDMarker: idMarker, Max: n, Uploads: []upload{}}
	for _, u := range c.b.Uploads() {
		if !strings.HasPrefix(u.Key, prefix) || u.Key < marker || u.Key == marker && marker != "" && (idMarker == "" || u.ID <= idMarker) {
			continue
		}
		if len(doc.Uploads) == n {
			doc.Truncated = true
			break
		}
		doc.Uploads = append(doc.Uploads, upload{u.Key, u.ID, owner(), stamp(u.Began)})
		doc.NextKey, doc.NextID = u.Key, u.ID
	}
	return c.answer(doc)
}
