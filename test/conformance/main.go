// Command conformance prints, as a table, what the conformance suite found at every provider: `make conformance`.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: conformance FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// tally is what one provider's runs of the suite add up to: at its root, at a prefix, with other options.
type tally struct{ runs, passed, failed, lacking int }

// errFailed ends the program after the tables.
var errFailed = errors.New("cases failed")

func run(path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tallies, places := map[string]*tally{}, map[string]bool{}
	lacks := map[string][]string{} // reason by case and provider
	var failed []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r storetest.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("read results: %w", err)
		}
		provider, _, _ := strings.Cut(r.Place, " ")
		t := tallies[provider]
		if t == nil {
			t = &tally{}
			tallies[provider] = t
		}
		if !places[r.Place] {
			places[r.Place] = true
			t.runs++
		}
		switch {
		case r.Lacks != "":
			t.lacking++
			key := r.Case + "\x00" + r.Lacks
			if !slices.Contains(lacks[key], provider) {
				lacks[key] = append(lacks[key], provider)
			}
		case r.Failed:
			t.failed++
			failed = append(failed, r.Place+": "+r.Case)
		default:
			t.passed++
		}
	}
	printTallies(w, tallies)
	printLacks(w, lacks)
	if len(failed) > 0 {
		fmt.Fprintln(w, "\nfailed:\n  "+strings.Join(failed, "\n  "))
		return errFailed
	}
	return nil
}

func printTallies(w io.Writer, tallies map[string]*tally) {
	out := table.NewWriter()
	out.SetOutputMirror(w)
	out.AppendHeader(table.Row{"provider", "runs", "passed", "failed", "do not apply"})
	for _, name := range sorted(tallies) {
		t := tallies[name]
		out.AppendRow(table.Row{name, t.runs, t.passed, t.failed, t.lacking})
	}
	out.Render()
}

func printLacks(w io.Writer, lacks map[string][]string) {
	out := table.NewWriter()
	out.SetOutputMirror(w)
	out.AppendHeader(table.Row{"case", "does not apply because", "to"})
	for _, key := range sorted(lacks) {
		name, reason, _ := strings.Cut(key, "\x00")
		slices.Sort(lacks[key])
		out.AppendRow(table.Row{name, reason, strings.Join(lacks[key], " ")})
	}
	out.Render()
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
