package policy

import (
	"math/rand"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// outcome is what a table of decisions compares.
type outcome struct {
	Reason  Reason
	Verdict Verdict
	Live    bool
	Drop    bool
}

func outcomeOf(d Decision) outcome { return outcome{d.Reason, d.Verdict, d.Live, d.Drop} }

var (
	passes  = outcome{OK, Pass, true, false}
	noneHas = outcome{Absent, Login, false, false}
	// A proxy that lacks a key, or whose clock is slow, must not take a session from all others.
	goodElsewhere = outcome{Invalid, Login, false, false}
)

func dead(r Reason) outcome { return outcome{r, Login, false, true} }

// deadHere is what a rule's own limit does: it refuses there only. The session lives on elsewhere and
// keeps its cookies.
func deadHere(r Reason) outcome { return outcome{r, Login, false, false} }

func unchanged(*cookie.Session)    {}
func remembered(s *cookie.Session) { s.Remember = true }

func ownTimeouts(idle, absolute int64) func(*cookie.Session) {
	return func(s *cookie.Session) { s.Idle, s.Absolute = idle, absolute }
}

var boundaries = []struct {
	name   string
	path   string
	change func(*cookie.Session)
	age    int64 // since the login
	idle   int64 // since the last touch; 0: there is none
	want   outcome
}{
	{"TI-114 idle <", "/", unchanged, 15*minute - 1, 0, passes},
	{"TI-114 idle =", "/", unchanged, 15 * minute, 0, dead(IdleTimeout)},
	{"TI-114 idle >", "/", unchanged, 15*minute + 1, 0, dead(IdleTimeout)},
	{"touch idle <", "/", unchanged, hour, 15*minute - 1, passes},
	{"touch idle =", "/", unchanged, hour, 15 * minute, dead(IdleTimeout)},
	{"absolute <", "/", unchanged, 12*hour - 1, 1, passes},
	{"absolute =", "/", unchanged, 12 * hour, 1, dead(AbsoluteTimeout)},
	{"absolute >", "/", unchanged, 12*hour + 1, 1, dead(AbsoluteTimeout)},
	{"both, idle first", "/", unchanged, 24 * hour, 0, dead(IdleTimeout)},
	{"both, absolute first", "/", unchanged, 12*hour + 20*minute, 16 * minute, dead(AbsoluteTimeout)},
	{"remember idle <", "/", remembered, 336*hour - 1, 0, passes},
	{"remember idle =", "/", remembered, 336 * hour, 0, dead(IdleTimeout)},
	{"remember absolute <", "/", remembered, 720*hour - 1, 1, passes},
	{"remember absolute =", "/", remembered, 720 * hour, 1, dead(AbsoluteTimeout)},
	{"start.idle shorter <", "/", ownTimeouts(2*minute, 0), 2*minute - 1, 0, passes},
	{"start.idle shorter =", "/", ownTimeouts(2*minute, 0), 2 * minute, 0, dead(IdleTimeout)},
	{"start.idle longer <", "/", ownTimeouts(2*hour, 0), 2*hour - 1, 0, passes},
	{"start.idle longer =", "/", ownTimeouts(2*hour, 0), 2 * hour, 0, dead(IdleTimeout)},
	{"start.absolute <", "/", ownTimeouts(0, hour), hour - 1, 1, passes},
	{"start.absolute =", "/", ownTimeouts(0, hour), hour, 1, dead(AbsoluteTimeout)},
	{"start.absolute longer <", "/", ownTimeouts(0, 24*hour), 24*hour - 1, 1, passes},
	{"start.absolute longer =", "/", ownTimeouts(0, 24*hour), 24 * hour, 1, dead(AbsoluteTimeout)},
	{"TI-113 absolute under idle <", "/", ownTimeouts(hour, 10*minute), 10*minute - 1, 0, passes},
	{"TI-113 absolute under idle =", "/", ownTimeouts(hour, 10*minute), 10 * minute, 0, dead(AbsoluteTimeout)},
	{"rule idle <", "/idle", unchanged, 5*minute - 1, 0, passes},
	{"rule idle =", "/idle", unchanged, 5 * minute, 0, deadHere(IdleTimeout)},
	{"rule idle elsewhere", "/", unchanged, 5 * minute, 0, passes},
	{"rule idle and config idle", "/idle", unchanged, 15 * minute, 0, dead(IdleTimeout)},
	{"rule idle, start.idle shorter", "/idle", ownTimeouts(2*minute, 0), 2 * minute, 0, dead(IdleTimeout)},
	{"rule idle, start.idle longer", "/idle", ownTimeouts(hour, 0), 5 * minute, 0, deadHere(IdleTimeout)},
	{"rule idle, remember", "/idle", remembered, 5 * minute, 0, deadHere(IdleTimeout)},
	{"rule absolute <", "/absolute", unchanged, 10*minute - 1, 1, passes},
	{"rule absolute =", "/absolute", unchanged, 10 * minute, 1, deadHere(AbsoluteTimeout)},
	{"max_auth_age <", "/fresh", unchanged, 2*minute - 1, 0, passes},
	{"max_auth_age =", "/fresh", unchanged, 2 * minute, 0, deadHere(AuthTooOld)},
	{"longer rule, idle <", "/longer", unchanged, 15*minute - 1, 0, passes},
	{"longer rule, idle =", "/longer", unchanged, 15 * minute, 0, dead(IdleTimeout)},
	{"longer rule, absolute =", "/longer", unchanged, 12 * hour, 1, dead(AbsoluteTimeout)},
}

func TestDecideBoundaries(t *testing.T) {
	rules := `"rules":[{"path":"/idle","idle":"5m"},{"path":"/absolute","absolute":"10m"},{"path":"/fresh","max_auth_age":"2m"},
		{"path":"/longer","idle":"1h","absolute":"24h"}]`
	for _, tt := range boundaries {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, rules)
			lines := []string{sessionLine(t, c, with(epoch-tt.age, tt.change))}
			if tt.idle > 0 {
				lines = append(lines, touchLine(t, c, someone(0).ID, epoch-tt.idle))
			}
			d := c.Decide(ask(c, Request{Path: tt.path}, lines...), epoch)
			if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
				t.Fatal(diff)
			}
			if d.Live && (d.IdleAt <= epoch || d.ExpiresAt <= epoch) {
				t.Errorf("alive, yet over: idle at %d, expires at %d, now %d", d.IdleAt, d.ExpiresAt, epoch)
			}
		})
	}
}

