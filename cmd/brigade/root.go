package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/conf"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "brigade",
		Short: "Move data between object stores and file systems, with proof that every object arrived",
		Long: `Brigade copies objects from one store to another, or to disks and back, and proves that each one arrived. Import does one job on
this machine, from start to end. Nodes, started on as many machines as you like, form a cluster that does jobs together: node
runs them, ctl adds and steers the jobs.

Exit codes: 0 done, 1 refused, 2 wrong usage, 3 some objects failed, 4 differences found, 130 interrupted.`,
		Example: `  brigade import ./photos s3://archive/photos/
  brigade import job.yaml
  brigade node start --cluster-key-file cluster.key --join 10.0.0.1
  brigade ctl add job.yaml && brigade ctl status --watch`,
		Version:                    versionOf(),
		SuggestionsMinimumDistance: 2,

		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().Bool("json", false, "print one JSON document instead of text")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misuse(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	root.SetVersionTemplate("brigade {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newImport(a), newNode(a), newCtl(a), newRaft(a), newKeygen(a), newVersion(a), newCompletion(a), newMan(a))
	return root
}

func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return misuse(fmt.Errorf("unknown command %q%s; see %s --help", args[0], hint, cmd.CommandPath()))
}

// argCount bounds the number of arguments, as misuse.
func argCount(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return misuse(fmt.Errorf("%s takes %s, not %d; see %s --help", cmd.Name(), arguments(least, most), n, cmd.CommandPath()))
		}
		return nil
	}
}

func arguments(least, most int) string {
	switch {
	case most == 0:
		return "no arguments"
	case least == most && most == 1:
		return "one argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// jobIDs is argCount for IDs of jobs, which go into paths.
func jobIDs(least, most int) cobra.PositionalArgs {
	count := argCount(least, most)
	return func(cmd *cobra.Command, args []string) error {
		if err := count(cmd, args); err != nil {
			return err
		}
		for _, id := range args {
			if err := checkID(id); err != nil {
				return err
			}
		}
		return nil
	}
}

// checkID refuses what no job can be called.
func checkID(id string) error {
	if conf.ValidID(id) {
		return nil
	}
	return misuse(fmt.Errorf("%q is not the ID of a job; allowed: 1 to 128 characters of a-z A-Z 0-9 . _ -", id))
}

// wantsJSON tells whether --json was given.
func wantsJSON(cmd *cobra.Command) bool {
	v, err := cmd.Flags().GetBool("json")
	return err == nil && v
}
