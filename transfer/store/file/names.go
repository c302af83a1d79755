package file

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// defaultNameMax is the longest name in bytes on most file systems.
const defaultNameMax = 255

// tempPrefix and tempSuffix enclose "NONCE-TASK.COUNTER" in the name of a temporary file.
const (
	tempPrefix = ".brigade-"
	tempSuffix = ".tmp"
)

// checkKey refuses keys that would leave the root or that no file can have. dir tells that the key is a marker.
func (d *disk) checkKey(op, key string, dir bool) error {
	name := key
	if dir {
		if !strings.HasSuffix(key, "/") {
			return fault(store.Permanent, op, key, "the key of a directory must end in \"/\"")
		}
		name = key[:len(key)-1]
	}
	if reason := d.badName(name); reason != "" {
		return fault(store.Permanent, op, key, reason)
	}
	return nil
}

// badName tells why a key, without the "/" of a marker, cannot be a path, or "".
func (d *disk) badName(key string) string {
	switch {
	case key == "":
		return "the key is empty"
	case len(key) > maxKey:
		return fmt.Sprintf("the key is longer than %d bytes", maxKey)
	case key[0] == '/':
		return "the key begins with \"/\""
	case key[len(key)-1] == '/':
		return "the key ends in \"/\" and is no directory"
	case strings.IndexByte(key, 0) >= 0:
		return "the key holds a NUL byte"
	}
	for segment := range strings.SplitSeq(key, "/") {
		if reason := d.badSegment(segment); reason != "" {
			return reason
		}
	}
	return ""
}

func (d *disk) badSegment(segment string) string {
	switch segment {
	case "":
		return "the key holds \"//\""
	case ".", "..":
		return fmt.Sprintf("the key holds %q as a name", segment)
	}
	if most := d.longestName(); len(segment) > most {
		return fmt.Sprintf("a name in the key has %d bytes, the file system takes %d", len(segment), most)
	}
	if runtime.GOOS == "windows" {
		return badOnWindows(segment)
	}
	return ""
}

// badOnWindows tells why Windows cannot have a name, or "" (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
func badOnWindows(segment string) string {
	if i := strings.IndexFunc(segment, func(r rune) bool { return r < 32 || strings.ContainsRune(`<>:"\|?*`, r) }); i >= 0 {
		return fmt.Sprintf("Windows does not take %q in a name", segment[i])
	}
	if last := segment[len(segment)-1]; last == '.' || last == ' ' {
		return "Windows does not take a name that ends in a dot or a space"
	}
	stem, _, _ := strings.Cut(segment, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return fmt.Sprintf("%q is a reserved name of Windows", segment)
	}
	if port, digit := strings.CutPrefix(stem, "COM"); digit && isPort(port) {
		return fmt.Sprintf("%q is a reserved name of Windows", segment)
	}
	if port, digit := strings.CutPrefix(stem, "LPT"); digit && isPort(port) {
		return fmt.Sprintf("%q is a reserved name of Windows", segment)
	}
	return ""
}

// isPort tells whether s is what may follow COM and LPT in a reserved name.
func isPort(s string) bool {
	switch s {
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
		return true
	}
	return false
}

// tempName makes the next name for a temporary file of a task.
func (d *disk) tempName(task uint64) string {
	return fmt.Sprintf("%s%d.%d%s", d.ownPrefix(), task, d.counter.Add(1), tempSuffix)
}

// ownPrefix begins every temporary name of this job.
func (d *disk) ownPrefix() string { return tempPrefix + d.nonce + "-" }

// tempTask tells whether name is a temporary file of this job, and of which task.
func (d *disk) tempTask(name string) (task uint64, ok bool) {
	middle, ok := strings.CutPrefix(name, tempPrefix)
	if !ok {
		return 0, false
	}
	middle, ok = strings.CutPrefix(middle, d.nonce+"-")
	if !ok {
		return 0, false
	}
	middle, ok = strings.CutSuffix(middle, tempSuffix)
	if !ok {
		return 0, false
	}
	head, counter, ok := strings.Cut(middle, ".")
	if !ok || counter == "" || strings.Trim(counter, "0123456789") != "" {
		return 0, false
	}
	task, err := strconv.ParseUint(head, 10, 64)
	return task, err == nil
}

// splitKey cuts a key into the prefix of its directory ("" or ending in "/") and the name in it.
func splitKey(key string) (prefix, name string) {
	i := strings.LastIndexByte(key, '/')
	return key[:i+1], key[i+1:]
}
