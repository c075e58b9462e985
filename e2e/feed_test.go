package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// feedApp is an app that also says which sessions are over.
type feedApp struct {
	addr string

	mu     sync.Mutex
	answer http.HandlerFunc // to who asks for the feed
	asked  []http.Header
}

// feedPath is where the app has its feed.
const feedPath = "/curfew/revoked"

func newFeedApp(t testing.TB) *feedApp {
	a := &feedApp{}
	a.say(`{}`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case feedPath:
		case "/hold":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		default:
			echo(w, r)
			return
		}
		a.mu.Lock()
		r.Header.Set("host-asked", r.Host)
		a.asked = append(a.asked, r.Header)
		answer := a.answer
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	a.addr = srv.Listener.Addr().String()
	return a
}

// do sets what the app answers.
func (a *feedApp) do(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// say makes the app answer with a text, and an ETag.
func (a *feedApp) say(text string) {
	etag := fmt.Sprintf("%q", base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprint(len(text), time.Now().UnixNano()))))
	a.do(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("etag", etag)
		if r.Header.Get("if-none-match") == etag {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, text)
	})
}

// questions is how often the app was asked.
func (a *feedApp) questions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// sessionID is what the app knows a session by.
func (c *client) sessionID() string {
	c.t.Helper()
	var s struct{ ID string }
	r := c.page("/")
	if r.app == nil || json.Unmarshal([]byte(r.app.Header.Get("x-session")), &s) != nil || s.ID == "" {
		c.t.Fatalf("no session: %d %s", r.StatusCode, r.body)
	}
	return s.ID
}

