package policy

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// TestLateTouch: a slow response never takes back the activity that a later request has noted.
func TestLateTouch(t *testing.T) {
	const longIdle = `"timeouts":{"idle":"30m"}`
	for _, tt := range []struct {
		name string
		age  int64 // of the session
		want []string
	}{
		{"touch", 5 * minute, []string{seen}},
		{"renewal", 2 * hour, []string{seen, renewal}},
	} {
		for _, took := range []int64{0, 1, 59, minute, 11 * minute, 29 * minute} {
			t.Run(fmt.Sprint(tt.name, " after ", took), func(t *testing.T) {
				c, b := policyOf(t, longIdle), newBrowser(t)
				s := someone(epoch - tt.age)
				b.values[c.Cookie.Name] = mint(t, c, s)
				b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, s.ID, epoch-minute)
				answer := b.slow(c, Request{}, epoch)
				for at := epoch + minute; at < epoch+took; at += minute {
					b.do(c, Request{}, app(""), at)
				}
				before := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), epoch+took)
				reply := answer(app(""), epoch+took)
				after := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), epoch+took)
				if diff := cmp.Diff(tt.want, kinds(reply.Cookies)); diff != "" {
					t.Error(diff)
				}
				if after.Reason != OK || after.Seen < before.Seen || after.Seen > epoch+took || after.Seen <= epoch+took-minute {
					t.Errorf("%v, seen %d s after the start, before that %d", after.Reason, after.Seen-epoch, before.Seen-epoch)
				}
			})
		}
	}
}

// TestLateTouchIsOneForAll: what parallel requests write at one time is the same, whenever they came.
func TestLateTouchIsOneForAll(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u","remember":true}`, epoch)
	var answers []func(Response, int64) Reply
	for i := range int64(10) {
		answers = append(answers, b.slow(c, Request{}, epoch+minute+i*7))
	}
	written := map[string]bool{}
	for i, answer := range answers {
		written[strings.Join(answer(app(""), epoch+5*minute+int64(i)).Cookies, "\n")] = true
	}
	if len(written) != 1 {
		t.Errorf("%d different: %v", len(written), written)
	}
}

// TestNothingAfterTheEnd: a session that ended while the app was busy is not written again.
func TestNothingAfterTheEnd(t *testing.T) {
	wrapping := []string{`"cookie":{"mode":"sealed"}`, `"wrap":["sid"]`, `"rules":[{"path":"/short","idle":"2m","absolute":"4h"},{"path_prefix":"/","session":"optional"}]`}
	for _, tt := range []struct {
		name    string
		s       cookie.Session
		r       Request
		end     int64 // after the request
		answer  Response
		reason  Reason
		renewal bool
	}{
		{"idle, touch", someone(epoch - 5*minute), Request{}, 15 * minute, app(""), Touched, false},
		{"idle, renewal", someone(epoch - 2*hour), Request{}, 15 * minute, app(""), Renewed, true},
		{"idle, passive", someone(epoch - 5*minute), Request{Activity: "passive"}, 14 * minute, app(""), OK, false},
		{"a rule's idle is no end", someone(epoch - 5*minute), Request{Path: "/short"}, 15 * minute, app(""), Touched, false},
		{"own idle", with(epoch-minute, func(s *cookie.Session) { s.Idle = 5 * minute }), Request{}, 5 * minute, app(""), Touched, false},
		{"absolute, touch", with(epoch-minute, func(s *cookie.Session) { s.Absolute = 3 * minute }), Request{}, 2 * minute, app(""), Touched, false},
		{"absolute, renewal", someone(epoch - 12*hour + 2*minute), Request{}, 2 * minute, app(""), Renewed, true},
		{"the app's own cookie, touch", loggedInUntil(epoch-5*minute, epoch+minute), Request{}, minute, app(""), Touched, false},
		{"idle, the expiry of the app's own cookie moves", loggedInUntil(epoch-5*minute, epoch+3*hour), Request{}, 15 * minute, Response{Status: 200, SetCookies: []string{"sid=s1; Path=/; Max-Age=3600"}}, Renewed, true},
		{"too large", someone(epoch - 5*minute), Request{}, 15 * minute, tooMuch(), TooLarge, true},
	} {
		for _, late := range []int64{-1, 0, hour} {
			t.Run(fmt.Sprint(tt.name, late), func(t *testing.T) {
				c, b := policyOf(t, wrapping...), newBrowser(t)
				b.values[c.Cookie.Name] = mint(t, c, tt.s)
				b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, tt.s.ID, epoch-minute)
				reply := b.slow(c, tt.r, epoch)(tt.answer, epoch+tt.end+late)
				if late >= 0 {
					if len(reply.Cookies) != 0 || reply.Reason != OK && reply.Reason != TooLarge {
						t.Errorf("%v: %v", reply.Reason, kinds(reply.Cookies))
					}
					if _, reason := b.sees(c, epoch+tt.end+late); reason == OK {
						t.Error("the session is back")
					}
					return
				}
				if reply.Reason != tt.reason || slices.Contains(kinds(reply.Cookies), renewal) != tt.renewal || slices.Contains(kinds(reply.Cookies), seen) != (tt.r.Activity == "") {
					t.Errorf("a second before the end: %v: %v", reply.Reason, kinds(reply.Cookies))
				}
			})
		}
	}
}

