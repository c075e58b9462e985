package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const wrapping = `"wrap": ["sessionid"], "cookie": {"mode": "sealed"}, "anonymous": false, "rules": [{"path_prefix": "/open", "session": "optional"}]`

// appCookie is what the app got as its own cookie.
func (r *reply) appCookie(name string) string {
	for _, line := range r.app.Header.Values("cookie") {
		for _, pair := range strings.Split(line, "; ") {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
	}
	return ""
}

func TestWrap(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(wrapping), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c := newClient(t, e, proto)
			r := c.do("POST", telling("/login", "set-cookie: sessionid=s3cret; Path=/; HttpOnly", "set-cookie: theme=dark"), "")
			if _, n := r.cookie("sessionid"); n != 0 || r.StatusCode != 200 {
				t.Fatalf("%d: the browser got the app's cookie: %v", r.StatusCode, r.Header)
			}
			if _, n := r.cookie("theme"); n != 1 {
				t.Errorf("the other cookie is lost: %v", r.Header)
			}
			if strings.Contains(c.saved(), "s3cret") {
				t.Errorf("in the clear: %s", c.saved())
			}
			r = c.page("/")
			if r.StatusCode != 200 || r.appCookie("sessionid") != "s3cret" || r.appCookie("theme") != "dark" {
				t.Fatalf("%d: the app got %v", r.StatusCode, r.app)
			}
			clk.advance(t, 15*time.Minute)
			if r := c.page("/"); r.StatusCode != 302 {
				t.Errorf("got %d", r.StatusCode)
			}
		})
	}
}

// memoryApp keeps sessions of its own, as many do: everybody gets a cookie at once, a login cycles its
// value, a logout deletes it.
type memoryApp struct {
	mu       sync.Mutex
	sessions map[string]*memory
}

type memory struct {
	User   string
	Visits int
}

// recalled is what the app answers: whom it takes the browser for, and what it received.
type recalled struct {
	memory
	seen
}

func newMemoryApp(t *testing.T) string {
	srv := httptest.NewServer(&memoryApp{sessions: map[string]*memory{}})
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// ServeHTTP implements http.Handler.
func (a *memoryApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := ""
	if c, err := r.Cookie("sessionid"); err == nil {
		id = c.Value
	}
	m := a.sessions[id]
	switch {
	case r.URL.Path == "/login" && r.Method == "POST" && r.FormValue("password") == "right":
		delete(a.sessions, id)
		m = a.begin(w, r.FormValue("age"))
		m.User = r.FormValue("user")
	case r.URL.Path == "/leave":
		delete(a.sessions, id)
		http.SetCookie(w, &http.Cookie{Name: "sessionid", Path: "/", Expires: time.Unix(0, 0), MaxAge: -1})
		m = &memory{}
	case m == nil:
		m = a.begin(w, "")
	}
	m.Visits++
	_ = json.NewEncoder(w).Encode(recalled{*m, seen{r.Method, r.URL.RequestURI(), r.Header}})
}

func (a *memoryApp) begin(w http.ResponseWriter, age string) *memory {
	id, m := rand.Text(), &memory{}
	a.sessions[id] = m
	line := "sessionid=" + id + "; Path=/; HttpOnly"
	if age != "" {
		line += "; Max-Age=" + age
	}
	w.Header().Add("Set-Cookie", line)
	return m
}

// sees fails unless the app's answer is what it should be.
func (c *client) sees(got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("got %q, want %q", got, want)
	}
}

// recalls loads a page and returns whom the app takes this browser for.
func (c *client) recalls(path string) string {
	c.t.Helper()
	r := c.page(path)
	return c.recalled(r)
}

func (c *client) recalled(r reply) string {
	c.t.Helper()
	var got recalled
	if r.StatusCode != 200 || json.Unmarshal([]byte(r.body), &got) != nil {
		return fmt.Sprintf("%d %s", r.StatusCode, r.Header.Get("location"))
	}
	if _, n := r.cookie("sessionid"); n != 0 {
		c.t.Errorf("the browser got the app's cookie: %q", r.Header.Values("set-cookie"))
	}
	return fmt.Sprintf("%s, visit %d", got.User, got.Visits)
}

