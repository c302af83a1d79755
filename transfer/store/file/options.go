package file

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// linkRule says what a listing makes of symbolic links.
type linkRule string

const (
	linksSkip   linkRule = "skip"   // name them with a reason
	linksFollow linkRule = "follow" // read what they point at, wherever it is
	linksKeep   linkRule = "keep"   // copy the link itself
)

// options of a location.
type options struct {
	links     linkRule
	emptyDirs bool
}

// Validate checks a location without I/O: its path and the options links (skip, follow, keep; default skip) and
// empty_dirs (true, false; default false).
func Validate(l store.Location) error {
	_, err := parseOptions(l)
	return err
}

func parseOptions(l store.Location) (options, error) {
	opts := options{links: linksSkip}
	path := nativePath(l.Path)
	if l.Bucket != "" || !filepath.IsAbs(path) || strings.Contains(path, "\x00") {
		return opts, fmt.Errorf("%q is not an absolute file path", l.Path)
	}
	if err := store.CheckOptions(l, "links", "empty_dirs"); err != nil {
		return opts, err
	}
	if l.Options.Has("links") {
		opts.links = linkRule(l.Options.Get("links"))
	}
	switch opts.links {
	case linksSkip, linksFollow, linksKeep:
	default:
		return opts, fmt.Errorf("option links=%s: want skip, follow or keep", opts.links)
	}
	if l.Options.Has("empty_dirs") {
		switch v := l.Options.Get("empty_dirs"); v {
		case "true":
			opts.emptyDirs = true
		case "false":
		default:
			return opts, fmt.Errorf("option empty_dirs=%s: want true or false", v)
		}
	}
	return opts, nil
}
