package wire

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestListingsAreReadAsEncodingXMLReadsThem makes documents of all that listings may have.
func TestListingsAreReadAsEncodingXMLReadsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string {
			var b strings.Builder
			_ = xml.EscapeText(&b, []byte(rapid.StringMatching(`[ -~äЖ日🪣]{0,20}`).Draw(t, label)))
			return b.String()
		}
		piece := rapid.SampledFrom([]string{
			"<Name>b</Name>", "\n  ", "<KeyCount>1</KeyCount>", "<Prefix/>", `<X a="1" b=">"/>`, "<!-- note -->", "<![CDATA[x]]>", "",
			"<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>", "<Type>Symlink</Type>", "<Owner><ID>1</ID><Deep><Er>x</Er></Deep></Owner>", "stray &amp; text",
			"<EncodingType>url</EncodingType>", "<IsTruncated>true</IsTruncated>", "<s3:Odd>x</s3:Odd>",
		})
		var b strings.Builder
		b.WriteString(rapid.SampledFrom([]string{"", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"}).Draw(t, "head"))
		b.WriteString(rapid.SampledFrom([]string{"<ListBucketResult>", `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`}).Draw(t, "root"))
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			b.WriteString(piece.Draw(t, "between"))
			b.WriteString("<Contents><Key>" + text("key") + "</Key>" + piece.Draw(t, "inside") + "<Size>12</Size><ETag>&#34;" + text("etag") +
				"&#x22;</ETag><LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents>")
		}
		b.WriteString("<NextContinuationToken>" + text("token") + "</NextContinuationToken></ListBucketResult>")
		data := []byte(b.String())
		got, err := scanListing(data)
		if err != nil {
			return // left to encoding/xml
		}
		want := new(Page)
		if err := xml.Unmarshal(data, want); err != nil {
			t.Fatalf("encoding/xml refuses what was read: %v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Page{}, "XMLName"), cmpopts.IgnoreFields(Entry{}, "Known"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("differs (-encoding/xml +here):\n%s\n%s", diff, data)
		}
	})
}

// simple is a listing as servers send it.
const simple = `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>` +
	`<Contents><Key>a&amp;b</Key><Size>1</Size><ETag>"0123456789abcdef0123456789abcdef"</ETag><Type>Normal</Type>` +
	`<StorageClass>IA</StorageClass><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents><Contents><Key>c</Key></Contents>` +
	`<IsTruncated>true</IsTruncated><NextContinuationToken>t&#x2F;1</NextContinuationToken></ListBucketResult>`

func TestSimpleListingsAreReadHere(t *testing.T) {
	page, err := scanListing([]byte(simple))
	if err != nil {
		t.Fatalf("a listing as servers send it is not simple: %v", err)
	}
	if page.Encoding != "url" || page.Truncated != "true" || page.Token != "t/1" || len(page.Entries) != 2 || page.Entries[0].Key != "a&b" ||
		page.Entries[0].Type != "Normal" || page.Entries[0].Class != "IA" {
		t.Errorf("read %+v", page)
	}
}

func TestBrokenListingsAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "<", "<>", "</>", "<ListBucketResult", "<ListBucketResult>", "<ListBucketResult></Other>", "<Other></Other>",
		"<ListBucketResult><Contents><Key>a</Key></ListBucketResult>", "<ListBucketResult><Contents><Key>a</Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>&nope;</Key></Contents></ListBucketResult>", "<ListBucketResult><Contents><Key>&#x110000;</Key></Contents></ListBucketResult>",
		"<html><body>hello</body></html>", "<ListBucketResult>" + strings.Repeat("<a>", 100), "<?xml", "{}",
	} {
		if page, err := ParseListing([]byte(text)); err == nil {
			t.Errorf("%.80q was read as %+v", text, page)
		}
	}
}

func FuzzScanListing(f *testing.F) {
	f.Add([]byte(simple))
	f.Add([]byte("<ListBucketResult><Contents><Key>&#38;</Key></Contents></ListBucketResult>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = scanListing(data) // must end, and must not panic
	})
}