// TestDeadlinesAreKept holds what a decision promises against what the same cookies get then. A
// rule that names longer times than the config must not promise them.
func TestDeadlinesAreKept(t *testing.T) {
	c := policyOf(t, `"rules":[
		{"path":"/idle","idle":"5m"},{"path":"/absolute","absolute":"10m"},{"path":"/longer","idle":"1h","absolute":"24h"},
		{"path_prefix":"/staff","idle":"2h","absolute":"48h","when":{"data.staff":[true]}}]`)
	s := with(epoch-minute, func(s *cookie.Session) { s.Data = `{"staff":true}` })
	line := sessionLine(t, c, s)
	for _, path := range []string{"/", "/idle", "/absolute", "/longer", "/staff"} {
		for _, own := range []string{"passive", "active"} {
			t.Run(path+"/"+own, func(t *testing.T) {
				r := Request{Path: path}
				lines := []string{line}
				if own == "passive" {
					r.Activity = "passive"
				}
				d := c.Decide(ask(c, r, lines...), epoch)
				if d.TouchAt != 0 {
					lines = append(lines, touchLine(t, c, s.ID, d.TouchAt))
				}
				end := min(d.IdleAt, d.ExpiresAt)
				if got := c.Decide(ask(c, r, lines...), end-1).Reason; got != OK {
					t.Errorf("one second before the promised end: %v", got)
				}
				if got := c.Decide(ask(c, r, lines...), end).Reason; got == OK {
					t.Error("alive at the promised end")
				}
			})
		}
	}
}

func TestSlide(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/poll","activity":"passive"},{"path_prefix":"/","session":"optional","methods":["PUT"]}]`)
	id := someone(0).ID
	for _, tt := range []struct {
		name    string
		r       Request
		age     int64
		touched int64 // seconds ago; -1: never
		at      int64 // seconds after epoch
		slid    bool
		touchAt int64 // seconds after epoch; meant only where slid
		renew   bool
	}{
		{"just logged in", Request{}, 0, -1, 0, false, 0, false},
		{"same slot as the login", Request{}, 0, -1, 59, false, 0, false},
		{"next slot", Request{}, 0, -1, 60, true, 60, false},
		{"rounded down", Request{}, 0, -1, 119, true, 60, false},
		{"touched in this slot", Request{}, 600, 0, 59, false, 0, false},
		{"touched in the last slot", Request{}, 600, 60, 59, true, 0, false},
		{"post", Request{Method: "POST"}, 600, 60, 0, true, 0, false},
		{"optional rule", Request{Method: "PUT"}, 600, 60, 0, true, 0, false},
		{"login page", Request{Path: "/login"}, 600, 60, 0, false, 0, false},
		{"browser path", Request{Path: "/.session/status"}, 600, 60, 0, false, 0, false},
		{"passive rule", Request{Path: "/poll"}, 600, 60, 0, false, 0, false},
		{"passive client", Request{Activity: "passive"}, 600, 60, 0, false, 0, false},
		{"active client on a passive rule", Request{Path: "/poll", Activity: "active"}, 600, 60, 0, false, 0, false},
		{"prefetch", Request{SecPurpose: "prefetch"}, 600, 60, 0, false, 0, false},
		{"prerender", Request{SecPurpose: "prefetch;prerender"}, 600, 60, 0, false, 0, false},
		{"older prefetch", Request{Purpose: "prefetch"}, 600, 60, 0, false, 0, false},
		{"not quite rotate", Request{}, 3599, 60, 0, true, 0, false},
		{"rotate", Request{}, 3600, 60, 0, true, 0, true},
		{"rotate, passive rule", Request{Path: "/poll"}, 3600, 60, 0, false, 0, false},
		{"rotate, prefetch", Request{SecPurpose: "prefetch"}, 3600, 60, 0, false, 0, false},
		{"rotate, passive client", Request{Activity: "passive"}, 3600, 60, 0, false, 0, false},
		{"touch of a faster clock", Request{}, 600, -30, 0, false, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := epoch + tt.at
			lines := []string{sessionLine(t, c, someone(epoch-tt.age))}
			if tt.touched != -1 {
				lines = append(lines, touchLine(t, c, id, epoch-tt.touched))
			}
			d := c.Decide(ask(c, tt.r, lines...), at)
			if d.Reason != OK || d.Slid != tt.slid || d.Renew != tt.renew {
				t.Fatalf("got %v, slid %v, renew %v", d.Reason, d.Slid, d.Renew)
			}
			want := int64(0)
			if tt.slid {
				want = epoch + tt.touchAt
			}
			if d.TouchAt != want {
				t.Errorf("touch at %d, want %d", d.TouchAt, want)
			}
			if d.IdleAt != d.Seen+15*minute || d.Seen > at || d.ExpiresAt != epoch-tt.age+12*hour {
				t.Errorf("seen %d, idle at %d, expires at %d", d.Seen-epoch, d.IdleAt-epoch, d.ExpiresAt-epoch)
			}
		})
	}
}

// TestParallelTouches: proxies that never spoke to each other write one and the same cookie.
func TestParallelTouches(t *testing.T) {
	for _, remember := range []bool{false, true} {
		lines := map[string]bool{}
		for i := range int64(100) {
			c := policyOf(t, `"rules":[{"path_prefix":"/short","absolute":"2h"}]`)
			b := newBrowser(t)
			s := with(epoch-10*minute, func(s *cookie.Session) { s.Remember = remember })
			b.values[c.Cookie.Name] = mint(t, c, s)
			path := [...]string{"/page", "/short"}[i%2]
			if _, reply := b.do(c, Request{Path: path}, Response{Status: 200}, epoch+i%60); reply.Reason != Touched {
				t.Fatalf("request %d: %v", i, reply.Reason)
			}
			lines[b.lines[0]] = true
		}
		if len(lines) != 1 {
			t.Errorf("remember %v: 100 parallel requests wrote %d different cookies: %v", remember, len(lines), lines)
		}
	}
}

