package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

func newCtlLook(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "look JOB",
		Short: "Show a job's configuration, secrets masked",
		Long: `Look prints the configuration as a job file: *** stands for a secret that the cluster has, remarks tell what is at its
default and which side has no credentials of its own. With --json the same without remarks.`,
		Example: "  brigade ctl look photos\n  brigade ctl look photos --json",
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
				remarks, err := remarksOn(spec)
				if err != nil {
					return err
				}
				text, err := conf.FromJSON(spec, remarks)
				if err != nil {
					return fmt.Errorf("show job as YAML: %w", err)
				}
				_, err = a.out.Write(text)
				return err
			})
		},
	}
}

// remarksOn tells of values in a description that they are the defaults, and of sides whose credentials each node finds itself.
func remarksOn(doc json.RawMessage) (map[string]string, error) {
	initial, err := json.Marshal(describeSpec(specOf(conf.New(""), sides{source: &side{}})))
	if err != nil {
		return nil, fmt.Errorf("encode defaults: %w", err)
	}
	defaults, values, remarks := map[string]string{}, map[string]string{}, map[string]string{}
	flatten(defaults, "", initial)
	flatten(values, "", doc)
	for key, value := range values {
		if defaults[key] == value {
			remarks[key] = "the default"
		}
	}
	for _, name := range []string{"source", "destination"} {
		var url string
		if json.Unmarshal([]byte(values[name+".url"]), &url) != nil {
			continue
		}
		if _, own := values[name+"."+fieldAccessKey]; !own && !strings.HasPrefix(url, "file://") {
			remarks[name+".url"] = "no credentials of its own: each node looks for them where its provider does"
		}
	}
	return remarks, nil
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
