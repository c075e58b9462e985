package filter_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

const wrapping = `, "cookie": {"mode": "sealed"}, "wrap": ["sid", "tok"], "rules": [{"path_prefix": "/open", "session": "optional"}, {"path_prefix": "/off", "session": "off"}]`

// inBothWrapping is inBoth for an app whose cookies sid and tok are wrapped.
func inBothWrapping(t *testing.T, more string, test func(t *testing.T, s *site)) {
	t.Helper()
	inBoth(t, wrapping+more, func(t *testing.T, s *site) {
		s.codec = s.newCodec(cookie.Options{Name: name, Sealed: true, Skew: 60})
		test(t, s)
	})
}

func sets(line string) [2]string { return [2]string{"set-cookie", line} }

func wrapped(s cookie.Session) (list []cookie.Wrapped) {
	for rest := s.Wrapped; rest != ""; {
		var w cookie.Wrapped
		w, rest, _ = cookie.CutWrapped(rest)
		list = append(list, w)
	}
	return list
}

// sealed is a session by the app's own cookies.
func (s *site) sealed(authenticates bool, list ...cookie.Wrapped) (session *cookie.Session, cookies string) {
	s.t.Helper()
	session = someone("")
	if session.AuthenticatedAt = 0; authenticates {
		session.AuthenticatedAt = epoch
	}
	var b []byte
	for i := range list {
		b = cookie.AppendWrapped(b, &list[i])
	}
	session.Wrapped = string(b)
	return session, name + "=" + s.mint(session)
}

var (
	sid    = cookie.Wrapped{Name: "sid", Path: "/", Value: "s1"}
	sidIn  = cookie.Wrapped{Name: "sid", Path: "/", Value: "s1", Authenticates: true}
	tok    = cookie.Wrapped{Name: "tok", Path: "/", Value: "t1"}
	sidTwo = cookie.Wrapped{Name: "sid", Path: "/", Value: "s2", Authenticates: true}
)

// A site whose app knows nothing of us: visit, login, pages, logout.
func TestWrappedLife(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		o := s.request("GET", "/open", nil, status("200"), sets("sid=s0; Path=/; HttpOnly"))
		if got := strings.Join(values(o.reply, "set-cookie"), ""); o.local != nil || strings.Contains(got, "sid=") || values(o.reply, "cache-control")[0] != "no-store" {
			t.Fatalf("the browser got %v", o.reply)
		}
		first := s.held(t, o.setCookie(name))
		s.event(t, "session_start", "opened", first.ID.Hash())
		visitor := name + "=" + o.setCookie(name)

		o = s.request("GET", "/page", []string{visitor})
		o.want(t, stranger)
		o = s.request("GET", "/open", []string{"a=b; sid=evil; " + visitor + "; c=d"})
		if diff := cmp.Diff([]string{"sid=s0; a=b; c=d"}, values(o.request, "cookie")); o.local != nil || diff != "" {
			t.Error(diff)
		}
		if got := values(o.request, "x-session-reason"); len(got) != 1 || got[0] != "ok" {
			t.Errorf("reason %q", got)
		}
		o = s.request("POST", "/login", []string{visitor}, status("401"), sets("sid=s0; Path=/"))
		if len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("a failed login that changes nothing: %v", o.reply)
		}
		o = s.request("POST", "/login", []string{visitor}, status("302"), sets("sid=s1; Path=/"), [2]string{"location", "/"})
		second := s.held(t, o.setCookie(name))
		if diff := cmp.Diff([]cookie.Wrapped{sidIn}, wrapped(second)); diff != "" || second.ID == first.ID || second.Subject != "" || second.AuthenticatedAt != second.StartedAt || len(values(o.reply, "location")) != 1 {
			t.Fatalf("login: %+v %s", second, diff)
		}
		s.event(t, "session_end", "replaced", first.ID.Hash())
		s.event(t, "session_start", "started", second.ID.Hash())
		known := name + "=" + o.setCookie(name)

		o = s.request("GET", "/page", []string{known}, status("200"), sets("sid=s1; Path=/"))
		if diff := cmp.Diff([]string{"sid=s1"}, values(o.request, "cookie")); o.local != nil || diff != "" || len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("%+v %v %s", o.local, o.reply, diff)
		}
		o = s.request("GET", "/page", []string{known}, status("200"), sets("sid=s2; Path=/"))
		third := s.held(t, o.setCookie(name))
		if diff := cmp.Diff([]cookie.Wrapped{sidTwo}, wrapped(third)); diff != "" || third.ID != second.ID || third.StartedAt != second.StartedAt {
			t.Errorf("a new value: %+v %s", third, diff)
		}
		o = s.request("GET", "/page", []string{known}, status("302"), sets("sid=; Path=/; Max-Age=0"))
		if got := strings.Join(values(o.reply, "set-cookie"), ""); strings.Count(got, "=; Max-Age=0; ") != 2 || strings.Contains(got, "sid=") {
			t.Errorf("logout: %v", o.reply)
		}
		s.event(t, "session_end", "ended", second.ID.Hash())
	})
}

