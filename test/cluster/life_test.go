//go:build linux

package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/bucketbrigade/brigade/test/binary"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// TestWholeLifeByCtl drives a job from its first to its last day by ctl alone, at a node that does not lead.
func TestWholeLifeByCtl(t *testing.T) {
	beside(t)
	newLife(t, false).lead(t)
}

// TestWholeLifeByCurl does the same by curl alone.
func TestWholeLifeByCurl(t *testing.T) {
	beside(t)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed (Debian: apt-get install curl)")
	}
	newLife(t, true).lead(t)
}

// life is a job whose whole life is driven from a machine that is no node, over TLS.
type life struct {
	*netCluster
	job      *job
	at       *node // that is asked, and does not lead
	admin    *hand
	chief    string // the admin's name
	operator *hand
	bad      map[string]bool         // keys that the store refuses
	did      []string                // what the history shall tell: who did what to what
	told     func(state string) bool // whether events told that the job came into a state; nil where nobody follows them
}

func newLife(t *testing.T, byCurl bool) *life {
	c := startNetCluster(t, 3, "--http", "0.0.0.0", "--concurrency", "8")
	l := &life{netCluster: c, job: newJob(t), bad: map[string]bool{}}
	_, others := c.leader(t)
	l.at = others[0]
	l.job.proxy.URL = c.serve(t, l.job.proxy)
	l.job.files(t, newRandom(t), 600)
	for _, i := range []int{3, 77, 431, 599} {
		l.bad[fmt.Sprintf("d%03d/f%05d", i/100, i)] = true
	}
	l.admin = c.stranger(t, l.at, byCurl)
	l.operator = l.admin.invited(t, "otto", "operator", c.store.Prefix(), l.admin.addr)
	l.chief = strings.TrimSuffix(filepath.Base(l.admin.token), ".token")
	l.did = []string{"local token-add " + l.chief + " admin", l.chief + " token-add otto operator"}
	return l
}

// lead leads the job through its life.
func (l *life) lead(t *testing.T) {
	followed := l.follow(t)
	l.add(t)
	l.list(t)
	l.look(t)
	l.watch(t)
	l.limit(t)
	l.edit(t)
	l.pause(t)
	l.drain(t)
	l.errors(t)
	l.why(t)
	l.retry(t)
	l.report(t)
	l.redo(t)
	l.history(t)
	l.again(t)
	l.remove(t)
	followed()
	if leader, _ := l.leader(t); leader == l.at {
		t.Errorf("%s came to lead meanwhile: not all of this was passed on", l.at.name)
	}
}

func (l *life) isBad(key string) bool { return l.bad[key] }

// done notes what the history shall tell.
func (l *life) done(verb, target string) { l.did = append(l.did, "otto "+verb+" "+target) }

// description is the job file, and the same as JSON.
func (l *life) description(t *testing.T, objects int) (file, text string) {
	t.Helper()
	file = l.job.jobFile(t, objects)
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := yaml.YAMLToJSON(written)
	if err != nil {
		t.Fatal(err)
	}
	return file, string(converted)
}

// add submits the job, whose writes are slow and in part refused.
func (l *life) add(t *testing.T) {
	l.job.proxy.Add(refusing(l.isBad))
	l.job.slow(300 * time.Millisecond)
	file, text := l.description(t, 10)
	add := request{ctl: []string{"ctl", "add", file}, method: "POST", path: "/v1/jobs", body: text, header: []string{"Idempotency-Key: 0123456789abcdef0123456789abcdef"}}
	var made struct{ ID string }
	a := l.operator.must(t, add, 201, &made)
	if made.ID != l.job.id || l.operator.curl && a.header.Get("Location") != "/v1/jobs/move" {
		t.Errorf("%q is made: %v", made.ID, a.header)
	}
	l.done("add", "move")
	if l.operator.curl { // sent again, it is the same
		l.operator.must(t, add, 201, &made)
	}
}

