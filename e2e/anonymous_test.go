package e2e

import (
	"testing"
	"time"
)

const anonymous = `"anonymous": true, "rules": [{"path_prefix": "/open", "session": "optional"}, {"path_prefix": "/poll", "session": "optional", "activity": "passive"}]`

// A theme without a login: the session of nobody begins with the first thing to keep, and ends as any.
func TestAnonymous(t *testing.T) {
	everywhere(t, anonymous, func(t *testing.T, e *envoy, clk *clock, proto string) {
		c := newClient(t, e, proto)
		silent(t, c.page("/open"), "nothing to keep")
		for _, nothing := range []string{`{}`, `{"theme": null}`} {
			silent(t, c.command("/open", `{"set": `+nothing+`}`), nothing)
		}
		r := c.command("/open", `{"set": {"theme": "dark"}}`)
		line, n := r.cookie(sessionName)
		if r.StatusCode != 200 || n != 1 || len(r.Header.Values("set-cookie")) != 1 || attributes(line) != "Path=/; HttpOnly; Secure; SameSite=Lax" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
		r = c.page("/open")
		d := r.document(t)
		if d == nil || d.Subject != "" || d.AuthenticatedAt != 0 || d.StartedAt != clk.now.Unix() || d.Data["theme"] != "dark" || d.Reason != "ok" ||
			len(r.app.Header.Values("x-session-subject")) != 0 || d.IdleIn != 900 || d.ExpiresIn != 43200 {
			t.Fatalf("%+v", r.app.Header)
		}
		before := c.saved()
		ended(t, c, "anonymous", "a page that needs a login")
		if r := c.do("GET", "/", ""); r.StatusCode != 401 || c.saved() != before {
			t.Errorf("a call that needs a login: %d, and the browser has %s", r.StatusCode, c.saved())
		}
		// It slides as any other.
		clk.advance(t, 14*time.Minute)
		if r := c.page("/open"); r.document(t).ID != d.ID || !r.document(t).Refreshed {
			t.Errorf("%+v", r.document(t))
		}
		clk.advance(t, 15*time.Minute-time.Second)
		if r := c.page("/poll"); r.document(t) == nil || r.document(t).IdleIn != 1 {
			t.Errorf("a second before idle: %v", r.app.Header)
		}
		clk.advance(t, time.Second)
		r = c.page("/open")
		if r.document(t) != nil || r.app.Header.Get("x-session-reason") != "idle_timeout" {
			t.Errorf("after idle: %v", r.app.Header)
		}
		deletions(t, r, "after idle")
	})
}

// What needs a session and has none is the app's mistake; a set does not have that.
func TestAnonymousCommands(t *testing.T) {
	everywhere(t, anonymous, func(t *testing.T, e *envoy, _ *clock, proto string) {
		for _, tt := range []struct {
			command string
			status  int
			lasts   time.Duration
		}{
			{`{"expire_in": "300s"}`, 502, 0},
			{`{"remember": true}`, 502, 0},
			{`{"rotate": true}`, 502, 0},
			{`{"expire_in": "300s", "set": {"a": 1}}`, 200, 12 * time.Hour},
			{`{"remember": true, "set": {"a": 1}}`, 200, 30 * 24 * time.Hour},
			{`{"rotate": true, "set": {"a": 1}}`, 200, 0},
			{`{"end": true}`, 200, 0},
		} {
			c := newClient(t, e, proto)
			r := c.command("/open", tt.command)
			if r.StatusCode != tt.status {
				t.Errorf("%s: %d %v", tt.command, r.StatusCode, r.Header)
			}
			d := newestDocument(t, c)
			if begun := tt.status == 200 && tt.command != `{"end": true}`; begun {
				r.lasts(t, tt.lasts)
				if d == nil || d.Subject != "" || d.Data["a"] != 1.0 {
					t.Errorf("%s: %+v", tt.command, d)
				}
			} else if d != nil {
				t.Errorf("%s: a session began: %+v", tt.command, d)
			}
		}
	})
}

func newestDocument(t *testing.T, c *client) *shown {
	t.Helper()
	r := c.page("/open")
	return r.document(t)
}

// Who logs in may take along what was kept without a login, and never the id.
func TestAnonymousLogin(t *testing.T) {
	everywhere(t, anonymous, func(t *testing.T, e *envoy, clk *clock, proto string) {
		for _, tt := range []struct{ start, want string }{
			{`{"subject": "42", "keep": true}`, `{"cart":[1],"theme":"dark"}`},
			{`{"subject": "42", "keep": true, "data": {"theme": "light", "cart": null, "role": "admin"}}`, `{"role":"admin","theme":"light"}`},
			{`{"subject": "42"}`, `{}`},
			{`{"subject": "42", "keep": false, "data": {"role": "admin"}}`, `{"role":"admin"}`},
		} {
			c := newClient(t, e, proto)
			c.command("/open", `{"set": {"theme": "dark", "cart": [1]}}`)
			before := newestDocument(t, c)
			planted := c.saved()
			clk.advance(t, 2*time.Minute)
			c.page("/open") // touched
			r := c.login(`{"start": ` + tt.start + `}`)
			if line, n := r.cookie(touchName); n != 1 || attributes(line)[:10] != "Max-Age=0;" {
				t.Errorf("the touch of the session before stays: %q", r.Header.Values("set-cookie"))
			}
			d := c.shows(tt.want, 0)
			if d.ID == before.ID || d.Subject != "42" || d.StartedAt != clk.now.Unix() || d.AuthenticatedAt != clk.now.Unix() {
				t.Errorf("%s: %+v became %+v", tt.start, before, d)
			}
			// Whoever knew the cookie of before is nobody still.
			if r := newBare(t, e, proto).do("GET", "/", "", "Cookie: "+planted); r.StatusCode != 401 {
				t.Errorf("the cookie of before: %d %s", r.StatusCode, r.body)
			}
			if r := newBare(t, e, proto).do("GET", "/open", "", "Cookie: "+planted); r.subject() != "" || r.document(t).ID != before.ID {
				t.Errorf("the cookie of before: %v", r.app.Header)
			}
		}
	})
}

// Without `anonymous: true` nobody's set begins a session.
func TestNotAnonymous(t *testing.T) {
	everywhere(t, `"rules": [{"path_prefix": "/open", "session": "optional"}]`, func(t *testing.T, e *envoy, _ *clock, proto string) {
		c := newClient(t, e, proto)
		if r := c.command("/open", `{"set": {"theme": "dark"}}`); r.StatusCode != 502 || len(r.Header.Values("set-cookie")) != 0 {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	})
}

// What is too much for a session that is only beginning is told as well, and the next write fits.
func TestAnonymousTooLarge(t *testing.T) {
	everywhere(t, anonymous, func(t *testing.T, e *envoy, _ *clock, proto string) {
		c := newClient(t, e, proto)
		if r := c.command("/open", tooMuch); r.StatusCode != 200 || r.app == nil {
			t.Fatalf("%d %v", r.StatusCode, r.Header)
		}
		r := c.page("/open")
		if d := r.document(t); r.app.Header.Get("x-session-error") != "too_large" || d != nil && (d.Subject != "" || len(d.Data) != 0) {
			t.Errorf("%v", r.app.Header)
		}
		ended(t, c, "anonymous", "a page that needs a login")
		c.command("/open", `{"set": {"theme": "dark"}}`)
		r = c.page("/open")
		if d := r.document(t); d == nil || d.Data["theme"] != "dark" || r.app.Header.Get("x-session-error") != "" {
			t.Errorf("after a good write: %v", r.app.Header)
		}
	})
}
