// Command bench measures what filters cost a request: the CPU time of Envoy's worker threads over
// the requests they served. First for listeners side by side in one Envoy, where worker and load have a core
// each; then for more workers and more Envoys, which share all cores with the load. Slots come in random
// order, so that what else the machine does falls on all alike.
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
)

var oneCore = loader{threads: 1, connections: connections, cores: "0"}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bench ENVOY NOTHING.wasm CURFEW.wasm (run: make bench)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compare(ctx, os.Args[1], os.Args[2], os.Args[3])
	if err == nil {
		err = grow(ctx, os.Args[1], os.Args[2], os.Args[3])
	}
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, binary, nothing, curfew string) error {
	listeners, err := newListeners(nothing, curfew)
	if err != nil {
		return err
	}
	e, err := startEnvoy(ctx, binary, listeners, 1, envoyCore)
	if err != nil {
		return err
	}
	defer e.stop()
	fmt.Fprintf(os.Stderr, "bench: %d listeners, %d rounds of %d s each, after one to warm up\n", len(listeners), rounds, slotSeconds)
	costs := make([][]float64, len(listeners))
	for round := 0; round <= rounds; round++ {
		for _, i := range rand.Perm(len(listeners)) {
			s, err := e.slot(ctx, listeners[i], oneCore)
			if err != nil {
				return fmt.Errorf("listener %q: %w", listeners[i].name, err)
			}
			fmt.Fprintf(os.Stderr, "bench: round %d/%d  %-22s %6.2f us\n", round, rounds, listeners[i].name, s.each())
			// The VM compiles hot code while it runs, so the first round does not count.
			if round > 0 {
				costs[i] = append(costs[i], s.each())
			}
		}
	}
	return report(os.Stdout, listeners, costs)
}
