package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// What is asked: the rate at least, the CPU at most, as a multiple of rclone's.
const (
	askedRate = 1.5
	askedCPU  = 1.0
)

// Results are all measurements.
type Results struct {
	Machine string      `json:"machine"`
	Brigade string      `json:"brigade"`
	Rclone  string      `json:"rclone"`
	Works   []*Measured `json:"works"`
}

// Measured is one work. Ratios are of neighboring runs, Brigade's by rclone's.
type Measured struct {
	Work       string    `json:"work"`
	Objects    int       `json:"objects"`
	Bytes      int64     `json:"bytes"`
	Brigade    Program   `json:"brigade"`
	Rclone     Program   `json:"rclone"`
	RateRatios []float64 `json:"rate_ratios"`
	CPURatios  []float64 `json:"cpu_ratios"`
	RateRatio  float64   `json:"rate_ratio"` // median
	CPURatio   float64   `json:"cpu_ratio"`  // median
	Met        bool      `json:"met"`        // at least 1.5 times the rate, with less CPU
}

// Program is one program on one work.
type Program struct {
	Command    string  `json:"command"`
	Runs       []Run   `json:"runs"`
	Seconds    float64 `json:"seconds"`     // median
	CPUSeconds float64 `json:"cpu_seconds"` // median
	MaxRSS     int64   `json:"max_rss_bytes"`
}

func (m *Measured) summarize() {
	for i := range m.Brigade.Runs {
		b, r := m.Brigade.Runs[i], m.Rclone.Runs[i]
		m.RateRatios = append(m.RateRatios, r.Seconds/b.Seconds)
		m.CPURatios = append(m.CPURatios, b.CPUSeconds/r.CPUSeconds)
	}
	m.RateRatio, m.CPURatio = median(m.RateRatios), median(m.CPURatios)
	m.Met = m.RateRatio >= askedRate && m.CPURatio < askedCPU
	for _, p := range []*Program{&m.Brigade, &m.Rclone} {
		var wall, cpu []float64
		for _, r := range p.Runs {
			wall, cpu = append(wall, r.Seconds), append(cpu, r.CPUSeconds)
			p.MaxRSS = max(p.MaxRSS, r.MaxRSS)
		}
		p.Seconds, p.CPUSeconds = median(wall), median(cpu)
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func (r *Results) print(w io.Writer) {
	t := newTable()
	t.AppendHeader(table.Row{"work", "program", "s", "objects/s", "MB/s", "CPU s", "RSS MiB", "requests dst", "src", "bytes in dst", "out src"})
	for _, m := range r.Works {
		for _, row := range []struct {
			name string
			p    *Program
		}{{"brigade", &m.Brigade}, {"rclone", &m.Rclone}} {
			last := row.p.Runs[len(row.p.Runs)-1]
			cells := table.Row{
				m.Work, row.name, fmt.Sprintf("%.2f", row.p.Seconds), objectRate(float64(m.Objects) / row.p.Seconds),
				fmt.Sprintf("%.0f", float64(m.Bytes)/1e6/row.p.Seconds), fmt.Sprintf("%.2f", row.p.CPUSeconds), row.p.MaxRSS >> 20,
				total(last.Destination.Requests), "", humanize.Bytes(uint64(last.Destination.BytesIn)), "",
			}
			if last.Source != nil {
				cells[8], cells[10] = total(last.Source.Requests), humanize.Bytes(uint64(last.Source.BytesOut))
			}
			t.AppendRow(cells)
		}
		t.AppendSeparator()
	}
	fmt.Fprintf(w, "\n%s\n\n", t.Render())

	t = newTable()
	t.AppendHeader(table.Row{"work", "asked: rate", "measured", "of each pair", "asked: CPU", "measured", "of each pair", "met"})
	for _, m := range r.Works {
		t.AppendRow(table.Row{
			m.Work, fmt.Sprintf(">= %.1f x rclone", askedRate), fmt.Sprintf("%.2f", m.RateRatio), list(m.RateRatios),
			fmt.Sprintf("< %.1f x rclone", askedCPU), fmt.Sprintf("%.2f", m.CPURatio), list(m.CPURatios), yesNo(m.Met),
		})
	}
	fmt.Fprintln(w, t.Render())
	for _, m := range r.Works {
		fmt.Fprintf(w, "\n%s\n  %s\n  %s\n", m.Work, m.Brigade.Command, m.Rclone.Command)
	}
}

func newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	return t
}

// objectRate formats objects per second, which range from few large ones to many small ones.
func objectRate(perSecond float64) string {
	if perSecond < 10 {
		return strconv.FormatFloat(perSecond, 'f', 2, 64)
	}
	return strconv.FormatFloat(perSecond, 'f', 0, 64)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

func total(requests map[string]int64) (n int64) {
	for _, v := range requests {
		n += v
	}
	return n
}

func list(v []float64) string {
	s := make([]string, len(v))
	for i := range v {
		s[i] = strconv.FormatFloat(v[i], 'f', 2, 64)
	}
	return strings.Join(s, " ")
}

func (r *Results) save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	fmt.Println("\nsaved in", path)
	return nil
}

// versionOf is the first line that a program prints of itself.
func versionOf(ctx context.Context, path string) string {
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return fmt.Sprintf("%s (%v)", path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// describeMachine says what the measurements were made on.
func describeMachine() string {
	model := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := ""
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if kib, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				memory = ", " + humanize.IBytes(kib<<10)
			}
		}
	}
	return fmt.Sprintf("%d x %s%s, %s/%s, %s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
