package store

import (
	"fmt"
	"sort"
	"strings"
)

// CheckOptions refuses options of a location that are not among the known ones and suggests the nearest.
func CheckOptions(l Location, known ...string) error {
	names := make([]string, 0, len(l.Options))
	for name := range l.Options {
		names = append(names, name)
	}
	sort.Strings(names)
	sort.Strings(known)
	for _, name := range names {
		if err := checkOption(l.Scheme, name, known); err != nil {
			return err
		}
	}
	return nil
}

func checkOption(scheme, name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("unknown option %q: %s URLs have none", name, scheme)
	}
	nearest, best := "", len(name)/2+2
	for _, k := range known {
		if k == name {
			return nil
		}
		if d := editDistance(strings.ToLower(name), k); d < best {
			nearest, best = k, d
		}
	}
	if nearest != "" {
		return fmt.Errorf("unknown option %q of %s; did you mean %q?", name, scheme, nearest)
	}
	return fmt.Errorf("unknown option %q of %s; known: %s", name, scheme, strings.Join(known, ", "))
}

// editDistance counts the insertions, deletions and replacements of bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
