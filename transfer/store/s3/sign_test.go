package s3

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// TestSignaturesEqualTheSDKs signs the same requests with the SDK's signer.
func TestSignaturesEqualTheSDKs(t *testing.T) {
	theirs := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	s := openURL(t, "http://127.0.0.1:1", "pre fix/")
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ -~]{0,40}`)
		header := http.Header{}
		for _, name := range []string{"Content-Type", "Content-Md5", "X-Amz-Meta-A-B", "Cache-Control", "If-None-Match", "Range"} {
			if rapid.Bool().Draw(t, name) {
				header[name] = []string{value.Draw(t, "value of "+name)}
			}
		}
		creds := aws.Credentials{
			AccessKeyID:     rapid.StringMatching(`[A-Z0-9]{4,20}`).Draw(t, "access key"),
			SecretAccessKey: rapid.StringMatching(`[A-Za-z0-9/+]{4,40}`).Draw(t, "secret key"),
			SessionToken:    rapid.StringMatching(`[A-Za-z0-9/+=]{0,40}`).Draw(t, "token"),
		}
		s.creds = newKeyring(store.Credentials{}, aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return creds, nil }))
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).UTC()
		s.now = func() time.Time { return at }
		r := request{
			method: rapid.SampledFrom([]string{"GET", "PUT", "HEAD", "DELETE"}).Draw(t, "method"),
			key:    rapid.String().Draw(t, "key"), header: header.Clone(),
		}
		if rapid.Bool().Draw(t, "part") {
			r.query = "partNumber=7&uploadId=" + wire.EscapeQuery(rapid.String().Draw(t, "upload"))
		}
		ours, err := s.newRequest(t.Context(), r)
		if err != nil {
			return // a key that is refused is never signed
		}
		again := ours.Clone(t.Context())
		again.Header = header
		again.Header["X-Amz-Content-Sha256"] = []string{unsignedPayload}
		if err := theirs.SignHTTP(t.Context(), creds, again, unsignedPayload, "s3", s.signer.region, at); err != nil {
			t.Fatal(err)
		}
		if a, b := ours.Header.Get("Authorization"), again.Header.Get("Authorization"); a != b {
			t.Errorf("%s %s\nours   %s\ntheirs %s", r.method, ours.URL, a, b)
		}
	})
}
