package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shown is the session document as the app got it.
type shown struct {
	Subject         string
	ID              string
	StartedAt       int64 `json:"started_at"`
	AuthenticatedAt int64 `json:"authenticated_at"`
	TouchedAt       int64 `json:"touched_at"`
	IdleIn          int64 `json:"idle_in"`
	ExpiresIn       int64 `json:"expires_in"`
	Remember        bool
	Refreshed       bool
	Revision        int
	Reason          string
	Data            map[string]any
}

// whole maps the session document and the subject.
const whole = `"headers": {"x-session": "@this", "x-session-subject": "subject"}`

// document reads x-session as the app got it; nil where there is none.
func (r *reply) document(t testing.TB) *shown {
	t.Helper()
	if r.app == nil {
		t.Fatalf("the app did not answer: %d %s", r.StatusCode, r.body)
	}
	text := r.app.Header.Get("x-session")
	if text == "" {
		return nil
	}
	d := &shown{}
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// command posts to a path whose app answers with that x-session header.
func (c *client) command(path, command string) reply {
	c.t.Helper()
	return c.do("POST", path, url.Values{"set": {"x-session: " + command}}.Encode())
}

// must posts a command and fails unless the app's answer comes through without a word of it.
func (c *client) must(command string) reply {
	c.t.Helper()
	r := c.command("/page", command)
	if r.StatusCode != 200 || r.Header.Get("x-session") != "" {
		c.t.Fatalf("%s: %d %v %s", command, r.StatusCode, r.Header, r.body)
	}
	return r
}

// shows loads a page and holds the data that the app sees against JSON.
func (c *client) shows(data string, revision int) *shown {
	c.t.Helper()
	r := c.page("/")
	d := r.document(c.t)
	if d == nil {
		c.t.Fatalf("no session: %v", r.app.Header)
	}
	got, _ := json.Marshal(d.Data)
	if string(got) != data || d.Revision != revision {
		c.t.Errorf("the app sees %s in revision %d, want %s in %d", got, d.Revision, data, revision)
	}
	return d
}

// silent fails where a response sets a cookie.
func silent(t *testing.T, r reply, what string) {
	t.Helper()
	if lines := r.Header.Values("set-cookie"); len(lines) != 0 {
		t.Errorf("%s: %q", what, lines)
	}
}

// everywhere runs a test with either mode of the cookie, over either protocol, with a clock on a whole
// minute.
func everywhere(t *testing.T, fields string, test func(t *testing.T, e *envoy, clk *clock, proto string)) {
	for _, mode := range []string{"signed", "sealed"} {
		clk := newClock(t)
		e := begin(t, least(whole, `"cookie": {"mode": "`+mode+`"}`, fields), clk)
		for _, proto := range protocols {
			t.Run(mode+" "+proto, func(t *testing.T) {
				clk.align(t)
				test(t, e, clk, proto)
			})
		}
	}
}

// Data is an object that the app patches; what changes nothing writes nothing.
func TestSet(t *testing.T) {
	everywhere(t, `"anonymous": false`, func(t *testing.T, e *envoy, _ *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42", "data": {"cart": [1], "theme": "dark"}}}`)
		revision := 0
		for _, step := range []struct{ patch, want string }{
			{`{"form": {"step": 1, "name": {"first": "Zo\u00eb"}}}`, `{"cart":[1],"form":{"name":{"first":"Zoë"},"step":1},"theme":"dark"}`},
			{`{"form": {"step": 2, "name": {"last": "\ud83c\udf4f"}}}`, `{"cart":[1],"form":{"name":{"first":"Zoë","last":"🍏"},"step":2},"theme":"dark"}`},
			{`{"form": {"name": null}, "theme": null}`, `{"cart":[1],"form":{"step":2}}`},
			{`{"cart": [1, {"id": 2, "n": null}]}`, `{"cart":[1,{"id":2,"n":null}],"form":{"step":2}}`},
			{`{"cart": [], "form": false}`, `{"cart":[],"form":false}`},
			{`{"cart": null, "form": null}`, `{}`},
			{`{"a": 0}`, `{"a":0}`},
		} {
			r := c.must(`{"set": ` + step.patch + `}`)
			if line, n := r.cookie(sessionName); n != 1 || len(r.Header.Values("set-cookie")) != 1 || attributes(line) != "Path=/; HttpOnly; Secure; SameSite=Lax" ||
				r.Header.Get("cache-control") != "no-store" || r.Header.Get("vary") != "Cookie" {
				t.Errorf("%s: %v", step.patch, r.Header)
			}
			revision++
			c.shows(step.want, revision)
			silent(t, c.must(`{"set": `+step.patch+`}`), step.patch+" again")
			c.shows(step.want, revision)
		}
		for _, same := range []string{`{}`, `{"a": 0}`, `{"b": null}`, `{ "a" :0 }`} {
			silent(t, c.must(`{"set": `+same+`}`), same)
		}
		silent(t, c.must(`{"remember": false}`), "not to be remembered, again")
		silent(t, c.must(`{"expire_in": null}`), "no expiry, again")
		c.shows(`{"a":0}`, revision)
	})
}

// What a background poll writes keeps nobody's session alive, and what it writes stays.
func TestSetPassively(t *testing.T) {
	everywhere(t, passiveRule, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42"}}`)
		for i := range 3 {
			clk.advance(t, 4*time.Minute)
			r := c.command("/poll", fmt.Sprintf(`{"set": {"polls": %d}}`, i))
			if _, n := r.cookie(sessionName); n != 1 {
				t.Errorf("not written: %v", r.Header)
			}
			if d := r.document(t); d.Refreshed || d.TouchedAt != d.StartedAt || d.IdleIn != 15*60-int64(i+1)*4*60 {
				t.Errorf("it counts as activity: %+v", d)
			}
		}
		clk.advance(t, 3*time.Minute-time.Second)
		r := c.do("GET", "/poll", "")
		if d := r.document(t); d == nil || d.Data["polls"] != 2.0 || d.IdleIn != 1 {
			t.Errorf("%+v", d)
		}
		clk.advance(t, time.Second)
		ended(t, c, "idle_timeout", "after polls only")
	})
}

