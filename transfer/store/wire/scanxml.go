package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseXML reads a document with the root element root into a new T. field reads one child of the root. Listings are the largest
// documents by far and always have the same simple form, which ScanXML reads many times faster than encoding/xml; what it does not
// understand goes to that, so the tags of T have to say the same as field.
func ParseXML[T any](data []byte, root string, field func(*T, *Scanner, Element) error) (*T, error) {
	if doc, err := ScanXML(data, root, field); err == nil {
		return doc, nil
	}
	doc := new(T)
	if err := xml.Unmarshal(data, doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// ErrNotSimple is returned for XML that a Scanner leaves to encoding/xml, be it broken or only beyond it.
var ErrNotSimple = errors.New("not a simple document")

// ScanXML reads a document of elements, attributes, text and references only. It does so as encoding/xml would, but for text with
// characters that XML 1.0 cannot carry: servers put keys into listings as they are, and such a key is better read than refused.
func ScanXML[T any](data []byte, root string, field func(*T, *Scanner, Element) error) (*T, error) {
	x := &Scanner{rest: trimXML(bytes.TrimPrefix(data, []byte("\ufeff")))}
	if err := x.declaration(); err != nil {
		return nil, err
	}
	e, err := x.open()
	if err != nil || string(e.Name) != root {
		return nil, ErrNotSimple
	}
	doc := new(T)
	if err := Children(x, e, doc, field); err != nil {
		return nil, err
	}
	if len(trimXML(x.rest)) > 0 {
		return nil, ErrNotSimple
	}
	return doc, nil
}

// maxDepth bounds how deep elements may be nested.
const maxDepth = 16

// Scanner walks over a simple document.
type Scanner struct {
	rest  []byte
	depth int
}

// Left tells how many bytes of the document follow.
func (x *Scanner) Left() int { return len(x.rest) }

// Element is one whose start was read. What it has inside must be read next, by Text, Children or Skip.
type Element struct {
	Name  []byte
	attrs []byte
	empty bool // it is its own end
}

// Attribute gives the value of an attribute, "" for none. The prefix of its name space says nothing.
func (e Element) Attribute(name string) (value string) {
	_ = attributes(e.attrs, func(full, text []byte) error { // has been checked
		if _, local, ok := bytes.Cut(full, []byte(":")); ok {
			full = local
		}
		if string(full) == name {
			value = string(text)
		}
		return nil
	})
	return value
}

// Children reads all up to the end of an element, handing each child to field, which has to read it.
func Children[T any](x *Scanner, e Element, into *T, field func(*T, *Scanner, Element) error) error {
	if e.empty {
		return nil
	}
	if x.depth++; x.depth > maxDepth {
		return ErrNotSimple
	}
	for {
		i := bytes.IndexByte(x.rest, '<')
		if i < 0 || i+1 == len(x.rest) || !resolves(x.rest[:i]) {
			return ErrNotSimple
		}
		x.rest = x.rest[i:] // text beside elements says nothing
		if x.rest[1] == '/' {
			x.depth--
			return x.close(e.Name)
		}
		child, err := x.open()
		if err == nil {
			err = field(into, x, child)
		}
		if err != nil {
			return err
		}
	}
}

// Skip passes over an element.
func (x *Scanner) Skip(e Element) error { return Children(x, e, x, skip) }

func skip(_, x *Scanner, e Element) error { return x.Skip(e) }

// Text reads the text of an element. Which one counts where there are two is left to encoding/xml.
func (x *Scanner) Text(e Element, into *string) error {
	if *into != "" {
		return ErrNotSimple
	}
	if e.empty {
		return nil
	}
	i := bytes.IndexByte(x.rest, '<')
	if i < 0 {
		return ErrNotSimple
	}
	value, err := unescapeXML(x.rest[:i])
	if err != nil {
		return err
	}
	*into = value
	x.rest = x.rest[i:]
	return x.close(e.Name)
}

// open reads a start tag.
func (x *Scanner) open() (Element, error) {
	if len(x.rest) < 2 || x.rest[0] != '<' {
		return Element{}, ErrNotSimple
	}
	end := bytes.IndexByte(x.rest, '>')
	if end < 0 {
		return Element{}, ErrNotSimple
	}
	tag := x.rest[1:end]
	x.rest = x.rest[end+1:]
	tag, empty := bytes.CutSuffix(tag, []byte("/"))
	n := nameLength(tag)
	e := Element{Name: tag[:n], attrs: tag[n:], empty: empty}
	if n == 0 || len(e.attrs) > 0 && attributes(e.attrs, ignore) != nil {
		return Element{}, ErrNotSimple
	}
	return e, nil
}

// close reads the end tag of an element.
func (x *Scanner) close(name []byte) error {
	n := len(name) + 3
	if len(x.rest) < n || x.rest[0] != '<' || x.rest[1] != '/' || !bytes.Equal(x.rest[2:n-1], name) || x.rest[n-1] != '>' {
		return ErrNotSimple
	}
	x.rest = x.rest[n:]
	return nil
}

// declaration reads how a document declares itself, if it does.
func (x *Scanner) declaration() error {
	after, ok := bytes.CutPrefix(x.rest, []byte("<?xml"))
	if !ok {
		return nil
	}
	text, after, ok := bytes.Cut(after, []byte("?>"))
	if !ok {
		return ErrNotSimple
	}
	x.rest = trimXML(after)
	return attributes(text, func(name, value []byte) error {
		switch {
		case string(name) == "version" && (string(value) == "1.0" || string(value) == "1.1"):
		case string(name) == "encoding" && bytes.EqualFold(value, []byte("utf-8")):
		case string(name) == "standalone":
		default:
			return ErrNotSimple
		}
		return nil
	})
}

// attributes hands the names and values in what follows the name of an element to each.
func attributes(text []byte, each func(name, value []byte) error) error {
	for {
		rest := trimXML(text)
		if len(rest) == 0 {
			return nil
		}
		n := nameLength(rest)
		if n > 0 && n < len(rest) && rest[n] == ':' {
			local := nameLength(rest[n+1:])
			n += 1 + local
			if local == 0 {
				return ErrNotSimple
			}
		}
		if n == 0 || !isXMLSpace(text[0]) || len(rest) < n+3 || rest[n] != '=' {
			return ErrNotSimple
		}
		name, quote, value := rest[:n], rest[n+1], rest[n+2:]
		end := bytes.IndexByte(value, quote)
		if quote != '"' && quote != '\'' || end < 0 || bytes.ContainsAny(value[:end], "<&\r") {
			return ErrNotSimple
		}
		if err := each(name, value[:end]); err != nil {
			return err
		}
		text = value[end+1:]
	}
}

func ignore(_, _ []byte) error { return nil }

// resolves tells whether text has none but known references.
func resolves(text []byte) bool {
	if len(text) == 0 || bytes.IndexByte(text, '&') < 0 {
		return true
	}
	_, err := unescapeXML(text)
	return err == nil
}

// unescapeXML resolves the references in text.
func unescapeXML(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\r') >= 0 { // line ends are normalised
		return "", ErrNotSimple
	}
	if bytes.IndexByte(raw, '&') < 0 {
		return string(raw), nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			b.Write(raw)
			return b.String(), nil
		}
		b.Write(raw[:i])
		end := bytes.IndexByte(raw[i:], ';')
		if end < 0 {
			return "", ErrNotSimple
		}
		r, err := reference(string(raw[i+1 : i+end]))
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
		raw = raw[i+end+1:]
	}
}

// reference gives the character that a reference stands for.
func reference(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if digits == name {
		return 0, ErrNotSimple
	}
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, ErrNotSimple
	}
	return rune(n), nil
}

func isXMLSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// trimXML cuts off what is white space in XML.
func trimXML(data []byte) []byte {
	for len(data) > 0 && isXMLSpace(data[0]) {
		data = data[1:]
	}
	for len(data) > 0 && isXMLSpace(data[len(data)-1]) {
		data = data[:len(data)-1]
	}
	return data
}

// nameLength tells how many bytes text begins with that are a name in ASCII without a prefix; 0 for none.
func nameLength(text []byte) int {
	for i, c := range text {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return i
		}
	}
	return len(text)
}
