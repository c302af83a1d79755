package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/file"
)

// bench is one user's machine: a home, a source, a destination, and the app.
type bench struct {
	t        *testing.T
	dir      string
	src, dst string
	app      *app
	env      map[string]string
	signals  chan os.Signal
	stdout   bytes.Buffer
	stderr   lockedBuffer
	// put, if set, comes before each write to the destination.
	put func(ctx context.Context, key string) error
}

// lockedBuffer is written to by progress and by main at once.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), env: map[string]string{}, signals: make(chan os.Signal, 2)}
	b.src, b.dst = filepath.Join(b.dir, "src"), filepath.Join(b.dir, "dst")
	b.env["XDG_STATE_HOME"] = filepath.Join(b.dir, "state")
	for i := range 10 {
		b.write(fmt.Sprintf("d/%d", i), fmt.Sprintf("content %d", i))
	}
	b.app = &app{
		in: strings.NewReader(""), out: &b.stdout, err: &b.stderr, signals: b.signals,
		getenv: func(name string) string { return b.env[name] },
		stores: store.Registry{"file": {Validate: file.Validate, Open: b.open}, "s3": registry()["s3"]},
	}
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.src, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) open(ctx context.Context, cfg store.Config) (store.Destination, error) {
	d, err := file.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Role == store.RoleSource {
		return d, nil
	}
	return meddling{d, b}, nil
}

// meddling is a destination that asks the test before each write. It hides all abilities but Put.
type meddling struct {
	store.Destination
	b *bench
}

func (m meddling) Put(ctx context.Context, key string, body store.Body, opts store.PutOptions) (store.Object, error) {
	if m.b.put != nil {
		if err := m.b.put(ctx, key); err != nil {
			return store.Object{}, err
		}
	}
	return m.Destination.Put(ctx, key, body, opts)
}

// run runs one command line and checks its exit code.
func (b *bench) run(code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	b.stdout.Reset()
	b.stderr.mu.Lock()
	b.stderr.buf.Reset()
	b.stderr.mu.Unlock()
	got := b.app.run(b.t.Context(), args)
	stdout, stderr = b.stdout.String(), b.stderr.String()
	if got != code {
		b.t.Fatalf("brigade %q: exit %d, want %d\nstdout:\n%s\nstderr:\n%s", args, got, code, stdout, stderr)
	}
	return stdout, stderr
}

// document runs an import with --json and returns what it ends with.
func (b *bench) document(code int, args ...string) api.Job {
	b.t.Helper()
	out, errs := b.run(code, append(args, "--json")...)
	var d api.Job
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		b.t.Fatalf("stdout is not one document: %v\n%s", err, out)
	}
	if code == codeDone && errs != "" {
		b.t.Errorf("stderr is not empty: %s", errs)
	}
	return d
}

func (b *bench) checkCopied() {
	b.t.Helper()
	for i := range 10 {
		got, err := os.ReadFile(filepath.Join(b.dst, "d", fmt.Sprint(i)))
		if want := fmt.Sprintf("content %d", i); err != nil || string(got) != want {
			b.t.Errorf("d/%d: got %q, %v, want %q", i, got, err, want)
		}
	}
}

func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, text)
		}
	}
}

func TestImportAndAgain(t *testing.T) {
	b := newBench(t)
	out, _ := b.run(codeDone, "import", b.src, b.dst)
	contains(t, "stdout", out, "pass 1 done, every object is accounted for", "hashed before the write, not read back")
	b.checkCopied()
	out, _ = b.run(codeDone, "import", b.src, b.dst)
	contains(t, "stdout", out, "pass 2 done, nothing to do: all 10 objects were there already")
	b.write("new", "new")
	d := b.document(codeDone, "import", b.src, b.dst)
	if d.Pass != 3 || d.Objects.Copied != 1 || d.Objects.Skipped != 10 || d.Objects.Found != 11 || d.State != "succeeded" || !d.ListingDone {
		t.Errorf("third run: %+v", d)
	}
}

func TestOtherOptionsBeginAnew(t *testing.T) {
	b := newBench(t)
	b.run(codeDone, "import", "--id", "x", b.src, b.dst)
	d := b.document(codeDone, "import", "--id", "x", b.src, b.dst, "--exclude", "*1")
	if d.Pass != 1 || d.Objects.Filtered != 1 || d.Objects.Skipped != 9 {
		t.Errorf("with a filter: %+v", d)
	}
}

