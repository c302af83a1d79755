package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// Check implements store.Source: one key of the listing under the prefix shows bucket, credentials, region and clock.
func (s *Store) Check(ctx context.Context) (time.Time, error) {
	query := "encoding-type=url&list-type=2&max-keys=1&prefix=" + escapeQuery(s.prefix)
	resp, err := s.do(ctx, request{op: "check", method: http.MethodGet, bucket: true, query: query})
	if err != nil {
		return time.Time{}, checkError(err)
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	finish(resp.Body)
	if err != nil {
		return time.Time{}, checkError(s.wrap(ctx, "check", "", err))
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

// checkError sees a failure as that of the first contact: what is not there is configured wrongly.
func checkError(err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return err
	}
	var netOp *net.OpError
	switch {
	case e.Class == store.NotFound:
		e.Class, e.Hint = store.Misconfigured, hintBucket
	case e.Class == store.Transient && errors.As(e.Err, &netOp) && netOp.Op == "dial":
		e.Class, e.Hint = store.Misconfigured, "nothing answers there; check the endpoint"
	case e.Class == store.Transient && errors.As(e.Err, &netOp) && netOp.Op == "proxyconnect":
		e.Class = store.Misconfigured
	}
	return e
}
