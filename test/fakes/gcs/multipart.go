package gcs

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Limits (https://cloud.google.com/storage/quotas#multipart-uploads).
const (
	smallestPart = 5 << 20
	mostParts    = 10000
)

// upload is one open upload.
type upload struct {
	bucket, key, id string
	began           time.Time
	header          http.Header
	parts           map[int]part
}

type part struct {
	content []byte
	etag    string
}

// serveMultipart answers requests about uploads.
func (s *Server) serveMultipart(w http.ResponseWriter, r *http.Request, bucket, key string) {
	q := r.URL.Query()
	switch {
	case q.Has("uploads") && r.Method == http.MethodGet && key == "":
		s.listUploads(w, q, bucket)
	case q.Has("uploads") && r.Method == http.MethodPost && key != "":
		s.createUpload(w, r, bucket, key)
	case r.Method == http.MethodPut && q.Has("partNumber"):
		s.putPart(w, r, bucket, key)
	default:
		s.mu.Lock()
		u := s.find(bucket, key, q.Get("uploadId"))
		s.mu.Unlock()
		switch {
		case u == nil:
			noUpload(w)
		case r.Method == http.MethodGet:
			s.listParts(w, q, u)
		case r.Method == http.MethodPost:
			s.complete(w, r, u)
		case r.Method == http.MethodDelete:
			s.mu.Lock()
			delete(s.uploads, u.id)
			s.mu.Unlock()
			w.WriteHeader(http.StatusNoContent)
		default:
			xmlError(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		}
	}
}

func noUpload(w http.ResponseWriter) {
	xmlError(w, http.StatusNotFound, "NoSuchUpload", "The requested upload was not found.")
}

// find gives an upload of exactly this object; the caller holds the lock.
func (s *Server) find(bucket, key, id string) *upload {
	if u := s.uploads[id]; u != nil && u.bucket == bucket && u.key == key {
		return u
	}
	return nil
}

// Uploads gives the IDs of the uploads that are open in a bucket, sorted.
func (s *Server) Uploads(bucket string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, u := range s.uploads {
		if u.bucket == bucket {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Parts tells how many parts the uploads of a bucket hold.
func (s *Server) Parts(bucket string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		if u.bucket == bucket {
			n += len(u.parts)
		}
	}
	return n
}

func (s *Server) createUpload(w http.ResponseWriter, r *http.Request, bucket, key string) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.ContentLength != 0 {
		xmlError(w, http.StatusBadRequest, "InvalidArgument", "A request to initiate a multipart upload has no body.")
		return
	}
	resp, err := http.Get(s.backend + "/storage/v1/b/" + bucket)
	if err != nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		xmlError(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
		return
	}
	s.mu.Lock()
	s.nextID++
	u := &upload{bucket: bucket, key: key, id: fmt.Sprintf("VXBsb2Fk+%06d/=", s.nextID), began: s.Now(), header: r.Header.Clone(), parts: map[int]part{}}
	s.uploads[u.id] = u
	s.mu.Unlock()
	xmlDocument(w, struct {
		XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket  string   `xml:"Bucket"`
		Key     string   `xml:"Key"`
		ID      string   `xml:"UploadId"`
	}{Bucket: bucket, Key: key, ID: u.id})
}

func xmlDocument(w http.ResponseWriter, doc any) {
	text, err := xml.Marshal(doc)
	if err != nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

func (s *Server) putPart(w http.ResponseWriter, r *http.Request, bucket, key string) {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("partNumber"))
	if err != nil || n < 1 || n > mostParts {
		xmlError(w, http.StatusBadRequest, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.")
		return
	}
	if r.ContentLength < 0 {
		xmlError(w, http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) != r.ContentLength {
		xmlError(w, http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
		return
	}
	hash := md5.Sum(content)
	crc := crc32cOf(content)
	if !sumsHold(r.Header, base64.StdEncoding.EncodeToString(hash[:]), crc) {
		xmlError(w, http.StatusBadRequest, "BadDigest", "The Content-MD5 or checksum you specified did not match what we received.")
		return
	}
	s.mu.Lock()
	u := s.find(bucket, key, q.Get("uploadId"))
	if u != nil {
		u.parts[n] = part{content, hex.EncodeToString(hash[:])}
	}
	s.mu.Unlock()
	if u == nil {
		noUpload(w)
		return
	}
	w.Header().Set("Etag", `"`+hex.EncodeToString(hash[:])+`"`)
	w.Header()["X-Goog-Hash"] = []string{"crc32c=" + crc, "md5=" + base64.StdEncoding.EncodeToString(hash[:])}
}

func crc32cOf(content []byte) string {
	sum := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// sumsHold checks the sums that came with content.
func sumsHold(h http.Header, md5Sum, crc string) bool {
	if sent := h.Get("Content-Md5"); sent != "" && sent != md5Sum {
		return false
	}
	for _, line := range h["X-Goog-Hash"] {
		for pair := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if name == "md5" && value != md5Sum || name == "crc32c" && value != crc {
				return false
			}
		}
	}
	return true
}

type listedUpload struct {
	Key       string `xml:"Key"`
	ID        string `xml:"UploadId"`
	Class     string `xml:"StorageClass"`
	Initiated string `xml:"Initiated"`
}

func (s *Server) listUploads(w http.ResponseWriter, q url.Values, bucket string) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.uploads))
	s.mu.Unlock()
	sort.Slice(all, func(i, j int) bool {
		if all[i].key != all[j].key {
			return all[i].key < all[j].key
		}
		return all[i].id < all[j].id
	})
	name := func(key string) string { return key }
	if q.Get("encoding-type") == "url" {
		name = url.QueryEscape
	}
	most := limit(q.Get("max-uploads"))
	doc := struct {
		XMLName   xml.Name       `xml:"ListMultipartUploadsResult"`
		Encoding  string         `xml:"EncodingType,omitempty"`
		Truncated bool           `xml:"IsTruncated"`
		NextKey   string         `xml:"NextKeyMarker,omitempty"`
		NextID    string         `xml:"NextUploadIdMarker,omitempty"`
		Uploads   []listedUpload `xml:"Upload"`
	}{Encoding: q.Get("encoding-type")}
	marker, idMarker := q.Get("key-marker"), q.Get("upload-id-marker")
	for _, u := range all {
		if u.bucket != bucket || !strings.HasPrefix(u.key, q.Get("prefix")) {
			continue
		}
		if marker != "" && (u.key < marker || u.key == marker && (idMarker == "" || u.id <= idMarker)) {
			continue
		}
		if len(doc.Uploads) == most {
			doc.Truncated = true
			break
		}
		doc.Uploads = append(doc.Uploads, listedUpload{name(u.key), u.id, "STANDARD", u.began.UTC().Format(time.RFC3339Nano)})
		doc.NextKey, doc.NextID = name(u.key), u.id
	}
	if !doc.Truncated {
		doc.NextKey, doc.NextID = "", ""
	}
	xmlDocument(w, doc)
}

func limit(text string) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(n, 1000)
	}
	return 1000
}

type listedPart struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
	Size   int    `xml:"Size"`
}

