package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/cluster"
	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// asBrigade has the test binary be brigade itself, for tests that need a process.
const asBrigade = "BRIGADE_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asBrigade) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// TestCtlLife drives a job through its life.
func TestCtlLife(t *testing.T) {
	n := startNode(t)
	out, _ := n.run(codeDone, "ctl", "status")
	contains(t, "status", out, "there are no jobs")
	out, _ = n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	contains(t, "add", out, "photos is added")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
	if d := n.status("photos"); d.Objects.Copied != 10 || !d.ListingDone || d.Pass != 1 || d.Index == 0 || d.Stale || d.FinishedAt == nil {
		t.Errorf("%+v", d)
	}
	out, _ = n.run(codeDone, "ctl", "stat")
	contains(t, "status", out, "JOB ", "photos ", "succeeded", "100%")
	out, _ = n.run(codeDone, "ctl", "status", "--jobID=photos")
	contains(t, "status of the job", out, "10 found: 10 copied")
	out, _ = n.run(codeDone, "ctl", "look", "photos")
	contains(t, "look", out, "id: photos", "url: file://"+n.src)
	out, _ = n.run(codeDone, "ctl", "redo", "photos")
	contains(t, "redo", out, "photos is pending")
	n.eventually("the job is redone", func() bool { d := n.status("photos"); return d.State == fsm.Succeeded && d.Objects.Skipped == 10 })
	if d := n.status("photos"); d.Pass != 1 {
		t.Errorf("pass %d after redo", d.Pass)
	}
	out, _ = n.run(codeDone, "ctl", "clean", "photos", "--json")
	contains(t, "rm", out, `{"id":"photos"}`)
	n.checkCopied()
	_, errs := n.run(codeRefused, "ctl", "status", "--jobID", "photos")
	contains(t, "stderr", errs, `there is no job "photos"`)
}

// TestCtlPause stops a job in the middle of a write, and lets it go on.
func TestCtlPause(t *testing.T) {
	n := startNode(t)
	writing, goOn := make(chan struct{}, 100), make(chan struct{})
	n.put = func(ctx context.Context, _ string) error {
		writing <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.run(codeDone, "ctl", "submit", n.jobFile("photos"))
	<-writing
	_, errs := n.run(codeRefused, "ctl", "rm", "photos")
	contains(t, "rm of a running job", errs, "which is running", "pending, paused, waiting, succeeded, failed or canceled")
	out, _ := n.run(codeDone, "ctl", "pause", "photos", "--reason", "lunch")
	contains(t, "pause", out, "photos is paused")
	if d := n.status("photos"); d.Reason != "lunch" || d.Tasks.Running != 0 {
		t.Errorf("%+v", d)
	}
	close(goOn)
	n.run(codeDone, "ctl", "continue", "photos")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
}

// TestDrainHandsWorkBack drains the only node in the middle of a write: the job waits until it gets work again.
func TestDrainHandsWorkBack(t *testing.T) {
	n := startNode(t)
	writing := make(chan struct{}, 100)
	goOn := make(chan struct{})
	n.put = func(context.Context, string) error {
		writing <- struct{}{}
		<-goOn
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "task: {objects: 1}"))
	<-writing
	out, _ := n.run(codeDone, "node", "drain")
	contains(t, "drain", out, "gets no more work")
	close(goOn)
	n.eventually("the node is idle", func() bool {
		out, _ := n.run(codeDone, "ctl", "status", "--machine", "--json")
		var m api.Machines
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			t.Fatal(err)
		}
		return m.Nodes[0].State == api.Draining && m.Nodes[0].Busy == 0
	})
	if d := n.status("photos"); d.State != fsm.Running || d.Tasks.Running != 0 {
		t.Errorf("%+v", d)
	}
	out, _ = n.run(codeDone, "ctl", "status", "--machine")
	contains(t, "machines", out, "NODE", "draining", "leader", "0/8")
	n.run(codeDone, "node", "undrain")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
}

