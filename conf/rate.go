package conf

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a rate and of a timetable.
const (
	leastRate    = 1 << 10 // bytes a second; below, requests would time out for good reason
	mostRate     = 1 << 50 // bytes a second
	maxTimetable = 1 << 10 // bytes of its text
	minutesOfDay = 24 * 60
)

// Rate is what holds from a minute of the week on, until the next one of its timetable.
type Rate struct {
	From  int   // minutes since Sunday 00:00
	Bytes int64 // per second; 0 for no limit
}

const allowedRates = `off, a rate in bytes a second such as 10M (MiB), 512K, 2G or 1048576, 1K at least, or a timetable such as "08:00,10M 19:00,off" or "Mon-00:00,1M Sat-00:00,off"`

// rates reads a rate or a timetable, and returns its text, "" where it is off.
func (v value) rates() (string, *problem) {
	text, bad := v.scalar(allowedRates)
	if bad != nil {
		return "", bad
	}
	table, err := ParseRates(text)
	if err != nil {
		return "", &problem{err.Error(), allowedRates}
	}
	if len(table) == 0 {
		return "", nil
	}
	return strings.Join(strings.Fields(text), " "), nil
}

// ParseRates reads "off", one rate, or a timetable in the syntax of rclone's --bwlimit: "HH:MM,RATE" or "Day-HH:MM,RATE",
// separated by blanks. A time without a day holds for every day. The rates come in the order of the week, the last one
// reaches over its end; none at all is no limit.
func ParseRates(text string) ([]Rate, error) {
	fields := strings.Fields(text)
	switch {
	case len(text) > maxTimetable:
		return nil, fmt.Errorf("is longer than %d bytes", maxTimetable)
	case len(fields) == 0:
		return nil, fmt.Errorf("%q is no rate", text)
	case len(fields) == 1 && !strings.Contains(fields[0], ","):
		n, err := parseRate(fields[0])
		if err != nil || n == 0 {
			return nil, err
		}
		return []Rate{{Bytes: n}}, nil
	}
	var table []Rate
	for _, field := range fields {
		slots, err := parseSlot(field)
		if err != nil {
			return nil, err
		}
		table = append(table, slots...)
	}
	slices.SortStableFunc(table, func(a, b Rate) int { return cmp.Compare(a.From, b.From) })
	for i := 1; i < len(table); i++ {
		if table[i].From == table[i-1].From {
			return nil, fmt.Errorf("%q names one time twice", text)
		}
	}
	return table, nil
}

// parseSlot reads one entry of a timetable: one rate, or one for each day.
func parseSlot(field string) ([]Rate, error) {
	at, rate, ok := strings.Cut(field, ",")
	if !ok {
		return nil, fmt.Errorf("%q has no time before it, as an entry of a timetable has", field)
	}
	n, err := parseRate(rate)
	if err != nil {
		return nil, err
	}
	first, last := 0, 6
	if day, clock, named := strings.Cut(at, "-"); named {
		i := slices.IndexFunc(days[:], func(d string) bool { return strings.EqualFold(day, d) || strings.EqualFold(day, d[:3]) })
		if i < 0 {
			return nil, fmt.Errorf("%q is not a day of the week such as Mon", day)
		}
		first, last, at = i, i, clock
	}
	minute, err := parseClock(at)
	if err != nil {
		return nil, err
	}
	var slots []Rate
	for day := first; day <= last; day++ {
		slots = append(slots, Rate{From: day*minutesOfDay + minute, Bytes: n})
	}
	return slots, nil
}

// days are in the order of time.Weekday.
var days = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// parseClock reads HH:MM as minutes of the day.
func parseClock(s string) (int, error) {
	hour, minute, ok := strings.Cut(s, ":")
	h, errH := strconv.ParseUint(hour, 10, 8)
	m, errM := strconv.ParseUint(minute, 10, 8)
	if !ok || errH != nil || errM != nil || len(hour) > 2 || len(minute) != 2 || h > 23 || m > 59 {
		return 0, fmt.Errorf("%q is not a time of day such as 08:00", s)
	}
	return int(h)*60 + int(m), nil
}

// parseRate reads bytes a second; off is 0. A single letter is a binary unit, as rclone has it; what else is a size is
// read as every size is.
func parseRate(s string) (int64, error) {
	if strings.EqualFold(s, "off") {
		return 0, nil
	}
	n, err := parseBytes(s)
	switch {
	case err != nil && strings.Contains(s, ":"):
		return 0, fmt.Errorf("%q gives two rates; there is one, for what is read and sent on", s)
	case err != nil:
		return 0, fmt.Errorf("%q is no rate", s)
	case n < leastRate:
		return 0, fmt.Errorf("%q is too small: %d bytes a second, 1024 and more are allowed", s, n)
	case n > mostRate:
		return 0, fmt.Errorf("%q is too large", s)
	}
	return n, nil
}

func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, fmt.Errorf("no rate is given")
	}
	if i := strings.IndexByte("BKMGT", upper(s[len(s)-1])); i >= 0 {
		number, err := strconv.ParseFloat(s[:len(s)-1], 64)
		if err == nil && number >= 0 {
			return int64(math.Round(min(number*float64(int64(1)<<(10*i)), 2*mostRate))), nil
		}
	}
	return ParseSize(s)
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
