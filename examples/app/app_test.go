package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

const document = `{"subject":"alice","id":"AAECAwQFBgcICQoLDA0ODw","started_at":1700000000,"authenticated_at":1700000000,` +
	`"touched_at":1700000060,"idle_in":900,"expires_in":43140,"remember":true,"refreshed":false,"reason":"ok",` +
	`"data":{"name":"Alice <3","role":"admin"}}`

// get asks for target with the given x-session header; empty sends none.
func get(target, session string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	if session != "" {
		r.Header.Set("x-session", session)
	}
	return answer(r)
}

// post sends the login form, with Sec-Fetch-Site unless site is empty.
func post(form url.Values, site string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	return answer(r)
}

func answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	newHandler().ServeHTTP(w, r)
	return w
}

func alice() url.Values { return url.Values{"user": {"alice"}, "password": {"demo-alice"}} }

func TestLoginStartsSession(t *testing.T) {
	tests := []struct{ user, password, remember, want string }{
		{"alice", "demo-alice", "", `{"start":{"subject":"alice","data":{"name":"Alice","role":"admin"},"remember":false}}`},
		{"alice", "demo-alice", "1", `{"start":{"subject":"alice","data":{"name":"Alice","role":"admin"},"remember":true}}`},
		{"bob", "demo-bob", "", `{"start":{"subject":"bob","data":{"name":"Bob","role":"member"},"remember":false,"idle":"1m","absolute":"5m"}}`},
		{"bob", "demo-bob", "1", `{"start":{"subject":"bob","data":{"name":"Bob","role":"member"},"remember":true}}`},
		{"carol", "demo-carol", "", `{"start":{"subject":"carol","data":{"name":"Carol","role":"member"},"remember":false,"idle":"20s","absolute":"1m"}}`},
	}
	for _, tt := range tests {
		w := post(url.Values{"user": {tt.user}, "password": {tt.password}, "remember": {tt.remember}}, "same-origin")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
			t.Errorf("%s: got %d to %q, want 303 to /", tt.user, w.Code, w.Header().Get("Location"))
		}
		if got := w.Header().Values("x-session"); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: command\n got %q\nwant %q", tt.user, got, tt.want)
		}
	}
}

func TestWrongLogin(t *testing.T) {
	tests := []struct{ user, password string }{
		{"alice", "demo-bob"},
		{"alice", ""},
		{"", ""},
		{"", "demo-alice"},
		{"Alice", "demo-alice"},
		{"alice", "demo-alice "},
		{"alice\x00demo-alice", ""},
		{`<b>mallory</b>`, "x"},
	}
	for _, tt := range tests {
		w := post(url.Values{"user": {tt.user}, "password": {tt.password}, "next": {"/admin"}}, "same-origin")
		if w.Code != http.StatusUnauthorized || len(w.Header().Values("x-session")) != 0 {
			t.Errorf("%q, %q: got %d with command %q, want 401 without", tt.user, tt.password, w.Code, w.Header().Values("x-session"))
		}
		contains(t, w, `role="alert"`, `name="next" value="/admin"`, "is not right")
		lacks(t, w, "<b>mallory")
	}
}

func TestUnreadableLogin(t *testing.T) {
	tests := []struct{ name, body string }{
		{"broken escape", "user=%zz"},
		{"too large", "user=alice&password=demo-alice&next=" + strings.Repeat("x", maxForm)},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if w := answer(r); w.Code != http.StatusBadRequest || w.Header().Get("x-session") != "" {
			t.Errorf("%s: got %d with command %q, want 400 without", tt.name, w.Code, w.Header().Get("x-session"))
		}
	}
}

