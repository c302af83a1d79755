package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/test/servers"
)

const (
	founders = 3
	bucket   = "demo"
	prefix   = "go/"
	jobID    = "go-source"
	look     = 100 * time.Millisecond // how often the demo looks
	report   = 4 * time.Second        // how often it shows how far the job is
	limit    = 100 * time.Second      // for the whole
)

// demo is one run.
type demo struct {
	binary, out, source string
	files               map[string]file
	server              *servers.S3Server
	nodes               []*node
	began               time.Time
}

func (d *demo) key() string { return filepath.Join(d.out, "cluster.key") }

// say prints what happened, with the time since the start.
func (d *demo) say(who, format string, args ...any) {
	fmt.Printf("%5.1fs  %-6s  %s\n", time.Since(d.began).Seconds(), who, fmt.Sprintf(format, args...))
}

// tell is the story, step by step.
func (d *demo) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo did not end within %v", limit))
	defer cancel()
	fmt.Printf("\nThree nodes on this machine copy Go's source tree to a real S3 server. The job is held to %s, so that\n"+
		"there is time for a fourth node to join and for the leader to be killed. Logs and data: %s\n\n", rate(d.cap()), d.out)
	steps := []func(context.Context) error{d.openBucket, d.found, d.submit, d.watch, d.prove}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				err = errors.Join(context.Cause(ctx), err)
			}
			return fmt.Errorf("%w\nthe nodes' logs are in %s", err, d.out)
		}
	}
	fmt.Printf("\nTry next:  %s import -h   and docs/cluster.md\n", shorten(d.binary))
	return nil
}

// cap is the bandwidth in bytes per second at which the job lasts as long as it shall.
func (d *demo) cap() int64 { return bytesOf(d.files) / int64(lasts/time.Second) }

func rate(bytesPerSecond int64) string { return humanize.IBytes(uint64(bytesPerSecond)) + "/s" }

// shorten gives a path below the working directory as people type it.
func shorten(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}

func (d *demo) openBucket(ctx context.Context) error {
	name := bucket
	if _, err := clientOf(d.server).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		return fmt.Errorf("make the bucket: %w", err)
	}
	d.say("s3", "versitygw serves the bucket %q at %s", bucket, d.server.URL)
	return nil
}

// found starts three nodes, which agree on a leader by themselves.
func (d *demo) found(ctx context.Context) error {
	if err := d.run(ctx, "keygen", d.key()); err != nil {
		return err
	}
	for range founders {
		if _, err := d.newNode(); err != nil {
			return err
		}
	}
	for _, n := range d.nodes {
		if err := d.start(n, d.nodes[:founders]); err != nil {
			return err
		}
	}
	d.say("nodes", "n1, n2 and n3 start, each told the addresses of all three and one key; none is special")
	var m machines
	if err := d.until(ctx, "a leader", func() bool {
		return d.alive(ctx, d.nodes[0], &m) && m.Leader != "" && len(m.Nodes) == founders
	}); err != nil {
		return err
	}
	d.say(d.nameOf(m.Leader), "is elected leader")
	return nil
}

// submit adds the job at a node that is not the leader: any node takes it.
func (d *demo) submit(ctx context.Context) error {
	at := d.nodes[0]
	if leader, err := d.leader(ctx); err == nil && leader == at {
		at = d.nodes[1]
	}
	text := fmt.Sprintf(`id: %s
type: copy
source: {url: "file://%s/"}
destination: {url: "s3://%s/%s?endpoint=%s&region=%s", access_key: "file:%s", secret_key: "file:%s"}
limits: {bandwidth: %d}
task: {objects: 200}
`, jobID, d.source, bucket, prefix, d.server.URL, d.server.Region, d.secret("access"), d.secret("secret"), d.cap())
	path := filepath.Join(d.out, "job.yaml")
	err := errors.Join(
		os.WriteFile(d.secret("access"), []byte(d.server.AccessKey), 0o600),
		os.WriteFile(d.secret("secret"), []byte(d.server.SecretKey), 0o600),
		os.WriteFile(path, []byte(text), 0o600))
	if err != nil {
		return err
	}
	if err := d.ctl(ctx, at, nil, "add", path); err != nil {
		return err
	}
	d.say("job", "added at %s: %s files, %s, in tasks of 200", at.name, humanize.Comma(int64(len(d.files))), humanize.IBytes(uint64(bytesOf(d.files))))
	return nil
}

func (d *demo) secret(name string) string { return filepath.Join(d.out, name+".key") }

