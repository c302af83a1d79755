package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
)

func newCtlKey(a *app, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Change the cluster key",
		Long:    "Key changes the secret that makes nodes a cluster, in steps, while nodes and jobs run.",
		Example: "  brigade ctl key rotate",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newKeyRotate(a, f))
	return cmd
}

// rotation is what the flags of key rotate ask for.
type rotation struct {
	steps   map[string]*bool
	without []string
}

func newKeyRotate(a *app, f *clientFlags) *cobra.Command {
	r := &rotation{steps: map[string]*bool{}}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Show where a change of the cluster key stands, or take its next step",
		Long: `Rotate without flags changes nothing: it shows which keys each node has, and what to do next. Keys are named by their IDs,
which give nothing away. A change goes in four steps, while nodes and jobs run; no node has to be started again:

  1. brigade keygen --add FILE, at one node, puts a new key into its key file beside the old one;
     copy FILE to all other nodes
  2. brigade ctl key rotate --switch: the new key is used, the old one accepted; credentials are sealed again
  3. brigade ctl key rotate --finish: the old key is not accepted any more
  4. brigade keygen --remove OLD-ID FILE, at each node

Each step is refused while a node is not ready for it, and says which one and what it lacks. --back instead of --finish goes
back to the old key. A node that is down is waited for, unless --without names it: then it needs the new key in its file
before it starts again.`,
		Example: `  brigade ctl key rotate
  brigade ctl key rotate --switch
  brigade ctl key rotate --finish --without 0f3a5c`,
		Args: argCount(0, 0),
	}
	for _, step := range []struct{ name, usage string }{
		{"switch", "use the new key, and accept the old one"},
		{"back", "use the old key again, and accept the new one"},
		{"finish", "accept the old key no more"},
	} {
		r.steps[step.name] = cmd.Flags().Bool(step.name, false, step.usage)
	}
	cmd.Flags().StringSliceVar(&r.without, "without", nil, "IDs of nodes that are down, not to wait for")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error { return a.rotateKey(ctx, cmd, c, r) })
	}
	return cmd
}

// step is the one that is asked for, "" for none.
func (r *rotation) step() (step string, err error) {
	for name, wanted := range r.steps {
		switch {
		case *wanted && step != "":
			return "", misuse(errors.New("flags --switch, --back and --finish: one step at a time"))
		case *wanted:
			step = name
		}
	}
	if step == "" && len(r.without) > 0 {
		return "", misuse(errors.New("flag --without: it goes with --switch or --finish"))
	}
	return step, nil
}

// rotateKey takes a step, if one is asked for, and shows where the change stands then.
func (a *app) rotateKey(ctx context.Context, cmd *cobra.Command, c *api.Client, r *rotation) error {
	step, err := r.step()
	if err != nil {
		return err
	}
	status, err := c.Key(ctx)
	if err == nil && step != "" {
		var without []string
		if without, err = nodesNamed(status, r.without); err != nil {
			return err
		}
		if status, err = c.StepKey(ctx, step, without); err == nil {
			status, err = a.awaitKey(ctx, c, status, without)
		}
	}
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(status)
	}
	_, err = fmt.Fprintln(a.out, keyText(status))
	return err
}

const (
	keySettles = 10 * time.Second // for nodes to hear of a step and credentials to be sealed again
	keyLook    = 200 * time.Millisecond
)

// awaitKey waits a while until all nodes that are there have followed a step.
func (a *app) awaitKey(ctx context.Context, c *api.Client, status *api.KeyStatus, without []string) (*api.KeyStatus, error) {
	over := time.NewTimer(keySettles)
	defer over.Stop()
	for status.Phase != api.KeyOffered && len(status.Waits) > len(without) {
		select {
		case <-time.After(keyLook):
		case <-over.C:
			return status, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		next, err := c.Key(ctx)
		if err != nil {
			return nil, err
		}
		status = next
	}
	return status, nil
}

// nodesNamed finds nodes by the start of their IDs.
func nodesNamed(status *api.KeyStatus, names []string) (ids []string, err error) {
	for _, name := range names {
		var found []string
		for _, n := range status.Nodes {
			if strings.HasPrefix(n.ID, name) {
				found = append(found, n.ID)
			}
		}
		if len(found) != 1 || name == "" {
			return nil, refused(fmt.Errorf("flag --without: %d nodes have an ID that starts with %q; brigade ctl key rotate lists them", len(found), name))
		}
		ids = append(ids, found[0])
	}
	return ids, nil
}

// keyText shows keys, nodes and what to do.
func keyText(d *api.KeyStatus) string {
	var lines []string
	lines = append(lines, "key in use:  "+d.Current)
	switch d.Phase {
	case api.KeyOffered:
		lines = append(lines, "new key:     "+d.Other+", not in use yet")
	case api.KeySwitched:
		lines = append(lines, "old key:     "+d.Other+", still accepted")
	}
	t := grid{header: []string{"node", "address", "state", "keys"}, give: []int{2, 4}, words: []int{4}}
	for _, n := range d.Nodes {
		t.add(clip(n.ID, keyNodeWidth), n.Address, n.State, keysHeld(d, n))
	}
	lines = append(lines, "", t.String(), "")
	if len(d.Waits) == 0 {
		return strings.Join(append(lines, "next: "+d.Next), "\n")
	}
	for _, wait := range d.Waits {
		lines = append(lines, "to do: "+wait)
	}
	return strings.Join(lines, "\n")
}

const keyNodeWidth = 12

func clip(s string, most int) string { return s[:min(len(s), most)] }

// keysHeld says in a few words what a node has.
func keysHeld(d *api.KeyStatus, n api.KeyNode) string {
	has := func(key string) bool { return slices.Contains(n.Accepts, key) }
	other := "new"
	if d.Phase == api.KeySwitched {
		other = "old"
	}
	var words []string
	switch {
	case n.Uses == "":
		return "unknown"
	case n.Uses != d.Current:
		words = append(words, "uses "+n.Uses)
	default:
		words = append(words, "in use")
	}
	if d.Phase == api.KeyOffered && n.Uses == d.Current && d.Other != "" && !has(d.Other) {
		words = append(words, "lacks the new one")
	}
	if d.Other != "" && has(d.Other) && n.Uses != d.Other {
		words = append(words, "has the "+other+" one")
	}
	if len(n.Leftover) > 0 {
		words = append(words, "file holds a replaced one")
	}
	if n.Problem != "" {
		words = append(words, "see below")
	}
	return strings.Join(words, ", ")
}
