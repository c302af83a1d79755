package sink

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// object is what is remembered of one object or part.
type object struct {
	size  int64
	etag  string // without quotes
	at    time.Time
	meta  http.Header
	sums  checksums
	data  []byte // nil when not kept
	parts int    // of a multipart upload
}

// maxPut is the largest object of one PUT and the largest part, in bytes, as in S3
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const maxPut = 5 << 30

// metadataOf picks the headers that are kept with an object and given back with it.
func metadataOf(h http.Header) http.Header {
	m := http.Header{}
	for name, v := range h {
		switch name {
		case "Content-Type", "Cache-Control", "Content-Disposition", "Content-Language", "Expires", "X-Amz-Storage-Class":
			m[name] = v
		case "Content-Encoding":
			if e := withoutChunked(v); e != "" {
				m[name] = []string{e}
			}
		default:
			if strings.HasPrefix(name, "X-Amz-Meta-") {
				m[name] = v
			}
		}
	}
	return m
}

// withoutChunked removes "aws-chunked", which describes the transfer and not the object.
func withoutChunked(values []string) string {
	var kept []string
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
				kept = append(kept, e)
			}
		}
	}
	return strings.Join(kept, ",")
}

func (s *Server) putObject(w http.ResponseWriter, r *request) *apiError {
	if _, ok := parseSynthetic(r.bucket); ok {
		return errMethodNotAllowed
	}
	// A refusal before the body is read saves the client from sending it.
	if err := s.checkWrite(r); err != nil {
		return err
	}
	o, err := s.readBody(r, "")
	if err != nil {
		return err
	}
	o.meta, o.at = metadataOf(r.Header), s.opts.Now()
	if err := s.store(r, o); err != nil {
		return err
	}
	w.Header().Set("ETag", quote(o.etag))
	o.sums.setHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	return nil
}

// store makes an object exist, under the request's condition.
func (s *Server) store(r *request, o *object) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.condition(r); err != nil {
		s.kept.Add(-int64(len(o.data)))
		return err
	}
	s.replace(r.bucket, r.key, o)
	return nil
}

// replace puts an object in the place of what stands at its key. The caller holds the lock.
func (s *Server) replace(bucket, key string, o *object) {
	b := s.bucketOf(bucket)
	if old := b.objects[key]; old != nil {
		s.kept.Add(-int64(len(old.data)))
	}
	b.put(key, o)
}

func (s *Server) checkWrite(r *request) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condition(r)
}

// condition checks If-None-Match: * and If-Match of a write. The caller holds the lock.
func (s *Server) condition(r *request) *apiError {
	absent, match := r.Header.Get("If-None-Match"), r.Header.Get("If-Match")
	if absent == "" && match == "" {
		return nil
	}
	var old *object
	if b := s.buckets[r.bucket]; b != nil {
		old = b.objects[r.key]
	}
	switch {
	case absent == "*" && old != nil:
		return errPrecondition
	case match != "" && old == nil:
		return errNoSuchKey
	case match != "" && unquote(match) != old.etag:
		return errPrecondition
	}
	return nil
}

// bucketOf returns a bucket, new where it is named first. The caller holds the lock.
func (s *Server) bucketOf(name string) *bucket {
	b := s.buckets[name]
	if b == nil {
		b = &bucket{objects: map[string]*object{}}
		s.buckets[name] = b
	}
	return b
}

