package policy

import (
	"fmt"
	"strings"
	"testing"

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

// The kinds of cookie that a response can set.
const session, seen, renewal, noSession, noSeen, noRenewal = "session", "seen", "renewed", "-session", "-seen", "-renewed"

func kinds(cookies []string) (out []string) {
	for _, line := range cookies {
		name, _, _ := strings.Cut(line, "=")
		_, kind, _ := strings.Cut(name, "-") // of __Host-session
		if _, suffix, ok := strings.Cut(kind, "-"); ok {
			kind = suffix
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
		{"renewal", Request{}, []string{due, touched}, nil, Renewed, OK, []string{seen, renewal}, nil},
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
		{"too large", Request{}, []string{fresh}, tooMuch().Commands, TooLarge, OK, []string{seen, renewal}, []string{seen, renewal}},
		{"too large, passive", Request{Activity: "passive"}, []string{fresh}, tooMuch().Commands, TooLarge, OK, []string{renewal}, []string{renewal}},
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
				o := keep(c, asked, &d, epoch)
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
				if reply.Reason != reason || reply.Ended != tt.ended || (reply.Session.ID != cookie.ID{}) != (reason == Started) {
					t.Errorf("got %v, ended %v, new %v", reply.Reason, reply.Ended, reply.Session.ID)
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
			want := map[Reason][]string{Touched: {seen}, Renewed: {seen, renewal}}[tt.reason]
			if diff := cmp.Diff(want, kinds(b.lines)); reply.Reason != tt.reason || diff != "" {
				t.Fatalf("%v: %s", reply.Reason, diff)
			}
			_, attributes, _ := strings.Cut(b.lines[len(b.lines)-1], ";")
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
		o := keep(c, asked, &d, epoch)
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
		if reply.Reason != Started || seen[reply.Session.ID] {
			t.Fatalf("%v %v", reply.Reason, reply.Session.ID)
		}
		seen[reply.Session.ID] = true
	}
}

// Directives for shared caches outrank our no-store there, so a cookie waits; a login cannot, and the
// filter takes the directives away.
func TestTargetedCaches(t *testing.T) {
	c := policyOf(t)
	asked := ask(c, Request{}, sessionLine(t, c, someone(epoch-5*minute)))
	d := c.Decide(asked, epoch)
	o := keep(c, asked, &d, epoch)
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

// own is a session that one write after another makes of someone.
func own(change func(*cookie.Session)) cookie.Session {
	return with(epoch-10*minute, func(s *cookie.Session) {
		s.Data, s.Revision = `{"a":1,"b":{"c":2}}`, 3
		change(s)
	})
}

var changes = []struct {
	name    string
	before  func(*cookie.Session)
	command string
	reason  Reason
	after   func(*cookie.Session) // applied to before; id, revision and time of issue go without saying
	maxAge  string
}{
	{"set", unchanged, `{"set":{"d":"x"}}`, Changed, func(s *cookie.Session) { s.Data = `{"a":1,"b":{"c":2},"d":"x"}` }, ""},
	{"set deletes", unchanged, `{"set":{"a":null}}`, Changed, func(s *cookie.Session) { s.Data = `{"b":{"c":2}}` }, ""},
	{"set deletes all", unchanged, `{"set":{"a":null,"b":null}}`, Changed, func(s *cookie.Session) { s.Data = "" }, ""},
	{"set inside", unchanged, `{"set":{"b":{"d":[1, 2]}}}`, Changed, func(s *cookie.Session) { s.Data = `{"a":1,"b":{"c":2,"d":[1,2]}}` }, ""},
	{"set what is there", unchanged, `{"set":{"b":{ "c":2 },"a":1}}`, Touched, unchanged, ""},
	{"set nothing", unchanged, `{"set":{}}`, Touched, unchanged, ""},
	{"set deletes what is not there", unchanged, `{"set":{"x":null,"b":{"x":null}}}`, Touched, unchanged, ""},
	{"set on no data", func(s *cookie.Session) { s.Data = "" }, `{"set":{"x":null}}`, Touched, unchanged, ""},
	{"expire_in", unchanged, `{"expire_in":"5m"}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, "; Max-Age=42570"},
	{"expire_in longer than idle", unchanged, `{"expire_in":"24h"}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 86400, cookie.Persistent }, "; Max-Age=42570"},
	{"expire_in again", func(s *cookie.Session) { s.Idle, s.Lifetime = 900, cookie.Persistent }, `{"expire_in":"15m"}`, Touched, unchanged, "; Max-Age=42600"},
	{"expire_in, own absolute", func(s *cookie.Session) { s.Absolute = 3600 }, `{"expire_in":"5m"}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, "; Max-Age=2970"},
	{"expire_in, remembered", remembered, `{"expire_in":"5m"}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, "; Max-Age=2591370"},
	{"expire_in browser", func(s *cookie.Session) { s.Idle, s.Lifetime = 900, cookie.Persistent }, `{"expire_in":"browser"}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 0, cookie.Browser }, ""},
	{"expire_in browser, remembered", remembered, `{"expire_in":"browser"}`, Changed, func(s *cookie.Session) { s.Lifetime = cookie.Browser }, ""},
	{"expire_in null", func(s *cookie.Session) { s.Idle, s.Lifetime = 900, cookie.Persistent }, `{"expire_in":null}`, Changed, func(s *cookie.Session) { s.Idle, s.Lifetime = 0, cookie.ByRemember }, ""},
	{"expire_in null, remembered", func(s *cookie.Session) { s.Remember, s.Lifetime = true, cookie.Browser }, `{"expire_in":null}`, Changed, func(s *cookie.Session) { s.Lifetime = cookie.ByRemember }, "; Max-Age=2591370"},
	{"expire_in null of nothing", unchanged, `{"expire_in":null}`, Touched, unchanged, ""},
	{"remember", unchanged, `{"remember":true}`, Changed, func(s *cookie.Session) { s.Remember = true }, "; Max-Age=2591370"},
	{"remember no more", remembered, `{"remember":false}`, Changed, func(s *cookie.Session) { s.Remember = false }, ""},
	{"remember again", remembered, `{"remember":true}`, Touched, unchanged, "; Max-Age=2591400"},
	{"remember no more again", unchanged, `{"remember":false}`, Touched, unchanged, ""},
	{"remember after expire_in browser", func(s *cookie.Session) { s.Lifetime = cookie.Browser }, `{"remember":true}`, Changed, func(s *cookie.Session) { s.Remember, s.Lifetime = true, cookie.ByRemember }, "; Max-Age=2591370"},
	{"remember no more after expire_in", func(s *cookie.Session) { s.Idle, s.Lifetime = 900, cookie.Persistent }, `{"remember":false}`, Changed, func(s *cookie.Session) { s.Lifetime = cookie.ByRemember }, ""},
	{"rotate", unchanged, `{"rotate":true}`, Rotated, unchanged, ""},
	{"rotate, remembered", remembered, `{"rotate":true}`, Rotated, unchanged, "; Max-Age=2591370"},
	{"rotate and set nothing", unchanged, `{"rotate":true,"set":{}}`, Rotated, unchanged, ""},
	{"rotate and set", unchanged, `{"set":{"a":2},"rotate":true}`, Rotated, func(s *cookie.Session) { s.Data = `{"a":2,"b":{"c":2}}` }, ""},
	{"expire_in and remember", unchanged, `{"remember":true,"expire_in":"browser"}`, Changed, func(s *cookie.Session) { s.Remember, s.Lifetime = true, cookie.Browser }, ""},
	{"all in one", unchanged, `{"rotate":true,"expire_in":"5m","remember":true,"set":{"b":null}}`, Rotated, func(s *cookie.Session) {
		s.Data, s.Remember, s.Idle, s.Lifetime = `{"a":1}`, true, 300, cookie.Persistent
	}, "; Max-Age=2591370"},
}

// TestChange: a command changes what it names and nothing else, in one cookie; one that changes nothing
// leaves the response to what is due anyway.
func TestChange(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		c := policyOf(t, `"cookie":{"mode":"`+mode+`"}`)
		for _, tt := range changes {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				b, before := newBrowser(t), own(tt.before)
				b.values[c.Cookie.Name] = mint(t, c, before)
				b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, before.ID, epoch-minute)
				old := b.values[c.Cookie.Name]
				const at = epoch + 30
				d, reply := b.do(c, Request{}, Response{Status: 200, Commands: []string{tt.command}}, at)
				if d.Reason != OK || reply.Reason != tt.reason || reply.Fault != "" || reply.Ended != OK {
					t.Fatalf("%v: %v %q, ended %v", d.Reason, reply.Reason, reply.Fault, reply.Ended)
				}
				want := map[Reason][]string{Changed: {session, seen}, Rotated: {session, noSeen}, Touched: {seen}}[tt.reason]
				if diff := cmp.Diff(want, kinds(reply.Cookies)); diff != "" {
					t.Error(diff)
				}
				if _, attributes, _ := strings.Cut(b.lines[0], ";"); ";"+attributes != tt.maxAge+"; Path=/; HttpOnly; Secure; SameSite=Lax" {
					t.Errorf("attributes %q, want %q in them", attributes, tt.maxAge)
				}
				if tt.reason == Touched {
					if b.values[c.Cookie.Name] != old {
						t.Error("the session was written")
					}
					return
				}
				after := own(tt.before)
				tt.after(&after)
				got := held(t, c, b.values[c.Cookie.Name], at)
				if (got.ID != after.ID) != (tt.reason == Rotated) || reply.Session.ID != got.ID && tt.reason == Rotated {
					t.Errorf("id %x", got.ID)
				}
				after.ID, after.IssuedAt, after.Revision = got.ID, at, 4
				if diff := cmp.Diff(after, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestPassiveChange: what an app writes is no sign of a person.
func TestPassiveChange(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/poll","activity":"passive"}]`)
	for _, tt := range []struct {
		name string
		r    Request
	}{
		{"passive rule", Request{Path: "/poll"}},
		{"passive client", Request{Activity: "passive"}},
		{"prefetch", Request{SecPurpose: "prefetch"}},
		{"login page", Request{Path: "/login"}},
	} {
		for _, command := range []string{`{"set":{"n":%d}}`, `{"set":{"n":%d},"rotate":true}`} {
			t.Run(tt.name+command, func(t *testing.T) {
				b := newBrowser(t)
				b.login(c, `{"subject":"u"}`, epoch)
				b.do(c, Request{}, Response{Status: 200}, epoch+90) // seen in the slot of epoch+60
				for at := epoch + 100; at < epoch+60+15*minute; at += 20 {
					_, reply := b.do(c, tt.r, Response{Status: 200, Commands: []string{fmt.Sprintf(command, at)}}, at)
					if reply.Reason != Changed && reply.Reason != Rotated {
						t.Fatalf("after %d s: %v", at-epoch, reply.Reason)
					}
				}
				d := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), epoch+60+15*minute)
				if d.Reason != IdleTimeout {
					t.Errorf("got %v, idle %d s from now", d.Reason, d.IdleAt-(epoch+60+15*minute))
				}
			})
		}
	}
}

// TestExpireInCountsFromTheRequest: a person's own click is not as old as the slot that it fell into.
func TestExpireInCountsFromTheRequest(t *testing.T) {
	c := policyOf(t)
	for second := range minute {
		b, at := newBrowser(t), epoch+3*minute+second
		b.login(c, `{"subject":"u"}`, epoch)
		b.do(c, Request{}, Response{Status: 200}, epoch+3*minute)
		b.do(c, Request{}, Response{Status: 200, Commands: []string{`{"expire_in":"10s"}`}}, at)
		d := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), at+9)
		if d.Reason != OK {
			t.Errorf("set %d s into a slot: %v 9 s later", second, d.Reason)
		}
		if d = c.Decide(ask(c, Request{Activity: "passive"}, b.line()), at+10); d.Reason != IdleTimeout {
			t.Errorf("set %d s into a slot: %v 10 s later", second, d.Reason)
		}
	}
}