// TestTouchBelongsToOneSession: a touch of another session, key, name or audience counts nothing.
func TestTouchBelongsToOneSession(t *testing.T) {
	c := policyOf(t)
	other := policyOf(t, `"keys":[`+keyJSON("b", 0)+`]`)
	renamed := policyOf(t, `"cookie":{"name":"__Host-other"}`)
	audience := policyOf(t, `"audience":"other"`)
	sealed := policyOf(t, `"cookie":{"mode":"sealed"}`)
	s := someone(epoch - 14*minute)
	good := mintTouch(t, c, s.ID, epoch-minute)
	for _, tt := range []struct {
		name, touch string
		want        bool
	}{
		{"its own", good, true},
		{"same keys, sealed mode", mintTouch(t, sealed, s.ID, epoch-minute), true},
		{"another session's", mintTouch(t, c, cookie.ID{9}, epoch-minute), false},
		{"another key's", mintTouch(t, other, s.ID, epoch-minute), false},
		{"another cookie's", mintTouch(t, renamed, s.ID, epoch-minute), false},
		{"another audience's", mintTouch(t, audience, s.ID, epoch-minute), false},
		{"ahead by more than the skew", mintTouch(t, c, s.ID, epoch+2*minute+1), false},
		{"cut short", good[:len(good)-1], false},
		{"a session token", mint(t, c, s), false},
		{"empty", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			touch := c.Cookie.Name + cookie.TouchSuffix + "=" + tt.touch
			// One minute later the session is idle, unless the touch counts.
			d := c.Decide(ask(c, Request{}, sessionLine(t, c, s), touch), epoch+minute)
			if got := d.Reason == OK; got != tt.want {
				t.Errorf("got %v", d.Reason)
			}
		})
	}
}

// TestActiveForever drives people who never pause: they stay logged in until the absolute timeout
// and not a second longer, and no cookie that was ever written works after it.
func TestActiveForever(t *testing.T) {
	for _, tt := range []struct {
		name, config, start string
		end                 int64
	}{
		{"signed", `"audience":""`, `{"subject":"u"}`, 12 * hour},
		{"sealed", `"cookie":{"mode":"sealed"}`, `{"subject":"u"}`, 12 * hour},
		{"own absolute", `"audience":""`, `{"subject":"u","absolute":"3h"}`, 3 * hour},
		{"own idle", `"audience":""`, `{"subject":"u","idle":"5m"}`, 12 * hour},
		{"remember", `"remember":{"idle":"1h","absolute":"4h"}`, `{"subject":"u","remember":true}`, 4 * hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, b := policyOf(t, tt.config), newBrowser(t)
			b.login(c, tt.start, epoch)
			ids, tokens := map[cookie.ID]bool{}, map[string]bool{}
			for at := epoch; at < epoch+tt.end; at += 59 {
				// Every third response is one that a cache may keep, and carries nothing.
				response := Response{Status: 200}
				if at%3 == 0 {
					response.CacheControl = "max-age=60"
				}
				d, _ := b.do(c, Request{}, response, at)
				if d.Reason != OK || d.ExpiresAt != epoch+tt.end {
					t.Fatalf("after %d s: %v, expires after %d s", at-epoch, d.Reason, d.ExpiresAt-epoch)
				}
				ids[d.Session.ID] = true
				tokens[b.line()] = true
			}
			if len(ids) != 1 {
				t.Errorf("%d session ids, want one", len(ids))
			}
			if rotations := len(tokens); rotations < int(tt.end/hour) {
				t.Errorf("only %d different cookies in %d hours", rotations, tt.end/hour)
			}
			for line := range tokens {
				if d := c.Decide(ask(c, Request{}, line), epoch+tt.end); d.Reason != AbsoluteTimeout && d.Reason != IdleTimeout {
					t.Fatalf("at the end: %v", d.Reason)
				}
			}
			if d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+tt.end); d.Reason != AbsoluteTimeout {
				t.Errorf("at the end: %v", d.Reason)
			}
			if d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+13*hour); d.Reason != Absent {
				t.Errorf("after the end: %v", d.Reason)
			}
		})
	}
}

// TestPollingDoesNotKeepAlive: a page left open that polls goes idle when its person does.
func TestPollingDoesNotKeepAlive(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/poll","activity":"passive"}]`)
	for _, tt := range []struct {
		name string
		r    Request
	}{
		{"passive rule", Request{Path: "/poll"}},
		{"passive client", Request{Activity: "passive"}},
		{"prefetch", Request{SecPurpose: "prefetch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrowser(t)
			b.login(c, `{"subject":"u"}`, epoch)
			for at := epoch; at < epoch+15*minute; at += 10 {
				if d, _ := b.do(c, tt.r, Response{Status: 200}, at); d.Reason != OK || d.Slid {
					t.Fatalf("after %d s: %v, slid %v", at-epoch, d.Reason, d.Slid)
				}
			}
			if d, _ := b.do(c, tt.r, Response{Status: 200}, epoch+15*minute); d.Reason != IdleTimeout {
				t.Errorf("got %v", d.Reason)
			}
		})
	}
}

