package sink

import (
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const stamp = "2006-01-02T15:04:05.000Z"

// bucket holds objects and their keys in order. Keys put since the last listing wait in fresh, so that puts between
// listings cost no sort of the whole.
type bucket struct {
	objects map[string]*object
	keys    []string // ascending; may name objects that were removed
	fresh   []string
	other   []string // keys in the server's own order, where it has one; nil until a listing asks
}

func (b *bucket) put(key string, o *object) {
	if _, ok := b.objects[key]; !ok {
		b.fresh = append(b.fresh, key)
	}
	b.objects[key] = o
}

func (b *bucket) remove(key string) *object {
	o := b.objects[key]
	delete(b.objects, key)
	return o
}

// sorted returns all keys ever put, ascending, without repeats.
func (b *bucket) sorted() []string {
	if len(b.fresh) == 0 {
		return b.keys
	}
	slices.Sort(b.fresh)
	merged := make([]string, 0, len(b.keys)+len(b.fresh))
	i, j := 0, 0
	for i < len(b.keys) || j < len(b.fresh) {
		var k string
		if j == len(b.fresh) || i < len(b.keys) && b.keys[i] <= b.fresh[j] {
			k, i = b.keys[i], i+1
		} else {
			k, j = b.fresh[j], j+1
		}
		if n := len(merged); n == 0 || merged[n-1] != k {
			merged = append(merged, k)
		}
	}
	b.keys, b.fresh, b.other = merged, nil, nil
	return merged
}

// inOrder returns the same keys in another order.
func (b *bucket) inOrder(o Order) []string {
	keys := b.sorted()
	if b.other == nil {
		b.other = o.inOrder(keys)
	}
	return b.other
}

// entry is one line of a listing.
type entry struct {
	key    string
	o      *object
	prefix bool // a common prefix
}

// page collects entries up to a limit, folding keys under a delimiter.
type page struct {
	prefix, delimiter, after string
	limit                    int
	entries                  []entry
	truncated                bool
}

// add takes the next key and tells whether the page wants more. skipTo is the bound behind a common prefix, "" where
// the very next key is wanted.
func (p *page) add(key string, o *object) (skipTo string, more bool) {
	e := entry{key: key, o: o}
	if p.delimiter != "" {
		if i := strings.Index(key[len(p.prefix):], p.delimiter); i >= 0 {
			e = entry{key: key[:len(p.prefix)+i+len(p.delimiter)], prefix: true}
			skipTo = e.key + "\xff\xff\xff\xff" // behind every key of valid UTF-8 that starts so
			if e.key <= p.after {
				return skipTo, true
			}
		}
	}
	if len(p.entries) == p.limit {
		p.truncated = true
		return "", false
	}
	p.entries = append(p.entries, e)
	return skipTo, true
}

func (s *Server) listObjects(w http.ResponseWriter, r *request) *apiError {
	p := page{prefix: r.query.Get("prefix"), delimiter: r.query.Get("delimiter"), limit: 1000}
	if v := r.query.Get("max-keys"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return errInvalidArgument
		}
		p.limit = min(n, 1000)
	}
	token, err := base64.URLEncoding.DecodeString(r.query.Get("continuation-token"))
	if err != nil {
		return errInvalidArgument
	}
	p.after = cmp.Or(string(token), r.query.Get("start-after"), r.query.Get("marker"))
	if s.opts.Order != nil && p.delimiter != "" {
		return errNotImplemented
	}
	if b, ok := parseSynthetic(r.bucket); ok {
		s.pageSynthetic(&p, b)
	} else {
		s.pageBucket(&p, r.bucket)
	}
	s.answer(w, renderPage(r, &p))
	return nil
}

func (s *Server) pageSynthetic(p *page, b synBucket) {
	o := &object{size: b.size, etag: s.syn.etag(b.size), at: synTime()}
	if s.opts.Order != nil {
		s.pageInOrder(p, s.syn.inOrder(b, s.opts.Order), func(string) *object { return o })
		return
	}
	at := s.syn.keys(b)
	first := int64(0)
	if p.after != "" {
		first = searchKeys(b.n, func(i int64) bool { return at(i) > p.after })
	}
	first = max(first, searchKeys(b.n, func(i int64) bool { return at(i) >= p.prefix }))
	for i := first; i < b.n; i++ {
		key := at(i)
		if !strings.HasPrefix(key, p.prefix) {
			return
		}
		if _, more := p.add(key, o); !more {
			return
		}
	}
}

