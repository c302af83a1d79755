package conf

import "strings"

// Assign applies one key=value of the flag --set.
func (j *Job) Assign(assignment string) error {
	path, text, ok := strings.Cut(assignment, "=")
	at := position{origin: "flag --set"}
	if !ok || path == "" {
		return at.fail("", &problem{"an assignment has no \"=\"", "key=value, such as compare=size"})
	}
	return j.set(path, at, value{at: at, kind: scalar, text: text, flag: true})
}

// SetFlag gives a key the value of its own flag, such as --compare.
func (j *Job) SetFlag(flag, path, text string) error {
	at := position{origin: "flag --" + flag}
	return j.set(path, at, value{at: at, kind: scalar, text: text, flag: true})
}

// SetFlagList gives a key the values of a flag that may be repeated.
func (j *Job) SetFlagList(flag, path string, texts []string) error {
	at := position{origin: "flag --" + flag}
	v := value{at: at, kind: list}
	for _, text := range texts {
		v.items = append(v.items, value{at: at, kind: scalar, text: text, flag: true})
	}
	return j.set(path, at, v)
}

// Keys lists the keys of a job file that take a value, in the order of the documentation.
func Keys() (paths []string) {
	for _, k := range keys() {
		if k.set != nil && !k.later {
			paths = append(paths, k.path)
		}
	}
	return paths
}
