package cos

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
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
		Client: s.client, Fault: s.fault, Unmarshal: xml.Unmarshal, Failed: wire.IsXMLError, RequestID: requestID,
		URL: func(r *wire.Request) (*url.URL, error) {
			return wire.KeyURL(s.base, s.prefix, r, checkKey, wire.EscapeQuery)
		},
		Sign: s.sign,
	}
}

// sign adds the sum of a document, and the signature.
func (s *Store) sign(_ context.Context, req *http.Request, r *wire.Request) error {
	switch {
	case r.Document != nil:
		sum := md5.Sum(r.Document)
		req.Header["Content-Md5"] = []string{base64.StdEncoding.EncodeToString(sum[:])}
		req.Header["Content-Type"] = []string{"application/xml"}
	case r.Body == nil && !r.Reads() && r.Method != http.MethodDelete:
		req.Body = http.NoBody // so that the length is sent that was signed
	}
	sign(req, *s.creds.Load(), s.now())
	return nil
}

// checkKey refuses what COS does not take for a name (https://www.tencentcloud.com/document/product/436/13324).
func checkKey(full string) error {
	switch {
	case full == "":
		return errors.New("the key is empty")
	case len(full) > maxKey:
		return fmt.Errorf("the key has %d bytes; COS takes %d", len(full), maxKey)
	case full[0] == '/', full[0] == '\\':
		return fmt.Errorf("keys of COS do not begin with %q", full[:1])
	case !utf8.ValidString(full):
		return errors.New("the key is not valid UTF-8, which keys of COS are")
	case strings.ContainsAny(full, "\x18\x19\x1a\x1b"):
		return errors.New("the key has one of the control characters 24 to 27, which COS refuses")
	case path.Clean("/"+full) == "/":
		// A server that merges paths would take a request about it for one about the bucket: the vendor's SDK refuses it too.
		return errors.New("the key stands for the bucket itself, as a path")
	}
	return nil
}