func (c *client) logIn(user, password, age string) reply {
	c.t.Helper()
	return c.do("POST", "/login", url.Values{"user": {user}, "password": {password}, "age": {age}}.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

const wrapRules = `"rules": [{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/open", "session": "optional"}, {"path_prefix": "/leave", "session": "optional"}]`

// wrapConfig wraps sessionid.
func wrapConfig(fields ...string) string {
	return least(append([]string{whole, wrapRules, `"wrap": ["sessionid"], "cookie": {"mode": "sealed"}`}, fields...)...)
}

// The life of an app's own session behind Curfew, from the first page to the end, with no change to the
// app.
func TestWrapLife(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{app: newMemoryApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: wrapConfig()})
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, e, proto)
			// Nobody yet, and already counted by the app.
			c.sees(c.recalls("/"), "302 /login?next=/&reason=absent")
			c.sees(c.recalls("/open"), ", visit 1")
			c.sees(c.recalls("/open"), ", visit 2")
			r := c.page("/open")
			nobody := *r.document(t)
			if nobody.Subject != "" || nobody.AuthenticatedAt != 0 || len(nobody.Data) != 0 || nobody.Reason != "ok" {
				t.Errorf("%+v", nobody)
			}
			c.sees(c.recalls("/"), "302 /login?next=/&reason=anonymous")
			c.sees(c.recalled(c.logIn("ann", "wrong", "")), ", visit 4")
			c.sees(c.recalls("/"), "302 /login?next=/&reason=anonymous")
			planted := c.saved()

			clk.advance(t, time.Minute)
			c.sees(c.recalled(c.logIn("ann", "right", "")), "ann, visit 1")
			c.sees(c.recalls("/"), "ann, visit 2")
			r = c.page("/")
			if d := r.document(t); d.ID == nobody.ID || d.StartedAt != clk.now.Unix() || d.AuthenticatedAt != clk.now.Unix() || d.Subject != "" || len(r.app.Header.Values("x-session-subject")) != 0 {
				t.Errorf("%+v became %+v", nobody, d)
			}
			if r := newBare(t, e, proto).do("GET", "/", "", "Cookie: "+planted); r.StatusCode != 401 {
				t.Errorf("the cookie of before the login: %d", r.StatusCode)
			}
			// The app's own logout.
			r = c.page("/leave")
			deletions(t, r, "the app's logout")
			c.sees(c.recalls("/"), "302 /login?next=/&reason=absent")
			c.sees(c.recalls("/open"), ", visit 1")

			c.checkWrapEnds(clk)
		})
	}
	e.noTrap(t)
}

// checkWrapEnds: with our session the app's is over as well, for its cookie is gone.
func (c *client) checkWrapEnds(clk *clock) {
	c.t.Helper()
	for _, end := range []struct {
		how    func()
		reason string
	}{
		{func() { c.do("POST", "/logout", "") }, "absent"},
		{func() { clk.advance(c.t, 15*time.Minute) }, "idle_timeout"},
	} {
		c.sees(c.recalled(c.logIn("ann", "right", "")), "ann, visit 1")
		c.sees(c.recalls("/open"), "ann, visit 2")
		end.how()
		c.sees(c.recalls("/"), "302 /login?next=/&reason="+end.reason)
		c.sees(c.recalls("/open"), ", visit 1")
	}
	// Somebody else in the same browser.
	c.sees(c.recalled(c.logIn("ann", "right", "")), "ann, visit 1")
	c.sees(c.recalled(c.logIn("bob", "right", "")), "bob, visit 1")
	c.sees(c.recalls("/"), "bob, visit 2")
}

// The app's cookie says whether ours outlives the browser, and how long the session lasts at most.
func TestWrapPersistence(t *testing.T) {
	const day = 24 * time.Hour
	clk, app := newClock(t), newMemoryApp(t)
	for _, tt := range []struct {
		name, fields, age string
		lasts, idle       time.Duration
	}{
		{"the app's, by config", `"remember": {"idle": "336h", "absolute": "720h"}`, "1209600", 30 * day, 14 * day},
		{"longer than ours", `"remember": {"idle": "48h", "absolute": "72h"}`, "1209600", 3 * day, 2 * day},
		{"without remember", `"anonymous": false`, "1209600", 12 * time.Hour, 15 * time.Minute},
		{"shorter than ours", `"anonymous": false`, "600", 12 * time.Hour, 10 * time.Minute},
		{"the browser's", `"remember": {"idle": "336h", "absolute": "720h"}`, "", 0, 15 * time.Minute},
	} {
		e := start(t, setup{app: app, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: wrapConfig(tt.fields)})
		for _, proto := range protocols {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				clk.align(t)
				c := newClient(t, e, proto).canClose()
				r := c.logIn("ann", "right", tt.age)
				r.lasts(t, tt.lasts)
				closed := newClient(t, e, proto).canClose()
				closed.logIn("ann", "right", tt.age)
				closed.reopen()
				if r := closed.page("/"); (r.StatusCode == 200) != (tt.lasts != 0) {
					t.Errorf("after a restart: %d", r.StatusCode)
				}
				clk.advance(t, tt.idle-time.Second)
				if r := c.do("GET", "/", "", "x-session-activity: passive"); r.StatusCode != 200 {
					t.Errorf("a second before the end: %d", r.StatusCode)
				}
				clk.advance(t, time.Second)
				if r := c.page("/"); r.StatusCode != 302 {
					t.Errorf("at the end: %d", r.StatusCode)
				}
			})
		}
	}
}