// TestCtlFailures has objects fail, lists them, and retries.
func TestCtlFailures(t *testing.T) {
	n := startNode(t)
	var mended atomic.Bool
	n.put = func(_ context.Context, key string) error {
		if !mended.Load() && (key == "d/3" || key == "d/7") {
			return &store.Error{Op: "put", Key: key, Class: store.Permanent, Err: errors.New("no entry")}
		}
		return nil
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Failed)
	out, _ := n.run(codeDone, "ctl", "errors", "photos")
	contains(t, "errors", out, "d/3", "d/7", "no entry")
	out, _ = n.run(codeDone, "ctl", "errors", "photos", "--list")
	if out != "d/3\nd/7\n" {
		t.Errorf("key list %q", out)
	}
	out, _ = n.run(codeDone, "ctl", "errors", "photos", "--json")
	contains(t, "errors as JSON", out, `{"key":"d/3","class":"permanent"`)
	if d := n.status("photos"); len(d.Errors) != 2 || d.Objects.Failed != 2 {
		t.Errorf("%+v", d)
	}
	mended.Store(true)
	out, _ = n.run(codeDone, "ctl", "retry")
	contains(t, "retry", out, "photos is running")
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
	out, _ = n.run(codeDone, "ctl", "retry")
	contains(t, "retry of nothing", out, "no job has failures")
}

