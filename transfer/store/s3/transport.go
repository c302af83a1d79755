package s3

import (
	"crypto/x509"
	"net"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// newBuildable returns the HTTP client that the SDK's configuration may add AWS_CA_BUNDLE to; it refuses any other kind.
// The pool starts from the system's roots (SSL_CERT_FILE), so that a bundle adds to them.
func newBuildable(concurrency int) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = wire.DialTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		wire.Tune(t, concurrency)
		if roots, err := x509.SystemCertPool(); err == nil {
			t.TLSClientConfig.RootCAs = roots
		}
	})
}

// sdkClient sends the requests of the SDK over the store's pool.
type sdkClient struct{ *wire.Client }

// Do sends one request. Its answer is never an object, so it is bounded.
func (c sdkClient) Do(req *http.Request) (*http.Response, error) {
	limit := c.Idle
	if req.Header.Get("X-Amz-Copy-Source") != "" || req.Method == http.MethodPost {
		limit = c.Slow
	}
	resp, err := c.Send(req.Context(), req, limit)
	if err != nil {
		return nil, err
	}
	resp.Body = wire.Bounded(resp.Body)
	return resp, nil
}
