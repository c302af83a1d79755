package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// describe makes a job's description of the arguments and flags: a job file, or two URLs. What --set says wins over the
// file, and a flag of its own over --set.
func describe(args []string, f *importFlags) (*conf.Job, error) {
	job, err := startOf(args, f.isList())
	if err != nil {
		return nil, misuse(err)
	}
	for _, assignment := range f.set {
		if err := job.Assign(assignment); err != nil {
			return nil, misuse(err)
		}
	}
	if err := applyFlags(job, f); err != nil {
		return nil, misuse(err)
	}
	if err := job.Validate(); err != nil {
		return nil, misuse(err)
	}
	return job, nil
}

// startOf reads the job file, or takes the URLs. One argument is a job file, unless a list job names a URL or directory.
func startOf(args []string, list bool) (*conf.Job, error) {
	if len(args) == 1 && (!list || !isPlace(args[0])) {
		if strings.Contains(args[0], "://") {
			return nil, fmt.Errorf("%s stands alone; a copy needs SRC and DST, a list --type list", args[0])
		}
		return conf.ReadFile(args[0])
	}
	job := conf.New("command line")
	job.Source.URL = args[0]
	if len(args) == 2 {
		job.Destination.URL = args[1]
	}
	return job, nil
}

// isPlace tells whether an argument is a URL or a directory, and so no job file.
func isPlace(arg string) bool {
	if strings.Contains(arg, "://") || strings.HasPrefix(arg, store.ListScheme+":") {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && info.IsDir()
}

// applyFlags gives the keys that have a flag of their own their values.
func applyFlags(job *conf.Job, f *importFlags) error {
	for _, s := range []struct{ flag, key, value string }{
		{"id", "id", f.id}, {"type", "type", f.kind}, {"since", "filter.since", f.since},
		{"min-size", "filter.min_size", f.minSize}, {"compare", "compare", f.compare}, {"verify", "verify", f.verify},
	} {
		if s.value == "" {
			continue
		}
		if err := job.SetFlag(s.flag, s.key, s.value); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		flag, key string
		values    []string
	}{{"include", "filter.include", f.include}, {"exclude", "filter.exclude", f.exclude}} {
		if len(l.values) == 0 {
			continue
		}
		if err := job.SetFlagList(l.flag, l.key, l.values); err != nil {
			return err
		}
	}
	return nil
}

// validate checks what flags carry besides keys of the job.
func (f *importFlags) validate() error {
	if f.concurrency < 1 || f.concurrency > maxConcurrency {
		return misuse(fmt.Errorf("flag --concurrency: %d is out of range; allowed: 1 to %d", f.concurrency, maxConcurrency))
	}
	memory, err := conf.ParseSize(f.memory)
	if err != nil || memory < minMemory {
		return misuse(fmt.Errorf("flag --memory: %q is not a size of %d bytes or more", f.memory, minMemory))
	}
	f.memoryBytes = memory
	return nil
}