// foreign is a response's Set-Cookie lines without ours.
func (r *reply) foreign() (out []string) {
	for _, line := range r.Header.Values("set-cookie") {
		if !strings.HasPrefix(line, sessionName+"=") {
			out = append(out, line)
		}
	}
	return out
}

// appCookies is the Cookie line that the app got.
func (r *reply) appCookies() string { return strings.Join(r.app.Header.Values("cookie"), "; ") }

// Several cookies, each on its path, are what the app gets as a browser would send them; others are
// none of our business.
func TestWrapSeveral(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(whole, `"wrap": ["sessionid", "token"], "cookie": {"mode": "sealed"}, "rules": [{"path_prefix": "/open", "session": "optional"}, {"path_prefix": "/shop", "session": "optional"}]`), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, e, proto)
			others := []string{"theme=dark; Path=/x; Max-Age=60", "Lang=de;path=/x", "x-sessionid=a; Path=/x", "sessionid2=b; HttpOnly; Path=/x", "__Host-session2=; Secure; Path=/; Max-Age=0"}
			lines := []string{"set-cookie: " + others[0], "set-cookie: sessionid=root; Path=/", "set-cookie: " + others[1], "set-cookie: " + others[2],
				"set-cookie: sessionid=shop; Path=/shop; Max-Age=600", "set-cookie: token=\"q=1\"; Path=/shop/cart", "set-cookie: " + others[3], "set-cookie: token=here", "set-cookie: " + others[4]}
			r := c.page(telling("/shop/in", lines...))
			if got := r.foreign(); !slices.Equal(got, others) {
				t.Errorf("the others became %q", got)
			}
			if _, n := r.cookie(sessionName); n != 1 {
				t.Errorf("%q", r.Header.Values("set-cookie"))
			}
			sends := func(path, want string) reply {
				t.Helper()
				r := c.do("GET", path, "", "x-session-activity: passive")
				if r.app == nil {
					t.Fatalf("%s: %d", path, r.StatusCode)
				}
				if got := r.appCookies(); got != want {
					t.Errorf("%s: the app got %q, want %q", path, got, want)
				}
				return r
			}
			sends("/open", `sessionid=root`)
			sends("/open/shop/cart", `sessionid=root`)
			sends("/shop", `sessionid=shop; token=here; sessionid=root`)
			sends("/shop/cart?x=/open", `token="q=1"; sessionid=shop; token=here; sessionid=root`)
			sends("/shop/carts", `sessionid=shop; token=here; sessionid=root`)
			c.page(telling("/shop/in", "set-cookie: token=; Max-Age=0", "set-cookie: sessionid=other; Path=/shop; Max-Age=600"))
			sends("/shop/cart", `token="q=1"; sessionid=other; sessionid=root`)
			clk.advance(t, 10*time.Minute)
			sends("/shop/cart", `token="q=1"; sessionid=root`)
			// What names no cookie of ours deletes none.
			c.page(telling("/open", "set-cookie: token=; Path=/; Max-Age=0", "set-cookie: sessionid=; Path=/shop/cart; Max-Age=0"))
			sends("/shop/cart", `token="q=1"; sessionid=root`)
			c.page(telling("/open", "set-cookie: sessionid=gone; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"))
			sends("/shop/cart", `token="q=1"`)
		})
	}
}

// An app that repeats itself in each response has the session written no more often than it has to be.
func TestWrapRepeats(t *testing.T) {
	clk := newClock(t)
	e := begin(t, wrapConfig(), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, e, proto)
			repeat := telling("/open", "set-cookie: sessionid=same; Path=/; Max-Age=1200")
			c.page(repeat)
			for range 5 {
				clk.advance(t, 10*time.Second)
				silent(t, c.page(repeat), "the same cookie again")
			}
			clk.advance(t, 10*time.Second)
			r := c.page(repeat)
			_, renewed := r.cookie(renewedName)
			if _, sessions := r.cookie(sessionName); renewed != 1 || sessions != 0 {
				t.Errorf("after a minute its end does not move: %q", r.Header.Values("set-cookie"))
			}
			silent(t, c.page(repeat), "the same cookie again")
			// It lasts as long as the app said last.
			for range 3 {
				clk.advance(t, 6*time.Minute)
				c.page("/open")
			}
			clk.advance(t, 2*time.Minute-time.Second)
			if r := c.page("/open"); r.appCookie("sessionid") != "same" {
				t.Errorf("a second before its end: %q", r.appCookies())
			}
			clk.advance(t, time.Second)
			if r := c.page("/open"); r.appCookie("sessionid") != "" {
				t.Errorf("at its end: %q", r.appCookies())
			}
		})
	}
}

