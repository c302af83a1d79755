package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/azblob"
	"github.com/bucketbrigade/brigade/transfer/store/s3"
)

// overlap reports a source inside the destination, the reverse, or both the same: a copy would meet its own output.
func overlap(src, dst store.Location) error {
	a, b := s3.Place(src), s3.Place(dst)
	if a.Scheme != b.Scheme {
		return nil
	}
	if a.Scheme == "file" {
		return overlapFiles(nativePath(src.Path), nativePath(dst.Path))
	}
	if a.Bucket != b.Bucket || endpointOf(a) != endpointOf(b) {
		return nil
	}
	return overlapError(src.String(), dst.String(), within(src.Path, dst.Path), within(dst.Path, src.Path))
}

func overlapError(src, dst string, srcInDst, dstInSrc bool) error {
	switch {
	case srcInDst && dstInSrc:
		return fmt.Errorf("source and destination are the same place: %s and %s", src, dst)
	case srcInDst:
		return fmt.Errorf("the source %s lies inside the destination %s", src, dst)
	case dstInSrc:
		return fmt.Errorf("the destination %s lies inside the source %s", dst, src)
	}
	return nil
}

// within tells whether a prefix lies in another one or equals it; prefixes count as directories.
func within(inner, outer string) bool {
	outer = strings.TrimSuffix(outer, "/") + "/"
	inner = strings.TrimSuffix(inner, "/") + "/"
	return outer == "/" || strings.HasPrefix(inner, outer)
}

// endpointOf gives an endpoint one spelling: host in lower case, no default port.
func endpointOf(l store.Location) string {
	if l.Scheme == "azblob" {
		return azblob.AccountURL(l)
	}
	text := l.Options.Get("endpoint")
	if text != "" && !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if shared := namespaceOf(l.Scheme, host); shared != "" {
		return shared
	}
	if l.Scheme == "uss" && (host == "" || strings.HasSuffix(host, ".api.upyun.com")) {
		return "api.upyun.com" // services are unique in all of USS; the endpoints are lines to the same place
	}
	if l.Scheme == "gs" && (host == "" || strings.HasSuffix(host, ".googleapis.com")) {
		return "googleapis.com" // one name space as well (https://cloud.google.com/storage/docs/buckets#naming)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	return u.Scheme + "://" + host + ":" + port
}

// namespaces are vendors whose bucket names are unique among all of their customers, while a bucket has several endpoints: their
// endpoints end so, and locations may do without one.
var namespaces = []struct {
	scheme   string
	suffixes []string
}{
	{"oss", []string{".aliyuncs.com"}},                   // https://www.alibabacloud.com/help/en/oss/user-guide/bucket-naming-conventions
	{"cos", []string{".myqcloud.com", ".tencentcos.cn"}}, // the APPID is part of the name
	{"bos", []string{".bcebos.com"}},                     // https://cloud.baidu.com/doc/BOS/s/Ajwvysfpl, BucketAlreadyExists
}

// namespaceOf names the vendor whose bucket names are unique, "" where endpoints tell buckets apart.
func namespaceOf(scheme, host string) string {
	for _, n := range namespaces {
		if n.scheme != scheme {
			continue
		}
		if host == "" || slices.ContainsFunc(n.suffixes, func(suffix string) bool { return strings.HasSuffix(host, suffix) }) {
			return scheme
		}
	}
	return ""
}

// overlapFiles compares paths as the file system sees them: through symlinks, and whatever the spelling.
func overlapFiles(src, dst string) error {
	s, d := resolve(src), resolve(dst)
	info, err := os.Stat(s)
	if err == nil && !info.IsDir() {
		// One file: only writing it onto itself, or a tree below it, is in the way.
		target := filepath.Join(d, filepath.Base(s))
		return overlapError(src, dst, sameFile(s, target), sameFile(s, target) || inside(d, s))
	}
	return overlapError(src, dst, inside(s, d), inside(d, s))
}

// resolve follows symlinks as far as the path exists and keeps the rest.
func resolve(path string) string {
	path = filepath.Clean(path)
	rest := ""
	for p := path; ; p = filepath.Dir(p) {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(real, rest)
		}
		if p == filepath.Dir(p) {
			return path
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}

// inside tells whether a path is another one or lies below it.
func inside(inner, outer string) bool {
	for p := inner; ; p = filepath.Dir(p) {
		if p == outer || sameFile(p, outer) {
			return true
		}
		if p == filepath.Dir(p) {
			return false
		}
	}
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
