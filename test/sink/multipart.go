package sink

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of multipart uploads, as in S3 (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const (
	minPart  = 5 << 20
	maxParts = 10_000
	maxXML   = 4 << 20 // bytes of a CompleteMultipartUpload document
)

// upload is a multipart upload that is open.
type upload struct {
	id, bucket, key string
	started         time.Time
	meta            http.Header
	algorithm       string // of its parts' checksums; "" for none
	composite       bool
	parts           map[int]*object
}

func (s *Server) createUpload(w http.ResponseWriter, r *request) *apiError {
	if _, ok := parseSynthetic(r.bucket); ok {
		return errMethodNotAllowed
	}
	u := &upload{
		bucket: r.bucket, key: r.key, started: s.opts.Now(), meta: metadataOf(r.Header), parts: map[int]*object{},
		algorithm: strings.ToUpper(r.Header.Get("X-Amz-Checksum-Algorithm")),
		// S3's default is composite where the algorithm allows it.
		composite: r.Header.Get("X-Amz-Checksum-Type") != "FULL_OBJECT",
	}
	if u.algorithm == "CRC64NVME" {
		u.composite = false
	}
	if u.algorithm != "" && newHash(u.algorithm) == nil {
		return errInvalidArgument
	}
	if _, bits := polynomialOf(u.algorithm); u.algorithm != "" && !u.composite && bits == 0 {
		return errInvalidArgument
	}
	s.mu.Lock()
	s.lastID++
	u.id = fmt.Sprintf("upload-%08d", s.lastID)
	s.uploads[u.id] = u
	s.mu.Unlock()
	if u.algorithm != "" {
		w.Header().Set("X-Amz-Checksum-Algorithm", u.algorithm)
	}
	s.answer(w, "<InitiateMultipartUploadResult><Bucket>"+escapeXML(u.bucket)+"</Bucket><Key>"+escapeXML(u.key)+
		"</Key><UploadId>"+u.id+"</UploadId></InitiateMultipartUploadResult>")
	return nil
}

// uploadOf returns the upload that a request names, nil where it is not open at the key. The caller holds the lock.
func (s *Server) uploadOf(r *request) *upload {
	u := s.uploads[r.query.Get("uploadId")]
	if u == nil || u.bucket != r.bucket || u.key != r.key {
		return nil
	}
	return u
}

func (s *Server) uploadPart(w http.ResponseWriter, r *request) *apiError {
	n, err := strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || n < 1 || n > maxParts {
		return errInvalidArgument
	}
	s.mu.Lock()
	u := s.uploadOf(r)
	s.mu.Unlock()
	if u == nil {
		return errNoSuchUpload
	}
	o, aerr := s.readBody(r, u.algorithm)
	if aerr != nil {
		return aerr
	}
	o.at = s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploadOf(r) == nil { // completed or aborted meanwhile
		return errNoSuchUpload
	}
	if old := u.parts[n]; old != nil {
		s.kept.Add(-int64(len(old.data)))
	}
	u.parts[n] = o
	w.Header().Set("ETag", quote(o.etag))
	o.sums.setHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) listParts(w http.ResponseWriter, r *request) *apiError {
	limit, after := 1000, 0
	if v, err := strconv.Atoi(r.query.Get("max-parts")); err == nil && v > 0 {
		limit = min(v, 1000)
	}
	if v, err := strconv.Atoi(r.query.Get("part-number-marker")); err == nil {
		after = v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploadOf(r)
	if u == nil {
		return errNoSuchUpload
	}
	var b strings.Builder
	b.WriteString("<ListPartsResult><Bucket>" + escapeXML(u.bucket) + "</Bucket><Key>" + escapeXML(u.key) + "</Key><UploadId>" + u.id + "</UploadId>")
	if u.algorithm != "" {
		b.WriteString("<ChecksumAlgorithm>" + u.algorithm + "</ChecksumAlgorithm><ChecksumType>" + checksums{composite: u.composite}.kind() + "</ChecksumType>")
	}
	truncated, count, last := false, 0, 0
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= after {
			continue
		}
		if count == limit {
			truncated = true
			break
		}
		p := u.parts[n]
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%d</Size>%s</Part>",
			n, p.at.UTC().Format(stamp), p.etag, p.size, p.sums.element())
		count, last = count+1, n
	}
	fmt.Fprintf(&b, "<MaxParts>%d</MaxParts><IsTruncated>%t</IsTruncated>", limit, truncated)
	if truncated {
		fmt.Fprintf(&b, "<NextPartNumberMarker>%d</NextPartNumberMarker>", last)
	}
	b.WriteString("</ListPartsResult>")
	s.answer(w, b.String())
	return nil
}

