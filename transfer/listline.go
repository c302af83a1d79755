package transfer

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// MaxLine bounds a line of a list in bytes, its end included.
const MaxLine = 16 << 10

var errLineTooLong = fmt.Errorf("longer than %d bytes", MaxLine)

// ListLine is what one line of a list says.
type ListLine struct {
	Key    string // at the destination, and at the source where Origin is ""
	Origin string // URL
	Size   int64  // bytes; -1: not said
	MD5    string // 16 bytes; "": not said
}

// ParseKeyLine reads a line of a key list, without its end: KEY, or KEY TAB SIZE. ok is false for blank lines and comments.
// Keys are written as EncodeKey does.
func ParseKeyLine(text string) (l ListLine, ok bool, err error) {
	if text == "" || text[0] == '#' {
		return ListLine{}, false, nil
	}
	cols := strings.Split(text, "\t")
	if len(cols) > 2 {
		return ListLine{}, false, fmt.Errorf("%d columns; allowed: KEY, or KEY TAB SIZE", len(cols))
	}
	l = ListLine{Size: -1}
	if l.Key, err = listedKey(cols[0]); err != nil {
		return ListLine{}, false, err
	}
	if l.Key == "" {
		return ListLine{}, false, errors.New("the key is empty")
	}
	if len(cols) == 2 {
		l.Size, err = listedSize(cols[1])
	}
	return l, err == nil, err
}

// ParseURLLine reads a line of a URL list, without its end: URL, then the key at the destination, the size in bytes and the
// MD5 in hexadecimal, separated by TAB; all but the URL may be empty or missing. Without a key it is the URL's path.
// ok is false for blank lines and comments.
func ParseURLLine(text string) (l ListLine, ok bool, err error) {
	if text == "" || text[0] == '#' {
		return ListLine{}, false, nil
	}
	cols := append(strings.Split(text, "\t"), "", "", "")
	if n := len(cols) - 3; n > 4 {
		return ListLine{}, false, fmt.Errorf("%d columns; allowed: URL, KEY, SIZE, MD5, separated by TAB", n)
	}
	l = ListLine{Origin: cols[0]}
	path, err := listedURL(cols[0])
	if err == nil {
		l.Key, err = listedKey(cols[1])
	}
	if err == nil {
		l.Size, err = listedSize(cols[2])
	}
	if err == nil {
		l.MD5, err = listedMD5(cols[3])
	}
	if err != nil {
		return ListLine{}, false, err
	}
	if l.Key == "" {
		l.Key = path
	}
	if l.Key == "" {
		return ListLine{}, false, errors.New("the URL has no path to take the key from; give the key in the second column")
	}
	return l, true, nil
}

func listedKey(text string) (string, error) {
	if strings.HasPrefix(text, `\`) && !strings.HasPrefix(text, base64Prefix) {
		return "", fmt.Errorf(`a key that begins with \ is written as %sBASE64`, base64Prefix)
	}
	if strings.ContainsRune(text, '\r') {
		return "", fmt.Errorf("a key with a carriage return is written as %sBASE64", base64Prefix)
	}
	return DecodeKey(text)
}

func listedSize(text string) (int64, error) {
	if text == "" {
		return -1, nil
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("%q is not a size in bytes", text)
	}
	return size, nil
}

func listedMD5(text string) (string, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 0 && len(raw) != 16 {
		return "", fmt.Errorf("%q is not an MD5 of 32 hexadecimal digits", text)
	}
	return string(raw), nil
}

// listedURL checks a URL and returns its path, decoded and without the leading "/". Errors do not repeat it: its query may
// be a signature.
func listedURL(text string) (path string, err error) {
	if strings.ContainsAny(text, " \r") {
		return "", errors.New("a blank in the URL; write it as %20, and separate columns by TAB")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("not a URL with http:// or https://")
	case u.Hostname() == "":
		return "", errors.New("the URL names no host")
	case u.User != nil:
		return "", errors.New("credentials do not go into URLs; give access_key, secret_key and the option auth_host")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return "", errors.New("a fragment (#) in the URL; write a # in a name as %23")
	}
	return strings.TrimLeft(u.Path, "/"), nil
}

// object is what is known of a line before either side was looked at.
func (l *ListLine) object() *store.Object {
	return &store.Object{Key: l.Key, Origin: l.Origin, Size: max(0, l.Size), Sums: store.Checksums{MD5: l.MD5}}
}

// lineReader reads the lines of a text and tells where they stand.
type lineReader struct {
	r   *bufio.Reader
	off int64 // of the next line
}

func newLineReader(r io.Reader, off int64) *lineReader {
	return &lineReader{bufio.NewReaderSize(r, MaxLine), off}
}

// next returns a line without its end (LF or CRLF) and without a byte order mark in front of the text. It stands from at on,
// up to off. The last line may lack its end; io.EOF comes after it.
func (l *lineReader) next() (text string, at int64, err error) {
	at = l.off
	raw, err := l.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", at, errLineTooLong
	case errors.Is(err, io.EOF) && len(raw) > 0:
	case err != nil:
		return "", at, err
	}
	l.off += int64(len(raw))
	raw = bytes.TrimSuffix(raw, []byte("\n"))
	raw = bytes.TrimSuffix(raw, []byte("\r"))
	if at == 0 {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	}
	return string(raw), at, nil
}