// TestKeyChange moves two proxies from key a to b, each in its own time, under people who never
// stop asking: nobody is logged out, and afterwards nothing under a is good.
func TestKeyChange(t *testing.T) {
	const flip = epoch + 20*minute
	both := `"keys":[` + keyJSON("a", 0) + "," + keyJSON("b", flip) + `]`
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			cookieJSON := `"cookie":{"mode":"` + mode + `"}`
			old, mid := policyOf(t, cookieJSON), policyOf(t, cookieJSON, both)
			after := policyOf(t, cookieJSON, `"keys":[`+keyJSON("b", 0)+`]`)
			// Proxies are given the two keys at 5 and 10 minutes, and b alone at 40 and 45.
			proxy := func(which, at int64) *Config {
				switch lag := which * 5 * minute; {
				case at < epoch+5*minute+lag:
					return old
				case at < epoch+40*minute+lag:
					return mid
				}
				return after
			}
			rng := rand.New(rand.NewSource(1))
			people, underA := make([]*browser, 20), map[string]bool{}
			for i := range people {
				people[i] = newBrowser(t)
				people[i].login(old, `{"subject":"u"}`, epoch)
			}
			for at := epoch; at < epoch+hour; at += 2 {
				// All but at random, yet each at least every 40 seconds.
				for _, i := range []int{rng.Intn(len(people)), int(at/2) % len(people)} {
					c := proxy(rng.Int63n(2), at)
					if d, _ := people[i].do(c, Request{}, Response{Status: 200}, at); d.Reason != OK {
						t.Fatalf("after %d s: %v", at-epoch, d.Reason)
					}
					if line := people[i].line(); !strings.Contains(line, ".b.") {
						underA[line] = true
					}
				}
			}
			for i, b := range people {
				// What is left under a is a session cookie that nothing has been written to since.
				if b.values[old.Cookie.Name+cookie.RenewedSuffix] == "" || strings.Contains(b.values[old.Cookie.Name+cookie.RenewedSuffix]+b.values[old.Cookie.Name+cookie.TouchSuffix], ".a.") {
					t.Errorf("person %d still needs a cookie under a: %s", i, b.line())
				}
			}
			if len(underA) == 0 {
				t.Fatal("nobody ever had a cookie under a")
			}
			for line := range underA {
				if d := after.Decide(ask(after, Request{}, line), epoch+hour); d.Live {
					t.Fatalf("a cookie under a is good: %s", line)
				}
			}
		})
	}
}

