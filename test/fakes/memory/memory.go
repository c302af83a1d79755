// Package memory holds the objects and multipart uploads of a bucket in memory, for the protocol fakes beside it. It
// knows nothing of any protocol: what an ETag is, which conditions there are and how all of it is written is theirs.
package memory

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Object is one object. It is not changed once it is in a bucket.
type Object struct {
	Key      string
	Data     []byte
	ETag     string      // as the protocol spells it, without quotes
	Header   http.Header // kept with the content and answered with it
	Type     string      // as the protocol names it
	Class    string      // of storage
	Target   string      // key that a link points to
	Tags     string      // as the protocol's headers have them
	ACL      string      // canned; "" is the default
	Modified time.Time
}

// Part is one part of an upload.
type Part struct {
	Number   int
	Data     []byte
	ETag     string
	Modified time.Time
}

// Upload is an open multipart upload.
type Upload struct {
	ID, Key, Class string
	Tags, ACL      string
	Header         http.Header
	Began          time.Time
	parts          map[int]*Part
}

// Parts returns the parts, ascending.
func (u *Upload) Parts() []*Part {
	parts := make([]*Part, 0, len(u.parts))
	for _, p := range u.parts {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *Part) int { return a.Number - b.Number })
	return parts
}

// Bucket is safe for concurrent use.
type Bucket struct {
	mu      sync.Mutex
	objects map[string]*Object
	sorted  []string // keys; nil when it has to be made again
	uploads map[string]*Upload
	lastID  int
}

// NewBucket returns an empty bucket.
func NewBucket() *Bucket {
	return &Bucket{objects: map[string]*Object{}, uploads: map[string]*Upload{}}
}

// Get returns an object, nil if there is none.
func (b *Bucket) Get(key string) *Object {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key]
}

// Put keeps an object unless allow, asked with what stands there now, refuses.
func (b *Bucket) Put(o *Object, allow func(now *Object) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(o, allow)
}

func (b *Bucket) put(o *Object, allow func(now *Object) error) error {
	now := b.objects[o.Key]
	if allow != nil {
		if err := allow(now); err != nil {
			return err
		}
	}
	if now == nil {
		b.sorted = nil
	}
	b.objects[o.Key] = o
	return nil
}

// Delete removes an object and tells whether there was one.
func (b *Bucket) Delete(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.objects[key]
	if ok {
		delete(b.objects, key)
		b.sorted = nil
	}
	return ok
}

// List returns up to most objects under a prefix behind the key after, ascending by bytes, and whether there are more.
func (b *Bucket) List(prefix, after string, most int) (objects []*Object, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sorted == nil {
		b.sorted = make([]string, 0, len(b.objects))
		for key := range b.objects {
			b.sorted = append(b.sorted, key)
		}
		sort.Strings(b.sorted)
	}
	i := sort.Search(len(b.sorted), func(i int) bool { return b.sorted[i] > after && b.sorted[i] >= prefix })
	for ; i < len(b.sorted) && strings.HasPrefix(b.sorted[i], prefix); i++ {
		if len(objects) == most {
			return objects, true
		}
		objects = append(objects, b.objects[b.sorted[i]])
	}
	return objects, false
}

// CreateUpload opens an upload and gives it an ID.
func (b *Bucket) CreateUpload(u Upload) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	u.ID = "UPLOAD" + strings.Repeat("0", 8-len(strconv.Itoa(b.lastID))) + strconv.Itoa(b.lastID)
	u.parts = map[int]*Part{}
	b.uploads[u.ID] = &u
	return u.ID
}

// PutPart keeps a part and tells whether the upload is open.
func (b *Bucket) PutPart(key, id string, p *Part) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil || u.Key != key {
		return false
	}
	u.parts[p.Number] = p
	return true
}

// Parts returns the parts of an upload, ascending, and whether it is open.
func (b *Bucket) Parts(key, id string) ([]*Part, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil || u.Key != key {
		return nil, false
	}
	return u.Parts(), true
}

// Complete makes an object of an upload by join, puts it as Put does, and closes the upload. It tells whether the upload
// was open. An error leaves it open.
func (b *Bucket) Complete(key, id string, join func(*Upload) (*Object, error), allow func(now *Object) error) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil || u.Key != key {
		return false, nil
	}
	o, err := join(u)
	if err == nil {
		err = b.put(o, allow)
	}
	if err != nil {
		return true, err
	}
	delete(b.uploads, id)
	return true, nil
}

// Abort drops an upload and tells whether it was open.
func (b *Bucket) Abort(key, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil || u.Key != key {
		return false
	}
	delete(b.uploads, id)
	return true
}

// Uploads returns the open uploads, ascending by key, then ID.
func (b *Bucket) Uploads() []Upload {
	b.mu.Lock()
	defer b.mu.Unlock()
	uploads := make([]Upload, 0, len(b.uploads))
	for _, u := range b.uploads {
		uploads = append(uploads, Upload{ID: u.ID, Key: u.Key, Began: u.Began})
	}
	slices.SortFunc(uploads, func(a, b Upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return uploads
}
