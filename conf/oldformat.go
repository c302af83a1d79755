package conf

import (
	"bytes"
	"regexp"
)

// oldFormatLine returns the line of the first key=value pair if the file is made of them, as the job files of the old
// tools are, else 0. Comments there start with "#" or "!".
func oldFormatLine(data []byte) int {
	pair := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*[ \t]*=`)
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == '!' {
			continue
		}
		if pair.Match(line) {
			return i + 1
		}
		return 0
	}
	return 0
}
