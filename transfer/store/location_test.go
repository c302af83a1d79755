package store

import (
	"testing"
)

// TestListLocations reads where lists of URLs are, and writes it down again.
func TestListLocations(t *testing.T) {
	for raw, want := range map[string]struct{ path, text, option, value string }{
		"urllist:/a/list.txt":                                        {"/a/list.txt", "urllist:/a/list.txt", "", ""},
		"urllist:/a/list.txt?auth_host=h":                            {"/a/list.txt", "urllist:/a/list.txt?auth_host=h", "auth_host", "h"},
		"urllist:/a/list.txt?other=1":                                {"/a/list.txt", "urllist:/a/list.txt?other=1", "other", "1"},
		"urllist:https://h/l?token=a%20b&max_size=7&x":               {"https://h/l?token=a%20b&x", "urllist:https://h/l?token=a%20b&x&max_size=7", "max_size", "7"},
		"urllist:s3://b/l?region=r&header.x=a%20b&endpoint=http://e": {"s3://b/l?region=r&endpoint=http://e", "urllist:s3://b/l?region=r&endpoint=http://e&header.x=a+b", "header.x", "a b"},
		"urllist:": {"", "urllist:", "", ""},
	} {
		l, err := Parse(raw)
		if err != nil || l.Scheme != ListScheme || l.Path != want.path || l.String() != want.text || l.Options.Get(want.option) != want.value {
			t.Errorf("%s: %+v, %q, %v", raw, l, l.String(), err)
			continue
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() || again.Path != l.Path {
			t.Errorf("%s comes back as %+v, %v", l.String(), again, err)
		}
	}
	for _, raw := range []string{"urllist:https://u:p@h/l", "urllist:/l?auth_host=a&auth_host=b", "urllist:/l?auth_host", "urllist:/l?max_size=%zz"} {
		if l, err := Parse(raw); err == nil {
			t.Errorf("%s: %+v", raw, l)
		}
	}
}