const feedConfig = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "headers": {"x-session-subject": "subject", "x-session": "@this"},
	"rules": [{"path": "/public", "session": "optional"}],
	"revoke": {"feed": {"cluster": "app", "path": "/curfew/revoked", "interval": "1s"%s}}}`

// feedSetup is an Envoy with four workers that asks the app each second, with these further fields of the feed.
func feedSetup(app *feedApp, env map[string]string, more string) setup {
	return setup{app: app.addr, workers: 4, env: env, config: fmt.Sprintf(feedConfig, more)}
}

// fresh is a request over a connection of its own, which any worker may get; 0: it was cut off.
func (e *envoy) fresh(t testing.TB, saved, path string) reply {
	t.Helper()
	c := newBare(t, e, "http/1.1")
	c.http.Transport.(*http.Transport).DisableKeepAlives = true
	// What is under way when a revocation comes is cut off.
	res, err := c.send("GET", path, "", "Cookie: "+saved, "Accept: text/html")
	if err != nil {
		return reply{Response: &http.Response{}}
	}
	return readReply(t, res)
}

// reason is why these cookies are no session.
func (r reply) reason() string {
	_, reason, _ := strings.Cut(r.Header.Get("location"), "reason=")
	return reason
}

// everyWorker waits until so many connections in a row, dealt to the workers by chance, say that.
func (e *envoy) everyWorker(t testing.TB, what string, is func() bool) {
	t.Helper()
	eventually(t, what+", at every worker", func() bool {
		for range 48 {
			if !is() {
				return false
			}
		}
		return true
	})
}

// revoked waits until no worker takes the cookies for a session, for that reason.
func (e *envoy) revoked(t testing.TB, what, saved string) {
	t.Helper()
	e.everyWorker(t, what, func() bool { r := e.fresh(t, saved, "/"); return r.StatusCode == 302 && r.reason() == "revoked" })
}

func later(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

var bothEnvoys = []string{"CURFEW_ENVOY", "CURFEW_ENVOY_OLDEST"}

// A feed ends sessions on every Envoy, of any version, and on all their workers: one person's, one session,
// everybody's. What they had under way ends, too.
func TestFeed(t *testing.T) {
	app := newFeedApp(t)
	env := map[string]string{"CURFEW_KEY": newKey(), "FEED": "sixteen-letters!"}
	var envoys []*envoy
	for _, binary := range bothEnvoys {
		s := feedSetup(app, env, `, "secret_env": "FEED", "authority": "feed.internal"`)
		s.binary = tool(t, binary)
		envoys = append(envoys, start(t, s))
	}
	login := func(subject string) *client {
		c := newClient(t, envoys[0], "h2")
		c.login(`{"start":{"subject":"` + subject + `"}}`)
		return c
	}
	everywhere := func(c *client, what string) {
		t.Helper()
		for i, e := range envoys {
			e.revoked(t, fmt.Sprintf("%s, Envoy %d", what, i), c.saved())
		}
	}
	alive := func(c *client, what string) {
		t.Helper()
		for _, e := range envoys {
			if r := e.fresh(t, c.saved(), "/"); r.StatusCode != 200 {
				t.Errorf("%s: %d %s", what, r.StatusCode, r.reason())
			}
		}
	}
	one, two, three := login("41"), login("42"), login("42")
	alive(two, "before")
	var held []*http.Response
	for _, e := range envoys {
		c := newBare(t, e, "h2")
		res, err := c.send("GET", "/hold", "", "Cookie: "+two.saved())
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		defer res.Body.Close()
		held = append(held, res)
	}
	app.say(`{"sessions": ["` + two.sessionID() + `"]}`)
	everywhere(two, "a listed session")
	alive(three, "another of the same person")
	for i, res := range held {
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("Envoy %d: its stream came to a clean end", i)
		}
	}
	app.say(`{"subjects": {"42": "` + later(time.Second) + `"}}`)
	everywhere(three, "a listed person")
	alive(one, "another person")
	app.say(`{"before": "` + later(time.Second) + `"}`)
	everywhere(one, "everybody")
	alive(login("42"), "a login after it")

	app.wasAsked(t, "Bearer sixteen-letters!", "feed.internal")
	for _, e := range envoys {
		if n := e.counter("feed_failures"); n != 0 {
			t.Errorf("%d failures", n)
		}
		if strings.Contains(e.log.String(), "sixteen-letters!") || strings.Contains(e.adminGet("/config_dump"), "sixteen-letters!") {
			t.Error("the secret is in Envoy's log or config dump")
		}
		e.noTrap(t)
	}
}

// wasAsked fails unless all questions came as they should, most of them with an ETag.
func (a *feedApp) wasAsked(t *testing.T, authorization, host string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	unchanged := 0
	for _, h := range a.asked {
		if h.Get("authorization") != authorization || h.Get("host-asked") != host || h.Get("accept") != "application/json" {
			t.Fatalf("asked with %v", h)
		}
		if h.Get("if-none-match") != "" {
			unchanged++
		}
	}
	if unchanged < len(a.asked)/2 {
		t.Errorf("%d of %d questions have an ETag", unchanged, len(a.asked))
	}
}

// Four workers ask as often as one.
func TestFeedAsksOnce(t *testing.T) {
	app := newFeedApp(t)
	began := time.Now()
	start(t, feedSetup(app, map[string]string{"CURFEW_KEY": newKey()}, ""))
	eventually(t, "the app is asked six times", func() bool { return app.questions() >= 6 })
	if took := time.Since(began); float64(app.questions()) > took.Seconds()+2 {
		t.Errorf("%d questions in %v, at one a second", app.questions(), took)
	}
}

// Whatever the app answers but a good list, the last good one stays, and the gauges say so.
func TestFeedKeepsTheLast(t *testing.T) {
	t.Parallel()
	for _, binary := range bothEnvoys {
		t.Run(binary, func(t *testing.T) {
			t.Parallel()
			app := newFeedApp(t)
			s := feedSetup(app, map[string]string{"CURFEW_KEY": newKey()}, "")
			s.binary = tool(t, binary)
			e := start(t, s)
			gone, other := newClient(t, e, "h2"), newClient(t, e, "h2")
			gone.login(`{"start":{"subject":"42"}}`)
			other.login(`{"start":{"subject":"42"}}`)
			list := `{"sessions": ["` + gone.sessionID() + `"]}`
			app.say(list)
			e.revoked(t, "a listed session", gone.saved())
			if n := e.gauge("wasmcustom.curfew_feed_entries"); n != 1 {
				t.Errorf("%d entries", n)
			}
			for name, answer := range map[string]http.HandlerFunc{
				"a failure":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", 500) },
				"the login page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
				"no answer":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
				"too slow":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
				"a long id": func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprint(w, `{"sessions":["`+strings.Repeat("A", 23)+`"]}`)
				},
				"too large":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 3<<20)) },
				"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
			} {
				was, lines := e.counter("feed_failures"), strings.Count(e.log.String(), "revoke.feed")
				app.do(answer)
				eventually(t, name+" counts", func() bool { return e.counter("feed_failures") >= was+2 })
				e.revoked(t, name, gone.saved())
				if r := e.fresh(t, other.saved(), "/"); r.StatusCode != 200 {
					t.Errorf("%s: another session got %d %s", name, r.StatusCode, r.reason())
				}
				if n := strings.Count(e.log.String(), "revoke.feed") - lines; n != 1 {
					t.Errorf("%s: %d lines in the log, want one", name, n)
				}
				if n := e.gauge("wasmcustom.curfew_feed_age_seconds"); n < 1 {
					t.Errorf("%s: the list's age is %d", name, n)
				}
				app.say(list)
				eventually(t, "it recovers from "+name, func() bool { return e.gauge("wasmcustom.curfew_feed_age_seconds") <= 1 })
			}
			e.noTrap(t)
		})
	}
}

// Where the config says so, nobody is let in before the first answer, nor after the last is too old; cookies
// stay, and the next good answer opens.
func TestFeedDeny(t *testing.T) {
	for _, binary := range bothEnvoys {
		t.Run(binary, func(t *testing.T) {
			app, clk := newFeedApp(t), newClock(t)
			app.do(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
			s := feedSetup(app, map[string]string{"CURFEW_KEY": newKey()}, `, "on_stale": "deny", "stale_after": "1m"`)
			s.clock, s.binary = clk, tool(t, binary)
			e := start(t, s)
			c := newClient(t, e, "h2")
			c.login(`{"start":{"subject":"42"}}`) // the way in is open
			denied := func(what string) {
				t.Helper()
				e.everyWorker(t, what, func() bool {
					r := e.fresh(t, c.saved(), "/")
					return r.StatusCode == 503 && r.Header.Get("retry-after") == "1" && strings.Contains(r.body, `"reason":"feed_stale"`) && r.Header["Set-Cookie"] == nil
				})
			}
			let := func(what string) {
				t.Helper()
				e.everyWorker(t, what, func() bool { return e.fresh(t, c.saved(), "/").StatusCode == 200 })
			}
			denied("before the first answer")
			if r := e.fresh(t, c.saved(), "/public"); r.StatusCode != 200 || r.subject() != "" || r.app.Header.Get("x-session-reason") != "feed_stale" {
				t.Errorf("an optional page: %d %s", r.StatusCode, r.body)
			}
			app.say(`{}`)
			clk.advance(t, 2*time.Second) // when it asks again
			let("after it")
			app.do(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
			was := e.counter("feed_failures")
			clk.advance(t, 30*time.Second)
			eventually(t, "a failure", func() bool { return e.counter("feed_failures") > was })
			let("half a minute later")
			clk.advance(t, 31*time.Second)
			denied("more than a minute after the last good answer")
			app.say(`{}`)
			clk.advance(t, 2*time.Second)
			let("after the next")
			e.noTrap(t)
		})
	}
}

// A new config has the list from its first request on: under load, nobody revoked gets in while it takes over,
// and nobody else is refused, however strict it is. A stream from before ends by what the new one hears.
func TestFeedOutlivesConfig(t *testing.T) {
	app := newFeedApp(t)
	s := feedSetup(app, map[string]string{"CURFEW_KEY": newKey()}, `, "on_stale": "deny", "stale_after": "10s"`)
	s.discovery = filepath.Join(t.TempDir(), "curfew.json")
	e := start(t, s)
	gone, stays, streams := newClient(t, e, "h2"), newClient(t, e, "h2"), newClient(t, e, "h2")
	for _, c := range []*client{gone, stays, streams} {
		c.login(`{"start":{"subject":"42"}}`)
	}
	e.everyWorker(t, "the first list", func() bool { return e.fresh(t, stays.saved(), "/").StatusCode == 200 })
	list, streamID := gone.sessionID(), streams.sessionID()
	app.say(`{"sessions": ["` + list + `"]}`)
	e.revoked(t, "a listed session", gone.saved())
	held, err := newBare(t, e, "h2").send("GET", "/hold", "", "Cookie: "+streams.saved())
	if err != nil || held.StatusCode != 200 {
		t.Fatal(held, err)
	}
	defer held.Body.Close()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked atomic.Int64
	for _, who := range []struct {
		saved string
		want  int
	}{{gone.saved(), 302}, {stays.saved(), 200}} {
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if r := e.fresh(t, who.saved, "/"); r.StatusCode != who.want {
						t.Errorf("under load: %d %s %s, want %d", r.StatusCode, r.reason(), r.body, who.want)
						return
					}
					asked.Add(1)
				}
			})
		}
	}
	for n := range 5 {
		was, load := e.gauge(configStat+"reload"), asked.Load()
		s.config = strings.Replace(s.config, `"login":`, fmt.Sprintf(`"timeouts": {"idle": "%dm"}, "login":`, 20+n), 1)
		if n > 0 {
			s.config = strings.Replace(s.config, fmt.Sprintf(`"timeouts": {"idle": "%dm"}, `, 20+n-1), "", 1)
		}
		httpFilters(t, s)
		eventually(t, "a new config and some load", func() bool { return e.gauge(configStat+"reload") > was && asked.Load() > load+100 })
	}
	close(stop)
	wg.Wait()
	app.say(`{"sessions": ["` + streamID + `"]}`)
	e.revoked(t, "a session with a stream", streams.saved())
	if _, err := io.ReadAll(held.Body); err == nil {
		t.Error("the stream came to a clean end")
	}
	if n := e.gauge(configStat + "fail"); n != 0 {
		t.Errorf("%d configs were refused", n)
	}
	e.noTrap(t)
}

// Without the cluster Envoy starts and serves; the log says once what is missing.
func TestFeedWithoutCluster(t *testing.T) {
	for _, binary := range bothEnvoys {
		s := feedSetup(newFeedApp(t), map[string]string{"CURFEW_KEY": newKey()}, "")
		s.binary, s.config = tool(t, binary), strings.Replace(s.config, `"cluster": "app"`, `"cluster": "elsewhere"`, 1)
		e := start(t, s)
		c := newClient(t, e, "h2")
		c.login(`{"start":{"subject":"42"}}`)
		eventually(t, "failures count", func() bool { return e.counter("feed_failures") >= 3 })
		alive(t, c, "without the cluster")
		if n := strings.Count(e.log.String(), "Envoy has no cluster elsewhere"); n != 1 {
			t.Errorf("%d lines in the log, want one", n)
		}
		e.noTrap(t)
	}
}

// A copied cookie is worth nothing to any worker of the Envoy that saw the session's end, whatever ended it; and
// who sends it loses no cookie by that.
func TestLogoutEndsCopies(t *testing.T) {
	app := newApp(t)
	for _, binary := range bothEnvoys {
		e := start(t, setup{binary: tool(t, binary), app: app, workers: 4, env: map[string]string{"CURFEW_KEY": newKey()},
			config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`})
		for name, end := range map[string]func(c *client){
			"logout":           func(c *client) { c.do("POST", "/logout", "") },
			"folder's logout":  func(c *client) { c.do("POST", "/.session/logout", "", "Sec-Fetch-Site: same-origin") },
			"the app's end":    func(c *client) { c.must(`{"end":true}`) },
			"login once more":  func(c *client) { c.login(`{"start":{"subject":"42"}}`) },
			"another's login":  func(c *client) { c.login(`{"start":{"subject":"43"}}`) },
			"end, for a login": func(c *client) { c.login(`{"end":true}`) },
		} {
			c, other := newClient(t, e, "http/1.1"), newClient(t, e, "h2")
			c.login(`{"start":{"subject":"42"}}`)
			other.login(`{"start":{"subject":"42"}}`)
			copied := c.saved()
			if r := e.fresh(t, copied, "/"); r.StatusCode != 200 {
				t.Fatalf("%s: a copy before: %d", name, r.StatusCode)
			}
			end(c)
			if c.saved() == copied {
				t.Fatalf("%s: the browser kept its cookie", name)
			}
			e.everyWorker(t, name, func() bool {
				r := e.fresh(t, copied, "/")
				if len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s: a copy's answer sets %q", name, r.Header["Set-Cookie"])
				}
				return r.StatusCode == 302 && r.reason() == "revoked"
			})
			alive(t, other, name+": another session of the person")
			if strings.Contains(name, "login") && !strings.Contains(name, "end") {
				alive(t, c, name+": the new session")
			}
		}
		e.noTrap(t)
	}
}

