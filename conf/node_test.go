package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadNode(t *testing.T) {
	flags := []string{"data", "join", "peer-port"}
	for name, test := range map[string]struct {
		text, problem string
		want          map[string]string
	}{
		"empty":          {text: " \n", want: map[string]string{}},
		"only comments":  {text: "# a: b\n\n  # c\n", want: map[string]string{}},
		"values":         {text: "data: /var/x\npeer-port: 7461\n", want: map[string]string{"data": "/var/x", "peer-port": "7461"}},
		"underscores":    {text: "peer_port: 1", want: map[string]string{"peer-port": "1"}},
		"list":           {text: "join: [a, 'b:7462']", want: map[string]string{"join": "a,b:7462"}},
		"unknown key":    {text: "data: x\njion: a", problem: `:2:1: jion: unknown key, did you mean "join"?`},
		"given twice":    {text: "peer-port: 1\npeer_port: 2", problem: "is given twice"},
		"mapping":        {text: "data: {a: b}", problem: "is a mapping"},
		"no value":       {text: "data:", problem: "is empty"},
		"list in a list": {text: "join: [[a]]", problem: "an entry is a list"},
		"no mapping":     {text: "- a", problem: "not a mapping"},
		"too large":      {text: strings.Repeat("# comment\n", maxNodeFile/10+1), problem: "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "node.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadNode(file, flags)
			switch {
			case test.problem == "" && err != nil:
				t.Fatal(err)
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
				t.Fatalf("error %v, want one with %q", err, test.problem)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := ReadNode(filepath.Join(t.TempDir(), "none"), flags); err == nil {
		t.Error("a missing file was read")
	}
}