func TestNext(t *testing.T) {
	tests := []struct{ next, want string }{
		{"/", "/"},
		{"/admin", "/admin"},
		{"/a/b/?q=1&r=%2F", "/a/b/?q=1&r=%2F"},
		{"/?u=https://shop.example/", "/?u=https://shop.example/"},
		{"/%2f/evil", "/%2f/evil"},
		{"/%5cevil", "/%5cevil"},
		{"/%09/evil", "/%09/evil"},
		{"", "/"},
		{"admin", "/"},
		{"?q", "/"},
		{"//evil", "/"},
		{"///evil", "/"},
		{"/a//evil", "/"},
		{"/.//evil", "/"},
		{"/..//evil", "/"},
		{`/\evil`, "/"},
		{`\\evil`, "/"},
		{`\/evil`, "/"},
		{`/a?\evil`, "/"},
		{"/\t/evil", "/"},
		{"/\n/evil", "/"},
		{"/a\r\nSet-Cookie: a=b", "/"},
		{"/\x00/evil", "/"},
		{"/\x7f/evil", "/"},
		{"\t//evil", "/"},
		{" //evil", "/"},
		{"https:evil", "/"},
		{"https://evil/", "/"},
		{"HTTPS:/evil", "/"},
		{"javascript:alert(1)", "/"},
		{"data:text/html,x", "/"},
		{"%2f%2fevil", "/"},
		{"%2Fevil", "/"},
		{"%5c%5cevil", "/"},
		{"@evil", "/"},
		{"evil/path", "/"},
	}
	for _, tt := range tests {
		form := alice()
		form.Set("next", tt.next)
		if got := post(form, "same-origin").Header().Get("Location"); got != tt.want {
			t.Errorf("POST next %q: went to %q, want %q", tt.next, got, tt.want)
		}
		field := strings.ReplaceAll(tt.want, "&", "&amp;")
		contains(t, get("/login?next="+url.QueryEscape(tt.next), ""), fmt.Sprintf(`name="next" value="%s"`, field))
	}
}

func TestCrossSiteLogin(t *testing.T) {
	tests := []struct {
		site string
		want int
	}{
		{"same-origin", http.StatusSeeOther},
		{"none", http.StatusSeeOther},
		{"", http.StatusSeeOther}, // curl, old browsers
		{"cross-site", http.StatusForbidden},
		{"same-site", http.StatusForbidden},
	}
	for _, tt := range tests {
		w := post(alice(), tt.site)
		if started := w.Header().Get("x-session") != ""; w.Code != tt.want || started != (tt.want == http.StatusSeeOther) {
			t.Errorf("Sec-Fetch-Site %q: got %d, session started %t, want %d", tt.site, w.Code, started, tt.want)
		}
	}
}

func TestReason(t *testing.T) {
	tests := []struct{ reason, want string }{
		{"idle_timeout", "You were signed out because you were inactive."},
		{"absolute_timeout", "reached its time limit"},
		{"revoked", "ended for security reasons"},
		{"auth_too_old", "needs a recent sign-in"},
		{"logged_out", "You have signed out."},
		{"zebra", "Please sign in to continue."},
		{"zebra idle_timeout", "Please sign in to continue."},
		{"<script>zebra", "Please sign in to continue."},
	}
	for _, tt := range tests {
		w := get("/login?reason="+url.QueryEscape(tt.reason), "")
		contains(t, w, `role="status"`, tt.want)
		lacks(t, w, "zebra", tt.reason)
	}
	for _, target := range []string{"/login", "/login?reason=", "/login?reason=absent"} {
		lacks(t, get(target, ""), `role="status"`)
	}
}

func TestPages(t *testing.T) {
	tests := []struct {
		target, session string
		code            int
		want            string
	}{
		{"/", "", http.StatusOK, "Nobody is signed in"},
		{"/", document, http.StatusOK, "Hello, Alice &lt;3"},
		{"/", `{"subject":"carol"}`, http.StatusOK, "Hello, carol"},
		{"/login", "", http.StatusOK, `<form class="card" method="post" action="/login">`},
		{"/login", document, http.StatusOK, `<form class="card" method="post" action="/login">`},
		{"/admin", "", http.StatusOK, "data.role"},
		{"/admin", document, http.StatusOK, "You are Alice &lt;3"},
		{"/public", "", http.StatusOK, "You are not signed in."},
		{"/public", document, http.StatusOK, "You are signed in as Alice &lt;3."},
		{"/api/me", "", http.StatusUnauthorized, `{"error":"nobody is signed in"}`},
		{"/api/me", document, http.StatusOK, `{"expires_in":43140,"idle_in":900,"name":"Alice \u003c3","reason":"ok","refreshed":false,"role":"admin","subject":"alice"}`},
		{"/admin/api", "", http.StatusUnauthorized, `{"error":"nobody is signed in"}`},
		{"/admin/api", document, http.StatusOK, `"role":"admin"`},
		{"/api/seconds", "", http.StatusUnauthorized, `{"error":"nobody is signed in"}`},
		{"/healthz", "", http.StatusOK, "ok"},
		{"/static/style.css", "", http.StatusOK, "prefers-color-scheme"},
		{"/static/deadlines.js", "", http.StatusOK, "/.session/status"},
		{"/static/panel.js", "", http.StatusOK, "x-session-activity"},
		{"/static/icon.svg", "", http.StatusOK, "<svg"},
		{"/nowhere", document, http.StatusNotFound, "404"},
	}
	for _, tt := range tests {
		w := get(tt.target, tt.session)
		if w.Code != tt.code {
			t.Errorf("%s: got %d, want %d", tt.target, w.Code, tt.code)
		}
		contains(t, w, tt.want)
		lacks(t, w, "<3", " style=", "<style", "<script>", " onclick=")
		if got := w.Header().Get("x-session"); got != "" {
			t.Errorf("%s: sent the command %q, want none", tt.target, got)
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
			t.Errorf("%s: policy %q, want it to start with default-src 'self'", tt.target, got)
		}
	}
}

