package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const folderConfig = `"browser": {"subject": true, "refresh": true, "headers": true}, "timeouts": {"idle": "15m", "absolute": "1h"},
	"logout": {"path": "/logout", "redirect": "/bye"}, "rules": [{"path_prefix": "/short", "idle": "5m"}, {"path_prefix": "/maybe", "session": "optional"}]`

// inFolder runs a test in both Envoys with http/1.1 and h2.
func inFolder(t *testing.T, config string, test func(t *testing.T, c *client, clk *clock)) {
	t.Parallel()
	for _, binary := range []string{"CURFEW_ENVOY", "CURFEW_ENVOY_OLDEST"} {
		clk := newClock(t)
		began := clk.now
		e := start(t, setup{binary: tool(t, binary), app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: config})
		for _, proto := range overTLS {
			t.Run(binary+" "+proto, func(t *testing.T) {
				clk.set(t, began)
				test(t, newClient(t, e, proto), clk)
				e.noTrap(t)
			})
		}
	}
}

// script is a request of the page's own script.
func (c *client) script(method, path string, headers ...string) reply {
	c.t.Helper()
	return c.do(method, path, "", append([]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: " + c.base}, headers...)...)
}

// says holds a status document against what it should say.
func (r *reply) says(t *testing.T, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Errorf("%d %s: %v", r.StatusCode, r.body, err)
	}
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s is %v, want %v, in %s", name, got[name], value, r.body)
		}
	}
}

// gets holds all headers of a response, but for those of Envoy's own, against what a client should get.
func (r *reply) gets(t *testing.T, status int, want http.Header) {
	t.Helper()
	got := r.Header.Clone()
	for _, name := range []string{"Date", "Server", "Content-Length", "X-Envoy-Upstream-Service-Time"} {
		got.Del(name)
	}
	if r.StatusCode != status || !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%d %v, want %d %v", r.StatusCode, got, status, want)
	}
}

var statusHeaders = http.Header{"Cache-Control": {"no-store"}, "Vary": {"Cookie"}, "Content-Type": {"application/json"}, "X-Content-Type-Options": {"nosniff"}}

// What a browser gets of the folder, to the byte.
func TestFolder(t *testing.T) {
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, clk *clock) {
		c.login(`{"start":{"subject":"42"}}`)
		clk.advance(t, 5*time.Minute)
		r := c.script("GET", "/.session/status", "Referer: "+c.base+"/page")
		r.gets(t, 200, statusHeaders)
		const want = `{"state":"ok","subject":"42","idle_in":600,"expires_in":3300,"warn_in":540,"required":true,"cookie":true}`
		if r.body != want || r.ContentLength != int64(len(want)) {
			t.Errorf("%s of %d bytes", r.body, r.ContentLength)
		}
		r = c.script("HEAD", "/.session/status")
		if r.gets(t, 200, statusHeaders); r.body != "" {
			t.Errorf("HEAD: %q", r.body)
		}
		r = c.script("GET", "/.session/status", "Referer: "+c.base+"/short")
		r.gets(t, 200, statusHeaders)
		r.says(t, map[string]any{"state": "idle_timeout", "idle_in": 0, "required": true})

		r = c.script("POST", "/.session/keepalive", "Referer: "+c.base+"/page")
		if _, n := r.cookie("__Host-session-seen"); n != 1 || len(r.Header.Values("set-cookie")) != 1 {
			t.Errorf("keepalive: %v", r.Header)
		}
		r.says(t, map[string]any{"state": "ok", "idle_in": 900, "warn_in": 840})
		r = c.script("POST", "/.session/keepalive")
		r.gets(t, 200, statusHeaders) // once in a slot
		clk.advance(t, 15*time.Minute-time.Second)
		r = c.script("GET", "/.session/status")
		r.says(t, map[string]any{"state": "ok", "idle_in": 1, "warn_in": 0})
		clk.advance(t, time.Second)
		r = c.script("GET", "/.session/status")
		r.says(t, map[string]any{"state": "idle_timeout", "idle_in": 0, "expires_in": 0})
		r = c.script("POST", "/.session/keepalive")
		dead := statusHeaders.Clone()
		dead.Set("Www-Authenticate", "Cookie")
		r.gets(t, 401, dead)
		r.says(t, map[string]any{"state": "idle_timeout"})
	})
}

