package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// protocols are what a browser speaks over TLS.
var protocols = []string{"http/1.1", "h2"}

// least is the shortest config there is, with more fields behind it.
func least(fields ...string) string {
	return "{" + strings.Join(append([]string{`"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}]`, `"login": {"url": "/login"}`}, fields...), ", ") + "}"
}

// begin starts an Envoy with a config and one key of its own.
func begin(t testing.TB, config string, clk *clock) *envoy {
	t.Helper()
	return start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: config})
}

// telling is a path whose answer carries these header lines.
func telling(path string, lines ...string) string {
	return path + "?" + url.Values{"set": lines}.Encode()
}

// saved is the Cookie line that this browser would send now.
func (c *client) saved() string {
	c.t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		c.t.Fatal(err)
	}
	var pairs []string
	for _, k := range c.jar.Cookies(u) {
		pairs = append(pairs, k.Name+"="+k.Value)
	}
	return strings.Join(pairs, "; ")
}

// newBare is a client that keeps no cookie: it sends what a test gives it.
func newBare(t testing.TB, e *envoy, proto string) *client {
	c := newClient(t, e, proto)
	c.http.Jar = nil
	return c
}

// subject is whom the app was told that the request is from; "" where it was told nobody, or asked
// nothing.
func (r reply) subject() string {
	if r.app == nil {
		return ""
	}
	return r.app.Header.Get("x-session-subject")
}

// attributes are a Set-Cookie line without its name and value.
func attributes(line string) string {
	_, a, _ := strings.Cut(line, "; ")
	return a
}

// The thinnest path through the whole: be sent to the login page, log in, be known.
func TestLogin(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		e := begin(t, least(`"cookie": {"mode": "`+mode+`"}`), nil)
		for _, proto := range protocols {
			t.Run(mode+" "+proto, func(t *testing.T) {
				checkLogin(t, e, proto)
				if mode == "sealed" {
					checkSealed(t, e, proto)
				}
			})
		}
	}
}

func checkLogin(t *testing.T, e *envoy, proto string) {
	for _, tt := range []struct{ remember, attributes string }{
		{"false", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"true", "Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax"},
	} {
		c := newClient(t, e, proto)
		if r := c.page("/cart?x=1"); r.StatusCode != 302 || r.Header.Get("location") != "/login?next=/cart%3Fx%3D1&reason=absent" {
			t.Fatalf("without a session: %d %v", r.StatusCode, r.Header)
		}
		r := c.login(`{"start":{"subject":"42","data":{"cart":[1,2]},"remember":` + tt.remember + `}}`)
		line, n := r.cookie("__Host-session")
		if n != 1 || len(r.Header.Values("set-cookie")) != 1 || attributes(line) != tt.attributes {
			t.Errorf("remember %s: cookies %q", tt.remember, r.Header.Values("set-cookie"))
		}
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-session") {
				t.Errorf("the browser saw %s", name)
			}
		}
		if r.Header.Get("cache-control") != "no-store" || r.Header.Get("vary") != "Cookie" {
			t.Errorf("a cache may keep the cookie: %v", r.Header)
		}
		r = c.page("/cart")
		if r.StatusCode != 200 || r.subject() != "42" {
			t.Fatalf("with a session: %d %s", r.StatusCode, r.body)
		}
		if v := r.app.Header.Values("cookie"); len(v) != 0 {
			t.Errorf("the app saw cookies %q", v)
		}
		if v := r.Header.Values("set-cookie"); len(v) != 0 {
			t.Errorf("a request on the valid path set %q", v)
		}
	}
}

// checkSealed: the two modes are one to the browser, but for what it could read.
func checkSealed(t *testing.T, e *envoy, proto string) {
	c := newClient(t, e, proto)
	c.login(`{"start":{"subject":"person-42","data":{"cart":"tea"}}}`)
	_, body, _ := strings.Cut(c.saved(), "=1e.k1.")
	if open := decoded(t, body); body == "" || strings.Contains(open, "person-42") || strings.Contains(open, "tea") {
		t.Errorf("the cookie tells: %q", c.saved())
	}
}

// canary stands in everything the app writes here. No log and no browser may see it.
const canary = "canary-in-the-coal-mine"

