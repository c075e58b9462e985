package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/curfew-proxy/curfew/policy"
)

// report is what `status -json` prints.
type report struct {
	Time    time.Time       `json:"time"`
	Proxies []proxyReport   `json:"proxies"`
	Reasons map[string]int  `json:"reasons"`
	Session map[string]int  `json:"sessions"` // start, rotate, end
	Streams int             `json:"streams_ended"`
	Keys    map[string]int  `json:"keys"` // ids with _ for -
	Feed    *feedReport     `json:"feed"` // null: none of the proxies has one
	Pages   int             `json:"memory_pages"`
	Others  map[string]int  `json:"others,omitempty"` // counters of a newer filter
	rates   map[string]rate // by metric
}

type proxyReport struct {
	URL   string `json:"url"`
	Error string `json:"error,omitempty"`
}

type feedReport struct {
	Age      int `json:"age_seconds"`
	Entries  int `json:"entries"`
	Failures int `json:"failures"`
}

// rate is how a counter moves.
type rate struct {
	known bool // there are two readings
	perS  float64
	last  time.Time // when a reading saw it rise; zero: never
}

func newReport(proxies []*proxy, now time.Time) *report {
	values, risen, rose := sum(proxies)
	r := &report{Time: now.UTC().Truncate(time.Second), Reasons: map[string]int{}, Session: map[string]int{}, Keys: map[string]int{},
		Others: map[string]int{}, rates: map[string]rate{}}
	for _, p := range proxies {
		said := proxyReport{URL: p.name()}
		if p.err != nil {
			said.Error = p.err.Error()
		}
		r.Proxies = append(r.Proxies, said)
	}
	for name, v := range values {
		r.file(name, int(v))
		r.rates[name] = rate{risen != nil, risen[name], rose[name]}
	}
	return r
}

// file puts a metric where it belongs.
func (r *report) file(name string, v int) {
	word := strings.TrimPrefix(name, metricPrefix)
	switch id, isKey := strings.CutPrefix(name, keyPrefix); {
	case isKey:
		r.Keys[id] = v
	case name == pagesGauge:
		r.Pages = v
	case name == ageGauge:
		r.feed().Age = v
	case name == entriesGauge:
		r.feed().Entries = v
	case name == feedFailures:
		r.feed().Failures = v
	case word == "stream_end":
		r.Streams = v
	case strings.HasPrefix(word, "session_"):
		r.Session[strings.TrimPrefix(word, "session_")] = v
	case slices.Contains(reasonNames(0, policy.ReasonCount), word):
		r.Reasons[word] = v
	default:
		r.Others[word] = v
	}
}

func (r *report) feed() *feedReport {
	if r.Feed == nil {
		r.Feed = &feedReport{}
	}
	return r.Feed
}

// reasonNames are those from first up to and without end, in the order of docs/reasons.md.
func reasonNames(first, end policy.Reason) (names []string) {
	for ; first < end; first++ {
		names = append(names, first.String())
	}
	return names
}

// table is the report for a person.
func table(proxies []*proxy, now time.Time) string {
	r := newReport(proxies, now)
	b := &strings.Builder{}
	fmt.Fprintf(b, "curfew: %d of %d answer, %s\n", answered(proxies), len(proxies), now.Format(time.TimeOnly))
	for _, p := range r.Proxies {
		if p.Error != "" {
			fmt.Fprintf(b, "  %s: %s\n", p.URL, p.Error)
		} else if len(proxies) > 1 {
			fmt.Fprintf(b, "  %s: ok\n", p.URL)
		}
	}
	fmt.Fprintf(b, "%-24s %12s %10s %10s\n", "", "total", "per second", "last rise")
	r.rows(b, "requests", reasonNames(0, policy.Opened), r.Reasons, metricPrefix, true)
	r.rows(b, "responses", reasonNames(policy.Opened, policy.ReasonCount), r.Reasons, metricPrefix, true)
	r.rows(b, "sessions", []string{"session_start", "session_rotate", "session_end", "stream_end"}, map[string]int{
		"session_start": r.Session["start"], "session_rotate": r.Session["rotate"], "session_end": r.Session["end"], "stream_end": r.Streams}, metricPrefix, false)
	r.rows(b, "others", slices.Sorted(maps.Keys(r.Others)), r.Others, metricPrefix, true)
	r.rows(b, "keys", slices.Sorted(maps.Keys(r.Keys)), r.Keys, keyPrefix, false)
	if f := r.Feed; f != nil {
		fmt.Fprintf(b, "feed: %d entries, last good answer %v ago, %d failures%s\n", f.Entries, time.Duration(f.Age)*time.Second, f.Failures, r.recently(feedFailures))
	}
	fmt.Fprintf(b, "memory: %d pages (%d KiB) at most in one worker\n", r.Pages, 64*r.Pages)
	return b.String()
}

// rows is a part of the table. With quiet, those that never happened are only counted.
func (r *report) rows(b *strings.Builder, title string, names []string, values map[string]int, prefix string, quiet bool) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintln(b, title)
	zero := 0
	for _, name := range names {
		v := values[name]
		if v == 0 && quiet {
			zero++
			continue
		}
		fmt.Fprintf(b, "  %-22s %12d %10s %10s\n", name, v, r.rates[prefix+name].text(), r.ago(prefix+name))
	}
	if zero > 0 {
		fmt.Fprintf(b, "  (%d others: 0)\n", zero)
	}
}

func (r rate) text() string {
	if !r.known {
		return "-"
	}
	return fmt.Sprintf("%.1f", r.perS)
}

// ago says how long ago the last rise was seen; nothing tells of those before the first reading.
func (r *report) ago(metric string) string {
	last := r.rates[metric].last
	if last.IsZero() {
		return "-"
	}
	return r.Time.Sub(last.Truncate(time.Second)).String()
}

// recently is the last rise in words, if one was seen.
func (r *report) recently(metric string) string {
	if r.rates[metric].last.IsZero() {
		return ""
	}
	return ", the last " + r.ago(metric) + " ago"
}
