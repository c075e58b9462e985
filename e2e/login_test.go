package e2e

import (
	"strings"
	"testing"
)

// The thinnest path through the whole: log in, be known, be sent to the login page without.
func TestLogin(t *testing.T) {
	app := newApp(t)
	e := start(t, setup{
		app: app, env: map[string]string{"CURFEW_KEY": newKey()},
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`,
	})
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			c := newClient(t, e, proto)
			if r := c.page("/cart?x=1"); r.StatusCode != 302 || r.Header.Get("location") != "/login?next=/cart%3Fx%3D1&reason=absent" {
				t.Fatalf("without a session: %d %v", r.StatusCode, r.Header)
			}
			r := c.login(`{"start":{"subject":"42","data":{"cart":[1,2]},"remember":true}}`)
			line, n := r.cookie("__Host-session")
			if n != 1 || !strings.Contains(line, "; Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax") {
				t.Errorf("session cookie: %q", line)
			}
			if v := r.Header.Values("x-session"); len(v) != 0 {
				t.Errorf("the browser saw x-session: %q", v)
			}
			r = c.page("/cart")
			if r.app == nil || r.app.Header.Get("x-session-subject") != "42" {
				t.Fatalf("with a session: %d %s", r.StatusCode, r.body)
			}
			if r.app.Header.Get("cookie") != "" {
				t.Errorf("the app saw our cookie")
			}
			if v := r.Header.Values("set-cookie"); len(v) != 0 {
				t.Errorf("a request on the valid path set %q", v)
			}
		})
	}
}
