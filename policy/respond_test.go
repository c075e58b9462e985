package policy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

func TestCacheable(t *testing.T) {
	for _, tt := range []struct {
		name, cacheControl, expires string
		want                        bool
	}{
		{"silence", "", "", false},
		{"max-age", "max-age=60", "", true},
		{"max-age in other case", "Max-Age=60", "", true},
		{"max-age in quotes", `max-age="60"`, "", true},
		{"max-age=0", "max-age=0", "", false},
		{"max-age in quotes, 0", `max-age="0"`, "", false},
		{"max-age without a value", "max-age", "", false},
		{"s-maxage", "s-maxage=10", "", true},
		{"s-maxage, max-age=0", "max-age=0, s-maxage=10", "", true},
		{"public", "public", "", true},
		{"public and max-age=0", "public, max-age=0", "", true},
		{"immutable", "immutable", "", true},
		{"stale-while-revalidate", "max-age=0, stale-while-revalidate=60", "", true},
		{"stale-if-error", "stale-if-error=60", "", true},
		{"private and max-age", "private, max-age=60", "", true},
		{"private", "private", "", false},
		{"no-store", "no-store", "", false},
		{"no-store and max-age", "no-store, max-age=60", "", false},
		{"max-age, then no-store", "max-age=60,no-store", "", false},
		{"no-cache", "no-cache", "", false},
		{"no-cache and public", "public, no-cache", "", false},
		{"must-revalidate", "must-revalidate", "", false},
		{"like max-age", "x-max-age=60", "", false},
		{"empty directives", ", ,", "", false},
		{"expires", "", "Thu, 01 Dec 2033 16:00:00 GMT", true},
		{"expires 0", "", "0", false},
		{"expires -1", "", "-1", false},
		{"expires in the past", "", "Thu, 01 Jan 1970 00:00:00 GMT", false},
		{"expires in the past, private", "private", "Thu, 19 Nov 1981 08:52:00 GMT", false},
		{"expires now", "", "Fri, 15 Jan 2027 08:00:00 GMT", false},
		{"expires in a second", "", "Fri, 15 Jan 2027 08:00:01 GMT", true},
		{"expires, no-store", "no-store", "Thu, 01 Dec 2033 16:00:00 GMT", false},
		{"expires, must-revalidate", "must-revalidate", "Thu, 01 Dec 2033 16:00:00 GMT", true},
		{"expires, private", "private", "Thu, 01 Dec 2033 16:00:00 GMT", true},
		{"expires, max-age=0", "max-age=0", "Thu, 01 Dec 2033 16:00:00 GMT", false},
		{"expires, max-age", "max-age=60", "0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Response{CacheControl: tt.cacheControl, Expires: tt.expires}
			if got := r.cacheable(epoch); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestParseHTTPDate(t *testing.T) {
	for at := epoch; at < epoch+400*24*hour; at += 31 * hour {
		want := time.Unix(at+at%61, 0).UTC()
		if got, ok := parseHTTPDate(want.Format(http.TimeFormat)); !ok || got != want.Unix() {
			t.Errorf("%v: got %d %v", want, got, ok)
		}
	}
	for _, s := range []string{
		"", "0", "-1", "Friday, 15-Jan-27 08:00:00 GMT", "Fri Jan 15 08:00:00 2027", "Fri, 15 Jan 2027 08:00:00 UTC", "Fri, 15 anF 2027 08:00:00 GMT",
		"Fri, 15 jan 2027 08:00:00 GMT", "Fri, 15-Jan-2027 08:00:00 GMT", "Fri, 32 Jan 2027 08:00:00 GMT", "Fri, 1\xff Jan 2027 08:00:00 GMT",
	} {
		if got, ok := parseHTTPDate(s); ok {
			t.Errorf("%q read as %d", s, got)
		}
	}
}

// The kinds of cookie that a response can set.
const session, seen, noSession, noSeen = "session", "seen", "-session", "-seen"

func kinds(cookies []string) (out []string) {
	for _, line := range cookies {
		kind := session
		if strings.HasPrefix(line, "__Host-session-seen=") {
			kind = seen
		}
		if strings.Contains(line, "=; Max-Age=0;") {
			kind = "-" + kind
		}
		out = append(out, kind)
	}
	return out
}

// TestRespond is what each kind of response writes: a cookie of our own accord never on one that a
// cache may keep, what the app commands always.
func TestRespond(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/open","session":"optional"}]`)
	fresh, due := sessionLine(t, c, someone(epoch-5*minute)), sessionLine(t, c, someone(epoch-2*hour))
	touched := touchLine(t, c, someone(0).ID, epoch-minute)
	deadOne := sessionLine(t, c, someone(epoch-hour))
	login := Request{Method: "POST", Path: "/login"}
	start, end := []string{`{"start":{"subject":"u"}}`}, []string{`{"end":true}`}
	for _, tt := range []struct {
		name     string
		r        Request
		lines    []string
		commands []string
		reason   Reason
		ended    Reason
		plain    []string // cookies on an ordinary response
		stored   []string // cookies on one that a cache may keep
	}{
		{"stranger", Request{Path: "/open"}, nil, nil, OK, OK, nil, nil},
		{"nothing due", Request{}, []string{fresh, touchLine(t, c, someone(0).ID, epoch)}, nil, OK, OK, nil, nil},
		{"touch", Request{}, []string{fresh}, nil, Touched, OK, []string{seen}, nil},
		{"touch again", Request{}, []string{fresh, touched}, nil, Touched, OK, []string{seen}, nil},
		{"renewal", Request{}, []string{due, touched}, nil, Renewed, OK, []string{session}, nil},
		{"renewal, passive", Request{Activity: "passive"}, []string{due, touched}, nil, OK, OK, nil, nil},
		{"dead session", Request{Path: "/open"}, []string{deadOne}, nil, OK, OK, []string{noSeen, noSession}, nil},
		{"leftover touch", Request{Path: "/open"}, []string{touched}, nil, OK, OK, nil, nil},
		{"start", login, nil, start, Started, OK, []string{session}, []string{session}},
		{"start over a session", login, []string{fresh}, start, Started, Replaced, []string{session}, []string{session}},
		{"start over a touched session", login, []string{fresh, touched}, start, Started, Replaced, []string{session, noSeen}, []string{session, noSeen}},
		{"start over a dead session", login, []string{deadOne}, start, Started, OK, []string{session}, []string{session}},
		{"start where a renewal is due", login, []string{due, touched}, start, Started, Replaced, []string{session, noSeen}, []string{session, noSeen}},
		{"end", Request{}, []string{fresh}, end, Ended, Ended, []string{noSeen, noSession}, []string{noSeen, noSession}},
		{"end where a renewal is due", Request{}, []string{due, touched}, end, Ended, Ended, []string{noSeen, noSession}, []string{noSeen, noSession}},
		{"end of nothing", Request{Path: "/open"}, nil, end, Ended, OK, []string{noSeen, noSession}, []string{noSeen, noSession}},
		{"bad command where a renewal is due", Request{}, []string{due, touched}, []string{"{}"}, BadCommand, OK, nil, nil},
		{"bad command where a touch is due", Request{}, []string{fresh}, []string{"x"}, BadCommand, OK, nil, nil},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				asked := ask(c, tt.r, tt.lines...)
				d := c.Decide(asked, epoch)
				if d.Verdict != Pass {
					t.Fatal(d.Reason)
				}
				o := c.Origin(asked, &d, epoch, counting())
				response, want, reason := &Response{Status: 200, Commands: tt.commands}, tt.plain, tt.reason
				if stored {
					response.CacheControl, want = "public, max-age=60", tt.stored
					if len(tt.commands) == 0 {
						reason = OK
					}
				}
				if idle := o.Idle(); idle != (len(tt.plain) == 0) && len(tt.commands) == 0 {
					t.Errorf("idle %v", idle)
				}
				reply := c.Respond(&o, response, epoch, counting())
				if diff := cmp.Diff(want, kinds(reply.Cookies)); diff != "" {
					t.Error(diff)
				}
				if reply.Reason != reason || reply.Ended != tt.ended || (reply.New != cookie.ID{}) != (reason == Started) {
					t.Errorf("got %v, ended %v, new %v", reply.Reason, reply.Ended, reply.New)
				}
				newBrowser(t).take(reply.Cookies)
			})
		}
	}
}