func (s *Server) listParts(w http.ResponseWriter, q url.Values, u *upload) {
	after, _ := strconv.Atoi(q.Get("part-number-marker"))
	most := limit(q.Get("max-parts"))
	doc := struct {
		XMLName   xml.Name     `xml:"ListPartsResult"`
		Truncated bool         `xml:"IsTruncated"`
		Next      int          `xml:"NextPartNumberMarker"`
		Parts     []listedPart `xml:"Part"`
	}{}
	s.mu.Lock()
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= after {
			continue
		}
		if len(doc.Parts) == most {
			doc.Truncated = true
			break
		}
		doc.Parts = append(doc.Parts, listedPart{n, `"` + u.parts[n].etag + `"`, len(u.parts[n].content)})
		doc.Next = n
	}
	s.mu.Unlock()
	xmlDocument(w, doc)
}

// complete makes the object of the parts that the request names.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, u *upload) {
	var doc struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Parts   []struct {
			Number int    `xml:"PartNumber"`
			ETag   string `xml:"ETag"`
		} `xml:"Part"`
	}
	if err := xml.NewDecoder(r.Body).Decode(&doc); err != nil || len(doc.Parts) == 0 {
		xmlError(w, http.StatusBadRequest, "MalformedCompleteMultipartUploadRequest", "The XML you provided was not well-formed.")
		return
	}
	var whole []byte
	last := 0
	s.mu.Lock()
	for i, p := range doc.Parts {
		held, ok := u.parts[p.Number]
		code := ""
		switch {
		case p.Number <= last:
			code = "InvalidPartOrder"
		case !ok || held.etag != strings.Trim(p.ETag, `"`):
			code = "InvalidPart"
		case i < len(doc.Parts)-1 && len(held.content) < smallestPart:
			code = "EntityTooSmall"
		}
		if code != "" {
			s.mu.Unlock()
			xmlError(w, http.StatusBadRequest, code, "One or more of the parts cannot be used.")
			return
		}
		last, whole = p.Number, append(whole, held.content...)
	}
	s.mu.Unlock()
	a, err := s.store(u, whole)
	if err != nil {
		xmlError(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	s.mu.Lock()
	delete(s.uploads, u.id)
	s.composed[u.bucket+"/"+u.key+"#"+a.Generation] = true
	s.mu.Unlock()
	w.Header().Set("X-Goog-Hash", "crc32c="+a.CRC32C)
	xmlDocument(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket  string   `xml:"Bucket"`
		Key     string   `xml:"Key"`
		ETag    string   `xml:"ETag"`
	}{Bucket: u.bucket, Key: u.key, ETag: `"-` + a.Generation + `"`})
}

// store writes an object to the server behind.
func (s *Server) store(u *upload, content []byte) (a attrs, err error) {
	h := u.header
	user := map[string]string{}
	for name := range h {
		if short, ok := strings.CutPrefix(name, "X-Goog-Meta-"); ok {
			user[strings.ToLower(short)] = h.Get(name)
		}
	}
	meta, err := json.Marshal(map[string]any{
		"name": u.key, "contentType": h.Get("Content-Type"), "cacheControl": h.Get("Cache-Control"), "contentLanguage": h.Get("Content-Language"),
		"contentDisposition": h.Get("Content-Disposition"), "contentEncoding": h.Get("Content-Encoding"), "metadata": user,
		"storageClass": h.Get("X-Goog-Storage-Class"),
	})
	if err != nil {
		return a, err
	}
	const boundary = "front-boundary-0123456789"
	kind := h.Get("Content-Type")
	if kind == "" {
		kind = "application/octet-stream"
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "--%s\r\nContent-Type: application/json\r\n\r\n%s\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary, meta, boundary, kind)
	body.Write(content)
	fmt.Fprintf(&body, "\r\n--%s--\r\n", boundary)
	query := url.Values{"uploadType": {"multipart"}}
	if acl := h.Get("X-Goog-Acl"); acl == "public-read" {
		query.Set("predefinedAcl", "publicRead")
	}
	req, err := http.NewRequest(http.MethodPost, s.backend+"/upload/storage/v1/b/"+u.bucket+"/o?"+query.Encode(), &body)
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "multipart/related; boundary="+boundary)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("store object: %s", resp.Status)
	}
	return a, json.NewDecoder(resp.Body).Decode(&a)
}
