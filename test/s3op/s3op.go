// Package s3op tells which operation of S3's API a path-style HTTP request asks for, so that test servers and proxies
// count and pick requests by the same names.
package s3op

import (
	"net/http"
	"net/url"
	"strings"
)

// Operation is one operation, or a group of those that nobody tells apart.
type Operation int

// The operations. ListObjects is both versions.
const (
	Other Operation = iota
	PutObject
	GetObject
	HeadObject
	DeleteObject
	CopyObject
	ListObjects
	HeadBucket
	CreateMultipartUpload
	UploadPart
	UploadPartCopy
	ListParts
	ListMultipartUploads
	CompleteMultipartUpload
	AbortMultipartUpload
	// Count is how many there are.
	Count
)

// String gives the name in S3's API.
func (o Operation) String() string {
	return [Count]string{
		"Other", "PutObject", "GetObject", "HeadObject", "DeleteObject", "CopyObject", "ListObjects", "HeadBucket",
		"CreateMultipartUpload", "UploadPart", "UploadPartCopy", "ListParts", "ListMultipartUploads",
		"CompleteMultipartUpload", "AbortMultipartUpload",
	}[o]
}

// Request is what a request is about.
type Request struct {
	Op          Operation
	Bucket, Key string
	Query       url.Values
}

// Parse takes a request apart.
func Parse(r *http.Request) Request {
	var q Request
	q.Bucket, q.Key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.URL.RawQuery != "" {
		q.Query = r.URL.Query()
	}
	switch {
	case q.Bucket == "":
	case q.Key == "":
		q.Op = ofBucket(r.Method, q.Query)
	default:
		q.Op = ofObject(r.Method, q.Query, r.Header.Get("X-Amz-Copy-Source") != "")
	}
	return q
}

func ofBucket(method string, q url.Values) Operation {
	switch {
	case method == http.MethodHead:
		return HeadBucket
	case method != http.MethodGet:
		return Other
	case q.Has("uploads"):
		return ListMultipartUploads
	}
	// Every other question about a bucket is a sub-resource.
	for _, sub := range []string{"location", "versioning", "acl", "policy", "tagging", "object-lock", "versions", "encryption"} {
		if q.Has(sub) {
			return Other
		}
	}
	return ListObjects
}

func ofObject(method string, q url.Values, copies bool) Operation {
	inUpload := q.Has("uploadId")
	switch method {
	case http.MethodPut:
		switch {
		case inUpload && copies:
			return UploadPartCopy
		case inUpload:
			return UploadPart
		case copies:
			return CopyObject
		case q.Has("tagging") || q.Has("acl"):
			return Other
		}
		return PutObject
	case http.MethodGet:
		switch {
		case inUpload:
			return ListParts
		case q.Has("tagging") || q.Has("acl") || q.Has("attributes"):
			return Other
		}
		return GetObject
	case http.MethodHead:
		return HeadObject
	case http.MethodDelete:
		if inUpload {
			return AbortMultipartUpload
		}
		return DeleteObject
	case http.MethodPost:
		switch {
		case q.Has("uploads"):
			return CreateMultipartUpload
		case inUpload:
			return CompleteMultipartUpload
		}
	}
	return Other
}
