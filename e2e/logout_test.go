package e2e

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// at makes a client call the site by another name than localhost.
func (c *client) at(host string) *client {
	tr := c.http.Transport.(*http.Transport)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(c.base, "https://"), "http://"))
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	scheme, _, _ := strings.Cut(c.base, "://")
	c.base = scheme + "://" + host + ":" + port
	return c
}

type cookieKind struct {
	name, config, cookie string
	attributes           string // of a deletion, after its Expires
	protos               []string
}

var (
	overTLS     = []string{"http/1.1", "h2"}
	cookieKinds = []cookieKind{
		{"host", `{}`, "__Host-session", "Path=/; HttpOnly; Secure; SameSite=Lax", overTLS},
		{"secure", `{"name": "__Secure-s", "path": "/", "same_site": "Strict"}`, "__Secure-s", "Path=/; HttpOnly; Secure; SameSite=Strict", overTLS},
		{"domain", `{"name": "__Secure-s", "domain": "shop.example"}`, "__Secure-s", "Path=/; Domain=shop.example; HttpOnly; Secure; SameSite=Lax", overTLS},
		{"partitioned", `{"same_site": "None", "partitioned": true}`, "__Host-session", "Path=/; HttpOnly; Secure; SameSite=None; Partitioned", overTLS},
		{"plain", `{"name": "session", "secure": false}`, "session", "Path=/; HttpOnly; SameSite=Lax", append(slices.Clone(overTLS), "plain")},
	}
)

// A logout takes both cookies away, whatever kind they are.
func TestLogout(t *testing.T) {
	app := newApp(t)
	for _, k := range cookieKinds {
		clk := newClock(t)
		e := start(t, setup{
			app: app, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk,
			config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "cookie": ` + k.config + `,
				"allow_insecure": true, "logout": {"path": "/bye/now", "redirect": "/goodbye?x=1"}, "rules": [{"path": "/maybe", "session": "optional"}]}`,
		})
		for _, proto := range k.protos {
			t.Run(k.name+"/"+proto, func(t *testing.T) { k.logout(t, newClient(t, e, proto).at("www.shop.example"), clk) })
		}
	}
}

func (k *cookieKind) logout(t *testing.T, c *client, clk *clock) {
	c.login(`{"start":{"subject":"42","remember":true}}`)
	clk.advance(t, 2*time.Minute)
	if r := c.page("/page"); r.StatusCode != 200 || k.held(c) != 2 {
		t.Fatalf("logged in: %d, %d cookies", r.StatusCode, k.held(c))
	}
	for name, lines := range map[string][]string{
		"GET": {"GET"}, "HEAD": {"HEAD"}, "PUT": {"PUT"}, "GET by a link": {"GET", "Sec-Fetch-Site: same-origin"},
		"RP-133 other site": {"POST", "Sec-Fetch-Site: cross-site"}, "same site": {"POST", "Sec-Fetch-Site: same-site"},
		"other origin": {"POST", "Origin: https://evil.example"}, "no origin": {"POST", "Origin: null"},
		"like ours": {"POST", "Origin: https://www.shop.example.evil.example"},
	} {
		status, allow := 403, ""
		if lines[0] != "POST" {
			status, allow = 405, "POST"
		}
		r := c.do(lines[0], "/bye/now", "", lines[1:]...)
		if r.StatusCode != status || r.Header.Get("allow") != allow || len(r.Header.Values("set-cookie")) > 0 {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
	if r := c.page("/page"); r.StatusCode != 200 {
		t.Fatalf("refused logouts ended the session: %d", r.StatusCode)
	}
	k.gone(t, c.do("POST", "/bye/now", "", "Origin: "+c.base, "Sec-Fetch-Site: same-origin"))
	if n := k.held(c); n != 0 {
		t.Errorf("the browser still has %d cookies", n)
	}
	if r := c.page("/page"); r.StatusCode != 302 || !strings.HasSuffix(r.Header.Get("location"), "&reason=absent") {
		t.Errorf("afterwards: %d %v", r.StatusCode, r.Header)
	}
	if r := c.page("/maybe"); r.app == nil || r.app.Header.Get("x-session-subject") != "" {
		t.Errorf("afterwards the app sees %s", r.body)
	}
	k.gone(t, c.do("POST", "/bye/now", "", "Origin: "+c.base))
}

// held is how many of our cookies the browser would send.
func (k *cookieKind) held(c *client) (n int) {
	req, _ := http.NewRequest("GET", c.base+"/page", nil)
	for _, cookie := range c.jar.Cookies(req.URL) {
		if cookie.Name == k.cookie || cookie.Name == k.cookie+"-seen" {
			n++
		}
	}
	return n
}

func (k *cookieKind) gone(t *testing.T, r reply) {
	t.Helper()
	if r.StatusCode != 303 || r.Header.Get("location") != "/goodbye?x=1" || r.Header.Get("cache-control") != "no-store" {
		t.Errorf("logout: %d %v", r.StatusCode, r.Header)
	}
	const past = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
	want := []string{k.cookie + "-seen" + past + k.attributes, k.cookie + past + k.attributes}
	if got := r.Header.Values("set-cookie"); !slices.Equal(got, want) {
		t.Errorf("deletions %q, want %q", got, want)
	}
}

// The config can allow a logout by link; another site's is refused all the same.
func TestLogoutByLink(t *testing.T) {
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()},
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "logout": {"methods": ["GET"]}}`,
	})
	for _, proto := range overTLS {
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		if r := c.do("GET", "/logout", "", "Sec-Fetch-Site: cross-site"); r.StatusCode != 403 {
			t.Errorf("%s: another site's link: %d", proto, r.StatusCode)
		}
		if r := c.do("POST", "/logout", ""); r.StatusCode != 405 {
			t.Errorf("%s: POST: %d", proto, r.StatusCode)
		}
		if r := c.do("GET", "/logout", "", "Sec-Fetch-Site: none"); r.StatusCode != 303 || r.Header.Get("location") != "/" {
			t.Errorf("%s: own link: %d %v", proto, r.StatusCode, r.Header)
		}
		if r := c.page("/page"); r.StatusCode != 302 {
			t.Errorf("%s: afterwards: %d", proto, r.StatusCode)
		}
	}
}
