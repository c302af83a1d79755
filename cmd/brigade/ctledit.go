package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

func newCtlEdit(a *app, f *clientFlags) *cobra.Command {
	var set []string
	var file string
	cmd := &cobra.Command{
		Use:   "edit JOB [--set KEY=VALUE... | -f FILE]",
		Short: "Change a job: in an editor, by keys, or from a file",
		Long: `Edit opens a job's configuration in VISUAL, EDITOR or vi, secrets masked. A secret left as *** stays as it is; in its place
a new one can stand, or env:NAME or file:PATH, which are resolved here. --set changes single keys (KEY= takes one back to its
default) and --set KEY of a secret asks for it; -f takes a whole job file. The ID never changes.

A running job takes limits, max_failures, priority and credentials over at once, on all nodes; for all else pause it first. A change of
what is copied (filter, compare, …) holds for what is not settled yet; ctl redo starts over. Source, destination and type can
be changed until the first pass, or after ctl redo --paused. A change of scheme, endpoint or bucket wants the secrets again.

Where a change is refused, or somebody else changed the job meanwhile, the text is kept in a file that is named.`,
		Example: `  brigade ctl edit photos
  brigade ctl edit photos --set limits.bandwidth=10M
  brigade ctl edit photos --set source.access_key=env:AK --set source.secret_key=file:/run/secrets/sk --set source.session_token
  brigade ctl edit photos -f photos.yaml`,
		Args: jobIDs(1, 1), ValidArgsFunction: a.completeJobs(f, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file != "" && len(set) > 0:
				return misuse(errors.New("--set and -f do not go together"))
			case file != "":
				return a.editFromFile(cmd, f, args[0], file)
			case len(set) > 0:
				return a.editKeys(cmd, f, args[0], set)
			}
			return a.editText(cmd, f, args[0])
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "a key of the job, as key=value; may be repeated")
	cmd.Flags().StringVarP(&file, "file", "f", "", "job file to take the place of the configuration")
	return cmd
}

// editAttempts is how often keys are set again since somebody else changed the job meanwhile.
const editAttempts = 5

// editKeys changes single keys of whatever description the job has.
func (a *app) editKeys(cmd *cobra.Command, f *clientFlags, id string, set []string) error {
	asked, err := a.askedFor(set)
	if err != nil {
		return err
	}
	return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
		for attempt := 1; ; attempt++ {
			before, revision, err := c.Description(ctx, id)
			if err != nil {
				return err
			}
			text, err := a.withKeys(before, set, asked)
			if err != nil {
				return err
			}
			done, err := c.Edit(ctx, id, revision, text)
			if isOutdated(err) && attempt < editAttempts {
				continue
			}
			if err != nil {
				return err
			}
			return a.printEdited(cmd, done)
		}
	})
}

// askedFor gives the secrets that are named without a value.
func (a *app) askedFor(set []string) (map[string]string, error) {
	var keys []string
	for _, key := range set {
		if strings.Contains(key, "=") {
			continue
		}
		if !conf.IsSecret(key) {
			return nil, misuse(fmt.Errorf("flag --set: %q has no value; allowed: key=value, such as compare=size, or the name alone of a secret, which is then asked for", key))
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return a.askSecrets(keys)
}

// withKeys is a description with some keys changed; one without a value goes back to its default.
func (a *app) withKeys(before json.RawMessage, set []string, asked map[string]string) ([]byte, error) {
	for _, assignment := range set {
		key, value, given := strings.Cut(assignment, "=")
		if !given || value != "" {
			continue
		}
		if err := conf.CheckKey(key); err != nil {
			return nil, misuse(err)
		}
		var err error
		if before, err = withoutKey(before, key); err != nil {
			return nil, err
		}
	}
	job, err := conf.Parse("the job", before)
	if err != nil {
		return nil, misuse(err)
	}
	for _, assignment := range set {
		_, value, given := strings.Cut(assignment, "=")
		switch {
		case !given:
			err = job.SetSecret(assignment, asked[assignment])
		case value != "":
			err = job.Assign(assignment)
		}
		if err != nil {
			return nil, misuse(err)
		}
	}
	return a.describeEdited(job, givenCredentials)
}

// withoutKey takes a key, by its dotted path, out of a JSON document.
func withoutKey(doc json.RawMessage, path string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc, &fields); err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	name, rest, nested := strings.Cut(path, ".")
	if inner, there := fields[name]; nested && there {
		inner, err := withoutKey(inner, rest)
		if err != nil {
			return nil, err
		}
		fields[name] = inner
	} else {
		delete(fields, name)
	}
	return json.Marshal(fields)
}

// editFromFile puts a job file in the place of a job's description.
func (a *app) editFromFile(cmd *cobra.Command, f *clientFlags, id, file string) error {
	job, err := conf.ReadFile(file)
	if err != nil {
		return misuse(err)
	}
	text, err := a.describeEdited(job, a.credentialsOf)
	if err != nil {
		return err
	}
	return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
		before, revision, err := c.Description(ctx, id)
		if err != nil {
			return err
		}
		if err := keepsCredentials(file, before, text); err != nil {
			return err
		}
		done, err := c.Edit(ctx, id, revision, text)
		if isOutdated(err) {
			return fmt.Errorf("%w; the file %s is as it was", err, file)
		}
		if err != nil {
			return err
		}
		return a.printEdited(cmd, done)
	})
}