// The app's cookie comes from the session alone: what a client sends under its name is removed, on every
// path, with a session and without, however it is spelled.
func TestWrapBareCookie(t *testing.T) {
	e := begin(t, wrapConfig(), newClock(t))
	spellings := []string{"sessionid=evil", " sessionid=evil", "sessionid=evil; sessionid=evil2", "sessionid= evil", "sessionid=\"evil\"", "SESSIONID=evil", "sessionid =evil", "session%69d=evil", "a=1,sessionid=evil", "sessionid[x]=evil", "sessionid[=evil"}
	for _, proto := range protocols {
		in, bare := newClient(t, e, proto), newBare(t, e, proto)
		in.do("POST", telling("/login", "set-cookie: sessionid=good; Path=/"), "")
		for name, tt := range map[string]struct{ cookies, want string }{"with a session": {in.saved() + "; ", "good"}, "without": {"", ""}} {
			for _, path := range []string{"/", "/off", "/open", "/login", "/leave", "/open//x", "/.session/status"} {
				for _, spelling := range spellings {
					r := bare.do("GET", path, "", "Cookie: keep=1; "+tt.cookies+spelling+"; last=2")
					if r.app == nil {
						continue
					}
					want := tt.want
					if path == "/off" {
						want = ""
					}
					got := r.appCookies()
					if strings.Contains(got, "evil") || r.appCookie("sessionid") != want || !strings.Contains(got, "keep=1") || !strings.Contains(got, "last=2") {
						t.Errorf("%s %s, %s: %q: the app got %q", proto, name, path, spelling, got)
					}
				}
			}
		}
	}
	e.noTrap(t)
}

// What cannot be kept is taken from the browser all the same; a login that comes to nothing does not look
// like one.
func TestWrapLost(t *testing.T) {
	e := begin(t, wrapConfig(), newClock(t))
	for _, proto := range protocols {
		c := newClient(t, e, proto)
		const line = "a wrapped cookie is lost: the app does not get to see the session on this path"
		before := strings.Count(e.log.String(), line)
		r := c.page(telling("/off", "set-cookie: sessionid=s3cret", "set-cookie: theme=dark"))
		if got := r.foreign(); r.StatusCode != 200 || !slices.Equal(got, []string{"theme=dark"}) || len(r.Header.Values("set-cookie")) != 1 {
			t.Errorf("session off: %d %q", r.StatusCode, r.Header.Values("set-cookie"))
		}
		eventually(t, "one line in the log", func() bool { return strings.Count(e.log.String(), line) == before+1 })

		r = c.page(telling("/open", "set-cookie: sessionid=s3cret", "age: 1"))
		silent(t, r, "from a cache")
		r = c.do("POST", telling("/login", "set-cookie: sessionid=s3cret", "age: 1"), "")
		if silent(t, r, "a login from a cache"); r.StatusCode != 502 {
			t.Errorf("a login from a cache: %d", r.StatusCode)
		}
		plain := newClient(t, e, "plain")
		silent(t, plain.page(telling("/open", "set-cookie: sessionid=s3cret")), "over plain http")
		r = plain.do("POST", telling("/login", "set-cookie: sessionid=s3cret"), "")
		if silent(t, r, "a login over plain http"); r.StatusCode != 502 {
			t.Errorf("a login over plain http: %d", r.StatusCode)
		}
		r = c.do("POST", telling("/login", "set-cookie: sessionid=s3cret", "set-cookie: x="+strings.Repeat("x", 10), "set-cookie: sessionid=b; Path=/b/"+strings.Repeat("x", 300)), "")
		if silent(t, r, "a login with what does not fit"); r.StatusCode != 502 {
			t.Errorf("a login with what does not fit: %d", r.StatusCode)
		}
		// A response that is an error logs nobody in.
		r = c.do("POST", telling("/login", "set-cookie: sessionid=s3cret; Path=/")+"&status=401", "")
		if r.StatusCode != 401 || strings.Contains(strings.Join(r.foreign(), ""), "sessionid") {
			t.Errorf("a refused login: %d %q", r.StatusCode, r.Header.Values("set-cookie"))
		}
		ended(t, c, "anonymous", "after a refused login")
	}
}
