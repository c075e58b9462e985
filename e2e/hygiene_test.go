package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is an app that keeps what reached it, for requests whose response has no body.
type recorder struct {
	addr string
	mu   sync.Mutex
	got  []seen
}

func newRecorder(t testing.TB) *recorder {
	rec := &recorder{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := seen{r.Method, r.URL.RequestURI(), r.Header.Clone()}
		rec.mu.Lock()
		rec.got = append(rec.got, s)
		rec.mu.Unlock()
		if r.URL.Path == "/login" && r.URL.Query().Get("subject") != "" {
			w.Header().Set("x-session", `{"start":{"subject":"`+r.URL.Query().Get("subject")+`"}}`)
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(srv.Close)
	rec.addr = srv.Listener.Addr().String()
	return rec
}

// take returns what reached the app since the last call.
func (r *recorder) take() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// onlyOurs fails where the app sees a name of Curfew's, in any spelling, that is not in want or
// stands there more than once.
func onlyOurs(t testing.TB, h http.Header, want ...string) {
	t.Helper()
	var found []string
	for name, values := range h {
		folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if !strings.HasPrefix(folded, "x-session") && folded != "x-user-name" {
			continue
		}
		for range values {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("the app saw %v, want %v", found, want)
	}
}

// forged is what a client may try: HD-136 to HD-141 and HD-156.
var forged = []string{
	"X-User-Name: admin", "x-USER-name: admin", "x_user_name: admin", "X-User_Name: admin", "X-User-Name: ",
	"X-Session: {\"subject\":\"admin\"}", "x_session: {}", "X-SESSION-SUBJECT: admin", "x_session_subject: admin",
	"X-Session_Subject: admin", "X-Session-Reason: ok", "X_Session_Reason: ok", "X-Session-Activity: active",
	"x-session-: admin", "X-SessionX: admin", "x-session-subject: ", "X-Session-Subject: admin", "X-Session-Subject: root",
	"x.session.subject: admin", "x~session~subject: admin", "x+user+name: admin",
}

type hygieneCase struct {
	name, method, path string
	session            bool
	lines              []string
	want               []string // what the app sees; nil: it sees no request at all
}

var hygieneCases = []hygieneCase{
	{"off", "GET", "/off", false, nil, []string{"X-Session-Reason"}},
	{"off with a session", "GET", "/off", true, nil, []string{"X-Session-Reason"}},
	{"optional", "GET", "/maybe", false, nil, []string{"X-Session-Reason"}},
	{"optional with a session", "GET", "/maybe", true, nil, []string{"X-Session", "X-User-Name"}},
	{"required", "GET", "/page", false, nil, nil},
	{"required with a session", "GET", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"login page", "GET", "/login", false, nil, []string{"X-Session-Reason"}},
	{"login", "POST", "/login", false, nil, []string{"X-Session-Reason"}},
	{"login with a session", "POST", "/login", true, nil, []string{"X-Session", "X-User-Name"}},
	{"logout", "POST", "/logout", true, nil, nil},
	{"unsafe path", "GET", "/off/..;/page", false, nil, nil},
	{"unsafe path with a session", "GET", "/off/..;/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"HD-152 preflight", "OPTIONS", "/page", false, []string{"Origin: https://other.example", "Access-Control-Request-Method: PUT"}, []string{"X-Session-Reason"}},
	{"preflight with cookies", "OPTIONS", "/page", true, []string{"Origin: https://other.example", "Access-Control-Request-Method: PUT"}, []string{"X-Session", "X-User-Name"}},
	{"HD-152 OPTIONS", "OPTIONS", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"HEAD", "HEAD", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"HEAD off", "HEAD", "/off", false, nil, []string{"X-Session-Reason"}},
	{"POST", "POST", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"PUT", "PUT", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"DELETE", "DELETE", "/off", false, nil, []string{"X-Session-Reason"}},
	{"PATCH", "PATCH", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"own method", "PROPFIND", "/page", true, nil, []string{"X-Session", "X-User-Name"}},
	{"HD-157 to HD-162", "GET", "/page", false, []string{
		"X-Forwarded-Host: evil", "Forwarded: host=evil", "X-Forwarded-Uri: /off", "X-Original-URL: /off",
		"X-Rewrite-URL: /off", "X-Envoy-Original-Path: /off", "X-HTTP-Method-Override: OPTIONS"}, nil},
}

const hygieneConfig = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"},
	"headers": {"x-user-name": "subject", "x-session": "@this"},
	"rules": [{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/maybe", "session": "optional"}]}`

// No header that only Curfew may set comes from a client, on any path, by any method.
func TestHeaderHygiene(t *testing.T) {
	app := newRecorder(t)
	e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, config: hygieneConfig})
	login := func() string {
		line := hostName + "=" + token(t, newClient(t, e, "h2").do("POST", "/login?subject=victim", ""), hostName)
		app.take()
		return line
	}
	other := login()
	for _, c := range hygieneCases {
		lines := func() []string {
			lines := append(slices.Clone(forged), c.lines...)
			if c.session {
				lines = append(lines, "Cookie: "+login()) // some cases end it
			}
			return lines
		}
		t.Run("http/1.1/"+c.name, func(t *testing.T) {
			e.raw(t, c.method+" "+c.path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"+strings.Join(lines(), "\r\n")+"\r\n\r\n")
			c.check(t, app.take())
		})
		t.Run("h2/"+c.name, func(t *testing.T) {
			newClient(t, e, "h2").do(c.method, c.path, "", lines()...)
			c.check(t, app.take())
		})
	}
	e.alive(t, other)
}

func (c *hygieneCase) check(t *testing.T, got []seen) {
	t.Helper()
	switch {
	case c.want == nil && len(got) > 0:
		t.Fatalf("the app was reached: %+v", got)
	case c.want == nil:
		return
	case len(got) != 1:
		t.Fatalf("%d requests reached the app, want 1", len(got))
	}
	h := got[0].Header
	onlyOurs(t, h, slices.Clone(c.want)...)
	if who := h.Get("x-user-name"); who != "" && who != "victim" {
		t.Errorf("x-user-name: %q", who)
	}
	if line := h.Get("cookie"); line != "" {
		t.Errorf("the app saw a cookie of ours")
	}
}

// Names that http/1.1 should not carry: refused, or no identity (HD-142, HD-144 to HD-150).
func TestHeaderSmuggling(t *testing.T) {
	app := newRecorder(t)
	e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, config: hygieneConfig})
	g := token(t, newClient(t, e, "h2").do("POST", "/login?subject=victim", ""), hostName)
	app.take()
	head := "GET /maybe HTTP/1.1\r\nHost: localhost\r\n"
	for _, c := range []struct{ name, request string }{
		{"HD-142 space before the colon", head + "X-Session-Subject : admin\r\n\r\n"},
		{"HD-142 tab before the colon", head + "X-Session-Subject\t: admin\r\n\r\n"},
		{"HD-145 trailer", "POST /maybe HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-user-name\r\n\r\n1\r\na\r\n0\r\nX-User-Name: admin\r\n\r\n"},
		{"HD-146 Connection", head + "Connection: close, x-session-reason\r\nX-User-Name: admin\r\n\r\n"},
		{"HD-148 Transfer-Encoding", head + "Transfer-Encoding: x-user-name\r\n\r\n"},
		{"HD-149 NUL", head + "X-User-Name\x00: admin\r\n\r\n"},
		{"HD-149 NUL in the middle", head + "X-User\x00-Name: admin\r\n\r\n"},
		{"HD-150 U+2011", head + "X\u2011User\u2011Name: admin\r\n\r\n"},
		{"folded line", head + "A: b\r\n X-User-Name: admin\r\n\r\n"},
		{"HD-153 upgrade", head + "Connection: Upgrade\r\nUpgrade: websocket\r\nX-User-Name: admin\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e.raw(t, c.request)
			for _, s := range app.take() {
				onlyOurs(t, s.Header, "X-Session-Reason")
				if s.Header.Get("x-session-reason") != "absent" {
					t.Errorf("reason %q", s.Header.Get("x-session-reason"))
				}
			}
		})
	}
	e.alive(t, hostName+"="+g)
}

// A request's trailers reach the app without any name of Curfew's, and without cookies.
func TestTrailers(t *testing.T) {
	trailers := make(chan http.Header, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer.Clone()
	}))
	t.Cleanup(srv.Close)
	e := start(t, setup{app: srv.Listener.Addr().String(), env: map[string]string{"CURFEW_KEY": newKey()}, config: hygieneConfig, trailers: true})
	for _, proto := range []string{"http/1.1", "h2"} {
		c := newClient(t, e, proto)
		req, err := http.NewRequest("POST", c.base+"/maybe", struct{ io.Reader }{strings.NewReader("body")})
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-User-Name": {"admin"}, "X_session_subject": {"admin"}, "Cookie": {"sessionid=evil"}, "Checksum": {"1"}}
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got := <-trailers
		if got.Get("checksum") != "1" {
			t.Errorf("%s: the app's own trailer is gone: %v", proto, got)
		}
		if len(got.Values("cookie")) != 0 {
			t.Errorf("%s: a cookie came by trailer: %v", proto, got)
		}
		onlyOurs(t, got)
	}
}

