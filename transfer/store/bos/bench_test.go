package bos

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as BOS writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `{"key":"`+name+`","lastModified":"2026-01-02T03:04:05Z","eTag":"0123456789abcdef0123456789abcdef","size":123456,`+
			`"storageClass":"STANDARD","owner":{"id":"10eb6f5ff6ff4605bf044313e8f3ffa5","displayName":"tester"}}`)
	}
	_, at := newPlace(b)
	s := openWith(b, at.config("", store.RoleSource))
	storetest.BenchPage(b, s.client.Transport, s, `{"name":"bucket","prefix":"","delimiter":"","marker":"","maxKeys":1000,"isTruncated":false,"contents":[`+strings.Join(items, ",")+`]}`, names)
}
