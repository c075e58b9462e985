package e2e

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// deletions fails unless a response deletes our cookies, each once, and sets nothing else. A renewal's is
// deleted where there was one.
func deletions(t *testing.T, r reply, what string) {
	t.Helper()
	const gone = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax"
	names := []string{sessionName, touchName}
	if strings.Contains(r.Request.Header.Get("cookie"), renewedName+"=") {
		names = append(names, renewedName)
	}
	for _, name := range names {
		if line, n := r.cookie(name); n != 1 || line != name+"=; "+gone {
			t.Errorf("%s: %s is not deleted: %q", what, name, r.Header.Values("set-cookie"))
		}
	}
	if n := len(r.Header.Values("set-cookie")); n != len(names) {
		t.Errorf("%s: %d cookies, want %q", what, n, names)
	}
}

// untouched fails if a response sets or deletes a cookie.
func untouched(t *testing.T, r reply, what string) {
	t.Helper()
	if lines := r.Header.Values("set-cookie"); len(lines) != 0 {
		t.Errorf("%s: a proxy that does not know wrote %q", what, lines)
	}
}

// asking is one kind of request and the answer that it gets where there is no session.
type asking struct {
	name, method, path string
	headers            []string
	status             int
	location           string // of a redirect, or the login URL in a problem
	only               string // the one protocol that has such requests
}