// closable notes the last Set-Cookie line of each name.
type closable struct {
	http.RoundTripper
	lines map[string]string
}

// RoundTrip implements http.RoundTripper.
func (b *closable) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		for _, line := range res.Header.Values("set-cookie") {
			name, _, _ := strings.Cut(line, "=")
			b.lines[name] = line
		}
	}
	return res, err
}

// canClose makes the browser one that can be closed and opened again.
func (c *client) canClose() *client {
	c.http.Transport = &closable{c.http.Transport, map[string]string{}}
	return c
}

var maxAge = regexp.MustCompile(`; Max-Age=(\d+);`)

// reopen closes the browser and opens it again: what has no Max-Age is gone.
func (c *client) reopen() {
	c.t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		c.t.Fatal(err)
	}
	c.jar, _ = cookiejar.New(nil)
	c.http.Jar = c.jar
	for _, line := range c.http.Transport.(*closable).lines {
		if maxAge.MatchString(line) {
			c.jar.SetCookies(u, (&http.Response{Header: http.Header{"Set-Cookie": {line}}}).Cookies())
		}
	}
}

// lasts holds the Max-Age of a response's session cookie against what it should be: 0 for none.
func (r *reply) lasts(t *testing.T, want time.Duration) {
	t.Helper()
	line, n := r.cookie(sessionName)
	got := ""
	if m := maxAge.FindStringSubmatch(line); m != nil {
		got = m[1]
	}
	if n != 1 || want == 0 && got != "" || want != 0 && got != fmt.Sprint(int64(want.Seconds())) {
		t.Errorf("%q, want one that lasts %v", r.Header.Values("set-cookie"), want)
	}
}

// idleIn fails unless the session ends in that time, to the second, if nobody does anything.
func (c *client) idleIn(clk *clock, idle time.Duration, revision int) {
	c.t.Helper()
	if d := c.shows("{}", revision); d.IdleIn != int64(idle.Seconds()) {
		c.t.Errorf("idle in %d s, want %v", d.IdleIn, idle)
	}
	clk.advance(c.t, idle-time.Second)
	if r := c.do("GET", "/poll", ""); r.subject() != "42" {
		c.t.Errorf("a second before %v: %d", idle, r.StatusCode)
	}
	clk.advance(c.t, time.Second)
	if r := c.page("/"); r.StatusCode != 302 || !strings.HasSuffix(r.Header.Get("location"), "reason=idle_timeout") {
		c.t.Errorf("at %v: %d %v", idle, r.StatusCode, r.Header)
	}
}

