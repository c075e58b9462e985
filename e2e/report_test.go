package e2e

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// A trial run decides, counts and logs, and stands in nobody's way.
func TestReportOnly(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(endings, revoking(clk), `"report_only": true`,
		`"rules": [{"path_prefix": "/admin", "require": {"data.role": ["admin"]}}, {"path_prefix": "/sudo", "max_auth_age": "1m"}]`), clk)
	counted := map[string]int{}
	all := dead(t, e, clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			for reason, c := range all[proto] {
				for _, tt := range askings(c.base) {
					if tt.name != "WebSocket" { // Envoy itself swallows an answer that is no upgrade
						unblocked(t, reason, c.do(tt.method, tt.path, "", tt.headers...), tt.name)
						counted[reason]++
					}
				}
			}
			c := newClient(t, e, proto)
			c.login(`{"start":{"subject":"42"}}`)
			clk.advance(t, 2*time.Minute)
			// These sessions are alive, so the app is told whose they are.
			for reason, path := range map[string]string{"forbidden": "/admin", "auth_too_old": "/sudo"} {
				if r := c.page(path); r.StatusCode != 200 || r.subject() != "42" {
					t.Errorf("%s: %d %s", reason, r.StatusCode, r.body)
				}
			}
			unblocked(t, "logout_refused", c.do("GET", "/logout", ""), "a logout by GET")
			if r := c.page("/"); r.subject() != "42" {
				t.Errorf("a live session: %d %s", r.StatusCode, r.body)
			}
			// The app may have a logout of its own, so it gets the request; ours ends all the same.
			r := c.do("POST", "/logout", "")
			if r.StatusCode != 200 || r.app == nil || r.subject() != "" {
				t.Errorf("a logout: %d %v", r.StatusCode, r.Header)
			}
			deletions(t, r, "a logout")
			counted["forbidden"]++
			counted["auth_too_old"]++
			counted["logout_refused"]++
			counted["logged_out"]++
			checkReportedCommand(t, e, proto)
			counted["bad_command"]++
		})
	}
	for reason, n := range counted {
		eventually(t, "counted: "+reason, func() bool { return e.counter(reason) >= n })
		eventually(t, "logged: "+reason, func() bool { return strings.Count(e.log.String(), " reason="+reason+"\n") >= n })
	}
}

// unblocked: the app got the request, as nobody's, and the browser keeps what it has.
func unblocked(t *testing.T, reason string, r reply, what string) {
	t.Helper()
	if r.StatusCode != 200 || r.Header.Get("content-type") != "application/json" || len(r.Header.Values("set-cookie")) != 0 {
		t.Errorf("%s, %s: %d %v", reason, what, r.StatusCode, r.Header)
	}
	if r.app != nil && (r.subject() != "" || r.app.Header.Get("x-session-reason") != reason) {
		t.Errorf("%s, %s: the app was told %v", reason, what, r.app.Header)
	}
}

// A wrong command spares the answer, but it starts nothing and is shown to nobody.
func checkReportedCommand(t *testing.T, e *envoy, proto string) {
	t.Helper()
	c := newClient(t, e, proto)
	r := c.do("POST", "/login", url.Values{"set": {`x-session: {"begin":"` + canary + `"}`, "x-app: 1"}}.Encode())
	if r.StatusCode != 200 || r.Header.Get("x-app") != "1" || len(r.Header.Values("set-cookie")) != 0 || len(r.Header.Values("x-session")) != 0 {
		t.Errorf("a wrong command: %d %v", r.StatusCode, r.Header)
	}
	eventually(t, "the log names the rule", func() bool { return strings.Contains(e.log.String(), "x-session has an unknown command") })
	if strings.Contains(e.log.String(), canary) {
		t.Error("the log repeats what the app wrote")
	}
}

// Where a session is optional, strangers reach the app as such, and the dead become strangers.
func TestOptional(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(endings, revoking(clk), `"rules": [{"path_prefix": "/public", "session": "optional"}]`), clk)
	all := dead(t, e, clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			for reason, c := range all[proto] {
				r := c.page("/public/shelf")
				if r.StatusCode != 200 || r.app == nil || r.subject() != "" || r.app.Header.Get("x-session-reason") != reason {
					t.Errorf("%s: %d %s", reason, r.StatusCode, r.body)
				}
				if reason == "absent" {
					if len(r.Header.Values("set-cookie")) != 0 {
						t.Errorf("a stranger got %q", r.Header.Values("set-cookie"))
					}
					continue
				}
				deletions(t, r, reason)
			}
			c := newClient(t, e, proto)
			c.login(`{"start":{"subject":"42"}}`)
			if r := c.page("/public"); r.subject() != "42" || len(r.app.Header.Values("x-session-reason")) != 0 {
				t.Errorf("a live session: %d %s", r.StatusCode, r.body)
			}
			// An optional page does not loosen its neighbours.
			if r := newClient(t, e, proto).page("/publicity"); r.StatusCode != 302 {
				t.Errorf("beside it: %d", r.StatusCode)
			}
		})
	}
}

// `revoke` ends what began before its time, for all or for one, and nothing that began later. Until
// its time comes it does nothing.
func TestRevoke(t *testing.T) {
	clk := newClock(t)
	for _, tt := range []struct {
		name, revoke string
		outs         map[string]bool // by subject
	}{
		{"before", `"revoke": {"before": "TIME"}`, map[string]bool{"41": true, "42": true}},
		{"subjects", `"revoke": {"subjects": {"42": "TIME"}}`, map[string]bool{"41": false, "42": true}},
	} {
		when := clk.now.Add(10 * time.Minute)
		e := begin(t, least(strings.ReplaceAll(tt.revoke, "TIME", when.Format(time.RFC3339))), clk)
		before, after := map[*client]bool{}, map[*client]bool{}
		join := func(group map[*client]bool) {
			for _, proto := range protocols {
				for subject, out := range tt.outs {
					c := newClient(t, e, proto)
					c.login(`{"start":{"subject":"` + subject + `"}}`)
					group[c] = out
				}
			}
		}
		clk.set(t, when.Add(-time.Second))
		join(before)
		for c := range before {
			alive(t, c, tt.name+", a second before")
		}
		clk.set(t, when)
		join(after)
		for c, out := range before {
			if out {
				deletions(t, ended(t, c, "revoked", tt.name), tt.name)
			} else {
				alive(t, c, tt.name+", another person")
			}
		}
		for c := range after {
			alive(t, c, tt.name+", begun when revoke says")
		}
	}
}

// A cookie of one audience is noise to another, although key and cookie name are the same.
func TestAudience(t *testing.T) {
	app, env := newApp(t), map[string]string{"CURFEW_KEY": newKey()}
	for _, mode := range []string{"signed", "sealed"} {
		cookie := `"cookie": {"mode": "` + mode + `"}`
		shop := start(t, setup{app: app, env: env, config: least(cookie, `"audience": "shop"`)})
		bank := start(t, setup{app: app, env: env, config: least(cookie, `"audience": "bank"`)})
		twin := start(t, setup{app: app, env: env, config: least(cookie, `"audience": "shop"`)})
		for _, proto := range protocols {
			t.Run(mode+" "+proto, func(t *testing.T) {
				c := newClient(t, shop, proto)
				c.login(`{"start":{"subject":"42"}}`)
				alive(t, c, "at home")
				c.base = newClient(t, twin, proto).base
				alive(t, c, "at another door of the house")
				c.base = newClient(t, bank, proto).base
				ended(t, c, "invalid", "elsewhere")
			})
		}
	}
}
