package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"text/tabwriter"
	"time"
)

// fleet is some gateways, which share the load and nothing else.
type fleet struct {
	gateways, workers int // workers of each
	envoys            []*envoy
	// By round: what a request costs without a filter and with Curfew, in microseconds, and how many are
	// answered in a second with it.
	bare, curfew, rate []float64
}

func (f *fleet) String() string { return fmt.Sprintf("%d x %d", f.gateways, f.workers) }

const growRounds = 11

// grow measures whether a request costs the same however many workers and gateways there are. If it does,
// each further one adds all that its cores can do.
func grow(ctx context.Context, binary, nothing, curfew string) error {
	fleets := []*fleet{{gateways: 1, workers: 1}, {gateways: 1, workers: 2}, {gateways: 1, workers: 4}, {gateways: 2, workers: 1}, {gateways: 2, workers: 2}}
	for _, f := range fleets {
		defer f.stop()
		if err := f.start(ctx, binary, nothing, curfew); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "bench: %d fleets, %d rounds of %d s each, after one to warm up\n", len(fleets), growRounds, 2*slotSeconds)
	for round := 0; round <= growRounds; round++ {
		for _, i := range rand.Perm(len(fleets)) {
			f := fleets[i]
			if err := f.round(ctx, round > 0); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			fmt.Fprintf(os.Stderr, "bench: round %d/%d  %s\n", round, growRounds, f)
		}
	}
	return reportGrowth(os.Stdout, fleets)
}

func (f *fleet) start(ctx context.Context, binary, nothing, curfew string) error {
	for range f.gateways {
		all, err := newListeners(nothing, curfew)
		if err != nil {
			return err
		}
		var two []*listener
		for _, l := range all {
			if l.id == "base" || l.id == "signed" {
				two = append(two, l)
			}
		}
		e, err := startEnvoy(ctx, binary, two, f.workers, fmt.Sprintf("0-%d", runtime.NumCPU()-1))
		if err != nil {
			return err
		}
		f.envoys = append(f.envoys, e)
	}
	return nil
}

func (f *fleet) stop() {
	for _, e := range f.envoys {
		e.stop()
	}
}

// round loads the fleet without a filter and then with Curfew.
func (f *fleet) round(ctx context.Context, counts bool) error {
	var took [2]float64
	var rate float64
	for i := range took {
		begin := time.Now()
		s, err := f.slot(ctx, i)
		if err != nil {
			return err
		}
		took[i], rate = s.each(), float64(s.served)/time.Since(begin).Seconds()
	}
	if counts {
		f.bare, f.curfew, f.rate = append(f.bare, took[0]), append(f.curfew, took[1]), append(f.rate, rate)
	}
	return nil
}

// slot loads the same listener of all gateways at once.
func (f *fleet) slot(ctx context.Context, listener int) (sum spent, err error) {
	type result struct {
		spent
		err error
	}
	results := make(chan result, len(f.envoys))
	for _, e := range f.envoys {
		go func() {
			by := loader{threads: 2 / f.gateways, connections: connections / f.gateways, cores: fmt.Sprintf("0-%d", runtime.NumCPU()-1)}
			s, err := e.slot(ctx, e.listeners[listener], by)
			results <- result{s, err}
		}()
	}
	for range f.envoys {
		r := <-results
		sum.ns, sum.served, err = sum.ns+r.ns, sum.served+r.served, errors.Join(err, r.err)
	}
	return sum, err
}

func reportGrowth(w io.Writer, fleets []*fleet) error {
	minus := func(a, b float64) float64 { return a - b }
	over := func(a, b float64) float64 { return a / b }
	fmt.Fprintf(w, "\nGateways and workers of each, on %d cores that the load has too:\n\n", runtime.NumCPU())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "gateways x workers\tus per request\twith Curfew\tadded us\tcost over 1 x 1\trequests/s")
	for _, f := range fleets {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.0f\n", f, spreadOf(f.bare), spreadOf(f.curfew), spreadOf(each(f.curfew, f.bare, minus)),
			spreadOf(each(f.curfew, fleets[0].curfew, over)), spreadOf(f.rate).median)
	}
	return t.Flush()
}
