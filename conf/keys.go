package conf

import (
	"encoding/hex"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// maxPatterns bounds all patterns of one filter list together, in bytes: they travel in one log entry.
const maxPatterns = 16 << 10

// key is one key of the format.
type key struct {
	path  string
	set   func(*Job, value) *problem // nil: a mapping
	later bool                       // part of the format, not built yet
}

// keys lists the format, parents before children.
func keys() []key {
	all := []key{
		{path: "id", set: setID},
		{path: "type", set: func(j *Job, v value) (bad *problem) {
			j.Type, bad = v.oneOf(Words("type"))
			return bad
		}},
	}
	all = append(all, sideKeys("source", func(j *Job) *Side { return &j.Source })...)
	all = append(all, sideKeys("destination", func(j *Job) *Side { return &j.Destination })...)
	all = append(all, filterKeys()...)
	return append(all, []key{
		{path: "compare", set: func(j *Job, v value) (bad *problem) {
			j.Compare, bad = v.oneOf(Words("compare"))
			return bad
		}},
		{path: "verify", set: func(j *Job, v value) (bad *problem) {
			j.Verify, bad = v.oneOf(Words("verify"), "reread", "sample")
			return bad
		}},
		{path: "task"},
		{path: "task.objects", set: func(j *Job, v value) (bad *problem) {
			j.Task.Objects, bad = v.count(1, 10_000_000)
			return bad
		}},
		{path: "task.bytes", set: func(j *Job, v value) (bad *problem) {
			j.Task.Bytes, bad = v.size(1)
			return bad
		}},
		{path: "preserve"},
		truth("preserve.metadata", func(j *Job) *bool { return &j.Preserve.Metadata }),
		truth("preserve.tags", func(j *Job) *bool { return &j.Preserve.Tags }),
		truth("preserve.acl", func(j *Job) *bool { return &j.Preserve.ACL }),
		{path: "preserve.storage_class", set: setClass},
		truth("preserve.encryption", func(j *Job) *bool { return &j.Preserve.Encryption }),
		{path: "preserve.mtime", set: func(j *Job, v value) (bad *problem) {
			j.Preserve.MTime, bad = v.oneOf(Words("preserve.mtime"))
			return bad
		}},
		truth("preserve.md5", func(j *Job) *bool { return &j.Preserve.MD5 }),
		{path: "archived", set: func(j *Job, v value) (bad *problem) {
			j.Archived, bad = v.oneOf(Words("archived"))
			return bad
		}},
		{path: "restore"},
		{path: "restore.days", set: func(j *Job, v value) *problem {
			n, bad := v.count(1, 365)
			j.Restore.Days = int(n)
			return bad
		}},
		{path: "restore.speed", set: setSpeed},
		{path: "max_failures", set: func(j *Job, v value) (bad *problem) {
			j.MaxFailures, bad = v.count(1, 1<<53)
			return bad
		}},
		{path: "schedule", later: true}, {path: "schedule.every", later: true},
		{path: "delete", later: true}, {path: "delete.mode", later: true}, {path: "delete.max", later: true},
		{path: "limits"},
		{path: "limits.bandwidth", set: func(j *Job, v value) (bad *problem) {
			j.Limits.Bandwidth, bad = v.rates()
			return bad
		}},
		{path: "limits.requests", later: true},
		{path: "list", set: setList},
		{path: "notify"},
		{path: "notify.mail", set: func(j *Job, v value) *problem { return setAddresses(&j.Notify.Mail, v) }},
		{path: "priority", set: func(j *Job, v value) *problem {
			n, bad := v.count(-MaxPriority, MaxPriority)
			j.Priority = int(n)
			return bad
		}},
	}...)
}

// Words lists what a key may be that takes one of a few words; nil for all others.
func Words(path string) []string {
	switch path {
	case "type":
		return []string{"copy", "verify", "list"}
	case "compare":
		return []string{"default", "always", "missing", "size", "mtime", "etag", "checksum"}
	case "verify":
		return []string{"none", "size", "checksum"}
	case "preserve.mtime":
		return []string{"auto", "always"}
	case "archived":
		return []string{"fail", "skip", "restore"}
	}
	return nil
}

func sideKeys(name string, side func(*Job) *Side) []key {
	secret := func(field string, at func(*Side) *Secret) key {
		return key{path: name + "." + field, set: func(j *Job, v value) *problem { return setSecret(at(side(j)), v) }}
	}
	return []key{
		{path: name},
		{path: name + ".url", set: func(j *Job, v value) (bad *problem) {
			side(j).URL, bad = v.scalar("a store URL such as s3://bucket/prefix, or a path")
			return bad
		}},
		secret("access_key", func(s *Side) *Secret { return &s.AccessKey }),
		secret("secret_key", func(s *Side) *Secret { return &s.SecretKey }),
		secret("session_token", func(s *Side) *Secret { return &s.SessionToken }),
	}
}

func filterKeys() []key {
	return []key{
		{path: "filter"},
		{path: "filter.include", set: func(j *Job, v value) *problem { return setPatterns(&j.Filter.Include, v) }},
		{path: "filter.exclude", set: func(j *Job, v value) *problem { return setPatterns(&j.Filter.Exclude, v) }},
		{path: "filter.since", set: func(j *Job, v value) (bad *problem) {
			j.Filter.Since, bad = v.time()
			return bad
		}},
		{path: "filter.min_size", set: func(j *Job, v value) (bad *problem) {
			j.Filter.MinSize, bad = v.size(0)
			return bad
		}},
		{path: "filter.keys_from", set: func(j *Job, v value) (bad *problem) {
			j.Filter.KeysFrom, bad = v.scalar("a file of keys, or its URL")
			return bad
		}},
	}
}

// ValidID tells whether an ID keeps the rule: 1 to 128 of a-z A-Z 0-9 . _ -. "." and ".." would name no directory.
func ValidID(id string) bool {
	return regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`).MatchString(id) && id != "." && id != ".."
}

func setID(j *Job, v value) *problem {
	const allowed = "1 to 128 characters of a-z A-Z 0-9 . _ -"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return bad
	}
	if !ValidID(text) {
		return &problem{fmt.Sprintf("%q is not an ID", text), allowed}
	}
	j.ID = text
	return nil
}

func setList(j *Job, v value) *problem {
	const allowed = "segment: and 64 hexadecimal digits, as ctl add fills them in"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return bad
	}
	digits, ok := strings.CutPrefix(text, ListPrefix)
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != 32 {
		return &problem{fmt.Sprintf("%q names no list that was uploaded", text), allowed}
	}
	j.List = text
	return nil
}

func setSecret(s *Secret, v value) *problem {
	const allowed = "the value itself, env:NAME or file:PATH"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return bad
	}
	got := Secret{ref: text}
	switch {
	case text == "env:" || text == "file:":
		return &problem{"names nothing after " + text, allowed}
	case v.flag && !got.reference():
		return &problem{"a secret does not belong on the command line, where every user can read it", "env:NAME or file:PATH"}
	}
	*s = got
	return nil
}

func setPatterns(to *[]string, v value) *problem {
	const allowed = `patterns such as "*.jpg", "2024/**", "{a,b}/*.txt"`
	patterns, bad := v.patterns()
	if bad != nil {
		return bad
	}
	total := 0
	for _, p := range patterns {
		if p == "" || !doublestar.ValidatePattern(p) {
			return &problem{fmt.Sprintf("malformed pattern %q", p), allowed}
		}
		total += len(p)
	}
	if total > maxPatterns {
		return &problem{"the patterns are too long", fmt.Sprintf("%d bytes together", maxPatterns)}
	}
	*to = patterns
	return nil
}

// Bounds of the addresses of one job.
const (
	maxAddresses = 20
	maxAddress   = 250 // bytes
)

func setAddresses(to *[]string, v value) *problem {
	const allowed = "a list of mail addresses, such as [ops@example.com]"
	texts, bad := v.patterns()
	if bad != nil {
		return &problem{bad.what, allowed}
	}
	var all []string
	for _, text := range texts {
		if text == "" && len(texts) == 1 {
			break // nobody any more
		}
		a, err := mail.ParseAddress(text)
		if err != nil || len(a.Address) > maxAddress || strings.ContainsAny(text, "\r\n") {
			return &problem{fmt.Sprintf("%.100q is no mail address", text), allowed}
		}
		if !slices.Contains(all, a.Address) {
			all = append(all, a.Address)
		}
	}
	if len(all) > maxAddresses {
		return &problem{fmt.Sprintf("has %d addresses", len(all)), fmt.Sprintf("%d addresses", maxAddresses)}
	}
	*to = all
	return nil
}

// truth is a key that is true or false.
func truth(path string, at func(*Job) *bool) key {
	return key{path: path, set: func(j *Job, v value) (bad *problem) {
		*at(j), bad = v.boolean()
		return bad
	}}
}

// className is what vendors' names of storage classes and speeds of restoring look like.
var className = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func setClass(j *Job, v value) *problem {
	const allowed = "keep, default, or a storage class as the destination names it, such as STANDARD_IA"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return bad
	}
	if !className.MatchString(text) {
		return &problem{fmt.Sprintf("%q is no storage class", text), allowed}
	}
	if lower := strings.ToLower(text); lower == ClassKeep || lower == ClassDefault {
		text = lower
	}
	j.Preserve.StorageClass = text
	return nil
}

func setSpeed(j *Job, v value) *problem {
	const allowed = "a speed as the source names it, such as Standard, Bulk or Expedited"
	text, bad := v.scalar(allowed)
	if bad != nil {
		return bad
	}
	if text != "" && !className.MatchString(text) {
		return &problem{fmt.Sprintf("%q is no speed of restoring", text), allowed}
	}
	j.Restore.Speed = text
	return nil
}

// apply sets all fields of a mapping.
func (j *Job) apply(parent string, m value) error {
	seen := map[string]bool{}
	for _, f := range m.fields {
		path := f.name
		if parent != "" {
			path = parent + "." + f.name
		}
		if seen[path] {
			return f.at.fail(path, &problem{"is given twice", ""})
		}
		seen[path] = true
		if err := j.set(path, f.at, f.val); err != nil {
			return err
		}
	}
	return nil
}

// set gives one key its value; a mapping's value sets the keys in it.
func (j *Job) set(path string, at position, v value) error {
	all := keys()
	i := slices.IndexFunc(all, func(k key) bool { return k.path == path })
	switch {
	case i < 0:
		return at.fail(path, unknownKey(path, all))
	case all[i].later:
		return at.fail(path, &problem{"is " + unsupported, ""})
	case all[i].set != nil:
		if bad := all[i].set(j, v); bad != nil {
			return at.fail(path, bad)
		}
		j.written[path] = at
		return nil
	case v.kind == null:
		return nil
	case v.kind != mapping:
		return at.fail(path, &problem{"is " + v.kind.String() + ", a mapping is wanted", strings.Join(children(path, all), ", ")})
	}
	return j.apply(path, v)
}

// children lists the names of the keys in a mapping that this version knows.
func children(parent string, all []key) []string {
	var names []string
	for _, k := range all {
		dir, name, nested := cutLast(k.path)
		if !k.later && (nested && dir == parent || !nested && parent == "") {
			names = append(names, name)
		}
	}
	return names
}

func cutLast(path string) (dir, name string, nested bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// unknownKey suggests the nearest key of the same mapping, else a key of that name elsewhere.
func unknownKey(path string, all []key) *problem {
	dir, name, _ := cutLast(path)
	siblings := children(dir, all)
	hint := didYouMean(name, siblings)
	if hint == "" {
		var paths, names []string
		for _, k := range all {
			_, last, _ := cutLast(k.path)
			if last == name {
				paths = append(paths, k.path)
			}
			names = append(names, k.path)
		}
		if hint = didYouMean(path, names); len(paths) > 0 {
			hint = fmt.Sprintf(", did you mean %q?", paths[0])
		}
	}
	return &problem{"unknown key" + hint, strings.Join(siblings, ", ")}
}
