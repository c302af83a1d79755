package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestSecretNeverPrints(t *testing.T) {
	const value = "hunter2-hunter2"
	side := Side{URL: "s3://b/", AccessKey: Secret{value}, SecretKey: Secret{value}, SessionToken: Secret{value}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", side.SecretKey, side, &side)
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(side)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("side", "secret", side.SecretKey, "side", side)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("side", "secret", side.SecretKey, "side", side)
	hexed := fmt.Sprintf("%x", value)
	if s := out.String(); strings.Contains(s, value) || strings.Contains(strings.ToLower(s), hexed) {
		t.Errorf("a secret shows in:\n%s", s)
	}
	if !strings.Contains(out.String(), masked) {
		t.Error("nothing was masked: the test prints no secret at all")
	}
}

func TestReveal(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	t.Setenv("CONF_TEST_SECRET", "from env")
	for _, tc := range []struct{ name, ref, want, err string }{
		{"literal", "abc", "abc", ""},
		{"env", "env:CONF_TEST_SECRET", "from env", ""},
		{"env unset", "env:CONF_TEST_NONE", "", "environment variable CONF_TEST_NONE is not set"},
		{"file", file("a", "s3cr3t"), "s3cr3t", ""},
		{"one newline trimmed", file("b", "s3cr3t\n\n"), "s3cr3t\n", ""},
		{"windows newline", file("c", "s3cr3t\r\n"), "s3cr3t", ""},
		{"empty file", file("d", "\n"), "", "the file is empty"},
		{"largest file", file("e", strings.Repeat("x", maxSecretFile)), strings.Repeat("x", maxSecretFile), ""},
		{"large file", file("f", strings.Repeat("x", maxSecretFile+1)), "", "larger than 65536 bytes"},
		{"missing file", "file:" + filepath.Join(dir, "none"), "", "open secret"},
	} {
		got, err := Secret{tc.ref}.Reveal()
		if got != tc.want {
			t.Errorf("%s: got %d bytes, want %d", tc.name, len(got), len(tc.want))
		}
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: got error %v, want %q", tc.name, err, tc.err)
		}
	}
}
