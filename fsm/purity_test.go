package fsm

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impure are the packages (and what is below them) through which a state machine could see more than its log.
var impure = []string{"os", "net", "math/rand", "crypto/rand", "syscall", "runtime", "log", "unsafe"}

// impurities names what makes a file's code depend on anything but its input.
func impurities(f *ast.File) []string {
	var found []string
	for _, imp := range f.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			path = imp.Path.Value
		}
		for _, p := range impure {
			if path == p || strings.HasPrefix(path, p+"/") {
				found = append(found, "import "+path)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "go statement")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, n.Sel.Name) {
				found = append(found, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestPurity(t *testing.T) {
	noTests := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), ".", noTests, 0) //nolint:staticcheck // files, not types, are wanted
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, p := range packages {
		for name, f := range p.Files {
			files++
			for _, what := range impurities(f) {
				t.Errorf("%s: %s", name, what)
			}
		}
	}
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestPurityFindsImpurities(t *testing.T) {
	for code, want := range map[string]string{
		`import "os"`:                                      "import os",
		`import "net/http"`:                                "import net/http",
		`import "math/rand/v2"`:                            "import math/rand/v2",
		`import "crypto/rand"`:                             "import crypto/rand",
		"import \"time\"\nvar x = time.Now()":              "time.Now",
		"import \"time\"\nfunc f() { x := time.Now; x() }": "time.Now",
		`func f() { go f() }`:                              "go statement",
		"import \"time\"\nvar d = time.Second":             "",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := impurities(f)
		if want == "" && len(got) > 0 || want != "" && fmt.Sprint(got) != fmt.Sprint([]string{want}) {
			t.Errorf("%s: found %v, want %q", code, got, want)
		}
	}
}
