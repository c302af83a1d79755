package cluster_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/servers"
)

// mailLimit bounds the time until a message is there: what happened is noticed within a second, and a receiver that failed is left
// alone for ten at first.
const mailLimit = time.Minute

// noticeStatus is what `ctl status --mail --json` prints.
type noticeStatus struct {
	Settings  []struct{ Name, Value, Origin string }
	Waiting   int
	Dropped   int
	Receivers []struct {
		Name, Problem string
		Cluster       bool
	}
}

// sendBy has a cluster send mail by a server, to a receiver of all notices or, where that is "", to those of jobs only.
func (c *cluster) sendBy(t *testing.T, m *servers.Mail, to string, more ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(m.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].must(t, append([]string{"ctl", "set",
		"mail.from=brigade@test.local", "mail.host=localhost", fmt.Sprintf("mail.port=%d", m.StartTLS), "mail.security=starttls",
		"mail.user=" + m.User, "mail.password=file:" + file, "mail.ca_file=" + m.CAFile, "mail.to=" + to, "notify.severity=info"}, more...)...)
}

// notices asks a node how people are told; false if it does not answer now.
func (n *node) notices(t *testing.T) (d noticeStatus, ok bool) {
	t.Helper()
	out, err := n.brigade("ctl", "status", "--mail", "--json")
	if err != nil {
		return d, false
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("read notices: %v: %s", err, out)
	}
	return d, true
}

// about are the messages of a kind that have some words in them.
func about(t *testing.T, m *servers.Mail, kind string, words ...string) (found []servers.Envelope) {
	t.Helper()
	for _, e := range m.Kept(t) {
		text := e.Header(t, "Subject") + "\n" + string(e.Message)
		if slices.Contains(strings.Split(e.Header(t, "X-Brigade-Kind"), ", "), kind) &&
			!slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			found = append(found, e)
		}
	}
	return found
}

// waitMail waits for a message of a kind that has some words in it.
func waitMail(t *testing.T, m *servers.Mail, kind string, words ...string) servers.Envelope {
	t.Helper()
	eventually(t, mailLimit, fmt.Sprintf("a message of kind %s with %q arrives", kind, words), func() bool {
		return len(about(t, m, kind, words...)) > 0
	})
	return about(t, m, kind, words...)[0]
}

// telling adds receivers of a job's own to its description.
func (j *job) telling(t *testing.T, objects int, more string) string {
	t.Helper()
	path := j.jobFile(t, objects)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(more + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// emptied waits until nobody is left to be told of anything.
func (c *cluster) emptied(t *testing.T) {
	t.Helper()
	eventually(t, mailLimit, "the outbox is empty", func() bool {
		for _, n := range c.nodes {
			if n.cmd != nil && n.running() {
				d, ok := n.notices(t)
				return ok && d.Waiting == 0
			}
		}
		return false
	})
}

// TestNoticesOutliveTheLeader kills the leader after the mail server took a message, and before the leader heard of that: the
// next one may send it again, under the same Message-ID.
func TestNoticesOutliveTheLeader(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 60)
	m := servers.StartMail(t)
	c := startCluster(t, 3)
	c.sendBy(t, m, "")
	leader, others := c.leader(t)
	others[0].must(t, "ctl", "add", j.telling(t, 20, "notify: {mail: [lost@test.local]}"))
	eventually(t, mailLimit, "the server has the message", func() bool { return len(m.Kept(t)) > 0 })
	leader.kill(t)
	eventually(t, mailLimit, "another leader empties the outbox", func() bool {
		d, ok := others[0].notices(t)
		machines, seen := others[0].machines(t)
		return ok && seen && d.Waiting == 0 && machines.Leader != "" && machines.Leader != leader.id(t)
	})
	kept := about(t, m, "job-done", "Job move is done")
	ids := map[string]int{}
	for _, e := range kept {
		ids[e.Header(t, "Message-ID")]++
		checkTotals(t, &e, j)
	}
	if n := len(kept); n < 1 || n > 2 || len(ids) != 1 {
		t.Errorf("%d messages with the IDs %v", n, slices.Collect(maps.Keys(ids)))
	}
	if all := m.Kept(t); len(all) != len(kept) {
		t.Errorf("%d messages arrived, %d of them of the job", len(all), len(kept))
	}
	t.Logf("%d messages under %d IDs", len(kept), len(ids))
}

// checkTotals wants the numbers of a job that ended well in a message.
func checkTotals(t *testing.T, e *servers.Envelope, j *job) {
	t.Helper()
	for _, words := range []string{fmt.Sprintf("%d objects", len(j.want)), j.id, "s3://" + j.bucket} {
		if !strings.Contains(unfolded(e), words) {
			t.Errorf("the message does not say %q:\n%s", words, e.Message)
		}
	}
	if !e.TLS || !e.Auth {
		t.Errorf("the message came with TLS %v and a login %v", e.TLS, e.Auth)
	}
}

// unfolded is a message without the line ends of quoted-printable.
func unfolded(e *servers.Envelope) string {
	return strings.ReplaceAll(strings.ReplaceAll(string(e.Message), "=\r\n", ""), "=3D", "=")
}

// TestNoticesOutliveTheMailServer has it away while jobs end.
func TestNoticesOutliveTheMailServer(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 40)
	m := servers.StartMail(t)
	c := startCluster(t, 3)
	m.Stop(t)
	c.sendBy(t, m, "ops@test.local", "notify.severity=critical")
	var ids []string
	for i := range 3 {
		one := *j
		one.id = fmt.Sprintf("while-away-%d", i)
		ids = append(ids, one.id)
		c.nodes[i].must(t, "ctl", "add", one.telling(t, 20, "notify: {mail: [ops@test.local]}"))
	}
	var first noticeStatus
	eventually(t, mailLimit, "the messages wait, and the problem shows", func() bool {
		d, ok := c.nodes[1].notices(t)
		first = d
		return ok && d.Waiting == len(ids) && len(d.Receivers) == 1 && strings.Contains(d.Receivers[0].Problem, "refused")
	})
	if first.Receivers[0].Name != "mail:ops@test.local" || !first.Receivers[0].Cluster || first.Dropped != 0 {
		t.Errorf("status %+v", first)
	}
	m.Start(t)
	for _, id := range ids {
		waitMail(t, m, "job-done", "Job "+id+" is done")
	}
	c.emptied(t)
	eventually(t, startLimit, "the problem is over", func() bool {
		d, ok := c.nodes[2].notices(t)
		return ok && d.Receivers[0].Problem == ""
	})
	if n := len(m.Kept(t)); n != len(ids) {
		t.Errorf("%d messages, want %d", n, len(ids))
	}
}

