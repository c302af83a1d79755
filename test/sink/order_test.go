package sink_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/sink"
)

// listed reads a bucket by pages of seven.
func listed(t *testing.T, c *s3.Client, bucket, prefix string) (keys []string) {
	t.Helper()
	in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, MaxKeys: aws.Int32(7)}
	for p := s3.NewListObjectsV2Paginator(c, in); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

func TestListingsInOtherOrders(t *testing.T) {
	written := []string{"a", "B", "b", "A", "\U0001f600", "\uffee", "a/x", "a-", "é", "Z", "z", "p/B", "p/a", "p/C"}
	honest, _ := start(t, sink.Options{})
	all := listed(t, honest, "synmixed100-5", "")
	for _, name := range []string{"utf16", "nocase", "shuffled"} {
		order := sink.OrderNamed(name)
		c, _ := start(t, sink.Options{Order: order})
		for _, key := range written {
			if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String(key), Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for bucket, want := range map[string][]string{"b": written, "synmixed100-5": all} {
			got := listed(t, c, bucket, "")
			if slices.IsSorted(got) || !slices.IsSortedFunc(got, order) {
				t.Errorf("%s: %s is listed as %q", name, bucket, got)
			}
			if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
				t.Errorf("%s: %s has other keys than were written: %q", name, bucket, got)
			}
		}
		if got := listed(t, c, "b", "p/"); len(got) != 3 {
			t.Errorf("%s: under a prefix: %q", name, got)
		}
	}
}
