package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// figure is one measurement of one promise.
type figure struct {
	Promise  string `json:"promise"`
	Asked    string `json:"asked"`
	Measured string `json:"measured"`
	Met      bool   `json:"met"`
	Command  string `json:"command"` // shows it again
}

// figures collects measurements, in the order they were made.
type figures struct {
	mu   sync.Mutex
	rows []figure
}

// record keeps a measurement and fails the test where it falls short.
func record(t *testing.T, met bool, promise, asked, measured string) {
	t.Helper()
	f := figure{promise, asked, measured, met, "make figures FIGURES=" + t.Name()}
	t.Logf("%s: asked %s, measured %s", f.Promise, f.Asked, f.Measured)
	if !met {
		t.Errorf("%s: asked %s, measured %s", f.Promise, f.Asked, f.Measured)
	}
	shared.figures.mu.Lock()
	defer shared.figures.mu.Unlock()
	shared.figures.rows = append(shared.figures.rows, f)
}

// save prints a table and writes figures.json into a folder.
func (f *figures) save(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"promise", "asked", "measured", "met", "command"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: 40, WidthMaxEnforcer: text.WrapSoft},
		{Number: 2, WidthMax: 34, WidthMaxEnforcer: text.WrapSoft},
		{Number: 3, WidthMax: 34, WidthMaxEnforcer: text.WrapSoft},
	})
	t.Style().Options.SeparateRows = true
	for _, r := range f.rows {
		met := "yes"
		if !r.Met {
			met = "NO"
		}
		t.AppendRow(table.Row{r.Promise, r.Asked, r.Measured, met, r.Command})
	}
	fmt.Printf("\n%s\n", t.Render())
	b, err := json.MarshalIndent(f.rows, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "figures.json"), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("save figures: %w", err)
	}
	return nil
}
