package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "brigade",
		Short: "Move data between object stores and file systems, with proof that every object arrived",
		Example: `  brigade import ./photos s3://archive/photos/
  brigade import job.yaml
  brigade import --help`,
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
	root.AddCommand(newImport(a), newNode(a), newCtl(a), newRaft(a), newKeygen(a), newVersion(a))
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

// wantsJSON tells whether --json was given.
func wantsJSON(cmd *cobra.Command) bool {
	v, err := cmd.Flags().GetBool("json")
	return err == nil && v
}
