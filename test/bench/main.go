// Command bench measures Brigade against rclone on the same work. Both copy into package sink, an S3 server that costs
// little and verifies what it is given to verify; runs alternate, so that what else the machine does meets both; every
// run starts with fresh servers and, for Brigade, fresh state. Verification stays on at the default of each.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	brigade, rclone, sink string // programs
	out                   string // JSON file
	pairs                 int    // runs of each program on each work
	only                  string // part of a work's name
	scale                 int    // divides the number or size of objects, for trying the bench itself
}

func main() {
	var o options
	flag.StringVar(&o.brigade, "brigade", "bin/brigade", "program to measure")
	flag.StringVar(&o.rclone, "rclone", "bin/tools/rclone", "program to measure against")
	flag.StringVar(&o.sink, "sink", "bin/sink", "server to copy to and from")
	flag.StringVar(&o.out, "out", "test/bench/RESULTS.json", "file for the results")
	flag.IntVar(&o.pairs, "pairs", 5, "runs of each program on each work")
	flag.StringVar(&o.only, "only", "", "measure only works whose name contains this")
	flag.IntVar(&o.scale, "scale", 1, "divide the work by this")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, p := range []*string{&o.brigade, &o.rclone, &o.sink} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("find %s: %w", *p, err)
		}
		*p = abs
	}
	dir, err := os.MkdirTemp("", "brigade-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)

	res := Results{Machine: describeMachine(), Brigade: versionOf(ctx, o.brigade), Rclone: versionOf(ctx, o.rclone)}
	fmt.Printf("%s\n%s against %s, %d runs each, alternating\n\n", res.Machine, res.Brigade, res.Rclone, o.pairs)
	for _, w := range works(o.scale) {
		if !strings.Contains(w.Name, o.only) {
			continue
		}
		m, err := measure(ctx, o, w, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		res.Works = append(res.Works, m)
	}
	res.print(os.Stdout)
	if o.only != "" || o.scale != 1 {
		return nil // a part is no result to keep
	}
	return res.save(o.out)
}