// Cookies that are not ours reach the app byte for byte, ours never do.
func TestCookieHygiene(t *testing.T) {
	app := newRecorder(t)
	e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, config: hygieneConfig})
	g := token(t, newClient(t, e, "h2").do("POST", "/login?subject=victim", ""), hostName)
	app.take()
	ours := hostName + "=" + g
	for _, c := range []struct {
		name        string
		lines, want []string
	}{
		{"none", nil, nil},
		{"only ours", []string{ours}, nil},
		{"only ours, odd spacing", []string{"  " + ours + "  "}, nil},
		{"first", []string{ours + "; a=1; b=2"}, []string{"a=1; b=2"}},
		{"middle", []string{"a=1; " + ours + "; b=2"}, []string{"a=1; b=2"}},
		{"last", []string{"a=1; b=2; " + ours}, []string{"a=1; b=2"}},
		{"without", []string{"a=1;b=2 ;  c;;=d; e=\"x y\""}, []string{"a=1;b=2 ;  c;;=d; e=\"x y\""}},
		{"odd spacing", []string{"a=1;  b=2 ;\tc;;" + ours + ";=d; e=\"x;y\""}, []string{"a=1;  b=2 ;\tc;;=d; e=\"x;y\""}},
		{"touch", []string{"a=1; " + hostName + "-seen=1t.k1.x; b=2; " + ours}, []string{"a=1; b=2"}},
		{"names around ours", []string{hostName + "2=x; " + ours + "; x" + hostName + "=y; " + hostName}, []string{hostName + "2=x; x" + hostName + "=y; " + hostName}},
		{"several lines", []string{"a=1", ours, "b=2; " + ours + ";c=3", "a=1"}, []string{"a=1", "b=2;c=3", "a=1"}},
		{"several lines without", []string{"b=2", "a=1;"}, []string{"b=2", "a=1;"}},
		{"twice and forged", []string{ours + "; a=1; " + ours + "; " + ours + "x; z=\x80\xff"}, []string{"a=1; z=\x80\xff"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := slices.Clone(c.lines)
			for i := range lines {
				lines[i] = "Cookie: " + lines[i]
			}
			e.raw(t, get("/maybe", lines...))
			got := app.take()
			if len(got) != 1 || !slices.Equal(got[0].Header["Cookie"], c.want) {
				t.Errorf("the app saw %q, want %q", got, c.want)
			}
		})
	}
	t.Run("CK-34 h2 crumbs", func(t *testing.T) {
		newClient(t, e, "h2").do("GET", "/maybe", "", "Cookie: a=1; "+ours+"; b=2")
		got := app.take()
		if len(got) != 1 || strings.Join(got[0].Header["Cookie"], "; ") != "a=1; b=2" || got[0].Header.Get("x-user-name") != "victim" {
			t.Errorf("the app saw %q", got)
		}
	})
}