// TestFirstTouchUnderNewKey: where only the touch is under the old key, it is written again at
// once, or activity noted under that key would vanish with it.
func TestFirstTouchUnderNewKey(t *testing.T) {
	old := policyOf(t)
	mid := policyOf(t, `"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch-minute)+`]`)
	s := someone(epoch - 10*minute)
	s.IssuedAt = epoch - 30
	token, err := mid.codec.Seal(&s, epoch, counting())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		r    Request
		seen int64
		want int64
	}{
		{"same slot", Request{}, epoch, epoch},
		{"passive waits", Request{Activity: "passive"}, epoch, 0},
		{"by a faster clock", Request{}, epoch + minute, epoch},
		{"older than the session cookie", Request{}, epoch - minute, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := mid.Decide(ask(mid, tt.r, mid.Cookie.Name+"="+token, touchLine(t, old, s.ID, tt.seen)), epoch+20)
			if tt.name == "older than the session cookie" {
				// The session cookie's own time is newer; the slot of now is newer still.
				tt.want = epoch
			}
			if d.TouchAt != tt.want {
				t.Errorf("touch at %d, want %d", d.TouchAt, tt.want)
			}
		})
	}
}

func TestOneSessionAmongCookies(t *testing.T) {
	c := policyOf(t)
	name := c.Cookie.Name + "="
	good := mint(t, c, someone(epoch-minute))
	renewed := mint(t, c, with(epoch-minute, func(s *cookie.Session) { s.IssuedAt = epoch; s.Subject = "renewed" }))
	revised := mint(t, c, with(epoch-minute, func(s *cookie.Session) { s.Revision = 1; s.Subject = "revised" }))
	planted := mint(t, c, with(epoch-minute, func(s *cookie.Session) { s.ID[0] = 9 }))
	// Nobody's session, and no deletion: that would take the good cookie and leave the planted one.
	untouched := outcome{Invalid, Login, false, false}
	bad := "1s.a.AAAA"
	nine := ""
	for i := range 9 {
		nine += name + bad + string(rune('A'+i)) + "; "
	}
	for _, tt := range []struct {
		name, line string
		want       outcome
		subject    string
	}{
		{"CK-8 among others", "a=b;" + name + good + ";c=d", passes, "user-42"},
		{"CK-28 good, bad", name + good + "; " + name + bad, passes, "user-42"},
		{"CK-29 bad, good", name + bad + "; " + name + good, passes, "user-42"},
		{"CK-30 twice the same", name + good + "; " + name + good, passes, "user-42"},
		{"newer issue first", name + renewed + "; " + name + good, passes, "renewed"},
		{"newer issue last", name + good + "; " + name + renewed, passes, "renewed"},
		{"revision before issue", name + revised + "; " + name + renewed, passes, "revised"},
		{"revision after issue", name + renewed + "; " + name + revised + "; " + name + bad, passes, "revised"},
		{"RP-126 planted last", name + good + "; " + name + planted, untouched, ""},
		{"RP-126 planted first", name + planted + "; " + name + good, untouched, ""},
		{"RP-126 planted, bad between", name + planted + "; " + name + bad + "; " + name + good, untouched, ""},
		{"CK-26 $Version", `$Version="1"; ` + name + good, untouched, ""},
		{"too many", nine + name + good, untouched, ""},
		{"CK-12 quoted", name + `"` + good + `"`, dead(Invalid), ""},
		{"CK-14 name in other case", "__host-session=" + good, noneHas, ""},
		{"CK-36 longer name", "x" + name + good + "; " + c.Cookie.Name + "2=" + good, noneHas, ""},
		{"CK-1 empty", "", noneHas, ""},
	} {
		for _, mode := range []string{"one line", "a line each"} {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				lines := []string{tt.line}
				if mode == "a line each" {
					lines = strings.Split(tt.line, "; ")
				}
				if tt.name == "CK-26 $Version" && mode == "a line each" {
					lines = []string{`$Version="1"`, name + good}
				}
				d := c.Decide(ask(c, Request{}, lines...), epoch)
				if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
					t.Fatal(diff)
				}
				if d.Session.Subject != tt.subject {
					t.Errorf("subject %q, want %q", d.Session.Subject, tt.subject)
				}
			})
		}
	}
}

func TestScope(t *testing.T) {
	c := policyOf(t, `"audience":"shop"`)
	for _, tt := range []struct {
		name   string
		issuer *Config
		want   outcome
	}{
		{"its own", c, passes},
		{"RP-128 another audience", policyOf(t, `"audience":"other"`), dead(Invalid)},
		{"RP-128 no audience", policyOf(t), dead(Invalid)},
		{"another cookie name", policyOf(t, `"audience":"shop"`, `"cookie":{"name":"__Host-other"}`), dead(Invalid)},
		{"TM-78 sealed to signed", policyOf(t, `"audience":"shop"`, `"cookie":{"mode":"sealed"}`), dead(Invalid)},
		{"TM-65 key unknown", policyOf(t, `"audience":"shop"`, `"keys":[`+keyJSON("b", 0)+`]`), goodElsewhere},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := c.Cookie.Name + "=" + mint(t, tt.issuer, someone(epoch-minute))
			if diff := cmp.Diff(tt.want, outcomeOf(c.Decide(ask(c, Request{}, line), epoch))); diff != "" {
				t.Error(diff)
			}
		})
	}
	sealed := policyOf(t, `"audience":"shop"`, `"cookie":{"mode":"sealed"}`)
	if d := sealed.Decide(ask(sealed, Request{}, sessionLine(t, sealed, someone(epoch))), epoch); d.Reason != OK || d.Session.Subject != "user-42" {
		t.Errorf("sealed: %v %q", d.Reason, d.Session.Subject)
	}
	if d := sealed.Decide(ask(sealed, Request{}, sealed.Cookie.Name+"="+mint(t, c, someone(epoch))), epoch); d.Reason != Invalid {
		t.Errorf("TM-77 signed to sealed: %v", d.Reason)
	}
}

func TestRevoke(t *testing.T) {
	c := policyOf(t, `"revoke":{"before":"`+rfc3339(epoch)+`","subjects":{"u7":"`+rfc3339(epoch+minute)+`"}}`)
	for _, tt := range []struct {
		name    string
		started int64
		subject string
		want    outcome
	}{
		{"before", epoch - 1, "u1", dead(Revoked)},
		{"in that second", epoch, "u1", passes},
		{"RP-124 subject before", epoch + minute - 1, "u7", dead(Revoked)},
		{"RP-124 subject in that second", epoch + minute, "u7", passes},
		{"another subject", epoch + minute - 1, "u70", passes},
		{"subject in other case", epoch + minute - 1, "U7", passes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := with(tt.started, func(s *cookie.Session) { s.Subject = tt.subject })
			got := c.Decide(ask(c, Request{}, sessionLine(t, c, s)), epoch+2*minute)
			if diff := cmp.Diff(tt.want, outcomeOf(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportOnly(t *testing.T) {
	c := policyOf(t, `"report_only":true`, `"rules":[{"path":"/admin","require":{"data.role":["admin"]}}]`)
	for _, tt := range []struct {
		name, path, line string
		want             outcome
	}{
		{"alive", "/", sessionLine(t, c, someone(epoch)), passes},
		{"absent", "/", "", outcome{Absent, Pass, false, false}},
		{"leftover", "/", touchLine(t, c, cookie.ID{1}, epoch), outcome{Absent, Pass, false, false}},
		{"invalid", "/", c.Cookie.Name + "=x", outcome{Invalid, Pass, false, false}},
		{"idle", "/", sessionLine(t, c, someone(epoch-hour)), outcome{IdleTimeout, Pass, false, false}},
		{"forbidden", "/admin", sessionLine(t, c, someone(epoch)), outcome{Forbidden, Pass, true, false}},
		{"unsafe path", "/a/..;/b", "", outcome{Absent, Pass, false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := c.Decide(ask(c, Request{Path: tt.path}, tt.line), epoch)
			if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReportOnlyWritesNothing: a session that is over gets no cookie, not even of another key.
func TestReportOnlyWritesNothing(t *testing.T) {
	old := policyOf(t)
	c := policyOf(t, `"report_only":true`, `"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch-hour)+`]`)
	s := someone(epoch - 3*hour)
	asked := ask(c, Request{}, sessionLine(t, old, s), touchLine(t, old, s.ID, epoch-2*hour))
	d := c.Decide(asked, epoch)
	o := keep(c, asked, &d, epoch)
	if reply := c.Respond(&o, &Response{Status: 200}, epoch, counting()); d.Reason != IdleTimeout || len(reply.Cookies) != 0 {
		t.Errorf("%v: wrote %v", d.Reason, reply.Cookies)
	}
}

func TestTime(t *testing.T) {
	c := policyOf(t)
	for _, tt := range []struct {
		name         string
		started, now int64
		seen         int64 // of a touch; 0: none
		want         outcome
		expiresIn    int64
	}{
		{"TI-105 issued at now+skew", epoch + 60, epoch, 0, passes, 12*hour + 60},
		{"TI-106 issued at now+skew+1", epoch + 61, epoch, 0, goodElsewhere, 0},
		{"TI-108 2^31-1", 1<<31 - 1, 1<<31 - 1, 0, passes, 12 * hour},
		{"TI-108 2^31", 1 << 31, 1 << 31, 0, passes, 12 * hour},
		{"TI-108 over 2^31", 1<<31 - 60, 1<<31 + 60, 1 << 31, passes, 12*hour - 120},
		{"TI-108 2^32", 1 << 32, 1 << 32, 0, passes, 12 * hour},
		{"TI-109 now 2^63-1", epoch, 1<<63 - 1, epoch, dead(Invalid), 0},
		{"TI-109 now -2^63", epoch, -1 << 63, epoch, goodElsewhere, 0},
		{"TI-109 latest time of a token", cookie.MaxTime, cookie.MaxTime, 0, passes, 12 * hour},
		{"TI-112 seen ahead within skew", epoch - minute, epoch, epoch + 60, passes, 12*hour - 60},
		{"TI-112 seen ahead beyond skew", epoch - 15*minute, epoch, epoch + 61, deadHere(IdleTimeout), 0},
		{"TI-118 clock an hour back", epoch, epoch - hour, 0, goodElsewhere, 0},
		{"TI-118 and forth again", epoch, epoch + minute, 0, passes, 12*hour - 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := []string{sessionLine(t, c, someone(tt.started))}
			if tt.seen != 0 {
				lines = append(lines, touchLine(t, c, someone(0).ID, tt.seen))
			}
			d := c.Decide(ask(c, Request{}, lines...), tt.now)
			if tt.name == "TI-109 now 2^63-1" {
				// Adding the skew to such a time must not wrap into a session that is alive.
				if d.Live {
					t.Error("alive")
				}
				return
			}
			if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
				t.Fatal(diff)
			}
			if d.Live && d.ExpiresAt-tt.now != tt.expiresIn {
				t.Errorf("expires in %d s, want %d", d.ExpiresAt-tt.now, tt.expiresIn)
			}
			if d.Live && d.Seen > tt.now {
				t.Errorf("seen %d s from now", d.Seen-tt.now)
			}
		})
	}
}