// keepsCredentials refuses a file that says nothing of credentials which the job has: more likely than not they came
// from the environment, and nobody has them but the job.
func keepsCredentials(file string, before, now []byte) error {
	var was, is map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(before, &was), json.Unmarshal(now, &is)); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	for _, side := range []string{"source", "destination"} {
		var a, b struct {
			AccessKey string `json:"access_key"`
		}
		if was[side] == nil || is[side] == nil {
			continue
		}
		if err := errors.Join(json.Unmarshal(was[side], &a), json.Unmarshal(is[side], &b)); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		if a.AccessKey != "" && b.AccessKey == "" {
			return misuse(fmt.Errorf("%s: the job has credentials for the %s, the file and the environment have none; write %s.access_key and secret_key as %q to keep them, or take them out first with --set %s.access_key= --set %s.secret_key=",
				file, side, side, maskedSecret, side, side))
		}
	}
	return nil
}

// describeEdited makes what a node understands of an edited description.
func (a *app) describeEdited(job *conf.Job, credentials credentialSource) ([]byte, error) {
	if err := job.Validate(); err != nil {
		return nil, misuse(err)
	}
	ends, err := a.locateWith(job, credentials)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(describeForNode(job, ends))
	if err != nil {
		return nil, refused(fmt.Errorf("encode job: %w", err))
	}
	return text, nil
}

// givenCredentials resolves what a description says of a side, and nothing else: what it does not say is to be gone.
func givenCredentials(job *conf.Job, side string, s conf.Side, _ string) (store.Credentials, error) {
	return resolveCredentials(job, side, s)
}

func isOutdated(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Code() == api.CodeOutdated
}

// printEdited tells what changed, and what is left to do.
func (a *app) printEdited(cmd *cobra.Command, done *api.Edited) error {
	if wantsJSON(cmd) {
		return a.encode(done)
	}
	if len(done.Changed) == 0 {
		_, err := fmt.Fprintf(a.out, "%s is as it was: nothing changes\n", done.ID)
		return err
	}
	if _, err := fmt.Fprintf(a.out, "%s has changed: %s\n", done.ID, strings.Join(done.Changed, ", ")); err != nil {
		return err
	}
	var hints []string
	if done.State == fsm.Paused {
		hints = append(hints, "it is paused; brigade ctl continue "+done.ID+" lets it go on")
	}
	if done.Pass > 0 && reachesSettled(done.Changed) {
		hints = append(hints, "what is settled stays as it is; brigade ctl redo "+done.ID+" starts over")
	}
	for _, hint := range hints {
		if _, err := fmt.Fprintln(a.err, hint); err != nil {
			return err
		}
	}
	return nil
}

// reachesSettled tells whether a change would have led to another outcome for objects that are settled already.
func reachesSettled(keys []string) bool {
	for _, key := range keys {
		if !liveKey(key) && !strings.HasPrefix(key, "task.") {
			return true
		}
	}
	return false
}
