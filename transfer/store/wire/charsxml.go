package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// plainXML tells whether data has none but the characters of XML (https://www.w3.org/TR/xml/#charsets), and not the end of a
// section outside of one.
func plainXML(data []byte) bool {
	return !hasControls(data) && utf8.Valid(data) && !hasNonCharacters(data) && !bytes.Contains(data, []byte("]]>"))
}

// hasControls looks for characters below the space that XML cannot carry, eight bytes at a time.
func hasControls(data []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(data) >= 8; data = data[8:] {
		v := binary.LittleEndian.Uint64(data)
		if (v-ones*' ')&^v&high != 0 && anyControl(data[:8]) {
			return true
		}
	}
	return anyControl(data)
}

func anyControl(data []byte) bool {
	for _, c := range data {
		if c < ' ' && !isXMLSpace(c) {
			return true
		}
	}
	return false
}

// hasNonCharacters looks for U+FFFE and U+FFFF.
func hasNonCharacters(data []byte) bool {
	for {
		i := bytes.Index(data, []byte("\xef\xbf"))
		if i < 0 || i+2 >= len(data) {
			return false
		}
		if data[i+2] >= 0xbe {
			return true
		}
		data = data[i+3:]
	}
}

// isXMLRune tells whether a document may have a character.
func isXMLRune(r rune) bool {
	return (r >= ' ' || r >= 0 && isXMLSpace(byte(r))) && utf8.ValidRune(r) && r != 0xfffe && r != 0xffff
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