func (l *life) list(t *testing.T) {
	var d struct {
		Jobs  []document
		Index uint64
	}
	l.operator.must(t, request{ctl: []string{"ctl", "status"}, path: "/v1/jobs"}, 200, &d)
	if len(d.Jobs) != 1 || d.Jobs[0].ID != "move" || d.Index == 0 {
		t.Errorf("the jobs are %+v", d)
	}
}

// look reads the configuration. It is that of the job file, but that it shows no secret.
func (l *life) look(t *testing.T) {
	var d struct {
		ID          string
		Source      struct{ URL string }
		Destination map[string]string
		Task        struct{ Objects int }
	}
	a := l.operator.must(t, request{ctl: []string{"ctl", "look", "move"}, path: "/v1/jobs/move/spec"}, 200, &d)
	if d.ID != "move" || d.Task.Objects != 10 || d.Source.URL != "file://"+l.job.source ||
		!strings.HasPrefix(d.Destination["url"], "s3://"+l.job.bucket) || d.Destination["secret_key"] != "***" {
		t.Errorf("the job is %s", a.out)
	}
	if strings.Contains(string(a.out), l.job.gateway.SecretKey) || strings.Contains(string(a.out), l.job.gateway.AccessKey) {
		t.Error("the configuration shows a credential")
	}
}

// status asks for the job.
func (l *life) status(t *testing.T) (d document) {
	t.Helper()
	l.operator.must(t, request{ctl: []string{"ctl", "status", "--jobID=move"}, path: "/v1/jobs/move"}, 200, &d)
	return d
}

// becomes waits until the job is in a state, and fails where it comes to an end that is not that.
func (l *life) becomes(t *testing.T, state string, within time.Duration) (d document) {
	t.Helper()
	eventually(t, within, "the job is "+state, func() bool {
		d = l.status(t)
		if d.State != state && d.State != "running" && d.State != "pending" {
			t.Fatalf("the job is %s: %s, not %s", d.State, d.Reason, state)
		}
		return d.State == state
	})
	return d
}

