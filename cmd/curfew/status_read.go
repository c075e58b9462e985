package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// statsPath is where both Envoy's admin port and Istio's agent have their page; the agent ignores the filter.
const statsPath = "/stats/prometheus?filter=curfew_"

const (
	pageTimeout = 5 * time.Second
	maxPage     = 256 << 20 // bytes; an Envoy with thousands of clusters has tens of megabytes
)

// proxy is one page and what it said last.
type proxy struct {
	url    *url.URL
	at     time.Time
	values map[string]float64 // of the last good reading
	risen  map[string]float64 // per second, by how much each rose from the reading before; nil at the first
	rose   map[string]time.Time
	err    error // of the last reading
}

// userInfo is a URL's user and password, which no message shows; url.Redacted would want a URL that parses.
var userInfo = regexp.MustCompile(`//.*@`)

// newProxy takes a URL; without a path it means the admin port of an Envoy.
func newProxy(text string) (*proxy, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is no http or https URL; give one such as http://127.0.0.1:9901", userInfo.ReplaceAllString(text, "//xxxxx@"))
	}
	if strings.Trim(u.Path, "/") == "" && u.RawQuery == "" {
		u, err = u.Parse(statsPath)
	}
	return &proxy{url: u, rose: map[string]time.Time{}}, err
}

// name is the URL as a person may see it.
func (p *proxy) name() string { return p.url.Scheme + "://" + p.url.Host }

// readAll asks all proxies at once; where ctx ends meanwhile, what they said before stays.
func readAll(ctx context.Context, proxies []*proxy, now func() time.Time) {
	var all sync.WaitGroup
	for _, p := range proxies {
		all.Go(func() {
			if values, err := fetch(ctx, p.url); ctx.Err() == nil {
				p.take(values, err, now())
			}
		})
	}
	all.Wait()
}

// take notes a reading.
func (p *proxy) take(values map[string]float64, err error, now time.Time) {
	if p.err = err; err != nil {
		return
	}
	if p.values != nil && now.After(p.at) {
		p.risen = map[string]float64{}
		for name, v := range values {
			rise := v - p.values[name]
			if rise < 0 {
				rise = v // this Envoy started anew
			}
			if rise > 0 {
				p.risen[name], p.rose[name] = rise/now.Sub(p.at).Seconds(), now
			}
		}
	}
	p.values, p.at = values, now
}

// fetch reads Curfew's metrics from one page.
func fetch(ctx context.Context, u *url.URL) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, wayOut(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, wrongStatus(res.StatusCode)
	}
	values, err := parsePage(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return nil, wayOut(err)
	}
	if len(values) == 0 {
		return nil, errors.New("answers, but has no counter of Curfew: no filter has started in this proxy (its log says why: look for \"wasm\"), " +
			"or its stats_config leaves out wasmcustom.*, or this is not its stats page (that is /stats/prometheus of the admin port)")
	}
	return values, nil
}

// parsePage takes what is Curfew's from a page in Prometheus' text format. The format's own library would bring
// five modules and more bytes than all of this command; a name, a space and a number need none of it.
func parsePage(page io.Reader) (map[string]float64, error) {
	values := map[string]float64{}
	lines := bufio.NewScanner(page)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		name, _, labelled := strings.Cut(name, "{")
		if !strings.HasPrefix(name, metricPrefix) {
			continue
		}
		if labelled {
			// A label's value may hold a space or a brace; the number comes after the last.
			rest = lines.Text()[strings.LastIndexByte(lines.Text(), '}')+1:]
		}
		if fields := strings.Fields(rest); len(fields) > 0 { // a timestamp may follow
			if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
				values[name] = together(name, values[name], v)
			}
		}
	}
	return values, lines.Err()
}

// Names of metrics, as Envoy's page has them.
const (
	metricPrefix = "curfew_"
	keyPrefix    = "curfew_key_"
	pagesGauge   = "curfew_memory_pages"
	ageGauge     = "curfew_feed_age_seconds"
	entriesGauge = "curfew_feed_entries"
	feedFailures = "curfew_feed_failures"
)

// together makes one value of two proxies'. Of gauges the worst counts: the oldest list, the largest memory.
func together(name string, a, b float64) float64 {
	switch name {
	case pagesGauge, ageGauge, entriesGauge:
		return max(a, b)
	}
	return a + b
}

// sum makes one of all proxies that have answered.
func sum(proxies []*proxy) (values, risen map[string]float64, rose map[string]time.Time) {
	values, rose = map[string]float64{}, map[string]time.Time{}
	for _, p := range proxies {
		for name, v := range p.values {
			values[name] = together(name, values[name], v)
		}
		if p.risen != nil && p.err == nil {
			if risen == nil {
				risen = map[string]float64{}
			}
			for name, v := range p.risen {
				risen[name] += v
			}
		}
		maps.Copy(rose, newer(p.rose, rose))
	}
	return values, risen, rose
}

// newer is what of a is later than in b.
func newer(a, b map[string]time.Time) map[string]time.Time {
	out := maps.Clone(a)
	maps.DeleteFunc(out, func(name string, at time.Time) bool { return !at.After(b[name]) })
	return out
}

// wayOut words an error of the network for who has to do something about it.
func wayOut(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused: nothing listens there; Envoy's `admin` address says where it does (Istio: port 15000, or 15020 from outside the pod)")
	case errors.As(err, &unknown), errors.As(err, &host):
		return fmt.Errorf("%w: name its certificate authority in SSL_CERT_FILE, and use the host that is in the certificate", cause(err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return errors.New("speaks plain http: begin the URL with http://")
	case strings.Contains(err.Error(), "tls:"):
		return fmt.Errorf("%w: is this a port that speaks TLS without a client's certificate? Envoy's admin port is plain http", cause(err))
	case errors.As(err, &record) && record.Timeout():
		return fmt.Errorf("no answer in %v: is it reachable from here? Envoy's admin port often listens on 127.0.0.1 only", pageTimeout)
	}
	return cause(err)
}

// cause drops the method and URL, which stand beside the error already.
func cause(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func wrongStatus(code int) error {
	text := fmt.Sprintf("answers %d %s", code, http.StatusText(code))
	switch code {
	case http.StatusNotFound:
		return errors.New(text + ": no stats page there; it is /stats/prometheus of the admin port")
	case http.StatusBadRequest:
		return errors.New(text + ": if this port speaks TLS, begin the URL with https://")
	}
	return errors.New(text + ": is this an admin port, or one that serves metrics?")
}