// TestNoticesWaitForTheSettings: what the settings are to blame for is not lost, and said.
func TestNoticesWaitForTheSettings(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 20)
	m := servers.StartMail(t)
	c := startCluster(t, 1)
	n := c.nodes[0]
	c.sendBy(t, m, "ops@test.local", "mail.ca_file=")
	j.add(t, n, 20)
	problem := func(words string) func() bool {
		return func() bool {
			d, ok := n.notices(t)
			return ok && d.Waiting > 0 && len(d.Receivers) == 1 && strings.Contains(d.Receivers[0].Problem, words)
		}
	}
	eventually(t, mailLimit, "the certificate is told to be unknown", problem("set mail.ca_file"))
	if _, err := n.brigade("ctl", "mail", "test"); err == nil || !strings.Contains(err.Error(), "1 of 1 test messages were not taken") {
		t.Errorf("a test by a server that is not trusted: %v", err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("hunter2-hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.must(t, "ctl", "set", "mail.ca_file="+m.CAFile, "mail.password=file:"+wrong)
	eventually(t, mailLimit, "the login is told to be refused", problem("check mail.user and mail.password"))
	c.sendBy(t, m, "ops@test.local")
	waitMail(t, m, "job-done", "Job move is done")
	if out := string(n.must(t, "ctl", "mail", "test")); !strings.Contains(out, "mail:ops@test.local: taken (localhost:") {
		t.Errorf("a test prints %q", out)
	}
	if _, err := n.brigade("ctl", "set", "mail.password=hunter2-hunter2"); err == nil || !strings.Contains(err.Error(), "mail.password=env:NAME") || strings.Count(err.Error(), "hunter2-") != 1 { // the command itself

		t.Errorf("a password on the command line: %v", err)
	}
}

// TestNoLeaderIsToldOnce takes the quorum from five nodes. At most one of those that are left tells people.
func TestNoLeaderIsToldOnce(t *testing.T) {
	beside(t)
	m := servers.StartMail(t)
	c := startCluster(t, 5)
	c.sendBy(t, m, "ops@test.local", "notify.severity=critical", "notify.no_leader=12s", "notify.node_dead=1h")
	for _, n := range c.nodes { // the settings have reached all of them
		eventually(t, startLimit, "every node knows the settings", func() bool {
			d, ok := n.notices(t)
			return ok && len(d.Receivers) == 1
		})
	}
	slices.SortFunc(c.nodes, func(a, b *node) int { return strings.Compare(a.id(t), b.id(t)) })
	for _, i := range []int{0, 2, 4} {
		c.nodes[i].kill(t)
	}
	lowest := c.nodes[1].id(t)
	e := waitMail(t, m, "no-leader", "The cluster has no leader")
	if text := unfolded(&e); !strings.Contains(text, lowest[:12]) || !strings.Contains(text, " of 5 nodes answer") {
		t.Errorf("the message:\n%s", text)
	}
	c.nodes[3].waitSilent(t, m, 15*time.Second)
	for _, i := range []int{0, 2, 4} {
		c.nodes[i].start(t)
	}
	c.waitWhole(t)
	if n := len(about(t, m, "no-leader")); n != 1 {
		t.Errorf("%d messages tell that there is no leader", n)
	}
}

// waitSilent waits a while in which no more mail may come: longer than another node would take to tell.
func (n *node) waitSilent(t *testing.T, m *servers.Mail, d time.Duration) {
	t.Helper()
	before, end := len(m.Kept(t)), time.Now().Add(d)
	eventually(t, 2*d, "the time is over", func() bool { return time.Now().After(end) })
	if after := len(m.Kept(t)); after != before {
		t.Errorf("%d messages more within %v", after-before, d)
	}
}