// expire_in is Django's set_expiry: of this session, in three ways.
func TestExpireIn(t *testing.T) {
	const day = 24 * time.Hour
	everywhere(t, passiveRule, func(t *testing.T, e *envoy, clk *clock, proto string) {
		for _, tt := range []struct {
			start    string
			commands []string
			lasts    time.Duration // the cookie, beyond the browser; 0: not
			idle     time.Duration
		}{
			{`{"subject": "42"}`, []string{`{"expire_in": "300s"}`}, 12 * time.Hour, 5 * time.Minute},
			{`{"subject": "42"}`, []string{`{"expire_in": "2h"}`}, 12 * time.Hour, 2 * time.Hour},
			{`{"subject": "42"}`, []string{`{"expire_in": "300s"}`, `{"expire_in": "browser"}`}, 0, 15 * time.Minute},
			{`{"subject": "42"}`, []string{`{"expire_in": "300s"}`, `{"expire_in": null}`}, 0, 15 * time.Minute},
			{`{"subject": "42", "remember": true}`, []string{`{"expire_in": "300s"}`}, 30 * day, 5 * time.Minute},
			{`{"subject": "42", "remember": true}`, []string{`{"expire_in": "browser"}`}, 0, 14 * day},
			{`{"subject": "42", "remember": true}`, []string{`{"expire_in": "browser"}`, `{"expire_in": null}`}, 30 * day, 14 * day},
			{`{"subject": "42"}`, []string{`{"remember": true}`}, 30 * day, 14 * day},
			{`{"subject": "42", "remember": true}`, []string{`{"remember": false}`}, 0, 15 * time.Minute},
			{`{"subject": "42"}`, []string{`{"remember": true}`, `{"remember": false}`}, 0, 15 * time.Minute},
			{`{"subject": "42"}`, []string{`{"expire_in": "10m", "rotate": true}`}, 12 * time.Hour, 10 * time.Minute},
			{`{"subject": "42", "absolute": "1h"}`, []string{`{"expire_in": "300s"}`}, time.Hour, 5 * time.Minute},
		} {
			t.Run(tt.start+" "+strings.Join(tt.commands, " "), func(t *testing.T) {
				clk.align(t)
				c := newClient(t, e, proto).canClose()
				c.login(`{"start": ` + tt.start + `}`)
				var r reply
				for _, command := range tt.commands {
					r = c.must(command)
				}
				r.lasts(t, tt.lasts)
				// A touch must live as long as what it keeps alive.
				clk.advance(t, 2*time.Minute)
				revision := len(tt.commands)
				if d := c.shows("{}", revision); !d.Refreshed {
					t.Errorf("it does not slide: %+v", d)
				}
				clk.advance(t, tt.idle-time.Minute)
				if tt.lasts != 0 {
					c.reopen()
				}
				c.shows("{}", revision)
				c.idleIn(clk, tt.idle, revision)
			})
			t.Run("closed "+tt.start+" "+strings.Join(tt.commands, " "), func(t *testing.T) {
				clk.align(t)
				c := newClient(t, e, proto).canClose()
				c.login(`{"start": ` + tt.start + `}`)
				for _, command := range tt.commands {
					c.must(command)
				}
				c.reopen()
				if r := c.page("/"); (r.StatusCode == 200) != (tt.lasts != 0) {
					t.Errorf("after a restart: %d %v", r.StatusCode, r.Header)
				}
			})
		}
	})
}

// A login may say at once how long it lasts.
func TestStartExpiresIn(t *testing.T) {
	everywhere(t, passiveRule, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		r := c.login(`{"start": {"subject": "42"}, "expire_in": "300s"}`)
		r.lasts(t, 12*time.Hour)
		c.idleIn(clk, 5*time.Minute, 0)
		r = c.login(`{"start": {"subject": "42", "remember": true}, "expire_in": "browser"}`)
		r.lasts(t, 0)
	})
}

