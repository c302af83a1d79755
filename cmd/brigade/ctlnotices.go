package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/api"
)

func newCtlMail(a *app, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Try the mail that the cluster sends",
		Long: `Mail tries what brigade ctl set mail.… has set. brigade ctl status --mail shows the settings, what waits to be sent, and what went
wrong last.`,
		Example: "  brigade ctl mail test",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "test [ADDR]",
		Short: "Send a test message to all receivers of mail, or to one address",
		Long: `Test has the node that leads send a message at once, and prints for each receiver what the mail server said. Without ADDR it goes to
all of mail.to. It takes the role admin.`,
		Example: "  brigade ctl mail test\n  brigade ctl mail test ops@example.com",
		Args:    argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var test api.NoticeTest
			if len(args) == 1 {
				test.To = args[0]
			}
			return a.testNotices(cmd, f, test)
		},
	})
	return cmd
}

func newCtlWebhook(a *app, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "webhook",
		Short:   "Try the webhooks that the cluster calls",
		Long:    `Webhook tries what brigade ctl set webhook.NAME.… has set.`,
		Example: "  brigade ctl webhook test chat",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "test NAME",
		Short:   "Send a test message to a webhook",
		Long:    `Test has the node that leads call the webhook at once, and prints what came of it. It takes the role admin.`,
		Example: "  brigade ctl webhook test chat",
		Args:    argCount(1, 1), ValidArgsFunction: a.completeWebhooks(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.testNotices(cmd, f, api.NoticeTest{Webhook: args[0]})
		},
	})
	return cmd
}

func (a *app) testNotices(cmd *cobra.Command, f *clientFlags, test api.NoticeTest) error {
	return a.withClient(cmd.Context(), f, func(ctx context.Context, c *api.Client) error {
		done, err := c.TestNotices(ctx, test)
		if err != nil {
			return err
		}
		failed := 0
		for _, r := range done.Results {
			if !r.OK {
				failed++
			}
		}
		if wantsJSON(cmd) {
			err = a.encode(done)
		} else {
			err = a.printTests(done.Results)
		}
		if err == nil && failed > 0 {
			return refused(fmt.Errorf("%d of %d test messages were not taken", failed, len(done.Results)))
		}
		return err
	})
}

func (a *app) printTests(results []api.NoticeTested) error {
	for _, r := range results {
		text := printable(r.Name) + ": taken"
		if !r.OK {
			text = printable(r.Name) + ": not taken: " + printable(r.Problem)
		}
		if r.Server != "" {
			text += " (" + printable(r.Server) + ")"
		}
		if _, err := fmt.Fprintln(a.out, text); err != nil {
			return err
		}
	}
	return nil
}

// noticesText shows how people are told.
func noticesText(d *api.NoticeStatus) string {
	var b strings.Builder
	b.WriteString(settingTable(d.Settings))
	fmt.Fprintf(&b, "\n\n%s\n", noticesLine(d))
	if len(d.Receivers) == 0 {
		b.WriteString("nobody is told: set mail.from and mail.to, or webhook.NAME.url")
		return b.String()
	}
	g := grid{header: []string{"receiver", "told of", "last problem"}, give: []int{3}, words: []int{3}}
	for _, r := range d.Receivers {
		about, problem := "the cluster", "none"
		if !r.Cluster {
			about = "a job"
		}
		if r.Problem != "" {
			problem = printable(r.Problem)
		}
		if r.ProblemAt != nil {
			problem = r.ProblemAt.Format(time.RFC3339) + " " + problem
		}
		g.add(printable(r.Name), about, problem)
	}
	b.WriteString(g.String())
	return b.String()
}

func noticesLine(d *api.NoticeStatus) string {
	return fmt.Sprintf("%s notices wait to be told, %s were dropped", humanize.Comma(int64(d.Waiting)), humanize.Comma(int64(d.Dropped)))
}
