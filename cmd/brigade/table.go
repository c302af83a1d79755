package main

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	tableWidth  = 80 // columns of a terminal that every table fits
	leastColumn = 8  // to which a column gives way at most
	columnGap   = 2
)

// grid is a table without borders that fits a terminal.
type grid struct {
	header []string
	right  []int // columns of numbers, from 1
	give   []int // columns that give way where the table is too wide, from 1
	words  []int // of these, those that are broken between words
	rows   [][]string
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// String renders the table.
func (g *grid) String() string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Format.Header = text.FormatUpper
	t.Style().Box.PaddingLeft = ""
	t.Style().Box.PaddingRight = strings.Repeat(" ", columnGap)
	t.AppendHeader(tableRow(g.header))
	for _, r := range g.rows {
		t.AppendRow(tableRow(r))
	}
	configs := make([]table.ColumnConfig, len(g.header))
	for i, width := range g.widths() {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: width, WidthMaxEnforcer: text.WrapHard}
	}
	for _, n := range g.right {
		configs[n-1].Align, configs[n-1].AlignHeader = text.AlignRight, text.AlignRight
	}
	for _, n := range g.words {
		configs[n-1].WidthMaxEnforcer = text.WrapSoft
	}
	t.SetColumnConfigs(configs)
	return trimLines(t.Render())
}

// widths are the widths of the columns: as wide as their cells, but where that is too much the widest that may give way do.
func (g *grid) widths() []int {
	widths := make([]int, len(g.header))
	total := columnGap * (len(g.header) - 1)
	for i := range widths {
		widths[i] = text.StringWidthWithoutEscSequences(g.header[i])
		for _, r := range g.rows {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(r[i]))
		}
		total += widths[i]
	}
	for ; total > tableWidth; total-- {
		widest := -1
		for _, n := range g.give {
			if i := n - 1; widths[i] > leastColumn && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // numbers beyond all bounds
		}
		widths[widest]--
	}
	return widths
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	return row
}

// trimLines takes away the blanks that fill a table's last column.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}