// find returns an object, nil where there is none.
func (s *Server) find(bucket, key string) *object {
	if b, ok := parseSynthetic(bucket); ok {
		return s.syn.object(b, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[bucket]; b != nil {
		return b.objects[key]
	}
	return nil
}

func (s *Server) getObject(w http.ResponseWriter, r *request) *apiError {
	o := s.find(r.bucket, r.key)
	if o == nil {
		return errNoSuchKey
	}
	if err := readCondition(r, o); err != nil {
		return err
	}
	from, n, ranged, err := rangeOf(r.Header.Get("Range"), o.size)
	if err != nil {
		return err
	}
	h := w.Header()
	for name, v := range o.meta {
		h[name] = v
	}
	h.Set("ETag", quote(o.etag))
	h.Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	if o.parts > 0 {
		h.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(o.parts))
	}
	if strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "enabled") && !ranged {
		o.sums.setHeaders(h)
	}
	status := http.StatusOK
	if ranged {
		h.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(from+n-1, 10)+"/"+strconv.FormatInt(o.size, 10))
		status = http.StatusPartialContent
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return nil
	}
	_, isSyn := parseSynthetic(r.bucket)
	if !isSyn && o.data == nil && o.size > 0 {
		h.Del("Content-Length")
		return errNotKept
	}
	w.WriteHeader(status)
	var sent int64
	if isSyn {
		sent = s.syn.write(w, from, n)
	} else {
		m, _ := w.Write(o.data[from : from+n])
		sent = int64(m)
	}
	s.count.out.Add(sent)
	return nil
}

// readCondition checks the conditions of a GET or HEAD in the order that RFC 9110, section 13.2.2, asks for.
func readCondition(r *request, o *object) *apiError {
	at := o.at.Truncate(time.Second)
	if v := r.Header.Get("If-Match"); v != "" {
		if v != "*" && unquote(v) != o.etag {
			return errPrecondition
		}
	} else if t, err := http.ParseTime(r.Header.Get("If-Unmodified-Since")); err == nil && at.After(t) {
		return errPrecondition
	}
	if v := r.Header.Get("If-None-Match"); v != "" {
		if v == "*" || unquote(v) == o.etag {
			return errNotModified
		}
	} else if t, err := http.ParseTime(r.Header.Get("If-Modified-Since")); err == nil && !at.After(t) {
		return errNotModified
	}
	return nil
}

// rangeOf reads a Range header of one range. ranged is false where there is none.
func rangeOf(header string, size int64) (from, n int64, ranged bool, err *apiError) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return 0, size, false, nil
	}
	if first == "" {
		suffix, perr := strconv.ParseInt(last, 10, 64)
		if perr != nil || suffix <= 0 || size == 0 {
			return 0, 0, false, errInvalidRange
		}
		suffix = min(suffix, size)
		return size - suffix, suffix, true, nil
	}
	from, perr := strconv.ParseInt(first, 10, 64)
	if perr != nil || from >= size {
		return 0, 0, false, errInvalidRange
	}
	end := size - 1
	if last != "" {
		v, perr := strconv.ParseInt(last, 10, 64)
		if perr != nil || v < from {
			return 0, 0, false, errInvalidRange
		}
		end = min(end, v)
	}
	return from, end - from + 1, true, nil
}

func (s *Server) deleteObject(w http.ResponseWriter, r *request) *apiError {
	if _, ok := parseSynthetic(r.bucket); ok {
		return errMethodNotAllowed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[r.bucket]; b != nil {
		if o := b.remove(r.key); o != nil {
			s.kept.Add(-int64(len(o.data)))
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// copyObject copies what is remembered; it moves no bytes. A synthetic source leaves no content behind.
func (s *Server) copyObject(w http.ResponseWriter, r *request) *apiError {
	source, uerr := url.PathUnescape(r.Header.Get("X-Amz-Copy-Source"))
	if uerr != nil {
		return errInvalidArgument
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(source, "/"), "/")
	from := s.find(bucket, key)
	if from == nil {
		return errNoSuchKey
	}
	if v := r.Header.Get("X-Amz-Copy-Source-If-Match"); v != "" && unquote(v) != from.etag {
		return errPrecondition
	}
	o := *from
	o.at = s.opts.Now()
	s.kept.Add(int64(len(o.data))) // counted twice though shared: each key may outlive the other
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		o.meta = metadataOf(r.Header)
	}
	if err := s.store(r, &o); err != nil {
		return err
	}
	s.answer(w, "<CopyObjectResult><ETag>&quot;"+o.etag+"&quot;</ETag><LastModified>"+o.at.UTC().Format(stamp)+
		"</LastModified></CopyObjectResult>")
	return nil
}

func quote(etag string) string { return `"` + etag + `"` }

func unquote(etag string) string { return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`) }
