package store

import (
	"net/url"
	"strings"
	"testing"
)

func TestUnknownOptionsAreNamed(t *testing.T) {
	for _, c := range []struct{ option, want string }{
		{"endpoint", ""}, {"region", ""},
		{"endpont", `did you mean "endpoint"?`}, {"Region", `did you mean "region"?`}, {"regoin", `did you mean "region"?`},
		{"completely-else", "known: endpoint, region"},
	} {
		err := CheckOptions(Location{Scheme: "s3", Options: url.Values{c.option: {"x"}}}, "region", "endpoint")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.option, err, c.want)
		}
	}
	if err := CheckOptions(Location{Scheme: "file", Options: url.Values{"x": {"1"}}}); err == nil || !strings.Contains(err.Error(), "have none") {
		t.Errorf("an option where there are none: %v", err)
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"region", "regoin", 2}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