func TestTimeOfAuthentication(t *testing.T) {
	c := policyOf(t, `"rules":[{"path":"/fresh","max_auth_age":"10m"}]`)
	ahead := someone(epoch + 30)
	nobody := with(epoch, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt = "", 0 })
	for _, tt := range []struct {
		name string
		s    cookie.Session
		want Reason
	}{
		{"TI-116 in the future, within skew", ahead, OK},
		{"never", nobody, Anonymous},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := c.Decide(ask(c, Request{Path: "/fresh"}, sessionLine(t, c, tt.s)), epoch); d.Reason != tt.want {
				t.Errorf("got %v, want %v", d.Reason, tt.want)
			}
		})
	}
}

func TestRefreshDoesNotExtend(t *testing.T) {
	t.Run("TI-117 refresh at absolute-1", func(t *testing.T) {
		c, b := policyOf(t, `"remember":{"idle":"90m","absolute":"2h"}`), newBrowser(t)
		s := with(epoch, func(s *cookie.Session) { s.Remember = true; s.IssuedAt = epoch + hour - 1 })
		b.values[c.Cookie.Name] = mint(t, c, s)
		_, reply := b.do(c, Request{}, Response{Status: 200}, epoch+2*hour-1)
		if reply.Reason != Renewed || len(b.lines) != 2 || !strings.Contains(b.lines[1], "; Max-Age=1;") {
			t.Fatalf("%v: %v", reply.Reason, b.lines)
		}
		if d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+2*hour); d.Reason != AbsoluteTimeout {
			t.Errorf("got %v", d.Reason)
		}
	})
}

// TestPingPong sends one person to two proxies whose clocks are three minutes apart, in turn.
func TestPingPong(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run("TI-121 two proxies 90 s off/"+mode, func(t *testing.T) {
			config := []string{`"timeouts":{"clock_skew":"3m","rotate":"5m"}`, `"cookie":{"mode":"` + mode + `"}`}
			proxies, b := [2]*Config{policyOf(t, config...), policyOf(t, config...)}, newBrowser(t)
			clock := func(i, at int64) int64 { return at + 90 - 180*(i%2) }
			b.login(proxies[0], `{"subject":"u"}`, clock(0, epoch))
			end := clock(0, epoch) + 12*hour
			touches, renewals := 0, 0
			for i := range int64(1000) {
				at := clock(i, epoch+i*7)
				d, reply := b.do(proxies[i%2], Request{}, Response{Status: 200}, at)
				if d.Reason != OK || d.ExpiresAt != end {
					t.Fatalf("request %d: %v, end moved by %d s", i, d.Reason, d.ExpiresAt-end)
				}
				switch reply.Reason {
				case Touched:
					touches++
				case Renewed:
					renewals++
				}
			}
			if touches == 0 || renewals == 0 {
				t.Errorf("%d touches, %d renewals", touches, renewals)
			}
			for i := range int64(2) {
				if d := proxies[i].Decide(ask(proxies[i], Request{}, b.line()), end); d.Live {
					t.Errorf("proxy %d: alive at the end", i)
				}
			}
		})
	}
}

// TestReplay says what a stateless filter can promise of a cookie that comes again.
func TestReplay(t *testing.T) {
	c := policyOf(t)
	t.Run("RP-122 replay after logout ends with the idle timeout", func(t *testing.T) {
		b := newBrowser(t)
		b.login(c, `{"subject":"u"}`, epoch)
		stolen := b.line()
		b.do(c, Request{Method: "POST", Path: "/logout"}, Response{}, epoch+1)
		if b.line() != "" {
			t.Fatalf("left after logout: %s", b.line())
		}
		if d := c.Decide(ask(c, Request{}, stolen), epoch+15*minute); d.Reason != IdleTimeout {
			t.Errorf("got %v", d.Reason)
		}
	})
	t.Run("RP-125 a touch that comes after logout resurrects nothing", func(t *testing.T) {
		b := newBrowser(t)
		b.login(c, `{"subject":"u"}`, epoch)
		slow := ask(c, Request{}, b.line())
		d := c.Decide(slow, epoch+2*minute)
		o := keep(c, slow, &d, epoch+2*minute)
		b.do(c, Request{Method: "POST", Path: "/logout"}, Response{}, epoch+2*minute)
		reply := c.Respond(&o, &Response{Status: 200}, epoch+2*minute+1, b.random)
		if reply.Reason != Touched {
			t.Fatalf("got %v", reply.Reason)
		}
		b.take(reply.Cookies)
		if d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+2*minute+2); d.Reason != Absent || d.Live {
			t.Errorf("got %v", d.Reason)
		}
	})
	t.Run("RP-126 a planted cookie is replaced at login", func(t *testing.T) {
		b := newBrowser(t)
		planted := someone(epoch - minute)
		b.values[c.Cookie.Name] = mint(t, c, planted)
		b.login(c, `{"subject":"victim"}`, epoch)
		if d, _ := b.do(c, Request{}, Response{Status: 200}, epoch+1); d.Session.ID == planted.ID || d.Session.Subject != "victim" {
			t.Errorf("still in the planted session: %+v", d.Session)
		}
	})
}

