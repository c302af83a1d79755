package wire

import (
	"errors"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Folder makes a prefix of a path: it always ends in "/", so that "photos" is not "photos-old".
func Folder(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// Single tells whether a location's path names one existing object: one without a "/" at its end may. It moves the prefix
// to the object's folder, where it stays if so.
func Single(path string, prefix *string, stat func(key string) error) (key string, ok bool, err error) {
	if path == "" || strings.HasSuffix(path, "/") {
		return "", false, nil
	}
	was := *prefix
	cut := strings.LastIndexByte(path, '/') + 1
	*prefix, key = path[:cut], path[cut:]
	err = stat(key)
	switch {
	case err == nil:
		return key, true, nil
	case store.ClassOf(err) == store.NotFound:
		err = nil
	}
	*prefix = was
	return "", false, err
}

// KindOf tells directory markers by their names: empty, and "/" at the end of the whole key.
func KindOf(full string, size int64) store.Kind {
	if size == 0 && strings.HasSuffix(full, "/") {
		return store.KindDir
	}
	return store.KindObject
}

// BodyOfKind gives directory markers no content, and refuses what an object store cannot hold. Links come as objects whose content and
// metadata say what they are.
func BodyOfKind(key string, body store.Body, opts store.PutOptions) (store.Body, error) {
	switch opts.Kind {
	case store.KindObject, store.KindSymlink:
		return body, nil
	case store.KindDir:
		if !strings.HasSuffix(key, "/") && key != "" {
			return body, errors.New("the key of a directory marker ends in \"/\"")
		}
		return store.Body{}, nil
	}
	return body, errors.New("special files cannot be stored")
}

// Unquote gives an ETag as package store has it.
func Unquote(etag string) string { return strings.Trim(etag, `"`) }

// Quote gives an ETag as headers have it.
func Quote(etag string) string { return `"` + etag + `"` }
