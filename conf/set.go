package conf

import (
	"slices"
	"strings"
)

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

// CheckKey tells what is wrong with a key, by its dotted path, that the flag --set names: it is unknown, or not built yet.
func CheckKey(path string) error {
	at := position{origin: "flag --set"}
	all := keys()
	i := slices.IndexFunc(all, func(k key) bool { return k.path == path })
	switch {
	case i < 0:
		return at.fail(path, unknownKey(path, all))
	case all[i].later:
		return at.fail(path, &problem{"is " + unsupported, ""})
	}
	return nil
}

// IsSecret tells whether a key, by its dotted path, holds a secret.
func IsSecret(path string) bool {
	side, field, _ := strings.Cut(path, ".")
	return (side == "source" || side == "destination") && slices.Contains([]string{"access_key", "secret_key", "session_token"}, field)
}

// SetSecret gives a key that holds a secret the value that somebody typed when asked for it.
func (j *Job) SetSecret(path, text string) error {
	at := position{origin: "answer"}
	if !IsSecret(path) {
		return at.fail(path, &problem{"holds no secret", ""})
	}
	return j.set(path, at, value{at: at, kind: scalar, text: text})
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
