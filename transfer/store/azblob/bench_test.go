package azblob

import (
	"net/http"
	"testing"

	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// usualXML is an entry with all that the service tells of a blob.
func usualXML(name string) string {
	return entryXML("<Name>"+name+"</Name>", "<Creation-Time>Sat, 21 Nov 2026 17:00:00 GMT</Creation-Time>"+
		"<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Cache-Control /><Content-Disposition />"+
		"<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"+
		"<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><Metadata><mtime>1700000000.5</mtime></Metadata><OrMetadata />")
}

// BenchmarkPage reads pages of 5,000 names as the service writes them.
func BenchmarkPage(b *testing.B) {
	var blobs []string
	for _, name := range storetest.PageNames(pageSize) {
		blobs = append(blobs, usualXML("dir/"+name))
	}
	s := answering(b, store.RoleSource, http.NotFound)
	storetest.BenchPage(b, s.client.Transport, s, pageXML("", blobs...), pageSize)
}