func TestHomeShowsDeadlines(t *testing.T) {
	w := get("/", document)
	contains(t, w,
		`data-seconds="900">15:00</time>`,
		`data-seconds="43140">11:59:00</time>`,
		`<progress max="900" value="900"`, `<progress max="43200" value="43140"`,
		"Do nothing for 900 seconds",
		"14 November 2023, 22:13:20 UTC",
		`<form method="post" action="/logout">`,
		"&#34;touched_at&#34;: 1700000060",
		`<a href="/admin">`, `<a href="/public">`)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	contains(t, get("/", `{"subject":"alice","idle_in":900,"expires_in":20}`), "Do nothing for 20 seconds")
}

// What scripts and people find on the pages, whatever their texts become.
func TestHooks(t *testing.T) {
	for _, target := range []string{"/", "/login", "/admin", "/public"} {
		contains(t, get(target, document), `<script src="/.session/session.js" defer></script>`)
	}
	contains(t, get("/login", ""), `name="user"`, `name="password"`, `name="remember"`, `name="next"`)
	home := get("/", document)
	contains(t, home, `id="idle-left"`, `id="absolute-left"`, `<table id="log"`, `<caption`, `role="status" aria-live="polite"`,
		`<script type="module" src="/static/panel.js"></script>`, "<noscript>")
	for _, name := range []string{"active", "passive", "admin", "nobody", "keepalive", "stream"} {
		contains(t, home, `data-try="`+name+`"`)
	}
}

// The login page tells each account's timeouts; alice has those of the configuration that `make run` uses.
func TestAccounts(t *testing.T) {
	contains(t, get("/login", ""),
		"<td><code>demo-alice</code></td><td>2m*</td><td>10m*</td>",
		"<td><code>demo-bob</code></td><td>1m</td><td>5m</td>",
		"<td><code>demo-carol</code></td><td>20s</td><td>1m</td>")
	config, err := os.ReadFile("../../envoy.yaml")
	if err != nil || !strings.Contains(string(config), `"timeouts": {"idle": "2m", "absolute": "10m",`) {
		t.Errorf("envoy.yaml has other timeouts than the login page (%v)", err)
	}
}

func TestChoices(t *testing.T) {
	tests := []struct{ session, want string }{
		{`{"subject":"alice"}`, "10s 30s 1m"},
		{`{"subject":"bob"}`, "10s 30s"},
		{`{"subject":"carol"}`, "10s"},
		{`{"subject":"carol","remember":true}`, "10s 30s 1m"},
		{`{"subject":"mallory"}`, "10s 30s 1m"},
	}
	offered := regexp.MustCompile(`<option value="([^"]+)"`)
	for _, tt := range tests {
		var got []string
		for _, m := range offered.FindAllStringSubmatch(get("/", tt.session).Body.String(), -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: offered %q, want %q", tt.session, got, tt.want)
		}
	}
	contains(t, get("/", `{"subject":"bob","data":{"idle":"30s"}}`), `<option value="30s" selected>30 seconds</option>`)
}

