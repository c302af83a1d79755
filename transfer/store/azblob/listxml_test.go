package azblob

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bucketbrigade/brigade/transfer/store/wire"
)

// oddPage has all that a page may have, in the simple form that the service writes.
func oddPage() []byte {
	return []byte(pageXML("marker&amp;1",
		usualXML("dir/a"), named("dir/a &amp; b"), entryXML(`<Name Encoded="true">dir/c%EF%BF%BEd%25e</Name>`, "</Properties>"),
		entryXML("<Name>dir/d</Name><Snapshot>2026-01-01T00:00:00.0000000Z</Snapshot>", "</Properties>"),
		entryXML("<Name>dir/e</Name><Deleted>true</Deleted>", "</Properties>"),
		entryXML("<Name>dir/f</Name><VersionId>1</VersionId><IsCurrentVersion>false</IsCurrentVersion>", "</Properties>"),
		entryXML("<Name>dir/g</Name>", "<ResourceType>directory</ResourceType></Properties>"),
		entryXML("<Name>dir/h</Name>", "<AccessTier>Archive</AccessTier></Properties><Metadata><Hdi_isfolder>true</Hdi_isfolder><other>x</other></Metadata>"),
		"<Blob/>", "<BlobPrefix><Name>dir/i/</Name></BlobPrefix>",
	))
}

// scanned reads a page without encoding/xml.
func scanned(data []byte) (*enumeration, error) {
	return wire.ScanXML(data, rootEnumeration, (*enumeration).field)
}

// ofCharacters tells what encoding/xml refuses and a scanner reads.
func ofCharacters(err error) bool {
	return slices.ContainsFunc([]string{"illegal character code", "invalid UTF-8", "unescaped ]]>", `unsupported version "1.1"`}, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

// comparePage holds that a page is read as encoding/xml does, or left to that.
func comparePage(t *testing.T, data []byte) {
	t.Helper()
	got, err := scanned(data)
	if err != nil {
		return
	}
	want := new(enumeration)
	switch err := xml.Unmarshal(data, want); {
	case err != nil && ofCharacters(err):
		return
	case err != nil:
		t.Fatalf("encoding/xml refuses what was read: %v\n%q", err, data)
	}
	for i := range want.Blobs { // other metadata is passed over
		pairs := &want.Blobs[i].Metadata.Pairs
		*pairs = slices.DeleteFunc(*pairs, func(p pair) bool { return !strings.EqualFold(p.XMLName.Local, metaFolder) })
	}
	options := cmp.Options{
		cmp.AllowUnexported(enumeration{}), cmpopts.IgnoreFields(enumeration{}, "XMLName"), cmpopts.IgnoreFields(xml.Name{}, "Space"), cmpopts.EquateEmpty(),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("differs (-encoding/xml +here):\n%s\n%q", diff, data)
	}
}

func TestPagesAreSimple(t *testing.T) {
	page, err := scanned(oddPage())
	if err != nil || len(page.Blobs) != 9 || page.Next != "marker&1" {
		t.Fatalf("a page as the service writes it is not simple: %v, %+v", err, page)
	}
	if b := page.Blobs[2]; b.Name.Encoded != "true" || b.Name.Text != "dir/c%EF%BF%BEd%25e" || b.Properties.ETag != "0x8D1" {
		t.Errorf("read %+v", b)
	}
	comparePage(t, oddPage())
}

// What is not simple is read all the same.
func TestPagesThatAreNotSimple(t *testing.T) {
	const text = `<!-- note --><EnumerationResults><Blobs><Blob><Name><![CDATA[a&b]]></Name></Blob></Blobs><NextMarker>m</NextMarker></EnumerationResults>`
	if _, err := scanned([]byte(text)); err == nil {
		t.Fatal("a document with comments is simple")
	}
	page, err := wire.ParseXML([]byte(text), rootEnumeration, (*enumeration).field)
	if err != nil || len(page.Blobs) != 1 || page.Blobs[0].Name.Text != "a&b" || page.Next != "m" {
		t.Errorf("read %+v, %v", page, err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add(oddPage())
	f.Add([]byte(`<EnumerationResults><Blobs><Blob><Name Encoded="true"/><Name>b</Name></Blob></Blobs></EnumerationResults>`))
	f.Fuzz(func(t *testing.T, data []byte) { comparePage(t, data[:min(len(data), 64<<10)]) })
}