func askings(self string) []asking {
	const html, navigate, from = "Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate", "/login?next="
	referer := "Referer: " + self + "/shop?page=2"
	return []asking{
		{"page", "GET", "/a/b?c=d", []string{html, navigate}, 302, from + "/a/b%3Fc%3Dd&reason=", ""},
		{"page, older browser", "GET", "/a", []string{html}, 302, from + "/a&reason=", ""},
		{"page, any type", "GET", "/a", []string{navigate, "Accept: */*"}, 302, from + "/a&reason=", ""},
		{"page in a frame", "GET", "/a", []string{navigate, "Sec-Fetch-Dest: iframe", html}, 302, from + "/a&reason=", ""},
		{"page, HEAD", "HEAD", "/a", []string{html, navigate}, 302, from + "/a&reason=", ""},
		{"form", "POST", "/a", []string{html, navigate, referer}, 303, from + "/shop%3Fpage%3D2&reason=", ""},
		{"form from elsewhere", "POST", "/a", []string{html, navigate, "Referer: https://evil.example/shop"}, 303, from + "/&reason=", ""},
		{"form from nowhere", "POST", "/a", []string{html, navigate}, 303, from + "/&reason=", ""},
		{"form, PUT", "PUT", "/a", []string{html, navigate, referer}, 303, from + "/shop%3Fpage%3D2&reason=", ""},
		{"page with an ill path", "GET", "/a//b", []string{html, navigate}, 302, from + "/&reason=", ""},
		{"page with a long path", "GET", "/" + strings.Repeat("a", 2048), []string{html, navigate}, 302, from + "/&reason=", ""},
		{"page with a longest path", "GET", "/" + strings.Repeat("a", 2047), []string{html, navigate}, 302, from + "/" + strings.Repeat("a", 2047) + "&reason=", ""},
		{"fetch", "GET", "/api", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*", referer}, 401, from + "/shop%3Fpage%3D2&reason=", ""},
		{"fetch that says html", "GET", "/api", []string{"Sec-Fetch-Mode: same-origin", html}, 401, from + "/&reason=", ""},
		{"XHR", "POST", "/api", []string{"X-Requested-With: XMLHttpRequest", "Accept: application/json"}, 401, from + "/&reason=", ""},
		{"a program", "DELETE", "/api", nil, 401, from + "/&reason=", ""},
		{"WebSocket", "GET", "/ws", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-Fetch-Mode: websocket"}, 401, "", "http/1.1"},
		{"EventSource", "GET", "/events", []string{"Accept: text/event-stream", "Sec-Fetch-Mode: cors"}, 204, "", ""},
		{"gRPC", "POST", "/svc/Call", []string{"Content-Type: application/grpc", "Te: trailers"}, 200, "", ""},
		{"gRPC, with its codec", "POST", "/svc/Call", []string{"Content-Type: application/grpc+proto"}, 200, "", ""},
		{"image", "GET", "/a.png", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Accept: image/*"}, 401, "", ""},
		{"script", "GET", "/a.js", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"}, 401, "", ""},
		{"style", "GET", "/a.css", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style", "Accept: text/css"}, 401, "", ""},
		{"prefetch", "GET", "/a", []string{"Sec-Purpose: prefetch", html, navigate}, 401, "", ""},
		{"prefetch, older browser", "GET", "/a", []string{"Purpose: prefetch", html}, 401, "", ""},
	}
}

// Who asks without a session is answered in a way that suits it; with one, all reach the app.
func TestAnswers(t *testing.T) {
	e := begin(t, least(), nil)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			stranger, known := newClient(t, e, proto), newClient(t, e, proto)
			known.login(`{"start":{"subject":"42"}}`)
			for _, tt := range askings(stranger.base) {
				if tt.only != "" && tt.only != proto {
					continue
				}
				t.Run(tt.name, func(t *testing.T) {
					checkAnswer(t, &tt, stranger.do(tt.method, tt.path, "", tt.headers...), "absent")
					if tt.name == "WebSocket" {
						return // see TestWebSocket
					}
					r := known.do(tt.method, tt.path, "", tt.headers...)
					if r.StatusCode != 200 || r.Header.Get("content-type") != "application/json" {
						t.Errorf("with a session: %d %s", r.StatusCode, r.body)
					}
				})
			}
		})
	}
}

func checkAnswer(t *testing.T, tt *asking, r reply, reason string) {
	t.Helper()
	if r.StatusCode != tt.status || r.app != nil {
		t.Fatalf("%d %v, want %d", r.StatusCode, r.Header, tt.status)
	}
	if r.Header.Get("cache-control") != "no-store" || r.Header.Get("vary") != "Cookie" {
		t.Errorf("a cache may keep it: %v", r.Header)
	}
	challenge, location := "", ""
	switch {
	case tt.status == 401 && tt.location != "":
		challenge = "Cookie"
		checkProblem(t, r, reason, tt.location+reason)
	case tt.status == 401:
		challenge = "Cookie"
		if r.body != "" {
			t.Errorf("a body that nobody reads: %q", r.body)
		}
	case tt.status == 200:
		if r.Header.Get("grpc-status") != "16" || r.Header.Get("grpc-message") != reason || !strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
			t.Errorf("not a gRPC status: %v", r.Header)
		}
	case tt.location != "":
		location = tt.location + reason
	}
	if r.Header.Get("www-authenticate") != challenge || r.Header.Get("location") != location {
		t.Errorf("location %q, challenge %q, want %q, %q", r.Header.Get("location"), r.Header.Get("www-authenticate"), location, challenge)
	}
}

func checkProblem(t *testing.T, r reply, reason, login string) {
	t.Helper()
	var problem struct {
		Title, Reason, Login string
		Status               int
	}
	if err := json.Unmarshal([]byte(r.body), &problem); err != nil || r.Header.Get("content-type") != "application/problem+json" {
		t.Fatalf("not a problem: %v %q", r.Header, r.body)
	}
	if problem.Title != "Unauthorized" || problem.Status != 401 || problem.Reason != reason || problem.Login != login {
		t.Errorf("%+v, want reason %s and login %s", problem, reason, login)
	}
}

// newSocketApp accepts every WebSocket, tells whom it is from, and sends back what it gets.
func newSocketApp(t *testing.T) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("upgrade") != "websocket" {
			w.Header().Set("x-session", `{"start":{"subject":"42"}}`)
			w.WriteHeader(303)
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"X-From: "+r.Header.Get("x-session-subject")+"\r\n\r\n")
		_, _ = io.Copy(conn, buf)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// A WebSocket opens with a session and not without; it counts as activity like any other request.
func TestWebSocket(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{app: newSocketApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: least()})
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, e, proto)
			if res := c.dial(proto, "Cookie: "); res.StatusCode != 401 || res.Header.Get("x-from") != "" {
				t.Errorf("without a session: %d %v", res.StatusCode, res.Header)
			}
			c.login(`{"start":{"subject":"42"}}`)
			clk.advance(t, 2*time.Minute)
			res := c.dial(proto, "Cookie: "+c.saved())
			if want := map[string]int{"http/1.1": 101, "h2": 200}[proto]; res.StatusCode != want || res.Header.Get("x-from") != "42" {
				t.Fatalf("with a session: %d %v", res.StatusCode, res.Header)
			}
			if v := res.Header.Values("set-cookie"); len(v) != 1 || !strings.HasPrefix(v[0], touchName+"=1t.") {
				t.Errorf("it does not slide: %q", v)
			}
		})
	}
}

// dial opens a WebSocket: by Upgrade (RFC 6455) or by extended CONNECT (RFC 8441).
func (c *client) dial(proto, cookies string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequest("GET", c.base+"/ws", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_, value, _ := strings.Cut(cookies, ": ")
	req.Header = http.Header{"Cookie": {value}, "Sec-Websocket-Version": {"13"}}
	var transport http.RoundTripper = c.http.Transport
	if proto == "h2" {
		body, w := io.Pipe()
		c.t.Cleanup(func() { w.Close() })
		req.Method, req.Body = "CONNECT", body
		req.Header[":protocol"] = []string{"websocket"}
		h2 := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a certificate of this test's own
		c.t.Cleanup(h2.CloseIdleConnections)
		transport = h2
	} else {
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { res.Body.Close() })
	return res
}

// A preflight carries no cookie, so it goes to the app, with nobody's name on it.
func TestPreflight(t *testing.T) {
	config := map[bool]*envoy{true: begin(t, least(), nil), false: begin(t, least(`"bypass_cors_preflight": false`), nil)}
	for _, proto := range protocols {
		for _, tt := range []struct {
			bypass  bool
			method  string
			headers []string
			status  int
		}{
			{true, "OPTIONS", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}, 200},
			{true, "OPTIONS", []string{"Origin: https://a.example"}, 401},
			{true, "OPTIONS", []string{"Access-Control-Request-Method: PUT"}, 401},
			{true, "GET", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}, 401},
			{false, "OPTIONS", []string{"Origin: https://a.example", "Access-Control-Request-Method: PUT"}, 401},
		} {
			r := newClient(t, config[tt.bypass], proto).do(tt.method, "/api", "", tt.headers...)
			if r.StatusCode != tt.status || r.subject() != "" {
				t.Errorf("%s bypass %v %s %v: %d %s", proto, tt.bypass, tt.method, tt.headers, r.StatusCode, r.body)
			}
		}
	}
}

const endings = `"timeouts": {"idle": "1h", "absolute": "2h", "rotate": "30m"}`

// revoking revokes the sessions that dead begins for it, and no other.
func revoking(clk *clock) string {
	return `"revoke": {"subjects": {"revoked": "` + clk.now.Add(110*time.Minute).Format(time.RFC3339) + `"}}`
}

// dead makes browsers whose cookies are worth nothing, by protocol and why. The config is of endings
// and revoking.
func dead(t *testing.T, e *envoy, clk *clock) map[string]map[string]*client {
	all := map[string]map[string]*client{}
	aliens := begin(t, least(), clk)
	for _, proto := range protocols {
		all[proto] = map[string]*client{}
		for _, reason := range []string{"absent", "invalid", "idle_timeout", "absolute_timeout", "revoked"} {
			all[proto][reason] = newClient(t, e, proto)
		}
		all[proto]["absolute_timeout"].login(`{"start":{"subject":"42"}}`)
	}
	for range 2 {
		clk.advance(t, 50*time.Minute)
		for _, proto := range protocols {
			alive(t, all[proto]["absolute_timeout"], "on the way to its end")
		}
	}
	for _, proto := range protocols {
		all[proto]["idle_timeout"].login(`{"start":{"subject":"42","idle":"5m"}}`)
		all[proto]["revoked"].login(`{"start":{"subject":"revoked"}}`)
		alien := newClient(t, aliens, proto)
		alien.login(`{"start":{"subject":"42"}}`)
		// A host's cookies are shared by its ports, so a jar can be handed over.
		all[proto]["invalid"].jar, all[proto]["invalid"].http.Jar = alien.jar, alien.jar
	}
	clk.advance(t, 20*time.Minute)
	return all
}

// Dead cookies are told why, and deleted, once.
func TestDeadCookies(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(endings, revoking(clk)), clk)
	for proto, clients := range dead(t, e, clk) {
		for reason, c := range clients {
			t.Run(reason+" "+proto, func(t *testing.T) { checkDead(t, e, c, reason, proto) })
		}
	}
}

func checkDead(t *testing.T, e *envoy, c *client, reason, proto string) {
	cookies := "Cookie: " + c.saved()
	if reason == "absent" {
		cookies = "Cookie: " + touchName + "=1t.k1.leftover"
	}
	bare := newBare(t, e, proto)
	for _, tt := range askings(c.base) {
		if tt.only != "" && tt.only != proto {
			continue
		}
		r := bare.do(tt.method, tt.path, "", append(tt.headers, cookies)...)
		checkAnswer(t, &tt, r, reason)
		checkDeletions(t, r, tt.name, reason)
	}
	// The login page is served to the dead as to anybody, and tidies up.
	r := bare.do("GET", "/login", "", "Accept: text/html", cookies)
	if r.StatusCode != 200 || r.app == nil || r.subject() != "" || strings.Contains(r.app.Header.Get("cookie"), sessionName) {
		t.Errorf("the login page: %d %s", r.StatusCode, r.body)
	}
	checkDeletions(t, r, "the login page", reason)

	if reason != "absent" {
		ended(t, c, reason, "the first page")
	}
	if left := c.saved(); left != "" {
		t.Errorf("the browser keeps %s", left)
	}
	if r := ended(t, c, "absent", "the next page"); len(r.Header.Values("set-cookie")) != 0 {
		t.Errorf("deleted twice: %q", r.Header.Values("set-cookie"))
	}
}

// checkDeletions: a prefetch changes nothing, and a touch without its session stays where it is, for
// its deletion could come after the next login.
func checkDeletions(t *testing.T, r reply, what, reason string) {
	t.Helper()
	if strings.HasPrefix(what, "prefetch") || reason == "absent" {
		if v := r.Header.Values("set-cookie"); len(v) != 0 {
			t.Errorf("%s: %q", what, v)
		}
		return
	}
	deletions(t, r, what)
}

// A deletion repeats what the cookie was set with, or a browser takes it for another's.
func TestDeletionAttributes(t *testing.T) {
	e := begin(t, least(`"cookie": {"name": "__Secure-shop", "domain": "shop.test", "same_site": "Strict", "partitioned": true}`), nil)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			r := newClient(t, e, proto).login(`{"start":{"subject":"42"}}`)
			line, _ := r.cookie("__Secure-shop")
			set := attributes(line)
			if set != "Path=/; Domain=shop.test; HttpOnly; Secure; SameSite=Strict; Partitioned" {
				t.Errorf("set with %q", line)
			}
			r = newBare(t, e, proto).do("GET", "/", "", "Cookie: __Secure-shop=junk")
			for _, name := range []string{"__Secure-shop", "__Secure-shop-seen"} {
				if line, n := r.cookie(name); n != 1 || line != name+"=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "+set {
					t.Errorf("deleted with %q", line)
				}
			}
		})
	}
}

// follow does what a browser does with redirects, up to a bound that no honest way needs.
func (c *client) follow(method, path string) (r reply, hops int) {
	c.t.Helper()
	for r = c.do(method, path, "", "Accept: text/html", "Sec-Fetch-Mode: navigate"); r.StatusCode/100 == 3 && hops < 10; hops++ {
		next := strings.TrimPrefix(r.Header.Get("location"), c.base)
		if r.StatusCode == http.StatusTemporaryRedirect || r.StatusCode == http.StatusPermanentRedirect || !strings.HasPrefix(next, "/") {
			c.t.Errorf("%s %s: %d to %q", method, path, r.StatusCode, next)
			return r, hops
		}
		r = c.do("GET", next, "", "Accept: text/html", "Sec-Fetch-Mode: navigate")
	}
	return r, hops
}

// Nowhere does a redirect come back to where it began, even where rules try: for strangers, for
// dead sessions and for those that a rule finds too old.
func TestNoLoops(t *testing.T) {
	clk := newClock(t)
	for name, config := range map[string]string{
		"no rules": least(),
		"strict":   least(`"rules": [{"path_prefix": "/", "max_auth_age": "1m", "require": {"data.role": ["admin"]}}]`),
	} {
		e := begin(t, config, clk)
		for _, proto := range protocols {
			for who, command := range map[string]string{
				"stranger": "",
				"dead":     `{"start":{"subject":"42","idle":"2m"}}`,
				"old":      `{"start":{"subject":"42"}}`,
			} {
				t.Run(name+" "+proto+" "+who, func(t *testing.T) { checkLoops(t, e, clk, proto, command) })
			}
		}
	}
}

func checkLoops(t *testing.T, e *envoy, clk *clock, proto, command string) {
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/deep/down?a=b", 200},
		{"POST", "/deep/down", 200},
		{"GET", "/login", 200},
		{"GET", "/login?next=/login", 200},
		{"POST", "/login", 200},
		{"GET", "/logout", 405},
		{"POST", "/logout", 200},
		{"GET", "/.session/", 404},
		{"GET", "/.session/status", 200},
		{"GET", "/.session/end", 200},
		{"GET", "/.session/end?/deep/down", 200},
		{"GET", "/.session/end/idle_timeout?/.session/end?/login", 200},
	} {
		c := newClient(t, e, proto)
		if command != "" {
			c.login(command)
			clk.advance(t, 2*time.Minute)
		}
		if r, hops := c.follow(tt.method, tt.path); r.StatusCode != tt.status || hops > 3 {
			t.Errorf("%s %s: %d after %d redirects", tt.method, tt.path, r.StatusCode, hops)
		}
	}
}
