package conf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds how deep a job file nests; the format itself needs three.
const maxDepth = 32

// readYAML reads one YAML document whose root is a mapping.
func readYAML(name string, data []byte) (value, error) {
	top := position{origin: name, line: 1, column: 1}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return value{}, top.fail("", &problem{"is not text in UTF-8", "a job file in YAML"})
	}
	file, err := parse(name, data)
	if err != nil {
		return value{}, err
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return value{}, positionOf(name, doc.Body).fail("", &problem{"a second document", "one document a file"})
		}
		body = doc.Body
	}
	if body == nil {
		return value{}, top.fail("", &problem{"the file has no keys", "a job file in YAML with at least source and destination"})
	}
	v, err := convert(name, body)
	if err != nil {
		return value{}, err
	}
	if v.kind != mapping {
		return value{}, v.at.fail("", &problem{"the file is " + v.kind.String() + ", not a mapping", "key: value lines"})
	}
	return v, nil
}

// parse turns text into nodes. The parser panics on some malformed input; to the user that is malformed input, too.
func parse(name string, data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, syntaxError(name, fmt.Errorf("%v", r))
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := checkDepth(name, tokens); err != nil {
		return nil, err
	}
	if file, err = parser.Parse(tokens, 0); err != nil {
		return nil, syntaxError(name, err)
	}
	return file, nil
}

// checkDepth refuses deep nesting before the parser recurses into it.
func checkDepth(name string, tokens token.Tokens) error {
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			dashes++
		}
		if flow > maxDepth || dashes > maxDepth || t.Position.IndentLevel > maxDepth {
			at := position{origin: name, line: t.Position.Line, column: t.Position.Column}
			return at.fail("", &problem{"nests too deep", fmt.Sprintf("%d levels", maxDepth)})
		}
	}
	return nil
}

func syntaxError(name string, err error) error {
	at := position{origin: name, line: 1, column: 1}
	var e yaml.Error
	if !errors.As(err, &e) {
		return at.fail("", &problem{"is not YAML: " + oneLine(err.Error()), ""})
	}
	if e.GetToken() != nil { // without one, the error's own text cannot be asked for
		at.line, at.column = e.GetToken().Position.Line, e.GetToken().Position.Column
	}
	return at.fail("", &problem{"is not YAML: " + oneLine(e.GetMessage()), ""})
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func positionOf(name string, n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	p := n.GetToken().Position
	return position{origin: name, line: p.Line, column: p.Column}
}

// convert brings a node down to a value. Anchors, aliases, tags and merges have no use in a job file and are refused.
func convert(name string, n ast.Node) (value, error) {
	v := value{at: positionOf(name, n)}
	switch n := n.(type) {
	case *ast.MappingNode:
		return convertMapping(name, v, n.Values)
	case *ast.MappingValueNode:
		return convertMapping(name, v, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		v.kind = list
		for _, item := range n.Values {
			iv, err := convert(name, item)
			if err != nil {
				return value{}, err
			}
			v.items = append(v.items, iv)
		}
		return v, nil
	case *ast.NullNode:
		v.kind = null
		return v, nil
	case *ast.StringNode:
		v.text = n.Value
		return v, nil
	case *ast.LiteralNode:
		v.text = n.Value.Value
		return v, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.text = n.GetToken().Value
		return v, nil
	case *ast.AliasNode:
		return value{}, v.at.fail("", &problem{"a value that starts with * is an alias in YAML, which a job file cannot have",
			`patterns in quotes, such as "*.jpg"`})
	}
	return value{}, v.at.fail("", &problem{fmt.Sprintf("a YAML %s has no place in a job file", n.Type()),
		"plain keys and values"})
}

func convertMapping(name string, v value, entries []*ast.MappingValueNode) (value, error) {
	v.kind = mapping
	for _, e := range entries {
		at := positionOf(name, e)
		key, ok := e.Key.(ast.ScalarNode)
		if !ok || e.Key.Type() == ast.MergeKeyType {
			return value{}, at.fail("", &problem{"a key must be a plain word", ""})
		}
		fv, err := convert(name, e.Value)
		if err != nil {
			return value{}, err
		}
		v.fields = append(v.fields, field{name: key.GetToken().Value, at: at, val: fv})
	}
	return v, nil
}

// FromJSON writes a JSON document as YAML, in the form that job files have, with remarks behind the values of dotted keys.
func FromJSON(doc []byte, remarks map[string]string) ([]byte, error) {
	var ordered yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(doc, &ordered, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	comments := yaml.CommentMap{}
	for key, text := range remarks {
		comments["$."+key] = []*yaml.Comment{yaml.LineComment(" " + text)}
	}
	text, err := yaml.MarshalWithOptions(ordered, yaml.WithComment(comments))
	if err != nil {
		return nil, fmt.Errorf("write as YAML: %w", err)
	}
	return text, nil
}
