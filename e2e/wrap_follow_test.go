package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An app that moves its cookie's end with each response keeps the session alive by that, and undoes no
// write of a request that came later.
func TestWrapRolling(t *testing.T) {
	for _, takes := range []time.Duration{0, 2 * time.Second} {
		clk, app := newClock(t), newSlowApp(t)
		e := start(t, setup{app: app.addr, clock: clk, env: map[string]string{"CURFEW_KEY": newKey()}, config: wrapConfig()})
		for _, proto := range protocols {
			t.Run(fmt.Sprint(proto, " ", takes), func(t *testing.T) {
				const rolling = "set-cookie: sessionid=same; Path=/; Max-Age=1200"
				clk.align(t)
				c := newClient(t, e, proto)
				c.do("POST", telling("/login", rolling), "")
				clk.advance(t, 2*time.Minute)
				_, query, _ := strings.Cut(telling("", rolling), "?")
				h := app.hold(t, c, t.Name(), 5, "&"+query)
				clk.advance(t, takes)
				c.must(`{"set": {"cart": [1]}}`)
				renews(t, h.release())
				c.shows(`{"cart":[1]}`, 1)
				for range 4 {
					clk.advance(t, 14*time.Minute)
					if r := c.page(telling("/page", rolling)); r.StatusCode != 200 || r.appCookie("sessionid") != "same" {
						t.Errorf("%d %v", r.StatusCode, r.Header)
					}
				}
				c.shows(`{"cart":[1]}`, 1)
			})
		}
	}
}

// Whether the app's cookie outlives the browser says whether ours does, until it says otherwise; what the
// app commands stays as long.
func TestWrapTurnsPersistent(t *testing.T) {
	const day = 24 * time.Hour
	e := begin(t, wrapConfig(`"remember": {"idle": "336h", "absolute": "720h"}`), newClock(t))
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c := newClient(t, e, proto)
			c.do("POST", telling("/login", "set-cookie: sessionid=a; Path=/"), "")
			for i, step := range []struct {
				line  string
				lasts time.Duration
			}{
				{"set-cookie: sessionid=a; Path=/; Max-Age=1209600", 30 * day},
				{"set-cookie: sessionid=a; Path=/", 0},
				{`x-session: {"remember": true}`, 30 * day},
				{"set-cookie: sessionid=b; Path=/", 30 * day},
				{"set-cookie: sessionid=b; Path=/; Max-Age=1209600", 30 * day},
				{`x-session: {"remember": false}`, 0},
				{"set-cookie: sessionid=c; Path=/; Max-Age=1209600", 0},
				{"set-cookie: sessionid=c; Path=/", 0},
			} {
				r := c.page(telling("/page", step.line))
				r.lasts(t, step.lasts)
				c.shows("{}", i+1)
			}
		})
	}
}

// loginAnswer is what an app answers to a login.
type loginAnswer struct {
	name, status, cookie, location string
	// fresh says that it logs in whoever comes without a session. then is what becomes of who is logged
	// in by sessionid=a.
	fresh bool
	then  becomes
}

type becomes string

const (
	theSame    becomes = "the same session"
	another    becomes = "another session"
	nobodyMore becomes = "nobody's session"
)

var loginAnswers = []loginAnswer{
	{"the same cookie, led on", "303", "sessionid=a; Path=/", "/home", true, another},
	{"the same cookie, led on to elsewhere", "303", "sessionid=a; Path=/", "https://other.test/login/welcome", true, another},
	{"the same cookie with a page", "", "sessionid=a; Path=/", "", true, theSame},
	{"another cookie, led on", "303", "sessionid=b; Path=/", "/home", true, another},
	{"another cookie with a page", "", "sessionid=b; Path=/", "", true, another},
	{"back to the login page", "303", "sessionid=a; Path=/", "/login?error=1", false, theSame},
	{"back to the login page by its URL", "303", "sessionid=a; Path=/", "https://localhost/login?error=1", false, theSame},
	{"back to the login page by its name", "303", "sessionid=b; Path=/", "login", false, theSame},
	{"back to the same page", "303", "sessionid=b; Path=/", "?error=1", false, theSame},
	{"an empty cookie, led on", "303", "sessionid=; Path=/", "/home", false, nobodyMore},
	{"an empty cookie with a page", "", "sessionid=; Path=/", "", false, nobodyMore},
	{"a refusal", "401", "sessionid=b; Path=/", "", false, theSame},
	{"a failure", "500", "sessionid=b; Path=/", "", false, theSame},
}

// became says what a session is now, by what the app sees of it.
func became(before, after *shown, now time.Time) becomes {
	switch {
	case after == nil:
		return "no session"
	case after.ID == before.ID && after.StartedAt == before.StartedAt && after.AuthenticatedAt == before.AuthenticatedAt:
		return theSame
	case after.ID != before.ID && after.StartedAt == now.Unix() && after.AuthenticatedAt == now.Unix():
		return another
	case after.ID != before.ID && after.StartedAt == now.Unix() && after.AuthenticatedAt == 0:
		return nobodyMore
	}
	return "something else"
}

