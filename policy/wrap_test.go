package policy

import (
	"fmt"
	"math/rand"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// wrapPolicy is a site whose app has cookies of its own, sid above all.
func wrapPolicy(t testing.TB, fields ...string) *Config {
	t.Helper()
	return policyOf(t, append([]string{`"cookie":{"mode":"sealed"}`, `"wrap":["sid","tok"]`,
		`"rules":[{"path_prefix":"/off","session":"off"},{"path_prefix":"/poll","session":"optional","activity":"passive"},
			{"path_prefix":"/brief","session":"optional","idle":"2m"},{"path_prefix":"/","session":"optional"}]`}, fields...)...)
}

// wrapped writes an app's cookies as a session holds them.
func wrapped(list ...cookie.Wrapped) string {
	var b []byte
	for i := range list {
		b = cookie.AppendWrapped(b, &list[i])
	}
	return string(b)
}

// unwrapped reads them.
func unwrapped(s string) (list []cookie.Wrapped) {
	for s != "" {
		var w cookie.Wrapped
		w, s, _ = cookie.CutWrapped(s)
		list = append(list, w)
	}
	return list
}

// loggedIn is a session by the app's own cookie, since that time.
func loggedIn(at int64, more ...cookie.Wrapped) cookie.Session {
	return with(at, func(s *cookie.Session) {
		s.Subject = ""
		s.Wrapped = wrapped(append([]cookie.Wrapped{{Name: "sid", Path: "/", Value: "s1", Authenticates: true}}, more...)...)
	})
}

// visitor is a session by the app's own cookies that nobody logged in to.
func visitor(at int64, list ...cookie.Wrapped) cookie.Session {
	return with(at, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Wrapped = "", 0, wrapped(list...) })
}

var (
	pageGet   = Request{Path: "/page"}
	loginPost = Request{Method: "POST", Path: "/login"}
	sid       = cookie.Wrapped{Name: "sid", Path: "/", Value: "s1"}
	tok       = cookie.Wrapped{Name: "tok", Path: "/", Value: "t1"}
)

func expiring(w cookie.Wrapped, at int64) cookie.Wrapped {
	w.Expires = at
	return w
}

func authenticating(w cookie.Wrapped) cookie.Wrapped {
	w.Authenticates = true
	return w
}

// follow is what one response's Set-Cookie lines do, one minute after the session was written. before
// nil is no session.
type follow struct {
	name   string
	before *cookie.Session
	r      Request
	status int
	lines  []string
	done   Reason
	ended  Reason
	after  []cookie.Wrapped
	maxAge string
}