func TestSetTimeout(t *testing.T) {
	tests := []struct {
		session, idle string
		code          int
		want          string
	}{
		{`{"subject":"alice"}`, "30s", http.StatusSeeOther, `{"expire_in":"30s","set":{"idle":"30s"}}`},
		{`{"subject":"alice"}`, "", http.StatusSeeOther, `{"expire_in":null,"set":{"idle":null}}`},
		{`{"subject":"bob"}`, "10s", http.StatusSeeOther, `{"expire_in":"10s","set":{"idle":"10s"}}`},
		{`{"subject":"bob"}`, "", http.StatusSeeOther, `{"expire_in":"1m","set":{"idle":null}}`},
		{`{"subject":"bob","remember":true}`, "", http.StatusSeeOther, `{"expire_in":null,"set":{"idle":null}}`},
		{`{"subject":"bob"}`, "1m", http.StatusBadRequest, ""}, // no shorter than his own
		{`{"subject":"carol"}`, "30s", http.StatusBadRequest, ""},
		{`{"subject":"alice"}`, "9h", http.StatusBadRequest, ""},
		{`{"subject":"alice"}`, "browser", http.StatusBadRequest, ""},
		{"", "30s", http.StatusUnauthorized, ""},
	}
	for _, tt := range tests {
		w := setIdle(tt.session, tt.idle, "same-origin")
		if got := w.Header().Get("x-session"); w.Code != tt.code || got != tt.want {
			t.Errorf("%s, idle %q: got %d with %q, want %d with %q", tt.session, tt.idle, w.Code, got, tt.code, tt.want)
		}
	}
	if w := setIdle(document, "30s", "cross-site"); w.Code != http.StatusForbidden || w.Header().Get("x-session") != "" {
		t.Errorf("from another site: got %d with %q, want 403 without", w.Code, w.Header().Get("x-session"))
	}
}

// setIdle sends the form of the idle timeout.
func setIdle(session, idle, site string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/timeout", strings.NewReader(url.Values{"idle": {idle}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	if session != "" {
		r.Header.Set("x-session", session)
	}
	return answer(r)
}

// The stream goes on past the server's timeouts, and its handler ends when its client goes.
func TestStream(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newHandler().ServeHTTP(w, r)
		close(ended)
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	defer server.Close()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/api/seconds", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-session", document)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q, want text/event-stream", got)
	}
	events := make([]byte, len("data: 0\n\ndata: 1\n\n"))
	if _, err := io.ReadFull(answer.Body, events); err != nil || string(events) != "data: 0\n\ndata: 1\n\n" {
		t.Errorf("read %q, %v; want the first two seconds", events, err)
	}
	leave()
	<-ended
}

func TestNobody(t *testing.T) {
	for _, session := range []string{
		"alice", "null", "[]", "{}", `""`, "{", document[1:], document + "x", document + document,
		`{"subject":""}`, `{"subject":null}`, `{"subject":7}`, `{"subject":["alice"]}`,
		`{"data":{"name":"Alice","role":"admin"}}`,
		`{"subject":"alice","idle_in":"900"}`, `{"subject":"alice","data":[]}`,
	} {
		contains(t, get("/", session), "Nobody is signed in")
		if w := get("/api/me", session); w.Code != http.StatusUnauthorized {
			t.Errorf("x-session %q: /api/me got %d, want 401", session, w.Code)
		}
	}
}

func TestClock(t *testing.T) {
	tests := []struct {
		seconds int64
		want    string
	}{
		{-1, "0:00"},
		{0, "0:00"},
		{59, "0:59"},
		{3599, "59:59"},
		{3600, "1:00:00"},
		{2592000, "720:00:00"},
	}
	for _, tt := range tests {
		if got := clock(tt.seconds); got != tt.want {
			t.Errorf("clock(%d) = %q, want %q", tt.seconds, got, tt.want)
		}
	}
}

func TestServeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, "127.0.0.1:0"); err != nil {
		t.Errorf("serve after the stop signal: %v", err)
	}
}

func TestServeAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := serve(context.Background(), taken.Addr().String()); err == nil {
		t.Error("serve on an address in use: got no error")
	}
}

// contains fails the test for every one of texts that the answer's body lacks.
func contains(t *testing.T, w *httptest.ResponseRecorder, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("body lacks %q:\n%s", text, w.Body)
		}
	}
}

// lacks fails the test for every one of texts that the answer's body contains.
func lacks(t *testing.T, w *httptest.ResponseRecorder, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(w.Body.String(), text) {
			t.Errorf("body contains %q:\n%s", text, w.Body)
		}
	}
}
