package conf

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRates(t *testing.T) {
	const day = 24 * 60
	daily := func(slots ...Rate) (all []Rate) {
		for d := range 7 {
			for _, s := range slots {
				all = append(all, Rate{d*day + s.From, s.Bytes})
			}
		}
		return all
	}
	for text, want := range map[string][]Rate{
		"off":                          nil,
		"OFF":                          nil,
		"10M":                          {{0, 10 << 20}},
		"10m":                          {{0, 10 << 20}},
		"1.5M":                         {{0, 3 << 19}},
		"64K":                          {{0, 64 << 10}},
		"2G":                           {{0, 2 << 30}},
		"1T":                           {{0, 1 << 40}},
		"4096":                         {{0, 4096}},
		"4096B":                        {{0, 4096}},
		"10MiB":                        {{0, 10 << 20}},
		"10MB":                         {{0, 10_000_000}},
		" 10M ":                        {{0, 10 << 20}},
		"08:00,1M":                     daily(Rate{480, 1 << 20}),
		"19:00,off  08:00,10M":         daily(Rate{480, 10 << 20}, Rate{1140, 0}),
		"Mon-00:00,512K Sun-20:30,off": {{20*60 + 30, 0}, {day, 512 << 10}},
		"saturday-23:59,1G":            {{6*day + 23*60 + 59, 1 << 30}},
	} {
		got, err := ParseRates(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestParseRatesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "is no rate",
		"fast":                           `"fast" is no rate`,
		"-1M":                            "is no rate",
		"M":                              "is no rate",
		"1023":                           "too small",
		"0":                              "too small",
		"NaNM":                           "is no rate",
		"9999999T":                       "too large",
		"10M:1M":                         "gives two rates",
		"10M 19:00,off":                  `"10M" has no time before it`,
		"24:00,1M":                       `"24:00" is not a time of day`,
		"08:60,1M":                       "is not a time of day",
		"8,1M":                           "is not a time of day",
		"08:00,":                         "is no rate",
		"Day-08:00,1M":                   `"Day" is not a day of the week`,
		"08:00,1M Mon-08:00,2M":          "names one time twice",
		strings.Repeat("08:00,1M ", 200): "longer than",
	} {
		if got, err := ParseRates(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want an error with %q", text, got, err, want)
		}
	}
}
