package conf

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// MaxFile bounds a job file in bytes.
const MaxFile = 1 << 20

// ListPrefix starts the name of an uploaded list.
const ListPrefix = "segment:"

// MaxPriority is the highest priority of a job; the lowest is as far below zero.
const MaxPriority = 1000

// Job is the description of a job as written, with defaults filled in.
type Job struct {
	ID          string // "" where the file has none
	Type        string // copy, verify, list
	Source      Side
	Destination Side // URL "" for type list
	Filter      Filter
	Compare     string // default, always, missing, size, mtime, etag, checksum
	Verify      string // none, size, checksum
	Task        Task
	Preserve    Preserve
	Limits      Limits
	Archived    string // fail, skip, restore: what becomes of objects that must be restored before they are read
	Restore     Restore
	Notify      Notify
	List        string // where the cluster keeps the list that keys come from: ListPrefix and the name of a segment, or ""
	MaxFailures int64  // failed objects that pause the job; 0 means the default
	Priority    int    // jobs of a higher one get all that they can use first; -MaxPriority to MaxPriority

	written map[string]position // keys that were given, by dotted path
	start   position            // where keys that are missing are reported
}

// Side is a source or destination.
type Side struct {
	URL          string
	AccessKey    Secret
	SecretKey    Secret
	SessionToken Secret
}

// Filter selects objects.
type Filter struct {
	Include, Exclude []string
	Since            time.Time // zero: no limit
	MinSize          int64     // bytes
	KeysFrom         string    // file or URL of a list of keys; "": all keys
}

// Task bounds the units of work.
type Task struct {
	Objects int64
	Bytes   int64
}

// Preserve says what is kept besides the bytes.
type Preserve struct {
	Metadata     bool   // content headers and user metadata
	Tags         bool   // costs a request each object
	ACL          bool   // the same
	StorageClass string // keep, default, or a class by the destination's name for it
	Encryption   bool
	MTime        string // auto, always: when the modification time is recorded in metadata
	MD5          bool   // is recorded in metadata where it is known before the write
}

// Words that preserve.storage_class takes besides names of classes.
const (
	ClassKeep    = "keep"
	ClassDefault = "default"
)

// Restore says how archived objects are asked for.
type Restore struct {
	Days  int    // they can be read for
	Speed string // the source's own word, "" for its default
}

// Notify names who is told how the job goes, besides the cluster's own receivers.
type Notify struct {
	Mail []string // addresses without names
}

// Limits bound what a job takes of the network, on all nodes together.
type Limits struct {
	Bandwidth string // a rate or a timetable as ParseRates reads it; "" for no limit
}

// New returns a job with defaults only; origin names where what is missing should have been given.
func New(origin string) *Job {
	return &Job{
		Type: "copy", Compare: "default", Verify: "checksum",
		Task:     Task{Objects: 10_000, Bytes: 1_000_000_000},
		Preserve: Preserve{Metadata: true, StorageClass: ClassKeep, MTime: "auto"},
		Archived: "fail", Restore: Restore{Days: 3},
		written: map[string]position{},
		start:   position{origin: origin},
	}
}

// ReadFile reads a job file of at most MaxFile bytes. The job is not validated yet: flags may still change it.
func ReadFile(name string) (*Job, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open job file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open job file: %w", err)
	}
	if info.IsDir() {
		return nil, &Error{Origin: name, Problem: "is a directory, not a job file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read job file: %w", err)
	}
	return Parse(name, data)
}

// Parse reads a job file's content; name goes into errors.
func Parse(name string, data []byte) (*Job, error) {
	if len(data) > MaxFile {
		return nil, &Error{Origin: name, Problem: "is too large for a job file", Allowed: fmt.Sprintf("%d bytes", MaxFile)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if line := oldFormatLine(data); line > 0 {
		return nil, &Error{Origin: name, Line: line, Column: 1,
			Problem: "this looks like a job.cfg of ossimport or osstransfer (key=value), which is " + unsupported,
			Allowed: "a job file in YAML"}
	}
	root, err := readYAML(name, data)
	if err != nil {
		return nil, err
	}
	j := New(name)
	j.start = root.at
	if err := j.apply("", root); err != nil {
		return nil, err
	}
	return j, nil
}

// Written tells whether a key, by its dotted path, was given rather than filled in.
func (j *Job) Written(key string) bool {
	_, ok := j.written[key]
	return ok
}

// Fail returns an error about a key, placed where the key was written.
func (j *Job) Fail(key, what, allowed string) error {
	at, ok := j.written[key]
	if !ok {
		at = j.start
	}
	return at.fail(key, &problem{what, allowed})
}

// Validate checks what only shows once all keys are known: keys that are missing or do not go together.
func (j *Job) Validate() error {
	if j.Source.URL == "" {
		return j.Fail("source.url", "is missing", "a store URL such as s3://bucket/prefix, or a path")
	}
	if j.Type == "list" {
		for _, key := range []string{"destination.url", "compare", "verify", "archived", "restore.days", "restore.speed"} {
			if j.Written(key) {
				return j.Fail(key, "does not go with type list, which only reads the source", "")
			}
		}
		return nil
	}
	if j.Archived != "restore" {
		for _, key := range []string{"restore.days", "restore.speed"} {
			if j.Written(key) {
				return j.Fail(key, "stands without archived: restore", "")
			}
		}
	}
	if j.Destination.URL == "" {
		return j.Fail("destination.url", "is missing", "a store URL such as s3://bucket/prefix, or a path")
	}
	if err := j.credentialsOf("source", &j.Source); err != nil {
		return err
	}
	return j.credentialsOf("destination", &j.Destination)
}

func (j *Job) credentialsOf(side string, s *Side) error {
	if s.AccessKey.IsZero() != s.SecretKey.IsZero() {
		have, lacks := "access_key", "secret_key"
		if s.AccessKey.IsZero() {
			have, lacks = lacks, have
		}
		return j.Fail(side+"."+have, "stands without "+side+"."+lacks, "both, or neither")
	}
	if s.AccessKey.IsZero() && !s.SessionToken.IsZero() {
		return j.Fail(side+".session_token", "stands without "+side+".access_key", "all three, or none")
	}
	return nil
}
