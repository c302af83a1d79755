package oss

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as OSS writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `<Contents><Key>`+name+`</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>"0123456789ABCDEF0123456789ABCDEF"</ETag>`+
			`<Type>Normal</Type><Size>123456</Size><StorageClass>Standard</StorageClass></Contents>`)
	}
	_, at := newPlace(b)
	s := openWith(b, at.config("", store.RoleSource))
	storetest.BenchPage(b, s.client.Transport, s, `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><Name>bucket</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><KeyCount>1000</KeyCount>`+strings.Join(items, "")+`</ListBucketResult>`, names)
}
