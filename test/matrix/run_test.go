package matrix_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/bucketbrigade/brigade/test/binary"
	"github.com/bucketbrigade/brigade/transfer"
)

// runTimeout bounds one run of the binary; far more than any needs.
const runTimeout = 10 * time.Minute

// outcome is what a run left.
type outcome struct {
	code           int
	stdout, stderr string
	Objects        map[string]int64 `json:"objects"`
	Bytes          map[string]int64 `json:"bytes"`
	Errors         []struct {
		Key       string `json:"key"`
		KeyBase64 []byte `json:"key_base64"`
		Class     string `json:"class"`
		Reason    string `json:"reason"`
	} `json:"errors"`
	records map[string]transfer.Record // by key
}

// importing is a run under way.
type importing struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	cancel         context.CancelFunc
	state          string
}

// start runs an import with a state folder of its own.
func start(t *testing.T, state string, env []string, args ...string) *importing {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	args = append([]string{"import", "--json", "--yes", "--state-dir", state}, args...)
	p := &importing{cmd: exec.CommandContext(ctx, shared.binary, args...), cancel: cancel, state: state}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(binary.Environment(), env...)
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %v: %v", args, err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

// kill ends the run as a power loss would.
func (p *importing) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // the kill is how it ended
	p.cancel()
}

// wait returns how the run ended.
func (p *importing) wait(t *testing.T) *outcome {
	t.Helper()
	err := p.cmd.Wait()
	p.cancel()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run: %v", err)
	}
	out := &outcome{code: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String()}
	if out.code != 0 && out.code != 3 {
		t.Fatalf("exit %d\nstdout: %s\nstderr: %s", out.code, tail(out.stdout), tail(out.stderr))
	}
	if err := json.Unmarshal(p.stdout.Bytes(), out); err != nil {
		t.Fatalf("read document: %v\nstdout: %s", err, tail(out.stdout))
	}
	out.records = readRecords(t, p.state)
	return out
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// readRecords reads the report that a run leaves beside its state.
func readRecords(t *testing.T, state string) map[string]transfer.Record {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(state, "*", "*", "report.jsonl.zst"))
	if more, _ := filepath.Glob(filepath.Join(state, "*", "report.jsonl.zst")); len(more) > 0 {
		found = append(found, more...)
	}
	if err != nil || len(found) != 1 {
		t.Fatalf("found reports %v, %v", found, err)
	}
	f, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dec, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	all := map[string]transfer.Record{}
	for lines := json.NewDecoder(dec); ; {
		var r transfer.Record
		if err := lines.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("read records: %v", err)
		}
		all[r.ExactKey()] = r
	}
}
