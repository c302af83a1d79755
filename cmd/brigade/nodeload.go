package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/bucketbrigade/brigade/conf"
)

// Where a value of a node's configuration can come from, besides a file and a variable.
const (
	originDefault = "default"
	originFlag    = "command line"
)

// nodeSource is where a node's configuration is read from, at its start and again at each reload.
type nodeSource struct {
	app    *app
	config string            // the flag --config; "" leaves it to BRIGADE_CONFIG
	given  map[string]string // flags of the command line
}

// settledConfig is a node's configuration with what it was made of.
type settledConfig struct {
	nodeConfig
	file   string // "" where there is none
	values []configValue
}

// configValue is the value of one flag that holds, and where it came from.
type configValue struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Origin   string `json:"origin"`   // default, command line, environment: NAME, or the name of the file
	Variable string `json:"variable"` // that can give it
	Live     bool   `json:"live"`     // a reload changes it
	quoted   bool   // in YAML
}

// liveFlags are the flags that a reload changes.
func liveFlags() []string { return []string{"log-level", "memory", "stop-timeout"} }

// load reads all sources: the command line wins over the environment, and that over the file.
func (s nodeSource) load() (*settledConfig, error) {
	f := &nodeFlags{}
	flags := pflag.NewFlagSet("node start", pflag.ContinueOnError)
	flags.SortFlags = false
	f.register(flags)
	file, path, err := s.readFile(flags)
	if err != nil {
		return nil, err
	}
	origins := map[string]string{}
	flags.VisitAll(func(flag *pflag.Flag) {
		value, origin := s.valueOf(flag.Name, file, path)
		if origin != originDefault && err == nil {
			if bad := flag.Value.Set(value); bad != nil {
				err = &flagError{flag: flag.Name, err: fmt.Errorf("%q: %w", value, bad)}
			}
		}
		origins[flag.Name] = origin
	})
	d := &settledConfig{file: path}
	if err == nil {
		d.nodeConfig, err = s.app.nodeConfigOf(f)
	}
	if err != nil {
		return nil, located(err, origins)
	}
	flags.VisitAll(func(flag *pflag.Flag) { d.values = append(d.values, d.valueOf(flag, origins[flag.Name])) })
	return d, nil
}

// readFile reads the configuration file, if one is named.
func (s nodeSource) readFile(flags *pflag.FlagSet) (values map[string]string, path string, err error) {
	if path = s.config; path == "" {
		path = s.app.getenv(variableOf("config"))
	}
	if path == "" {
		return nil, "", nil
	}
	var known []string
	flags.VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	values, err = conf.ReadNode(path, known)
	if err != nil {
		return nil, "", misuse(err)
	}
	return values, path, nil
}

// valueOf finds the value of a flag and its origin.
func (s nodeSource) valueOf(name string, file map[string]string, path string) (value, origin string) {
	if value, ok := s.given[name]; ok {
		return value, originFlag
	}
	if value := s.app.getenv(variableOf(name)); value != "" {
		return value, "environment: " + variableOf(name)
	}
	if value, ok := file[name]; ok {
		return value, path
	}
	return "", originDefault
}

// located has an error say where the wrong value stands.
func located(err error, origins map[string]string) error {
	var bad *flagError
	if !errors.As(err, &bad) {
		return err
	}
	where := ""
	switch origin := origins[bad.flag]; origin {
	case originFlag, originDefault, "":
	case "environment: " + variableOf(bad.flag):
		where = origin
	default:
		where = origin + ": " + bad.flag
	}
	return misuse(&flagError{bad.flag, where, bad.err})
}

// valueOf is a flag's value as it holds: what was left to the node is what it decided.
func (c *settledConfig) valueOf(flag *pflag.Flag, origin string) configValue {
	v := configValue{
		Name: flag.Name, Value: flag.Value.String(), Origin: origin, Variable: variableOf(flag.Name),
		Live: slices.Contains(liveFlags(), flag.Name), quoted: flag.Value.Type() == "string",
	}
	switch flag.Name {
	case "data":
		v.Value = c.data
	case "log-file":
		v.Value = c.logFile
	case "bind":
		v.Value = c.bind
	case "http":
		v.Value = c.http
	case "join":
		v.Value = strings.Join(c.join, ",")
	}
	return v
}

// print writes the configuration as a file that --config takes, with the origin of each value behind it.
func (c *settledConfig) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			File   string        `json:"file"`
			Values []configValue `json:"values"`
		}{c.file, c.values})
	}
	var b strings.Builder
	b.WriteString("# The configuration that holds, as a file that --config takes. What is marked live changes with SIGHUP.\n")
	for _, v := range c.values {
		line := v.Name + ": " + v.yaml()
		if v.Value == "" {
			line = "# " + v.Name + ":" // the file takes no empty values
		}
		origin := v.Origin
		if v.Live {
			origin += ", live"
		}
		pad := max(1, 44-utf8.RuneCountInString(line))
		fmt.Fprintf(&b, "%s%*s# %s\n", line, pad, "", origin)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// yaml is the value as YAML has it.
func (v configValue) yaml() string {
	if v.quoted {
		return strconv.Quote(v.Value)
	}
	return v.Value
}
