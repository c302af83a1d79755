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
		compareListing(t, []byte(b.String()))
	})
}

func scanListing(data []byte) (*Page, error) { return ScanXML(data, rootListing, (*Page).field) }

// ofCharacters tells what encoding/xml refuses and a Scanner reads.
func ofCharacters(err error) bool {
	for _, text := range []string{"illegal character code", "invalid UTF-8", "unescaped ]]>", `unsupported version "1.1"`} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// compareListing holds that a document is read as encoding/xml does, or left to that.
func compareListing(t rapid.TB, data []byte) {
	got, err := scanListing(data)
	if err != nil {
		return
	}
	want := new(Page)
	switch err := xml.Unmarshal(data, want); {
	case err != nil && ofCharacters(err):
		return
	case err != nil:
		t.Fatalf("encoding/xml refuses what was read: %v\n%q", err, data)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Page{}, "XMLName"), cmpopts.IgnoreFields(Entry{}, "Known"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("differs (-encoding/xml +here):\n%s\n%q", diff, data)
	}
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

// TestOddDocuments are read as encoding/xml reads them, or left to it.
func TestOddDocuments(t *testing.T) {
	for text, simple := range map[string]bool{
		"<L/>":                                    true,
		"\ufeff<L><E/></L>\n":                     true,
		"<L><E><K>a</K></E><E/></L>":              true,
		"<L><E><K>a</K><K></K></E></L>":           false,
		"<L><E><K/><K>a</K></E></L>":              true,
		"<L><E><K>a</K><K/></E></L>":              false,
		"<L><E><K a=\"1\" p:b='2' >a</K></E></L>": true,
		"<L><E><K a=\"b>c\">a</K></E></L>":        false,
		"<L><E><K a=\"&lt;\">a</K></E></L>":       false,
		"<L><E><K a=b>a</K></E></L>":              false,
		"<L><E><K a=\"1\"b=\"2\">a</K></E></L>":   false,
		"<L><E><K a>a</K></E></L>":                false,
		"<L><E><K :a=\"b\">a</K></E></L>":         false,
		"<L><E><K>a<b/></K></E></L>":              false,
		"<L><E><K>a</K ></E></L>":                 false,
		"<L><E><K>a\r\nb</K></E></L>":             false,
		"<L>\r\n<E><K>a\tb\n</K></E>\r\n</L>":     true,
		"<L><E><K>a\x00</K></E></L>":              true,
		"<L><X>a\x1f</X></L>":                     true,
		"<L><X>a\xff</X></L>":                     true,
		"<L><X>\ufffd\uffff</X></L>":              true,
		"<L><X>\ufffd\uffee</X></L>":              true,
		"<L><X>]]></X></L>":                       true,
		"<L><X>&nope;</X></L>":                    false,
		"<L>&amp;<X>&#65;&#x41;</X></L>":          true,
		"<L><E><K>&#0;</K></E></L>":               true,
		"<L><E><K>&#xfffe;</K></E></L>":           true,
		"<L><E><K>&#13;&#10;</K></E></L>":         true,
		"<L><1/></L>":                             false,
		"<L><n:X/></L>":                           false,
		"<L><X/ ></L>":                            false,
		"<L><!-- --></L>":                         false,
		"<L></L>x":                                false,
		"<?xml version='1.0' encoding='Utf-8' standalone='yes' ?> <L></L>":                  true,
		"<?xml version='1.1'?><L></L>":                                                      true,
		"<?xml version='1.0' encoding='latin1'?><L></L>":                                    false,
		"<?xml version='1.0' wencoding='latin1'?><L></L>":                                   false,
		"<?xml version='1.0'><L></L>":                                                       false,
		"<L>" + strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth) + "</L>": false,
	} {
		data := []byte(strings.NewReplacer("L>", rootListing+">", "L/", rootListing+"/", "E>", "Contents>", "E/", "Contents/", "K", "Key").Replace(text))
		if _, err := scanListing(data); (err == nil) != simple {
			t.Errorf("%q is simple: %v, want %v", data, err == nil, simple)
		}
		compareListing(t, data)
	}
}

// Keys with characters that XML 1.0 cannot carry are read, however they are written.
func TestKeysOfOddCharacters(t *testing.T) {
	const text = "<?xml version='1.1'?><ListBucketResult><Contents><Key>a\x01&#x2;]]>\uffff\xff</Key></Contents></ListBucketResult>"
	page, err := ParseListing([]byte(text))
	if want := "a\x01\x02]]>\uffff\xff"; err != nil || len(page.Entries) != 1 || page.Entries[0].Key != want {
		t.Errorf("read %+v, %v", page, err)
	}
}

// fuzzed is how many bytes of a document are tried at most.
const fuzzed = 64 << 10

func FuzzScanListing(f *testing.F) {
	f.Add([]byte(simple))
	f.Add([]byte("<ListBucketResult><Contents><Key>&#38;</Key></Contents></ListBucketResult>"))
	f.Add([]byte("\ufeff<?xml version='1.0' encoding='utf-8' ?>\n<ListBucketResult a:b=\"c\"><Contents/>\r\n<Prefix />&lt;<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes></ListBucketResult>"))
	f.Fuzz(func(t *testing.T, data []byte) { compareListing(t, data[:min(len(data), fuzzed)]) })
}