// Methods, other names and the script.
func TestFolderAnswers(t *testing.T) {
	problem := http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"}}
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, _ *clock) {
		c.login(`{"start":{"subject":"42"}}`)
		r := c.script("GET", "/.session/other")
		r.gets(t, 404, problem)
		if r.body != `{"title":"Not Found","status":404,"reason":"off"}` {
			t.Errorf("%s", r.body)
		}
		for path, allow := range map[string]string{"keepalive": "POST", "logout": "POST", "status": "GET, HEAD", "end?/page": "GET, HEAD"} {
			method := "PUT"
			r := c.script(method, "/.session/"+path)
			want := problem.Clone()
			want.Set("Allow", allow)
			want.Set("Vary", "Cookie")
			r.gets(t, 405, want)
		}

		js := c.do("GET", "/.session/session.js", "")
		tag := js.Header.Get("etag")
		want := http.Header{"Etag": {tag}, "Cache-Control": {"no-cache"}, "Content-Type": {"text/javascript; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}
		js.gets(t, 200, want)
		if len(js.body) == 0 || js.ContentLength != int64(len(js.body)) {
			t.Errorf("a script of %d bytes, said to be %d", len(js.body), js.ContentLength)
		}
		versioned := "/.session/session.js?v=" + strings.Trim(tag, `"`)
		want.Set("Cache-Control", "public, max-age=31536000, immutable")
		kept := c.do("GET", versioned, "")
		if kept.gets(t, 200, want); kept.body != js.body {
			t.Error("another script")
		}
		head := c.do("HEAD", versioned, "")
		if head.gets(t, 200, want); head.body != "" || head.ContentLength != int64(len(js.body)) {
			t.Errorf("HEAD: %d bytes, said to be %d", len(head.body), head.ContentLength)
		}
		same := c.do("GET", "/.session/session.js", "", "If-None-Match: "+tag)
		same.gets(t, 304, http.Header{"Etag": {tag}, "Cache-Control": {"no-cache"}})
		if same.body != "" || same.Header.Get("content-length") != "" {
			t.Errorf("304 with %q, content-length %q", same.body, same.Header.Get("content-length"))
		}
	})
}

// RP-133: another site can neither end a session by the folder, nor keep it alive.
func TestFolderOtherSites(t *testing.T) {
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, clk *clock) {
		c.login(`{"start":{"subject":"42"}}`)
		clk.advance(t, 5*time.Minute)
		for _, call := range []string{"logout", "keepalive"} {
			for name, headers := range map[string][]string{
				"RP-133 cross-site":   {"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"},
				"RP-133 same-site":    {"Sec-Fetch-Site: same-site"},
				"RP-133 other origin": {"Origin: https://evil.example"},
				"RP-133 null origin":  {"Origin: null"},
				"RP-133 like ours":    {"Origin: " + c.base + ".evil.example"},
				"RP-133 form":         {"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Content-Type: application/x-www-form-urlencoded"},
				"RP-133 override":     {"Sec-Fetch-Site: cross-site", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"},
				"prefetch":            {"Sec-Fetch-Site: same-origin", "Sec-Purpose: prefetch"},
				"RP-133 gRPC-web":     {"Sec-Fetch-Site: cross-site", "Content-Type: application/grpc-web"},
			} {
				r := c.do("POST", "/.session/"+call, "", headers...)
				if r.StatusCode != 403 || len(r.Header.Values("set-cookie")) > 0 || !strings.Contains(r.body, "_refused") {
					t.Errorf("%s, %s: %d %v %s", call, name, r.StatusCode, r.Header, r.body)
				}
			}
			for _, line := range []string{"X-HTTP-Method-Override: POST", "X-Method-Override: POST"} {
				if r := c.do("GET", "/.session/"+call, "", line); r.StatusCode != 405 {
					t.Errorf("%s, %s: %d", call, line, r.StatusCode)
				}
			}
		}
		r := c.script("GET", "/.session/status")
		r.says(t, map[string]any{"state": "ok", "idle_in": 600})
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Timing-Allow-Origin"} {
			r := c.do("GET", "/.session/status", "", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
			if r.Header.Get(name) != "" {
				t.Errorf("%s: %s", name, r.Header.Get(name))
			}
		}
	})
}

