package notify

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

// Of charts, in pixels: twice of what is shown, for screens of high resolution.
const (
	chartWidth  = 1168
	chartHeight = 360
)

// drawRates draws bytes a second over time as a PNG; nil if there are fewer than two moments to draw.
func drawRates(rates []Rate) ([]byte, error) {
	series := chart.TimeSeries{Style: chart.Style{
		StrokeColor: drawing.ColorFromHex("0b69a3"), StrokeWidth: 4, FillColor: drawing.ColorFromHex("0b69a3").WithAlpha(40),
	}}
	top := 1.0
	rates = drawable(rates)
	if len(rates) < 2 {
		return nil, nil
	}
	for _, r := range rates {
		series.XValues = append(series.XValues, r.At.UTC())
		series.YValues = append(series.YValues, r.BytesPerSecond)
		top = max(top, r.BytesPerSecond)
	}
	axis := chart.Style{FontSize: 18, FontColor: drawing.ColorFromHex("616e7c"), StrokeColor: drawing.ColorFromHex("cbd2d9")}
	grid := chart.Style{StrokeColor: drawing.ColorFromHex("e4e7eb"), StrokeWidth: 2}
	graph := chart.Chart{
		Width: chartWidth, Height: chartHeight, DPI: 72,
		Background: chart.Style{Padding: chart.Box{Top: 20, Left: 10, Right: 30, Bottom: 10}},
		XAxis:      chart.XAxis{Style: axis, ValueFormatter: timeFormatter(rates)},
		YAxis: chart.YAxis{
			Style: axis, GridMajorStyle: grid, Range: &chart.ContinuousRange{Min: 0, Max: top * 1.1},
			ValueFormatter: func(v any) string {
				f, _ := v.(float64) // the library gives nothing else
				return humanize.IBytes(uint64(max(f, 0))) + "/s"
			},
		},
		Series: []chart.Series{series},
	}
	var b bytes.Buffer
	if err := graph.Render(chart.PNG, &b); err != nil {
		return nil, fmt.Errorf("draw throughput: %w", err)
	}
	return b.Bytes(), nil
}

// drawable leaves out what no chart can show: moments that do not follow each other, rates that are no numbers.
func drawable(rates []Rate) (kept []Rate) {
	for _, r := range rates {
		if v := r.BytesPerSecond; math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			continue
		}
		if n := len(kept); n > 0 && !r.At.After(kept[n-1].At) {
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// timeFormatter tells days where the series lasts longer than one.
func timeFormatter(rates []Rate) chart.ValueFormatter {
	layout := "15:04:05"
	switch span := rates[len(rates)-1].At.Sub(rates[0].At); {
	case span > 48*time.Hour:
		layout = "01-02 15:04"
	case span > time.Hour:
		layout = "15:04"
	}
	return chart.TimeValueFormatterWithFormat(layout)
}
