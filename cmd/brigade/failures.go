package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer"
)

const (
	maxErrors  = 1000 // failed keys that the JSON document names; the files name all
	firstKeys  = 5    // keys that the report shows of a group
	maxReasons = 20   // groups that the report tells apart; the rest is summed up
)

// failureGroup is the failures of one class.
type failureGroup struct {
	class string
	count int64
	first []api.KeyError // at most firstKeys
}

// failures are what could not be done.
type failures struct {
	errors []api.KeyError  // at most maxErrors
	groups []*failureGroup // most frequent first
}

// failureFiles are the lists of failed keys on disk.
type failureFiles struct{ records, list string }

// remove deletes the lists of an earlier pass.
func (f failureFiles) remove() error {
	for _, name := range []string{f.records, f.list} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old list of failed keys: %w", err)
		}
	}
	return nil
}

// collectFailures reads the failed keys of a job, writes the lists beside its state, and sums them up.
func collectFailures(ctx context.Context, spool transfer.Spool, job *fsm.Job, dir string) (failures, failureFiles, error) {
	files := failureFiles{filepath.Join(dir, "failed.jsonl"), filepath.Join(dir, "failed.list")}
	if len(job.Failed) == 0 && len(job.LostRanges) == 0 {
		return failures{}, failureFiles{}, files.remove()
	}
	c := failureCollector{byClass: map[string]*failureGroup{}}
	err := writeFile(files.records, func(lines io.Writer) error {
		return writeFile(files.list, func(keys io.Writer) error {
			enc := json.NewEncoder(lines)
			enc.SetEscapeHTML(false)
			return records(ctx, spool, job.Failed, func(r *transfer.Record) error {
				c.add(api.NewKeyError(r.ExactKey(), r.Class, r.Reason))
				if err := enc.Encode(r); err != nil {
					return err
				}
				_, err := fmt.Fprintln(keys, transfer.EncodeKey(r.ExactKey()))
				return err
			})
		})
	})
	if err != nil {
		return failures{}, failureFiles{}, fmt.Errorf("list failed keys: %w", err)
	}
	for _, l := range job.LostRanges {
		c.add(api.NewKeyError(string(l.Task.From), l.Class, rangeReason(l)))
	}
	return c.sum(), files, nil
}

// rangeReason words why a range was given up.
func rangeReason(l fsm.LostRange) string {
	if l.Task.Kind == fsm.ListTask {
		return fmt.Sprintf("%d keys were given up: %s", l.Task.EndLine-l.Task.Line, l.Reason)
	}
	end := "the end"
	if l.Task.To != nil {
		end = printable(string(l.Task.To))
	}
	return fmt.Sprintf("the keys from here to %s were given up: %s", end, l.Reason)
}

type failureCollector struct {
	errors  []api.KeyError
	byClass map[string]*failureGroup
}

func (c *failureCollector) add(e api.KeyError) {
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, e)
	}
	g := c.byClass[e.Class]
	if g == nil {
		g = &failureGroup{class: e.Class}
		c.byClass[e.Class] = g
	}
	g.count++
	if len(g.first) < firstKeys {
		g.first = append(g.first, e)
	}
}

func (c *failureCollector) sum() failures {
	f := failures{errors: c.errors}
	for _, g := range c.byClass {
		f.groups = append(f.groups, g)
	}
	sort.Slice(f.groups, func(i, j int) bool {
		a, b := f.groups[i], f.groups[j]
		return a.count > b.count || a.count == b.count && a.class < b.class
	})
	return f
}

// writeFile writes a file whole or not at all.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error tells more
		}
	}()
	b := bufio.NewWriterSize(f, 64<<10)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
