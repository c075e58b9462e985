package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// browser is what a browser sends beside Host and Cookie: 16 headers in all.
var browser = []string{
	"Connection: keep-alive",
	`sec-ch-ua: "Chromium";v="142", "Not=A?Brand";v="24"`,
	"sec-ch-ua-mobile: ?0",
	`sec-ch-ua-platform: "Linux"`,
	"Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-User: ?1",
	"Sec-Fetch-Dest: document",
	"Referer: http://127.0.0.1/orders",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9",
}

const path = "/orders/4711?tab=items"

// loader says who loads a listener: how many threads and connections, on which cores as taskset names them.
type loader struct {
	threads, connections int
	cores                string
}

// spent is what the workers have done by some moment.
type spent struct{ ns, served int64 }

// slot loads one listener for a while.
func (e *envoy) slot(ctx context.Context, l *listener, by loader) (s spent, err error) {
	cookies, err := l.cookies(time.Now().Unix())
	if err != nil {
		return s, err
	}
	if err := probe(ctx, l, cookies); err != nil {
		return s, err
	}
	before, err := e.spent(l)
	if err != nil {
		return s, err
	}
	if err := by.load(ctx, l, cookies); err != nil {
		return s, err
	}
	after, err := e.spent(l)
	if err != nil || after.served == before.served {
		return s, fmt.Errorf("no request was served: %w", err)
	}
	return spent{after.ns - before.ns, after.served - before.served}, nil
}

func (e *envoy) spent(l *listener) (s spent, err error) {
	if s.served, err = e.served(l); err == nil {
		s.ns, err = e.cpu()
	}
	return s, err
}

// each is what a request cost the workers, in microseconds.
func (s spent) each() float64 { return float64(s.ns) / 1e3 / float64(s.served) }

// probe makes sure that the filter does its work: a live session passes without a new cookie, and
// without a session nobody passes.
func probe(ctx context.Context, l *listener, cookies string) error {
	res, err := get(ctx, l, cookies)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 || res.Header.Get("Set-Cookie") != "" {
		return fmt.Errorf("a live session got %s and %d new cookies", res.Status, len(res.Header["Set-Cookie"]))
	}
	res, err = get(ctx, l, others)
	if err == nil && l.guarded == (res.StatusCode == 200) {
		err = errors.New("a request without a session got " + res.Status)
	}
	return err
}

func get(ctx context.Context, l *listener, cookies string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", l.url(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Cookie", cookies)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res, err
}

func (l *listener) url() string { return "http://127.0.0.1:" + strconv.Itoa(l.port) + path }

// load keeps the workers busy.
func (by loader) load(ctx context.Context, l *listener, cookies string) error {
	args := []string{"-c", by.cores, "wrk", "-t", strconv.Itoa(by.threads), "-c", strconv.Itoa(by.connections), "-d", strconv.Itoa(slotSeconds)}
	for _, line := range append(browser[:len(browser):len(browser)], "Cookie: "+cookies) {
		args = append(args, "-H", line)
	}
	out, err := exec.CommandContext(ctx, "taskset", append(args, l.url())...).CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("wrk: %w: %s", err, out)
	case bytes.Contains(out, []byte("Non-2xx")) || strings.Contains(string(out), "Socket errors"):
		return fmt.Errorf("not every request got 200: %s", out)
	}
	return nil
}
