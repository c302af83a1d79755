// Package test holds what is tested across packages: the import rules here, servers, proxies, end-to-end runs and
// measurements in the folders below.
package test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bucketbrigade/brigade"

// listed is what `go list -json` tells of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// name is the import path without the module: "transfer/store/s3".
func (p *listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// ours returns the imports of this module, without the module.
func (p *listed) ours() (names []string) {
	for _, i := range p.Imports {
		if rest, ok := strings.CutPrefix(i, module+"/"); ok {
			names = append(names, rest)
		}
	}
	return names
}

// theirs returns the imports of other modules.
func (p *listed) theirs() (paths []string) {
	for _, i := range p.Imports {
		if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") && !within(i, module) {
			paths = append(paths, i)
		}
	}
	return paths
}

func within(path, tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") }

func withinAny(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(path, tree) })
}

func packages(t *testing.T) []*listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []*listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
	for _, must := range []string{"cmd/brigade", "fsm", "transfer", "transfer/store"} {
		if !slices.ContainsFunc(all, func(p *listed) bool { return p.name() == must }) {
			t.Fatalf("go list does not name %s: the rules below would hold of nothing", must)
		}
	}
	return all
}

// importRule says which packages of this module a tree of packages may import.
type importRule struct {
	tree    string
	allowed []string
}

// mayImport lists the rules. The first whose tree holds a package decides; cmd and test may import everything.
func mayImport() []importRule {
	return []importRule{
		{"fsm", nil},
		{"transfer/store/storetest", []string{"transfer/store"}},
		// Providers, and what they share; store itself would import itself.
		{"transfer/store", []string{"transfer/store", "transfer/store/wire", "transfer/store/sorting"}},
		{"transfer", []string{"transfer/store"}},
		{"cluster", nil},
		{"notify", nil},
		{"throughput", nil},
		{"conf", []string{"conf"}}, // one folder for each foreign format
		{"scheduler", []string{"fsm", "transfer", "transfer/store"}},
		{"api", []string{"fsm", "scheduler", "notify", "throughput", "api"}},
		{"metrics", []string{"cluster", "fsm", "scheduler", "transfer", "transfer/store"}},
	}
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		if withinAny(p.name(), "cmd", "test", "") {
			continue
		}
		rules := mayImport()
		i := slices.IndexFunc(rules, func(r importRule) bool { return within(p.name(), r.tree) })
		if i < 0 {
			t.Errorf("%s is in no rule: add one, or move it where one holds", p.name())
			continue
		}
		for _, imported := range p.ours() {
			if !slices.Contains(rules[i].allowed, imported) {
				t.Errorf("%s imports %s; allowed: %v", p.name(), imported, rules[i].allowed)
			}
		}
	}
}

func TestOnlyCmdAndTestImportConfAndTest(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.ours() {
			if within(imported, "conf") && !withinAny(p.name(), "cmd", "conf", "test") {
				t.Errorf("%s imports %s: only cmd reads configuration", p.name(), imported)
			}
			if within(imported, "test") && !within(p.name(), "test") {
				t.Errorf("%s imports %s: what ships does not need test code", p.name(), imported)
			}
		}
	}
}

// A vendor's SDK, or a library that fixes a format on disk or on the wire, has one home.
func TestLibrariesHaveOneHome(t *testing.T) {
	homes := map[string][]string{
		"github.com/aws":                   {"transfer/store/s3", "test"},
		"github.com/aliyun":                {"test"},
		"github.com/tencentyun":            {"test"},
		"github.com/baidubce":              {"test"},
		"github.com/qiniu":                 {"test"},
		"cloud.google.com/go":              {"test"},
		"golang.org/x/oauth2":              {"transfer/store/gs", "test"},
		"github.com/Azure":                 {"test"},
		"github.com/hashicorp/raft":        {"cluster"},
		"github.com/hashicorp/raft-boltdb": {"cluster"},
		"go.etcd.io/bbolt":                 {"cluster"},
		"github.com/prometheus":            {"metrics", "test"},
		"github.com/spf13/cobra":           {"cmd"},
		"github.com/vbauerster/mpb":        {"cmd"},
		"github.com/goccy/go-yaml":         {"conf"},
		"github.com/jedib0t/go-pretty":     {"cmd", "test"},
		"github.com/wneessen/go-mail":      {"notify"},
		"github.com/wcharczuk/go-chart":    {"notify"},
	}
	for _, p := range packages(t) {
		for _, imported := range p.theirs() {
			for library, where := range homes {
				if within(imported, library) && !withinAny(p.name(), where...) {
					t.Errorf("%s imports %s, which belongs in %v", p.name(), imported, where)
				}
			}
		}
	}
}

// A provider brings the SDK of its vendor and nothing else that a reader would have to know.
func TestProvidersImportTheirSDKOnly(t *testing.T) {
	allowed := map[string][]string{
		"transfer/store/file":   {"golang.org/x/sys", "golang.org/x/sync"},
		"transfer/store/s3":     {"github.com/aws"},
		"transfer/store/oss":    nil,
		"transfer/store/cos":    nil,
		"transfer/store/bos":    nil,
		"transfer/store/uss":    nil,
		"transfer/store/kodo":   nil,
		"transfer/store/gs":     {"golang.org/x/oauth2"},
		"transfer/store/azblob": nil,
	}
	providers := 0
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.name(), "transfer/store/") || withinAny(p.name(), "transfer/store/storetest", "transfer/store/wire", "transfer/store/sorting") {
			continue
		}
		providers++
		for _, imported := range p.theirs() {
			if !withinAny(imported, allowed[p.name()]...) {
				t.Errorf("%s imports %s; allowed: %v", p.name(), imported, allowed[p.name()])
			}
		}
	}
	if providers < len(allowed) {
		t.Errorf("found %d providers, want at least %d", providers, len(allowed))
	}
}

func TestNoPackageIsNamedAfterNothing(t *testing.T) {
	for _, p := range packages(t) {
		for element := range strings.SplitSeq(p.name(), "/") {
			switch element {
			case "util", "utils", "common", "types", "helpers", "helper", "misc", "shared", "base", "lib", "internal", "pkg":
				t.Errorf("%s: a package is named after what it provides", p.name())
			}
		}
	}
}

// The state machine replays on every node and must come to the same state: no clock, no randomness, no I/O, nothing
// that runs on its own.
func TestStateMachineIsPure(t *testing.T) {
	forbidden := []string{"os", "io/fs", "io/ioutil", "net", "log", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "runtime", "unsafe", "context"}
	for _, p := range packages(t) {
		if !within(p.name(), "fsm") {
			continue
		}
		for _, imported := range p.Imports {
			if withinAny(imported, forbidden...) || strings.Contains(imported, "golang.org/x/") {
				t.Errorf("%s imports %s", p.name(), imported)
			}
		}
		for _, file := range p.GoFiles {
			checkPure(t, filepath.Join(p.Dir, file))
		}
	}
}

func checkPure(t *testing.T, path string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	clock := "" // the name that package time goes by in this file
	for _, i := range f.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == "time" {
			clock = "time"
			if i.Name != nil {
				clock = i.Name.Name
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: starts a goroutine", files.Position(n.Pos()))
		case *ast.SelectStmt:
			t.Errorf("%s: select chooses at random", files.Position(n.Pos()))
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && clock != "" && x.Name == clock && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "Tick", "NewTimer", "NewTicker", "AfterFunc", "Local"}, n.Sel.Name) {
				t.Errorf("%s: reads the clock", files.Position(n.Pos()))
			}
		}
		return true
	})
}
