// Command shop is a small tea shop behind Curfew: cart, theme, visit counter, recently seen goods, a form in
// two steps, remember-me and an A/B group. It keeps nothing itself: all of that lives in the visitor's session.
package main

import (
	"context"
	"errors"
	"fmt"
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
		fmt.Fprintf(os.Stderr, "shop: APP_ADDR %q: %v; set APP_ADDR to a free host:port\n", addr, err)
		os.Exit(1)
	}
}

// serve answers on addr until ctx ends, then waits up to 5 seconds for the requests under way.
func serve(ctx context.Context, addr string) error {
	server := &http.Server{
		Addr:              addr,
		Handler:           newHandler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       65 * time.Minute, // Envoy reuses a connection for up to an hour: it, not we, should close first
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
