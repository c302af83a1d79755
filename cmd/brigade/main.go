package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// version is stamped by -ldflags "-X main.version=..."; see versionOf for what stands in where it was not.
var version string

func main() {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, stores: registry(), terminals: systemTerminals(), protect: prepareProcess,
	}
	log.SetOutput(io.Discard) // what net/http has to say of odd answers; their errors come back as well
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, stopSignals()...)
	a.signals = signals
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codeDone
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = refused(err)
	}
	if exit.err != nil {
		_, _ = fmt.Fprintf(a.err, "brigade: %s\n", oneLine(exit.err.Error()))
	}
	return exit.code
}

// app is what the commands share: the process's surroundings, so that tests can bring their own.
type app struct {
	in        io.Reader
	out, err  io.Writer
	getenv    func(string) string
	signals   <-chan os.Signal
	terminals terminals
	stores    store.Registry
	// archivedEvery is how often import looks for archived objects that are being restored, at first; 0 means 5 min.
	archivedEvery time.Duration
	protect       func(coreDumps bool) error // keeps the memory of the process to itself; nil: it is not only ours
}
