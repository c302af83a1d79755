package sink_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/sink"
)

// TestSyntheticNames: every kind of names is listed once each, in order, page by page and from behind any key, and each
// of them can be looked at.
func TestSyntheticNames(t *testing.T) {
	c, _ := start(t, sink.Options{})
	for _, kind := range []string{"", "hex", "uuid", "date", "skew"} {
		const n = 2500
		bucket := fmt.Sprintf("syn%s%d-7", kind, n)
		var keys []string
		for p := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &bucket}); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", bucket, err)
			}
			for _, o := range page.Contents {
				if k := aws.ToString(o.Key); len(keys) > 0 && k <= keys[len(keys)-1] {
					t.Fatalf("%s: %q after %q", bucket, k, keys[len(keys)-1])
				}
				keys = append(keys, aws.ToString(o.Key))
			}
		}
		if len(keys) != n {
			t.Fatalf("%s lists %d keys", bucket, len(keys))
		}
		for _, i := range []int{0, 1, 777, n - 2} {
			out, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, StartAfter: &keys[i], MaxKeys: aws.Int32(1)})
			if err != nil || len(out.Contents) != 1 || aws.ToString(out.Contents[0].Key) != keys[i+1] || !aws.ToBool(out.IsTruncated) != (i == n-2) {
				t.Errorf("%s behind %q: %v, %v", bucket, keys[i], out, err)
			}
		}
		if _, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &keys[777]}); err != nil {
			t.Errorf("%s: %v", bucket, err)
		}
		other := keys[777] + "x"
		if _, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &other}); err == nil {
			t.Errorf("%s has %q", bucket, other)
		}
	}
}
