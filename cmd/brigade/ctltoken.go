package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/fsm"
)

func newCtlToken(a *app, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and remove API tokens",
		Long: `A token file lets a person or a program talk to the cluster from anywhere, as far as its role goes:

  viewer    reads jobs, machines and settings
  operator  adds, steers and removes jobs, drains nodes, and reads the history as well
  admin     changes settings, makes and removes tokens, stops nodes, and has them leave as well

The cluster keeps a hash of each token. The token in a node's data directory has the role admin, and is not listed.`,
		Example: `  brigade ctl token add alice --role operator --expires 30d --out alice.token
  brigade ctl token list
  brigade ctl token rm alice`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newTokenAdd(a, f), newTokenList(a, f), newTokenRemove(a, f))
	return cmd
}

func newTokenAdd(a *app, f *clientFlags) *cobra.Command {
	var role, expires, out string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token; it is shown this once",
		Long: `Add makes a token and prints it, this once, or writes it to a new file that its owner alone can read. The file is all that
is needed elsewhere: brigade ctl --addr HOST:7460 --token-file FILE status. It names the authority of the cluster, so that the
token is shown to no other; a token made at a node that is on loopback without TLS does not.`,
		Example: `  brigade ctl token add alice --role operator --expires 30d --out alice.token
  brigade ctl token add grafana --role viewer > grafana.token`,
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := api.NewToken{Name: args[0], Role: fsm.Role(role)}
			if !wanted.Role.Valid() {
				return misuse(fmt.Errorf("flag --role: %q is not known; allowed: viewer, operator, admin", role))
			}
			lifetime, err := parseLifetime(expires)
			if err != nil {
				return misuse(fmt.Errorf("flag --expires: %w", err))
			}
			wanted.ExpiresIn = int64(lifetime / time.Second)
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.addToken(ctx, cmd, c, wanted, out)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	completeFlag(cmd, "role", oneOf(string(fsm.Viewer), string(fsm.Operator), string(fsm.Admin)))
	cmd.Flags().StringVar(&expires, "expires", "", "how long the token is valid: 30d, 12h, … (default: until it is removed)")
	cmd.Flags().StringVar(&out, "out", "", "new file to write the token to, mode 0600, instead of printing it")
	return cmd
}

// addToken makes a token and prints it.
func (a *app) addToken(ctx context.Context, cmd *cobra.Command, c *api.Client, wanted api.NewToken, out string) error {
	if out != "" {
		return a.addTokenFile(ctx, cmd, c, wanted, out)
	}
	made, err := c.AddToken(ctx, wanted)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(made)
	}
	_, err = fmt.Fprintln(a.out, made.Token)
	return err
}

// addTokenFile makes a token in a file. The file is made first: a token that cannot be kept would be of no use.
func (a *app) addTokenFile(ctx context.Context, cmd *cobra.Command, c *api.Client, wanted api.NewToken, out string) error {
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is left alone; give another name", out)
	}
	if err != nil {
		return fmt.Errorf("make token file: %w", err)
	}
	made, err := c.AddToken(ctx, wanted)
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(out))
	}
	_, err = io.WriteString(file, made.Token+"\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write token file: %w; remove the token with brigade ctl token rm %s", err, wanted.Name)
	}
	if wantsJSON(cmd) {
		return a.encode(struct {
			api.TokenInfo
			File string `json:"file"`
		}{made.TokenInfo, out})
	}
	_, err = fmt.Fprintf(a.out, "%s holds the token %s, %s, valid %s\n", out, made.Name, made.Role, validUntil(&made.TokenInfo))
	return err
}

func validUntil(t *api.TokenInfo) string {
	switch {
	case t.ExpiresAt == nil:
		return "until it is removed"
	case t.Expired:
		return "until " + t.ExpiresAt.Format(time.RFC3339) + ", expired"
	}
	return "until " + t.ExpiresAt.Format(time.RFC3339)
}

// parseLifetime reads 30d, 2w, or what time.ParseDuration does; "" is 0, which means for ever.
func parseLifetime(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if text == "" {
		return 0, nil
	}
	bad := fmt.Errorf("%q is not a time like 12h, 30d or 52w, of 1s to 5000w", text)
	d, err := time.ParseDuration(text)
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(text, suffix)
		if !ok {
			continue
		}
		n, nerr := strconv.Atoi(number)
		if nerr != nil || n < 1 || n > int(5000*7*day/unit) {
			return 0, bad
		}
		d, err = time.Duration(n)*unit, nil
	}
	if err != nil || d < time.Second || d > 5000*7*day {
		return 0, bad
	}
	return d, nil
}

func newTokenList(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens",
		Long: `List shows the tokens that were made with brigade ctl token add: name, role, when they were made, and until when they are valid.
The tokens themselves are kept by nobody but those they were made for.`,
		Example: "  brigade ctl token list",
		Args:    argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				list, err := c.Tokens(ctx)
				if err != nil {
					return err
				}
				if wantsJSON(cmd) {
					return a.encode(list)
				}
				if len(list.Tokens) == 0 {
					_, err := fmt.Fprintln(a.out, "there are no tokens but the nodes' own; brigade ctl token add makes one")
					return err
				}
				_, err = fmt.Fprintln(a.out, tokenTable(list.Tokens))
				return err
			})
		},
	}
}

func tokenTable(tokens []api.TokenInfo) string {
	g := grid{header: []string{"name", "role", "created", "valid"}, give: []int{1}}
	for i := range tokens {
		t := &tokens[i]
		g.add(t.Name, string(t.Role), t.CreatedAt.Format(time.DateOnly), validUntil(t))
	}
	return g.String()
}

func newTokenRemove(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME...",
		Short:             "Remove tokens; from then on they open nothing",
		Long:              `Rm removes tokens. A node that is cut off from the leader hears of it once it is back, and takes the token until then.`,
		ValidArgsFunction: a.completeTokens(f),
		Example:           "  brigade ctl token rm alice",
		Args:              argCount(1, maxIDs),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return each(names, func(name string) error {
					if err := c.RemoveToken(ctx, name); err != nil {
						return err
					}
					if wantsJSON(cmd) {
						return a.encode(map[string]string{"name": name})
					}
					_, err := fmt.Fprintf(a.out, "%s is removed\n", name)
					return err
				})
			})
		},
	}
}
