package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/term"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
)

// TestCtlLook shows a configuration with what it says of itself, and as what it can be read again.
func TestCtlLook(t *testing.T) {
	n := startNode(t)
	file := n.jobFile("s3")
	url := fmt.Sprintf("s3://bucket/?endpoint=http://%s", closedPort(t))
	text := fmt.Sprintf("id: s3\nsource: {url: %q}\ndestination: {url: %q, access_key: AK, secret_key: SK}\ncompare: size\nfilter: {include: [\"*.jpg\", \"#1\"]}\n", n.src, url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run(codeDone, "ctl", "add", file, "--yes")
	out, _ := n.run(codeDone, "ctl", "look", "s3")
	contains(t, "look", out, "type: copy # the default", "compare: size\n", "verify: checksum # the default", "objects: 10000 # the default",
		`access_key: "***"`+"\n", "url: file://"+n.src+"\n")
	if _, err := conf.Parse("look", []byte(out)); err != nil {
		t.Errorf("it cannot be read again: %v", err)
	}
	n.run(codeDone, "ctl", "pause", "s3")
	n.run(codeDone, "ctl", "edit", "s3", "--set", "destination.access_key=", "--set", "destination.secret_key=")
	out, _ = n.run(codeDone, "ctl", "look", "s3")
	contains(t, "look", out, "# no credentials of its own")
	out, _ = n.run(codeDone, "ctl", "look", "s3", "--json")
	contains(t, "look", out, `"compare":"size"`, `"include":["*.jpg","#1"]`)
}

// held starts a node and a job whose writes are held until release is called.
func held(t *testing.T, id string) (n *nodeBench, release func()) {
	t.Helper()
	n = startNode(t)
	writing, goOn := make(chan struct{}, 100), make(chan struct{})
	n.put = func(ctx context.Context, _ string) error {
		writing <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.run(codeDone, "ctl", "add", n.jobFile(id))
	<-writing
	return n, func() { close(goOn) }
}

// TestCtlEditKeys changes keys of a job as it runs, rests, is done and is started afresh.
func TestCtlEditKeys(t *testing.T) {
	n, release := held(t, "photos")
	out, _ := n.run(codeDone, "ctl", "edit", "photos", "--set", "limits.bandwidth=1G", "--set", "max_failures=7", "--set", "priority=-3")
	contains(t, "edit", out, "photos has changed: limits.bandwidth, max_failures, priority")
	out, _ = n.run(codeDone, "ctl", "look", "photos")
	contains(t, "look", out, "bandwidth: 1G", "max_failures: 7", "priority: -3")
	out, _ = n.run(codeDone, "ctl", "edit", "photos", "--set", "max_failures=7")
	contains(t, "edit", out, "photos is as it was: nothing changes")
	out, _ = n.run(codeDone, "ctl", "edit", "photos", "--set", "limits.bandwidth=", "--json")
	contains(t, "edit", out, `"changed":["limits.bandwidth"]`, `"state":"running"`)

	_, errs := n.run(codeRefused, "ctl", "edit", "photos", "--set", "compare=size", "--set", "max_failures=8")
	contains(t, "stderr", errs, `compare cannot be changed while job "photos" is running; pause it first (ctl pause)`)
	_, errs = n.run(codeRefused, "ctl", "edit", "photos", "--set", "source.url="+filepath.Join(n.dir, "d"))
	contains(t, "stderr", errs, `source.url cannot be changed: job "photos" is running and in pass 1; add another job`)
	n.run(codeDone, "ctl", "pause", "photos")
	out, errs = n.run(codeDone, "ctl", "edit", "photos", "--set", "compare=size")
	contains(t, "edit", out, "photos has changed: compare")
	contains(t, "stderr", errs, "brigade ctl continue photos", "brigade ctl redo photos")
	other := filepath.Join(n.dir, "other")
	_, errs = n.run(codeRefused, "ctl", "edit", "photos", "--set", "destination.url="+other)
	contains(t, "stderr", errs, `destination.url cannot be changed: job "photos" is paused and in pass 1`)

	out, _ = n.run(codeDone, "ctl", "redo", "photos", "--paused")
	contains(t, "redo", out, "photos is paused")
	n.run(codeDone, "ctl", "edit", "photos", "--set", "destination.url="+other)
	n.dst = other
	release()
	n.run(codeDone, "ctl", "continue", "photos")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
	if d := n.status("photos"); d.Objects.Copied != 10 || d.Pass != 1 {
		t.Errorf("%+v", d)
	}
	out, _ = n.run(codeDone, "ctl", "history", "--json")
	if strings.Count(out, `"verb":"edit"`) != 4 {
		t.Errorf("the history has %s", out)
	}
}

// TestFilterChangesMidPass: a change of what is copied, in the middle of a pass, holds for what is not settled, and the sums stay
// whole.
func TestFilterChangesMidPass(t *testing.T) {
	n, release := held(t, "photos")
	n.run(codeDone, "ctl", "pause", "photos")
	n.run(codeDone, "ctl", "edit", "photos", "--set", "filter.exclude=9")
	release()
	n.run(codeDone, "ctl", "continue", "photos")
	n.reaches("photos", fsm.Succeeded)
	if o := n.status("photos").Objects; o.Copied != 9 || o.Filtered != 1 || o.Found != 10 || o.Listed != 10 {
		t.Errorf("%+v", o)
	}
	if _, err := os.Stat(filepath.Join(n.dst, "d", "9")); err == nil {
		t.Error("what is excluded was copied")
	}
}

func TestCtlEditBadInput(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	broken := filepath.Join(n.dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("id: photos\nsource:\n  url: /a\n  ulr: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		code int
		args []string
		want string
	}{
		"no such job":     {codeRefused, []string{"nothing", "--set", "compare=size"}, `there is no job "nothing"`},
		"unknown key":     {codeMisuse, []string{"photos", "--set", "compar=size"}, `did you mean "compare"?`},
		"unknown to drop": {codeMisuse, []string{"photos", "--set", "compar="}, `did you mean "compare"?`},
		"no value":        {codeMisuse, []string{"photos", "--set", "compare"}, "has no value"},
		"bad value":       {codeMisuse, []string{"photos", "--set", "compare=colour"}, "flag --set: compare:"},
		"secret in argv":  {codeMisuse, []string{"photos", "--set", "source.secret_key=hunter2"}, "a secret does not belong on the command line"},
		"no terminal":     {codeMisuse, []string{"photos", "--set", "source.secret_key"}, "there is no terminal to ask on; give source.secret_key=env:NAME or source.secret_key=file:PATH"},
		"half of a key":   {codeMisuse, []string{"photos", "--set", "source.secret_key=env:HOME"}, "stands without"},
		"another ID":      {codeMisuse, []string{"photos", "--set", "id=pictures"}, "keeps its ID"},
		"both":            {codeMisuse, []string{"photos", "--set", "compare=size", "-f", broken}, "do not go together"},
		"broken file":     {codeMisuse, []string{"photos", "-f", broken}, `broken.yaml:4:3: source.ulr: unknown key, did you mean "url"?`},
		"no file":         {codeMisuse, []string{"photos", "-f", broken + "x"}, "no such file"},
		"no editor":       {codeMisuse, []string{"photos"}, "there is no terminal to edit on"},
		"another place":   {codeRefused, []string{"photos", "--set", "destination.url=/elsewhere"}, "job \"photos\" is succeeded and in pass 1"},
		"no job":          {codeMisuse, nil, "one argument, not 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := n.as(t).run(test.code, append([]string{"ctl", "edit"}, test.args...)...)
			contains(t, "stderr", errs, test.want)
			if strings.Contains(errs, "hunter2") {
				t.Error("the secret is shown")
			}
		})
	}
}

// TestCtlEditFile puts a job file in the place of the configuration.
func TestCtlEditFile(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	out, _ := n.run(codeDone, "ctl", "edit", "photos", "-f", n.jobFile("photos", "compare: size", "filter: {exclude: ['*.tmp']}"))
	contains(t, "edit", out, "photos has changed: compare, filter.exclude")
	out, _ = n.run(codeDone, "ctl", "edit", "photos", "-f", n.jobFile("photos"))
	contains(t, "edit", out, "photos has changed: compare, filter.exclude")
}

// TestFileWithoutCredentials: a file that says nothing of them does not take away what nobody else may have.
func TestFileWithoutCredentials(t *testing.T) {
	n := startNode(t)
	file := n.jobFile("s3")
	url := fmt.Sprintf("s3://bucket/?endpoint=http://%s&region=r", closedPort(t))
	if err := os.WriteFile(file, fmt.Appendf(nil, "id: s3\nsource: {url: %q}\ndestination: {url: %q}\n", url, n.dst), 0o600); err != nil {
		t.Fatal(err)
	}
	n.env["BRIGADE_SRC_ACCESS_KEY"], n.env["BRIGADE_SRC_SECRET_KEY"] = "AK", "SK"
	n.run(codeDone, "ctl", "add", file)
	n.reaches("s3", fsm.Paused)
	out, _ := n.run(codeDone, "ctl", "edit", "s3", "-f", file)
	contains(t, "edit with the same environment", out, "nothing changes")
	n.env["BRIGADE_SRC_SECRET_KEY"] = "S2"
	out, _ = n.run(codeDone, "ctl", "edit", "s3", "-f", file)
	contains(t, "edit with another environment", out, "s3 has changed: source.secret_key")
	delete(n.env, "BRIGADE_SRC_ACCESS_KEY")
	delete(n.env, "BRIGADE_SRC_SECRET_KEY")
	_, errs := n.run(codeMisuse, "ctl", "edit", "s3", "-f", file)
	contains(t, "stderr", errs, "the job has credentials for the source, the file and the environment have none")
	out, _ = n.run(codeDone, "ctl", "edit", "s3", "--set", "source.access_key=", "--set", "source.secret_key=")
	contains(t, "edit", out, "s3 has changed: source.access_key, source.secret_key")
	n.run(codeDone, "ctl", "edit", "s3", "-f", file)
}

// editor makes a script the user's editor. In it $1 is the text.
func (n *nodeBench) editor(script string) {
	n.t.Helper()
	path := filepath.Join(n.dir, "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nset -e\n"+script+"\n"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	n.env["EDITOR"] = path
	n.t.Setenv("TMPDIR", n.t.TempDir())
}

// kept finds the text that an error says is kept.
func kept(t *testing.T, errs string) (path, text string) {
	t.Helper()
	m := regexp.MustCompile(`your text is kept in (\S+):.*brigade ctl edit photos -f (\S+)`).FindStringSubmatch(errs)
	if m == nil || m[1] != m[2] {
		t.Fatalf("no text is kept: %s", errs)
	}
	info, err := os.Stat(m[1])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the text has mode %v, %v", info.Mode(), err)
	}
	content, err := os.ReadFile(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return m[1], string(content)
}

// TestCtlEditor edits a job in an editor. No text that a user wrote is lost.
func TestCtlEditor(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	leftovers := func() int {
		entries, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}

	n.editor(`grep -q '^# Job photos' "$1"`)
	out, _ := n.run(codeDone, "ctl", "edit", "photos")
	contains(t, "edit without a change", out, "photos is as it was: nothing changes")
	n.editor(`sed -i 's/^compare: default/compare: size/' "$1"`)
	out, _ = n.run(codeDone, "ctl", "edit", "photos")
	contains(t, "edit", out, "photos has changed: compare")
	if leftovers() != 0 {
		t.Error("texts are left behind")
	}
	n.editor(`sed -i 's/$/ # a remark/; s/^compare: size/compare: "size"/' "$1"`)
	out, _ = n.run(codeDone, "ctl", "edit", "photos")
	contains(t, "edit of remarks", out, "nothing changes")
	n.editor(`exit 3`)
	_, errs := n.run(codeRefused, "ctl", "edit", "photos")
	contains(t, "stderr", errs, "editor ", "exit status 3")
	if leftovers() != 0 {
		t.Error("texts are left behind")
	}

	n.editor(`sed -i 's/^compare: size/compare: [/' "$1"`)
	_, errs = n.run(codeMisuse, "ctl", "edit", "photos")
	contains(t, "stderr", errs, "is not YAML")
	kept(t, errs)
	n.editor(`sed -i 's/^compare: size/compare: sise/' "$1"`)
	_, errs = n.run(codeMisuse, "ctl", "edit", "photos")
	path, text := kept(t, errs)
	if m := regexp.MustCompile(`photos\.yaml:(\d+):\d+: compare: "sise" is not known, did you mean "size"\?`).FindStringSubmatch(errs); m == nil ||
		!strings.HasPrefix(strings.Split(text, "\n")[atoi(t, m[1])-1], "compare: sise") {
		t.Errorf("the error does not name the line: %s", errs)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, "sise", "mtime", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = n.run(codeDone, "ctl", "edit", "photos", "-f", path)
	contains(t, "edit from what was kept", out, "photos has changed: compare")
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCtlEditConflict: somebody else changes the job while it is in the editor.
func TestCtlEditConflict(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	open, goOn := filepath.Join(n.dir, "open"), filepath.Join(n.dir, "go-on")
	n.editor(fmt.Sprintf(`sed -i 's/^verify: checksum/verify: size/' "$1"; touch %s; while [ ! -e %s ]; do sleep 0.01; done`, open, goOn))
	other := n.as(t)
	meanwhile := make(chan struct{})
	go func() {
		defer close(meanwhile)
		defer func() { _ = os.WriteFile(goOn, nil, 0o600) }()
		n.eventually("the editor is open", func() bool { _, err := os.Stat(open); return err == nil })
		other.app.run(context.Background(), []string{"ctl", "edit", "photos", "--set", "compare=size"})
	}()
	_, errs := n.run(codeRefused, "ctl", "edit", "photos")
	<-meanwhile
	contains(t, "stderr", errs, `job "photos" was changed since its description was read`, "somebody changed compare", "brigade ctl look photos")
	path, text := kept(t, errs)
	contains(t, "the text", text, "verify: size", "compare: default")
	out, _ := n.run(codeDone, "ctl", "look", "photos")
	contains(t, "look", out, "verify: checksum", "compare: size")
	out, _ = n.run(codeDone, "ctl", "edit", "photos", "-f", path)
	contains(t, "edit from what was kept", out, "photos has changed: compare, verify")
}

// TestCtlEditAgain goes back to the editor where a terminal can be asked.
func TestCtlEditAgain(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	n.editor(`if grep -q '^compare: sise' "$1"; then sed -i 's/sise/size/' "$1"; else sed -i 's/^compare: default/compare: sise/' "$1"; fi`)
	n.app.terminals = terminals{in: true, out: true, err: true}
	n.app.in = strings.NewReader("y\n")
	out, errs := n.run(codeDone, "ctl", "edit", "photos")
	contains(t, "stderr", errs, `compare: "sise" is not known`, "Edit again? [y/N]")
	contains(t, "edit", out, "photos has changed: compare")
}

// TestSecretsAreAskedFor types two secrets and nothing, and interrupts.
func TestSecretsAreAskedFor(t *testing.T) {
	ask := func(typed string) (answers map[string]string, shown string, err error) {
		var out bytes.Buffer
		answers, err = readSecrets(term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(typed), &out}, ""), []string{"source.access_key", "source.secret_key"})
		return answers, out.String(), err
	}
	answers, shown, err := ask("first\rsecond with spaces\r")
	if err != nil || answers["source.access_key"] != "first" || answers["source.secret_key"] != "second with spaces" {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	contains(t, "the terminal", shown, "source.access_key: ", "source.secret_key: ")
	if strings.Contains(shown, "first") || strings.Contains(shown, "second") {
		t.Error("what is typed shows")
	}
	for typed, want := range map[string]int{"first\r\r": codeMisuse, "first\r\x03": codeInterrupted, "first\r": codeInterrupted} {
		if _, _, err := ask(typed); codeOf(err) != want {
			t.Errorf("%q: %v", typed, err)
		}
	}
}
