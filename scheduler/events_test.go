package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
)

// aboutOne is what a message says that is about one task or object.
var aboutOne = regexp.MustCompile(`(?i)\b(task|object|part|parts|upload)\b`)

// aboutJob is what a message says that is about one job.
var aboutJob = regexp.MustCompile(`(?i)\b(job|pass)\b`)

// logCall is one call of a logger in the source.
type logCall struct {
	at   token.Position
	msg  string
	keys []string
}

// logCalls finds the calls of a logger with a message and names of attributes in a folder's files. With gives its names to what
// is logged through it in the same function.
func logCalls(t *testing.T, folder string) (calls []logCall) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			calls = append(calls, callsIn(set, decl)...)
		}
	}
	return calls
}

func callsIn(set *token.FileSet, decl ast.Node) (calls []logCall) {
	var given []string
	ast.Inspect(decl, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		first, ok := call.Args[0].(*ast.BasicLit)
		if !ok || first.Kind != token.STRING {
			return true
		}
		switch text, _ := strconv.Unquote(first.Value); f.Sel.Name {
		case "With":
			given = append(given, keysOf(call.Args)...)
		case "Debug", "Info", "Warn", "Error":
			calls = append(calls, logCall{set.Position(call.Pos()), text, append(slices.Clone(given), keysOf(call.Args[1:])...)})
		}
		return true
	})
	return calls
}

func keysOf(args []ast.Expr) (keys []string) {
	for i := 0; i < len(args); i += 2 {
		if lit, ok := args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			key, _ := strconv.Unquote(lit.Value)
			keys = append(keys, key)
		}
	}
	return keys
}

// TestLinesNameJobAndTask reads the source: what is logged of a task or an object names its job and task, what is logged of a job
// or pass names the job.
func TestLinesNameJobAndTask(t *testing.T) {
	found := 0
	for _, folder := range []string{".", "../transfer"} {
		for _, c := range logCalls(t, folder) {
			found++
			needs := []string{}
			switch {
			case aboutOne.MatchString(c.msg), slices.Contains(c.keys, "task"), slices.Contains(c.keys, "key"):
				needs = []string{"job", "task"}
			case aboutJob.MatchString(c.msg):
				needs = []string{"job"}
			}
			for _, key := range needs {
				if !slices.Contains(c.keys, key) {
					t.Errorf("%s: %q does not say %q", c.at, c.msg, key)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d lines are found: this test looks in the wrong way", found)
	}
}

// journal keeps lines as JSON.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines are those with a message, each as what its attributes say.
func (j *journal) lines(t *testing.T, msg string) (all []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range bytes.Lines(j.text.Bytes()) {
		var l map[string]any
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l["msg"] == msg {
			all = append(all, l)
		}
	}
	return all
}

// TestEventsAreLogged runs a job whose only task is given up in the end, and looks for the line of each thing that happens.
func TestEventsAreLogged(t *testing.T) {
	var log journal
	bubble(t, func(t *testing.T, r *rig) {
		p := r.puppet("n", 1)
		copying(r, p, 1)
		id := p.running[0].Task
		for range maxAttempts {
			if err := p.do(fsm.FailTask{Task: id, Epoch: r.task(id).Epoch, Class: "transient", Reason: "reset"}); err != nil {
				t.Fatal(err)
			}
			if r.task(id) != nil {
				p.work()
			}
		}
		r.eventually("finished", func() bool { return r.job("a").State == fsm.Failed })
		synctest.Wait()
		said := func(msg string, n int, want ...string) {
			t.Helper()
			lines := log.lines(t, msg)
			if len(lines) != n {
				t.Errorf("%q is said %d times, want %d", msg, len(lines), n)
				return
			}
			for _, w := range want {
				name, value, _ := strings.Cut(w, "=")
				if got := fmt.Sprint(lines[0][name]); got != value {
					t.Errorf("%q: %s is %s, want %s", msg, name, got, value)
				}
			}
		}
		task := fmt.Sprintf("task=%d", id)
		said("this node leads", 1)
		said("pass started", 1, "job=a", "pass=1", "level=INFO")
		said("attempt at a task failed, it is tried again", 2, "job=a", task, "node=n", "class=transient", "reason=reset", fmt.Sprintf("in=%v", float64(time.Second)))
		said("task given up: its attempts failed", 1, "job=a", task, "node=n", "level=WARN")
		said("pass ended", 1, "job=a", "pass=1", "state=failed", "tasks_given_up=1", "level=WARN")
	}, func(c *LeaderConfig) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	if n := len(log.lines(t, "this node leads no more")); n != 1 {
		t.Errorf("the end of the leadership is said %d times", n)
	}
}
