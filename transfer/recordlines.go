package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// recordLines are records as they will stand in a segment: JSON, one a line. As text they take a third of what they take as
// values, and the collector has nothing to look at in it; thousands of them wait in each task.
type recordLines struct {
	text    []byte
	lines   []recordLine
	changed map[int][]byte // lines that were changed since
	line    bytes.Buffer   // reused
}

// recordLine is what is known of a record without reading it.
type recordLine struct {
	end    int // in the text; the line before it ends where this one begins
	failed bool
	listed bool // found in the destination's listing since
}

func (l *recordLines) len() int { return len(l.lines) }

// add appends one record.
func (l *recordLines) add(r *Record) error {
	if err := l.encode(r); err != nil {
		return err
	}
	l.text = append(l.text, l.line.Bytes()...)
	l.lines = append(l.lines, recordLine{end: len(l.text), failed: r.Outcome == Failed})
	return nil
}

func (l *recordLines) encode(r *Record) error {
	l.line.Reset()
	enc := json.NewEncoder(&l.line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("encode record of %q: %w", r.Key, err)
	}
	return nil
}

// at returns line i with its end.
func (l *recordLines) at(i int) []byte {
	if line, ok := l.changed[i]; ok {
		return line
	}
	start := 0
	if i > 0 {
		start = l.lines[i-1].end
	}
	return l.text[start:l.lines[i].end]
}

// change rewrites record i.
func (l *recordLines) change(i int, edit func(*Record)) error {
	var r Record
	if err := json.Unmarshal(l.at(i), &r); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	edit(&r)
	if err := l.encode(&r); err != nil {
		return err
	}
	if l.changed == nil {
		l.changed = map[int][]byte{}
	}
	l.changed[i] = slices.Clone(l.line.Bytes())
	l.lines[i].failed = r.Outcome == Failed
	return nil
}

// listed notes that the object of record i, whose Listed is not set, was found in the destination's listing.
func (l *recordLines) listed(i int) { l.lines[i].listed = true }

// listedEnd takes the place of the end of the line of a record that is listed.
const listedEnd = `,"listed":true}` + "\n"

// join returns the text of the records, or of those that failed, and how many they are.
func (l *recordLines) join(failed bool) (text []byte, lines int64) {
	size := 0
	for i := range l.lines {
		if l.lines[i].failed || !failed {
			size += len(l.at(i)) + len(listedEnd)
			lines++
		}
	}
	text = make([]byte, 0, size)
	for i := range l.lines {
		line := &l.lines[i]
		if failed && !line.failed {
			continue
		}
		text = append(text, l.at(i)...)
		if line.listed {
			text = append(text[:len(text)-len("}\n")], listedEnd...)
		}
	}
	return text, lines
}
