// Command app is the demo app behind Curfew. It has no session code: session.go reads one request header
// and writes one response header, and Curfew, in the proxy, does the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := os.Getenv("APP_ADDR")
	if addr == "" {
		addr = "127.0.0.1:8080"
	}
	if err := serve(ctx, addr); err != nil {
		fmt.Fprintf(os.Stderr, "app: APP_ADDR %q: %v; set APP_ADDR to a free host:port\n", addr, err)
		os.Exit(1)
	}
}

// serve answers on addr until ctx ends, then lets the requests under way finish.
func serve(ctx context.Context, addr string) error {
	server := &http.Server{
		Addr:              addr,
		Handler:           newHandler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		// Longer than the hour that Envoy keeps an idle upstream connection: if the app closed first, a request
		// that Envoy sends at that moment would be lost and answered with 503.
		IdleTimeout: 65 * time.Minute,
		// A stream ends with the server, too.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}
