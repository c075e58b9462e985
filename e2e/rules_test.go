package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// exactly loads a page at a path that no URL parser has touched.
func (c *client) exactly(path string) reply {
	c.t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		c.t.Fatal(err)
	}
	if u.Opaque = path; strings.HasPrefix(path, "//") {
		u.Opaque, u.Path = "", path
	}
	res, err := c.http.Do(&http.Request{Method: "GET", URL: u, Header: http.Header{"Accept": {"text/html"}}})
	return c.read(res, err)
}

const rulesConfig = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "rules": [
	{"path": "/exact", "session": "off"},
	{"path_prefix": "/public", "session": "off"},
	{"path_prefix": "/assets/", "session": "off"},
	{"path_prefix": "/maybe", "session": "optional"},
	{"path_prefix": "/read", "methods": ["GET", "HEAD"], "session": "off"},
	{"path_prefix": "/hosted", "hosts": ["open.example"], "session": "off"},
	{"path_prefix": "/first/off", "session": "off"},
	{"path_prefix": "/first"},
	{"path_prefix": "/short", "idle": "5m"},
	{"path_prefix": "/brief", "absolute": "30m"},
	{"path_prefix": "/fresh", "max_auth_age": "10m"},
	{"path_prefix": "/", "when": {"data.staff": [true]}, "max_auth_age": "2m"},
	{"path_prefix": "/admin", "require": {"data.role": ["admin", "root"]}}]}`

// Access to a path without a session.
const (
	off      = "off"
	absent   = "absent"
	required = "required"
)

// Which rule a request meets, told by what a stranger gets.
func TestRules(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: rulesConfig})
	cases := []struct {
		name, method, path, host string
		want                     string
	}{
		{"exact", "GET", "/exact", "", off},
		{"exact with a query", "GET", "/exact?x=/y", "", off},
		{"exact and a slash", "GET", "/exact/", "", required},
		{"below exact", "GET", "/exact/x", "", required},
		{"prefix itself", "GET", "/public", "", off},
		{"prefix and a slash", "GET", "/public/", "", off},
		{"below prefix", "GET", "/public/a/b", "", off},
		{"PM-278 prefix is no segment", "GET", "/publicx", "", required},
		{"PM-277 case", "GET", "/Public/", "", required},
		{"folder", "GET", "/assets/", "", off},
		{"below folder", "GET", "/assets/x.css", "", off},
		{"folder without its slash", "GET", "/assets", "", required},
		{"optional", "GET", "/maybe", "", absent},
		{"method", "GET", "/read/x", "", off},
		{"other method of the rule", "HEAD", "/read/x", "", off},
		{"method that is not the rule's", "POST", "/read/x", "", required},
		{"PM-304 method in other case", "get", "/read/x", "", required},
		{"host", "GET", "/hosted", "open.example", off},
		{"host in capitals, port, root dot", "GET", "/hosted", "OPEN.example.:8443", off},
		{"other host", "GET", "/hosted", "open.example.evil", required},
		{"the first match wins", "GET", "/first/off/x", "", off},
		{"the next match", "GET", "/first/x", "", required},
		{"no rule", "GET", "/page", "", required},
		{"PM-282 query is no path", "GET", "/page?x=/public/", "", required},
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, c := range cases {
			t.Run(proto+"/"+c.name, func(t *testing.T) {
				lines := []string{"Accept: text/html"}
				if c.host != "" {
					lines = append(lines, "Host: "+c.host)
				}
				r := newClient(t, e, proto).do(c.method, c.path, "", lines...)
				checkAccess(t, r, c.method, c.want)
			})
		}
	}
}

func checkAccess(t *testing.T, r reply, method, want string) {
	t.Helper()
	passed := r.StatusCode == 200
	if passed != (want != required) {
		t.Fatalf("%d %s, want %s", r.StatusCode, r.body, want)
	}
	if passed && method != "HEAD" && r.app.Header.Get("x-session-reason") != want {
		t.Errorf("the app saw reason %q, want %q", r.app.Header.Get("x-session-reason"), want)
	}
}

// Who the app sees, by rule.
func TestRulesWithSession(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: rulesConfig})
	for _, proto := range []string{"http/1.1", "h2"} {
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		for path, want := range map[string]string{"/public": "", "/maybe": "42", "/page": "42"} {
			r := c.page(path)
			if r.app == nil || r.app.Header.Get("x-session-subject") != want {
				t.Errorf("%s %s: %d %s, want subject %q", proto, path, r.StatusCode, r.body, want)
			}
		}
	}
}

// What a rule asks of a session beyond being alive. The session lives on elsewhere.
func TestRuleTimes(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: rulesConfig, clock: clk})
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, c := range []struct {
			name, path, start string
			wait              time.Duration
			reason            string // "": the app is reached
		}{
			{"idle before", "/short", `{"subject":"1"}`, 5*time.Minute - time.Second, ""},
			{"idle at", "/short", `{"subject":"1"}`, 5 * time.Minute, "idle_timeout"},
			{"absolute before", "/brief", `{"subject":"1","idle":"1h"}`, 30*time.Minute - time.Second, ""},
			{"absolute at", "/brief", `{"subject":"1","idle":"1h"}`, 30 * time.Minute, "absolute_timeout"},
			{"max_auth_age before", "/fresh", `{"subject":"1"}`, 10*time.Minute - time.Second, ""},
			{"max_auth_age at", "/fresh", `{"subject":"1"}`, 10 * time.Minute, "auth_too_old"},
			{"when not met", "/any", `{"subject":"1","data":{"staff":false}}`, 3 * time.Minute, ""},
			{"when met before", "/any", `{"subject":"1","data":{"staff":true}}`, 2*time.Minute - time.Second, ""},
			{"when met", "/any", `{"subject":"1","data":{"staff":true}}`, 2 * time.Minute, "auth_too_old"},
			{"when never loosens", "/short", `{"subject":"1","data":{"staff":true}}`, 5 * time.Minute, "idle_timeout"},
		} {
			t.Run(proto+"/"+c.name, func(t *testing.T) {
				cl := newClient(t, e, proto)
				cl.login(`{"start":` + c.start + `}`)
				clk.advance(t, c.wait)
				r := cl.page(c.path)
				if location := r.Header.Get("location"); c.reason != "" && location != "/login?next="+c.path+"&reason="+c.reason {
					t.Fatalf("%d %s, want %s", r.StatusCode, location, c.reason)
				}
				if c.reason == "" && r.app == nil {
					t.Fatalf("%d %v", r.StatusCode, r.Header)
				}
				if c.reason == "idle_timeout" {
					// The login page, where this came from, is no activity.
					cl.page("/login")
					if r := cl.page(c.path); r.StatusCode != 302 {
						t.Errorf("after the login page: %d", r.StatusCode)
					}
				}
				if r := cl.page("/maybe"); c.name[:4] != "when" && (r.app == nil || r.app.Header.Get("x-session-subject") != "1") {
					t.Errorf("elsewhere the session is gone: %d %s", r.StatusCode, r.body)
				}
			})
		}
	}
}

func TestRequire(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: rulesConfig})
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, c := range []struct {
			name, data string
			status     int
		}{
			{"has it", `{"role":"admin"}`, 200},
			{"has the other", `{"role":"root"}`, 200},
			{"a list with it", `{"role":["user","admin"]}`, 200},
			{"another", `{"role":"user"}`, 403},
			{"none", `{}`, 403},
			{"another type", `{"role":{"admin":true}}`, 403},
		} {
			t.Run(proto+"/"+c.name, func(t *testing.T) {
				cl := newClient(t, e, proto)
				cl.login(`{"start":{"subject":"1","data":` + c.data + `}}`)
				r := cl.page("/admin/x")
				if r.StatusCode != c.status {
					t.Fatalf("%d, want %d", r.StatusCode, c.status)
				}
				if c.status == 403 && (r.Header.Get("content-type") != "application/problem+json" || r.body != `{"title":"Forbidden","status":403,"reason":"forbidden"}`) {
					t.Errorf("%v %s", r.Header, r.body)
				}
				if r := cl.page("/page"); r.StatusCode != 200 {
					t.Errorf("elsewhere: %d", r.StatusCode)
				}
			})
		}
		if r := newClient(t, e, proto).page("/admin"); r.StatusCode != 302 {
			t.Errorf("%s without a session: %d", proto, r.StatusCode)
		}
	}
}

// Paths that a server behind may read in another way meet the strictest of all rules. Envoy's own
// normalisation is off here.
func TestUnsafePaths(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: rulesConfig})
	paths := []string{
		"/public/../admin", "/public/..%2fadmin", "/public/%2e%2e/admin", "/public/..;/admin", "/public;/../admin",
		`/public/..\admin`, "/public/.%00./admin", "/public%00/../admin", "/public/%252e%252e%252fadmin", "//public",
		"///admin", "/./public", "/public/.", "/public//x", "/public%2fadmin", "/public%2F..%2Fadmin", "/public%3f",
		"/public%23", "/public;x=1", "/public/%", "/public/%g0", "/public/%u002e", "/public/%c0%af", "/public/%e0%80%af",
		`/public\`, "/public/%0d%0a", "/public/%7f", "/public/x;/../..", "/exact;", "/maybe/..;/admin", "/public/%5cadmin",
		"/%61dmin", "/public/%73ecret", "/public/%40x", "/public/caf%c3%a9",
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		user, admin := newClient(t, e, proto), newClient(t, e, proto)
		user.login(`{"start":{"subject":"user"}}`)
		admin.login(`{"start":{"subject":"admin","data":{"role":"admin"}}}`)
		for _, path := range paths {
			t.Run(proto+path, func(t *testing.T) {
				if r := newClient(t, e, proto).exactly(path); r.app != nil || r.StatusCode != 302 && r.StatusCode != 400 {
					t.Errorf("a stranger got %d %s", r.StatusCode, r.body)
				}
				if r := user.exactly(path); r.app != nil || r.StatusCode != 403 && r.StatusCode != 400 {
					t.Errorf("a user got %d %s", r.StatusCode, r.body)
				}
				if r := admin.exactly(path); r.StatusCode != 400 && (r.app == nil || r.app.Header.Get("x-session-subject") != "admin") {
					t.Errorf("an admin got %d %s", r.StatusCode, r.body)
				}
			})
		}
	}
	for _, path := range []string{"/public/\x80", "/public/\xc0\xaf", "/public#/admin", "/public\tx", "/public/\x7f"} {
		if r := e.raw(t, get(path)); r.app != nil || r.StatusCode != 302 && r.StatusCode != 400 {
			t.Errorf("%q: a stranger got %d %s", path, r.StatusCode, r.body)
		}
	}
}