func TestValidPathAllocatesNothing(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/static/","session":"off"},{"path_prefix":"/","hosts":["shop.example"],"methods":["GET"],"idle":"10m"}]`)
	s := someone(epoch - 10*minute)
	asked := ask(c, Request{Path: "/page?x=1", Accept: htmlPage}, sessionLine(t, c, s), touchLine(t, c, s.ID, epoch))
	var o Origin
	subject, ok := "", true
	set := func(_, value string) { subject = value }
	got := testing.AllocsPerRun(1000, func() {
		d := c.Decide(asked, epoch+30)
		o.Forget()
		c.Keep(&o, asked, &d, epoch+30)
		ok = ok && d.Live && o.Idle()
		c.Headers(&d, epoch+30, set)
	})
	if !ok || subject != "user-42" {
		t.Fatalf("not the valid path: subject %q", subject)
	}
	if got != 0 {
		t.Errorf("%v allocations a request", got)
	}
}

func FuzzDecide(f *testing.F) {
	configs := []*Config{
		policyOf(f),
		policyOf(f, `"cookie":{"mode":"sealed"}`, `"audience":"shop"`, `"headers":{"x-session":"@this","x-user":"subject"}`),
		policyOf(f, `"report_only":true`, `"rules":[{"path_prefix":"/a","session":"optional"},{"path":"/b","session":"off"}]`),
		policyOf(f, `"rules":[{"path_prefix":"/","hosts":["shop.example"],"when":{"data.staff":[true]},"activity":"passive"},
			{"path_prefix":"/","methods":["GET"],"session":"optional"},{"path_prefix":"/x","require":{"data.role":["admin"]},"idle":"5m"}]`),
	}
	minted := make([]map[string]bool, len(configs))
	for i, c := range configs {
		minted[i] = map[string]bool{}
		s := with(epoch, func(s *cookie.Session) { s.Data = `{"staff":true,"role":["admin"]}` })
		for _, s := range []cookie.Session{s, someone(epoch - 14*minute), someone(epoch - hour)} {
			token := mint(f, c, s)
			minted[i][token] = true
			line := c.Cookie.Name + "=" + token + "; " + touchLine(f, c, s.ID, s.IssuedAt)
			f.Add("GET", "https", site, "/x?y", htmlPage, "", "", "", "", "", "", "", line, byte(i), epoch)
			f.Add("POST", "http", "SHOP.example.:443", "/login", "", "application/grpc", "websocket", "https://shop.example/z", "null", "PUT", "image", "passive", line, byte(i), epoch)
		}
	}
	f.Fuzz(func(t *testing.T, method, scheme, authority, path, accept, contentType, upgrade, referer, origin, requestMethod, dest, mode, line string, which byte, now int64) {
		i := int(which) % len(configs)
		c := configs[i]
		r := &Request{
			Method: method, Scheme: scheme, Authority: authority, Path: path, Accept: accept, ContentType: contentType,
			Upgrade: upgrade, Referer: referer, Origin: origin, RequestMethod: requestMethod, FetchDest: dest, FetchMode: mode,
			FetchSite: dest, SecPurpose: mode, Purpose: dest, Activity: mode, Jar: c.NewJar(),
		}
		for _, part := range strings.Split(line, "\n") {
			r.Jar.Add(part)
		}
		d := c.Decide(r, now)
		if d.Live {
			ours := false
			for _, token := range r.Jar.Sessions {
				ours = ours || minted[i][token]
			}
			if !ours || d.Verdict != Pass || d.Reason != OK {
				t.Fatalf("live without a cookie of ours: %+v", d)
			}
		}
		c.Headers(&d, now, func(name, value string) {
			if !d.Live && name != ReasonHeader || strings.ContainsAny(value, "\r\n\x00") {
				t.Fatalf("header %q for %+v", value, d)
			}
		})
		if d.Verdict != Pass {
			for _, h := range c.Answer(r, &d, epoch).Headers {
				if strings.ContainsAny(h[1], "\r\n\x00") {
					t.Fatalf("answer with %q", h)
				}
			}
			return
		}
		o := keep(c, r, &d, now)
		c.Respond(&o, &Response{Status: 200}, now, counting())
	})
}

// A revocation that is still to come ends nothing yet: else no login would last until then.
func TestRevocationToCome(t *testing.T) {
	c := policyOf(t, `"revoke":{"before":"2100-01-01T00:00:00Z","subjects":{"user-42":"2100-01-01T00:00:00Z"}}`)
	if d := c.Decide(ask(c, Request{}, sessionLine(t, c, someone(epoch))), epoch+1); d.Reason != OK {
		t.Errorf("got %v", d.Reason)
	}
}

// Where rules name hosts, an authority that is no plain host is held to all of them.
func TestOddHostIsHeldToEveryRule(t *testing.T) {
	c := policyOf(t, `"rules":[
		{"path_prefix":"/","hosts":["bank.example"],"require":{"data.role":["admin"]}},
		{"path_prefix":"/","session":"optional"}]`)
	line := sessionLine(t, c, someone(epoch))
	for _, tt := range []struct {
		authority string
		want      Reason
	}{
		{"bank.example", Forbidden},
		{"BANK.example:443", Forbidden},
		{"bank.example.", Forbidden},
		{"bank.example..", Forbidden},
		{"x@bank.example", Forbidden},
		{"bank.example:443:1", Forbidden},
		{"bank.example ", Forbidden},
		{"shop.example", OK},
		{"shop.example:8443", OK},
	} {
		if d := c.Decide(ask(c, Request{Authority: tt.authority, Path: "/x"}, line), epoch+1); d.Reason != tt.want {
			t.Errorf("%q: got %v, want %v", tt.authority, d.Reason, tt.want)
		}
	}
}