// A rotation gives the same session another id. What was touched under the one before counts no more.
func TestRotateCommand(t *testing.T) {
	everywhere(t, passiveRule, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42", "data": {"a": 1}, "remember": false}}`)
		before := c.shows(`{"a":1}`, 0)
		clk.advance(t, 2*time.Minute)
		old := newClient(t, e, proto)
		old.jar.SetCookies(c.url(), c.jar.Cookies(c.url()))
		c.shows(`{"a":1}`, 0)

		clk.advance(t, 2*time.Minute)
		r := c.must(`{"rotate": true, "set": {"b": 2}}`)
		touch, n := r.cookie(touchName)
		if _, sessions := r.cookie(sessionName); n != 1 || sessions != 1 || !strings.HasPrefix(touch, touchName+"=; Max-Age=0;") {
			t.Errorf("%q", r.Header.Values("set-cookie"))
		}
		after := c.shows(`{"a":1,"b":2}`, 1)
		if after.ID == before.ID || len(after.ID) != 22 || after.Subject != "42" || after.StartedAt != before.StartedAt || after.AuthenticatedAt != before.AuthenticatedAt ||
			after.TouchedAt != clk.now.Unix() || after.ExpiresIn != before.ExpiresIn-240 {
			t.Errorf("%+v became %+v", before, after)
		}
		rotated := c.saved()

		clk.advance(t, 10*time.Minute)
		if d := old.shows(`{"a":1}`, 0); d.ID != before.ID || !d.Refreshed {
			t.Errorf("a request on its way with the id before: %+v", d)
		}
		_, stray, _ := strings.Cut(old.saved(), touchName+"=")
		cookies := "Cookie: " + rotated + "; " + touchName + "=" + stray
		clk.advance(t, 5*time.Minute-time.Second)
		if r := newBare(t, e, proto).do("GET", "/poll", "", cookies); r.subject() != "42" {
			t.Errorf("a second before idle: %d", r.StatusCode)
		}
		clk.advance(t, time.Second)
		if r := newBare(t, e, proto).do("GET", "/", "", cookies, "Accept: text/html"); !strings.HasSuffix(r.Header.Get("location"), "reason=idle_timeout") {
			t.Errorf("a touch of the id before counts: %d %v", r.StatusCode, r.Header)
		}
	})
}

// url is where the browser's cookies belong.
func (c *client) url() *url.URL {
	c.t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

// The end of a session takes all of it: cookies, data, and whoever it was.
func TestEndCommand(t *testing.T) {
	everywhere(t, `"rules": [{"path": "/open", "session": "optional"}]`, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42", "data": {"a": 1}}}`)
		clk.advance(t, 2*time.Minute)
		c.shows(`{"a":1}`, 0) // touched
		deletions(t, c.must(`{"end": true}`), "end")
		if c.saved() != "" {
			t.Errorf("left: %s", c.saved())
		}
		ended(t, c, "absent", "after the end")
		r := c.command("/open", `{"end": true}`)
		if r.StatusCode != 200 || r.app == nil || r.app.Header.Get("x-session-reason") != "absent" || r.document(t) != nil {
			t.Errorf("the end of nothing: %d %s", r.StatusCode, r.body)
		}
		c.login(`{"start": {"subject": "42", "keep": true}}`)
		c.shows(`{}`, 0)
	})
}

// A login begins with nothing but what it says, unless it is the same person's and asks to keep.
func TestStartKeeps(t *testing.T) {
	everywhere(t, `"anonymous": false`, func(t *testing.T, e *envoy, _ *clock, proto string) {
		for _, tt := range []struct{ start, want string }{
			{`{"subject": "42"}`, `{}`},
			{`{"subject": "42", "data": {"b": 1}}`, `{"b":1}`},
			{`{"subject": "42", "keep": false}`, `{}`},
			{`{"subject": "42", "keep": true}`, `{"a":1,"deep":{"x":1}}`},
			{`{"subject": "42", "keep": true, "data": {"a": null, "deep": {"y": 2}}}`, `{"deep":{"x":1,"y":2}}`},
			{`{"subject": "43", "keep": true, "data": {"b": 1}}`, `{"b":1}`},
			{`{"subject": "43", "keep": true}`, `{}`},
			{`{"subject": "4", "keep": true}`, `{}`},
		} {
			c := newClient(t, e, proto)
			c.login(`{"start": {"subject": "42", "data": {"a": 1, "deep": {"x": 1}}, "idle": "5m"}}`)
			before := c.shows(`{"a":1,"deep":{"x":1}}`, 0)
			c.login(`{"start": ` + tt.start + `}`)
			if d := c.shows(tt.want, 0); d.ID == before.ID || d.IdleIn != 900 {
				t.Errorf("%s: %+v became %+v", tt.start, before, d)
			}
		}
	})
}