// TestMaxAge: only who asked to be remembered has Max-Age, and it ends with the session itself, not
// with the rule of the path where the cookie happened to be written.
func TestMaxAge(t *testing.T) {
	c := policyOf(t, `"rules":[{"path":"/short","absolute":"10h"}]`)
	for _, tt := range []struct {
		name     string
		path     string
		remember bool
		age      int64
		touch    int64 // seconds ago
		now      int64 // seconds after epoch
		reason   Reason
		want     string
	}{
		{"touch", "/page", false, 30 * minute, minute, 5, Touched, ""},
		{"touch, remember", "/page", true, 30 * minute, minute, 5, Touched, "; Max-Age=2590200"},
		{"touch, remember, another second", "/page", true, 30 * minute, minute, 59, Touched, "; Max-Age=2590200"},
		{"touch, remember, short rule", "/short", true, 30 * minute, minute, 5, Touched, "; Max-Age=2590200"},
		{"renewal", "/page", false, 2 * hour, minute, 5, Renewed, ""},
		{"renewal, remember", "/page", true, 2 * hour, minute, 5, Renewed, "; Max-Age=2584795"},
		{"renewal, remember, short rule", "/short", true, 2 * hour, minute, 5, Renewed, "; Max-Age=2584795"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			s := with(epoch-tt.age, func(s *cookie.Session) { s.Remember = tt.remember })
			b.values[c.Cookie.Name] = mint(t, c, s)
			b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, s.ID, epoch-tt.touch)
			_, reply := b.do(c, Request{Path: tt.path}, Response{Status: 200}, epoch+tt.now)
			if reply.Reason != tt.reason || len(b.lines) != 1 {
				t.Fatalf("%v: %v", reply.Reason, b.lines)
			}
			_, attributes, _ := strings.Cut(b.lines[0], ";")
			if want := tt.want + "; Path=/; HttpOnly; Secure; SameSite=Lax"; ";"+attributes != want {
				t.Errorf("got %q, want %q", ";"+attributes, want)
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			c, b := policyOf(t, `"cookie":{"mode":"`+mode+`"}`), newBrowser(t)
			s := with(epoch-10*minute, func(s *cookie.Session) {
				s.Data, s.Remember, s.Idle, s.Absolute, s.Revision = `{"a":1}`, true, 2*hour, 24*hour, 3
			})
			b.values[c.Cookie.Name] = mint(t, c, s)
			if _, reply := b.do(c, Request{}, Response{Status: 200}, epoch+50*minute); reply.Reason != Renewed {
				t.Fatal(reply.Reason)
			}
			d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+50*minute)
			s.IssuedAt = epoch + 50*minute
			if diff := cmp.Diff(s, d.Session); diff != "" {
				t.Errorf("a renewal changes the time of issue and nothing else: %s", diff)
			}
		})
	}
}

