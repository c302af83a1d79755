package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// widest is the width of a terminal that everything fits.
const widest = 80

// commands are all commands of ours, with what they are called by.
func commands(root *cobra.Command) (all []*cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "help" || strings.HasPrefix(c.Name(), "__") {
			continue // of cobra
		}
		all = append(append(all, c), commands(c)...)
	}
	return all
}

// TestEveryCommandExplainsItself walks the tree: each command says what it does in short and in full, takes --json, and has an
// example that is a command line it would understand.
func TestEveryCommandExplainsItself(t *testing.T) {
	root := newRoot(newBench(t).app)
	all := append(commands(root), root)
	if len(all) < 25 {
		t.Fatalf("only %d commands are found", len(all))
	}
	for _, c := range all {
		path := c.CommandPath()
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q: none may be missing", path, c.Short, c.Long, c.Example)
		}
		if strings.HasSuffix(c.Short, ".") || strings.Contains(c.Short, "\n") {
			t.Errorf("%s: the short text is one line without a full stop: %q", path, c.Short)
		}
		if c.InheritedFlags().Lookup("json") == nil && c.PersistentFlags().Lookup("json") == nil {
			t.Errorf("%s takes no --json", path)
		}
		named := false
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: the example %q is not indented", path, line)
			}
			named = understand(t, root, path, line) || named
		}
		if !named {
			t.Errorf("%s: no example is of the command itself:\n%s", path, c.Example)
		}
	}
}

// understand holds an example against the commands and flags that there are, and tells whether it is of the given command, or
// of one below it.
func understand(t *testing.T, root *cobra.Command, path, line string) (named bool) {
	t.Helper()
	for _, part := range strings.Split(strings.ReplaceAll(line, "|", "&&"), "&&") {
		words := strings.Fields(strings.ReplaceAll(part, "'", ""))
		for i, w := range words { // redirection and comments are the shell's
			if strings.HasPrefix(w, ">") || strings.HasPrefix(w, "#") {
				words = words[:i]
				break
			}
		}
		if len(words) == 0 || words[0] != "brigade" {
			continue
		}
		c, rest, err := root.Find(words[1:])
		if err != nil {
			t.Errorf("%s: %q: %v", path, line, err)
			continue
		}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.AddFlagSet(c.Flags())
		flags.AddFlagSet(c.InheritedFlags())
		flags.Bool("help", false, "")
		if err := flags.Parse(rest); err != nil {
			t.Errorf("%s: %q: %v", path, line, err)
		} else if c.Args != nil && !slices.Contains(rest, "--help") {
			if err := c.Args(c, flags.Args()); err != nil {
				t.Errorf("%s: %q: %v", path, line, err)
			}
		}
		named = named || strings.HasPrefix(c.CommandPath(), path)
	}
	return named
}

// TestOldNames: the old tools' words for a command still work.
func TestOldNames(t *testing.T) {
	root := newRoot(newBench(t).app)
	for old, name := range map[string]string{"submit": "add", "clean": "rm", "stat": "status"} {
		c, _, err := root.Find([]string{"ctl", old})
		if err != nil || c.Name() != name {
			t.Errorf("%s is %s: %v", old, c.Name(), err)
		}
	}
	set, _, err := root.Find([]string{"ctl", "set"})
	if err != nil || set.Flag("max-master-num") == nil || set.Flag("max-worker-num") == nil {
		t.Errorf("ctl set lacks flags of the old tool: %v", err)
	}
}

// fits checks that no line of a text is wider than a terminal.
func fits(t *testing.T, what, shown string) {
	t.Helper()
	for line := range strings.Lines(shown) {
		if w := text.StringWidthWithoutEscSequences(strings.TrimRight(line, "\n")); w > widest {
			t.Errorf("%s: %d columns: %s", what, w, line)
		}
	}
}

// TestCompletionScripts: every shell has a script, which its shell can read where it is installed.
func TestCompletionScripts(t *testing.T) {
	b := newBench(t)
	for _, shell := range shells() {
		out, _ := b.run(codeDone, "completion", shell)
		contains(t, shell, out, "brigade", "__complete")
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(out)
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, said)
			}
		}
	}
	out, _ := b.run(codeDone, "completion", "fish", "--json")
	contains(t, "JSON", out, `{"script":`, `"shell":"fish"`)
	_, errs := b.run(codeMisuse, "completion", "tcsh")
	contains(t, "stderr", errs, `"tcsh"`, "bash, zsh, fish, powershell")
}

