package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/transfer"
)

func newCtlLook(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "look JOB",
		Short: "Show a job's configuration, secrets masked",
		Long: `Look shows a job as a job file, with what was left out filled in. Credentials are masked: nothing shows them once a job is added.
With --json it is one document with the same keys.`,
		Example: "  brigade ctl look photos",
		Args:    jobIDs(1, 1), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				spec, err := c.Spec(ctx, args[0])
				if err != nil {
					return err
				}
				if wantsJSON(cmd) {
					return a.encode(spec)
				}
				text, err := conf.FromJSON(spec)
				if err != nil {
					return fmt.Errorf("show job as YAML: %w", err)
				}
				_, err = a.out.Write(text)
				return err
			})
		},
	}
}

const errorsAtOnce = 1000

func newCtlErrors(a *app, f *clientFlags) *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "errors JOB",
		Short: "List the objects that failed, with reasons",
		Long: `Errors lists the objects that a job failed to copy, or that a verify job found missing or different: the class of the failure,
the key and the reason, one a line. --list prints the keys alone, as a key list. With --json there is one document per object;
keys that are not UTF-8 stand in key_base64 as well.`,
		Example: `  brigade ctl errors photos
  brigade ctl errors photos --list > failed.keys`,
		Args: jobIDs(1, 1), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				for offset := int64(0); ; {
					page, err := c.Errors(ctx, args[0], offset, errorsAtOnce)
					if err != nil {
						return err
					}
					for i := range page.Errors {
						if err := a.printError(&page.Errors[i], wantsJSON(cmd), list); err != nil {
							return err
						}
					}
					if offset = page.Next; offset == 0 {
						return nil
					}
				}
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "print keys only, as a key list that a job can take")
	return cmd
}

func (a *app) printError(e *api.KeyError, asJSON, list bool) (err error) {
	key := e.Key
	if e.KeyBase64 != nil {
		key = string(e.KeyBase64)
	}
	switch {
	case asJSON:
		return a.encode(e)
	case list:
		_, err = fmt.Fprintln(a.out, transfer.EncodeKey(key))
	default:
		_, err = fmt.Fprintf(a.out, "%s  %s  %s\n", e.Class, printable(key), printable(e.Reason))
	}
	return err
}

// jobKind is the type of a job: copy, verify or list.
func jobKind(ctx context.Context, c *api.Client, id string) (string, error) {
	spec, err := c.Spec(ctx, id)
	if err != nil {
		return "", err
	}
	var d struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(spec, &d); err != nil {
		return "", fmt.Errorf("read the configuration of %s: %w", id, err)
	}
	return d.Type, nil
}
