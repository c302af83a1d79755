package matrix_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// thing is one object as it was made.
type thing struct {
	key  string
	size int
	meta store.Metadata
}

// count is how many objects every source gets.
const count = 200

// things makes the objects: odd keys first, then as many more as make up the count, of odd sizes, each with metadata.
func things() []thing {
	keys := oddKeys()
	for i := len(keys); i < count; i++ {
		keys = append(keys, fmt.Sprintf("many/%03d/file %d.dat", i%7, i))
	}
	all := make([]thing, 0, count)
	for i, key := range keys[:count] {
		all = append(all, thing{key: key, size: oddSize(i), meta: oddMeta(i)})
	}
	return all
}

// oddKeys are names that get lost where somebody escapes, sorts, cuts or cleans wrongly.
func oddKeys() []string {
	keys := []string{
		"a b", "a  b", "a+b", "a%b", "a%20b", "a%2Fb", "a%2fb", "a&b=c", "a=b", "a?b", "a#b", "a;b", "a:b", "a,b", "a@b", "a!b", "a$b", "a'b", `a"b`,
		"a<b>", "a(b)", "a[b]", "a{b}", "a|b", "a^b", "a`b", "a~b", "a*b", "a\\b", "~tilde", "-dash", "_under", ".hidden", "...", "a..b", "a.", "a ", "trailing./x",
		// Order by bytes: "-" and "." come before "/", "0" and letters behind it.
		"order/a-b", "order/a.b", "order/a/b", "order/a0", "order/ab", "order/A", "order/Z", "order/_", "order/10", "order/9", "order/09",
		// Case, and forms of the same letter, are different names.
		"case/readme", "case/README", "case/Readme", "nfc/\u00e9", "nfd/e\u0301", "same/\u00e9", "same/e\u0301", "ß", "ẞ", "İ", "ı",
		// Beyond ASCII: UTF-16 sorts the emoji before U+FF5E, bytes behind it.
		"中文/文件 名.txt", "日本語/ファイル", "한국어/파일", "русский/файл", "עברית", "العربية", "ไทย", "emoji/😀", "emoji/🏳️‍🌈", "emoji/\uff5e", "emoji/𝒳𝓎", "emoji/\ue000",
		"zero/\u200bwidth", "zero/\u00a0nbsp", "bidi/\u202eabc",
		"date=2026-01-02/part-00000.parquet", "key=a=b/c=d", "_temporary/0/x", "index.html", "favicon.ico", "CON", "aux.txt", "robots.txt",
		"deep/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/leaf", "long/" + strings.Repeat("n", 200),
		"%", "%%", "%zz", "+", "&", "=", "1", "0", "null", "undefined", "a.tar.gz", "x.txt~", "#x#", "xml/&amp;", "xml/]]>", "xml/<!--", "json/{\"a\":1}",
	}
	return append(keys, longKeys()...)
}

// longKeys have 1,000 bytes, in folders that file systems take, of one and of three bytes a letter.
func longKeys() []string {
	return []string{longKey("ascii/", "k"), longKey("cjk/", "长"), longKey("emoji-long/", "😀")}
}

func longKey(start, letter string) string {
	key := start
	for len(key) < 1000 {
		part := strings.Repeat(letter, 200/len(letter))
		key += part[:min(len(part), (1000-len(key))/len(letter)*len(letter))]
		if len(key)+len(letter) > 1000 {
			return key + strings.Repeat("x", 1000-len(key))
		}
		key += "/"
	}
	return key[:999] + "y"
}

// oddSize has every size around which something changes: nothing, one byte, buffers, blocks of 4 MiB.
func oddSize(i int) int {
	sizes := []int{0, 1, 2, 3, 15, 16, 17, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537, 100_003}
	switch i {
	case 30:
		return 4<<20 - 1
	case 31:
		return 4 << 20
	case 32:
		return 4<<20 + 1
	case 33:
		return 9<<20 + 7
	}
	return sizes[i%len(sizes)]
}

// content is the same in every run, and tells the key.
func (o *thing) content() []byte {
	b := make([]byte, o.size)
	seed := [32]byte{}
	copy(seed[:], fmt.Sprintf("%d", o.size))
	copy(seed[16:], o.key)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// oddMeta has everything that objects can have, not all of it on every one.
func oddMeta(i int) store.Metadata {
	m := store.Metadata{ContentType: []string{"text/plain; charset=utf-8", "image/jpeg", "application/x-odd+json", "application/octet-stream"}[i%4]}
	if i%2 == 0 {
		m.CacheControl = "max-age=3600, public"
		m.User = map[string]string{"plain": "value", "number": fmt.Sprint(i), "spaces": "a b  c"}
	}
	if i%3 == 0 {
		m.ContentDisposition = `attachment; filename="a b.txt"; filename*=UTF-8''%E4%B8%AD.txt`
		m.ContentLanguage = "de, zh-CN"
	}
	if i%5 == 0 {
		m.Expires = "Thu, 01 Dec 2033 16:00:00 GMT"
		m.User = map[string]string{"chinese": "中文 值", "with-dash": "1", "quote": `"quoted"`, "empty": ""}
	}
	if i%7 == 0 {
		m.ContentEncoding = "br"
		m.Tags = map[string]string{"color": "blue", "path": "a/b:c", "n": fmt.Sprint(i)}
	}
	if i%11 == 0 {
		m.User = map[string]string{"under_score": "x", "dotted.name": "y", "long": strings.Repeat("z", 1500)}
	}
	return m
}
