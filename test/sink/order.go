package sink

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"unicode/utf16"
)

// Order compares two keys for the order of listings.
type Order func(a, b string) int

// OrderNamed finds an order that is not that of bytes: "utf16", as databases of some servers sort, "nocase", without regard to
// upper and lower case, and "shuffled", always the same. It returns nil for "bytes" and all others.
func OrderNamed(name string) Order {
	switch name {
	case "utf16":
		return byUTF16
	case "nocase":
		return func(a, b string) int {
			return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
		}
	case "shuffled":
		return func(a, b string) int { return cmp.Or(cmp.Compare(hashOf(a), hashOf(b)), strings.Compare(a, b)) }
	}
	return nil
}

// byUTF16 sorts characters beyond U+FFFF, written as two units from 0xD800 on, before those from U+E000 to U+FFFF.
func byUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func hashOf(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}

// inOrder sorts a copy of keys.
func (o Order) inOrder(keys []string) []string {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, o)
	return keys
}

// pageInOrder fills a page with keys that are in an order of their own, from behind a key of that order on. Nothing is folded.
func (s *Server) pageInOrder(p *page, keys []string, object func(key string) *object) {
	i := 0
	if p.after != "" {
		var found bool
		if i, found = slices.BinarySearchFunc(keys, p.after, s.opts.Order); found {
			i++
		}
	}
	for _, key := range keys[i:] {
		o := object(key)
		if o == nil || !strings.HasPrefix(key, p.prefix) {
			continue
		}
		if _, more := p.add(key, o); !more {
			return
		}
	}
}
