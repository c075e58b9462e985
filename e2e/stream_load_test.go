package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patientClient keeps no cookie, and gives up where an answer does not begin in time.
func (s *scene) patientClient(proto string) *client {
	s.t.Helper()
	c := newBare(s.t, s.e, proto)
	c.http.Transport.(*http.Transport).ResponseHeaderTimeout = patience
	return c
}

// begin opens a response that is not read to its end.
func (c *client) begin(ctx context.Context, path, cookies string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", c.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("cookie", cookies)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != 200 {
		res.Body.Close()
		return nil, fmt.Errorf("a stream of %s is refused: %s", path, res.Status)
	}
	return res.Body, nil
}

// allFiles lets Envoy have as many open files as this test may; a Go program raises only its own limit.
func allFiles(t *testing.T, need uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if limit.Max < need {
		t.Fatalf("%d open files are allowed and %d needed; raise the hard limit: ulimit -Hn %d", limit.Max, need, need)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// A thousand event streams over four workers end within one tick.
func TestStreamsThousand(t *testing.T) {
	const sessions, each = 50, 10 // of each protocol
	allFiles(t, 4096)
	s := newScene(t, setup{workers: 4})
	seen := map[string]chan time.Time{}
	var opened, done sync.WaitGroup
	for _, proto := range protocols {
		seen[proto] = make(chan time.Time, sessions*each)
	}
	for range sessions {
		cookies := s.in(`{"start":{"subject":"42"}}`).saved()
		for _, proto := range protocols {
			c := s.patientClient(proto)
			for range each {
				opened.Add(1)
				done.Go(func() {
					body, err := c.begin(t.Context(), "/events", cookies)
					opened.Done()
					if err != nil {
						t.Error(err)
						return
					}
					defer body.Close()
					if _, err = io.Copy(io.Discard, body); err == nil {
						t.Errorf("%s: a clean end", proto)
					}
					seen[proto] <- time.Now()
				})
			}
		}
	}
	opened.Wait()
	s.at("a second before", 15*time.Minute-time.Second, 2*sessions*each)
	end := time.Now()
	s.at("the end", 15*time.Minute, 0)
	s.within("all clients see it", done.Wait)
	s.ended(2*sessions*each, map[string]int{"idle_timeout": 2 * sessions * each})
	for _, proto := range protocols {
		close(seen[proto])
		var took []time.Duration
		for at := range seen[proto] {
			took = append(took, at.Sub(end).Round(time.Millisecond))
		}
		if slices.Sort(took); len(took) > 0 {
			// Envoy holds back the end of an http/1.1 connection: delayed_close_timeout, a second by default.
			t.Logf("%d streams over %s: their clients saw the end of the session after %v (median), %v (last)", len(took), proto, took[len(took)/2], took[len(took)-1])
		}
	}
}

// A hundred thousand streams, of which some are ended by the app, some by the client and some by the
// filter, leave nothing behind.
func TestStreamsMemory(t *testing.T) {
	const rounds, held, brief = 10, 900, 9_100
	s := newScene(t, setup{workers: 2}, `"streams": {"activity": true}`)
	var clients []*client
	for range 8 {
		clients = append(clients, s.patientClient("h2"))
	}
	first := 0
	for round := range rounds {
		s.round(clients, held, brief)
		if round == 0 {
			first = s.e.counter("memory_pages")
		}
		fmt.Fprintf(os.Stderr, "streams: %d of %d\n", (round+1)*(held+brief), rounds*(held+brief))
	}
	s.ended(rounds*held, nil)
	eventually(t, "the app has none", func() bool { return s.app.open.Load() == 0 })
	if n := s.e.gauge("cluster.app.upstream_rq_active"); n != 0 {
		t.Errorf("Envoy waits for %d answers of the app", n)
	}
	pages := s.e.counter("memory_pages")
	t.Logf("%d streams, of which the filter ended %d: %d pages of memory after the first %d, %d after all", rounds*(held+brief), rounds*held, first, held+brief, pages)
	// Memory grows by doubling, and when garbage is collected is chance: once is no leak.
	if first < 1 || pages > 2*first {
		t.Errorf("%d pages of memory, after the first %d streams there were %d", pages, held+brief, first)
	}
}

// round opens streams of new sessions, so many that stay until their sessions end, and beside these so
// many that do not.
func (s *scene) round(clients []*client, held, brief int) {
	s.t.Helper()
	const lanes = 32
	var cookies [50]string
	for i := range cookies {
		cookies[i] = s.in(`{"start":{"subject":"42"}}`).saved()
	}
	over := s.hold(clients, held, func(i int) string { return cookies[i%len(cookies)] })
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() {
			for i := lane; i < brief && !s.t.Failed(); i += lanes {
				if err := clients[i%len(clients)].brief(i, cookies[i%len(cookies)]); err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	s.within("the brief ones are over", wg.Wait)
	eventually(s.t, "Envoy has closed them", func() bool { return s.active() == held })
	s.tick() // what the others carried is seen
	s.at("the end", s.clk.now.Sub(s.began)+15*time.Minute, 0)
	s.within("all clients see it", over)
}

// hold opens event streams; over waits for the end of all.
func (s *scene) hold(clients []*client, n int, cookies func(i int) string) (over func()) {
	s.t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		body, err := clients[i%len(clients)].begin(context.Background(), "/events", cookies(i))
		if err != nil {
			s.t.Fatal(err)
		}
		wg.Go(func() {
			defer body.Close()
			if _, err := io.Copy(io.Discard, body); err == nil {
				s.t.Error("a clean end")
			}
		})
	}
	return wg.Wait
}

// brief opens a stream that does not last: one of three the client ends, the others the app. (Of more
// such clients Envoy thinks that they attack it by resets, and closes the connection.)
func (c *client) brief(i int, cookies string) error {
	path, read := "/plain", func(r io.Reader) (err error) { _, err = io.Copy(io.Discard, r); return err }
	if i%3 == 0 {
		path, read = "/events", func(r io.Reader) (err error) { _, err = io.ReadFull(r, make([]byte, 1)); return err }
	}
	body, err := c.begin(context.Background(), path, cookies)
	if err != nil {
		return err
	}
	defer body.Close()
	return read(body)
}

// The end of some streams touches no other request, not even one on the same connection.
func TestStreamsEndAlone(t *testing.T) {
	const streams, requests, lanes = 200, 10_000, 16
	s := newScene(t, setup{workers: 2})
	ends, lives := s.in(`{"start":{"subject":"41"}}`).saved(), s.in(`{"start":{"subject":"42","idle":"2h"}}`).saved()
	var clients []*client
	for i := range lanes {
		clients = append(clients, s.patientClient(protocols[i%2]))
	}
	over := s.hold(clients, streams, func(int) string { return ends })
	s.at("before", time.Minute, streams)
	connections := s.e.gauge("http.https.downstream_cx_http2_total")

	var sent, during atomic.Int64
	var wg sync.WaitGroup
	half, left := make(chan struct{}), make(chan struct{})
	ask := func(c *client) bool {
		n := sent.Add(1)
		select {
		case <-left:
			if n > requests {
				sent.Add(-1)
				return false
			}
		case <-half:
			during.Add(1)
		default:
		}
		if n == requests/2 {
			close(half)
		}
		if err := c.plain(lives); err != nil {
			t.Errorf("request %d: %v", n, err)
			return false
		}
		return true
	}
	for _, c := range clients {
		wg.Go(func() {
			for ask(c) {
			}
		})
	}
	s.within("half of the requests", func() { <-half })
	s.clk.advance(t, 14*time.Minute)
	s.within("all streams end", over)
	close(left)
	s.within("all requests", wg.Wait)
	t.Logf("%d requests, %d of them between the end of the session and the end of its last stream", sent.Load(), during.Load())
	s.unhurt(streams, int(sent.Load()), int(during.Load()), connections)
}

// unhurt: that many streams have ended, each once, and none of so many requests has noticed.
func (s *scene) unhurt(streams, requests, during, connections int) {
	s.t.Helper()
	s.at("after", 15*time.Minute, 0)
	s.ended(streams, map[string]int{"idle_timeout": streams})
	for what, want := range map[string]int{"downstream_cx_http2_total": connections, "downstream_rq_tx_reset": streams} {
		if n := s.e.gauge("http.https." + what); n != want {
			s.t.Errorf("%s is %d, want %d", what, n, want)
		}
	}
	if n := s.e.counter("ok"); n != requests+streams {
		s.t.Errorf("%d requests had a session, want %d", n, requests+streams)
	}
	if during == 0 {
		s.t.Error("no request was under way when the streams ended")
	}
}

// plain asks for something short.
func (c *client) plain(cookies string) error {
	body, err := c.begin(context.Background(), "/plain", cookies)
	if err != nil {
		return err
	}
	defer body.Close()
	if text, err := io.ReadAll(body); err != nil || string(text) != "ok" {
		return fmt.Errorf("%q %w", text, err)
	}
	return nil
}
