package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// kind is the shape of a value.
type kind uint8

const (
	scalar kind = iota
	list
	mapping
	null
)

func (k kind) String() string {
	return [...]string{"a single value", "a list", "a mapping", "empty"}[k]
}

// value is one value as written: what a YAML node, or a flag, comes down to.
type value struct {
	at     position
	kind   kind
	text   string  // of a scalar
	items  []value // of a list
	fields []field // of a mapping
	flag   bool    // given on the command line
}

// field is one entry of a mapping.
type field struct {
	name string
	at   position
	val  value
}

func (v value) scalar(allowed string) (string, *problem) {
	switch {
	case v.kind == null || v.kind == scalar && v.text == "":
		return "", &problem{"has no value", allowed}
	case v.kind != scalar:
		return "", &problem{"is " + v.kind.String() + ", a single value is wanted", allowed}
	}
	return v.text, nil
}

// oneOf reads a word out of a fixed set; what is known of the format but not built has its own answer.
func (v value) oneOf(words []string, later ...string) (string, *problem) {
	allowed := strings.Join(words, ", ")
	text, bad := v.scalar(allowed)
	if bad != nil {
		return "", bad
	}
	for _, w := range words {
		if text == w {
			return w, nil
		}
	}
	head, _, _ := strings.Cut(text, ":")
	for _, w := range later {
		if head == w {
			return "", &problem{fmt.Sprintf("%q is %s", text, unsupported), allowed}
		}
	}
	return "", &problem{fmt.Sprintf("%q is not known%s", text, didYouMean(text, words)), allowed}
}

// patterns reads a list of strings; a single string is a list of one, and a flag's one is split at commas.
func (v value) patterns() ([]string, *problem) {
	const allowed = `a list of patterns, such as ["*.jpg", "2024/**"]`
	switch {
	case v.kind == scalar && v.flag:
		return splitPatterns(v.text), nil
	case v.kind == scalar:
		return []string{v.text}, nil
	case v.kind != list:
		return nil, &problem{"is " + v.kind.String() + ", a list is wanted", allowed}
	}
	out := make([]string, 0, len(v.items))
	for _, item := range v.items {
		text, bad := item.scalar(allowed)
		if bad != nil {
			return nil, &problem{"an entry " + bad.what, allowed}
		}
		out = append(out, text)
	}
	return out, nil
}

// splitPatterns splits at commas outside braces and brackets, which are part of a pattern.
func splitPatterns(s string) []string {
	var out []string
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, s[start:i])
				start = i + 1
			}
		}
	}
	return append(out, s[start:])
}

func (v value) boolean() (bool, *problem) {
	const allowed = "true, false"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return false, bad
	}
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, &problem{fmt.Sprintf("%q is neither true nor false", text), allowed}
}

func (v value) count(least, most int64) (int64, *problem) {
	allowed := fmt.Sprintf("a whole number from %d to %d", least, most)
	text, bad := v.scalar(allowed)
	if bad != nil {
		return 0, bad
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, &problem{fmt.Sprintf("%q is not a whole number", text), allowed}
	}
	if n < least || n > most {
		return 0, &problem{fmt.Sprintf("%d is out of range", n), allowed}
	}
	return n, nil
}

func (v value) size(least int64) (int64, *problem) {
	const allowed = "a size such as 500, 64KiB, 1GB (decimal) or 1GiB"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return 0, bad
	}
	n, err := ParseSize(text)
	if err != nil {
		return 0, &problem{err.Error(), allowed}
	}
	if n < least {
		return 0, &problem{fmt.Sprintf("%q is too small", text), fmt.Sprintf("%d bytes and more", least)}
	}
	return n, nil
}

// ParseSize reads a number of bytes: 500, 64KiB, 1GB (decimal), 1.5GiB.
func ParseSize(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	if s == "" || s[0] < '0' || s[0] > '9' || strings.Contains(s, ",") {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(n), nil
}

func (v value) time() (time.Time, *problem) {
	const allowed = "a time such as 2024-01-31T12:00:00Z, or a date such as 2024-01-31 (UTC)"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return time.Time{}, bad
	}
	t, err := ParseTime(text)
	if err != nil {
		return time.Time{}, &problem{err.Error(), allowed}
	}
	return t, nil
}

// ParseTime reads an RFC 3339 time, or a date, which means its first moment in UTC. The years 1970 to 2261 are
// accepted: a nanosecond count holds no more.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse(time.DateOnly, s)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time", s)
	}
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}, fmt.Errorf("%q is out of range", s)
	}
	return t, nil
}