func TestCtlBadInput(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	relative := filepath.Join(n.dir, "relative.yaml")
	for name, text := range map[string]string{
		relative:                             "id: r\nsource: {url: \"s3://b/?endpoint=http://127.0.0.1:1\"}\ndestination: {url: /d}\nsorce: x\n",
		filepath.Join(n.dir, "unset.yaml"):   "id: r\nsource: {url: \"s3://b/\", access_key: \"env:BRIGADE_NOT_SET\", secret_key: x}\ndestination: {url: /d}\n",
		filepath.Join(n.dir, "overlap.yaml"): "id: r\nsource: {url: /a}\ndestination: {url: /a/b}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join(n.dir, "token")
	if err := os.WriteFile(token, []byte("a-token-that-is-not-the-nodes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		code  int
		args  []string
		wants []string
	}{
		"unknown job":       {1, []string{"ctl", "pause", "nope"}, []string{`there is no job "nope"`}},
		"not allowed":       {1, []string{"ctl", "continue", "photos"}, []string{"which is succeeded", "allowed for jobs that are paused"}},
		"pause of done":     {1, []string{"ctl", "pause", "photos"}, []string{"pending, running or paused"}},
		"no job named":      {2, []string{"ctl", "pause"}, []string{"see brigade ctl pause --help"}},
		"no such file":      {2, []string{"ctl", "add", filepath.Join(n.dir, "none.yaml")}, []string{"none.yaml"}},
		"unknown key":       {2, []string{"ctl", "add", relative}, []string{"sorce", "did you mean"}},
		"variable not set":  {2, []string{"ctl", "add", filepath.Join(n.dir, "unset.yaml")}, []string{"source.access_key", "BRIGADE_NOT_SET"}},
		"overlap":           {2, []string{"ctl", "add", filepath.Join(n.dir, "overlap.yaml")}, []string{"destination"}},
		"unknown setting":   {1, []string{"ctl", "set", "max-workers=3"}, []string{"max-worker-num"}},
		"bad value":         {1, []string{"ctl", "set", "--max-worker-num", "0"}, []string{"1 to 1024"}},
		"no assignment":     {2, []string{"ctl", "set", "max-worker-num"}, []string{"KEY=VALUE"}},
		"wrong token":       {1, []string{"ctl", "status", "--token-file", token}, []string{"token"}},
		"no token":          {1, []string{"ctl", "status", "--token-file", token + ".none"}, []string{"token.none"}},
		"bad address":       {2, []string{"ctl", "status", "--addr", "nowhere"}, []string{`"nowhere" has no port`}},
		"nobody there":      {1, []string{"ctl", "status", "--addr", closedPort(t)}, []string{"no node answers at http://127.0.0.1:"}},
		"no node here":      {1, []string{"ctl", "status", "--data", n.dir}, []string{"no node runs", "brigade node start"}},
		"unknown verb":      {2, []string{"ctl", "puase", "x"}, []string{`unknown command "puase"`, "pause"}},
		"only node leaves":  {1, []string{"node", "leave"}, []string{"only node"}},
		"data dir in use":   {1, []string{"node", "start", "--http", "127.0.0.1:0"}, []string{"in use by another process", fmt.Sprint(os.Getpid())}},
		"status of both":    {2, []string{"ctl", "status", "--jobID", "x", "--machine"}, []string{"machine"}},
		"errors of unknown": {1, []string{"ctl", "errors", "nope"}, []string{`"nope"`}},
		"look at unknown":   {1, []string{"ctl", "look", "nope"}, []string{`"nope"`}},
		"path in ID":        {2, []string{"ctl", "look", "../settings"}, []string{`"../settings" is not the ID of a job`, "a-z A-Z 0-9"}},
		"dots as ID":        {2, []string{"ctl", "pause", "photos", ".."}, []string{`".." is not the ID of a job`}},
		"slash in an ID":    {2, []string{"ctl", "rm", "a/b"}, []string{`"a/b"`}},
		"escape in an ID":   {2, []string{"ctl", "redo", "%2e%2e"}, []string{`"%2e%2e"`}},
		"no ID":             {2, []string{"ctl", "errors", ""}, []string{`"" is not`}},
		"status of a path":  {2, []string{"ctl", "status", "--jobID", "../x"}, []string{`"../x"`}},
		"status of nothing": {2, []string{"ctl", "status", "--jobID="}, []string{`"" is not`}},
		"ID taken":          {1, []string{"ctl", "add", n.jobFile("photos"), "--set", "compare=size"}, []string{`"photos" exists`, "remove"}},
		"ID taken, --yes":   {1, []string{"ctl", "add", n.jobFile("photos"), "--set", "compare=size", "--yes"}, []string{`"photos" exists`, "remove"}},
		"ID is a path":      {2, []string{"ctl", "add", n.jobFile("photos"), "--set", "id=../photos"}, []string{"id", "../photos"}},
		"ID is a folder":    {2, []string{"ctl", "add", n.jobFile("photos"), "--set", "id=.."}, []string{"id", `".."`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := n.as(t).run(test.code, test.args...)
			contains(t, "stderr", errs, test.wants...)
			if strings.Count(errs, "\n") != 1 {
				t.Errorf("more than one line: %s", errs)
			}
		})
	}
}

// as is the same machine for a subtest, with output of its own.
func (b *bench) as(t *testing.T) *bench {
	c := &bench{t: t, dir: b.dir, src: b.src, dst: b.dst, env: b.env, signals: b.signals}
	a := *b.app
	a.out, a.err = &c.stdout, &c.stderr
	c.app = &a
	return c
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNodeStartBadInput(t *testing.T) {
	b := newBench(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(b.dir, "file")
	newer := filepath.Join(b.dir, "newer")
	config := filepath.Join(b.dir, "node.yaml")
	key := filepath.Join(b.dir, "exposed.key")
	if err := errors.Join(
		os.WriteFile(file, nil, 0o600), os.Mkdir(newer, 0o700), os.WriteFile(filepath.Join(newer, "version"), []byte("99\n"), 0o600),
		os.WriteFile(config, []byte("peer_prt: 1\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(b.dir, "data")
	for name, test := range map[string]struct {
		code  int
		args  []string
		wants []string
	}{
		"port in use":          {1, []string{"--http", busy.Addr().String()}, []string{"address already in use", "--http"}},
		"data dir in a file":   {1, []string{"--data", filepath.Join(file, "x")}, []string{file}},
		"newer data dir":       {1, []string{"--data", newer}, []string{"newer version", "99"}},
		"API off loopback":     {2, []string{"--http", "0.0.0.0:0"}, []string{"--http", "loopback"}},
		"bind without key":     {2, []string{"--bind", "0.0.0.0"}, []string{"--bind", "--cluster-key-file"}},
		"join without key":     {2, []string{"--join", "10.0.0.1"}, []string{"--join", "--cluster-key-file"}},
		"bad join":             {2, []string{"--join", "a:b:c"}, []string{"--join"}},
		"bad bind":             {2, []string{"--bind", "somewhere"}, []string{"not an IP address"}},
		"bad port":             {2, []string{"--peer-port", "70000"}, []string{"--peer-port"}},
		"port not a number":    {2, []string{"--peer-port", "x"}, []string{"--peer-port"}},
		"expect nobody":        {2, []string{"--bootstrap-expect", "0"}, []string{"--bootstrap-expect"}},
		"bad level":            {2, []string{"--log-level", "loud"}, []string{"debug, info, warn, error"}},
		"bad memory":           {2, []string{"--memory", "1"}, []string{"--memory"}},
		"bad concurrency":      {2, []string{"--concurrency", "0"}, []string{"--concurrency"}},
		"root as data dir":     {2, []string{"--data", "/"}, []string{"--data"}},
		"unknown config key":   {2, []string{"--config", config}, []string{"node.yaml:1:1", `did you mean "peer-port"?`}},
		"no config":            {2, []string{"--config", config + ".none"}, []string{"node.yaml.none"}},
		"no cluster key":       {1, []string{"--cluster-key-file", key + ".none"}, []string{"exposed.key.none", "brigade keygen"}},
		"exposed cluster key":  {1, []string{"--cluster-key-file", key}, []string{"0600"}},
		"arguments":            {2, []string{"data"}, []string{"see brigade node start --help"}},
		"variable not a port":  {2, []string{"PEER=x"}, []string{"BRIGADE_PEER_PORT"}},
		"variable wins config": {2, []string{"LEVEL=loud"}, []string{`"loud"`}},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.as(t)
			b.env["BRIGADE_DATA"] = data
			delete(b.env, "BRIGADE_PEER_PORT")
			delete(b.env, "BRIGADE_LOG_LEVEL")
			args := append([]string{"node", "start"}, test.args...)
			switch test.args[0] {
			case "PEER=x":
				b.env["BRIGADE_PEER_PORT"], args = "x", args[:2]
			case "LEVEL=loud":
				b.env["BRIGADE_LOG_LEVEL"], args = "loud", args[:2]
			}
			if test.args[0] != "--http" {
				args = append(args, "--http", "127.0.0.1:0")
			}
			_, errs := b.run(test.code, args...)
			contains(t, "stderr", errs, test.wants...)
		})
	}
}

// TestSettingsAreLive changes the level of the log while the node runs.
func TestSettingsAreLive(t *testing.T) {
	n := startNode(t, "--log-level", "warn")
	n.run(codeDone, "ctl", "set", "log.level=debug")
	n.eventually("the node logs more", func() bool {
		n.run(codeDone, "ctl", "set", "log.level=debug")
		return strings.Contains(n.log.String(), `msg="settings changed"`)
	})
	out, _ := n.run(codeDone, "ctl", "set", "log.level=", "--json")
	contains(t, "settings", out, `"name":"log.level","value":"info","origin":"default"`)
	n.run(codeDone, "ctl", "set", "log.level=info", "memory=16MiB")
	n.eventually("the node has less memory", func() bool {
		return strings.Contains(n.log.String(), `msg="memory for buffers changed" from=100663296 to=16777216`)
	})
	n.run(codeDone, "ctl", "set", "memory=")
	n.eventually("it has its own again", func() bool { return strings.Contains(n.log.String(), "from=16777216 to=100663296") })
	for _, bad := range []string{"memory=1MiB", "memory=2TiB", "memory=much", "memory=-1", "memory=1,000MB"} {
		_, errs := n.run(codeRefused, "ctl", "set", bad)
		contains(t, bad, errs, "a size from 8MiB to 1TiB")
	}
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
}

// TestCredentialsAreSealed looks for credentials everywhere they must not be.
func TestCredentialsAreSealed(t *testing.T) {
	const access, secret = "AKIAEXAMPLEKEYOFTEST", "seCretOfTheTestThatNobodyMaySee"
	n := startNode(t, "--log-level", "debug")
	t.Setenv("BRIGADE_TEST_SECRET", secret)
	name := filepath.Join(n.dir, "s3.yaml")
	text := fmt.Sprintf("id: s3\nsource: {url: \"s3://bucket/?endpoint=http://%s&region=r\", access_key: %s, secret_key: \"env:BRIGADE_TEST_SECRET\"}\ndestination: {url: %q}\n",
		closedPort(t), access, n.dst)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run(codeDone, "ctl", "add", name)
	n.reaches("s3", fsm.Paused) // nothing listens there
	if d := n.status("s3"); !strings.Contains(d.Reason, "source") {
		t.Errorf("reason %q", d.Reason)
	}
	out, _ := n.run(codeDone, "ctl", "look", "s3")
	contains(t, "look", out, `access_key: "***"`, `secret_key: "***"`)
	n.run(codeDone, "node", "stop")
	if code := <-n.end; code != codeDone {
		t.Errorf("exit %d", code)
	}
	n.end <- codeDone
	for _, where := range []string{out, n.log.String()} {
		if strings.Contains(where, secret) || strings.Contains(where, access) {
			t.Error("a credential is shown")
		}
	}
	files := 0
	err := filepath.WalkDir(n.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(secret)) || bytes.Contains(content, []byte(access)) {
			t.Errorf("%s holds a credential", path)
		}
		return err
	})
	if err != nil || files < 4 {
		t.Errorf("%d files looked at: %v", files, err)
	}
}

// TestReferencesAreRefusedByNodes submits past ctl, which would have resolved them.
func TestReferencesAreRefusedByNodes(t *testing.T) {
	n := startNode(t)
	c, err := n.app.client(&clientFlags{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, test := range map[string]struct{ text, want string }{
		"file":     {`{"id":"x","source":{"url":"s3://b/","access_key":"file:/etc/hostname","secret_key":"y"},"destination":{"url":"/d"}}`, "source.access_key"},
		"variable": {`{"id":"x","source":{"url":"s3://b/","access_key":"env:HOME","secret_key":"y"},"destination":{"url":"/d"}}`, "source.access_key"},
		"relative": {`{"id":"x","source":{"url":"a"},"destination":{"url":"/d"}}`, "source.url"},
		"no JSON":  {`{`, "job"},
		"dots":     {`{"id":"..","source":{"url":"/a"},"destination":{"url":"/d"}}`, "id"},
	} {
		_, err := c.Submit(t.Context(), []byte(test.text), []byte("0123456789abcdef"))
		var p *api.Problem
		if !errors.As(err, &p) || p.Code() != api.CodeInvalidJob || !strings.Contains(p.Detail, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNodeSurvivesKill kills a node's process in the middle of a job; the same command line brings job and node back.
func TestNodeSurvivesKill(t *testing.T) {
	n := &nodeBench{bench: newBench(t), end: make(chan int, 1)}
	n.data = filepath.Join(n.dir, "data")
	n.env["BRIGADE_DATA"] = n.data
	for i := range 3000 {
		n.write(fmt.Sprintf("many/%04d", i), "x")
	}
	first := n.process()
	n.waitForNode()
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "task: {objects: 100}"))
	n.eventually("objects arrive", func() bool { return n.status("photos").Objects.Copied > 0 })
	if err := errors.Join(first.Process.Kill(), ignoreExit(first.Wait())); err != nil {
		t.Fatal(err)
	}
	_, errs := n.run(codeRefused, "ctl", "status")
	contains(t, "ctl without a node", errs, "no node answers")
	if err := os.Remove(filepath.Join(n.data, "api.addr")); err != nil { // to see the new one
		t.Fatal(err)
	}
	n.process()
	n.waitForNode()
	n.reaches("photos", fsm.Succeeded)
	n.checkCopied()
	if d := n.status("photos"); d.Objects.Found != 3010 || d.Objects.Failed != 0 {
		t.Errorf("%+v", d.Objects)
	}
}

// TestStopKeepsTheState stops a node by signal and starts it again on the same data directory.
func TestStopKeepsTheState(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos"))
	n.reaches("photos", fsm.Succeeded)
	n.kill <- os.Interrupt
	if code := <-n.end; code != codeDone {
		t.Fatalf("exit %d:\n%s", code, n.log.String())
	}
	n.end <- codeDone
	if _, err := os.Stat(filepath.Join(n.data, "api.addr")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the address stays: %v", err)
	}
	n.start()
	if d := n.status("photos"); d.State != fsm.Succeeded || d.Objects.Copied != 10 {
		t.Errorf("%+v", d)
	}
}

func TestKeygen(t *testing.T) {
	b := newBench(t)
	key := filepath.Join(b.dir, "cluster.key")
	out, _ := b.run(codeDone, "keygen", key)
	contains(t, "keygen", out, key)
	if _, err := cluster.ReadKeyFile(key); err != nil {
		t.Error(err)
	}
	_, errs := b.run(codeRefused, "keygen", key)
	contains(t, "stderr", errs, "exists")
}