// TestRotate: data and times go on under a new id, and nothing of the old one counts for it.
func TestRotate(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u","data":{"a":1}}`, epoch)
	b.do(c, Request{}, Response{Status: 200}, epoch+5*minute)
	before := b.values[c.Cookie.Name]
	oldTouch := b.values[c.Cookie.Name+cookie.TouchSuffix]
	_, reply := b.do(c, Request{Activity: "passive"}, Response{Status: 200, Commands: []string{`{"rotate":true}`}}, epoch+8*minute)
	if reply.Reason != Rotated || b.values[c.Cookie.Name] == before || b.values[c.Cookie.Name+cookie.TouchSuffix] != "" {
		t.Fatalf("%v: %v", reply.Reason, b.values)
	}
	got, was := held(t, c, b.values[c.Cookie.Name], epoch+8*minute), held(t, c, before, epoch+8*minute)
	was.ID, was.IssuedAt, was.Revision = got.ID, epoch+5*minute, 1
	if diff := cmp.Diff(was, got); diff != "" {
		t.Error(diff)
	}
	// The old touch is at most as new as the token. One of the old id that is newer counts nothing.
	newer := mintTouch(t, c, held(t, c, before, epoch+8*minute).ID, epoch+15*minute)
	for _, touch := range []string{oldTouch, newer} {
		line := c.Cookie.Name + "=" + b.values[c.Cookie.Name] + "; " + c.Cookie.Name + cookie.TouchSuffix + "=" + touch
		if d := c.Decide(ask(c, Request{}, line), epoch+20*minute); d.Reason != IdleTimeout {
			t.Errorf("a touch of the old id keeps the session alive: %v", d.Reason)
		}
		if d := c.Decide(ask(c, Request{}, line), epoch+20*minute-1); d.Reason != OK {
			t.Errorf("got %v", d.Reason)
		}
	}
}

