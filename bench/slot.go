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

// slot loads one listener for a while and returns what a request cost the worker, in microseconds.
func (e *envoy) slot(ctx context.Context, l *listener) (float64, error) {
	cookies, err := l.cookies(time.Now().Unix())
	if err != nil {
		return 0, err
	}
	if err := probe(ctx, l, cookies); err != nil {
		return 0, err
	}
	served, err := e.served(l)
	if err != nil {
		return 0, err
	}
	ns, err := e.cpu()
	if err != nil {
		return 0, err
	}
	if err := load(ctx, l, cookies); err != nil {
		return 0, err
	}
	ns2, err := e.cpu()
	if err != nil {
		return 0, err
	}
	served2, err := e.served(l)
	if err != nil || served2 == served {
		return 0, fmt.Errorf("no request was served: %w", err)
	}
	return float64(ns2-ns) / 1e3 / float64(served2-served), nil
}

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

// load keeps the worker busy from the other core.
func load(ctx context.Context, l *listener, cookies string) error {
	args := []string{"-c", loadCore, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(slotSeconds)}
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