func TestOtherPlacesAreAskedAbout(t *testing.T) {
	b := newBench(t)
	other := filepath.Join(b.dir, "other")
	b.run(codeDone, "import", "--id", "x", b.src, b.dst)
	_, errs := b.run(codeMisuse, "import", "--id", "x", b.src, other)
	contains(t, "stderr", errs, "job x exists with another description: destination was file://"+b.dst+", now file://"+other, "--restart")

	b.app.terminals = terminals{in: true, err: true}
	b.app.in = strings.NewReader("n\n")
	_, errs = b.run(codeMisuse, "import", "--id", "x", b.src, other)
	contains(t, "stderr", errs, "Forget its state and start over? [y/N]")
	_, errs = b.run(codeMisuse, "import", "--id", "x", b.src, other, "--yes")
	if strings.Contains(errs, "[y/N]") {
		t.Error("--yes was asked")
	}
	b.app.in = strings.NewReader("y\n")
	out, _ := b.run(codeDone, "import", "--id", "x", b.src, other)
	contains(t, "stdout", out, "pass 1 done, every object is accounted for")

	b.app.terminals = terminals{}
	out, _ = b.run(codeDone, "import", "--id", "x", b.src, b.dst, "--restart")
	contains(t, "stdout", out, "pass 1 done, nothing to do: all 10 objects were there already")
}

