// Command bench measures what filters cost a request: the CPU time of Envoy's worker thread over
// the requests it served, for listeners side by side in one Envoy. Worker and load have a core
// each; slots come in random order, so that what else the machine does falls on all alike.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
)

const (
	rounds      = 21
	slotSeconds = 1
	connections = 64
	envoyCore   = "1"
	loadCore    = "0"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bench ENVOY NOTHING.wasm CURFEW.wasm (run: make bench)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1], os.Args[2], os.Args[3])
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, nothing, curfew string) error {
	listeners, err := newListeners(nothing, curfew)
	if err != nil {
		return err
	}
	e, err := startEnvoy(ctx, binary, listeners)
	if err != nil {
		return err
	}
	defer e.stop()
	fmt.Fprintf(os.Stderr, "bench: %d listeners, %d rounds of %d s each, after one to warm up\n", len(listeners), rounds, slotSeconds)
	costs := make([][]float64, len(listeners))
	for round := 0; round <= rounds; round++ {
		for _, i := range rand.Perm(len(listeners)) {
			us, err := e.slot(ctx, listeners[i])
			if err != nil {
				return fmt.Errorf("listener %q: %w", listeners[i].name, err)
			}
			fmt.Fprintf(os.Stderr, "bench: round %d/%d  %-22s %6.2f us\n", round, rounds, listeners[i].name, us)
			// The VM compiles hot code while it runs, so the first round does not count.
			if round > 0 {
				costs[i] = append(costs[i], us)
			}
		}
	}
	return report(os.Stdout, listeners, costs)
}