// TestSetAfterTheEnd: what an app says of a session that ended meanwhile is written, and does not bring it back.
func TestSetAfterTheEnd(t *testing.T) {
	c := policyOf(t)
	for _, command := range []string{`{"set":{"a":1}}`, `{"expire_in":"browser"}`, `{"rotate":true}`} {
		for late, want := range map[int64]Reason{-1: OK, 0: IdleTimeout, 5 * minute: IdleTimeout} {
			b := newBrowser(t)
			b.login(c, `{"subject":"u"}`, epoch-5*minute)
			reply := b.slow(c, Request{}, epoch)(app(command), epoch+15*minute+late)
			if touches := slices.Contains(kinds(reply.Cookies), seen); touches != (late < 0 && reply.Reason == Changed) {
				t.Errorf("%s %d s after the end: %v", command, late, kinds(reply.Cookies))
			}
			if _, reason := b.sees(c, epoch+15*minute+late); reason != want {
				t.Errorf("%s %d s after the end: %v", command, late, reason)
			}
		}
	}
}

// TestPromptDeletion: only a response that comes at once deletes what is dead; a slow one could delete what
// a login has written since.
func TestPromptDeletion(t *testing.T) {
	c := policyOf(t, `"django_messages":{"secret_env":"DJANGO"}`, `"rules":[{"path_prefix":"/open","session":"optional"}]`)
	for took, want := range map[int64]bool{-5: true, 0: true, 1: true, 2: false, minute: false, hour: false} {
		for name, token := range map[string]string{"dead": mint(t, c, someone(epoch-hour)), "invalid": "x"} {
			b := newBrowser(t)
			b.values[c.Cookie.Name], b.values[c.Cookie.Name+cookie.TouchSuffix] = token, "x"
			answer := b.slow(c, Request{Path: "/open"}, epoch)
			if took > 0 {
				b.login(c, `{"subject":"u"}`, epoch)
			}
			reply := answer(app(""), epoch+took)
			if got := len(reply.Cookies) > 0; got != want {
				t.Errorf("%s after %d s: %v", name, took, reply.Cookies)
			}
			if _, reason := b.sees(c, epoch+max(took, 0)); took > 1 && reason != OK && took < 15*minute {
				t.Errorf("%s: after %d s the login is gone: %v", name, took, reason)
			}
		}
	}
}

// TestReportedLogout: under report_only a logout is the app's to answer, and the session ends however long that
// takes.
func TestReportedLogout(t *testing.T) {
	c := policyOf(t, `"report_only":true`)
	for _, took := range []int64{0, 2, hour} {
		b := newBrowser(t)
		b.login(c, `{"subject":"u"}`, epoch)
		reply := b.slow(c, Request{Method: "POST", Path: "/logout"}, epoch)(Response{Status: 303}, epoch+took)
		if diff := cmp.Diff([]string{noSeen, noSession}, kinds(reply.Cookies)); diff != "" || b.line() != "" {
			t.Errorf("after %d s: %s", took, diff)
		}
	}
}

// TestExpiryMovesWithEachResponse: an app whose cookie gets a new expiry with each response, as Django's
// SESSION_SAVE_EVERY_REQUEST does, keeps whoever is active logged in, and nobody else.
func TestExpiryMovesWithEachResponse(t *testing.T) {
	for _, pace := range []int64{20, minute, 2 * minute, 7 * minute, 14 * minute} {
		c, b := wrapPolicy(t), newBrowser(t)
		moved := Response{Status: 200, SetCookies: []string{"sid=a; Path=/; Max-Age=3600"}}
		b.do(c, loginPost, Response{Status: 302, Location: "/", SetCookies: moved.SetCookies}, epoch)
		at, done := epoch+pace, map[Reason]int{}
		for ; at < epoch+3*hour; at += pace {
			d, reply := b.do(c, pageGet, moved, at)
			if d.Reason != OK {
				t.Fatalf("every %d s: after %d s: %v", pace, at-epoch, d.Reason)
			}
			done[reply.Reason]++
		}
		if done[Changed] > 0 || done[Renewed] < 10 || pace < minute && done[Renewed] > 180 {
			t.Errorf("every %d s: %v", pace, done)
		}
		at -= pace
		stored := moved
		stored.CacheControl = "max-age=60" // for which the app's own cookie was set, too
		if _, reply := b.do(c, Request{Path: "/poll"}, stored, at+2*minute); reply.Reason != Renewed {
			t.Errorf("every %d s: on a response that may be kept: %v", pace, reply.Reason)
		}
		for poll := at; poll < at+15*minute; poll += minute {
			b.do(c, Request{Path: "/poll"}, moved, poll)
		}
		if _, reason := b.sees(c, at+15*minute); reason != IdleTimeout {
			t.Errorf("every %d s: polls keep it alive: %v", pace, reason)
		}
	}
}

