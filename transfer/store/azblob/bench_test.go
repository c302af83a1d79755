package azblob

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkPage reads pages of 5,000 names as the service writes them.
func BenchmarkPage(b *testing.B) {
	var blobs []string
	for i := range pageSize {
		blobs = append(blobs, entryXML(fmt.Sprintf("<Name>some/folder/%08d.jpg</Name>", i), "<Creation-Time>Sat, 21 Nov 2026 17:00:00 GMT</Creation-Time>"+
			"<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Cache-Control /><Content-Disposition />"+
			"<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"+
			"<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><Metadata><mtime>1700000000.5</mtime></Metadata><OrMetadata />"))
	}
	text := pageXML("", blobs...)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := readPage(&http.Response{Body: io.NopCloser(strings.NewReader(text))})
		if err != nil || len(page.Blobs) != pageSize {
			b.Fatalf("%v", err)
		}
	}
	b.ReportMetric(float64(pageSize)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
}
