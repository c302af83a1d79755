package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

// maxCAFile bounds a file of certificates that is sent, in bytes; what a setting takes is less.
const maxCAFile = 64 << 10

// setFlags are the flags of ctl set: settings that the old tools had flags for.
type setFlags struct {
	maxJobs, maxTasks string
	from, to          string
}

func newCtlSet(a *app, f *clientFlags) *cobra.Command {
	s := &setFlags{}
	cmd := &cobra.Command{
		Use:   "set [KEY=VALUE...]",
		Short: "Change settings of the cluster while it runs; without any, list them",
		Long: `Set changes settings on all nodes at once. An empty value (KEY=) takes a setting back to its default. Without any it lists the
settings with their values, where these come from, and what they mean. To change them takes the role admin.

Secrets, which are mail.password, webhook.NAME.url and webhook.NAME.secret, do not belong on a command line: they are given as
KEY=env:NAME or KEY=file:PATH, or by KEY alone, which asks for them. They are kept sealed with the cluster key, and shown as ***.
mail.ca_file=PATH sends what is in the file.`,
		Example: `  brigade ctl set
  brigade ctl set max-worker-num=16 log.level=debug
  brigade ctl set --max-master-num 2
  brigade ctl set mail.from=brigade@example.com mail.user=brigade@example.com mail.to=ops@example.com mail.password
  brigade ctl set webhook.chat.kind=slack webhook.chat.url=file:/root/slack.url`,
		Args: argCount(0, maxIDs), ValidArgsFunction: a.completeSettings(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := a.settingsOf(cmd, s, args)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
				return a.set(ctx, cmd, c, change)
			})
		},
	}
	cmd.Flags().StringVar(&s.maxJobs, api.MaxJobs, "", "jobs that run at once")
	cmd.Flags().StringVar(&s.maxTasks, api.MaxTasks, "", "tasks that run at once on a node")
	cmd.Flags().StringVar(&s.from, "msg_from", "", "`ADDR:PASSWORD` of the sender of mail, for old scripts; others give mail.from, mail.user and mail.password")
	cmd.Flags().StringVar(&s.to, "msg_to", "", "`ADDR` of the receiver of mail, for old scripts; others give mail.to")
	return cmd
}

// settingsOf are the settings that a command line names. Errors hold no secret.
func (a *app) settingsOf(cmd *cobra.Command, s *setFlags, args []string) (map[string]string, error) {
	change := map[string]string{}
	var ask []string
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok && api.IsSecretSetting(key) {
			ask = append(ask, key)
			continue
		}
		if !ok || key == "" {
			return nil, misuse(fmt.Errorf("%q is not KEY=VALUE; see %s --help", arg, cmd.CommandPath()))
		}
		value, err := settingOf(key, value)
		if err != nil {
			return nil, err
		}
		change[key] = value
	}
	for flag, own := range map[string][2]string{
		api.MaxJobs: {api.MaxJobs, s.maxJobs}, api.MaxTasks: {api.MaxTasks, s.maxTasks}, "msg_to": {api.MailTo, s.to},
	} {
		if cmd.Flag(flag).Changed {
			change[own[0]] = own[1]
		}
	}
	if cmd.Flag("msg_from").Changed {
		a.oldSender(s.from, change)
	}
	if len(ask) == 0 {
		return change, nil
	}
	slices.Sort(ask)
	answers, err := a.askSecrets(slices.Compact(ask))
	for key, value := range answers {
		change[key] = value
	}
	return change, err
}

// settingOf is the value of a setting that is given on the command line.
func settingOf(key, value string) (string, error) {
	switch {
	case value == "":
		return "", nil
	case key == api.MailCA:
		return readCertificates(value)
	case !api.IsSecretSetting(key):
		return value, nil
	}
	ref, ok := conf.Reference(value)
	if !ok {
		return "", misuse(fmt.Errorf("%[1]s: a secret does not belong on the command line, where every user can read it; give %[1]s=env:NAME, %[1]s=file:PATH, or %[1]s alone to be asked for it", key))
	}
	secret, err := ref.Reveal()
	if err != nil {
		return "", misuse(fmt.Errorf("%s: %w", key, err))
	}
	return secret, nil
}

// readCertificates reads the file that is to be mail.ca_file.
func readCertificates(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", misuse(fmt.Errorf("%s: %w", api.MailCA, err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	if err == nil && len(text) > maxCAFile {
		err = errors.New("the file is too large for certificates")
	}
	if err != nil {
		return "", misuse(fmt.Errorf("%s: %w", api.MailCA, err))
	}
	return string(text), nil
}

// oldSender reads ADDR:PASSWORD as scripts of the old tools give it.
func (a *app) oldSender(text string, change map[string]string) {
	addr, password, ok := strings.Cut(text, ":")
	change[api.MailFrom] = addr
	if ok {
		fmt.Fprintln(a.err, "warning: --msg_from has a password on the command line, where every user of this machine can read it; better: mail.from=ADDR mail.user=ADDR mail.password=file:PATH")
		change[api.MailUser], change[api.MailPassword] = addr, password
	}
}

// set changes settings, if any, and prints what holds then.
func (a *app) set(ctx context.Context, cmd *cobra.Command, c *api.Client, change map[string]string) (err error) {
	var list *api.SettingList
	if len(change) == 0 {
		list, err = c.Settings(ctx)
	} else {
		list, err = c.Set(ctx, change)
	}
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return a.encode(list)
	}
	_, err = fmt.Fprintln(a.out, settingTable(list.Settings))
	return err
}

func settingTable(settings []api.Setting) string {
	g := grid{header: []string{"setting", "value", "origin", "meaning"}, give: []int{2, 4}, words: []int{4}}
	for _, s := range settings {
		value := s.Value
		if s.Name == api.MailCA && s.Origin == "set" {
			value = fmt.Sprintf("%d certificates", strings.Count(value, "-----BEGIN CERTIFICATE-----"))
		}
		g.add(s.Name, printable(value), s.Origin, s.Meaning)
	}
	return g.String()
}
