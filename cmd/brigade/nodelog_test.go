package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openTestLog opens the log of flags.
func openTestLog(t *testing.T, stderr io.Writer, args ...string) *nodeLog {
	t.Helper()
	b := newBench(t)
	source := nodeSource{app: b.app, given: map[string]string{"data": b.dir}}
	for i := 0; i < len(args); i += 2 {
		source.given[strings.TrimPrefix(args[i], "--")] = args[i+1]
	}
	cfg, err := source.load()
	if err != nil {
		t.Fatal(err)
	}
	l, err := openNodeLog(&cfg.nodeConfig, stderr)
	if err != nil {
		t.Fatal(err)
	}
	if l.file != nil {
		t.Cleanup(func() { l.file.Close() })
	}
	return l
}

// TestLogForms: the same line as text and as JSON, and levels that change while the log is in use.
func TestLogForms(t *testing.T) {
	for form, want := range map[string]string{"text": `level=INFO msg="a b" job=j task=7`, "json": `"level":"INFO","msg":"a b","job":"j","task":7}`} {
		var out bytes.Buffer
		l := openTestLog(t, &out, "--log-format", form)
		l.logger.Info("a b", "job", "j", "task", 7)
		l.logger.Debug("not yet")
		l.level.Set(slog.LevelDebug)
		l.logger.With("x", 1).Debug("from now on")
		l.level.Set(slog.LevelError)
		l.logger.Info("no more")
		if text := out.String(); !strings.Contains(text, want) || strings.Contains(text, "not yet") || !strings.Contains(text, "from now on") || strings.Contains(text, "no more") {
			t.Errorf("%s: %s", form, text)
		}
	}
}

// TestLogFiles: a file that is full is put aside, the oldest goes, and no line is lost before that or torn.
func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "node.log")
	if err := os.WriteFile(name, []byte("{\"msg\":\"from before\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	l := openTestLog(t, &stderr, "--log-format", "json", "--log-file", name, "--log-max-size", "1MiB", "--log-max-files", "3")
	const lines, size = 5000, 1000
	for i := range lines {
		l.logger.Info("line", "number", i, "text", strings.Repeat("x", size))
	}
	var files []string
	newNodeEventually(t, "the oldest files are gone", func() bool {
		files, _ = filepath.Glob(filepath.Join(dir, "*"))
		return len(files) == 3
	})
	numbers := map[int]bool{}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Size() > 1<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var d struct{ Number int }
			if err := json.Unmarshal(line, &d); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			numbers[d.Number] = true
		}
	}
	for i := lines - 1; i > lines-len(numbers); i-- {
		if !numbers[i] {
			t.Errorf("line %d is lost, of the %d that are kept", i, len(numbers))
		}
	}
	if len(numbers) < 1500 || stderr.Len() > 0 {
		t.Errorf("%d lines are kept; stderr has %q", len(numbers), stderr.String())
	}
}

// newNodeEventually waits for a condition without a node.
func newNodeEventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// TestLogFileOfANode: the log goes to its file, a reload opens that anew, and a restart goes on in it.
func TestLogFileOfANode(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "node.log")
	n := startNode(t, "--log-file", name, "--log-format", "json")
	read := func(name string) string {
		text, _ := os.ReadFile(name)
		return string(text)
	}
	contains(t, "log", read(name), `"msg":"node started"`)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	n.kill <- syscall.SIGHUP
	n.eventually("a new file", func() bool { return strings.Contains(read(name), `"msg":"configuration reloaded"`) })
	n.run(codeDone, "ctl", "set", "log.level=debug")
	n.eventually("it is more verbose", func() bool {
		n.run(codeDone, "ctl", "set", "log.level=debug")
		return strings.Contains(read(name), `"level":"DEBUG"`)
	})
	n.run(codeDone, "node", "stop")
	if code := <-n.end; code != codeDone {
		t.Errorf("exit %d", code)
	}
	n.end <- codeDone
	before := read(name)
	n.start(n.args...)
	if after := read(name); !strings.HasPrefix(after, before) || !strings.Contains(after[len(before):], `"msg":"node started"`) {
		t.Error("the restart does not go on in the file")
	}
	if n.log.String() != "" {
		t.Errorf("it says on stderr: %s", n.log.String())
	}
}

// TestLogFlagsAreChecked: what is wrong with a flag is said before anything starts.
func TestLogFlagsAreChecked(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{2, []string{"--log-format", "xml"}, "allowed: text, json"},
		{2, []string{"--log-max-size", "1000000"}, "whole MiB from 1MiB to 10GiB"},
		{2, []string{"--log-max-size", "11GiB"}, "whole MiB from 1MiB to 10GiB"},
		{2, []string{"--log-max-size", "much"}, "whole MiB from 1MiB to 10GiB"},
		{2, []string{"--log-max-files", "1"}, "allowed: 2 to 1000"},
		{1, []string{"--log-file", filepath.Join(b.dir, "not", "there", "log")}, "open the log"},
		{1, []string{"--log-file", b.dir}, "open the log"},
	} {
		_, errs := b.run(c.code, append([]string{"node", "start", "--data", filepath.Join(b.dir, "data"), "--http", "127.0.0.1:0"}, c.args...)...)
		contains(t, strings.Join(c.args, " "), errs, c.want)
	}
}
