package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/api"
)

// TestCtlSetSecrets: a secret comes from a file or a variable, never from the command line, and shows nowhere.
func TestCtlSetSecrets(t *testing.T) {
	n := startNode(t)
	file := filepath.Join(n.dir, "secret")
	if err := os.WriteFile(file, []byte("hunter2-hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BRIGADE_TEST_HOOK", "https://hooks.example.com/hunter2-hunter2")
	for _, args := range [][]string{
		{"mail.password=hunter2-hunter2"}, {"webhook.chat.url=https://hooks.example.com/hunter2-hunter2"}, {"webhook.chat.secret=hunter2-hunter2"},
	} {
		_, said := n.run(codeMisuse, append([]string{"ctl", "set"}, args...)...)
		if strings.Contains(said, "hunter2") || !strings.Contains(said, "=env:NAME") || !strings.Contains(said, "=file:PATH") {
			t.Errorf("%v: %s", args[0][:10], said)
		}
	}
	if _, said := n.run(codeMisuse, "ctl", "set", "mail.password"); !strings.Contains(said, "no terminal to ask on") {
		t.Errorf("without a terminal: %s", said)
	}
	if _, said := n.run(codeMisuse, "ctl", "set", "mail.ca_file="+filepath.Join(n.dir, "none.pem")); !strings.Contains(said, "mail.ca_file: open") {
		t.Errorf("a file that is not there: %s", said)
	}
	out, _ := n.run(codeDone, "ctl", "set", "mail.password=file:"+file, "webhook.chat.url=env:BRIGADE_TEST_HOOK", "mail.from=b@163.com", "mail.to=ops@example.com")
	shown, _ := n.run(codeDone, "ctl", "status", "--mail")
	for _, text := range []string{out, shown} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "smtp.163.com") || !strings.Contains(text, "guessed") {
			t.Errorf("shown:\n%s", text)
		}
	}
	fits(t, "status --mail", shown)
	for _, words := range []string{"0 notices wait to be told, 0 were dropped", "mail:ops@example.com", "webhook:chat"} {
		if !strings.Contains(shown, words) {
			t.Errorf("status --mail does not say %q:\n%s", words, shown)
		}
	}
	if strings.Contains(n.log.String(), "hunter2") {
		t.Error("the node logs a secret")
	}
}

// TestCtlSetOldSender: --msg_from of old scripts works, with a warning that does not show the password.
func TestCtlSetOldSender(t *testing.T) {
	n := startNode(t)
	out, said := n.run(codeDone, "ctl", "set", "--msg_from=old@126.com:hunter2-hunter2", "--msg_to=ops@example.com", "--json")
	if !strings.Contains(said, "warning: --msg_from has a password") || strings.Contains(out+said, "hunter2") {
		t.Errorf("said %q\n%s", said, out)
	}
	var list api.SettingList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list.Settings {
		got[s.Name] = s.Value
	}
	for name, want := range map[string]string{
		api.MailFrom: "old@126.com", api.MailUser: "old@126.com", api.MailPassword: "***", api.MailTo: "ops@example.com", api.MailHost: "smtp.126.com", api.MailPort: "465",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}
