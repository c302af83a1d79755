package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/notify"
	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/servers"
)

// scene is a cluster of three that tells one receiver of everything.
type scene struct {
	*cluster
	mail *servers.Mail
	job  *job
	told map[notify.Kind]bool
}

// wants waits for the message of a kind, which has the words in it.
func (s *scene) wants(t *testing.T, kind notify.Kind, words ...string) servers.Envelope {
	t.Helper()
	e := waitMail(t, s.mail, string(kind), words...)
	s.told[kind] = true
	return e
}

// another is a job beside the first one, from the same files to a bucket of its own.
func (s *scene) another(t *testing.T, id string) *job {
	t.Helper()
	j := newJob(t)
	j.id, j.source, j.want = id, s.job.source, s.job.want
	return j
}

// bystander is a running node that does not lead.
func (s *scene) bystander(t *testing.T) *node {
	t.Helper()
	_, others := s.leader(t)
	return others[0]
}

// TestNoticesOfEveryKind makes everything happen that people are told of, and reads their mail.
func TestNoticesOfEveryKind(t *testing.T) {
	beside(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("file systems of a test's own need root")
		}
		t.Skip("file systems of a test's own need root")
	}
	s := &scene{cluster: newCluster(t, 3), mail: servers.StartMail(t), job: newJob(t), told: map[notify.Kind]bool{}}
	s.job.files(t, newRandom(t), 240)
	mountSmall(t, s.nodes[0].data)
	for _, n := range s.nodes {
		n.start(t)
	}
	s.waitWhole(t)
	s.sendBy(t, s.mail, "ops@test.local", "notify.stalled=10s", "notify.node_dead=5s", "notify.no_leader=5s")

	for _, part := range []struct {
		name string
		do   func(*scene, *testing.T)
	}{
		{"test", (*scene).test}, {"jobs that end", (*scene).jobsEnd}, {"jobs that pause", (*scene).jobsPause}, {"job that stalls", (*scene).jobStalls},
		{"nodes", (*scene).nodesComeAndGo}, {"disk", (*scene).diskFills}, {"leaders", (*scene).leadersChange},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.do(s, t) }) {
			return
		}
	}
	for _, kind := range notify.Kinds() {
		if !s.told[kind] {
			t.Errorf("no test has a message of kind %s delivered", kind)
		}
	}
	seen := map[string]bool{}
	for _, e := range s.mail.Kept(t) {
		id := e.Header(t, "Message-ID")
		once := id + " to " + strings.Join(e.To, ",")
		if seen[once] || id == "" {
			t.Errorf("a message arrived twice, or without an ID: %q", e.Header(t, "Subject"))
		}
		seen[once] = true
	}
}

func (s *scene) test(t *testing.T) {
	s.nodes[1].must(t, "ctl", "mail", "test")
	s.wants(t, notify.Test, "A test message")
}

func (s *scene) jobsEnd(t *testing.T) {
	s.job.add(t, s.nodes[0], 50)
	e := s.wants(t, notify.JobDone, "Job move is done")
	checkTotals(t, &e, s.job)

	key := slices.Min(keysOf(s.job))
	if err := os.WriteFile(filepath.Join(s.job.source, key), []byte("other content"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := s.job.telling(t, 50, "verify: checksum")
	text, err := os.ReadFile(check)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("id: move", "id: check", "type: copy", "type: verify").Replace(string(text))
	if err := os.WriteFile(check, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.nodes[1].must(t, "ctl", "add", check)
	s.wants(t, notify.Mismatch, "check")

	failing := s.another(t, "failing")
	failing.proxy.Add(refusing(func(key string) bool { return strings.HasSuffix(key, "7") }))
	failing.slow(time.Second) // long enough for somebody to look while it runs
	s.nodes[2].must(t, "ctl", "add", failing.telling(t, 20, "notify: {mail: [owner@test.local]}"))
	s.wants(t, notify.ErrorShare, "failing", "allowed: 5%")
	failed := s.wants(t, notify.JobFailed, "failing")
	for _, words := range []string{"24 ", "7: ", "cannot be stored", "InvalidRequest"} {
		if !strings.Contains(unfolded(&failed), words) {
			t.Errorf("the message of the failed job does not say %q:\n%s", words, failed.Message)
		}
	}
	eventually(t, mailLimit, "the job's own receiver is told too", func() bool {
		return slices.ContainsFunc(about(t, s.mail, string(notify.JobFailed), "failing"), func(e servers.Envelope) bool { return slices.Contains(e.To, "owner@test.local") })
	})
}

func keysOf(j *job) (keys []string) {
	for key := range j.want {
		keys = append(keys, key)
	}
	return keys
}

func (s *scene) jobsPause(t *testing.T) {
	many := s.another(t, "many")
	many.proxy.Add(refusing(func(string) bool { return true }))
	s.nodes[0].must(t, "ctl", "add", many.telling(t, 20, "max_failures: 10"))
	s.wants(t, notify.JobPaused, "many")

	locked := s.another(t, "locked")
	gateway := *locked.gateway
	gateway.SecretKey = "wrong-secret-wrong-secret"
	locked.gateway = &gateway
	s.nodes[0].must(t, "ctl", "add", "--yes", locked.jobFile(t, 20))
	s.wants(t, notify.CredentialRefused, "locked")
}

func (s *scene) jobStalls(t *testing.T) {
	stuck := s.another(t, "stuck")
	stuck.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 18 * time.Second}})
	stuck.add(t, s.nodes[0], 100)
	s.wants(t, notify.JobStalled, "stuck", "makes no progress")
	stuck.proxy.Clear()
	s.nodes[0].must(t, "ctl", "pause", stuck.id)
}

func (s *scene) nodesComeAndGo(t *testing.T) {
	guest := s.addNode(t)
	guest.start(t)
	guest.waitSaid(t, "node started")
	s.waitWhole(t)
	id := guest.id(t)[:12]
	s.wants(t, notify.NodeJoined, id)
	guest.must(t, "node", "leave")
	guest.waitExit(t, 0)
	s.wants(t, notify.NodeLeft, id)
	s.nodes = s.nodes[:3]

	away := s.bystander(t)
	id = away.id(t)[:12]
	away.kill(t)
	s.wants(t, notify.NodeDead, id, "does not answer")
	away.start(t)
	s.wants(t, notify.NodeBack, id, "is back")
	s.waitWhole(t)
}

func (s *scene) diskFills(t *testing.T) {
	full := s.nodes[0]
	filler := filepath.Join(full.data, "filler")
	if err := os.WriteFile(filler, make([]byte, diskLess), 0o600); err != nil {
		t.Fatal(err)
	}
	s.wants(t, notify.DiskLow, full.id(t)[:12])
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "there is room again, and all three vote", func() bool {
		m, ok := s.nodes[1].machines(t)
		voters := 0
		for _, n := range m.Nodes {
			if n.Role != "nonvoter" {
				voters++
			}
		}
		return ok && m.disk(full.id(t)) == "" && m.Leader != "" && voters == 3
	})
}

func (s *scene) leadersChange(t *testing.T) {
	leader, others := s.leader(t)
	leader.kill(t)
	eventually(t, startLimit, "another node leads", func() bool {
		m, ok := others[0].machines(t)
		return ok && m.Leader != "" && m.Leader != leader.id(t) && !m.Stale
	})
	next, _ := s.leader(t)
	s.wants(t, notify.LeaderChanged, fmt.Sprintf("Node %s leads now", next.id(t)[:12]))
	next.kill(t)
	s.wants(t, notify.NoLeader, "has no leader")
	leader.start(t)
	next.start(t)
	s.waitWhole(t)
}
