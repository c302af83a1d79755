package cluster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// refuse has the destination refuse some keys for good.
func (j *job) refuse(keys ...string) {
	j.proxy.Add(faults.Rule{
		Ops: []s3op.Operation{s3op.PutObject}, Match: func(key string) bool { return slices.Contains(keys, key) },
		Fault: faults.Fault{Status: http.StatusBadRequest, Code: "InvalidRequest"},
	})
}

// ends waits for the end of the job, however it ends.
func (j *job) ends(t *testing.T, at *node, within time.Duration) (d document) {
	t.Helper()
	eventually(t, within, "the job ends", func() bool {
		got, ok := j.status(t, at)
		d = got
		return ok && !got.Stale && (got.State == "succeeded" || got.State == "failed" || got.State == "paused")
	})
	return d
}

// spooled are the names of the segments that a node has.
func (n *node) spooled(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, path := range n.segments(t) {
		names[filepath.Base(path)] = true
	}
	return names
}

// reported is the outcome of each object, as a report in JSON lines tells.
func (j *job) reported(t *testing.T, at *node) map[string]string {
	t.Helper()
	got := map[string]string{}
	lines := bytes.Split(bytes.TrimSpace(at.must(t, "ctl", "report", j.id, "--json")), []byte("\n"))
	for i, line := range lines {
		var r struct {
			Key     string
			Outcome string
			Totals  *struct{ Job document }
			Records int
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("read report: %v: %s", err, line)
		}
		if last := i == len(lines)-1; last != (r.Totals != nil) {
			t.Fatalf("line %d of %d: %s", i+1, len(lines), line)
		} else if last && (r.Records != len(got) || r.Totals.Job.Objects["found"] != int64(len(got))) {
			t.Errorf("%d records, and the totals say %s", len(got), line)
			continue
		} else if last {
			continue
		}
		if got[r.Key] != "" {
			t.Errorf("%q has two records", r.Key)
		}
		got[r.Key] = r.Outcome
	}
	return got
}

// TestAnswersFromTheSecondCopy asks about objects while a node that holds their records is dead: the answers are whole. With
// one node left they are not, which is said, with the nodes that have the rest.
func TestAnswersFromTheSecondCopy(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 400)
	refused := []string{"d000/f00007", "d002/f00222", "d003/f00399"}
	j.refuse(refused...)
	c := startCluster(t, 3)
	j.add(t, c.nodes[0], 10)
	if d := j.ends(t, c.nodes[1], time.Minute); d.State != "failed" || d.Objects["copied"] != 397 || d.Objects["failed"] != 3 {
		t.Fatalf("the job ended as %+v", d)
	}
	want := map[string]string{}
	for key := range j.want {
		want[key] = "copied"
	}
	for _, key := range refused {
		want[key] = "failed"
	}
	check := func(at *node) {
		t.Helper()
		if got := j.reported(t, at); !maps.Equal(got, want) {
			t.Errorf("the report of %s has %d objects, or other outcomes", at.name, len(got))
		}
		keys := strings.Fields(string(at.must(t, "ctl", "errors", j.id, "--list")))
		if slices.Sort(keys); !slices.Equal(keys, refused) {
			t.Errorf("%s lists %q as failed", at.name, keys)
		}
		for key, says := range map[string]string{
			refused[1]: "settled: it failed", "d001/f00100": "settled: it was copied", "d001/g": "not-found: ",
		} {
			if out := string(at.must(t, "ctl", "why", j.id, key)); !strings.Contains(out, says) {
				t.Errorf("%s says of %s:\n%s", at.name, key, out)
			}
		}
	}
	for _, n := range c.nodes {
		check(n)
	}

	leader, others := c.leader(t)
	victim, witness := others[0], others[1]
	held, near, far := victim.spooled(t), witness.spooled(t), leader.spooled(t)
	remote := 0
	for name := range held {
		if !near[name] && far[name] {
			remote++
		}
	}
	t.Logf("%s has %d segments, %d of which are not on %s", victim.name, len(held), remote, witness.name)
	if remote == 0 {
		t.Fatal("no segment has its second copy elsewhere: the test shows nothing")
	}
	victim.kill(t)
	check(witness)
	check(leader)
	if after := witness.spooled(t); len(after) != len(near) {
		t.Errorf("%s had %d segments before it was asked, and has %d", witness.name, len(near), len(after))
	}

	leader.kill(t)
	for _, args := range [][]string{{"report", j.id, "--json"}, {"why", j.id, "d001/g"}} {
		_, err := witness.brigade(append([]string{"ctl"}, args...)...)
		if err == nil || !holdsAll(err.Error(), []string{"exit status 1", "this is not all: ", "records missing (node", leader.id(t)[:12]}) {
			t.Errorf("%v with one node left: %v", args, err)
		}
		t.Log(err)
	}
	victim.start(t)
	leader.start(t)
	c.waitWhole(t)
	check(witness)
}

// TestAddToFullBucket: objects in the bucket are told of before a job touches them. Only one node has credentials for it, in a
// file of its own; it is asked by the other one, which ctl talks to.
func TestAddToFullBucket(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 5)
	for _, key := range []string{"old/1", "old/2"} {
		in := &s3.PutObjectInput{Bucket: &j.bucket, Key: aws.String(key), Body: strings.NewReader("old")}
		if _, err := j.client.PutObject(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t, 2)
	profile := filepath.Join(c.dir, "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", j.gateway.AccessKey, j.gateway.SecretKey)
	path := filepath.Join(c.dir, "job.yaml")
	file := fmt.Sprintf("id: %s\nsource: {url: \"file://%s/\"}\ndestination: {url: \"s3://%s/?endpoint=%s&region=%s\"}\n",
		j.id, j.source, j.bucket, j.proxy.URL, j.gateway.Region)
	if err := errors.Join(os.WriteFile(profile, []byte(text), 0o600), os.WriteFile(path, []byte(file), 0o600)); err != nil {
		t.Fatal(err)
	}
	holder, asked := c.nodes[0], c.nodes[1]
	holder.wrap = []string{"env", "AWS_SHARED_CREDENTIALS_FILE=" + profile}
	holder.start(t)
	asked.start(t)
	c.waitWhole(t)
	_, err := asked.brigade("ctl", "add", path)
	t.Log(err)
	says := []string{"exit status 1", "move is not added: s3://" + j.bucket, "already holds 2 objects (6 B): old/1, old/2; --yes adds it all the same"}
	if err == nil || !holdsAll(err.Error(), says) {
		t.Fatalf("ctl add: %v", err)
	}
	if _, known := j.status(t, asked); known || j.proxy.Count(s3op.PutObject) != 0 {
		t.Errorf("the job is there all the same: %v, %d writes", known, j.proxy.Count(s3op.PutObject))
	}
	asked.must(t, "ctl", "add", path, "--yes")
	if d := j.ends(t, asked, time.Minute); d.State != "succeeded" || d.Objects["copied"] != 5 {
		t.Errorf("the job ended as %+v", d)
	}
	if out := string(asked.must(t, "ctl", "add", path)); !strings.Contains(out, "added before") {
		t.Errorf("the same again: %s", out)
	}
}