// searchKeys returns the first of n places that f holds for.
func searchKeys(n int64, f func(i int64) bool) int64 {
	return int64(sort.Search(int(n), func(i int) bool { return f(int64(i)) }))
}

func (s *Server) pageBucket(p *page, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil || p.limit == 0 {
		return
	}
	if s.opts.Order != nil {
		s.pageInOrder(p, b.inOrder(s.opts.Order), func(key string) *object { return b.objects[key] })
		return
	}
	keys := b.sorted()
	from := p.prefix
	if p.after != "" {
		from = max(from, p.after+"\x00")
	}
	i, _ := slices.BinarySearch(keys, from)
	for i < len(keys) && strings.HasPrefix(keys[i], p.prefix) {
		o, ok := b.objects[keys[i]]
		if !ok {
			i++
			continue
		}
		skipTo, more := p.add(keys[i], o)
		if !more {
			return
		}
		i++
		if skipTo != "" {
			n, _ := slices.BinarySearch(keys[i:], skipTo)
			i += n
		}
	}
}

// renderPage writes the answer of ListObjectsV2, or of the first version where that is asked.
func renderPage(r *request, p *page) string {
	encode := escapeXML
	if r.query.Get("encoding-type") == "url" {
		encode = func(k string) string { return strings.ReplaceAll(url.QueryEscape(k), "+", "%20") }
	}
	var b strings.Builder
	b.Grow(300 * (len(p.entries) + 1))
	b.WriteString("<ListBucketResult><Name>" + r.bucket + "</Name><Prefix>" + encode(p.prefix) + "</Prefix>")
	b.WriteString("<KeyCount>" + strconv.Itoa(len(p.entries)) + "</KeyCount><MaxKeys>" + strconv.Itoa(p.limit) + "</MaxKeys>")
	if r.query.Get("encoding-type") == "url" {
		b.WriteString("<EncodingType>url</EncodingType>")
	}
	if p.delimiter != "" {
		b.WriteString("<Delimiter>" + encode(p.delimiter) + "</Delimiter>")
	}
	b.WriteString("<IsTruncated>" + strconv.FormatBool(p.truncated) + "</IsTruncated>")
	if p.truncated && len(p.entries) > 0 {
		last := p.entries[len(p.entries)-1].key
		if r.query.Get("list-type") == "2" {
			b.WriteString("<NextContinuationToken>" + base64.URLEncoding.EncodeToString([]byte(last)) + "</NextContinuationToken>")
		} else {
			b.WriteString("<NextMarker>" + encode(last) + "</NextMarker>")
		}
	}
	// Objects in a row often share their time: formatting it is most of the cost of a page.
	var at time.Time
	var formatted string
	for _, e := range p.entries {
		if e.prefix {
			b.WriteString("<CommonPrefixes><Prefix>" + encode(e.key) + "</Prefix></CommonPrefixes>")
			continue
		}
		if ms := e.o.at.Truncate(time.Millisecond); formatted == "" || !ms.Equal(at) {
			at, formatted = ms, ms.UTC().Format(stamp)
		}
		b.WriteString("<Contents><Key>")
		b.WriteString(encode(e.key))
		b.WriteString("</Key><LastModified>")
		b.WriteString(formatted)
		b.WriteString("</LastModified><ETag>&quot;")
		b.WriteString(e.o.etag)
		b.WriteString("&quot;</ETag>")
		b.WriteString(e.o.sums.listing())
		b.WriteString("<Size>")
		b.WriteString(strconv.FormatInt(e.o.size, 10))
		b.WriteString("</Size><StorageClass>STANDARD</StorageClass></Contents>")
	}
	b.WriteString("</ListBucketResult>")
	return b.String()
}

// escapeXML escapes text for XML; most keys need nothing.
func escapeXML(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c >= 0x20 && c < 0x7f && c != '<' && c != '>' && c != '&' && c != '"' && c != '\''
	}
	if plain {
		return s
	}
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