// The login page of another host is open there, whatever port is written.
func TestLoginHost(t *testing.T) {
	c := policyOf(t, `"login":{"url":"https://sso.example/login","start_on":[{"path":"/in"}]}`)
	for authority, want := range map[string]Verdict{"sso.example": Pass, "sso.example:443": Pass, "shop.example": Login} {
		if d := c.Decide(ask(c, Request{Authority: authority, Path: "/login"}), epoch); d.Verdict != want {
			t.Errorf("%s: got %v", authority, d.Verdict)
		}
	}
}

// A deletion that a cache served would log out whoever meets it.
func TestEndFromACache(t *testing.T) {
	c := policyOf(t)
	reply := c.Respond(&Origin{Live: true}, &Response{Status: 200, Age: "10", Commands: []string{`{"end":true}`}}, epoch, counting())
	if reply.Reason != BadCommand || reply.Fault != FaultStored || reply.Cookies != nil {
		t.Errorf("got %+v", reply)
	}
}

// TestShortIdleOfItsOwn: whoever comes more often than half of a session's own idle timeout is never
// logged out, whatever the seconds are and whichever proxy answers; whoever stays away is.
func TestShortIdleOfItsOwn(t *testing.T) {
	random := rand.New(rand.NewSource(4))
	for _, idle := range []int64{2, 3, 4, 5, 7, 10, 30, 59, 60, 61, 90, 119, 120, 121, 300} {
		t.Run(strconv.FormatInt(idle, 10), func(t *testing.T) {
			for round := range 20 {
				start := epoch + random.Int63n(1000)
				proxies, b := [3]*Config{policyOf(t), policyOf(t), policyOf(t)}, newBrowser(t)
				idleJSON := strconv.FormatInt(idle, 10) + "s"
				b.login(proxies[0], `{"subject":"u","idle":"`+idleJSON+`"}`, start)
				if round%2 == 1 {
					b.login(proxies[0], `{"subject":"u"}`, start)
					b.do(proxies[1], Request{}, Response{Status: 200, Commands: []string{`{"expire_in":"` + idleJSON + `"}`}}, start)
				}
				at, last := start, start
				for at < start+6*idle+200 {
					step := random.Int63n((idle+1)/2) + 1 // up to half of idle
					if at+step-last > idle/2 {
						step = max(idle/2, 1)
					}
					at += step
					d, _ := b.do(proxies[random.Intn(3)], Request{}, Response{Status: 200}, at)
					if d.Reason != OK {
						t.Fatalf("came %d s after the last time, idle is %d s: %v", at-last, idle, d.Reason)
					}
					last = at
				}
				if d := proxies[0].Decide(ask(proxies[0], Request{}, b.line()), last+idle); d.Reason != IdleTimeout {
					t.Fatalf("away for %d s: %v", idle, d.Reason)
				}
			}
		})
	}
}

// TestAnyPaceKeepsAlive takes every even pace below half of the idle timeout, and every second of the
// clock to begin at.
func TestAnyPaceKeepsAlive(t *testing.T) {
	c := policyOf(t)
	for _, idle := range []int64{2, 3, 5, 8, 13, 21, 40} {
		for pace := int64(1); pace <= idle/2; pace++ {
			for start := epoch; start < epoch+idle; start++ {
				b := newBrowser(t)
				b.login(c, `{"subject":"u","idle":"`+strconv.FormatInt(idle, 10)+`s"}`, start)
				for at := start + pace; at < start+4*idle; at += pace {
					if d, _ := b.do(c, Request{}, Response{Status: 200}, at); d.Reason != OK {
						t.Fatalf("idle %d, every %d s from second %d: %v after %d s", idle, pace, start-epoch, d.Reason, at-start)
					}
				}
			}
		}
	}
}

// TestSlotIsOneForAll: sessions with and without a timeout of their own write few, equal touches.
func TestSlotIsOneForAll(t *testing.T) {
	c := policyOf(t)
	for _, tt := range []struct{ idle, interval int64 }{{0, 60}, {120, 60}, {3600, 60}, {119, 59}, {60, 30}, {10, 5}, {3, 1}, {2, 1}, {1, 1}} {
		s := with(epoch, func(s *cookie.Session) { s.Idle = tt.idle })
		slots := map[int64]bool{}
		for at := epoch; at < epoch+600; at++ {
			slot := c.slot(&s, at)
			if slot > at || at-slot >= tt.interval {
				t.Fatalf("idle %d: %d is in the slot of %d", tt.idle, at, slot)
			}
			slots[slot] = true
		}
		if n := int64(len(slots)); n > 600/tt.interval+1 {
			t.Errorf("idle %d: %d slots in ten minutes", tt.idle, n)
		}
	}
}

// TestAnonymousIsNobody: a live session that nobody logged in to is good where none is needed.
func TestAnonymousIsNobody(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/open","session":"optional"},{"path_prefix":"/fresh","max_auth_age":"5m"},{"path_prefix":"/admin","require":{"data.role":["admin"]}}]`)
	s := with(epoch-5*minute, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"role":"admin"}` })
	line := sessionLine(t, c, s)
	live := outcome{OK, Pass, true, false}
	hidden := outcome{Anonymous, Login, false, false}
	for _, tt := range []struct {
		path string
		want outcome
	}{{"/open", live}, {"/login", live}, {"/.session/status", outcome{Anonymous, Serve, true, false}}, {"/page", hidden}, {"/fresh", hidden}, {"/admin", hidden}, {"/open;x", hidden}} {
		d := c.Decide(ask(c, Request{Path: tt.path}, line), epoch)
		if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
		if tt.want == hidden && (d.TouchAt != 0 || d.Renew || d.Slid) {
			t.Errorf("%s: being sent to the login page counts as activity: %+v", tt.path, d)
		}
	}
	dead := c.Decide(ask(c, Request{}, line), epoch+10*minute)
	if diff := cmp.Diff(dead.Reason, IdleTimeout); diff != "" {
		t.Error(diff)
	}
}