// A form goes where the config says, a script hears that it is done; both are logged out.
func TestFolderLogout(t *testing.T) {
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, _ *clock) {
		for _, by := range []string{"form", "script"} {
			c.login(`{"start":{"subject":"42"}}`)
			var r reply
			if by == "form" {
				r = c.do("POST", "/.session/logout", "", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html", "Origin: "+c.base)
				if r.StatusCode != 303 || r.Header.Get("location") != "/bye" || r.body != "" {
					t.Errorf("form: %d %v %s", r.StatusCode, r.Header, r.body)
				}
			} else {
				r = c.script("POST", "/.session/logout")
				r.says(t, map[string]any{"state": "logged_out", "idle_in": 0})
				if r.StatusCode != 200 {
					t.Errorf("script: %d", r.StatusCode)
				}
			}
			if _, n := r.cookie("__Host-session"); n != 1 || c.saved() != "" {
				t.Errorf("%s: %v, left %q", by, r.Header, c.saved())
			}
			if r := c.page("/page"); r.StatusCode != 302 {
				t.Errorf("%s: afterwards %d", by, r.StatusCode)
			}
		}
	})
}

// end loads what a page goes to whose session is over. The part behind its ? goes as it stands.
func (c *client) end(part, cookies string) reply {
	c.t.Helper()
	req, err := http.NewRequest("GET", c.base+"/.session/end", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.URL.Opaque = "//" + req.URL.Host + "/.session/end?" + part
	if c.http.Transport.(*http.Transport).ForceAttemptHTTP2 {
		req.URL.Opaque = "/.session/end?" + part
	}
	req.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Cookie": {cookies}}
	res, err := c.http.Transport.RoundTrip(req)
	return c.read(res, err)
}

// TestFolderEnd: end sends an ended page to the login page with nothing of an attacker's in it, and keeps one of a live
// session where it is.
func TestFolderEnd(t *testing.T) {
	parts := map[string]string{ // and the page that it is worth
		"":                              "/",
		"/page?x=1&y=2":                 "/page?x=1&y=2",
		"//evil.example":                "/",
		`/\evil.example`:                "/",
		`\\evil.example`:                "/",
		"/%0d%0aSet-Cookie:%20a=b":      "/",
		"javascript:alert(1)":           "/",
		"https://evil.example/":         "/",
		"/%2f%2fevil.example":           "/",
		"/.session/end?/page":           "/",
		"/.session/logout":              "/",
		"/login?next=//evil.example":    "/",
		"/logout":                       "/",
		"/page?x=%0d%0aset-cookie:a":    "/page?x=%0d%0aset-cookie:a",
		"/page?x=1;url=//evil,2":        "/page?x=1;url=//evil,2",
		"/" + strings.Repeat("a", 40e3): "/",
		`/"onmouseover="alert(1)`:       `/"onmouseover="alert(1)`,
		"/<script>alert(1)</script>":    "/<script>alert(1)</script>",
		"/page?<script>":                "/",
	}
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, clk *clock) {
		c.login(`{"start":{"subject":"42"}}`)
		cookies := c.saved()
		plain := c.end("/", cookies)
		for part, page := range parts {
			r := c.end(part, cookies)
			if r.StatusCode == 400 {
				continue // Envoy itself refuses some
			}
			if r.StatusCode != 200 || !strings.HasSuffix(r.Header.Get("refresh"), "00; url=/.session/end?"+page) || len(r.Header.Values("set-cookie")) > 0 {
				t.Errorf("%.60q, live: %d %v", part, r.StatusCode, r.Header)
			}
			for _, mark := range []string{"<", ">", `"`} {
				if strings.Count(r.body, mark) != strings.Count(plain.body, mark) {
					t.Errorf("%.60q, live: %s", part, r.body)
				}
			}
		}
		clk.advance(t, 15*time.Minute)
		for part, page := range parts {
			r := c.end(part, cookies)
			if r.StatusCode == 400 {
				continue
			}
			u, err := url.Parse(r.Header.Get("location"))
			if err != nil || r.StatusCode != 302 || u.Scheme != "" || u.Host != "" || u.Path != "/login" || u.Query().Get("next") != page || u.Query().Get("reason") != "idle_timeout" {
				t.Errorf("%.60q, dead: %d %v", part, r.StatusCode, r.Header)
			}
			if lines := r.Header.Values("set-cookie"); len(lines) != 2 || r.Header.Get("a") != "" {
				t.Errorf("%.60q: %q", part, lines)
			}
		}
	})
}

