package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// browser is one jar that all its tabs share. Of cookies under one name the last to come in counts.
type browser struct {
	mu      sync.Mutex
	cookies map[string]string
	written int // how often its one writing tab was answered
}

// now is the Cookie line, and how many writes are in it.
func (b *browser) now() (line string, written int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; "), b.written
}

func (b *browser) take(lines []string, wrote bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		name, value, _ := strings.Cut(pair, "=")
		if b.cookies[name] = value; value == "" {
			delete(b.cookies, name)
		}
	}
	if wrote {
		b.written++
	}
}

// tab does one thing at a time, over a connection to each Envoy in turn.
type tab struct {
	*browser
	conns   [2]net.Conn
	readers [2]*bufio.Reader
	turn    int
}

func (b *browser) open(t *testing.T, both [2]*envoy) *tab {
	t.Helper()
	v := &tab{browser: b}
	for i, e := range both {
		conn, err := net.Dial("tcp", e.http)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		v.conns[i], v.readers[i] = conn, bufio.NewReader(conn)
	}
	return v
}

// came is what a request came to: how many touches and renewals, and whether the app saw all that had been
// written.
type came struct {
	touches, renewals int64
	lost              bool
}

// ask sends a request that the app holds by that name and answers with that command, if any.
func (v *tab) ask(method, path, hold, command string) (c came, err error) {
	v.turn = 1 - v.turn
	query := url.Values{"hold": {hold}}
	if command != "" {
		query.Set("set", "x-session: "+command)
	}
	line, written := v.now()
	_, err = fmt.Fprintf(v.conns[v.turn], "%s %s?%s HTTP/1.1\r\nhost: localhost\r\ncookie: %s\r\ncontent-length: 0\r\n\r\n", method, path, query.Encode(), line)
	if err != nil {
		return c, err
	}
	res, err := http.ReadResponse(v.readers[v.turn], nil)
	if err != nil {
		return c, err
	}
	defer res.Body.Close()
	var app seen
	var doc shown
	if err = json.NewDecoder(res.Body).Decode(&app); err == nil && path != "/login" {
		err = json.Unmarshal([]byte(app.Header.Get("x-session")), &doc)
	}
	if err != nil {
		return c, fmt.Errorf("%s %s: %s: %w", method, path, res.Status, err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	n, _ := doc.Data["n"].(float64)
	c.lost = int(n) != written || doc.Revision != written
	for _, line := range res.Header.Values("set-cookie") {
		switch {
		case strings.HasPrefix(line, touchName+"=1"):
			c.touches++
		case strings.HasPrefix(line, renewedName+"=") && strings.Count(line, ".") == 3:
			c.renewals++
		}
	}
	v.take(res.Header.Values("set-cookie"), command != "" && path != "/login")
	return c, nil
}

// sliding is a load of browsers in which one tab writes and all others only look.
type sliding struct {
	t                                           *testing.T
	clock                                       *clock
	app                                         *slowApp
	all                                         []tabs
	sent, left, writes, touches, renewals, lost atomic.Int64
}

// tabs are those of one browser; the first is the one that writes.
type tabs [8]*tab

// look asks once, and notes what came of it.
func (l *sliding) look(v *tab, hold string) error { return l.note(v.ask("GET", "/", hold, "")) }

// write counts up in the session's data.
func (l *sliding) write(v *tab, hold string) error {
	_, written := v.now()
	l.writes.Add(1)
	return l.note(v.ask("GET", "/", hold, fmt.Sprintf(`{"set": {"n": %d}}`, written+1)))
}

func (l *sliding) note(c came, err error) error {
	l.sent.Add(1)
	l.touches.Add(c.touches)
	l.renewals.Add(c.renewals)
	if c.lost {
		l.lost.Add(1)
	}
	return err
}

// once asks in the background, and reports what went wrong.
func (l *sliding) once(wg *sync.WaitGroup, ask func(*tab, string) error, v *tab, hold string) {
	wg.Go(func() {
		if err := ask(v, hold); err != nil {
			l.t.Error(err)
		}
	})
}

// keepOn asks until the round's requests are done.
func (l *sliding) keepOn(wg *sync.WaitGroup, ask func(*tab, string) error, v *tab) {
	wg.Go(func() {
		for l.left.Add(-1) >= 0 && !l.t.Failed() {
			if err := ask(v, ""); err != nil {
				l.t.Error(err)
			}
		}
	})
}

const (
	slidingRounds = 12
	slidingRound  = 4 * time.Minute // of the test's clock
)

// slidingConfig renews in each round, by timeouts.rotate. In three of them, of each kind one, another key
// signs; the one before it is gone a little later.
func slidingConfig(began time.Time) string {
	var keys []string
	for i, round := range []int{0, 4, 8, 9, 100} {
		from := began.Add(time.Duration(round) * slidingRound).Format(time.RFC3339)
		until := began.Add(time.Duration(round+1) * slidingRound).Format(time.RFC3339)
		if i > 0 {
			keys[i-1] += `, "verify_until": "` + until + `"}`
		}
		keys = append(keys, fmt.Sprintf(`{"id": "k%d", "secret_env": "KEY_%d", "sign_from": %q`, i, i, from))
	}
	return keysConfig(whole+`, "cookie": {"mode": "sealed"}, "allow_insecure": true, "timeouts": {"touch": "10s", "rotate": "2m"}`, keys[:4]...)
}

// Sliding and renewing rewrite no data, so no request that only looks can undo what another one wrote,
// however many there are at once, whichever Envoy they meet, and be the app prompt or slow.
func TestSlidingLosesNoWrite(t *testing.T) {
	const browsers = 12
	total := requestCount(t, 100_000)
	l := newSliding(t, browsers)
	began, start := l.clock.now, time.Now()
	for round := range slidingRounds {
		l.clock.set(t, began.Add(time.Duration(round+1)*slidingRound))
		l.left.Store(total / slidingRounds)
		switch hold := fmt.Sprint("round ", round); round % 3 {
		case 0:
			// As fast as the app is, and in any order.
		case 1:
			l.comeBack(hold, 0)
		case 2:
			l.comeBack(hold, 2*time.Second)
		}
		l.load(total / slidingRounds)
	}
	for _, b := range l.all {
		if err := l.look(b[0], ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d requests of %d tabs, %d of them writes, over two Envoys in %v: %d touches, %d renewals; %d met a lost write",
		l.sent.Load(), browsers*len(l.all[0]), l.writes.Load(), time.Since(start).Round(time.Second/10), l.touches.Load(), l.renewals.Load(), l.lost.Load())
	if l.sent.Load() < total/slidingRounds*slidingRounds || l.writes.Load() == 0 || l.touches.Load() == 0 || l.renewals.Load() < slidingRounds*browsers {
		t.Error("that is too little to show anything")
	}
	if l.lost.Load() != 0 {
		t.Errorf("%d requests met a lost write", l.lost.Load())
	}
}

// newSliding starts two Envoys and logs the browsers in.
func newSliding(t *testing.T, browsers int) *sliding {
	l := &sliding{t: t, clock: newClock(t), app: newSlowApp(t), all: make([]tabs, browsers)}
	env := map[string]string{}
	for i := range 4 {
		env[fmt.Sprint("KEY_", i)] = newKey()
	}
	var both [2]*envoy
	for i := range both {
		both[i] = start(t, setup{app: l.app.addr, env: env, clock: l.clock, config: slidingConfig(l.clock.now)})
	}
	for i := range l.all {
		b := &browser{cookies: map[string]string{}}
		for k := range l.all[i] {
			l.all[i][k] = b.open(t, both)
		}
		if _, err := l.all[i][0].ask("POST", "/login", "", `{"start": {"subject": "42"}}`); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// comeBack has all tabs ask at once, when a renewal is due, and the writes answered first.
func (l *sliding) comeBack(name string, takes time.Duration) {
	goal := l.app.arrived.Load()
	var writes, looks sync.WaitGroup
	for _, b := range l.all {
		goal += int64(len(b))
		l.once(&writes, l.write, b[0], name+", writes")
		for _, v := range b[1:] {
			l.once(&looks, l.look, v, name)
		}
	}
	eventually(l.t, "the app holds them all", func() bool { return l.app.arrived.Load() >= goal || l.t.Failed() })
	l.clock.advance(l.t, takes)
	l.app.release(name + ", writes")
	writes.Wait()
	l.app.release(name)
	looks.Wait()
}

// load has all tabs ask as fast as they can until the round's requests are done, and the clock move by
// a minute meanwhile.
func (l *sliding) load(requests int64) {
	var wg sync.WaitGroup
	for _, b := range l.all {
		l.keepOn(&wg, l.write, b[0])
		for _, v := range b[1:] {
			l.keepOn(&wg, l.look, v)
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for began, moved := l.sent.Load(), int64(0); ; {
		select {
		case <-done:
			return
		case <-pace.C:
		}
		for ; moved < (l.sent.Load()-began)*60/max(requests, 1); moved++ {
			l.clock.advance(l.t, time.Second)
		}
	}
}
