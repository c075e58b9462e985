package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A filter that leaks a little on each request brings a proxy down after a day. Its memory must stay
// as small as at the start, whatever is asked and with whatever cookies.
func TestMemory(t *testing.T) {
	const mostPages, connections = 16, 64
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, filters: []any{answerLoad},
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`,
	})
	login := newClient(t, e, "http/1.1").login(`{"start":{"subject":"42","data":{"cart":[1,2]}}}`)
	line, _ := login.cookie("__Host-session")
	session, _, _ := strings.Cut(line, ";")

	l := &load{t: t, addr: e.http, session: session, total: requestCount(t, 1_000_000)}
	stop := l.progress()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(l.run)
	}
	wg.Wait()
	stop()
	if t.Failed() {
		return
	}
	// The login itself was a request without a session.
	want := map[string]int{"ok": int(l.sent[kindLive].Load()), "invalid": int(l.sent[kindForged].Load() + l.sent[kindJunk].Load()), "absent": int(l.sent[kindBare].Load()) + 1}
	for reason, n := range want {
		eventually(t, fmt.Sprintf("%d requests with reason %s", n, reason), func() bool { return e.counter(reason) == n })
	}
	if pages := e.counter("memory_pages"); pages < 1 || pages > mostPages {
		t.Errorf("after %d requests a VM has %d pages of memory, want 1 to %d", l.total, pages, mostPages)
	}
	e.noTrap(t)
}

// answerLoad answers in the app's place what says that it is load, so that its speed sets no limit.
var answerLoad = object{"name": "answer", "typed_config": object{
	"@type":   "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
	"headers": []any{object{"name": "x-load", "present_match": true}},
	"abort":   object{"http_status": 200, "percentage": object{"numerator": 100}},
}}

// requestCount is what CURFEW_REQUESTS says, or else usual.
func requestCount(t *testing.T, usual int64) int64 {
	text := os.Getenv("CURFEW_REQUESTS")
	if text == "" {
		return usual
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("CURFEW_REQUESTS=%q must be a number of requests, such as 1000000", text)
	}
	return n
}

// The kinds of requests.
const (
	kindLive   = iota
	kindForged // a live session's token with one character changed
	kindJunk   // any bytes, of any length up to what a browser keeps
	kindBare   // no cookie
	kinds
)

// load is many connections that ask until total requests are done.
type load struct {
	t             *testing.T
	addr, session string
	total         int64
	next          atomic.Int64
	sent          [kinds]atomic.Int64
}

// progress tells how far it is, until stopped.
func (l *load) progress() (stop func()) {
	ticker, done := time.NewTicker(10*time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(os.Stderr, "memory: %d of %d requests\n", min(l.next.Load(), l.total), l.total)
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

func (l *load) run() {
	for l.next.Load() < l.total && !l.t.Failed() {
		if err := l.connection(); err != nil {
			l.t.Error(err)
		}
	}
}

// connection asks up to 1,000 times over one keep-alive connection.
func (l *load) connection() error {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 1000 {
		n := l.next.Add(1)
		if n > l.total {
			return nil
		}
		if err := l.request(conn, r, int(n%kinds)); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) request(w io.Writer, r *bufio.Reader, kind int) error {
	_, err := fmt.Fprintf(w, "GET /cart HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\nsec-fetch-mode: navigate\r\nx-load: 1\r\n%s\r\n", l.cookies(kind))
	if err != nil {
		return err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	want := http.StatusFound
	if kind == kindLive {
		want = http.StatusOK
	}
	if res.StatusCode != want {
		return fmt.Errorf("a request of kind %d got %s, want %d", kind, res.Status, want)
	}
	l.sent[kind].Add(1)
	return nil
}

// cookies is the Cookie line of a kind, with some bytes of others around it that differ each time.
func (l *load) cookies(kind int) string {
	others := "a=" + strings.Repeat("x", rand.IntN(500))
	switch kind {
	case kindLive:
		return "cookie: " + others + "; " + l.session + "\r\n"
	case kindForged:
		b := []byte(l.session)
		i := len("__Host-session=1s.k1.") + rand.IntN(len(b)-len("__Host-session=1s.k1."))
		b[i] ^= 1
		return "cookie: " + others + "; " + string(b) + "\r\n"
	case kindJunk:
		return "cookie: " + others + "; __Host-session=1s.k1." + strings.Repeat("A", rand.IntN(4000)) + "\r\n"
	}
	return ""
}