// The logout by one cookie of several ends one session and begins another, which is nobody's.
func TestWrappedLogoutLeavesOthers(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		before, cookies := s.sealed(true, sidIn, tok)
		o := s.request("GET", "/page", []string{cookies}, status("302"), sets("sid=; Path=/; Max-Age=0"))
		after := s.held(t, o.setCookie(name))
		if diff := cmp.Diff([]cookie.Wrapped{tok}, wrapped(after)); diff != "" || after.ID == before.ID || after.AuthenticatedAt != 0 {
			t.Errorf("%+v %s", after, diff)
		}
		want := []map[string]string{
			{"curfew": "session_end", "reason": "ended", "session": before.ID.Hash()},
			{"curfew": "session_start", "reason": "opened", "session": after.ID.Hash()},
		}
		if diff := cmp.Diff(want, s.events(t, 0)); diff != "" {
			t.Error(diff)
		}
	})
}

// An answer that leads back to the login page lets nobody in, whatever it sets.
func TestWrappedRefusedLogin(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		for location, in := range map[string]bool{"/login": false, "/login?error=1": false, "https://shop.example/login": false, "/": true, "/login/code": true} {
			before, cookies := s.sealed(false, sid)
			from := s.log.Len()
			o := s.request("POST", "/login", []string{cookies}, status("302"), [2]string{"location", location}, sets("sid=s2; Path=/"))
			got := s.held(t, o.setCookie(name))
			if (got.AuthenticatedAt != 0) != in || (got.ID != before.ID) != in || (len(s.events(t, from)) > 0) != in {
				t.Errorf("%s: %+v", location, got)
			}
		}
	})
}

// An app that moves its cookie's expiry with each answer has the session renewed, not written, and whoever
// is active stays so.
func TestWrappedExpiryMoves(t *testing.T) {
	b := newTab(t, `, "cookie": {"mode": "sealed"}, "wrap": ["sid"]`)
	moved := sets("sid=s1; Path=/; Max-Age=3600")
	b.end(b.begin("POST", "/login"), [2]string{"location", "/"}, moved)
	own := b.jar[name]
	for i := range 60 {
		b.h.now += 120
		id := b.begin("GET", "/page")
		if b.h.local != 0 {
			t.Fatalf("after %d s: reply %d", 120*(i+1), b.h.local)
		}
		if diff := cmp.Diff([]string{name + "-seen", name + "-renewed"}, b.end(id, moved)); diff != "" || b.jar[name] != own {
			t.Fatal(diff)
		}
	}
}

// Who logs in by an app's cookie with an end is logged in until then.
func TestWrappedExpiry(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		o := s.request("POST", "/login", nil, status("302"), [2]string{"location", "/"}, sets("sid=s1; Path=/; Max-Age=3600"))
		if lines := values(o.reply, "set-cookie"); len(lines) != 1 || !strings.Contains(lines[0], "; Max-Age=43200; ") {
			t.Errorf("login: %v", lines)
		}
		ended := sidIn
		ended.Expires = epoch - 1
		session, cookies := s.sealed(true, ended, tok)
		o = s.request("GET", "/page", []string{cookies})
		if o.want(t, stranger); !strings.Contains(strings.Join(values(o.reply, "location"), ""), "reason=absolute_timeout") {
			t.Errorf("%v", o.reply)
		}
		s.event(t, "session_end", "absolute_timeout", session.ID.Hash())
	})
}

