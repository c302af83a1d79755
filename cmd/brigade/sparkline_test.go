package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bucketbrigade/brigade/api"
)

// series makes rates of steps of 10 s.
func series(values ...float64) *api.JobRates {
	d := &api.JobRates{StepSeconds: 10}
	for i, v := range values {
		d.Rates = append(d.Rates, api.RatePoint{At: time.Unix(int64(10*i), 0), Seconds: 10, BytesPerSecond: v})
	}
	return d
}

func TestHistoryText(t *testing.T) {
	const mb = 1e6
	ramp := make([]float64, 100)
	for i := range ramp {
		ramp[i] = float64(i) * mb
	}
	barely := series(1*mb, 2*mb, 0)
	barely.Rates[2].Seconds = 2
	partial := series(1*mb, 3*mb, 2*mb)
	partial.Rates[2].Seconds = 6
	missing := series(1*mb, 2*mb)
	for _, id := range []string{"0123456789abcdef", "b", "c", "d", "e"} {
		missing.Missing = append(missing.Missing, api.Unheard{ID: id, State: api.Dead})
	}
	for name, c := range map[string]struct {
		d      *api.JobRates
		levels string
		want   string
	}{
		"nothing":    {series(), sparkBlocks, ""},
		"one moment": {series(5), sparkBlocks, ""},
		"all levels": {series(0, 1*mb, 2*mb, 3*mb, 4*mb, 5*mb, 6*mb, 7*mb), sparkBlocks,
			"▁▂▃▄▅▆▇█\nmin 0 B/s, max 7.0 MB/s, now 7.0 MB/s; 10s a column"},
		"plain":      {series(0, 1*mb, 2*mb, 3*mb, 4*mb, 5*mb, 6*mb, 7*mb), sparkPlain, "_.:-=+*#\nmin 0 B/s, max 7.0 MB/s, now 7.0 MB/s; 10s a column"},
		"stands":     {series(0, 0, 0), sparkBlocks, "▁▁▁\nmin 0 B/s, max 0 B/s, now 0 B/s; 10s a column"},
		"flat":       {series(mb, mb), sparkBlocks, "██\nmin 1.0 MB/s, max 1.0 MB/s, now 1.0 MB/s; 10s a column"},
		"just begun": {barely, sparkBlocks, "▅█\nmin 1.0 MB/s, max 2.0 MB/s, now 2.0 MB/s; 10s a column"},
		"half over":  {partial, sparkBlocks, "▃█▆\nmin 1.0 MB/s, max 3.0 MB/s, now 2.0 MB/s; 10s a column"},
		"many": {series(ramp...), sparkBlocks,
			"▁▁▁▁▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▇▇▇▇▇▇▇████\nmin 500 kB/s, max 98 MB/s, now 98 MB/s; 20s a column"},
		"nodes away": {missing, sparkBlocks,
			"▅█\nmin 1.0 MB/s, max 2.0 MB/s, now 2.0 MB/s; 10s a column\nwithout 0123456789ab (dead), b (dead), c (dead) and 2 more"},
	} {
		got := strings.Join(historyText(c.d, []rune(c.levels)), "\n")
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestHistoryFits: whatever the length of the series, no line of the status is wider than a terminal.
func TestHistoryFits(t *testing.T) {
	for n := range 700 {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i%97) * 1e13
		}
		for line := range strings.Lines(jobText(&api.Job{ID: "j"}, historyText(series(values...), []rune(sparkBlocks))...)) {
			if w := utf8.RuneCountInString(strings.TrimRight(line, "\n")); w > tableWidth && !strings.HasPrefix(line, "objects") {
				t.Fatalf("%d steps: %d columns: %s", n, w, line)
			}
		}
		if columns, _ := columns(series(values...), sparkColumns); n > 2*sparkColumns && len(columns) < sparkColumns/2 {
			t.Fatalf("%d steps in %d columns", n, len(columns))
		}
	}
}

// TestColumnsKeepTheSum: what is drawn stands for as many bytes as the series.
func TestColumnsKeepTheSum(t *testing.T) {
	values := make([]float64, 69*4)
	sum := 0.0
	for i := range values {
		values[i] = float64(i * i)
		sum += values[i] * 10
	}
	bytes, each := columns(series(values...), 69)
	drawn := 0.0
	for _, v := range bytes {
		drawn += v * each.Seconds()
	}
	if len(bytes) != 69 || each != 40*time.Second || drawn != sum {
		t.Errorf("%d columns of %s with %v, want %v", len(bytes), each, drawn, sum)
	}
}

func TestLocaleOfBlocks(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		utf8 bool
	}{
		{map[string]string{"LANG": "en_GB.UTF-8"}, true},
		{map[string]string{"LANG": "zh_CN.utf8"}, true},
		{map[string]string{"LANG": "zh_CN.GB18030"}, false},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{map[string]string{"LANG": "en_GB.UTF-8", "TERM": "dumb"}, false},
	} {
		b := newBench(t)
		for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG", "TERM"} {
			b.env[name] = c.env[name]
		}
		if got := string(b.app.sparkLevels()) == sparkBlocks; got != c.utf8 {
			t.Errorf("%v: blocks %v", c.env, got)
		}
	}
}
