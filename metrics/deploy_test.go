package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const deployed = "../deploy"

// TestRules runs the tests of the alert rules, and wants one for each alert: that it fires, and what it says.
func TestRules(t *testing.T) {
	cmd := exec.Command(promtool(t), "test", "rules", "brigade.rules.test.yml")
	cmd.Dir = filepath.Join(deployed, "prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	tests := read(t, "prometheus/brigade.rules.test.yml")
	for _, alert := range alerts(t) {
		if !regexp.MustCompile(`alertname: ` + alert + `\n\s+exp_alerts:\n\s+- exp_labels`).MatchString(tests) {
			t.Errorf("no test has %s fire", alert)
		}
	}
}

// alerts are the names of the alerts.
func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "prometheus/brigade.rules.yml"), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("%d alerts", len(names))
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployed, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExpressions: those of the rules and the dashboard parse, and name metrics and labels that there are.
func TestExpressions(t *testing.T) {
	b := newBench(t)
	b.exercise()
	collected, rules := b.gather(), read(t, "prometheus/brigade.rules.yml")
	checkNames(t, collected, "rules", regexp.MustCompile(`(?s)annotations:.*?(\n\n|$)`).ReplaceAllString(regexp.MustCompile(`(?m)^ *#.*$`).ReplaceAllString(rules, ""), ""))
	expressions := dashboard(t)
	if len(expressions) < 20 {
		t.Fatalf("%d expressions in the dashboard", len(expressions))
	}
	var generated strings.Builder
	generated.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range expressions {
		checkNames(t, collected, "dashboard", e)
		e = strings.ReplaceAll(e, "$__rate_interval", "5m")
		fmt.Fprintf(&generated, "  - {record: panel_%d, expr: %q}\n", i, e)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(generated.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool(t), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// dashboard are the expressions of all panels. A panel has a title, a unit and something to show.
func dashboard(t *testing.T) (expressions []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			ID          int
			Type, Title string
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ Expr string }
		}
		Templating struct{ List []struct{ Definition string } }
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/brigade.json")), &d); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range d.Panels {
		if seen[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		seen[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "") {
			t.Errorf("panel %q has no expression, or no unit", p.Title)
		}
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if q := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition); q != nil {
			expressions = append(expressions, "count by ("+q[2]+") ("+q[1]+")")
		}
	}
	return expressions
}

var (
	metricName = regexp.MustCompile(`\b(?:brigade|go|process)_\w+`)
	selector   = regexp.MustCompile(`\b(brigade_\w+)\s*\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping   = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// checkNames wants every metric of a text to be there, and its labels.
func checkNames(t *testing.T, collected map[string]*dto.MetricFamily, where, text string) {
	t.Helper()
	known, labels := map[string][]string{}, []string{"instance", "cluster", "le"}
	for _, f := range Families() {
		known[f.Name] = f.Labels
		labels = append(labels, f.Labels...)
		if f.Type == Histogram {
			delete(known, f.Name)
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[f.Name+part] = f.Labels
			}
		}
	}
	for _, name := range metricName.FindAllString(quoted.ReplaceAllString(text, `""`), -1) {
		if _, ok := known[name]; !ok && (strings.HasPrefix(name, "brigade_") || collected[name] == nil) {
			t.Errorf("%s: there is no %s: %s", where, name, text)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(text, -1) {
		for _, m := range matcher.FindAllStringSubmatch(quoted.ReplaceAllString(s[2], `""`), -1) {
			if !slices.Contains(append([]string{"instance", "cluster", "job"}, known[s[1]]...), m[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], m[1])
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(text, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			if label = strings.TrimSpace(label); label != "" && !slices.Contains(labels, label) {
				t.Errorf("%s: no metric has the label %s", where, label)
			}
		}
	}
}

// TestScrapeConfig has Prometheus read the example, with the files that it names in place.
func TestScrapeConfig(t *testing.T) {
	tool, dir := promtool(t), t.TempDir()
	config := strings.ReplaceAll(read(t, "prometheus/prometheus.yml"), "/etc/prometheus", dir)
	for name, text := range map[string]string{
		"prometheus.yml": config, "brigade.rules.yml": read(t, "prometheus/brigade.rules.yml"), "brigade.token": "x", "brigade.ca.pem": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(tool, "check", "config", "--syntax-only", filepath.Join(dir, "prometheus.yml")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPages: docs/metrics.md and its translation have a row for each metric and each alert, and for nothing else. The English
// one says what the metric itself says.
func TestPages(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `(brigade_\\w+)`(?: `\\{([a-z_, ]+)\\}`)? \\| (\\w+) \\| (.*) \\|$")
	for _, page := range []string{"metrics.md", "metrics.zh.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string][]string{}
		for _, r := range row.FindAllStringSubmatch(string(text), -1) {
			rows[r[1]] = r[2:]
		}
		for _, f := range Families() {
			want := []string{strings.Join(f.Labels, ", "), string(f.Type), f.Help}
			got := rows[f.Name]
			delete(rows, f.Name)
			if page != "metrics.md" && len(got) == 3 && got[2] != "" {
				got[2] = f.Help // in another language
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, want %q", page, f.Name, got, want)
			}
		}
		for name := range rows {
			t.Errorf("%s tells of %s, which there is not", page, name)
		}
		var told []string
		for _, m := range regexp.MustCompile("(?m)^\\| `(Brigade\\w+)` \\|").FindAllStringSubmatch(string(text), -1) {
			told = append(told, m[1])
		}
		if want := alerts(t); !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s tells of the alerts %v, want %v", page, told, want)
		}
	}
}