// TestRenewalThatFails: whoever is active stays logged in, by a touch, where the session cookie
// cannot be written again.
func TestRenewalThatFails(t *testing.T) {
	t.Run("no randomness", func(t *testing.T) {
		c, b := policyOf(t, `"cookie":{"mode":"sealed"}`), newBrowser(t)
		b.login(c, `{"subject":"u"}`, epoch)
		b.random = noRandom
		for at := epoch; at < epoch+2*hour; at += minute {
			if d, _ := b.do(c, Request{}, Response{Status: 200}, at); d.Reason != OK {
				t.Fatalf("after %d s: %v", at-epoch, d.Reason)
			}
		}
	})
	t.Run("a longer key id", func(t *testing.T) {
		old, b := policyOf(t), newBrowser(t)
		long := policyOf(t, `"keys":[`+keyJSON("a", 0)+","+keyJSON("a_longer_id", epoch+minute)+`]`)
		// As much data as fits under the short id.
		for size := 2900; ; size++ {
			start := Response{Status: 303, Commands: []string{`{"start":{"subject":"u","data":{"a":"` + strings.Repeat("x", size) + `"}}}`}}
			if _, reply := b.do(old, Request{Method: "POST", Path: "/login"}, start, epoch); reply.Fault == FaultTooLarge {
				break
			}
		}
		for at := epoch; at < epoch+2*hour; at += minute {
			if d, _ := b.do(long, Request{}, Response{Status: 200}, at); d.Reason != OK {
				t.Fatalf("after %d s: %v", at-epoch, d.Reason)
			}
		}
	})
	t.Run("no key signs any more", func(t *testing.T) {
		c := policyOf(t)
		asked := ask(c, Request{}, sessionLine(t, c, someone(epoch-5*minute)))
		d := c.Decide(asked, epoch)
		o := c.Origin(asked, &d, epoch, counting())
		c.Keys[0].SignFrom = epoch + hour
		if err := c.compile(); err != nil {
			t.Fatal(err)
		}
		if reply := c.Respond(&o, &Response{Status: 200}, epoch, counting()); reply.Reason != OK || len(reply.Cookies) != 0 {
			t.Errorf("%v: %v", reply.Reason, reply.Cookies)
		}
	})
}

func TestNewIDs(t *testing.T) {
	c, random, seen := policyOf(t), counting(), map[cookie.ID]bool{}
	for range 100 {
		reply := c.Respond(begin(), &Response{Status: 200, Commands: []string{`{"start":{"subject":"u"}}`}}, epoch, random)
		if reply.Reason != Started || seen[reply.New] {
			t.Fatalf("%v %v", reply.Reason, reply.New)
		}
		seen[reply.New] = true
	}
}

// Directives for shared caches outrank our no-store there, so a cookie waits; a login cannot, and the
// filter takes the directives away.
func TestTargetedCaches(t *testing.T) {
	c := policyOf(t)
	asked := ask(c, Request{}, sessionLine(t, c, someone(epoch-5*minute)))
	d := c.Decide(asked, epoch)
	o := c.Origin(asked, &d, epoch, counting())
	for _, targeted := range []bool{false, true} {
		reply := c.Respond(&o, &Response{Status: 200, CacheControl: "no-store", Targeted: targeted}, epoch, counting())
		if wrote := len(reply.Cookies) > 0; wrote == targeted {
			t.Errorf("targeted %v: wrote %v", targeted, wrote)
		}
	}
	for name, want := range map[string]bool{
		"cdn-cache-control": true, "cloudflare-cdn-cache-control": true, "surrogate-control": true,
		"cache-control": false, "surrogate-key": false,
	} {
		if TargetsCaches(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}