// Many lists of the largest size, one after the other, leave a VM no larger than a few of them do.
func TestFeedMemory(t *testing.T) {
	const entries, rounds = 10_000, 16
	app := newFeedApp(t)
	e := start(t, setup{app: app.addr, workers: 2, env: map[string]string{"CURFEW_KEY": newKey()}, config: fmt.Sprintf(feedConfig, "")})
	eventually(t, "the first answer", func() bool { return app.questions() > 0 })
	before, pages, busy := e.resident(t), e.counter("memory_pages"), e.workers(t)
	for round := range rounds {
		var subjects, ids []string
		for i := range entries / 2 {
			subjects = append(subjects, fmt.Sprintf(`"%08x-1111-4222-8333-%012x":"2026-11-20T08:00:00Z"`, round, i))
			id := make([]byte, 16)
			_, _ = rand.Read(id)
			ids = append(ids, fmt.Sprintf("%q", base64.RawURLEncoding.EncodeToString(id)))
		}
		asked := app.questions()
		app.say(`{"subjects": {` + strings.Join(subjects, ",") + `}, "sessions": [` + strings.Join(ids, ",") + `]}`)
		eventually(t, "a new list is taken", func() bool { return app.questions() >= asked+2 })
		if round == 3 {
			pages = e.counter("memory_pages")
		}
	}
	eventually(t, "all entries", func() bool { return e.gauge("wasmcustom.curfew_feed_entries") == entries })
	c := newClient(t, e, "h2")
	c.login(`{"start":{"subject":"42"}}`)
	alive(t, c, "beside such a list")
	last := e.counter("memory_pages")
	t.Logf("%d lists of %d entries, 2 workers: %d KiB of Envoy's memory before, %d KiB after; a VM had %d pages after four, %d at the end; a list takes a worker %v",
		rounds, entries, before, e.resident(t), pages, last, ((e.workers(t) - busy) / (2 * rounds)).Round(time.Millisecond))
	if n := e.counter("feed_failures"); n != 0 {
		t.Errorf("%d failures", n)
	}
	// A heap that must grow doubles.
	if last > 2*pages {
		t.Errorf("a VM has %d pages after %d lists, %d after four", last, rounds, pages)
	}
	e.noTrap(t)
}