// Responses say when the session ends, pages where to go then, and caches that it depends on the cookie.
func TestFolderHeaders(t *testing.T) {
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, clk *clock) {
		names := []string{"session-idle-in", "session-expires-in", "refresh", "vary"}
		of := func(r reply) string {
			var out []string
			for _, name := range names {
				out = append(out, strings.Join(r.Header.Values(name), "|"))
			}
			return strings.Join(out, " ")
		}
		is := func(what string, r reply, want string) {
			t.Helper()
			if got := of(r); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		is("nobody", c.do("GET", "/maybe", "", "Accept: text/html"), "   ")
		c.login(`{"start":{"subject":"42"}}`)
		clk.advance(t, 30*time.Second)
		is("page", c.page("/page?x=1"), "870 3570 870; url=/.session/end?/page?x=1 Cookie")
		clk.advance(t, 30*time.Second)
		is("activity", c.page("/page"), "900 3540 900; url=/.session/end?/page Cookie")
		is("the rule's", c.page("/short"), "300 3540 300; url=/.session/end?/short Cookie")
		is("fetch", c.do("GET", "/page", "", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), "900 3540  Cookie")
		is("frame", c.do("GET", "/page", "", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), "900 3540  Cookie")
		is("HEAD", c.do("HEAD", "/page", "", "Accept: text/html"), "900 3540  Cookie")
		is("the app's own Refresh", c.page(telling("/page", "Refresh: 5; url=/next")), "900 3540 5; url=/next Cookie")
		is("the app's own Vary", c.page(telling("/x", "Vary: Cookie")), "900 3540 900; url=/.session/end?/x?set=Vary%3A+Cookie Cookie")
		is("the app's own seconds", c.do("GET", telling("/page", "Session-Idle-In: 7"), ""), "900 3540  Cookie")
		is("cacheable", c.page(telling("/page", "Cache-Control: max-age=60")), "   ")
		is("for a CDN", c.page(telling("/page", "CDN-Cache-Control: max-age=60")), "   ")
		is("set", c.command("/page", `{"set":{"a":1}}`), "900 3540  Cookie")
		is("expire_in", c.command("/page", `{"expire_in":"400s"}`), "400 3540  Cookie")
		is("rotate", c.command("/page", `{"rotate":true}`), "400 3540  Cookie")
		is("end", c.command("/page", `{"end":true}`), "   Cookie")
		is("after it", c.do("GET", "/maybe", "", "Accept: text/html"), "   ")
	})
}

// Whether a browser takes cookies shows with its second call. The cookie stays in the folder.
func TestFolderTestCookie(t *testing.T) {
	inFolder(t, least(folderConfig), func(t *testing.T, c *client, _ *clock) {
		r := c.script("GET", "/.session/status")
		r.says(t, map[string]any{"state": "absent", "cookie": false})
		r = c.script("GET", "/.session/status")
		r.gets(t, 200, statusHeaders)
		r.says(t, map[string]any{"state": "absent", "cookie": true})
		if r := c.do("GET", "/maybe", ""); r.app == nil || r.app.Header.Get("cookie") != "" {
			t.Errorf("the app sees %s", r.body)
		}
	})
}

// In a trial run the folder is the app's.
func TestFolderReportOnly(t *testing.T) {
	inFolder(t, least(folderConfig, `"report_only": true`), func(t *testing.T, c *client, _ *clock) {
		c.login(`{"start":{"subject":"42"}}`)
		for path, method := range map[string]string{"status": "GET", "keepalive": "POST", "logout": "POST", "session.js": "GET", "end?/page": "GET", "x": "GET"} {
			r := c.script(method, "/.session/"+path)
			if r.app == nil || r.app.Path != "/.session/"+path || r.Header.Get("session-idle-in") != "" || len(r.Header.Values("set-cookie")) > 0 {
				t.Errorf("%s %s: %d %v %s", method, path, r.StatusCode, r.Header, r.body)
			}
		}
	})
}
