package gs

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as Cloud Storage writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `{"name":"`+name+`","size":"123456","generation":"1767323045123456","updated":"2026-01-02T03:04:05.678Z",`+
			`"md5Hash":"1B2M2Y8AsgTpgAmY7PhCfg==","crc32c":"mnG7TA==","storageClass":"STANDARD"}`)
	}
	s := openAt(b, "http://127.0.0.1:1", "bucket", "", store.RoleSource, "multipart", "true").(*Parallel)
	storetest.BenchPage(b, s.client.Transport, s, `{"items":[`+strings.Join(items, ",")+`]}`, names)
}