// resident is how much memory the process has, in KiB.
func (e *envoy) resident(t testing.TB) (n int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// workers is how long all worker threads were busy.
func (e *envoy) workers(t testing.TB) (busy time.Duration) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", e.cmd.Process.Pid))
	for _, task := range tasks {
		name, _ := os.ReadFile(task + "/comm")
		text, _ := os.ReadFile(task + "/schedstat")
		var n time.Duration
		if strings.HasPrefix(string(name), "wrk:worker") {
			_, _ = fmt.Sscan(string(text), &n)
			busy += n
		}
	}
	if busy == 0 {
		t.Fatal("no worker threads")
	}
	return busy
}

// What docs/revocation.md shows of a feed, the filter takes, and means by it what the page says.
func TestRevocationPage(t *testing.T) {
	page, err := os.ReadFile("../docs/revocation.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(shown) != 2 {
		t.Fatalf("docs/revocation.md shows %d pieces of JSON, want a config's and an answer", len(shown))
	}
	app := newFeedApp(t)
	env := map[string]string{"CURFEW_KEY": newKey(), "CURFEW_FEED_TOKEN": newKey()}
	e := start(t, setup{app: app.addr, env: env,
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, ` + strings.TrimSpace(shown[0][1]) + `}`})
	c := newClient(t, e, "h2")
	c.login(`{"start":{"subject":"42"}}`)
	answer := regexp.MustCompile(`"(42)": "[^"]*"`).ReplaceAllString(shown[1][1], `"$1": "`+later(time.Second)+`"`)
	if answer == shown[1][1] {
		t.Fatal("the answer on the page says nothing of 42")
	}
	app.say(answer)
	e.revoked(t, "42, by the page's answer", c.saved())
	if n := e.gauge("wasmcustom.curfew_feed_entries"); n != 3 {
		t.Errorf("%d entries, the page says three", n)
	}
	if n := e.counter("feed_failures"); n != 0 {
		t.Errorf("%d failures", n)
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if got := app.asked[0].Get("authorization"); got != "Bearer "+env["CURFEW_FEED_TOKEN"] {
		t.Errorf("asked with authorization %q", got)
	}
}
