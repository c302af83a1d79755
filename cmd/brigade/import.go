package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/conf"
)

const (
	maxConcurrency = 4096
	minMemory      = 8 << 20 // bytes
	maxMemory      = 1 << 40 // bytes
)

// importFlags are the flags of import.
type importFlags struct {
	id, kind, since, minSize, compare, verify string
	include, exclude, set                     []string
	concurrency                               int
	memory, stateDir                          string
	dryRun, restart, yes                      bool

	json        bool
	memoryBytes int64
}

// isList tells whether the flags ask for a list job.
func (f *importFlags) isList() bool { return f.kind == "list" }

func newImport(a *app) *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:   "import JOBFILE | SRC DST",
		Short: "Copy, verify or list everything below a place, to the end, with a report",
		Long: `Import runs one job on this machine: it copies all objects below SRC to DST (or verifies, or lists them),
checks what arrived, and prints a report. Interrupted at any time, the same command goes on where it stopped;
run again after it finished, it looks for what is new.

SRC and DST are paths or store URLs: /data/photos, s3://bucket/prefix?endpoint=http://host:port&region=eu-1.
SRC may also be a list of HTTP and HTTPS URLs, one a line: urllist:FILE.
Credentials come from the job file, from BRIGADE_SRC_ACCESS_KEY, BRIGADE_SRC_SECRET_KEY, BRIGADE_SRC_SESSION_TOKEN
and BRIGADE_DST_..., else from the provider's own default chain.

Exit codes: 0 done, 1 refused or paused, 2 wrong usage, 3 some objects failed, 4 differences found, 130 interrupted.`,
		Example: `  brigade import ./photos s3://archive/photos/
  brigade import s3://photos/2019/ /mnt/photos --include '*.jpg' --exclude 'tmp/**'
  brigade import job.yaml --set task.objects=500
  brigade import urllist:urls.txt s3://archive/web/
  brigade import ./photos s3://archive/photos/ --set filter.keys_from=keys.txt
  brigade import ./photos 'oss://archive/photos/?region=cn-hangzhou'
  brigade import --type verify ./photos s3://archive/photos/
  brigade import --type list s3://archive/`,
		Args: argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.json = wantsJSON(cmd)
			if err := a.harden(false); err != nil {
				return refused(err)
			}
			return a.runImport(cmd.Context(), f, args)
		},
	}
	f.register(cmd)
	return cmd
}

func (f *importFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.id, "id", "", "ID of the job (default: derived from type, SRC and DST)")
	fs.StringVar(&f.kind, "type", "", "copy, verify or list (default copy)")
	fs.StringArrayVar(&f.include, "include", nil, "only keys that match this pattern; may be repeated")
	fs.StringArrayVar(&f.exclude, "exclude", nil, "no keys that match this pattern; may be repeated")
	fs.StringVar(&f.since, "since", "", "only objects modified after this time (2024-01-31T12:00:00Z) or date")
	fs.StringVar(&f.minSize, "min-size", "", "only objects of at least this size (64KiB, 1GB)")
	fs.StringVar(&f.compare, "compare", "", "what counts as already there: default, always, missing, size, mtime, etag, checksum")
	fs.StringVar(&f.verify, "verify", "", "how arrival is proven: none, size, checksum (default checksum)")
	fs.IntVar(&f.concurrency, "concurrency", 64, "store requests in flight at most")
	fs.StringArrayVar(&f.set, "set", nil, "any key of a job file, as key=value; may be repeated")
	fs.StringVar(&f.stateDir, "state-dir", "", "where state is kept (default $XDG_STATE_HOME/brigade)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "list and compare only, tell what would be copied, write nothing")
	fs.BoolVar(&f.restart, "restart", false, "forget the job's state and start over")
	fs.BoolVar(&f.yes, "yes", false, "never ask")
	fs.StringVar(&f.memory, "memory", "96MiB", "bytes that all buffers hold together")
	completeFlag(cmd, "set", completeJobKeys)
	for _, key := range []string{"type", "compare", "verify"} {
		completeFlag(cmd, key, oneOf(conf.Words(key)...))
	}
	if err := fs.MarkHidden("memory"); err != nil {
		panic(err) // the flag was just defined
	}
}

// runImport takes an import from arguments to exit code.
func (a *app) runImport(ctx context.Context, f *importFlags, args []string) error {
	if err := f.validate(); err != nil {
		return err
	}
	if _, _, err := a.logLevel(); err != nil {
		return err
	}
	job, err := describe(args, f)
	if err != nil {
		return err
	}
	ends, err := a.locate(job)
	if err != nil {
		return err
	}
	if err := a.checkClassOf(ctx, job, ends); err != nil {
		return err
	}
	nameJob(job, ends)
	list, err := readList(ctx, job, ends)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.preview(ctx, f, job, ends)
	}
	paths, err := a.pathsOf(f.stateDir, job.ID)
	if err != nil {
		return err
	}
	im := &importer{app: a, flags: f, job: job, ends: ends, paths: paths, want: specOf(job, ends), list: list}
	return im.run(ctx)
}

// nameJob gives a job without an ID the default one.
func nameJob(job *conf.Job, ends sides) {
	if job.ID != "" {
		return
	}
	destination := ""
	if ends.destination != nil {
		destination = ends.destination.at.String()
	}
	job.ID = defaultID(job.Type, ends.source.at.String(), destination)
}
