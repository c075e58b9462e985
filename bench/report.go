package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// spread is the median of some figures, and between what the middle half of them lies.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	return spread{v[len(v)/4], v[len(v)/2], v[len(v)*3/4]}
}

func (s spread) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.low, s.high)
}

// each applies f to the figures of the same round.
func each(a, b []float64, f func(a, b float64) float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = f(a[i], b[i])
	}
	return out
}

// report prints the table. Differences and ratios are taken within a round, for the machine may be
// faster in one than in another.
func report(w io.Writer, listeners []*listener, costs [][]float64) error {
	minus := func(a, b float64) float64 { return a - b }
	over := func(a, b float64) float64 { return a / b }
	jwt := each(costs[len(costs)-1], costs[0], minus)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "listener\tus per request\tadded us\tof what jwt_authn adds")
	for i, l := range listeners {
		added := each(costs[i], costs[0], minus)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.name, spreadOf(costs[i]), spreadOf(added), spreadOf(each(added, jwt, over)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	byID := map[string][]float64{}
	for i, l := range listeners {
		byID[l.id] = costs[i]
	}
	wrapping := spreadOf(each(byID["wrap"], byID["sealed"], minus))
	fmt.Fprintf(w, "\nWrapping an app's own cookie adds %s us to a sealed session.\n", wrapping)
	noise := spreadOf(each(byID["again"], byID["base"], minus))
	_, err := fmt.Fprintf(w, "\nMedian of %d rounds (and the middle half). Noise of this machine: no filter again differs from no filter by %s us.\n", rounds, noise)
	return err
}
