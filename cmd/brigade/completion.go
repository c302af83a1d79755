package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

// completionPatience bounds how long a key press waits for a node.
const completionPatience = time.Second

// shells are the shells that completion is written for.
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands in a shell: bash, zsh, fish or powershell",
		Long: `Completion prints a script that has a shell complete commands, flags, and what they take: job IDs, addresses of machines, names of
tokens and settings. For these it asks the node of this machine, or the one of --addr, for at most a second, and completes nothing
where none answers.`,
		Example: `  brigade completion bash > /etc/bash_completion.d/brigade
  brigade completion zsh > "${fpath[1]}/_brigade"
  brigade completion fish > ~/.config/fish/completions/brigade.fish
  brigade completion powershell >> $PROFILE`,
		Args:      argCount(1, 1),
		ValidArgs: shells(),
		RunE: func(cmd *cobra.Command, args []string) error {
			script, err := completionScript(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return a.encode(map[string]string{"shell": args[0], "script": script})
			}
			_, err = fmt.Fprint(a.out, script)
			return err
		},
	}
}

func completionScript(root *cobra.Command, shell string) (string, error) {
	var script bytes.Buffer
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(&script, true)
	case "zsh":
		err = root.GenZshCompletion(&script)
	case "fish":
		err = root.GenFishCompletion(&script, true)
	case "powershell":
		err = root.GenPowerShellCompletionWithDesc(&script)
	default:
		return "", misuse(fmt.Errorf("shell %q is not known; allowed: %s", shell, strings.Join(shells(), ", ")))
	}
	if err != nil {
		return "", fmt.Errorf("write completion: %w", err)
	}
	return script.String(), nil
}

// lookUp asks a node for words and their descriptions.
type lookUp func(ctx context.Context, c *api.Client) ([]cobra.Completion, error)

// ask completes with what a node says. Whatever goes wrong, a key press is no place to say so.
func (a *app) ask(cmd *cobra.Command, f *clientFlags, do lookUp) []cobra.Completion {
	c, err := a.client(f)
	if err != nil {
		return nil
	}
	defer c.Close()
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionPatience)
	defer cancel()
	words, err := do(ctx, c)
	if err != nil {
		return nil
	}
	return words
}

// completeJobs completes IDs of jobs, each once and as many as a command takes.
func (a *app) completeJobs(f *clientFlags, most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return beginning(word, without(a.ask(cmd, f, jobWords), given)), cobra.ShellCompDirectiveNoFileComp
	}
}

func jobWords(ctx context.Context, c *api.Client) (words []cobra.Completion, err error) {
	list, err := c.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list.Jobs {
		words = append(words, cobra.CompletionWithDesc(list.Jobs[i].ID, string(list.Jobs[i].State)))
	}
	return words, nil
}

// completeJobFlag completes a flag that names a job.
func (a *app) completeJobFlag(f *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return beginning(word, a.ask(cmd, f, jobWords)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMachines completes a flag that names a machine by its address.
func (a *app) completeMachines(f *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return beginning(word, a.ask(cmd, f, func(ctx context.Context, c *api.Client) (words []cobra.Completion, err error) {
			list, err := c.Machines(ctx)
			if err != nil {
				return nil, err
			}
			for _, m := range list.Nodes {
				words = append(words, cobra.CompletionWithDesc(m.Address, shortID(m.ID)+", "+m.State))
			}
			return words, nil
		})), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeTokens completes names of tokens.
func (a *app) completeTokens(f *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return beginning(word, without(a.ask(cmd, f, func(ctx context.Context, c *api.Client) (words []cobra.Completion, err error) {
			list, err := c.Tokens(ctx)
			if err != nil {
				return nil, err
			}
			for i := range list.Tokens {
				words = append(words, cobra.CompletionWithDesc(list.Tokens[i].Name, string(list.Tokens[i].Role)))
			}
			return words, nil
		}), given)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSettings completes KEY= of settings; a value is for the user to say.
func (a *app) completeSettings(f *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		if strings.Contains(word, "=") {
			return nil, directive
		}
		words := a.ask(cmd, f, func(ctx context.Context, c *api.Client) (words []cobra.Completion, err error) {
			list, err := c.Settings(ctx)
			if err != nil {
				return nil, err
			}
			for _, s := range list.Settings {
				words = append(words, cobra.CompletionWithDesc(s.Name+"=", s.Meaning))
			}
			return words, nil
		})
		taken := make([]string, len(given))
		for i, g := range given {
			key, _, _ := strings.Cut(g, "=")
			taken[i] = key + "="
		}
		return beginning(word, without(words, taken)), directive
	}
}

// completeWebhooks completes names of webhooks.
func (a *app) completeWebhooks(f *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return beginning(word, a.ask(cmd, f, func(ctx context.Context, c *api.Client) (words []cobra.Completion, err error) {
			list, err := c.Settings(ctx)
			if err != nil {
				return nil, err
			}
			for _, s := range list.Settings {
				if name, field, ok := api.WebhookOf(s.Name); ok && field == api.WebhookURL && s.Origin == "set" {
					words = append(words, name)
				}
			}
			return words, nil
		})), cobra.ShellCompDirectiveNoFileComp
	}
}

// beginning keeps the words that begin as the one that is typed.
func beginning(word string, words []cobra.Completion) []cobra.Completion {
	return slices.DeleteFunc(words, func(w cobra.Completion) bool { return !strings.HasPrefix(w, word) })
}

// without leaves out words that were given already.
func without(words []cobra.Completion, given []string) []cobra.Completion {
	return slices.DeleteFunc(words, func(w cobra.Completion) bool {
		word, _, _ := strings.Cut(w, "\t")
		return slices.Contains(given, word)
	})
}

// completeJobKeys completes the KEY= of --set, and the values of keys that take one of a few.
func completeJobKeys(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if key, _, ok := strings.Cut(word, "="); ok {
		var words []cobra.Completion
		for _, value := range conf.Words(key) {
			words = append(words, key+"="+value)
		}
		return beginning(word, words), cobra.ShellCompDirectiveNoFileComp
	}
	var words []cobra.Completion
	for _, key := range conf.Keys() {
		words = append(words, key+"=")
	}
	return beginning(word, words), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeFlag has a flag completed by a function. That the flag is there is certain where this is called.
func completeFlag(cmd *cobra.Command, name string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // the flag was just defined
	}
}

// oneOf completes a flag with one of a few words.
func oneOf(words ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return beginning(word, slices.Clone(words)), cobra.ShellCompDirectiveNoFileComp
	}
}