var follows = []follow{
	{"first cookie", nil, pageGet, 200, []string{"sid=s1; Path=/"}, Opened, OK, []cookie.Wrapped{sid}, ""},
	{"first cookie on an error", nil, pageGet, 500, []string{"sid=s1; Path=/"}, Opened, OK, []cookie.Wrapped{sid}, ""},
	{"first cookie, failed login", nil, loginPost, 401, []string{"sid=s1; Path=/"}, Opened, OK, []cookie.Wrapped{sid}, ""},
	{"first cookie, the login page", nil, Request{Path: "/login"}, 200, []string{"sid=s1; Path=/"}, Opened, OK, []cookie.Wrapped{sid}, ""},
	{"deletion of nothing", nil, pageGet, 200, []string{"sid=; Max-Age=0; Path=/"}, OK, OK, nil, ""},
	{"no cookie at all", nil, pageGet, 200, []string{"sid"}, OK, OK, nil, ""},
	{"set and deleted at once, login", nil, loginPost, 200, []string{"sid=s1; Path=/", "sid=; Max-Age=0; Path=/"}, OK, OK, nil, ""},
	{"set and deleted at once, login of a visitor", ptr(visitor(epoch, tok)), loginPost, 200, []string{"sid=s1; Path=/", "sid=; Max-Age=0; Path=/"}, Changed, OK, []cookie.Wrapped{tok}, ""},
	{"deleted and set at once, login", ptr(loggedIn(epoch)), loginPost, 200, []string{"sid=; Max-Age=0; Path=/", "sid=s2; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}, ""},
	{"set and deleted at once", nil, pageGet, 200, []string{"sid=s1; Path=/", "sid=; Max-Age=0; Path=/"}, OK, OK, nil, ""},
	{"two cookies", nil, pageGet, 200, []string{"sid=s1; Path=/", "tok=t1; Path=/"}, Opened, OK, []cookie.Wrapped{tok, sid}, ""},
	{"default path", nil, Request{Path: "/a/b/c?d=/e/f"}, 200, []string{"sid=s1"}, Opened, OK, []cookie.Wrapped{{Name: "sid", Path: "/a/b", Value: "s1"}}, ""},
	{"default path for an odd one", nil, Request{Path: "/a/b/c"}, 200, []string{"sid=s1; Path=x"}, Opened, OK, []cookie.Wrapped{{Name: "sid", Path: "/a/b", Value: "s1"}}, ""},
	{"default path at the top", nil, Request{Path: "/a"}, 200, []string{"sid=s1"}, Opened, OK, []cookie.Wrapped{sid}, ""},
	{"longest path last", nil, pageGet, 200, []string{"sid=l; Path=/a/b", "tok=t1; Path=/", "sid=m; Path=/a"}, Opened, OK,
		[]cookie.Wrapped{tok, {Name: "sid", Path: "/a", Value: "m"}, {Name: "sid", Path: "/a/b", Value: "l"}}, ""},
	{"one name, two paths, one set again", ptr(visitor(epoch, sid, cookie.Wrapped{Name: "sid", Path: "/a", Value: "m"})), pageGet, 200, []string{"sid=n; Path=/a"}, Changed, OK,
		[]cookie.Wrapped{sid, {Name: "sid", Path: "/a", Value: "n"}}, ""},
	{"max-age", nil, pageGet, 200, []string{"sid=s1; Path=/; Max-Age=3600"}, Opened, OK, []cookie.Wrapped{expiring(sid, epoch+minute+3600)}, "; Max-Age=43200"},
	{"expires", nil, pageGet, 200, []string{"sid=s1; Path=/; Expires=Fri, 15 Jan 2027 09:00:00 GMT"}, Opened, OK, []cookie.Wrapped{expiring(sid, epoch+hour)}, "; Max-Age=43200"},
	{"expires in the past", ptr(visitor(epoch, sid, tok)), pageGet, 200, []string{"sid=x; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, Changed, OK, []cookie.Wrapped{tok}, ""},
	{"the same again", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=s1; Path=/"}, Touched, OK, []cookie.Wrapped{sid}, ""},
	{"the same, other attributes", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=s1; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=x.example"}, Touched, OK, []cookie.Wrapped{sid}, ""},
	{"another value", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=s2; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2"}}, ""},
	{"another value, twice", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=s2; Path=/", "sid=s3; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s3"}}, ""},
	{"one more", ptr(visitor(epoch, sid)), pageGet, 200, []string{"tok=t1; Path=/"}, Changed, OK, []cookie.Wrapped{tok, sid}, ""},
	{"one less", ptr(visitor(epoch, sid, tok)), pageGet, 200, []string{"sid=; Path=/; Max-Age=-1"}, Changed, OK, []cookie.Wrapped{tok}, ""},
	{"the last one less", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=; Path=/; Max-Age=0"}, Changed, OK, nil, ""},
	{"deletion on another path", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=; Path=/a; Max-Age=0"}, Touched, OK, []cookie.Wrapped{sid}, ""},
	{"becomes persistent", ptr(visitor(epoch, sid)), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=60"}, Changed, OK, []cookie.Wrapped{expiring(sid, epoch+2*minute)}, "; Max-Age=43140"},
	{"persistent no more", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/"}, Changed, OK, []cookie.Wrapped{sid}, ""},
	{"expiry moves by less than touch", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=3599"}, Touched, OK, []cookie.Wrapped{expiring(sid, epoch+hour)}, "; Max-Age=43140"},
	{"expiry moves by touch", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=3600"}, Renewed, OK, []cookie.Wrapped{expiring(sid, epoch+minute+hour)}, "; Max-Age=43140"},
	{"expiry comes nearer by less than touch", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=3481"}, Touched, OK, []cookie.Wrapped{expiring(sid, epoch+hour)}, "; Max-Age=43140"},
	{"expiry comes nearer by touch", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=3480"}, Renewed, OK, []cookie.Wrapped{expiring(sid, epoch+hour-minute)}, "; Max-Age=43140"},
	{"expiry and value move", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s2; Path=/; Max-Age=7200"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2", Expires: epoch + minute + 7200}}, "; Max-Age=43140"},
	{"expiry of one moves, another comes", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=7200", "tok=t1; Path=/"}, Changed, OK, []cookie.Wrapped{tok, expiring(sid, epoch+minute+7200)}, "; Max-Age=43140"},
	{"expiry moves after the login", ptr(remembering(loggedInUntil(epoch, epoch+hour))), pageGet, 200, []string{"sid=s1; Path=/; Max-Age=7200"}, Renewed, OK, []cookie.Wrapped{authenticating(expiring(sid, epoch+minute+7200))}, "; Max-Age=43140"},
	{"an expired one goes with the next change", ptr(remembering(visitor(epoch, expiring(sid, epoch+30), tok))), pageGet, 200, []string{"tok=t2; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "tok", Path: "/", Value: "t2"}}, ""},
	{"an expired one set again", ptr(remembering(visitor(epoch, expiring(sid, epoch+30), tok))), pageGet, 200, []string{"sid=s1; Path=/"}, Changed, OK, []cookie.Wrapped{sid, tok}, ""},
	{"login", nil, loginPost, 302, []string{"sid=s1; Path=/"}, Started, OK, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login, 200", nil, loginPost, 200, []string{"sid=s1; Path=/"}, Started, OK, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login, persistent", nil, loginPost, 302, []string{"sid=s1; Path=/; Max-Age=3600"}, Started, OK, []cookie.Wrapped{authenticating(expiring(sid, epoch+minute+3600))}, "; Max-Age=43200"},
	{"login of a visitor", ptr(visitor(epoch, tok)), loginPost, 302, []string{"sid=s1; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(sid), tok}, ""},
	{"login of a visitor, new value", ptr(visitor(epoch, sid, tok)), loginPost, 302, []string{"sid=s2; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"}), tok}, ""},
	{"login again", ptr(loggedIn(epoch)), loginPost, 302, []string{"sid=s2; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}, ""},
	{"login by another cookie", ptr(loggedIn(epoch)), loginPost, 302, []string{"tok=t1; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(tok), sid}, ""},
	{"login over a subject", ptr(someone(epoch)), loginPost, 302, []string{"sid=s1; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login again, the same value", ptr(loggedIn(epoch)), loginPost, 302, []string{"sid=s1; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login again, the same value, with 200", ptr(loggedIn(epoch)), loginPost, 200, []string{"sid=s1; Path=/"}, OK, OK, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login again, the same value of another", ptr(loggedIn(epoch, tok)), loginPost, 302, []string{"tok=t1; Path=/"}, OK, OK, []cookie.Wrapped{authenticating(sid), tok}, ""},
	{"a visitor's value again is no login", ptr(visitor(epoch, sid)), loginPost, 302, []string{"sid=s1; Path=/"}, OK, OK, []cookie.Wrapped{sid}, ""},
	{"login by an empty value", nil, loginPost, 302, []string{"sid=; Path=/"}, Opened, OK, []cookie.Wrapped{{Name: "sid", Path: "/"}}, ""},
	{"login of a visitor by an empty value", ptr(visitor(epoch, sid)), loginPost, 302, []string{"sid=; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/"}}, ""},
	{"login by one of two, the other empty", nil, loginPost, 302, []string{"sid=s1; Path=/", "tok=; Path=/"}, Started, OK, []cookie.Wrapped{{Name: "tok", Path: "/"}, authenticating(sid)}, ""},
	{"login, and a deletion for the domain", nil, loginPost, 302, []string{"sid=s1; Path=/", "sid=; Path=/; Domain=shop.example; Max-Age=0"}, Started, OK, []cookie.Wrapped{authenticating(sid)}, ""},
	{"login, behind a deletion for the domain", ptr(visitor(epoch, sid)), loginPost, 302, []string{"sid=; Path=/; Domain=shop.example; Max-Age=0", "sid=s2; Path=/"}, Started, Replaced, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}, ""},
	{"new value, and a deletion for the domain", ptr(loggedIn(epoch)), pageGet, 200, []string{"sid=s2; Path=/", "sid=; Path=/; Domain=shop.example; Max-Age=0"}, Changed, OK, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}, ""},
	{"failed login", ptr(visitor(epoch, sid)), loginPost, 400, []string{"sid=s2; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2"}}, ""},
	{"failed login, 500", ptr(visitor(epoch, sid)), loginPost, 500, []string{"sid=s2; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2"}}, ""},
	{"login form shown again, unchanged", ptr(visitor(epoch, sid)), loginPost, 200, []string{"sid=s1; Path=/"}, OK, OK, []cookie.Wrapped{sid}, ""},
	{"login form shown again, expiry moved", ptr(remembering(visitor(epoch, expiring(sid, epoch+hour)))), loginPost, 200, []string{"sid=s1; Path=/; Max-Age=7200"}, Renewed, OK, []cookie.Wrapped{expiring(sid, epoch+minute+7200)}, "; Max-Age=43140"},
	{"login page of a visitor", ptr(visitor(epoch, sid)), Request{Path: "/login"}, 200, []string{"sid=s2; Path=/"}, Changed, OK, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2"}}, ""},
	{"new value after the login", ptr(loggedIn(epoch)), pageGet, 200, []string{"sid=s2; Path=/"}, Changed, OK, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}, ""},
	{"one more after the login", ptr(loggedIn(epoch)), pageGet, 200, []string{"tok=t1; Path=/"}, Changed, OK, []cookie.Wrapped{tok, authenticating(sid)}, ""},
	{"one more after the login, persistent", ptr(loggedIn(epoch)), pageGet, 200, []string{"tok=t1; Path=/; Max-Age=60"}, Changed, OK, []cookie.Wrapped{expiring(tok, epoch+2*minute), authenticating(sid)}, ""},
	{"logout", ptr(loggedIn(epoch)), pageGet, 302, []string{"sid=; Path=/; Max-Age=0"}, Ended, Ended, nil, ""},
	{"logout, a deletion by date", ptr(loggedIn(epoch)), pageGet, 302, []string{`sid=""; Path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT`}, Ended, Ended, nil, ""},
	{"logout, a deletion for the domain", ptr(loggedIn(epoch)), pageGet, 302, []string{"sid=; Path=/; Domain=shop.example; Max-Age=0"}, Ended, Ended, nil, ""},
	{"logout by an empty value", ptr(loggedIn(epoch)), pageGet, 302, []string{"sid=; Path=/"}, Ended, Ended, []cookie.Wrapped{{Name: "sid", Path: "/"}}, ""},
	{"logout on the login route", ptr(loggedIn(epoch)), loginPost, 302, []string{"sid=; Path=/; Max-Age=0"}, Ended, Ended, nil, ""},
	{"logout, another cookie stays", ptr(loggedIn(epoch, tok)), pageGet, 302, []string{"sid=; Path=/; Max-Age=0"}, Ended, Ended, []cookie.Wrapped{tok}, ""},
	{"logout, a persistent cookie stays", ptr(loggedIn(epoch, expiring(tok, epoch+hour))), pageGet, 302, []string{"sid=; Path=/; Max-Age=0"}, Ended, Ended, []cookie.Wrapped{expiring(tok, epoch+hour)}, "; Max-Age=43200"},
	{"logout, another cookie comes", ptr(loggedIn(epoch)), pageGet, 302, []string{"sid=; Path=/; Max-Age=0", "tok=t1; Path=/"}, Ended, Ended, []cookie.Wrapped{tok}, ""},
	{"one of two that authenticate goes", ptr(loggedIn(epoch, authenticating(tok))), pageGet, 302, []string{"sid=; Path=/; Max-Age=0"}, Changed, OK, []cookie.Wrapped{authenticating(tok)}, ""},
	{"both that authenticate go", ptr(loggedIn(epoch, authenticating(tok))), pageGet, 302, []string{"sid=; Path=/; Max-Age=0", "tok=; Path=/; Max-Age=0"}, Ended, Ended, nil, ""},
	{"a subject's last cookie goes", ptr(withWrapped(someone(epoch), sid)), pageGet, 200, []string{"sid=; Path=/; Max-Age=0"}, Changed, OK, nil, ""},
}

// loggedInUntil is loggedIn by a cookie with an end.
func loggedInUntil(at, end int64) cookie.Session {
	s := loggedIn(at)
	s.Wrapped = wrapped(authenticating(expiring(sid, end)))
	return s
}

func ptr(s cookie.Session) *cookie.Session { return &s }

func remembering(s cookie.Session) cookie.Session {
	s.Remember = true
	return s
}

func withWrapped(s cookie.Session, list ...cookie.Wrapped) cookie.Session {
	s.Wrapped = wrapped(list...)
	return s
}

// TestFollow: what an app does to its own cookies is done to the session.
func TestFollow(t *testing.T) {
	c := wrapPolicy(t)
	for _, tt := range follows {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			if tt.before != nil {
				b.values[c.Cookie.Name] = mint(t, c, *tt.before)
			}
			const at = epoch + minute
			_, reply := b.do(c, tt.r, Response{Status: tt.status, SetCookies: tt.lines, Location: "/next"}, at)
			if reply.Reason != tt.done || reply.Ended != tt.ended || reply.Fault != "" {
				t.Fatalf("got %v %q, ended %v", reply.Reason, reply.Fault, reply.Ended)
			}
			if tt.done == OK || tt.done == Touched || b.values[c.Cookie.Name] == "" {
				var want []string
				switch tt.done {
				case Touched:
					want = []string{seen}
				case Ended:
					want = []string{noSeen, noSession}
				}
				if diff := cmp.Diff(want, kinds(reply.Cookies)); diff != "" {
					t.Error(diff)
				}
				return
			}
			got := written(t, c, &reply, at)
			if diff := cmp.Diff(tt.after, unwrapped(got.Wrapped)); diff != "" {
				t.Error(diff)
			}
			for _, line := range b.lines {
				if !strings.HasPrefix(line, c.Cookie.Name+cookie.TouchSuffix) && !strings.Contains(line, tt.maxAge+"; Path=/;") || strings.Contains(line, "Max-Age") != (tt.maxAge != "") {
					t.Errorf("%q, want %q in it", line[strings.Index(line, ";"):], tt.maxAge)
				}
			}
			tt.checkTimes(t, &got, at)
		})
	}
}

func (tt *follow) checkTimes(t *testing.T, got *cookie.Session, at int64) {
	t.Helper()
	was := cookie.Session{}
	if tt.before != nil {
		was = *tt.before
	}
	startedAt, authenticatedAt := at, int64(0)
	switch tt.done {
	case Started:
		authenticatedAt = at
	case Changed, Renewed:
		startedAt, authenticatedAt = was.StartedAt, was.AuthenticatedAt
	}
	if written := tt.done == Changed; got.Revision != was.Revision+1 && written || got.Revision != was.Revision && !written {
		t.Errorf("revision %d became %d", was.Revision, got.Revision)
	}
	if got.StartedAt != startedAt || got.AuthenticatedAt != authenticatedAt || got.Subject != was.Subject && tt.done != Started || tt.done == Started && got.Subject != "" ||
		(got.ID == was.ID) != (tt.done == Changed || tt.done == Renewed) {
		t.Errorf("%+v became %+v", was, got)
	}
}

// TestRefusedLogin: an answer on the login route that leads back to the login page lets nobody in.
func TestRefusedLogin(t *testing.T) {
	c := wrapPolicy(t, `"login":{"url":"/account/login","start_on":[{"method":"POST","path":"/account/login"},{"method":"POST","path":"/go"}]}`)
	top := wrapPolicy(t, `"login":{"url":"/","start_on":[{"method":"POST","path":"/go"}]}`)
	post := Request{Method: "POST", Path: "/account/login"}
	for _, tt := range []struct {
		name     string
		c        *Config
		r        Request
		status   int
		location string
		in       bool
	}{
		{"another page", c, post, 302, "/account", true},
		{"another page, 303", c, post, 303, "/next?to=/account/login", true},
		{"top", c, post, 302, "/", true},
		{"below", c, post, 302, "/account/login/code", true},
		{"beside", c, post, 302, "/account/login2", true},
		{"a URL", c, post, 302, "https://shop.example/account/", true},
		{"a URL without a path", c, post, 302, "https://shop.example", true},
		{"a relative path", c, post, 302, "home", true},
		{"part of a folder's name", c, post, 302, "gin", true},
		{"the page", c, post, 302, "/account/login", false},
		{"the page, 303", c, post, 303, "/account/login", false},
		{"the page, 307", c, post, 307, "/account/login", false},
		{"the page and why", c, post, 302, "/account/login?error=1", false},
		{"the page and where", c, post, 302, "/account/login#form", false},
		{"the page's URL", c, post, 302, "https://shop.example/account/login?error=1", false},
		{"the page's URL without a scheme", c, post, 302, "//shop.example/account/login", false},
		{"a path with two slashes", c, post, 302, "/x//h/account/login", true},
		{"the page, relative", c, post, 302, "login?error=1", false},
		{"a query", c, post, 302, "?error=1", false},
		{"nowhere", c, post, 302, "", false},
		{"the page, from another route", c, Request{Method: "POST", Path: "/go"}, 302, "/account/login", false},
		{"200 leads nowhere", c, post, 200, "/account/login", true},
		{"201 leads nowhere", c, post, 201, "/account/login", true},
		{"the page is top", top, Request{Method: "POST", Path: "/go"}, 302, "/", true},
		{"the page is top, another", top, Request{Method: "POST", Path: "/go"}, 302, "/home", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, before := range []*cookie.Session{nil, ptr(visitor(epoch-minute, sid)), ptr(loggedIn(epoch - minute))} {
				b := newBrowser(t)
				if before != nil {
					b.values[tt.c.Cookie.Name] = mint(t, tt.c, *before)
				}
				_, reply := b.do(tt.c, tt.r, Response{Status: tt.status, Location: tt.location, SetCookies: []string{"sid=s2; Path=/"}}, epoch)
				got := written(t, tt.c, &reply, epoch)
				if (reply.Reason == Started) != tt.in || (got.StartedAt == epoch && got.AuthenticatedAt == epoch) != tt.in {
					t.Errorf("%v: %+v", reply.Reason, got)
				}
				if !tt.in && before != nil && (got.AuthenticatedAt != before.AuthenticatedAt || got.ID != before.ID) {
					t.Errorf("%+v became %+v", before, got)
				}
			}
		})
	}
}

// TestRememberStays: what the app commanded is undone by its cookies only where they change in that.
func TestRememberStays(t *testing.T) {
	for _, tt := range []struct {
		name     string
		max      string // of the app's cookie at first
		commands string
		then     string
		want     bool
	}{
		{"remember, new value", "", `{"remember":true}`, "tok=2; Path=/", true},
		{"remember, another cookie", "", `{"remember":true}`, "sid=2; Path=/", true},
		{"remember, deleted", "", `{"remember":true}`, "tok=; Path=/; Max-Age=0", true},
		{"remember, becomes persistent", "", `{"remember":true}`, "tok=1; Path=/; Max-Age=600", true},
		{"remember no more, new value", "; Max-Age=600", `{"remember":false}`, "tok=2; Path=/; Max-Age=600", false},
		{"remember no more, expiry moves", "; Max-Age=600", `{"remember":false}`, "tok=1; Path=/; Max-Age=900", false},
		{"remember no more, becomes persistent", "", `{"remember":false}`, "tok=1; Path=/; Max-Age=600", true},
		{"persistent no more", "; Max-Age=600", `{"remember":true}`, "tok=1; Path=/", false},
		{"no command, persistent no more", "; Max-Age=600", `{"set":{"a":1}}`, "tok=1; Path=/", false},
		{"no command, new value", "; Max-Age=600", `{"set":{"a":1}}`, "tok=2; Path=/; Max-Age=600", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, b := wrapPolicy(t), newBrowser(t)
			b.do(c, pageGet, Response{Status: 200, SetCookies: []string{"tok=1; Path=/" + tt.max}}, epoch)
			b.do(c, pageGet, app(tt.commands), epoch+1)
			b.do(c, pageGet, Response{Status: 200, SetCookies: []string{tt.then}}, epoch+2)
			if got, reason := b.sees(c, epoch+2); got.Remember != tt.want || reason != OK {
				t.Errorf("%v: %+v", reason, got)
			}
		})
	}
}

// TestLongFolder: a cookie without a Path belongs to its folder, which may be too long to be kept.
func TestLongFolder(t *testing.T) {
	c := wrapPolicy(t)
	for size, want := range map[int]Reason{254: Opened, 255: TooLarge, 5000: TooLarge} {
		path := "/" + strings.Repeat("f", size)
		for line, want := range map[string]Reason{"sid=x": want, "sid=x; Path=rel": want, "sid=x; Path=/": Opened, "sid=; Max-Age=0": OK} {
			b := newBrowser(t)
			_, reply := b.do(c, Request{Path: path + "/page"}, Response{Status: 200, SetCookies: []string{line}}, epoch)
			if reply.Reason != want || (reply.Fault == FaultTooLarge) != (want == TooLarge) {
				t.Errorf("%s in a folder of %d: %v %q", line, size+1, reply.Reason, reply.Fault)
			}
			if got, _ := b.sees(c, epoch); want == Opened && !strings.HasPrefix(path, unwrapped(got.Wrapped)[0].Path) {
				t.Errorf("%s in a folder of %d: kept %+v", line, size+1, unwrapped(got.Wrapped))
			}
		}
	}
}

// TestStartDropsAnothersCookies: what the app's own cookies say of one person is nothing to the next.
func TestStartDropsAnothersCookies(t *testing.T) {
	c := wrapPolicy(t)
	for _, tt := range []struct {
		name   string
		before cookie.Session
		keeps  bool
	}{
		{"nobody's", visitor(epoch, sid), true},
		{"the same person's", withWrapped(someone(epoch), sid), true},
		{"another person's", with(epoch, func(s *cookie.Session) { s.Subject, s.Wrapped = "user-43", wrapped(sid) }), false},
		{"whose only the app knows", loggedIn(epoch), false},
	} {
		for _, start := range []string{`{"start":{"subject":"user-42"}}`, `{"start":{"subject":"user-42","keep":true}}`} {
			b := newBrowser(t)
			b.values[c.Cookie.Name] = mint(t, c, tt.before)
			_, reply := b.do(c, loginPost, app(start), epoch+minute)
			got := written(t, c, &reply, epoch+minute)
			if reply.Reason != Started || (len(unwrapped(got.Wrapped)) == 1) != tt.keeps {
				t.Errorf("%s, %s: %v %+v", tt.name, start, reply.Reason, unwrapped(got.Wrapped))
			}
			if line := restored(t, c, Request{Path: "/poll"}, epoch+minute, b.line()); (line == "sid=s1") != tt.keeps {
				t.Errorf("%s: the app gets %q", tt.name, line)
			}
		}
	}
}

// restored is the Cookie line that the app gets.
func restored(t testing.TB, c *Config, r Request, at int64, lines ...string) string {
	t.Helper()
	asked := ask(c, r, lines...)
	d := c.Decide(asked, at)
	c.Restore(asked, &d, at)
	return strings.Join(asked.Jar.Lines, "\n")
}

// TestRestore: the app gets what a browser would have sent, longest path first, before the others.
func TestRestore(t *testing.T) {
	c := wrapPolicy(t)
	list := []cookie.Wrapped{sid, expiring(tok, epoch+hour), {Name: "sid", Path: "/a", Value: "m"}, {Name: "sid", Path: "/a/b/", Value: "l"}, {Name: "gone", Path: "/", Value: "x"}}
	line := sessionLine(t, c, visitor(epoch, list...))
	for _, tt := range []struct {
		name  string
		r     Request
		at    int64
		lines []string
		want  string
	}{
		{"top", Request{Path: "/"}, 0, []string{line}, "tok=t1; sid=s1"},
		{"no slash", Request{Path: "/ab"}, 0, []string{line}, "tok=t1; sid=s1"},
		{"below", Request{Path: "/a/x"}, 0, []string{line}, "sid=m; tok=t1; sid=s1"},
		{"exact", Request{Path: "/a"}, 0, []string{line}, "sid=m; tok=t1; sid=s1"},
		{"query", Request{Path: "/a?/b/"}, 0, []string{line}, "sid=m; tok=t1; sid=s1"},
		{"without the last slash", Request{Path: "/a/b"}, 0, []string{line}, "sid=m; tok=t1; sid=s1"},
		{"deep", Request{Path: "/a/b/c"}, 0, []string{line}, "sid=l; sid=m; tok=t1; sid=s1"},
		{"last second", Request{Path: "/poll"}, hour - 1, []string{line, touchLine(t, c, someone(0).ID, epoch+hour-minute)}, "\ntok=t1; sid=s1"},
		{"expired", Request{Path: "/poll"}, hour, []string{line, touchLine(t, c, someone(0).ID, epoch+hour-minute)}, "\nsid=s1"},
		{"others stay behind", Request{Path: "/"}, 0, []string{"a=b; " + line + "; c=d"}, "tok=t1; sid=s1; a=b; c=d"},
		{"others in more lines", Request{Path: "/"}, 0, []string{"a=b", line, "c=d"}, "tok=t1; sid=s1; a=b\n\nc=d"},
		{"bare ones go", Request{Path: "/"}, 0, []string{"sid=evil; a=b; tok=evil", line}, "tok=t1; sid=s1; a=b\n"},
		{"bare ones go, no session", Request{Path: "/"}, 0, []string{"sid=evil; a=b; tok=evil"}, "a=b"},
		{"bare ones go, dead session", Request{Path: "/"}, hour, []string{"sid=evil; a=b", line}, "a=b\n"},
		{"bare ones go, hidden session", Request{Path: "/brief"}, 5 * minute, []string{"sid=evil; a=b", line}, "a=b\n"},
		{"bare ones go, off", Request{Path: "/off"}, 0, []string{"sid=evil; a=b", line}, "a=b\n"},
		{"bare ones go, login", loginPost, 0, []string{"sid=evil; a=b"}, "a=b"},
		{"login", loginPost, 0, []string{line}, "tok=t1; sid=s1"},
		{"a name no longer wrapped is the client's", Request{Path: "/"}, 0, []string{line + "; gone=mine"}, "tok=t1; sid=s1; gone=mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := restored(t, c, tt.r, epoch+tt.at, tt.lines...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRestoreIsTheBrowsers holds what the app gets back against Go's own cookie jar, which an app without
// us in front would have been talking to.
func TestRestoreIsTheBrowsers(t *testing.T) {
	c := policyOf(t, `"cookie":{"mode":"sealed"}`, `"wrap":["sid","tok","PHPSESSID"]`, `"rules":[{"path_prefix":"/","session":"optional"}]`)
	random := rand.New(rand.NewSource(5))
	names := []string{"sid", "tok", "PHPSESSID"}
	paths := []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/b/"}
	attributes := []string{"", "; Path=/", "; Path=/a", "; path=/a/", "; PATH=/a/b; HttpOnly", "; Path=b", "; Path=", "; Path=/b; Path=/a"}
	ends := []string{"", "", "", "", "; Max-Age=100000", "; Max-Age=0", "; max-age=-1; Path=/", "; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}
	for round := range 300 {
		b, at := newBrowser(t), epoch
		model, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 20 {
			at += random.Int63n(30)
			path := paths[random.Intn(len(paths))]
			where := &url.URL{Scheme: "https", Host: site, Path: path}
			var pairs []string
			for _, k := range model.Cookies(where) {
				pairs = append(pairs, k.Name+"="+k.Value)
			}
			if got, want := restored(t, c, Request{Path: path + "?x=/y/z"}, at, b.line()), strings.Join(pairs, "; "); got != want {
				t.Fatalf("round %d, step %d, %s: the app gets %q, a browser sends %q", round, step, path, got, want)
			}
			var lines []string
			for range random.Intn(4) {
				lines = append(lines, fmt.Sprintf("%s=v%d%s%s", names[random.Intn(len(names))], random.Intn(5), attributes[random.Intn(len(attributes))], ends[random.Intn(len(ends))]))
			}
			model.SetCookies(where, (&http.Response{Header: http.Header{"Set-Cookie": lines}}).Cookies())
			if _, reply := b.do(c, Request{Path: path}, Response{Status: 200, SetCookies: lines}, at); reply.Reason == BadCommand || reply.Fault != "" {
				t.Fatalf("%v: %v %q", lines, reply.Reason, reply.Fault)
			}
		}
	}
}

// TestWrappedBounds: what a session cannot carry is refused as too large, and what it has stays.
func TestWrappedBounds(t *testing.T) {
	c := policyOf(t, `"cookie":{"mode":"sealed"}`, `"wrap":["sid","`+strings.Repeat("n", 64)+`"]`, `"rules":[{"path_prefix":"/","session":"optional"}]`)
	many := func(n int) (lines []string) {
		for i := range n {
			lines = append(lines, fmt.Sprintf("sid=x; Path=/%d", i))
		}
		return lines
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  Reason
	}{
		{"16 cookies", many(16), Opened},
		{"17 cookies", many(17), TooLarge},
		{"a name of 64 bytes", []string{strings.Repeat("n", 64) + "=x"}, Opened},
		{"a path of 255 bytes", []string{"sid=x; Path=/" + strings.Repeat("p", 254)}, Opened},
		{"a path of 256 bytes", []string{"sid=x; Path=/" + strings.Repeat("p", 255)}, TooLarge},
		{"a path of 1,000 bytes", []string{"sid=x; Path=/" + strings.Repeat("p", 999)}, TooLarge},
		{"a value that fits", []string{"sid=" + strings.Repeat("v", 2800)}, Opened},
		{"a value that does not", []string{"sid=" + strings.Repeat("v", 3100)}, TooLarge},
		{"a value of 64 KiB", []string{"sid=" + strings.Repeat("v", 1<<16)}, TooLarge},
		{"one good, one bad", []string{"sid=x; Path=/a", "sid=x; Path=/" + strings.Repeat("p", 300)}, TooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			_, reply := b.do(c, pageGet, Response{Status: 200, SetCookies: tt.lines}, epoch)
			if reply.Reason != tt.want || (reply.Fault == FaultTooLarge) != (tt.want == TooLarge) {
				t.Fatalf("new: %v %q", reply.Reason, reply.Fault)
			}
			if got := errorOf(t, c, b, epoch); (got == "too_large") != (tt.want == TooLarge) {
				t.Errorf("the app is told %q", got)
			}
			// Beside a session that there is.
			b = newBrowser(t)
			before := loggedIn(epoch)
			b.values[c.Cookie.Name] = mint(t, c, before)
			_, reply = b.do(c, pageGet, Response{Status: 200, SetCookies: tt.lines}, epoch)
			if tt.want != TooLarge {
				return
			}
			before.Refused = true
			if diff := cmp.Diff(before, written(t, c, &reply, epoch)); reply.Reason != TooLarge || diff != "" {
				t.Errorf("%v %s", reply.Reason, diff)
			}
			// A login that came to nothing is none.
			b = newBrowser(t)
			if _, reply = b.do(c, loginPost, Response{Status: 302, SetCookies: tt.lines, Location: "/"}, epoch); reply.Reason != BadCommand || reply.Fault != FaultTooLarge || len(reply.Cookies) > 0 {
				t.Errorf("login: %+v", reply)
			}
		})
	}
}

// TestLost: a cookie that cannot be kept is lost and said, and on a login route the login with it.
func TestLost(t *testing.T) {
	c := wrapPolicy(t)
	insecure := wrapPolicy(t, `"allow_insecure":true`)
	line := sessionLine(t, c, loggedIn(epoch-5*minute))
	plain := Request{Path: "/page", Scheme: "http"}
	for _, tt := range []struct {
		name  string
		c     *Config
		r     Request
		age   string
		lines []string
		fault Fault
		done  Reason
		kinds []string
	}{
		{"off", c, Request{Path: "/off"}, "", nil, FaultOff, OK, nil},
		{"off, with a session", c, Request{Path: "/off"}, "", []string{line}, FaultOff, OK, nil},
		{"hidden", c, Request{Path: "/brief"}, "", []string{line}, FaultOff, OK, nil},
		{"from a cache", c, pageGet, "5", nil, FaultStored, OK, nil},
		{"from a cache, with a session", c, pageGet, "5", []string{line}, FaultStored, Touched, []string{seen}},
		{"plain http", c, plain, "", nil, FaultInsecure, OK, nil},
		{"plain http, with a session", c, plain, "", []string{line}, FaultInsecure, Touched, []string{seen}},
		{"plain http, a dead session", c, plain, "", []string{sessionLine(t, c, someone(epoch-hour))}, FaultInsecure, OK, []string{noSeen, noSession}},
		{"plain http, allowed", insecure, plain, "", nil, "", Opened, []string{session}},
		{"login from a cache", c, loginPost, "5", []string{line}, FaultStored, BadCommand, nil},
		{"login over plain http", c, Request{Method: "POST", Path: "/login", Scheme: "http"}, "", nil, FaultInsecure, BadCommand, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			asked := ask(tt.c, tt.r, tt.lines...)
			d := tt.c.Decide(asked, epoch)
			o := keep(tt.c, asked, &d, epoch)
			reply := tt.c.Respond(&o, &Response{Status: 200, SetCookies: []string{"sid=s2; Path=/"}, Age: tt.age}, epoch, b.random)
			if diff := cmp.Diff(tt.kinds, kinds(reply.Cookies)); reply.Fault != tt.fault || reply.Reason != tt.done || diff != "" {
				t.Errorf("%v %q %s", reply.Reason, reply.Fault, diff)
			}
		})
	}
	t.Run("plain http, while the app sets data", func(t *testing.T) {
		asked := ask(c, plain, line)
		d := c.Decide(asked, epoch)
		o := keep(c, asked, &d, epoch)
		reply := c.Respond(&o, &Response{Status: 200, SetCookies: []string{"sid=s2; Path=/"}, Commands: []string{`{"set":{"a":1}}`}}, epoch, counting())
		if reply.Reason != Changed || reply.Fault != FaultInsecure {
			t.Errorf("%v %q", reply.Reason, reply.Fault)
		}
	})
}

// TestWrapAndCommands: what an app says in both ways at once.
func TestWrapAndCommands(t *testing.T) {
	c := wrapPolicy(t, `"anonymous":true`)
	sets := []string{"sid=s2; Path=/"}
	for _, tt := range []struct {
		name    string
		before  *cookie.Session
		r       Request
		command string
		lines   []string
		done    Reason
		data    string
		wrapped []cookie.Wrapped
	}{
		{"set and a new cookie", nil, pageGet, `{"set":{"a":1}}`, []string{"sid=s1; Path=/"}, Opened, `{"a":1}`, []cookie.Wrapped{sid}},
		{"set and a changed cookie", ptr(visitor(epoch, sid)), pageGet, `{"set":{"a":1}}`, sets, Changed, `{"a":1}`, []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s2"}}},
		{"rotate and a changed cookie", ptr(loggedIn(epoch)), pageGet, `{"rotate":true}`, sets, Rotated, "", []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}},
		{"set of nothing and a new cookie", nil, pageGet, `{"set":{}}`, []string{"sid=s1; Path=/"}, Opened, "", []cookie.Wrapped{sid}},
		{"set at a login", ptr(withData(visitor(epoch, sid), `{"old":1}`)), loginPost, `{"set":{"a":1}}`, sets, Started, `{"a":1}`, []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}},
		{"login drops data", ptr(withData(visitor(epoch, sid), `{"old":1}`)), loginPost, "", sets, Started, "", []cookie.Wrapped{authenticating(cookie.Wrapped{Name: "sid", Path: "/", Value: "s2"})}},
		{"start and a new cookie", nil, loginPost, `{"start":{"subject":"u","data":{"a":1}}}`, []string{"sid=s1; Path=/"}, Started, `{"a":1}`, []cookie.Wrapped{authenticating(sid)}},
		{"start keeps the cookies", ptr(visitor(epoch, sid)), loginPost, `{"start":{"subject":"u"}}`, nil, Started, "", []cookie.Wrapped{sid}},
		{"start and a deleted cookie", ptr(loggedIn(epoch)), loginPost, `{"start":{"subject":"u"}}`, []string{"sid=; Path=/; Max-Age=0"}, Started, "", nil},
		{"end and a new cookie", ptr(loggedIn(epoch)), pageGet, `{"end":true}`, sets, Ended, "", nil},
		{"set and a logout, another cookie stays", ptr(withData(loggedIn(epoch, tok), `{"old":1}`)), pageGet, `{"set":{"a":1}}`, []string{"sid=; Path=/; Max-Age=0"}, Ended, `{"a":1}`, []cookie.Wrapped{tok}},
		{"set and a logout that leaves nothing", ptr(loggedIn(epoch)), pageGet, `{"set":{"a":1}}`, []string{"sid=; Path=/; Max-Age=0"}, Ended, `{"a":1}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			if tt.before != nil {
				b.values[c.Cookie.Name] = mint(t, c, *tt.before)
			}
			response := Response{Status: 200, SetCookies: tt.lines}
			if tt.command != "" {
				response.Commands = []string{tt.command}
			}
			_, reply := b.do(c, tt.r, response, epoch+minute)
			if reply.Reason != tt.done || reply.Fault != "" {
				t.Fatalf("%v %q", reply.Reason, reply.Fault)
			}
			if b.values[c.Cookie.Name] == "" {
				if tt.wrapped != nil || tt.data != "" {
					t.Error("nothing was written")
				}
				return
			}
			got := written(t, c, &reply, epoch+minute)
			if diff := cmp.Diff(tt.wrapped, unwrapped(got.Wrapped)); got.Data != tt.data || diff != "" {
				t.Errorf("data %s %s", got.Data, diff)
			}
		})
	}
}

func withData(s cookie.Session, data string) cookie.Session {
	s.Data = data
	return s
}

// TestWrappedLife: a site whose app knows nothing of us, from the first visit to the end.
func TestWrappedLife(t *testing.T) {
	c := policyOf(t, `"cookie":{"mode":"sealed"}`, `"wrap":["sid"]`, `"rules":[{"path":"/public","session":"optional"}]`)
	b := newBrowser(t)
	public := Request{Path: "/public"}
	if d, _ := b.do(c, public, Response{Status: 200, SetCookies: []string{"sid=a; Path=/"}}, epoch); d.Reason != Absent {
		t.Fatal(d.Reason)
	}
	first := held(t, c, b.values[c.Cookie.Name], epoch)
	if d, _ := b.do(c, pageGet, Response{}, epoch+1); d.Reason != Anonymous || d.Verdict != Login {
		t.Errorf("a visitor on a required path: %v", d.Reason)
	}
	if d, _ := b.do(c, public, Response{Status: 200}, epoch+1); d.Reason != OK {
		t.Errorf("a visitor on an optional path: %v", d.Reason)
	}
	b.do(c, loginPost, Response{Status: 200, SetCookies: []string{"sid=a; Path=/"}}, epoch+5*minute)
	if d, _ := b.do(c, pageGet, Response{}, epoch+5*minute); d.Reason != Anonymous {
		t.Errorf("a failed login lets in: %v", d.Reason)
	}
	b.do(c, loginPost, Response{Status: 302, SetCookies: []string{"sid=b; Path=/"}, Location: "/"}, epoch+6*minute)
	second := held(t, c, b.values[c.Cookie.Name], epoch+6*minute)
	if second.ID == first.ID || second.StartedAt != epoch+6*minute || second.AuthenticatedAt != second.StartedAt || second.Subject != "" {
		t.Fatalf("login: %+v", second)
	}
	for at := epoch + 6*minute; at < epoch+6*minute+12*hour; at += 10 * minute {
		d, _ := b.do(c, pageGet, Response{Status: 200, SetCookies: []string{"sid=b; Path=/"}}, at)
		if d.Reason != OK || d.ExpiresAt != epoch+6*minute+12*hour {
			t.Fatalf("after %d s: %v, ends after %d s", at-epoch, d.Reason, d.ExpiresAt-epoch)
		}
		var values []string
		c.Headers(&d, at, func(name, value string) { values = append(values, name, value) })
		if len(values) != 2 || values[0] != ReasonHeader {
			t.Fatalf("the app, which alone knows who it is, is told %q", values)
		}
	}
	if d, _ := b.do(c, pageGet, Response{}, epoch+6*minute+12*hour); d.Reason != AbsoluteTimeout {
		t.Errorf("at the end: %v", d.Reason)
	}
	if b.line() != "" {
		t.Errorf("left: %s", b.line())
	}
}

// TestWrappedIdle: the idle timeout, which the app does not have, ends its session.
func TestWrappedIdle(t *testing.T) {
	c, b := wrapPolicy(t), newBrowser(t)
	b.do(c, loginPost, Response{Status: 302, SetCookies: []string{"sid=a; Path=/"}, Location: "/"}, epoch)
	for at := epoch + minute; at < epoch+15*minute; at += minute {
		// A poll's answer that moves the app's own expiry is no sign of a person.
		_, reply := b.do(c, Request{Path: "/poll"}, Response{Status: 200, SetCookies: []string{"sid=a; Path=/; Max-Age=3600"}}, at)
		if want := map[bool]Reason{true: Changed, false: Renewed}[at == epoch+minute]; reply.Reason != want { // persistent from the first on
			t.Fatal(reply.Reason)
		}
	}
	if d, _ := b.do(c, Request{Path: "/poll"}, Response{Status: 200}, epoch+15*minute); d.Reason != IdleTimeout {
		t.Errorf("got %v", d.Reason)
	}
}

// TestWrappedExpiry: whoever is logged in by the app's cookie is so until that expires.
func TestWrappedExpiry(t *testing.T) {
	for _, tt := range []struct {
		name, remember, set string
		end                 int64 // of somebody who never pauses
		want                Reason
		maxAge              string
	}{
		{"browser's session", "", "sid=a", 12 * hour, AbsoluteTimeout, ""},
		{"an hour", "", "sid=a; Max-Age=3600", hour, AbsoluteTimeout, "; Max-Age=43200;"},
		{"two weeks", "", "sid=a; Max-Age=1209600", 12 * hour, AbsoluteTimeout, "; Max-Age=43200;"},
		{"two weeks, remember", `"remember":{"idle":"336h","absolute":"720h"}`, "sid=a; Max-Age=1209600", 336 * hour, AbsoluteTimeout, "; Max-Age=2592000;"},
		{"a year, remember", `"remember":{"idle":"336h","absolute":"720h"}`, "sid=a; Max-Age=31536000", 720 * hour, AbsoluteTimeout, "; Max-Age=2592000;"},
		{"browser's session, remember", `"remember":{"idle":"336h","absolute":"720h"}`, "sid=a", 12 * hour, AbsoluteTimeout, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields := []string{}
			if tt.remember != "" {
				fields = append(fields, tt.remember)
			}
			c, b := wrapPolicy(t, fields...), newBrowser(t)
			b.do(c, loginPost, Response{Status: 302, SetCookies: []string{tt.set + "; Path=/"}, Location: "/"}, epoch)
			if !strings.Contains(b.lines[0], tt.maxAge) || strings.Contains(b.lines[0], "Max-Age") != (tt.maxAge != "") {
				t.Errorf("set %s", b.lines[0])
			}
			for at := epoch; at < epoch+tt.end; at += 14 * minute {
				if d, _ := b.do(c, Request{Path: "/page"}, Response{Status: 200}, at); d.Reason != OK || d.ExpiresAt != epoch+tt.end {
					t.Fatalf("after %d s: %v, ends after %d s", at-epoch, d.Reason, d.ExpiresAt-epoch)
				}
			}
			b.do(c, Request{Path: "/page"}, Response{Status: 200}, epoch+tt.end-1)
			if d, _ := b.do(c, Request{Path: "/page"}, Response{Status: 200}, epoch+tt.end); d.Reason != tt.want || !d.Drop {
				t.Errorf("at the end: %v", d.Reason)
			}
		})
	}
}

// TestWraps names what is the app's own and what is not ours to touch.
func TestWraps(t *testing.T) {
	c, none := wrapPolicy(t), policyOf(t)
	for line, want := range map[string]bool{
		"sid=1": true, " sid = 1": true, "\tsid=1; Path=/": true, "sid": true, "sid; Path=/": true, "tok=": true,
		"sid2=1": false, "xsid=1": false, "SID=1": false, "a=sid=1": false, "a=b; sid=1": false, "": false, "=sid": false, ";sid=1": false,
	} {
		if got := c.Wraps(line); got != want || none.Wraps(line) {
			t.Errorf("%q: got %v", line, got)
		}
	}
}

// TestReachableStates drives random people through proxies whose clocks differ, and apps that answer
// late, do anything and say everything: what is written is always a session, and none is refused.
func TestReachableStates(t *testing.T) {
	fields := []string{
		`"cookie":{"mode":"sealed"}`, `"wrap":["sid","tok"]`, `"anonymous":true`, `"timeouts":{"clock_skew":"3m","rotate":"5m"}`,
		`"rules":[{"path_prefix":"/poll","session":"optional","activity":"passive"},{"path_prefix":"/","session":"optional"}]`,
		`"keys":[` + keyJSON("a", 0) + "," + keyJSON("b", epoch+hour) + `]`,
	}
	proxies := [3]*Config{policyOf(t, fields...), policyOf(t, fields...), policyOf(t, fields...)}
	offsets := [3]int64{0, 80, -80}
	commands := []string{
		"", "", "", `{"start":{"subject":"u","keep":true,"remember":true}}`, `{"start":{"subject":"v","data":{"x":1},"idle":"20s"}}`, `{"set":{"n":%d}}`, `{"set":{"n":null}}`,
		`{"rotate":true}`, `{"set":{"n":%d},"rotate":true}`, `{"expire_in":"30s"}`, `{"expire_in":"browser"}`, `{"expire_in":null}`, `{"remember":true}`, `{"remember":false}`, `{"end":true}`,
	}
	lines := []string{"sid=%d; Path=/", "sid=%d; Path=/; Max-Age=90", "tok=%d; Max-Age=7200", "tok=%d", "sid=; Path=/; Max-Age=0", "tok=; Max-Age=0"}
	random := rand.New(rand.NewSource(6))
	done := map[Reason]int{}
	for range 400 {
		b := newBrowser(t)
		for step, at := 0, epoch+random.Int63n(hour); step < 40; step++ {
			at += random.Int63n(40)
			if random.Intn(10) == 0 {
				at += random.Int63n(20 * minute)
			}
			which := random.Intn(3)
			c, now := proxies[which], at+offsets[which]
			r := [...]Request{{Path: "/page"}, {Path: "/poll"}, {Path: "/login", Method: "POST"}}[random.Intn(3)]
			asked := ask(c, r, b.line())
			d := c.Decide(asked, now)
			o := keep(c, asked, &d, now)
			response := Response{Status: [...]int{200, 302, 404}[random.Intn(3)]}
			if text := commands[random.Intn(len(commands))]; text != "" {
				response.Commands = []string{strings.ReplaceAll(text, "%d", strconv.Itoa(step))}
			}
			for range random.Intn(3) {
				response.SetCookies = append(response.SetCookies, strings.ReplaceAll(lines[random.Intn(len(lines))], "%d", strconv.Itoa(random.Intn(3))))
			}
			late := now + [...]int64{0, 0, 1, 7, -3}[random.Intn(5)]
			reply := c.Respond(&o, &response, late, b.random)
			done[reply.Reason]++
			switch reply.Fault {
			case "", FaultNoSession, FaultRoute, FaultStatus:
			default:
				t.Fatalf("%v %q of %+v after %+v", reply.Reason, reply.Fault, response, o.Session)
			}
			b.take(reply.Cookies)
			if token := b.values[c.Cookie.Name]; token != "" {
				s := held(t, proxies[1], token, at+offsets[1]+7)
				if s.IssuedAt < s.StartedAt || s.AuthenticatedAt != 0 && (s.AuthenticatedAt < s.StartedAt || s.AuthenticatedAt > s.IssuedAt) {
					t.Fatalf("%v wrote %+v", reply.Reason, s)
				}
			}
		}
	}
	for _, reason := range []Reason{Opened, Started, Rotated, Changed, Renewed, Touched, Ended} {
		if done[reason] < 10 {
			t.Errorf("%v came %d times", reason, done[reason])
		}
	}
}

// TestLogoutNeverFails: whatever else cannot be written, the session that the app ended is over.
func TestLogoutNeverFails(t *testing.T) {
	c := wrapPolicy(t)
	for _, tt := range []struct {
		name    string
		command string
		lines   []string
		random  func([]byte) error
	}{
		{"a set that is too large", `{"set":{"a":"` + strings.Repeat("x", 4000) + `"}}`, nil, counting()},
		{"another cookie that is too large", "", []string{"tok=" + strings.Repeat("x", 4000) + "; Path=/"}, counting()},
		{"no randomness", "", nil, noRandom},
		{"no randomness for the nonce", "", nil, idOnly()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			b.values[c.Cookie.Name] = mint(t, c, loggedIn(epoch-minute, tok))
			b.random = tt.random
			response := Response{Status: 302, SetCookies: append(tt.lines, "sid=; Path=/; Max-Age=0")}
			if tt.command != "" {
				response.Commands = []string{tt.command}
			}
			_, reply := b.do(c, pageGet, response, epoch)
			if diff := cmp.Diff([]string{noSeen, noSession}, kinds(reply.Cookies)); reply.Reason != Ended || reply.Ended != Ended || reply.Fault == "" || b.line() != "" || diff != "" {
				t.Errorf("%v %q, ended %v %s", reply.Reason, reply.Fault, reply.Ended, diff)
			}
		})
	}
}

func FuzzFollow(f *testing.F) {
	c := wrapPolicy(f, `"anonymous":true`)
	for _, seed := range []string{"sid=1; Path=/a; Max-Age=5", "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "tok=\"a b\"; Path=/\nsid=2", "sid=a,b; path=/;;=;", "sid\nsid=\n=sid", "sid=1; Max-Age=99999999999999999999"} {
		f.Add(seed, "/a/b", "", byte(0))
		f.Add(seed, "/login", `{"set":{"a":1},"rotate":true}`, byte(1))
		f.Add(seed, "/x;y", `{"end":true}`, byte(2))
	}
	f.Fuzz(func(t *testing.T, text, path, command string, kind byte) {
		b := newBrowser(t)
		switch kind % 3 {
		case 1:
			b.values[c.Cookie.Name] = mint(t, c, visitor(epoch-minute, expiring(sid, epoch+1), tok))
		case 2:
			b.values[c.Cookie.Name] = mint(t, c, loggedIn(epoch-minute, tok))
		}
		response := Response{Status: 200}
		for _, line := range strings.Split(text, "\n") {
			if c.Wraps(line) {
				response.SetCookies = append(response.SetCookies, line)
			}
		}
		if command != "" {
			response.Commands = []string{command}
		}
		r := Request{Path: path}
		if kind > 127 {
			r = loginPost
		}
		b.do(c, r, response, epoch)
		line := restored(t, c, Request{Path: "/poll"}, epoch, b.line())
		for i := range len(line) {
			if line[i] < ' ' || line[i] == 0x7f {
				t.Fatalf("the app gets %q", line)
			}
		}
		if token := b.values[c.Cookie.Name]; token != "" {
			for _, w := range unwrapped(held(t, c, token, epoch).Wrapped) {
				if w.Name != "sid" && w.Name != "tok" || !w.Valid() {
					t.Fatalf("wrapped %+v", w)
				}
			}
		}
	})
}