// Where the app breaks a rule of x-session, the client gets a bare 502 and the log the rule.
func TestBadCommand(t *testing.T) {
	e := begin(t, least(), nil)
	const good = `{"start":{"subject":"` + canary + `"}}`
	for _, proto := range protocols {
		for _, tt := range []struct {
			name, path, status string
			commands           []string
			fault              string
		}{
			{"another path", "/other", "", []string{good}, "start is allowed only on a route of login.start_on"},
			{"below the path", "/login/x", "", []string{good}, "start is allowed only on a route of login.start_on"},
			{"with 500", "/login", "500", []string{good}, "start is allowed only with a status below 400"},
			{"with 401", "/login", "401", []string{good}, "start is allowed only with a status below 400"},
			{"garbage", "/login", "", []string{canary}, "x-session is not one JSON object"},
			{"half", "/login", "", []string{`{"start":{"subject":"` + canary}, "x-session is not one JSON object"},
			{"a list", "/login", "", []string{`["` + canary + `"]`}, "x-session is not one JSON object"},
			{"a key twice", "/login", "", []string{`{"start":{"subject":"1","subject":"` + canary + `"}}`}, "x-session is not one JSON object"},
			{"empty", "/login", "", []string{""}, "x-session is empty or over 8192 bytes"},
			{"long", "/login", "", []string{`{"start":{"subject":"` + strings.Repeat(canary, 400) + `"}}`}, "x-session is empty or over 8192 bytes"},
			{"unknown", "/login", "", []string{`{"` + canary + `":1}`}, "x-session has an unknown command"},
			{"unknown field", "/login", "", []string{`{"start":{"subject":"1","` + canary + `":1}}`}, "x-session has an unknown command"},
			{"wrong type", "/login", "", []string{`{"start":"` + canary + `"}`}, "x-session has a command or a field of the wrong type"},
			{"no subject", "/login", "", []string{`{"start":{"data":{"a":"` + canary + `"}}}`}, "start.subject must be 1 to 256 bytes"},
			{"bad idle", "/login", "", []string{`{"start":{"subject":"1","idle":"` + canary + `"}}`}, "a timeout must be a duration"},
			{"both", "/login", "", []string{`{"start":{"subject":"` + canary + `"},"end":true}`}, "end comes alone, and start only with expire_in"},
			{"twice", "/login", "", []string{good, good}, "more than one x-session header"},
			{"no command", "/login", "", []string{`{}`}, "x-session has no command"},
			{"too large", "/login", "", []string{`{"start":{"subject":"1","data":{"a":"` + canary + strings.Repeat("x", 4000) + `"}}}`}, "the session does not fit into a cookie of 4096 bytes"},
		} {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				c := newClient(t, e, proto)
				c.login(`{"start":{"subject":"before"}}`)
				badCommand(t, e, c, tt.path, tt.status, tt.fault, tt.commands)
				if r := c.page("/"); r.subject() != "before" {
					t.Errorf("the session from before is gone: %d", r.StatusCode)
				}
			})
		}
	}
	t.Run("plain http", func(t *testing.T) {
		badCommand(t, e, newClient(t, e, "plain"), "/login", "", "a session over plain http needs allow_insecure", []string{good})
	})
	if strings.Contains(e.log.String(), canary) {
		t.Error("the log repeats what the app wrote")
	}
}

// badCommand posts a form whose answer carries these commands, and wants no trace of the answer.
func badCommand(t *testing.T, e *envoy, c *client, path, status, fault string, commands []string) {
	t.Helper()
	form := url.Values{"set": {"x-app: " + canary, "set-cookie: app=" + canary, "location: /" + canary}}
	for _, v := range commands {
		form.Add("set", "x-session: "+v)
	}
	if status != "" {
		form.Set("status", status)
	}
	before := len(e.log.String())
	r := c.do("POST", path, form.Encode())
	if r.StatusCode != 502 || len(r.Header.Values("set-cookie")) != 0 || r.Header.Get("cache-control") != "no-store" {
		t.Errorf("%d %v, want a 502 without a cookie", r.StatusCode, r.Header)
	}
	if strings.Contains(r.body, canary) || strings.Contains(dump(r.Header), canary) {
		t.Errorf("the client saw what the app wrote: %v %s", r.Header, r.body)
	}
	eventually(t, "the log names the rule: "+fault, func() bool {
		return strings.Contains(e.log.String()[before:], "curfew: 502, the app broke a rule: "+fault)
	})
}

func dump(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

// The oldest Envoy that we support does what matters most.
func TestOldestEnvoy(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{
		binary: tool(t, "CURFEW_ENVOY_OLDEST"), app: newApp(t), clock: clk,
		env: map[string]string{"CURFEW_KEY": newKey()}, config: least(passiveRule),
	})
	if !strings.Contains(e.adminGet("/server_info"), "1.36.4") {
		t.Fatal("this is another Envoy")
	}
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			checkLogin(t, e, proto)
			checkIdle(t, e, clk, proto)
			badCommand(t, e, newClient(t, e, proto), "/login", "500", "start is allowed only with a status below 400", []string{`{"start":{"subject":"42"}}`})
		})
	}
}
