package bos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// caller sends requests to the bucket.
func (s *Store) caller() wire.Caller {
	return wire.Caller{
		Client: s.client, Fault: s.fault, Unmarshal: json.Unmarshal, Failed: isFailure, RequestID: requestID,
		URL: func(r *wire.Request) (*url.URL, error) {
			return wire.KeyURL(s.base, s.prefix, r, checkKey, wire.EscapePath)
		},
		Sign: func(_ context.Context, req *http.Request, r *wire.Request) error {
			if r.Document != nil {
				req.Header["Content-Type"] = []string{"application/json; charset=utf-8"}
			}
			sign(req, req.URL.Path, *s.creds.Load(), s.now())
			return nil
		},
	}
}

// isFailure tells whether an answer is that of an error: the status may be sent before the work is done.
func isFailure(data []byte) bool {
	var failed refusal
	return json.Unmarshal(data, &failed) == nil && failed.Code != "" && failed.Code != codeSuccess
}

// codeSuccess is the code of what went well, where an answer has one (https://cloud.baidu.com/doc/BOS/s/Ajwvysfpl).
const codeSuccess = "success"

// checkKey refuses what BOS does not take for a name, and what the vendor's tools hold back because it would be taken for
// another path: "..", and the API's version (https://cloud.baidu.com/doc/BOS/s/Rjwvysdnp). An empty key is the bucket itself.
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; BOS takes %d", len(full), maxKey)
	case full[0] == '/':
		return errors.New("keys of BOS do not begin with \"/\"")
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of BOS are")
	case hasDots(full):
		return errors.New("BOS takes no \"..\" as a folder")
	}
	if clean := strings.Trim(path.Clean("/"+full), "/"); clean == "" || clean == "v1" {
		return fmt.Errorf("the key %q would lead to the bucket itself", full)
	}
	return nil
}

// hasDots tells whether a part of a path is "..".
func hasDots(text string) bool {
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
