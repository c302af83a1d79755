package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manDate is the date that manual pages show: of the release, so that the same source makes the same pages.
const manDate = "2026-11-01"

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Hidden: true,
		Short: "Write the manual pages into a directory",
		Long: `Man writes a manual page for each command into a directory, which is made where it is missing: brigade.1, brigade-import.1 and so
on. Pages of that name that are there are replaced.`,
		Example: "  brigade man /usr/local/share/man/man1",
		Args:    argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pages, err := writeManPages(cmd.Root(), args[0])
			if err != nil {
				return refused(err)
			}
			if wantsJSON(cmd) {
				return a.encode(map[string]any{"directory": args[0], "pages": pages})
			}
			_, err = fmt.Fprintf(a.out, "%s written into %s\n", count(int64(len(pages)), "page", "pages"), args[0])
			return err
		},
	}
}

// writeManPages writes a page for each command that help shows, and returns their names.
func writeManPages(root *cobra.Command, dir string) (pages []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory for manual pages: %w", err)
	}
	date, err := time.Parse(time.DateOnly, manDate)
	if err != nil {
		return nil, err
	}
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Source: "Brigade " + release, Manual: "Brigade", Date: &date}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return nil, fmt.Errorf("write manual pages: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "brigade*.1"))
	if err != nil {
		return nil, fmt.Errorf("list manual pages: %w", err)
	}
	for _, name := range found {
		pages = append(pages, filepath.Base(name))
	}
	slices.Sort(pages)
	return pages, nil
}