// What cannot be kept is lost, and the log says so.
func TestWrappedLost(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		_, cookies := s.sealed(true, sidIn)
		for _, c := range []struct {
			name, path, said string
			response         [][2]string
		}{
			{"off", "/off", "the app does not get to see the session on this path", [][2]string{status("200"), sets("sid=lost; Path=/")}},
			{"a cache", "/page", "a response that a cache served", [][2]string{status("200"), sets("sid=lost; Path=/"), {"age", "3"}}},
			{"too large", "/page", "does not fit into a cookie", [][2]string{status("200"), sets("sid=" + strings.Repeat("lost", 1000))}},
			{"a long path", "/page", "does not fit into a cookie", [][2]string{status("200"), sets("sid=lost; Path=/" + strings.Repeat("lost", 64))}},
		} {
			t.Run(c.name, func(t *testing.T) {
				from := s.log.Len()
				o := s.request("GET", c.path, []string{cookies}, append(c.response, [2]string{"x-app", "1"})...)
				if o.local != nil || len(values(o.reply, "x-app")) != 1 || strings.Contains(strings.Join(values(o.reply, "set-cookie"), ""), "sid=") {
					t.Errorf("%+v %v", o.local, o.reply)
				}
				if said := s.log.String()[from:]; strings.Count(said, c.said) != 1 || strings.Contains(said, "lost; Path") || strings.Contains(said, "lostlost") {
					t.Errorf("the log says %q", said)
				}
			})
		}
		from := s.log.Len()
		o := s.request("POST", "/login", []string{cookies}, status("302"), [2]string{"location", "/"}, sets("sid="+strings.Repeat("lost", 1000)))
		if o.local == nil || o.local.StatusCode != 502 || len(values(o.reply, "set-cookie")) > 0 || len(s.events(t, from)) > 0 {
			t.Errorf("a login that does not fit: %+v %v", o.local, o.reply)
		}
	})
}

// newWrappingHost starts the built filter for an app whose cookies sid and tok are wrapped.
func newWrappingHost(t *testing.T) (*wasmHost, *site) {
	t.Helper()
	s := &site{t: t, secret: make([]byte, 32)}
	_, _ = rand.Read(s.secret)
	s.codec = s.newCodec(cookie.Options{Name: name, Sealed: true, Skew: 60})
	h := newWasmHost(t)
	h.now = epoch
	if !h.start(configOf(s.secret, wrapping)) {
		t.Fatalf("the filter does not start: %q", h.logged)
	}
	return h, s
}