// watch looks on until the job runs and has something to show.
func (l *life) watch(t *testing.T) {
	if l.operator.curl {
		eventually(t, startLimit, "the job runs", func() bool {
			d := l.status(t)
			return d.State == "running" && d.Objects["copied"] > 0
		})
		return
	}
	line := append(slices.Clone(l.operator.machine), shared.binary, "ctl", "status", "--jobID=move", "--watch", "--json")
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(binary.Environment(), l.operator.env(t)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(startLimit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var d document
	shown := 0
	for lines := bufio.NewScanner(out); lines.Scan(); shown++ {
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatalf("watch: %v: %s", err, lines.Bytes())
		}
		if d.State == "running" { // the next line comes in ten seconds, or when that changes
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatalf("end the watch: %v", err)
	}
	const interrupted = 130
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != interrupted || d.State != "running" {
		t.Errorf("watch ends with %v, after %d looks; the job was %s", cmd.ProcessState, shown, d.State)
	}
	eventually(t, startLimit, "the job copies", func() bool { return l.status(t).Objects["copied"] > 0 })
}

// limit sets a limit of the cluster while it works, and takes it back.
func (l *life) limit(t *testing.T) {
	for _, value := range []string{"1", ""} {
		var d struct {
			Settings []struct{ Name, Value, Origin string }
		}
		l.admin.must(t, request{
			ctl:    []string{"ctl", "set", "max-worker-num=" + value},
			method: "PUT", path: "/v1/settings", body: fmt.Sprintf(`{"settings": {"max-worker-num": %q}}`, value),
		}, 200, &d)
		l.did = append(l.did, l.chief+" set max-worker-num")
		holds := map[string]string{"1": "set", "": "default"}[value]
		for _, s := range d.Settings {
			if s.Name == "max-worker-num" && (s.Origin != holds || value != "" && s.Value != value) {
				t.Errorf("max-worker-num is %s, %s, after it was set to %q", s.Value, s.Origin, value)
			}
		}
		if value == "" {
			break
		}
		eventually(t, startLimit, "no node holds more than one task", func() bool {
			for _, n := range l.nodesNow(t).Nodes {
				if n.Busy > 1 {
					return false
				}
			}
			return true
		})
	}
}

// pauseWithin is how soon a paused job writes nothing more.
const pauseWithin = 2 * time.Second

// pause stops the job, sees that nothing is written then, and lets it go on.
func (l *life) pause(t *testing.T) {
	var d document
	begin := time.Now()
	l.operator.must(t, request{
		ctl:    []string{"ctl", "pause", "move", "--reason", "lunch"},
		method: "POST", path: "/v1/jobs/move/pause", body: `{"reason": "lunch"}`,
	}, 200, &d)
	l.done("pause", "move")
	if d.State != "paused" || d.Reason != "lunch" {
		t.Errorf("the job is %s: %s", d.State, d.Reason)
	}
	if left := pauseWithin - time.Since(begin); left > 0 {
		<-time.After(left) // what is promised is a time
	}
	before := l.job.proxy.Count(s3op.PutObject)
	l.operator.mayNot(t, request{ctl: []string{"ctl", "retry", "move"}, method: "POST", path: "/v1/jobs/move/retry"},
		refusal{1, 409, "job-state", []string{"retry is not allowed", "which is paused", "allowed for jobs that are failed"}})
	eventually(t, startLimit, "no task is held", func() bool { return l.status(t).Tasks["running"] == 0 })
	if n := l.job.proxy.Count(s3op.PutObject) - before; n > 0 || before == 0 {
		t.Errorf("%d writes began more than %v after the pause, %d before", n, pauseWithin, before)
	}
	l.operator.must(t, request{ctl: []string{"ctl", "continue", "move"}, method: "POST", path: "/v1/jobs/move/continue"}, 200, &d)
	l.done("continue", "move")
	if d.State != "running" && d.State != "pending" {
		t.Errorf("the job is %s after it was continued", d.State)
	}
	l.job.waitWrites(t, 1, startLimit)
}

// nodesNow asks for the nodes.
func (l *life) nodesNow(t *testing.T) (m machines) {
	t.Helper()
	l.operator.must(t, request{ctl: []string{"ctl", "status", "--machine"}, path: "/v1/machines"}, 200, &m)
	return m
}

// drain takes the work from the node that is asked, and gives it work again.
func (l *life) drain(t *testing.T) {
	id := l.at.id(t)
	eventually(t, startLimit, "the node has work", func() bool { return l.nodesNow(t).busy(id) > 0 })
	l.operator.must(t, request{ctl: []string{"node", "drain"}, method: "POST", path: "/v1/machines/" + id + "/drain"}, 200, nil)
	l.done("drain", id)
	eventually(t, startLimit, "the node has no work", func() bool {
		m := l.nodesNow(t)
		return m.state(id) == "draining" && m.busy(id) == 0
	})
	l.operator.must(t, request{ctl: []string{"node", "undrain"}, method: "POST", path: "/v1/machines/" + id + "/undrain"}, 200, nil)
	l.done("undrain", id)
	if state := l.nodesNow(t).state(id); state != "alive" {
		t.Errorf("the node is %s", state)
	}
	if state := l.status(t).State; state != "running" {
		t.Errorf("the job is %s when all this is over: it was too short", state)
	}
}

// errors waits for the end of the pass, and asks what failed.
func (l *life) errors(t *testing.T) {
	l.job.proxy.Replace(refusing(l.isBad))
	d := l.becomes(t, "failed", time.Minute)
	if n := len(l.bad); d.Objects["failed"] != int64(n) || d.Objects["copied"] != int64(len(l.job.want)-n) || len(d.Errors) != n {
		t.Errorf("%d objects are refused: %v, %d errors", n, d.Objects, len(d.Errors))
	}
	type failure struct{ Key, Class, Reason string }
	found := all[failure](t, l.operator, request{ctl: []string{"ctl", "errors", "move"}, path: "/v1/jobs/move/errors"}, "errors")
	for _, f := range found {
		if !l.bad[f.Key] || f.Class == "" || !strings.Contains(f.Reason, "InvalidRequest") {
			t.Errorf("failed: %+v", f)
		}
	}
	if len(found) != len(l.bad) {
		t.Errorf("%d errors, want %d", len(found), len(l.bad))
	}
}

// retry runs what failed again, now that it can be written.
func (l *life) retry(t *testing.T) {
	if l.told != nil { // changes within a tenth of a second are told as one
		eventually(t, startLimit, "the events tell that the job failed", func() bool { return l.told("failed") })
	}
	l.job.proxy.Clear()
	writes := l.job.proxy.Count(s3op.PutObject)
	l.operator.must(t, request{ctl: []string{"ctl", "retry", "move"}, method: "POST", path: "/v1/jobs/move/retry"}, 200, nil)
	l.done("retry", "move")
	l.job.checkSums(t, l.becomes(t, "succeeded", time.Minute))
	l.job.checkContent(t)
	if n := l.job.proxy.Count(s3op.PutObject) - writes; n != len(l.bad) {
		t.Errorf("%d objects failed, and %d were written again", len(l.bad), n)
	}
}

// redo starts the job afresh: everything is there.
func (l *life) redo(t *testing.T) {
	writes := l.job.proxy.Count(s3op.PutObject)
	l.operator.must(t, request{ctl: []string{"ctl", "redo", "move"}, method: "POST", path: "/v1/jobs/move/redo"}, 200, nil)
	l.done("redo", "move")
	d := l.becomes(t, "succeeded", time.Minute)
	if n := int64(len(l.job.want)); d.Pass != 1 || d.Objects["skipped"] != n || d.Objects["found"] != n || d.Objects["failed"] != 0 {
		t.Errorf("done afresh, it is pass %d: %v", d.Pass, d.Objects)
	}
	if n := l.job.proxy.Count(s3op.PutObject) - writes; n != 0 {
		t.Errorf("%d objects were written that were there", n)
	}
}

// history reads who did all this.
func (l *life) history(t *testing.T) {
	var got []string
	from := l.store.Address()
	for i, e := range all[event](t, l.operator, request{ctl: []string{"ctl", "history"}, path: "/v1/history"}, "events") {
		got = append(got, e.Actor+" "+e.Verb+" "+e.Target)
		if e.Number != uint64(i+1) || e.Node != l.at.id(t) || e.Request == "" || e.From != from && e.Actor != "local" {
			t.Errorf("the history tells %+v", e)
		}
	}
	got, want := slices.Compact(got), slices.Compact(l.did) // what was sent again may stand there again
	if !slices.Equal(got, want) {
		t.Errorf("the history tells of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// again adds another job with the same ID.
func (l *life) again(t *testing.T) {
	file, text := l.description(t, 20)
	l.operator.mayNot(t, request{ctl: []string{"ctl", "add", file}, method: "POST", path: "/v1/jobs", body: text},
		refusal{1, 409, "job-exists", []string{`a job with the ID "move" exists`, "give another ID, or remove that job first"}})
}

// remove forgets the job. What it copied stays.
func (l *life) remove(t *testing.T) {
	var d struct{ ID string }
	remove := request{ctl: []string{"ctl", "rm", "move"}, method: "DELETE", path: "/v1/jobs/move"}
	l.operator.must(t, remove, 200, &d)
	if d.ID != "move" {
		t.Errorf("%q is removed", d.ID)
	}
	gone := refusal{1, 404, "no-such-job", []string{`there is no job "move"`}}
	l.operator.mayNot(t, request{ctl: []string{"ctl", "status", "--jobID=move"}, path: "/v1/jobs/move"}, gone)
	l.operator.mayNot(t, remove, gone)
	l.job.checkContent(t)
}
