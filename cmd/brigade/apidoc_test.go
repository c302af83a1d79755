package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

const apiPage = "../../docs/api.md"

// TestAPIExamples runs the examples of docs/api.md one after another, as they stand but for the address.
func TestAPIExamples(t *testing.T) {
	for name, pkg := range map[string]string{"bash": "bash", "curl": "curl", "jq": "jq", "timeout": "coreutils"} {
		tool(t, name, pkg)
	}
	n := startSecured(t, "127.0.0.1:0", "--http-tls", "always")
	dir := t.TempDir()
	n.run(codeDone, "ctl", "token", "add", "alice", "--role", "admin", "--out", filepath.Join(dir, "alice.token"))
	authority, err := os.ReadFile(filepath.Join(n.data, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.src, "large"), make([]byte, 40_000), 0o600); err != nil {
		t.Fatal(err)
	}
	// Slow enough to be paused.
	job := fmt.Sprintf("id: photos\nsource: {url: %q}\ndestination: {url: %q}\nlimits: {bandwidth: 20K}\n", n.src, n.dst)
	for name, text := range map[string]string{"api.ca.pem": string(authority), "photos.yaml": job} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := api.ReadAddr(n.data)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1)
	script := "set -euo pipefail\n"
	for i, b := range blocks {
		script += fmt.Sprintf("echo; echo example %d\n%s", i+1, b[1])
	}
	if len(blocks) < 6 || !strings.Contains(script, "10.0.0.1:7460") {
		t.Fatalf("%d examples", len(blocks))
	}
	script = strings.ReplaceAll(script, "10.0.0.1:7460", strings.TrimPrefix(addr, "https://"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v after:\n%s\nthe node logged:\n%s", err, out.String(), n.log.String())
	}
	n.reaches("photos", fsm.Succeeded)
	n.checkNoSecrets(dir, n.log.String())
}

// TestAPIPage holds the tables of docs/api.md against the document that a node serves.
func TestAPIPage(t *testing.T) {
	page, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t)
	resp := n.get("/openapi.json")
	defer resp.Body.Close()
	var doc struct {
		Paths      map[string]map[string]struct{ Security []map[string][]string }
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Type struct{ Examples []string } }
				}
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for path, item := range doc.Paths {
		for method, op := range item {
			role := "none"
			if len(op.Security) > 0 {
				role = op.Security[0]["token"][0]
			}
			want = append(want, strings.ToUpper(method)+" "+path+" "+role)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\| (\\w+) \\|").FindAllSubmatch(page, -1) {
		got = append(got, string(row[1])+" "+string(row[2]))
	}
	agree(t, "routes", want, got)

	want, got = nil, nil
	for _, name := range doc.Components.Schemas.Problem.Properties.Type.Examples {
		want = append(want, strings.TrimPrefix(name, "urn:brigade:problem:"))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| [45]\\d\\d \\|").FindAllSubmatch(page, -1) {
		got = append(got, string(row[1]))
	}
	agree(t, "problems", want, got)
}

// agree compares what is served with what the page tells of.
func agree(t *testing.T, what string, served, told []string) {
	t.Helper()
	slices.Sort(served)
	slices.Sort(told)
	if len(served) == 0 || !slices.Equal(served, told) {
		t.Errorf("%s that are served:\n%s\nthat the page tells of:\n%s", what, strings.Join(served, "\n"), strings.Join(told, "\n"))
	}
}

// TestStopEndsStreams stops a node while somebody follows its events: the stream ends in order, and does not hold the node.
func TestStopEndsStreams(t *testing.T) {
	n := startNode(t)
	resp := n.get("/v1/events")
	defer resp.Body.Close()
	n.run(codeDone, "node", "stop")
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "event: reset") {
		t.Errorf("the stream is cut off: %v: %s", err, text)
	}
}

// get reads from the API with the token in the data directory.
func (n *nodeBench) get(path string) *http.Response {
	n.t.Helper()
	addr, err := api.ReadAddr(n.data)
	if err != nil {
		n.t.Fatal(err)
	}
	token, err := os.ReadFile(api.LocalTokenFile(n.data))
	if err != nil {
		n.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp
}