// All other lines of a response stay as they are, where they are; ours comes last.
func TestOtherCookiesOfTheResponse(t *testing.T) {
	h, s := newWrappingHost(t)
	_, cookies := s.sealed(true, sidIn)
	a, b, c := sets("a=1; Path=/x; Secure"), sets("b=sid=1"), sets("SID=2; HttpOnly")
	for _, tt := range []struct {
		name     string
		response [][2]string
		want     [][2]string // before ours
		ours     bool
	}{
		{"nothing of theirs", [][2]string{status("200"), {"x-a", "1"}}, [][2]string{status("200"), {"x-a", "1"}}, false},
		{"others only", [][2]string{status("200"), a, {"x-a", "1"}, b, {"cache-control", "max-age=9"}, c}, [][2]string{status("200"), a, {"x-a", "1"}, b, {"cache-control", "max-age=9"}, c}, false},
		{"the same again", [][2]string{status("200"), a, sets("sid=s1; Path=/"), {"x-a", "1"}, b, {"vary", "Accept"}, c}, [][2]string{status("200"), {"x-a", "1"}, {"vary", "Accept"}, a, b, c}, false},
		{"a new value", [][2]string{status("200"), a, sets("sid=s2; Path=/"), {"x-a", "1"}, b, {"vary", "Accept"}, c}, [][2]string{status("200"), {"x-a", "1"}, {"vary", "Accept"}, a, b, c}, true},
		{"several", [][2]string{sets("tok=t1; Path=/"), a, sets("sid=s2; Path=/"), sets(" sid =s3; Path=/a"), b, status("200"), c, sets("sid")}, [][2]string{status("200"), a, b, c}, true},
		{"ours by the app", [][2]string{status("200"), a, sets(name + "=evil"), sets("sid=s2; Path=/"), sets(name + "-seen=evil"), b}, [][2]string{status("200"), a, b}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.exchange(pageLoad("/page", [2]string{"cookie", cookies}), tt.response)
			got := h.toClient
			if h.local != 0 {
				t.Fatalf("reply %d", h.local)
			}
			if tt.ours {
				n := len(got)
				if n < 3 || !strings.HasPrefix(got[n-3][1], name+"=1e.") || got[n-2] != [2]string{"cache-control", "no-store"} || got[n-1] != [2]string{"vary", "Cookie"} {
					t.Fatalf("got %q", got)
				}
				got = got[:n-3]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// All that an app sets in one response is there on the next request, longest path first.
func TestSeveralCookies(t *testing.T) {
	h, s := newWrappingHost(t)
	h.exchange([][2]string{{":method", "POST"}, {":path", "/login?x=/y/"}, {":scheme", "https"}, {":authority", "shop.example"}},
		[][2]string{status("302"), {"location", "/"}, sets("sid=top"), sets("tok=t; Path=/page; Max-Age=100"), sets("a=b"), sets("sid=deep; Path=/page/x"), sets("tok=gone"), sets("tok=; Max-Age=0")})
	o := outcome{reply: h.toClient}
	got := s.held(t, o.setCookie(name))
	want := []cookie.Wrapped{
		{Name: "sid", Path: "/", Value: "top", Authenticates: true},
		{Name: "tok", Path: "/page", Value: "t", Expires: epoch + 100, Authenticates: true},
		{Name: "sid", Path: "/page/x", Value: "deep", Authenticates: true},
	}
	if diff := cmp.Diff(want, wrapped(got)); diff != "" {
		t.Error(diff)
	}
	ours := name + "=" + o.setCookie(name)
	for _, tt := range []struct {
		path string
		at   int64
		want string
	}{
		{"/", 1, "sid=top; a=b"}, {"/page", 1, "tok=t; sid=top; a=b"}, {"/pages", 1, "sid=top; a=b"}, {"/page/x/y?z", 1, "sid=deep; tok=t; sid=top; a=b"},
		{"/page/x", 99, "sid=deep; tok=t; sid=top; a=b"}, {"/page/x", 100, "sid=deep; sid=top; a=b"},
	} {
		h.now = epoch + tt.at
		h.exchange(pageLoad(tt.path, [2]string{"cookie", "a=b; " + ours}), [][2]string{status("200")})
		if got := strings.Join(values(h.toApp, "cookie"), "|"); got != tt.want {
			t.Errorf("%s after %d s: the app saw %q, want %q", tt.path, tt.at, got, tt.want)
		}
	}
}

// What a client itself sends under these names reaches the app on no path and in no state.
func TestBareCookiesNeverReachTheApp(t *testing.T) {
	inBothWrapping(t, "", func(t *testing.T, s *site) {
		_, alive := s.sealed(true, sidIn)
		_, visitor := s.sealed(false, sid)
		old, _ := s.sealed(true, sidIn)
		old.StartedAt, old.AuthenticatedAt, old.IssuedAt = epoch-7200, epoch-7200, epoch-7200
		dead := name + "=" + s.mint(old)
		preflight := [][2]string{{"origin", "https://x"}, {"access-control-request-method", "POST"}}
		reached := 0
		for _, path := range []string{"/", "/page", "/open", "/open/x?y", "/off", "/off/x", "/login", "/logout", "/.session/status", "/open;x", "/%6fpen"} {
			for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS"} {
				for _, ours := range []string{"", alive, visitor, dead, name + "=x"} {
					for _, bare := range []string{"sid=evil", "a=b; tok=evil; c=d", ` sid = "evil"`, "SID=evil", "sid[x]=evil", "s%69d=evil"} {
						headers := append([][2]string{{":method", method}, {":path", path}, {":scheme", "https"}, {":authority", "shop.example"}, {"cookie", bare + "; " + ours + "; z=1"}}, preflight...)
						o := s.send(headers, status("200"))
						if o.local != nil {
							continue
						}
						reached++
						if got := strings.Join(values(o.request, "cookie"), "|"); strings.Contains(got, "evil") || !strings.Contains(got, "z=1") {
							t.Errorf("%s %s with %s and %.20s: the app saw %q", method, path, bare, ours, got)
						}
					}
				}
			}
		}
		if reached < 500 {
			t.Errorf("only %d requests reached the app", reached)
		}
	})
}

// An app's long expiry counts in full only where the operator names longer timeouts.
func TestOnlyWithRemember(t *testing.T) {
	for fields, want := range map[string]string{"": "; Max-Age=43200; ", `, "remember": {"idle": "336h", "absolute": "720h"}`: "; Max-Age=2592000; "} {
		inBothWrapping(t, fields, func(t *testing.T, s *site) {
			o := s.request("POST", "/login", nil, status("302"), [2]string{"location", "/"}, sets("sid=s1; Path=/; Max-Age=1209600"))
			if lines := values(o.reply, "set-cookie"); len(lines) != 1 || !strings.Contains(lines[0], want) {
				t.Errorf("%q, want %q", lines, want)
			}
		})
	}
}
