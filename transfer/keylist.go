package transfer

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// base64Prefix marks a key that cannot stand raw in a line of a key list.
const base64Prefix = `\b64:`

// EncodeKey writes a key for a line of a key list: raw, unless it has TAB, CR, LF, a leading "#" or "\", or is not valid
// UTF-8; then `\b64:` and standard base64. The empty key is written so as well.
func EncodeKey(key string) string {
	if key != "" && key[0] != '#' && key[0] != '\\' && !strings.ContainsAny(key, "\t\r\n") && utf8.ValidString(key) {
		return key
	}
	return base64Prefix + base64.StdEncoding.EncodeToString([]byte(key))
}

// DecodeKey reads what EncodeKey wrote.
func DecodeKey(text string) (string, error) {
	rest, ok := strings.CutPrefix(text, base64Prefix)
	if !ok {
		return text, nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return "", fmt.Errorf("decode key %q: %w", text, err)
	}
	return string(raw), nil
}

// entry is one line of a list cut: a source object and what the scan saw of it at the destination.
type entry struct {
	src     store.Object
	verdict Verdict // Absent, Differs, Undecided or Unseen
	dstETag string
	size    int64 // of an Unseen one: what the list says, -1 where it says nothing
}

// The columns of an entry, separated by TAB.
const (
	colKey = iota
	colSize
	colTime
	colKind
	colETag
	colSums
	colVerdict
	colDstETag
	colTarget
	colOrigin
	columns
)

func appendEntry(b *bytes.Buffer, e *entry) {
	size := e.src.Size
	if e.verdict == Unseen {
		size = e.size
	}
	cols := [columns]string{
		colKey: EncodeKey(e.src.Key), colSize: strconv.FormatInt(size, 10),
		colTime: strconv.FormatInt(e.src.ModTime.UnixNano(), 10), colKind: strconv.Itoa(int(e.src.Kind)),
		colETag: e.src.ETag, colSums: formatSums(e.src.Sums), colVerdict: strconv.Itoa(int(e.verdict)),
		colDstETag: e.dstETag, colTarget: EncodeKey(e.src.Target),
		colOrigin: e.src.Origin,
	}
	for i, c := range cols {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(c)
	}
	b.WriteByte('\n')
}

func parseEntry(line string) (entry, error) {
	var cols [columns]string
	n := 0
	for more := true; more; n++ {
		var col string
		if col, line, more = strings.Cut(line, "\t"); n < columns {
			cols[n] = col
		}
	}
	if n != columns && n != columns-1 { // one less: of a version that knew no lists of URLs
		return entry{}, fmt.Errorf("list line has %d columns, not %d", n, columns)
	}
	var numbers [4]int64
	for i, c := range []int{colSize, colTime, colKind, colVerdict} {
		v, err := strconv.ParseInt(cols[c], 10, 64)
		if err != nil {
			return entry{}, fmt.Errorf("column %d of a list line: %w", c+1, err)
		}
		numbers[i] = v
	}
	key, err := DecodeKey(cols[colKey])
	if err != nil {
		return entry{}, err
	}
	target, err := DecodeKey(cols[colTarget])
	if err != nil {
		return entry{}, err
	}
	sums, err := parseSums(cols[colSums])
	if err != nil {
		return entry{}, err
	}
	e := entry{
		src: store.Object{
			Key: key, Size: numbers[0], ModTime: time.Unix(0, numbers[1]).UTC(), Kind: store.Kind(numbers[2]),
			ETag: cols[colETag], Sums: sums, Target: target, Origin: cols[colOrigin],
		},
		verdict: Verdict(numbers[3]), dstETag: cols[colDstETag],
	}
	if e.verdict == Unseen {
		e.size, e.src.Size, e.src.ModTime = e.src.Size, max(0, e.src.Size), time.Time{}
	}
	return e, nil
}

// formatSums writes the sums that listings carry.
func formatSums(c store.Checksums) string {
	switch {
	case c.MD5 != "":
		return "md5:" + hex.EncodeToString([]byte(c.MD5))
	case c.PartsMD5 != "":
		return "etag:" + c.PartsMD5
	case c.QETag != "":
		return "qetag:" + hex.EncodeToString([]byte(c.QETag))
	}
	return ""
}

func parseSums(text string) (store.Checksums, error) {
	if v, ok := strings.CutPrefix(text, "etag:"); ok {
		return store.Checksums{PartsMD5: v}, nil
	}
	kind, v, _ := strings.Cut(text, ":")
	if kind != "md5" && kind != "qetag" {
		return store.Checksums{}, nil
	}
	raw, err := hex.DecodeString(v)
	if err != nil {
		return store.Checksums{}, fmt.Errorf("decode sum %q: %w", text, err)
	}
	if kind == "qetag" {
		return store.Checksums{QETag: string(raw)}, nil
	}
	return store.Checksums{MD5: string(raw)}, nil
}

// FindListed looks for a key in the segment of a list cut and returns the number of its line, counted from 0; false if it
// is in none.
func FindListed(data []byte, key string) (line int64, found bool, err error) {
	text, err := decompress(data)
	if err != nil {
		return 0, false, err
	}
	start := []byte(EncodeKey(key) + "\t")
	for l := range bytes.Lines(text) {
		if bytes.HasPrefix(l, start) {
			return line, true, nil
		}
		line++
	}
	return 0, false, nil
}