// What a login route answers tells whether somebody is logged in by it: a redirect back to the login page
// is how many apps say that the password was wrong.
func TestWrapLogins(t *testing.T) {
	clk := newClock(t)
	e := begin(t, wrapConfig(), clk)
	for _, proto := range protocols {
		for _, a := range loginAnswers {
			t.Run(proto+" "+a.name, func(t *testing.T) {
				lines := []string{"set-cookie: " + a.cookie}
				if a.location != "" {
					lines = append(lines, "location: "+a.location)
				}
				path := telling("/login", lines...) + "&status=" + a.status
				c := newClient(t, e, proto)
				c.do("POST", path, "")
				if r := c.page("/page"); (r.StatusCode == 200) != a.fresh {
					t.Errorf("a browser without a session: %d %v", r.StatusCode, r.Header)
				}

				c = newClient(t, e, proto)
				c.do("POST", telling("/login", "set-cookie: sessionid=a; Path=/"), "")
				before := newestDocument(t, c)
				clk.advance(t, time.Minute)
				c.do("POST", path, "")
				after := newestDocument(t, c)
				if got := became(before, after, clk.now); got != a.then {
					t.Errorf("%+v became %s, not %s: %+v", before, got, a.then, after)
				}
			})
		}
	}
}

// Where the login page is the front page, a redirect there is what follows a good login, too.
func TestWrapLoginOnFrontPage(t *testing.T) {
	e := begin(t, strings.Replace(wrapConfig(), `"url": "/login"`, `"url": "/"`, 1), newClock(t))
	for _, proto := range protocols {
		c := newClient(t, e, proto)
		c.do("POST", telling("/", "set-cookie: sessionid=a; Path=/", "location: /")+"&status=303", "")
		if r := c.page("/page"); r.StatusCode != 200 {
			t.Errorf("%s: %d %v", proto, r.StatusCode, r.Header)
		}
	}
}

// An app that moves from a cookie of its domain to one of its host deletes the one and sets the other.
func TestWrapDomain(t *testing.T) {
	e := begin(t, wrapConfig(), newClock(t))
	const set, domain = "set-cookie: sessionid=new; Path=/", "set-cookie: sessionid=; Domain=localhost; Path=/; Max-Age=0"
	for _, proto := range protocols {
		for _, lines := range [][]string{{set, domain}, {domain, set}} {
			c := newClient(t, e, proto)
			c.do("POST", telling("/login", lines...), "")
			if r := c.page("/page"); r.StatusCode != 200 || r.appCookie("sessionid") != "new" {
				t.Errorf("%s %q: %d %v", proto, lines, r.StatusCode, r.Header)
			}
			c.page(telling("/page", domain))
			ended(t, c, "absent", "deleted alone")
		}
	}
}

// A session that an app starts takes along what the browser came with of nobody's and of the same
// person's, never another one's.
func TestWrapStart(t *testing.T) {
	e := begin(t, wrapConfig(), newClock(t))
	const cookie = "set-cookie: sessionid=a; Path=/"
	for _, proto := range protocols {
		for _, tt := range []struct {
			name  string
			first func(c *client)
			want  string
		}{
			{"nobody's", func(c *client) { c.page(telling("/open", cookie)) }, "a"},
			{"the same person's", func(c *client) { c.login(`{"start": {"subject": "bob"}}`); c.page(telling("/page", cookie)) }, "a"},
			{"another person's", func(c *client) { c.login(`{"start": {"subject": "ann"}}`); c.page(telling("/page", cookie)) }, ""},
			{"who is known to the app alone", func(c *client) { c.do("POST", telling("/login", cookie), "") }, ""},
		} {
			c := newClient(t, e, proto)
			tt.first(c)
			if r := c.page("/open"); r.appCookie("sessionid") != "a" {
				t.Fatalf("%s %s: %v", proto, tt.name, r.app)
			}
			c.login(`{"start": {"subject": "bob"}}`)
			if r := c.page("/page"); r.subject() != "bob" || r.appCookie("sessionid") != tt.want {
				t.Errorf("%s %s: %d, the app got %v", proto, tt.name, r.StatusCode, r.app)
			}
		}
	}
}

// A cookie without a Path belongs to the folder of its page. One too long to keep costs nothing.
func TestWrapLongFolder(t *testing.T) {
	const requests, mostPages = 400, 64
	app := newSlowApp(t)
	e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, workers: 1, config: wrapConfig()})
	c := newClient(t, e, "http/1.1")
	long := c.base + "/open/" + strings.Repeat("a", 55_000) + "/x"
	goal, done := app.arrived.Load()+requests, make(chan error, requests)
	for range requests {
		go func() {
			res, err := c.http.Get(long + "?hold=" + t.Name())
			if err == nil {
				readReply(t, res)
			}
			done <- err
		}()
	}
	eventually(t, "the app holds them all", func() bool { return app.arrived.Load() >= goal || t.Failed() })
	app.release(t.Name())
	for range requests {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are counted", func() bool { return e.counter("absent") == requests })
	if pages := e.counter("memory_pages"); pages < 1 || pages > mostPages {
		t.Errorf("with %d long paths under way a VM has %d pages of memory, want 1 to %d", requests, pages, mostPages)
	}

	c.page(telling("/open", "set-cookie: sessionid=a; Path=/"))
	folder := "/open/" + strings.Repeat("a", 250)
	silent(t, c.page(telling("/open/short/x", "x-app: 1")), "nothing")
	c.page(telling(folder+"/x", "set-cookie: sessionid=b"))
	r := c.page(folder + "/y")
	if r.appCookies() != "sessionid=a" || r.app.Header.Get("x-session-error") != "too_large" {
		t.Errorf("of a folder of %d bytes the app got %v", len(folder), r.app.Header)
	}
}
