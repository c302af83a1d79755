package kodo

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as Kodo writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `{"key":"`+name+`","hash":"FjJPqXCwEDkR1pAUpJSZfRdKBQ1h","fsize":123456,"mimeType":"image/jpeg","putTime":17673230451234567,`+
			`"type":0,"status":0,"md5":"0123456789abcdef0123456789abcdef"}`)
	}
	_, at := newPlace(b)
	s := openWith(b, at.config("", store.RoleSource))
	storetest.BenchPage(b, s.client.Transport, s, `{"marker":"","items":[`+strings.Join(items, ",")+`]}`, names)
}
