package uss

import (
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// BenchmarkPage reads pages of 1,000 names as USS writes them.
func BenchmarkPage(b *testing.B) {
	const names = 1000
	var items []string
	for _, name := range storetest.PageNames(names) {
		items = append(items, `{"type":"image/jpeg","length":123456,"name":"`+name+`","last_modified":1767323045}`)
	}
	_, at := newPlace(b)
	s := openWith(b, at.config("", store.RoleSource))
	storetest.BenchPage(b, s.client.Transport, s, `{"files":[`+strings.Join(items, ",")+`],"iter":"`+lastIter+`"}`, names)
}
