package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/bucketbrigade/brigade/api"
)

const sparkColumns = tableWidth - 11 // what is left of a terminal beside the names of rows

// The levels of a sparkline, the lowest first.
const (
	sparkBlocks = "▁▂▃▄▅▆▇█"
	sparkPlain  = "_.:-=+*#" // where the locale has no blocks
)

// sparkLevels are the levels that the locale can show.
func (a *app) sparkLevels() []rune {
	if a.utf8Locale() {
		return []rune(sparkBlocks)
	}
	return []rune(sparkPlain)
}

// utf8Locale tells whether text may have any character, by the variables that say so (POSIX: the first that is set counts).
func (a *app) utf8Locale() bool {
	if a.getenv("TERM") == "dumb" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return runtime.GOOS == "windows" || runtime.GOOS == "darwin"
}

// sparkline draws values from 0 up to the largest.
func sparkline(values []float64, levels []rune) string {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		level := 0
		if top > 0 && v > 0 {
			level = int(v/top*float64(len(levels)-1) + 0.5)
		}
		line[i] = levels[min(level, len(levels)-1)]
	}
	return string(line)
}

// columns makes at most most columns of rates, each the mean of as many steps as the others, but for the last. A last step
// that has barely begun says little, and is left out.
func columns(d *api.JobRates, most int) (bytes []float64, each time.Duration) {
	points := d.Rates
	step := time.Duration(d.StepSeconds) * time.Second
	if last := len(points) - 1; last > 0 && points[last].Seconds < step.Seconds()/2 {
		points = points[:last]
	}
	per := max(1, (len(points)+most-1)/most)
	for len(points) > 0 {
		n := min(per, len(points))
		sum, seconds := 0.0, 0.0
		for _, p := range points[:n] {
			sum += p.BytesPerSecond * p.Seconds
			seconds += p.Seconds
		}
		bytes = append(bytes, sum/max(1, seconds))
		points = points[n:]
	}
	return bytes, step * time.Duration(per)
}

// historyText draws how fast a job went, in lines that fit a terminal; none where there is nothing to see yet.
func historyText(d *api.JobRates, levels []rune) (lines []string) {
	bytes, each := columns(d, sparkColumns)
	if len(bytes) < 2 {
		return nil
	}
	least, most := bytes[0], bytes[0]
	for _, v := range bytes {
		least, most = min(least, v), max(most, v)
	}
	lines = []string{sparkline(bytes, levels), fmt.Sprintf("min %s/s, max %s/s, now %s/s; %s a column",
		bytesOf(int64(least)), bytesOf(int64(most)), bytesOf(int64(bytes[len(bytes)-1])), shortTime(each))}
	if len(d.Missing) > 0 {
		names := make([]string, 0, len(d.Missing))
		for _, m := range d.Missing {
			names = append(names, shortID(m.ID)+" ("+printable(m.State)+")")
		}
		const shown = 3
		text := strings.Join(names[:min(shown, len(names))], ", ")
		if len(names) > shown {
			text += fmt.Sprintf(" and %d more", len(names)-shown)
		}
		lines = append(lines, "without "+text)
	}
	return lines
}
