package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// maxCheck bounds what is read of a listing that only has to be one, in bytes.
const maxCheck = 64 << 10

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials, region and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	query := "encoding-type=url&list-type=2&max-keys=1&prefix=" + wire.EscapeQuery(s.prefix)
	resp, err := s.do(ctx, request{op: "check", method: http.MethodGet, bucket: true, query: query})
	if err != nil {
		return time.Time{}, wire.FirstContact(err)
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxCheck))
	wire.Finish(resp.Body)
	if err != nil {
		return time.Time{}, wire.FirstContact(s.wrap(ctx, "check", "", err))
	}
	if !strings.Contains(string(head), "<ListBucketResult") {
		return time.Time{}, &store.Error{Op: "check", Class: store.Misconfigured, Hint: "check the endpoint", Err: fmt.Errorf("the answer is no S3 listing")}
	}
	clock, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil // a server without a clock of its own is allowed
	}
	return clock.UTC(), nil
}
