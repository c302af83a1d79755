package api

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// What fields mean stands in comments on them and nowhere else. The document takes it from there. Files that declare what
// requests and answers hold are named here.
//
//go:embed changes.go cluster.go document.go edit.go events.go history.go jobs.go keys.go machine.go notices.go objects.go openapi.go
//go:embed preview.go problem.go rates.go segments.go settings.go statehash.go tokens.go
var source embed.FS

// readComments finds the comments on types and their fields, the latter by the names that they have in JSON.
func (d *describer) readComments() error {
	files, err := source.ReadDir(".")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := source.ReadFile(file.Name())
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file.Name(), text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("read comments: %w", err)
		}
		for _, decl := range tree.Decls {
			if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				d.readTypes(g)
			}
		}
	}
	return nil
}

func (d *describer) readTypes(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		d.comments[t.Name.Name] = sentence(g.Doc)
		if s, ok := t.Type.(*ast.StructType); ok {
			d.readFields(t.Name.Name, s)
		}
	}
}

func (d *describer) readFields(name string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		text := sentence(f.Doc)
		if text == "" {
			text = sentence(f.Comment)
		}
		d.comments[name+"."+key] = text
	}
}

// sentence is a comment on one line.
func sentence(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