func TestEmptySource(t *testing.T) {
	b := newBench(t)
	empty := filepath.Join(b.dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	out, _ := b.run(codeDone, "import", empty, b.dst)
	contains(t, "stdout", out, "nothing matched: the source has no objects")
	out, _ = b.run(codeDone, "import", b.src, b.dst, "--include", "*.jpg")
	contains(t, "stdout", out, "nothing matched: all 10 objects were left out")
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	b.run(codeDone, "import", b.src, b.dst)
	out, _ := b.run(codeDone, "import", "--type", "verify", b.src, b.dst)
	contains(t, "stdout", out, "no differences: 10 objects are at the destination and equal")
	err := errors.Join(os.Remove(filepath.Join(b.dst, "d/3")), os.WriteFile(filepath.Join(b.dst, "d/4"), []byte("other"), 0o600),
		os.WriteFile(filepath.Join(b.dst, "extra"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	out, _ = b.run(codeDiffers, "import", "--type", "verify", b.src, b.dst)
	contains(t, "stdout", out, "1 missing at the destination, 1 different, 1 at the destination only", "missing (1):\n  d/3", "differs (1):\n  d/4", "  extra")
	if _, err := os.Stat(filepath.Join(b.dst, "d/3")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("verify wrote: %v", err)
	}
}

func TestList(t *testing.T) {
	b := newBench(t)
	b.write("#odd", "x")
	out, errs := b.run(codeDone, "import", "--type", "list", b.src)
	if want := "\\b64:I29kZA==\t1\nd/0\t9\nd/1\t9\n"; !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 11 {
		t.Errorf("stdout is %q, want %q and 8 lines more", out, want)
	}
	contains(t, "stderr", errs, "11 objects listed")
	out, _ = b.run(codeDone, "import", "--type", "list", b.src, "--json")
	contains(t, "stdout", out, `{"key":"#odd","size":1}`+"\n")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 12 || !strings.HasPrefix(lines[11], `{"id":`) {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	b := newBench(t)
	out, _ := b.run(codeDone, "import", b.src, b.dst, "--dry-run", "--exclude", "*1")
	contains(t, "stdout", out, "dry run, nothing was written", "9 objects, 81 B would be copied", "  d/0  9 B  not at the destination", "1 left out")
	for _, path := range []string{b.dst, b.env["XDG_STATE_HOME"]} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	out, _ = b.run(codeDone, "import", b.src, b.dst, "--dry-run", "--json")
	contains(t, "stdout", out, `"dry_run":true`, `"copy":10`)
}

func TestJobFile(t *testing.T) {
	b := newBench(t)
	name := filepath.Join(b.dir, "job.yaml")
	text := fmt.Sprintf("id: photos\nsource: {url: %q}\ndestination: {url: %q}\nfilter: {exclude: ['*9']}\n", b.src, b.dst)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := b.document(codeDone, "import", name, "--set", "task.objects=3")
	if d.ID != "photos" || d.Objects.Copied != 9 || d.Objects.Filtered != 1 {
		t.Errorf("got %+v", d)
	}
}

func TestMisuse(t *testing.T) {
	b := newBench(t)
	bad := filepath.Join(b.dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("id: x\nsorce: {url: /a}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"import takes 1 to 2 arguments, not 0", []string{"import"}},
		{"unknown flag: --bogus", []string{"import", "--bogus"}},
		{`unknown command "improt"; did you mean import?`, []string{"improt"}},
		{"no such file", []string{"import", filepath.Join(b.dir, "none.yaml")}},
		{bad + `:2:1: sorce: unknown key, did you mean "source"?`, []string{"import", bad}},
		{"s3://b/ stands alone", []string{"import", "s3://b/"}},
		{`unknown scheme "ftp"; known: file, s3`, []string{"import", b.src, "ftp://x/"}},
		{"inside the source", []string{"import", b.src, filepath.Join(b.src, "d")}},
		{"the same place", []string{"import", b.src, b.src}},
		{`unknown option "endpiont"`, []string{"import", b.src, "s3://b/?endpiont=x"}},
		{"flag --compare: compare:", []string{"import", b.src, b.dst, "--compare", "sise"}},
		{"flag --set: compare:", []string{"import", b.src, b.dst, "--set", "compare=sise"}},
		{"does not belong on the command line", []string{"import", b.src, b.dst, "--set", "source.secret_key=hunter2"}},
		{"flag --concurrency: 0 is out of range", []string{"import", b.src, b.dst, "--concurrency", "0"}},
		{"flag --memory:", []string{"import", b.src, b.dst, "--memory", "1"}},
		{"flag --id: id:", []string{"import", b.src, b.dst, "--id", "a/b"}},
	} {
		_, errs := b.run(codeMisuse, tc.args...)
		contains(t, fmt.Sprint(tc.args), errs, tc.want)
		if strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "brigade: ") {
			t.Errorf("%v: not one line: %q", tc.args, errs)
		}
		if strings.Contains(errs, "hunter2") {
			t.Error("the error shows a secret")
		}
	}
	if _, err := os.Stat(b.env["XDG_STATE_HOME"]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("misuse left state behind: %v", err)
	}
}

func TestMissingSourceLeavesNoState(t *testing.T) {
	b := newBench(t)
	none := filepath.Join(b.dir, "none")
	_, errs := b.run(codeRefused, "import", none, b.dst, "--id", "x")
	contains(t, "stderr", errs, "source file://"+none)
	entries, err := os.ReadDir(filepath.Join(b.env["XDG_STATE_HOME"], "brigade/jobs"))
	if err != nil || len(entries) != 0 {
		t.Errorf("state is left: %v, %v", entries, err)
	}
	if _, err := os.Stat(b.dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the destination is there: %v", err)
	}
}

func TestOptionsChangedWhileTheSourceIsMissing(t *testing.T) {
	b := newBench(t)
	b.run(codeDone, "import", "--id", "x", b.src, b.dst)
	away := b.src + ".away"
	if err := os.Rename(b.src, away); err != nil {
		t.Fatal(err)
	}
	b.run(codeRefused, "import", "--id", "x", b.src, b.dst, "--verify", "size")
	if err := os.Rename(away, b.src); err != nil {
		t.Fatal(err)
	}
	d := b.document(codeDone, "import", "--id", "x", b.src, b.dst, "--verify", "size")
	if d.Pass != 1 || d.Objects.Found != 10 {
		t.Errorf("a job that never began was not begun: %+v", d)
	}
}

func TestStateInUseOrNewer(t *testing.T) {
	b := newBench(t)
	other := make(chan string, 1)
	var once sync.Once
	b.put = func(context.Context, string) error {
		once.Do(func() {
			var errs lockedBuffer
			second := *b.app
			second.err, second.out = &errs, &errs
			code := second.run(b.t.Context(), []string{"import", b.src, b.dst})
			other <- fmt.Sprintf("exit %d: %s", code, errs.String())
		})
		return nil
	}
	b.run(codeDone, "import", b.src, b.dst)
	contains(t, "the second import", <-other, "exit 1: ", fmt.Sprintf("process ID %d", os.Getpid()))
	b.checkCopied()

	files, err := filepath.Glob(filepath.Join(b.env["XDG_STATE_HOME"], "brigade/jobs/*/version"))
	if err != nil || len(files) != 1 {
		t.Fatalf("version files: %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := b.run(codeRefused, "import", b.src, b.dst)
	contains(t, "stderr", errs, "newer version")
}

func TestInterruptAndResume(t *testing.T) {
	b := newBench(t)
	var once sync.Once
	release := make(chan struct{})
	b.put = func(ctx context.Context, _ string) error {
		once.Do(func() {
			b.signals <- os.Interrupt
			close(release)
		})
		<-release
		return nil
	}
	_, errs := b.run(codeInterrupted, "import", b.src, b.dst, "--concurrency", "1")
	contains(t, "stderr", errs, "interrupted; the same command goes on where it stopped")
	b.put = nil
	out, errs := b.run(codeDone, "import", b.src, b.dst)
	contains(t, "stderr", errs, "resuming pass 1: ")
	contains(t, "stdout", out, "pass 1 done, every object is accounted for")
	b.checkCopied()
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	b := newBench(t)
	b.put = func(ctx context.Context, _ string) error {
		select {
		case b.signals <- os.Interrupt:
		default:
		}
		<-ctx.Done() // a store that hangs
		return context.Cause(ctx)
	}
	_, errs := b.run(codeInterrupted, "import", b.src, b.dst)
	contains(t, "stderr", errs, "interrupted")
}

func TestFullDestinationPauses(t *testing.T) {
	b := newBench(t)
	b.put = func(context.Context, string) error {
		return &store.Error{Op: "put", Class: store.Full, Err: errors.New("no space left on device")}
	}
	_, errs := b.run(codeRefused, "import", b.src, b.dst)
	contains(t, "stderr", errs, "is paused: ", "no space left on device")
	b.put = nil
	d := b.document(codeDone, "import", b.src, b.dst)
	if d.Pass != 1 || d.Objects.Copied != 10 {
		t.Errorf("continued: %+v", d)
	}
	b.checkCopied()
}

func TestFailedObjectsAndRetry(t *testing.T) {
	b := newBench(t)
	var mended atomic.Bool
	b.put = func(_ context.Context, key string) error {
		if key == "d/7" && !mended.Load() {
			return &store.Error{Op: "put", Key: key, Class: store.Permanent, Err: errors.New("bad name")}
		}
		return nil
	}
	d := b.document(codeFailed, "import", b.src, b.dst)
	if d.State != "failed" || d.Objects.Failed != 1 || d.Objects.Copied != 9 || len(d.Errors) != 1 || d.Errors[0].Key != "d/7" ||
		d.Errors[0].Class != "permanent" || !strings.Contains(d.Errors[0].Reason, "bad name") {
		t.Errorf("got %+v", d)
	}
	out, _ := b.run(codeFailed, "import", b.src, b.dst)
	contains(t, "stdout", out, "1 object failed", "failed, permanent (1):\n  d/7  ", "failed.list")

	b.app.terminals = terminals{in: true, err: true}
	b.app.in = answer{func() { mended.Store(true) }, strings.NewReader("y\n")}
	out, errs := b.run(codeDone, "import", b.src, b.dst)
	contains(t, "stderr", errs, "Retry the 1 failed object? [y/N]")
	contains(t, "stdout", out, "pass 3 done, every object is accounted for")
	b.checkCopied()
}

// answer does something before it answers.
type answer struct {
	before func()
	from   *strings.Reader
}

func (a answer) Read(p []byte) (int, error) {
	a.before()
	return a.from.Read(p)
}

func TestSecretsStaySealed(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	b := newBench(t)
	for _, side := range []string{"SRC", "DST"} {
		b.env["BRIGADE_"+side+"_ACCESS_KEY"] = secret + "-ak"
		b.env["BRIGADE_"+side+"_SECRET_KEY"] = secret
		b.env["BRIGADE_"+side+"_SESSION_TOKEN"] = secret + "-token"
	}
	b.env["BRIGADE_LOG"] = "debug"
	var given atomic.Int32
	b.app.stores["file"] = store.Provider{Validate: file.Validate, Open: func(ctx context.Context, cfg store.Config) (store.Destination, error) {
		if cfg.Credentials == (store.Credentials{AccessKey: secret + "-ak", SecretKey: secret, SessionToken: secret + "-token"}) {
			given.Add(1)
		}
		return b.open(ctx, cfg)
	}}
	out, errs := b.run(codeDone, "import", b.src, b.dst)
	if strings.Contains(out+errs, secret) {
		t.Error("a secret was printed")
	}
	// Without the variables the sealed credentials are used.
	for name := range b.env {
		if strings.HasPrefix(name, "BRIGADE_SRC") || strings.HasPrefix(name, "BRIGADE_DST") {
			delete(b.env, name)
		}
	}
	b.run(codeDone, "import", b.src, b.dst)
	if given.Load() != 4 {
		t.Errorf("the stores got the credentials %d times, want 4", given.Load())
	}
	err := filepath.WalkDir(b.env["XDG_STATE_HOME"], func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds a secret", path)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.env["BRIGADE_LOG"] = "loud"
	_, errs = b.run(codeMisuse, "import", b.src, b.dst)
	contains(t, "stderr", errs, `BRIGADE_LOG: "loud" is not a level; allowed: debug, info, warn, error`)
	b.env["BRIGADE_LOG"] = ""
	b.env["BRIGADE_SRC_ACCESS_KEY"] = "x"
	_, errs = b.run(codeMisuse, "import", b.src, b.dst)
	contains(t, "stderr", errs, "BRIGADE_SRC_ACCESS_KEY and BRIGADE_SRC_SECRET_KEY go together")
}

func TestVersionAndHelp(t *testing.T) {
	b := newBench(t)
	out, _ := b.run(codeDone, "version")
	contains(t, "stdout", out, "brigade "+release)
	out, _ = b.run(codeDone, "version", "--json")
	contains(t, "stdout", out, `"version":"`+release)
	for _, args := range [][]string{{}, {"--help"}, {"import", "--help"}, {"version", "-h"}, {"completion", "bash", "-h"}} {
		out, _ := b.run(codeDone, args...)
		if !strings.Contains(out, "Usage:") {
			t.Errorf("%v: no help: %s", args, out)
		}
	}
}
