package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
)

// runTimeout bounds one run of the binary; far more than any needs.
const runTimeout = 30 * time.Minute

// command is one way to run the binary. The zero value keeps its state in a folder of the test's own.
type command struct {
	state string   // state directory; "" makes one
	env   []string // on top of the environment without credentials
	user  *syscall.Credential
	wrap  []string // a command line that runs the rest of its arguments
}

// result is what a run left.
type result struct {
	code           int
	stdout, stderr string
	elapsed        time.Duration
	maxRSS         int64 // bytes
}

// process is a run under way.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	begin          time.Time
	cancel         context.CancelFunc
	peak           *peak
}

// run executes the binary to its end.
func (c *command) run(t *testing.T, args ...string) result {
	t.Helper()
	return c.start(t, args...).wait(t)
}

// start executes the binary. Arguments that begin with "import" get the state directory.
func (c *command) start(t *testing.T, args ...string) *process {
	t.Helper()
	if c.state == "" {
		c.state = filepath.Join(t.TempDir(), "state")
	}
	if len(args) > 0 && args[0] == "import" && !slices.Contains(args, "--state-dir") {
		args = append(slices.Clone(args), "--state-dir", c.state)
	}
	line := append(append(slices.Clone(c.wrap), shared.binary), args...)
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	p := &process{cmd: exec.CommandContext(ctx, line[0], line[1:]...), cancel: cancel}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(binary.Environment(), c.env...)
	if c.user != nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	}
	p.begin = time.Now()
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %v: %v", line, err)
	}
	p.peak = watchMemory(p.cmd.Process.Pid)
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill(t)
		}
	})
	return p
}

// wait returns how a run ended.
func (p *process) wait(t *testing.T) result {
	t.Helper()
	err := p.cmd.Wait()
	elapsed := time.Since(p.begin)
	p.cancel()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", p.cmd.Args, err)
	}
	return result{
		code: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String(), elapsed: elapsed,
		maxRSS: p.peak.stop(),
	}
}

// signal sends a signal to the run.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal %v: %v", s, err)
	}
}

// kill ends the run as a power loss would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	_ = p.cmd.Wait() // the kill is how it ended
	p.cancel()
	p.peak.stop()
}

// want fails the test unless a run ended with a code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit %d, want %d\nstdout: %s\nstderr: %s", r.code, code, tail(r.stdout), tail(r.stderr))
	}
	return r
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// document is the JSON that a run with --json ends with.
type document struct {
	ID          string           `json:"id"`
	State       string           `json:"state"`
	Pass        int              `json:"pass"`
	ListingDone bool             `json:"listing_done"`
	Objects     map[string]int64 `json:"objects"`
	Bytes       map[string]int64 `json:"bytes"`
	Tasks       map[string]int64 `json:"tasks"`
	Errors      []struct {
		Key       string `json:"key"`
		KeyBase64 []byte `json:"key_base64"`
		Class     string `json:"class"`
		Reason    string `json:"reason"`
	} `json:"errors"`
}

// document reads what a run with --json printed last, and checks that its sums add up.
func (r result) document(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("read document: %v\nstdout: %s\nstderr: %s", err, tail(r.stdout), tail(r.stderr))
	}
	var sum int64
	for _, name := range []string{"copied", "skipped", "filtered", "vanished", "changed", "failed"} {
		n, ok := d.Objects[name]
		if !ok {
			t.Errorf("the document lacks objects.%s", name)
		}
		sum += n
	}
	if d.Objects["found"] != sum {
		t.Errorf("found %d, but the outcomes sum up to %d: %v", d.Objects["found"], sum, d.Objects)
	}
	if d.State == "succeeded" || d.State == "failed" && d.Tasks["failed"] == 0 { // ranges that were given up are not found
		if !d.ListingDone || d.Objects["listed"] != d.Objects["found"] || d.Bytes["listed"] != d.Bytes["found"] {
			t.Errorf("at the end listed and found differ: %v %v", d.Objects, d.Bytes)
		}
		if d.Tasks["pending"] != 0 || d.Tasks["running"] != 0 {
			t.Errorf("at the end tasks are outstanding: %v", d.Tasks)
		}
	}
	return d
}

// errorKeys returns the exact keys that a document names as failed.
func (d document) errorKeys() (keys []string) {
	for _, e := range d.Errors {
		if e.KeyBase64 != nil {
			keys = append(keys, string(e.KeyBase64))
		} else {
			keys = append(keys, e.Key)
		}
	}
	slices.Sort(keys)
	return keys
}
