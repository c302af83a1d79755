package conf

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxNodeFile bounds a node's configuration file in bytes.
const maxNodeFile = 64 << 10

// ReadNode reads a node's configuration file: a YAML mapping whose keys are names of flags ("peer-port", or "peer_port"),
// each with one value or a list. It returns the values as a command line would have them, lists joined by commas.
func ReadNode(name string, flags []string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxNodeFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxNodeFile {
		return nil, &Error{Origin: name, Problem: "is too large for a configuration", Allowed: fmt.Sprintf("%d bytes", maxNodeFile)}
	}
	if onlyComments(string(data)) {
		return map[string]string{}, nil
	}
	root, err := readYAML(name, data)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, field := range root.fields {
		flag := strings.ReplaceAll(field.name, "_", "-")
		if !slices.Contains(flags, flag) {
			return nil, field.at.fail(field.name, &problem{"unknown key" + didYouMean(flag, flags), strings.Join(flags, ", ")})
		}
		if _, twice := values[flag]; twice {
			return nil, field.at.fail(field.name, &problem{"is given twice", ""})
		}
		text, bad := field.val.joined()
		if bad != nil {
			return nil, field.at.fail(field.name, bad)
		}
		values[flag] = text
	}
	return values, nil
}

// onlyComments tells whether a text has no line that says something.
func onlyComments(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// joined gives a value as a flag has it.
func (v value) joined() (string, *problem) {
	const allowed = "a single value, or a list"
	switch v.kind {
	case scalar:
		return v.text, nil
	case list:
		texts := make([]string, len(v.items))
		for i, item := range v.items {
			text, bad := item.scalar("single values")
			if bad != nil {
				return "", &problem{"an entry " + bad.what, bad.allowed}
			}
			texts[i] = text
		}
		return strings.Join(texts, ","), nil
	}
	return "", &problem{"is " + v.kind.String(), allowed}
}