// watch follows the job to its end; on the way a node joins and the leader dies.
func (d *demo) watch(ctx context.Context) error {
	if err := d.follow(ctx, 25); err != nil {
		return err
	}
	if err := d.join(ctx); err != nil {
		return err
	}
	if err := d.follow(ctx, 50); err != nil {
		return err
	}
	if err := d.killLeader(ctx); err != nil {
		return err
	}
	return d.follow(ctx, 101)
}

// follow shows how far the job is until a share of it is settled, in percent, or it ends.
func (d *demo) follow(ctx context.Context, percent int64) error {
	shown := time.Now()
	return d.until(ctx, "the job going on", func() bool {
		at, j := d.anyNode(), job{}
		if d.ctl(ctx, at, &j, "status", "--jobID="+jobID) != nil || j.Stale {
			return false
		}
		share := j.Objects["found"] * 100 / int64(len(d.files))
		if time.Since(shown) >= report {
			shown = time.Now()
			d.say("", "%3d %%  %s", share, d.tasks(ctx))
		}
		return share >= percent || j.State != "running" && j.State != "pending"
	})
}

// tasks says how many tasks each node works on.
func (d *demo) tasks(ctx context.Context) string {
	var m machines
	if !d.alive(ctx, d.anyNode(), &m) {
		return ""
	}
	var parts []string
	for _, n := range d.nodes {
		for _, s := range m.Nodes {
			if n.running() && d.nameOf(s.ID) == n.name {
				parts = append(parts, fmt.Sprintf("%s: %d tasks", n.name, s.Busy))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// join adds a fourth node in the middle of the job.
func (d *demo) join(ctx context.Context) error {
	n, err := d.newNode()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.start(n, d.nodes[:1]); err != nil {
		return err
	}
	d.say(n.name, "starts, with the same key and one address to join")
	var m machines
	if err := d.until(ctx, n.name+" working", func() bool {
		if !d.alive(ctx, d.nodes[0], &m) {
			return false
		}
		for _, s := range m.Nodes {
			if d.nameOf(s.ID) == n.name && s.Busy > 0 {
				return true
			}
		}
		return false
	}); err != nil {
		return err
	}
	d.say(n.name, "has joined and works, %.1f s after its start", time.Since(began).Seconds())
	return nil
}

// killLeader ends the leader as a power loss would.
func (d *demo) killLeader(ctx context.Context) error {
	old, err := d.leader(ctx)
	if err != nil {
		return err
	}
	if err := old.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", old.name, err)
	}
	<-old.exited
	died := time.Now()
	d.say(old.name, "the leader, is killed (kill -9); the others go on with the tasks they hold")
	var m machines
	if err := d.until(ctx, "a new leader", func() bool {
		return d.alive(ctx, d.anyNode(), &m) && m.Leader != "" && m.Leader != old.id && !m.Stale
	}); err != nil {
		return err
	}
	d.say(d.nameOf(m.Leader), "is the new leader, %.1f s later; nobody had to do anything", time.Since(died).Seconds())
	return nil
}

// prove compares what the job says with what an independent client finds.
func (d *demo) prove(ctx context.Context) error {
	var j job
	if err := d.ctl(ctx, d.anyNode(), &j, "status", "--jobID="+jobID); err != nil {
		return err
	}
	if j.State != "succeeded" {
		return fmt.Errorf("the job ended as %s: %s", j.State, j.Reason)
	}
	d.say("job", "%s: %s objects found = %s copied + %s skipped, %s moved", j.State, humanize.Comma(j.Objects["found"]),
		humanize.Comma(j.Objects["copied"]), humanize.Comma(j.Objects["skipped"]), humanize.IBytes(uint64(j.Bytes["moved"])))
	if err := compare(ctx, clientOf(d.server), bucket, prefix, d.files); err != nil {
		return err
	}
	d.say("check", "AWS's own client lists the bucket: %s objects, every size and MD5 equals its file's", humanize.Comma(int64(len(d.files))))
	return nil
}

// until looks again and again until something holds.
func (d *demo) until(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

// alive asks a node for the machines, and tells whether it answered.
func (d *demo) alive(ctx context.Context, at *node, m *machines) bool {
	*m = machines{} // what is left out of an answer is not as it was before
	return d.ctl(ctx, at, m, "status", "--machine") == nil
}

// anyNode is a node that runs.
func (d *demo) anyNode() *node {
	for _, n := range d.nodes {
		if n.running() {
			return n
		}
	}
	return d.nodes[0]
}

// leader is the node that leads.
func (d *demo) leader(ctx context.Context) (*node, error) {
	var m machines
	if !d.alive(ctx, d.anyNode(), &m) || m.Leader == "" {
		return nil, errors.New("no leader is known")
	}
	name := d.nameOf(m.Leader)
	for _, n := range d.nodes {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the leader %s is none of the nodes", m.Leader)
}
