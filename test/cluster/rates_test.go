package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// client speaks to a node as its machine's user does.
func (n *node) client(t *testing.T) *api.Client {
	t.Helper()
	token, err := api.LocalToken(n.data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.NewClient(fmt.Sprintf("http://127.0.0.1:%d", n.http), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// passed adds up what a series says was moved.
func passed(rates []api.RatePoint) (bytes, objects float64) {
	for _, p := range rates {
		bytes += p.BytesPerSecond * p.Seconds
		objects += p.ObjectsPerSecond * p.Seconds
	}
	return math.Round(bytes), math.Round(objects)
}

// TestRatesAddUp: what all nodes remember of a job is what the job says was moved, whichever node is asked and in whatever
// steps. A node that is away is named, and what it moved is there again after its restart.
func TestRatesAddUp(t *testing.T) {
	beside(t)
	j := newJob(t)
	random := newRandom(t)
	j.files(t, random, 500)
	j.file(t, random, "large", 90<<20)
	c := startCluster(t, 3)
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 600 * time.Millisecond}})
	j.add(t, c.nodes[0], 10)
	d := j.succeed(t, c.nodes[0], 2*time.Minute)

	var last *api.JobRates
	adds := func(at *node, step time.Duration) bool {
		r, err := at.client(t).JobRates(t.Context(), j.id, time.Time{}, step)
		if err != nil {
			return false
		}
		last = r
		bytes, objects := passed(r.Rates)
		return bytes == float64(d.Bytes["moved"]) && objects == float64(d.Objects["found"]) && len(r.Missing) == 0
	}
	for _, n := range c.nodes {
		for _, step := range []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute} {
			eventually(t, 10*time.Second, fmt.Sprintf("%s tells what was moved in steps of %s", n.name, step), func() bool { return adds(n, step) })
		}
	}
	t.Logf("%d bytes, %d objects in %d steps of %d s", d.Bytes["moved"], d.Objects["found"], len(last.Rates), last.StepSeconds)

	ends, err := c.nodes[1].client(t).Rates(t.Context(), "", time.Time{}, 0)
	if err != nil || len(ends.Endpoints) != 2 {
		t.Fatalf("%+v, %v", ends, err)
	}
	for _, e := range ends.Endpoints {
		if bytes, _ := passed(e.Rates); strings.HasPrefix(e.Endpoint, "s3://"+j.bucket) != (bytes == float64(d.Bytes["moved"])) {
			t.Errorf("%s was sent %v bytes", e.Endpoint, bytes)
		}
	}

	text := string(c.nodes[0].must(t, "ctl", "status", "--jobID="+j.id))
	if row := regexp.MustCompile(`(?m)^history +\S{1,69}\n +min .*, max .*, now .*; 10s a column$`); !row.MatchString(text) {
		t.Errorf("the status has no history:\n%s", text)
	}
	if doc := string(c.nodes[0].must(t, "ctl", "status", "--jobID="+j.id, "--json")); strings.Contains(doc, "rates") {
		t.Errorf("the document has the series: %s", doc)
	}

	_, others := c.leader(t)
	away, witness := others[0], others[1]
	id := away.id(t)
	away.stop(t)
	eventually(t, 20*time.Second, "the node that is away is named", func() bool {
		r, err := witness.client(t).JobRates(t.Context(), j.id, time.Time{}, 0)
		return err == nil && len(r.Missing) == 1 && r.Missing[0].ID == id
	})
	away.start(t)
	c.waitWhole(t)
	eventually(t, 20*time.Second, "what it moved is there again", func() bool { return adds(witness, 0) })
}

// logLine is one line of a log as JSON.
type logLine map[string]any

func (l logLine) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := l[k]; !ok {
			return false
		}
	}
	return true
}

// oneTask is what a line says that is about one task or object.
var oneTask = regexp.MustCompile(`\b([Tt]ask|[Oo]bject|[Pp]art)\b`)

// lines reads a log in JSON; everything in it must be a line of that.
func lines(t *testing.T, name string) (all []logLine) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var l logLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		all = append(all, l)
	}
	return all
}

// TestLogsTellWhatHappened runs a job with failures and a node killed in the middle of it, and reads what the nodes logged: each
// thing that happened has its line, each line about a task or an object names job and task, and none has a secret.
func TestLogsTellWhatHappened(t *testing.T) {
	beside(t)
	j := newJob(t)
	j.files(t, newRandom(t), 300)
	c := newCluster(t, 3)
	for _, n := range c.nodes {
		n.args = append(n.args, "--log-format", "json", "--log-file", filepath.Join(c.dir, n.name+".json"), "--log-level", "debug")
		n.start(t)
	}
	c.waitWhole(t)
	logOf := func(n *node) string { return filepath.Join(c.dir, n.name+".json") }
	j.slow(400 * time.Millisecond)
	j.proxy.Add(refusing(func(key string) bool { return strings.HasSuffix(key, "7") }))
	j.add(t, c.nodes[0], 10)
	j.waitWrites(t, 20, startLimit)
	j.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.ListObjects}, Times: 2, Fault: faults.Fault{Status: 400, Code: "InvalidRequest"}})
	leader, others := c.leader(t)
	others[0].kill(t)
	eventually(t, time.Minute, "tasks of the dead node are taken back", func() bool {
		text, err := os.ReadFile(logOf(leader))
		return err == nil && strings.Contains(string(text), "task taken back from its node")
	})
	j.proxy.Clear()
	eventually(t, time.Minute, "the pass ends", func() bool {
		d, ok := j.status(t, leader)
		return ok && (d.State == "failed" || d.State == "succeeded")
	})

	seen := map[string]bool{}
	for _, n := range c.nodes {
		for _, l := range lines(t, logOf(n)) {
			msg, _ := l["msg"].(string)
			seen[msg] = true
			if !l.has("time", "level", "msg") || msg == "" {
				t.Errorf("%s: a line without time, level or message: %v", n.name, l)
			}
			if (l.has("task") || l.has("key") || oneTask.MatchString(msg)) && !l.has("job", "task") {
				t.Errorf("%s: a line about a task or object without job and task: %v", n.name, l)
			}
			if strings.HasPrefix(msg, "pass ") && !l.has("job", "pass") {
				t.Errorf("%s: a line about a pass without its job: %v", n.name, l)
			}
		}
		text, err := os.ReadFile(logOf(n))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), j.gateway.SecretKey) {
			t.Errorf("%s logs a secret", n.name)
		}
		if said := n.said(t); said != "" {
			t.Errorf("%s says on stderr: %s", n.name, said)
		}
	}
	for _, want := range []string{
		"node started", "node found", "node lost", "this node leads", "another node leads", "job submitted", "pass started", "pass ended",
		"node is silent, its tasks go to others", "task taken back from its node",
		"attempt at a task failed, it is tried again",
	} {
		if !seen[want] {
			t.Errorf("no line says %q", want)
		}
	}

	moved := logOf(leader) + ".moved" // as logrotate does
	if err := os.Rename(logOf(leader), moved); err != nil {
		t.Fatal(err)
	}
	leader.signal(t, syscall.SIGHUP)
	eventually(t, 10*time.Second, "the log goes on in a new file", func() bool {
		text, err := os.ReadFile(logOf(leader))
		return err == nil && strings.Contains(string(text), "configuration reloaded")
	})
}
