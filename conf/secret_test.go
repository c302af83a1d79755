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

// TestSetSecret takes what was typed, and refuses it for anything else.
func TestSetSecret(t *testing.T) {
	j := New("x")
	if err := j.SetSecret("source.secret_key", "typed"); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Source.SecretKey.Reveal(); got != "typed" || err != nil {
		t.Errorf("got something else, or %v", err)
	}
	for _, path := range []string{"compare", "source.url", "source", "filter.access_key"} {
		if IsSecret(path) {
			t.Errorf("%s counts as a secret", path)
		}
		if err := j.SetSecret(path, "hunter2"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for path, want := range map[string]string{
		"compare": "", "filter": "", "source.secret_key": "",
		"compar":   `flag --set: compar: unknown key, did you mean "compare"?`,
		"schedule": "not supported by this version", "": "unknown key",
	} {
		err := CheckKey(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

// TestFromJSON writes remarks behind values, and what it writes means the same.
func TestFromJSON(t *testing.T) {
	doc := []byte(`{"id":"a","source":{"url":"/s","secret_key":"***"},"filter":{"include":["*.jpg","# x"]},"task":{"objects":5,"bytes":7},"destination":{"url":"/d"}}`)
	text, err := FromJSON(doc, map[string]string{"task.objects": "few", "id": "its name", "not.there": "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := "id: a # its name\nsource:\n  url: /s\n  secret_key: \"***\"\nfilter:\n  include:\n  - \"*.jpg\"\n  - \"# x\"\ntask:\n  objects: 5 # few\n  bytes: 7\ndestination:\n  url: /d\n"
	if string(text) != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
	if _, err := FromJSON([]byte("["), nil); err == nil {
		t.Error("broken JSON is taken")
	}
}