// What the app is told of a session, second by second.
func TestDocument(t *testing.T) {
	everywhere(t, `"rules": [{"path_prefix": "/poll", "activity": "passive"}, {"path_prefix": "/open", "session": "optional"}]`, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		if r := c.page("/open"); r.document(t) != nil || r.app.Header.Get("x-session-reason") != "absent" {
			t.Errorf("without a session: %v", r.app.Header)
		}
		clk.advance(t, 30*time.Second)
		began := clk.now.Unix()
		c.login(`{"start": {"subject": "42", "data": {"a": 1}, "remember": true}}`)
		first := *c.shows(`{"a":1}`, 0)
		if id := first.ID; len(id) != 22 {
			t.Errorf("id %q", id)
		}
		const day = 24 * 3600
		for _, step := range []struct {
			after   time.Duration // the step before
			path    string
			command string
			want    shown // ID, Subject and Data are always the same
		}{
			{0, "/", "", shown{TouchedAt: 0, IdleIn: 14 * day, ExpiresIn: 30 * day, Remember: true}},
			{29 * time.Second, "/", "", shown{TouchedAt: 0, IdleIn: 14*day - 29, ExpiresIn: 30*day - 29, Remember: true}},
			{time.Second, "/poll", "", shown{TouchedAt: 0, IdleIn: 14*day - 30, ExpiresIn: 30*day - 30, Remember: true}},
			{0, "/", "", shown{TouchedAt: 30, IdleIn: 14 * day, ExpiresIn: 30*day - 30, Remember: true, Refreshed: true}},
			{59 * time.Second, "/", "", shown{TouchedAt: 30, IdleIn: 14*day - 59, ExpiresIn: 30*day - 89, Remember: true}},
			{2 * time.Second, "/poll", `{"remember": false}`, shown{TouchedAt: 30, IdleIn: 14*day - 61, ExpiresIn: 30*day - 91, Remember: true}},
			{0, "/poll", "", shown{TouchedAt: 30, IdleIn: 900 - 61, ExpiresIn: day/2 - 91, Revision: 1}},
			{0, "/", `{"set": {"b": null, "a": 2}}`, shown{TouchedAt: 90, IdleIn: 900 - 1, ExpiresIn: day/2 - 91, Refreshed: true, Revision: 1}},
			{0, "/", `{"set": {"a": 1}}`, shown{TouchedAt: 91, IdleIn: 900, ExpiresIn: day/2 - 91, Revision: 2}},
			{0, "/open", "", shown{TouchedAt: 91, IdleIn: 900, ExpiresIn: day/2 - 91, Revision: 3}},
		} {
			clk.advance(t, step.after)
			path := step.path
			if step.command != "" {
				path = telling(path, "x-session: "+step.command)
			}
			r := c.page(path)
			got := r.document(t)
			if got == nil || r.app.Header.Get("x-session-reason") != "" || r.subject() != "42" {
				t.Fatalf("no session: %v", r.app)
			}
			want := step.want
			want.Subject, want.ID, want.StartedAt, want.AuthenticatedAt, want.Reason = "42", first.ID, began, began, "ok"
			want.TouchedAt += began
			if want.Revision == 2 {
				want.Data = map[string]any{"a": 2.0}
			} else {
				want.Data = map[string]any{"a": 1.0}
			}
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("after %v at %s:\ngot  %+v\nwant %+v", step.after, path, *got, want)
			}
		}
		clk.advance(t, 15*time.Minute)
		if r := c.page("/open"); r.document(t) != nil || r.app.Header.Get("x-session-reason") != "idle_timeout" {
			t.Errorf("over: %v", r.app.Header)
		}
	})
}

// tooMuch is a command for data that no cookie holds.
var tooMuch = `{"set": {"big": "` + strings.Repeat("x", 4000) + `"}}`