// completes is what a shell is offered for a command line whose last word is begun.
func (b *bench) completes(words ...string) []string {
	b.t.Helper()
	out, _ := b.run(codeDone, append([]string{"__complete"}, words...)...)
	var offered []string
	for line := range strings.Lines(out) {
		if word, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t"); !strings.HasPrefix(word, ":") {
			offered = append(offered, word)
		}
	}
	return offered
}

// TestCompletionAsksTheNode completes what a running node knows, and nothing where none answers.
func TestCompletionAsksTheNode(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"), n.jobFile("pictures", "compare: always"), n.jobFile("videos", "compare: always"))
	n.run(codeDone, "ctl", "token", "add", "alice", "--role", "viewer")
	address := n.machines().Nodes[0].Address
	for _, test := range []struct {
		line []string
		want []string
	}{
		{[]string{"ctl", "pause", "p"}, []string{"photos", "pictures"}},
		{[]string{"ctl", "pause", "photos", "p"}, []string{"pictures"}},
		{[]string{"ctl", "look", ""}, []string{"photos", "pictures", "videos"}},
		{[]string{"ctl", "look", "photos", ""}, nil},
		{[]string{"ctl", "status", "--jobID", "v"}, []string{"videos"}},
		{[]string{"ctl", "status", "--ip", ""}, []string{address}},
		{[]string{"ctl", "set", "max-"}, []string{"max-master-num=", "max-worker-num="}},
		{[]string{"ctl", "set", "max-master-num=2", "max-"}, []string{"max-worker-num="}},
		{[]string{"ctl", "set", "memory=1"}, nil},
		{[]string{"ctl", "token", "rm", ""}, []string{"alice"}},
		{[]string{"ctl", "token", "add", "bob", "--role", "o"}, []string{"operator"}},
		{[]string{"ctl", "add", "x.yaml", "--set", "task."}, []string{"task.objects=", "task.bytes="}},
		{[]string{"import", "--set", "compare=m"}, []string{"compare=missing", "compare=mtime"}},
		{[]string{"import", "--verify", "s"}, []string{"size"}},
		{[]string{"node", "start", "--log-level", "w"}, []string{"warn"}},
		{[]string{"completion", "z"}, []string{"zsh"}},
		{[]string{"ctl", "stat"}, []string{"status"}},
	} {
		if got := n.completes(test.line...); !slices.Equal(got, test.want) {
			t.Errorf("%q completes to %q, want %q", test.line, got, test.want)
		}
	}
	b := newBench(t)
	b.env["BRIGADE_DATA"] = filepath.Join(b.dir, "nothing")
	out, errs := b.run(codeDone, "__complete", "ctl", "pause", "")
	if !strings.HasPrefix(out, ":") || strings.Contains(errs, "no node") {
		t.Errorf("without a node it says %q and %q", out, errs)
	}
}

// TestCompletionDoesNotWait completes at a node that takes connections and answers nothing.
func TestCompletionDoesNotWait(t *testing.T) {
	b := newBench(t)
	silent, token := silentNode(t, b)
	if got := b.completes("ctl", "--addr", silent, "--token-file", token, "pause", ""); len(got) > 0 {
		t.Errorf("offered %q", got)
	}
}

// TestManPages writes the manual pages and has the system read them.
func TestManPages(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.dir, "man1")
	out, _ := b.run(codeDone, "man", dir)
	contains(t, "said", out, "pages written into "+dir)
	var want []string
	for _, c := range append(commands(newRoot(b.app)), newRoot(b.app)) {
		if !c.Hidden {
			want = append(want, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		}
	}
	slices.Sort(want)
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pages {
		pages[i] = filepath.Base(p)
	}
	slices.Sort(pages)
	if !slices.Equal(pages, want) {
		t.Errorf("pages %q, want %q", pages, want)
	}
	reader, args := manReader(t)
	for _, page := range pages {
		out, err := exec.Command(reader, append(args, filepath.Join(dir, page))...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}

// manReader is what reads manual pages and says what is wrong with them, and nothing else.
func manReader(t *testing.T) (string, []string) {
	t.Helper()
	if path, err := exec.LookPath("groff"); err == nil {
		return path, []string{"-man", "-ww", "-z", "-Tutf8", "-K", "utf8"}
	}
	return tool(t, "mandoc", "mandoc"), []string{"-T", "lint", "-W", "warning"}
}
