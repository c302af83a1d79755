// Command sink serves package sink until it is interrupted. The first line it prints is its URL.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bucketbrigade/brigade/test/sink"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen at")
	latency := flag.Duration("latency", 0, "delay before each answer")
	keep := flag.Int64("keep", 0, "bytes of content to keep at most, for reading it back")
	order := flag.String("order", "bytes", "order of listings: bytes, utf16, nocase or shuffled")
	flag.Parse()
	if err := run(*addr, sink.Options{Latency: *latency, Keep: *keep, Order: sink.OrderNamed(*order)}); err != nil {
		fmt.Fprintln(os.Stderr, "sink:", err)
		os.Exit(1)
	}
}

func run(addr string, opts sink.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: sink.New(opts), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
