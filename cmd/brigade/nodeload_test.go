package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bucketbrigade/brigade/cluster"
)

// sampleValue is two values of a flag that differ from each other and from its default, and what both are shown as.
type sampleValue struct{ a, shownA, b, shownB string }

// sampleValues has a pair for every flag of node start. A flag that is new needs one.
func sampleValues() map[string]sampleValue {
	same := func(a, b string) sampleValue { return sampleValue{a, a, b, b} }
	return map[string]sampleValue{
		"data": same("/srv/a", "/srv/b"), "join": {"10.0.0.1", "10.0.0.1:7462", "10.0.0.2:9,10.0.0.3", "10.0.0.2:9,10.0.0.3:7462"},
		"bind": same("10.0.0.8", "10.0.0.9"), "advertise": same("a.example", "b.example"),
		"http": {"127.0.0.1:1", "127.0.0.1:1", "127.0.0.2", "127.0.0.2:7460"}, "http-tls": {"always", "always", "auto", "auto"},
		"peer-port": same("1", "2"), "gossip-port": same("7", "8"), "cluster-key-file": same("/k/a", "/k/b"),
		"bootstrap-expect": same("3", "5"), "concurrency": same("3", "4"), "memory": same("10MiB", "20MiB"),
		"log-level": same("debug", "warn"), "log-format": same("json", "text"), "log-file": same("/l/a", "/l/b"),
		"log-max-size": same("1MiB", "2MiB"), "log-max-files": same("2", "3"), "stop-timeout": same("5s", "1m"), "core-dumps": same("true", "false"),
		"metrics-open": same("true", "false"),
	}
}

// nodeFlagNames are all flags of node start that are configuration, as the command has them.
func nodeFlagNames(t *testing.T, b *bench) (names []string) {
	t.Helper()
	start, _, err := newRoot(b.app).Find([]string{"node", "start"})
	if err != nil {
		t.Fatal(err)
	}
	start.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		switch flag.Name {
		case "config", "print-config", "help":
		default:
			names = append(names, flag.Name)
		}
	})
	return names
}

// shownConfig is what --print-config --json shows, by flag.
func (b *bench) shownConfig(args ...string) map[string]configValue {
	b.t.Helper()
	out, _ := b.run(codeDone, append([]string{"node", "start", "--print-config", "--json"}, args...)...)
	var d struct{ Values []configValue }
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		b.t.Fatalf("%s: %v", out, err)
	}
	values := map[string]configValue{}
	for _, v := range d.Values {
		values[v.Name] = v
	}
	return values
}

// TestEveryFlagThreeWays gives every flag of a node by file, by variable over the file, and by command line over both.
func TestEveryFlagThreeWays(t *testing.T) {
	samples := sampleValues()
	for _, name := range nodeFlagNames(t, newBench(t)) {
		t.Run(name, func(t *testing.T) {
			sample, ok := samples[name]
			if !ok {
				t.Fatal("the flag has no sample values here")
			}
			b := newBench(t)
			file := filepath.Join(b.dir, "node.yaml")
			write := func(value string) {
				text := fmt.Sprintf("%s: %q\n", strings.ReplaceAll(name, "-", "_"), value)
				if name != "cluster-key-file" {
					text += "cluster-key-file: /k\n"
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(value, origin string, args ...string) {
				t.Helper()
				got := b.shownConfig(append(args, "--config", file)...)[name]
				if got.Value != value || got.Origin != origin || got.Variable != variableOf(name) {
					t.Errorf("%+v, want %q from %q", got, value, origin)
				}
			}
			if got := b.shownConfig()[name]; got.Origin != originDefault {
				t.Errorf("without any: %+v", got)
			}
			write(sample.a)
			expect(sample.shownA, file)
			b.env[variableOf(name)] = sample.b
			expect(sample.shownB, "environment: "+variableOf(name))
			expect(sample.shownA, originFlag, "--"+name+"="+sample.a)
			delete(b.env, variableOf(name))
			b.env["BRIGADE_CONFIG"] = file
			if got := b.shownConfig()[name]; got.Value != sample.shownA || got.Origin != file {
				t.Errorf("by BRIGADE_CONFIG: %+v", got)
			}
		})
	}
}

// TestPrintedConfigIsAConfig reads what --print-config printed as the file that --config names.
func TestPrintedConfigIsAConfig(t *testing.T) {
	b := newBench(t)
	args := []string{"--memory", "10MiB", "--cluster-key-file", "/k/a key", "--join", "a,[::1]:9", "--core-dumps", "--data", "/srv/d \"q\""}
	printed, _ := b.run(codeDone, append([]string{"node", "start", "--print-config"}, args...)...)
	contains(t, "printed", printed, `join: "a:7462,[::1]:9"`, "# command line", "# default", "live")
	for line := range strings.Lines(printed) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, " # ") {
			t.Errorf("no origin in %q", line)
		}
	}
	file := filepath.Join(b.dir, "printed.yaml")
	if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	direct, again := b.shownConfig(args...), b.shownConfig("--config", file)
	for name, v := range direct {
		if got := again[name]; got.Value != v.Value {
			t.Errorf("%s: %q became %q", name, v.Value, got.Value)
		}
	}
}

// TestWrongValuesNameTheirPlace: what is wrong is looked for where it stands.
func TestWrongValuesNameTheirPlace(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "node.yaml")
	if err := os.WriteFile(file, []byte("memory: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := b.run(codeMisuse, "node", "start", "--config", file)
	contains(t, "file", errs, file+": memory: ", "8MiB")
	b.env["BRIGADE_MEMORY"] = "2"
	_, errs = b.run(codeMisuse, "node", "start", "--config", file)
	contains(t, "variable", errs, "environment: BRIGADE_MEMORY: ", `"2"`)
	_, errs = b.run(codeMisuse, "node", "start", "--config", file, "--memory", "3")
	contains(t, "flag", errs, "flag --memory: ", `"3"`)
	if err := os.WriteFile(file, []byte("memry: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = b.run(codeMisuse, "node", "start", "--config", file)
	contains(t, "unknown key", errs, file+":1:1: memry: unknown key", `did you mean "memory"?`)
}

// TestKeyIsNotShown gives a key where the name of its file belongs.
func TestKeyIsNotShown(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "key")
	if _, err := cluster.NewKeyFile(file); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(key))
	b.env["BRIGADE_CLUSTER_KEY_FILE"] = text
	out, errs := b.run(codeMisuse, "node", "start", "--print-config")
	contains(t, "stderr", errs, "BRIGADE_CLUSTER_KEY_FILE: this is a cluster key itself")
	if strings.Contains(out+errs, text) {
		t.Error("the key is shown")
	}
	delete(b.env, "BRIGADE_CLUSTER_KEY_FILE")
	if got := b.shownConfig("--cluster-key-file", file)["cluster-key-file"].Value; got != file {
		t.Errorf("shown as %q, want %q", got, file)
	}
}
