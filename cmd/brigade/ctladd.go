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
)

func newCtlAdd(a *app, f *clientFlags) *cobra.Command {
	var set []string
	var yes bool
	cmd := &cobra.Command{
		Use: "add JOBFILE...", Aliases: []string{"submit"},
		Short: "Add jobs to the cluster; they start at once",
		Long: `Add reads job files and hands the jobs to the cluster. References to secrets (env:NAME, file:PATH) are resolved here;
the cluster keeps credentials encrypted. Paths of file stores must be there on the nodes that are to do the work. A list of keys or URLs that
is named by a path is uploaded before the job is added; one that is named by a URL is read by the nodes.

Where objects stand under the destination of a copy already, add says how many, and asks before it goes on: those that the source
has as well, with other content, are overwritten. With --yes it does not ask; where nobody can be asked it is refused without.
The nodes look, with the job's credentials or their own. Verify and list jobs write nothing, and are added without a question.

A job file that was added already is left as it is; another one of the same ID is refused.

Exit codes: 0 added, or there already and the same; 1 refused, by the answer as well; 2 the job file is wrong.`,
		Example: `  brigade ctl add photos.yaml
  brigade ctl add photos.yaml --yes
  brigade ctl add photos.yaml --set id=photos-again --set compare=size`,
		Args: argCount(1, maxIDs),
		RunE: func(cmd *cobra.Command, files []string) error {
			var descriptions [][]byte
			var lists []*localList
			for _, file := range files {
				text, list, err := a.descriptionIn(cmd.Context(), file, set)
				if err != nil {
					return err
				}
				descriptions, lists = append(descriptions, text), append(lists, list)
			}
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				for i, text := range descriptions {
					if err := lists[i].keep(ctx, c.PutSegment); err != nil {
						return err
					}
					if err := a.add(ctx, cmd, c, text, yes); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask about objects that stand at the destination")
	cmd.Flags().StringArrayVar(&set, "set", nil, "any key of a job file, as key=value; may be repeated")
	completeFlag(cmd, "set", completeJobKeys)
	return cmd
}

// add submits one job, once nothing is in the way.
func (a *app) add(ctx context.Context, cmd *cobra.Command, c *api.Client, text []byte, yes bool) error {
	if !yes {
		p, err := c.Preview(ctx, text)
		if err != nil {
			return err
		}
		if p.Same {
			return a.addedBefore(cmd, p)
		}
		if err := a.agreeTo(p, a.interactive() && !wantsJSON(cmd)); err != nil {
			return err
		}
	}
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	id, err := c.Submit(ctx, text, nonce)
	var refusal *api.Problem
	if errors.As(err, &refusal) && refusal.Code() == api.CodeJobExists {
		if p, perr := c.Preview(ctx, text); perr == nil && p.Same {
			return a.addedBefore(cmd, p)
		}
	}
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(api.Created{ID: id})
	}
	_, err = fmt.Fprintf(a.out, "%s is added\n", id)
	return err
}

// addedBefore says that there is nothing to do.
func (a *app) addedBefore(cmd *cobra.Command, p *api.Preview) error {
	if wantsJSON(cmd) {
		return a.encode(api.Created{ID: p.ID})
	}
	_, err := fmt.Fprintf(a.out, "%s was added before, with the same description, and is %s; it is left as it is\n", p.ID, p.State)
	return err
}

// agreeTo asks about objects that stand at a job's destination, where there is somebody to ask. Its errors say what to do.
func (a *app) agreeTo(p *api.Preview, somebody bool) error {
	what := ""
	switch {
	case p.Exists || p.Destination == "" || p.Objects == 0 && p.Problem == "":
		return nil
	case p.Objects > 0:
		what = fmt.Sprintf("%s already holds %s", printable(p.Destination), standingObjects(p))
	default:
		what = fmt.Sprintf("what %s holds already could not be seen: %s", printable(p.Destination), printable(p.Problem))
	}
	if !somebody {
		return refused(fmt.Errorf("%s is not added: %s; --yes adds it all the same", p.ID, what))
	}
	if !a.confirm(what + ".\nObjects that the source has as well may be overwritten. Add " + p.ID + "?") {
		return refused(fmt.Errorf("%s is not added", p.ID))
	}
	return nil
}

// standingObjects counts and names what stands at a destination.
func standingObjects(p *api.Preview) string {
	least := ""
	if p.More {
		least = "at least "
	}
	names := make([]string, len(p.First))
	for i, k := range p.First {
		names[i] = printable(k.Exact())
	}
	if p.More || p.Objects > int64(len(names)) {
		names = append(names, "…")
	}
	return fmt.Sprintf("%s%s (%s): %s", least, count(p.Objects, "object", "objects"), bytesOf(p.Bytes), strings.Join(names, ", "))
}

// descriptionIn makes what a node understands of a job file: secrets resolved, paths absolute. A list that is a file of
// this machine is named by its content, and has to be uploaded before.
func (a *app) descriptionIn(ctx context.Context, file string, set []string) ([]byte, *localList, error) {
	job, err := conf.ReadFile(file)
	if err != nil {
		return nil, nil, misuse(err)
	}
	for _, assignment := range set {
		if err := job.Assign(assignment); err != nil {
			return nil, nil, misuse(err)
		}
	}
	if err := job.Validate(); err != nil {
		return nil, nil, misuse(err)
	}
	ends, err := a.locate(job)
	if err != nil {
		return nil, nil, err
	}
	list, err := readList(ctx, job, ends)
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(describeForNode(job, ends))
	if err != nil {
		return nil, nil, refused(fmt.Errorf("encode job: %w", err))
	}
	return text, list, nil
}
