package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// startTimeout is how long a server may take until it answers; generous, since test machines are often overloaded.
const startTimeout = 60 * time.Second

// logTail is how much of a dead server's output an error shows, in bytes.
const logTail = 4 << 10

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process ended and was waited for
	output *tail
}

// startProcess runs a program until stop. Secrets go into env, never into args.
func startProcess(path string, args, env []string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), exited: make(chan struct{}), output: &tail{}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is told by the output; it is killed on purpose
	}()
	return p, nil
}

// stop kills the process and waits for its end.
func (p *process) stop() error {
	err := p.cmd.Process.Kill()
	<-p.exited
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

// waitHealthy asks url until it answers 200, the process ends or time is up.
func (p *process) waitHealthy(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if healthy(ctx, client, url) {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("server ended before it answered: %s", p.output)
		case <-ctx.Done():
			return fmt.Errorf("server does not answer within %v: %s", startTimeout, p.output)
		case <-tick.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// freeAddress returns an address of the loopback interface that nobody listens on right now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find free port: %w", err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("find free port: %w", err)
	}
	return addr, nil
}

// findTool looks for a program: the variable, $PATH, the Go bin folder, bin/tools of this repository.
func findTool(name, variable string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%s=%s: %w", variable, path, err)
		}
		return found, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range toolDirs() {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run `make tools`, or name it in %s", name, variable)
}

func toolDirs() []string {
	var dirs []string
	if out, err := exec.Command("go", "env", "GOPATH").Output(); err == nil {
		dirs = append(dirs, filepath.Join(strings.TrimSpace(string(out)), "bin"))
	}
	if out, err := exec.Command("go", "env", "GOMOD").Output(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "bin", "tools"))
	}
	return dirs
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if extra := t.buf.Len() - logTail; extra > 0 {
		t.buf.Next(extra)
	}
	return len(p), nil
}

// String returns the end.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
