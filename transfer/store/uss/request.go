package uss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// caller sends requests to the service.
func (s *Store) caller() wire.Caller {
	return wire.Caller{
		Client: s.client, Fault: s.fault, Unmarshal: json.Unmarshal, RequestID: requestID,
		URL: func(r *wire.Request) (*url.URL, error) {
			u := s.base
			u.Path, u.RawPath = s.base.Path+"/"+r.Path, s.base.Path+"/"+wire.EscapePath(r.Path)
			return &u, nil
		},
		Sign: func(_ context.Context, req *http.Request, _ *wire.Request) error {
			s.key.Load().sign(req, s.now())
			return nil
		},
	}
}

// on makes the request about a file, or about a folder by its marker. Names that cannot be are refused: at reads as missing.
func (s *Store) on(op, method, key string) (wire.Request, error) {
	full := s.prefix + key
	path := strings.TrimSuffix(full, "/")
	if err := checkKey(path); err != nil {
		return wire.Request{}, wire.BadKey(op, key, method == http.MethodGet || method == http.MethodHead, err)
	}
	return wire.Request{Op: op, Method: method, Key: key, Path: path, Header: make(http.Header, 12)}, nil
}

// since reads a time in seconds since 1970; what is no time is the zero one.
func since(seconds int64) time.Time {
	if seconds <= 0 || seconds > 1<<38 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// checkKey refuses what cannot be the name of a file or folder.
func checkKey(path string) error {
	switch {
	case path == "":
		return errors.New("the key is empty")
	case len(path) > maxKey:
		return fmt.Errorf("the key has %d bytes; USS takes %d", len(path), maxKey)
	case !utf8.ValidString(path):
		return errors.New("the key is not valid UTF-8, which names of USS are")
	case strings.ContainsAny(path, "\r\n\t\x00"):
		return errors.New("names of USS have no tabs and no ends of lines")
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("names of USS are paths: no \"/\" at the beginning and no \"//\" in them")
	case name == ".", name == "..":
		return fmt.Errorf("names of USS are paths: %q cannot be in them", name)
	case len(name) > maxName:
		return fmt.Errorf("%q has %d bytes between two \"/\"; USS takes %d", wire.Clip(name, 40), len(name), maxName)
	}
	return nil
}
