package oss

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// caller sends requests to the bucket.
func (s *Store) caller() wire.Caller {
	return wire.Caller{
		Client: s.client, Fault: s.fault, Unmarshal: xml.Unmarshal, Failed: wire.IsXMLError, RequestID: requestID,
		URL: func(r *wire.Request) (*url.URL, error) {
			return wire.KeyURL(s.base, s.prefix, r, checkKey, wire.EscapePath)
		},
		Sign: func(_ context.Context, req *http.Request, r *wire.Request) error {
			full := ""
			if !r.Bucket {
				full = s.prefix + r.Key
			}
			s.signer.sign(req, full, *s.creds.Load(), s.now())
			return nil
		},
	}
}

// checkKey refuses what OSS does not take for a name
// (https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions). An empty key is the bucket itself.
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; OSS takes %d", len(full), maxKey)
	case full[0] == '/', full[0] == '\\':
		return fmt.Errorf("keys of OSS do not begin with %q", full[:1])
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of OSS are")
	}
	return nil
}