// What a cookie cannot hold is refused without harm: the response is the app's, the session goes on as
// it was, and the app hears of it until it writes what fits.
func TestTooLarge(t *testing.T) {
	everywhere(t, `"anonymous": false`, func(t *testing.T, e *envoy, clk *clock, proto string) {
		const line = "curfew: the session does not fit into a cookie of 4096 bytes"
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42", "data": {"a": 1}}}`)
		before := c.shows(`{"a":1}`, 0)
		lines, counted := strings.Count(e.log.String(), line), e.counter("too_large")
		for range 2 {
			r := c.do("POST", "/page", url.Values{"set": {"x-session: " + tooMuch, "x-app: 1", "set-cookie: theme=dark"}, "status": {"500"}}.Encode())
			if _, n := r.cookie("theme"); r.StatusCode != 500 || r.app == nil || r.Header.Get("x-app") != "1" || n != 1 || r.Header.Get("x-session") != "" || r.Header.Get("x-session-error") != "" {
				t.Errorf("the response changed: %d %v", r.StatusCode, r.Header)
			}
			r = c.page("/")
			if d := r.document(t); d == nil || d.ID != before.ID || fmt.Sprint(d.Data) != "map[a:1]" || d.Revision != 0 || r.app.Header.Get("x-session-error") != "too_large" {
				t.Errorf("the next request: %v", r.app.Header)
			}
		}
		eventually(t, "one line in the log for each", func() bool { return strings.Count(e.log.String(), line) == lines+2 })
		eventually(t, "one more of the counter for each", func() bool { return e.counter("too_large") == counted+2 })

		silent(t, c.must(`{"set": {"a": 1}}`), "what changes nothing")
		c.must(`{"set": {"a": 2}}`)
		r := c.page("/")
		if d := r.document(t); fmt.Sprint(d.Data) != "map[a:2]" || len(r.app.Header.Values("x-session-error")) != 0 {
			t.Errorf("after a good write: %v", r.app.Header)
		}
		if r := c.command("/login", `{"start": {"subject": "42", "data": {"big": "`+strings.Repeat("x", 4000)+`"}}}`); r.StatusCode != 502 || len(r.Header.Values("set-cookie")) != 0 {
			t.Errorf("a login that does not fit: %d %v", r.StatusCode, r.Header)
		}
		c.shows(`{"a":2}`, 1)
	})
}

// The longest data that fits is held, comes back, and can be renewed; a byte more is refused.
func TestFullCookie(t *testing.T) {
	everywhere(t, `"timeouts": {"rotate": "10m"}`, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42"}}`)
		fits, not := 1000, 4096
		for fits+1 < not {
			n := (fits + not) / 2
			c.must(`{"set": {"big": "` + strings.Repeat("x", n) + `"}}`)
			r := c.page("/")
			if r.app.Header.Get("x-session-error") == "" {
				fits = n
			} else {
				not = n
			}
		}
		full := strings.Repeat("y", fits)
		c.must(`{"set": {"big": "` + full + `"}}`)
		longer := 16 - len("k1") // as if its key had the longest id
		if size := len(c.saved()) - len("=") + len("-renewed") + 17 + longer; size > 4096 || size < 4093 {
			t.Errorf("%d bytes of data in a cookie of %d", fits, size)
		}
		clk.advance(t, 10*time.Minute)
		r := c.page("/")
		if line, n := r.cookie(renewedName); n != 1 || strings.Index(line, ";")-len("=") > 4096 {
			t.Errorf("renewed as a cookie of %d", strings.Index(line, ";")-len("="))
		}
		r = c.page("/")
		if d := r.document(t); d == nil || d.Data["big"] != full {
			t.Errorf("%d bytes of data became %v", fits, r.app.Header)
		}
	})
}

// Someone active stays so while the app tries in vain to write too much.
func TestTooLargeSlides(t *testing.T) {
	everywhere(t, `"anonymous": false`, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42"}}`)
		for range 4 {
			clk.advance(t, 10*time.Minute)
			if r := c.command("/page", tooMuch); r.StatusCode != 200 {
				t.Fatalf("%d %v", r.StatusCode, r.Header)
			}
		}
		alive(t, c, "after 40 minutes")
	})
}