// TestKeep: data goes on through a login only if that asks for it, and never to another person.
func TestKeep(t *testing.T) {
	c := policyOf(t, `"cookie":{"mode":"sealed"}`, `"wrap":["sid"]`)
	nobody := func(s *cookie.Session) { s.Subject, s.AuthenticatedAt = "", 0 }
	byApp := func(s *cookie.Session) {
		s.Subject = ""
		s.Wrapped = string(cookie.AppendWrapped(nil, &cookie.Wrapped{Name: "sid", Path: "/", Value: "1", Authenticates: true}))
	}
	for _, tt := range []struct {
		name   string
		before func(*cookie.Session) // nil: no session
		start  string
		want   string
	}{
		{"keep of nothing", nil, `{"subject":"user-42","keep":true}`, ""},
		{"keep of nothing, with data", nil, `{"subject":"user-42","keep":true,"data":{"x":1}}`, `{"x":1}`},
		{"nobody's by default", nobody, `{"subject":"user-42"}`, ""},
		{"nobody's by default, with data", nobody, `{"subject":"user-42","data":{"x":1}}`, `{"x":1}`},
		{"nobody's, keep false", nobody, `{"subject":"user-42","keep":false}`, ""},
		{"nobody's, keep", nobody, `{"subject":"user-42","keep":true}`, `{"a":1,"b":2}`},
		{"nobody's, keep, data on top", nobody, `{"subject":"user-42","data":{"b":3,"a":null,"c":4},"keep":true}`, `{"b":3,"c":4}`},
		{"nobody's, keep, all deleted", nobody, `{"subject":"user-42","data":{"b":null,"a":null},"keep":true}`, ""},
		{"own by default", unchanged, `{"subject":"user-42"}`, ""},
		{"own, keep", unchanged, `{"subject":"user-42","keep":true}`, `{"a":1,"b":2}`},
		{"own, keep, data on top", unchanged, `{"subject":"user-42","keep":true,"data":{"b":{"x":null}}}`, `{"a":1,"b":{}}`},
		{"another's, keep", unchanged, `{"subject":"user-43","keep":true}`, ""},
		{"another's, keep, with data", unchanged, `{"subject":"user-43","keep":true,"data":{"x":1}}`, `{"x":1}`},
		{"another's in other case, keep", unchanged, `{"subject":"User-42","keep":true}`, ""},
		{"whose only the app knows, keep", byApp, `{"subject":"user-42","keep":true}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			if tt.before != nil {
				b.values[c.Cookie.Name] = mint(t, c, with(epoch-minute, func(s *cookie.Session) {
					s.Data, s.Revision, s.Idle, s.Lifetime = `{"a":1,"b":2}`, 9, 600, cookie.Persistent
					tt.before(s)
				}))
			}
			b.login(c, tt.start, epoch)
			got := held(t, c, b.values[c.Cookie.Name], epoch)
			if got.Data != tt.want || got.Revision != 0 || got.Idle != 0 || got.Lifetime != cookie.ByRemember || got.ID == someone(0).ID || got.StartedAt != epoch {
				t.Errorf("got %+v, want data %s", got, tt.want)
			}
		})
	}
	t.Run("a dead session's, keep", func(t *testing.T) {
		b := newBrowser(t)
		b.values[c.Cookie.Name] = mint(t, c, with(epoch-hour, func(s *cookie.Session) { s.Data = `{"a":1}` }))
		b.login(c, `{"subject":"user-42","keep":true}`, epoch)
		if got := held(t, c, b.values[c.Cookie.Name], epoch); got.Data != "" {
			t.Errorf("kept %s", got.Data)
		}
	})
}

func tooMuch() Response {
	return Response{Status: 200, Commands: []string{`{"set":{"big":"` + strings.Repeat("x", 4000) + `"}}`}}
}

// errorOf is what the app reads of x-session-error on its next request.
func errorOf(t testing.TB, c *Config, b *browser, at int64) (text string) {
	t.Helper()
	d := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), at)
	c.Headers(&d, at, func(name, value string) {
		if name == ErrorHeader {
			text = value
		}
	})
	return text
}

// TestTooLarge: what does not fit changes nothing but one flag, which the next good write clears.
func TestTooLarge(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			c, b := policyOf(t, `"cookie":{"mode":"`+mode+`"}`), newBrowser(t)
			b.login(c, `{"subject":"u","data":{"a":1}}`, epoch)
			token := b.values[c.Cookie.Name]
			before := held(t, c, token, epoch)
			if got := errorOf(t, c, b, epoch); got != "" {
				t.Fatalf("before: %q", got)
			}
			_, reply := b.do(c, Request{}, tooMuch(), epoch+10)
			if diff := cmp.Diff([]string{renewal}, kinds(reply.Cookies)); reply.Reason != TooLarge || reply.Fault != FaultTooLarge || reply.Ended != OK || diff != "" {
				t.Fatalf("%+v %s", reply, diff)
			}
			flagged := before
			flagged.Refused = true
			if diff := cmp.Diff(flagged, written(t, c, &reply, epoch+10)); b.values[c.Cookie.Name] != token || diff != "" {
				t.Error(diff)
			}
			if got := errorOf(t, c, b, epoch+10); got != "too_large" {
				t.Errorf("the app is told %q", got)
			}
			_, reply = b.do(c, Request{}, tooMuch(), epoch+20)
			if reply.Reason != TooLarge || len(reply.Cookies) != 0 {
				t.Errorf("once more: %v %v", reply.Reason, kinds(reply.Cookies))
			}
			_, reply = b.do(c, Request{}, Response{Status: 200, Commands: []string{`{"set":{"a":1}}`}}, epoch+30)
			if got := errorOf(t, c, b, epoch+30); reply.Reason != OK || got != "too_large" {
				t.Errorf("a set that writes nothing: %v, the app is told %q", reply.Reason, got)
			}
			_, reply = b.do(c, Request{}, Response{Status: 200, Commands: []string{`{"set":{"a":2}}`}}, epoch+40)
			if diff := cmp.Diff([]string{session, noRenewal}, kinds(reply.Cookies)); diff != "" {
				t.Error(diff)
			}
			flagged.Refused, flagged.IssuedAt, flagged.Data, flagged.Revision = false, epoch+40, `{"a":2}`, 1
			if diff := cmp.Diff(flagged, held(t, c, b.values[c.Cookie.Name], epoch+40)); reply.Reason != Changed || diff != "" {
				t.Error(reply.Reason, diff)
			}
			if got := errorOf(t, c, b, epoch+40); got != "" {
				t.Errorf("after a good write: %q", got)
			}
		})
	}
}

// The flag survives a renewal, which is no write of the app's, and goes with a login.
func TestTooLargeLasts(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	b.do(c, Request{}, tooMuch(), epoch)
	for at := epoch; at <= epoch+90*minute; at += 10 * minute {
		b.do(c, Request{}, Response{Status: 200}, at)
		if got := errorOf(t, c, b, at); got != "too_large" {
			t.Fatalf("after %d s: %q", at-epoch, got)
		}
	}
	b.login(c, `{"subject":"u"}`, epoch+90*minute)
	if got := errorOf(t, c, b, epoch+90*minute); got != "" {
		t.Errorf("after a login: %q", got)
	}
}

// Whoever is active stays logged in, even if the app writes too much into every response.
func TestTooLargeOverAndOver(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	cookies := 0
	for at := epoch + 20; at < epoch+2*hour; at += 20 {
		d, reply := b.do(c, Request{}, tooMuch(), at)
		if d.Reason != OK || reply.Reason != TooLarge {
			t.Fatalf("after %d s: %v, %v", at-epoch, d.Reason, reply.Reason)
		}
		cookies += len(reply.Cookies)
	}
	if cookies > 125 {
		t.Errorf("%d cookies in two hours, want one a minute", cookies)
	}
	if d, _ := b.do(c, Request{}, Response{}, epoch+2*hour+15*minute); d.Reason != IdleTimeout {
		t.Errorf("at the end: %v", d.Reason)
	}
}

// With no session at all the word goes into one that has nothing else in it.
func TestTooLargeWithoutSession(t *testing.T) {
	c := policyOf(t, `"anonymous":true`, `"rules":[{"path_prefix":"/","session":"optional"}]`)
	for name, before := range map[string]func(b *browser){
		"absent": func(*browser) {},
		"dead":   func(b *browser) { b.values[c.Cookie.Name] = mint(t, c, someone(epoch-hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t)
			before(b)
			_, reply := b.do(c, Request{}, tooMuch(), epoch)
			if diff := cmp.Diff([]string{session}, kinds(reply.Cookies)); reply.Reason != TooLarge || diff != "" {
				t.Fatalf("%v %s", reply.Reason, diff)
			}
			got := held(t, c, b.values[c.Cookie.Name], epoch)
			if diff := cmp.Diff(cookie.Session{ID: got.ID, StartedAt: epoch, IssuedAt: epoch, Refused: true}, got); diff != "" || got.ID == (cookie.ID{}) {
				t.Error(got.ID, diff)
			}
			if got := errorOf(t, c, b, epoch); got != "too_large" {
				t.Errorf("the app is told %q", got)
			}
			if _, reply = b.do(c, Request{}, Response{Status: 200, Commands: []string{`{"set":{"a":1}}`}}, epoch+1); reply.Reason != Changed || errorOf(t, c, b, epoch+1) != "" {
				t.Errorf("afterwards: %v", reply.Reason)
			}
		})
	}
	t.Run("no randomness", func(t *testing.T) {
		b := newBrowser(t)
		b.random = noRandom
		if _, reply := b.do(c, Request{}, tooMuch(), epoch); reply.Reason != BadCommand || reply.Fault != FaultRandomness {
			t.Errorf("%+v", reply)
		}
	})
}

// A renewal by a proxy whose clock is behind is no older than what it renews.
func TestRenewalByASlowerClock(t *testing.T) {
	faster, slower := policyOf(t), policyOf(t, `"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch)+`]`)
	s := someone(epoch + 30)
	asked := ask(slower, Request{}, sessionLine(t, faster, s))
	d := slower.Decide(asked, epoch)
	o := keep(slower, asked, &d, epoch)
	reply := slower.Respond(&o, &Response{Status: 200}, epoch, counting())
	if reply.Reason != Renewed {
		t.Fatalf("%v, renew %v", reply.Reason, d.Renew)
	}
	if diff := cmp.Diff(s, written(t, slower, &reply, epoch)); diff != "" {
		t.Error(diff)
	}
}