// life is one person's requests and their answers, which come in any order.
type life struct {
	t      *testing.T
	c      *Config
	b      *browser
	random *rand.Rand
	flying []flight
	done   map[Reason]int
	n      int
	last   int64 // when the last answer to a person came
}

type flight struct {
	answer func(Response, int64) Reply
	active bool
	due    int64
}

const slowest = 7 * minute // that an app answers

// land brings what is due by then.
func (l *life) land(until int64) {
	slices.SortFunc(l.flying, func(a, b flight) int { return int(a.due - b.due) })
	for len(l.flying) > 0 && l.flying[0].due <= until {
		f := l.flying[0]
		l.flying = l.flying[1:]
		reply := f.answer(l.answer(f.active), f.due)
		if reply.Reason == BadCommand {
			l.t.Fatal(reply.Fault)
		}
		l.done[reply.Reason]++
		if f.active {
			l.last = f.due
		}
	}
}

// answer is what an app says.
func (l *life) answer(active bool) Response {
	l.n++
	switch l.random.Intn(8) {
	case 0:
		return app(fmt.Sprintf(`{"set":{"n":%d}}`, l.n))
	case 1:
		return app(fmt.Sprintf(`{"remember":%v}`, l.n%2 == 0))
	case 2:
		return tooMuch()
	case 3:
		return Response{Status: 200, SetCookies: []string{fmt.Sprintf("tok=t; Path=/; Max-Age=%d", 3600+l.random.Intn(3600))}}
	}
	return app("")
}

// ask sends a request that is answered at most so much later.
func (l *life) ask(at int64, active bool) {
	l.t.Helper()
	l.land(at)
	r := Request{Path: "/page"}
	if !active {
		r.Activity = "passive"
	}
	asked := ask(l.c, r, l.b.line())
	d := l.c.Decide(asked, at)
	if d.Reason != OK {
		l.t.Fatalf("a request after %d s meets %v: seen after %d s", at-epoch, d.Reason, d.Seen-epoch)
	}
	o := keep(l.c, asked, &d, at)
	due := at
	if l.random.Intn(3) > 0 {
		due += l.random.Int63n(slowest + 1)
	}
	l.flying = append(l.flying, flight{func(response Response, at int64) Reply {
		reply := l.c.Respond(&o, &response, at, l.b.random)
		l.b.take(reply.Cookies)
		return reply
	}, active, due})
}

// TestIdleInAnyOrder: whoever is active at least every half of idle, less what activity is rounded by, is
// never taken for idle, in whatever order answers come that take as long as that at most; and who is not,
// is so at last, whatever polls and late answers write.
func TestIdleInAnyOrder(t *testing.T) {
	c := policyOf(t, `"cookie":{"mode":"sealed"}`, `"wrap":["tok"]`, `"remember":{"idle":"15m","absolute":"12h"}`, `"timeouts":{"rotate":"9m"}`,
		`"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch+hour)+`]`)
	done := map[Reason]int{}
	for seed := range int64(150) {
		l := &life{t: t, c: c, b: newBrowser(t), random: rand.New(rand.NewSource(seed)), done: done}
		l.b.login(c, `{"subject":"u"}`, epoch)
		at := epoch
		for at < epoch+4*hour {
			next := at + l.random.Int63n(slowest+1)
			for range l.random.Intn(3) {
				if poll := at + l.random.Int63n(next-at+1); poll > at {
					l.ask(poll, false)
					at = poll
				}
			}
			at = next
			l.ask(at, true)
		}
		// Now nobody is there but polls, whose answers come late, too.
		for poll := at + 1; poll < at+8*minute; poll += 45 {
			l.ask(poll, false)
		}
		l.land(at + hour)
		if _, reason := l.b.sees(c, max(at, l.last)+15*minute); reason != IdleTimeout {
			t.Fatalf("seed %d: %v after the last answer and idle", seed, reason)
		}
	}
	for _, reason := range []Reason{OK, Touched, Renewed, Changed, TooLarge} {
		if done[reason] < 1000 {
			t.Errorf("%v came %d times", reason, done[reason])
		}
	}
}

// A new id that comes late counts activity from then: touches of the old one mean nothing to it.
func TestLateRotation(t *testing.T) {
	c := policyOf(t)
	b := newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	asked := ask(c, Request{Path: "/page"}, b.line())
	d := c.Decide(asked, epoch+minute)
	o := keep(c, asked, &d, epoch+minute)
	b.do(c, Request{Path: "/page"}, app(""), epoch+6*minute)
	response := app(`{"rotate":true}`)
	reply := c.Respond(&o, &response, epoch+7*minute, b.random)
	if reply.Reason != Rotated {
		t.Fatalf("got %v", reply.Reason)
	}
	b.take(reply.Cookies)
	if d, _ := b.do(c, Request{Path: "/page"}, app(""), epoch+21*minute); d.Reason != OK {
		t.Errorf("14 minutes after the answer: %v", d.Reason)
	}
}
