package cos

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as COS writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `<Contents><Key>`+name+`</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>`+
			`<Size>123456</Size><Owner><ID>1250000000</ID><DisplayName>1250000000</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>`)
	}
	_, at := newPlace(b)
	s := openWith(b, at.config("", store.RoleSource))
	storetest.BenchPage(b, s.client.Transport, s, `<?xml version='1.0' encoding='utf-8' ?>
<ListBucketResult><Name>bucket-1250000000</Name><EncodingType>url</EncodingType><Prefix/><Marker/><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>`+strings.Join(items, "")+`</ListBucketResult>`, names)
}