func (s *Server) listUploads(w http.ResponseWriter, r *request) *apiError {
	limit := 1000
	if v, err := strconv.Atoi(r.query.Get("max-uploads")); err == nil && v > 0 {
		limit = min(v, 1000)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*upload
	for _, u := range s.uploads {
		if u.bucket == r.bucket && strings.HasPrefix(u.key, r.query.Get("prefix")) && u.after(r.query.Get("key-marker"), r.query.Get("upload-id-marker")) {
			open = append(open, u)
		}
	}
	slices.SortFunc(open, func(a, b *upload) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id)) })
	truncated := len(open) > limit
	open = open[:min(limit, len(open))]
	var b strings.Builder
	b.WriteString("<ListMultipartUploadsResult><Bucket>" + escapeXML(r.bucket) + "</Bucket>")
	fmt.Fprintf(&b, "<MaxUploads>%d</MaxUploads><IsTruncated>%t</IsTruncated>", limit, truncated)
	if truncated {
		last := open[len(open)-1]
		b.WriteString("<NextKeyMarker>" + escapeXML(last.key) + "</NextKeyMarker><NextUploadIdMarker>" + last.id + "</NextUploadIdMarker>")
	}
	for _, u := range open {
		b.WriteString("<Upload><Key>" + escapeXML(u.key) + "</Key><UploadId>" + u.id + "</UploadId><Initiated>" +
			u.started.UTC().Format(stamp) + "</Initiated><StorageClass>STANDARD</StorageClass></Upload>")
	}
	b.WriteString("</ListMultipartUploadsResult>")
	s.answer(w, b.String())
	return nil
}

// after tells whether an upload comes behind the markers of a listing.
func (u *upload) after(key, id string) bool {
	return key == "" || u.key > key || u.key == key && id != "" && u.id > id
}

func (s *Server) abortUpload(w http.ResponseWriter, r *request) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploadOf(r)
	if u == nil {
		return errNoSuchUpload
	}
	for _, p := range u.parts {
		s.kept.Add(-int64(len(p.data)))
	}
	delete(s.uploads, u.id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// completion is the body of CompleteMultipartUpload.
type completion struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Parts   []struct {
		PartNumber        int
		ETag              string
		ChecksumCRC32     string
		ChecksumCRC32C    string
		ChecksumCRC64NVME string
	} `xml:"Part"`
}

func (s *Server) completeUpload(w http.ResponseWriter, r *request) *apiError {
	var c completion
	if err := xml.NewDecoder(io.LimitReader(r.Body, maxXML)).Decode(&c); err != nil || len(c.Parts) == 0 || len(c.Parts) > maxParts {
		return errMalformedXML
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploadOf(r)
	if u == nil {
		return errNoSuchUpload
	}
	parts, aerr := u.chosen(&c)
	if aerr != nil {
		return aerr
	}
	o := assemble(parts)
	o.meta, o.at, o.sums = u.meta, s.opts.Now(), whole(u.algorithm, u.composite, parts)
	if u.algorithm != "" {
		if want := r.Header.Get(checksumHeader + u.algorithm); want != "" && want != o.sums.value {
			return errBadDigest
		}
	}
	if aerr := s.condition(r); aerr != nil {
		return aerr
	}
	s.replace(u.bucket, u.key, o)
	delete(s.uploads, u.id)
	kind := ""
	if u.algorithm != "" {
		kind = "<ChecksumType>" + o.sums.kind() + "</ChecksumType>"
	}
	s.answer(w, "<CompleteMultipartUploadResult><Bucket>"+escapeXML(u.bucket)+"</Bucket><Key>"+escapeXML(u.key)+
		"</Key><ETag>&quot;"+o.etag+"&quot;</ETag>"+o.sums.element()+kind+"</CompleteMultipartUploadResult>")
	return nil
}

// chosen returns the parts that a completion names, having checked order, ETags, checksums and sizes.
func (u *upload) chosen(c *completion) ([]*object, *apiError) {
	var parts []*object
	for i, p := range c.Parts {
		if i > 0 && p.PartNumber <= c.Parts[i-1].PartNumber {
			return nil, errInvalidPartOrder
		}
		have := u.parts[p.PartNumber]
		if have == nil || unquote(p.ETag) != have.etag {
			return nil, errInvalidPart
		}
		sent := map[string]string{"CRC32": p.ChecksumCRC32, "CRC32C": p.ChecksumCRC32C, "CRC64NVME": p.ChecksumCRC64NVME}[u.algorithm]
		if sent != "" && sent != have.sums.value {
			return nil, errInvalidPart
		}
		if have.size < minPart && i < len(c.Parts)-1 {
			return nil, errEntityTooSmall
		}
		parts = append(parts, have)
	}
	return parts, nil
}

// assemble makes one object of parts: its ETag is the MD5 of their MD5s, with their number.
func assemble(parts []*object) *object {
	o := &object{parts: len(parts)}
	h := md5.New()
	for _, p := range parts {
		raw, _ := hex.DecodeString(p.etag)
		h.Write(raw)
		o.size += p.size
	}
	o.etag = fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
	if parts[0].data != nil {
		o.data = make([]byte, 0, o.size)
		for _, p := range parts {
			o.data = append(o.data, p.data...)
		}
	}
	return o
}
