package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bucketbrigade/brigade/test/sink"
)

// Run is one run of one program.
type Run struct {
	Seconds     float64     `json:"seconds"`
	CPUSeconds  float64     `json:"cpu_seconds"` // user and system
	MaxRSS      int64       `json:"max_rss_bytes"`
	Destination sink.Stats  `json:"destination"`
	Source      *sink.Stats `json:"source,omitempty"` // where it is an S3 server
}

// server is a running sink.
type server struct {
	url string
	cmd *exec.Cmd
}

func startServer(path string) (*server, error) {
	cmd := exec.Command(path, "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read address of sink: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return &server{url: strings.TrimSpace(line), cmd: cmd}, nil
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop sink: %w", err)
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stop sink: %w", err)
	}
	return nil
}

func (s *server) stats() (st sink.Stats, err error) {
	resp, err := http.Get(s.url + "/-/stats")
	if err != nil {
		return st, fmt.Errorf("ask sink: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&st); err != nil {
		return st, fmt.Errorf("read stats: %w", err)
	}
	return st, nil
}

// measure runs both programs in turn and returns what each took.
func measure(ctx context.Context, o options, w work, dir string) (*Measured, error) {
	m := &Measured{Work: w.Name, Objects: w.Objects, Bytes: int64(w.Objects) * w.Size}
	source := filepath.Join(dir, "source")
	if !w.FromS3 {
		defer os.RemoveAll(source)
		if err := makeFiles(source, w); err != nil {
			return nil, err
		}
	}
	for i := range o.pairs {
		for _, p := range []*Program{&m.Brigade, &m.Rclone} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			name, build := "brigade", brigadeCommand
			if p == &m.Rclone {
				name, build = "rclone", rcloneCommand
			}
			r, command, err := once(ctx, o, w, source, filepath.Join(dir, fmt.Sprintf("%s-%d", name, i)), build)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			p.Command = command
			p.Runs = append(p.Runs, *r)
			fmt.Printf("%-28s %-8s run %d: %6.2f s, %6.2f s of CPU, %4d MiB\n", w.Name, name, i+1, r.Seconds, r.CPUSeconds, r.MaxRSS>>20)
		}
	}
	m.summarize()
	return m, nil
}

// build makes the command that copies from source to the server at destination. state is a folder of the run's own.
type build func(o options, w work, source, destination, state string) *exec.Cmd

// once runs one program once, against fresh servers.
func once(ctx context.Context, o options, w work, source, state string, build build) (r *Run, command string, err error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, "", fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(state)
	destination, err := startServer(o.sink)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, destination.stop()) }()
	from := source
	var origin *server
	if w.FromS3 {
		if origin, err = startServer(o.sink); err != nil {
			return nil, "", err
		}
		defer func() { err = errors.Join(err, origin.stop()) }()
		from = origin.url
	}
	cmd := build(o, w, from, destination.url, state)
	r, err = timed(ctx, cmd)
	if err != nil {
		return nil, "", err
	}
	if r.Destination, err = destination.stats(); err != nil {
		return nil, "", err
	}
	if origin != nil {
		st, err := origin.stats()
		if err != nil {
			return nil, "", err
		}
		r.Source = &st
	}
	if r.Destination.Objects != int64(w.Objects) {
		return nil, "", fmt.Errorf("%d objects arrived, not %d", r.Destination.Objects, w.Objects)
	}
	return r, describe(cmd), nil
}

// timed runs a command and returns what it took by the kernel's account.
func timed(ctx context.Context, cmd *exec.Cmd) (*Run, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	wall := time.Since(begin)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastBytes(output.Bytes(), 2000))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, errors.New("this system does not tell what a process used")
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// The kernel counts the memory of the process that starts another as that one's too; this one stays smaller.
	return &Run{Seconds: wall.Seconds(), CPUSeconds: cpu.Seconds(), MaxRSS: usage.Maxrss << 10}, nil
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// describe gives a command's line without the folders that only this run had.
func describe(cmd *exec.Cmd) string {
	return filepath.Base(cmd.Args[0]) + " " + strings.Join(cmd.Args[1:], " ")
}

func brigadeCommand(o options, w work, source, destination, state string) *exec.Cmd {
	if w.FromS3 {
		source = fmt.Sprintf("s3://syn%d-%d/?endpoint=%s&region=us-east-1", w.Objects, w.Size, source)
	}
	cmd := exec.Command(o.brigade, "import", source, "s3://bench/data/?endpoint="+destination+"&region=us-east-1", "--state-dir", state, "--yes")
	cmd.Env = append(os.Environ(), "HOME="+state)
	for _, side := range []string{"SRC", "DST"} {
		cmd.Env = append(cmd.Env, "BRIGADE_"+side+"_ACCESS_KEY=bench", "BRIGADE_"+side+"_SECRET_KEY=bench")
	}
	return cmd
}

func rcloneCommand(o options, w work, source, destination, state string) *exec.Cmd {
	env := append(os.Environ(), "HOME="+state, "RCLONE_CONFIG=")
	remote := func(name, url string) {
		prefix := "RCLONE_CONFIG_" + name + "_"
		env = append(env, prefix+"TYPE=s3", prefix+"PROVIDER=Other", prefix+"ENDPOINT="+url, prefix+"REGION=us-east-1",
			prefix+"ACCESS_KEY_ID=bench", prefix+"SECRET_ACCESS_KEY=bench", prefix+"NO_CHECK_BUCKET=true")
	}
	remote("DST", destination)
	if w.FromS3 {
		remote("SRC", source)
		source = fmt.Sprintf("src:syn%d-%d", w.Objects, w.Size)
	}
	cmd := exec.Command(o.rclone, append([]string{"copy", source, "dst:bench/data"}, w.RcloneFlags...)...)
	cmd.Env = env
	return cmd
}
