package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/transfer/store"
)

var update = flag.Bool("update", false, "write generated documents anew")

// sampleLocations has one location of each scheme that can be opened without a server.
func sampleLocations() map[string]string {
	return map[string]string{
		"file":           "file:///tmp/brigade-sample/",
		"s3":             "s3://bucket/?region=us-east-1",
		"obs":            "obs://bucket/?region=cn-north-4",
		"ks3":            "ks3://bucket/?region=cn-beijing",
		"jss":            "jss://bucket/?region=cn-north-1",
		"oss":            "oss://bucket/?region=cn-hangzhou",
		"cos":            "cos://bucket-1250000000/?region=ap-guangzhou",
		"kodo":           "kodo://bucket/?region=z0",
		"bos":            "bos://bucket/?region=bj",
		"azblob":         "azblob://container/?account=sample",
		"gs":             "gs://bucket/?anonymous=true&multipart=true",
		"uss":            "uss://service/",
		store.ListScheme: "urllist:/tmp/brigade-sample.txt",
	}
}

// sampleCredentials are of no account.
var sampleCredentials = map[string]store.Credentials{
	"azblob": {AccessKey: "sample", SecretKey: "c2FtcGxl"},
	"gs":     {},
}

// TestStoresTable: the table of what stores can do, in the documents of both languages, is what the code says.
// With -update it writes the table.
func TestStoresTable(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	samples := sampleLocations()
	columns := make(map[string]map[string]string)
	for _, scheme := range registry().Schemes() {
		sample, ok := samples[scheme]
		if !ok {
			t.Errorf("%s has no sample location here", scheme)
			continue
		}
		columns[scheme] = abilitiesOf(t, sample)
	}
	if t.Failed() {
		return
	}
	for _, doc := range []struct {
		path  string
		words int // the language
	}{{"../../docs/stores/README.md", 0}, {"../../docs/stores/README.zh.md", 1}} {
		compareTable(t, doc.path, storesTable(columns, doc.words))
	}
}

// abilitiesOf asks the code what a store can do: by its abilities, and by the interfaces that it has.
func abilitiesOf(t *testing.T, sample string) map[string]string {
	t.Helper()
	l, err := store.Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	creds, ok := sampleCredentials[l.Scheme]
	if !ok {
		creds = store.Credentials{AccessKey: "sample", SecretKey: "sample"}
	}
	r := registry()
	s, err := r.Open(t.Context(), store.Config{Location: l, Role: store.RoleSource, Credentials: creds, Concurrency: 1})
	if err != nil {
		t.Fatalf("open %s: %v", sample, err)
	}
	defer s.Close()
	a := s.Abilities()
	row := map[string]string{
		"order": map[store.Order]string{store.OrderNone: "-", store.OrderBytes: "bytes", store.OrderOther: "other"}[a.Order],
		"seek":  mark(a.ListsByKeys), "copy": markType[store.Copier](s), "pinned": mark(a.Pinned), "metadata": mark(a.Metadata),
		"tags": mark(a.Tags), "access": mark(a.Access), "encryption": mark(a.Encryption), "restore": markType[store.Restorer](s),
		"sums": orDash(strings.Join(a.Sums, ", ")), "time": unitText(a.ModTimeUnit), "key": humanize.Comma(int64(a.MaxKey)),
		"renew": markType[store.Renewer](s), "write": mark(!r[l.Scheme].SourceOnly), "parts": "-", "condition": "-", "classes": "-",
	}
	if m, ok := s.(store.Multiparter); ok {
		least, most, count := m.PartLimits()
		row["parts"] = fmt.Sprintf("%s to %s, %s", bytesText(least), bytesText(most), humanize.Comma(int64(count)))
	}
	switch {
	case a.Conditional:
		row["condition"] = "absent, same"
	case a.ConditionalCreate:
		row["condition"] = "absent"
	}
	var classes []string
	for _, c := range a.Classes {
		classes = append(classes, c.Name)
	}
	row["classes"] = orDash(strings.Join(classes, ", "))
	return row
}

func mark(has bool) string {
	if has {
		return "yes"
	}
	return "-"
}

func markType[T any](s store.Source) string {
	_, has := s.(T)
	return mark(has)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func unitText(unit time.Duration) string {
	if unit == 0 {
		return "-"
	}
	return unit.String()
}

func bytesText(n int64) string { return strings.ReplaceAll(humanize.IBytes(uint64(n)), ".0 ", " ") }

// storesRows are the rows of the table: what is asked, in English and Chinese.
var storesRows = []struct {
	name  string
	words [2]string
}{
	{"write", [2]string{"can be written to", "可写入"}},
	{"order", [2]string{"lists in order of", "列举顺序"}},
	{"seek", [2]string{"lists from any key", "可从任意键开始列举"}},
	{"parts", [2]string{"parts: sizes, most", "分片：大小，最多个数"}},
	{"copy", [2]string{"copies by itself", "服务端复制"}},
	{"condition", [2]string{"writes only if", "条件写入"}},
	{"pinned", [2]string{"reads one version only", "按版本读取"}},
	{"sums", [2]string{"tells sums", "提供的校验和"}},
	{"metadata", [2]string{"metadata", "元数据"}},
	{"tags", [2]string{"tags", "标签"}},
	{"access", [2]string{"access (canned ACL)", "访问权限（预设 ACL）"}},
	{"classes", [2]string{"storage classes", "存储类型"}},
	{"encryption", [2]string{"encryption on request", "可指定加密"}},
	{"restore", [2]string{"restores archived objects", "解冻归档对象"}},
	{"time", [2]string{"precision of times", "时间精度"}},
	{"key", [2]string{"longest key, bytes", "最长键（字节）"}},
	{"renew", [2]string{"new credentials while it runs", "运行中更换凭证"}},
}

// tableGroups keep the table narrow enough to read.
const columnsOfTable = 5

func storesTable(columns map[string]map[string]string, language int) string {
	var b bytes.Buffer
	schemes := registry().Schemes()
	for len(schemes) > 0 {
		group := schemes[:min(columnsOfTable, len(schemes))]
		schemes = schemes[len(group):]
		fmt.Fprintf(&b, "| |")
		for _, s := range group {
			fmt.Fprintf(&b, " `%s` |", s)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(group)) + "\n")
		for _, row := range storesRows {
			fmt.Fprintf(&b, "| %s |", row.words[language])
			for _, s := range group {
				fmt.Fprintf(&b, " %s |", columns[s][row.name])
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The marks that a generated part stands between.
const (
	tableBegins = "<!-- made from the code: go test ./cmd/brigade -run TestStoresTable -update -->\n"
	tableEnds   = "<!-- end -->\n"
)

func compareTable(t *testing.T, path, table string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegins)
	has, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no marks for the table", path)
	}
	if has == table {
		return
	}
	if !*update {
		t.Errorf("%s is not what the code says; run: go test ./cmd/brigade -run TestStoresTable -update", path)
		return
	}
	if err := os.WriteFile(path, []byte(before+tableBegins+table+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
