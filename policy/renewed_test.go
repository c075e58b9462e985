package policy

import (
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// slow sends a request, and returns what brings the app's answer.
func (b *browser) slow(c *Config, r Request, at int64) func(response Response, at int64) Reply {
	b.t.Helper()
	asked := ask(c, r, b.line())
	d := c.Decide(asked, at)
	if d.Verdict != Pass {
		b.t.Fatalf("%s does not reach the app: %v", asked.Path, d.Reason)
	}
	o := keep(c, asked, &d, at)
	return func(response Response, at int64) Reply {
		reply := c.Respond(&o, &response, at, b.random)
		b.take(reply.Cookies)
		return reply
	}
}

// holding gives a browser a session whose renewal is due, and which was seen a minute ago.
func holding(t testing.TB, c *Config, change func(*cookie.Session)) *browser {
	t.Helper()
	b, s := newBrowser(t), with(epoch-2*hour, change)
	b.values[c.Cookie.Name] = mint(t, c, s)
	b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, s.ID, epoch-minute)
	return b
}

// renewal is the token in the renewal cookie; "" without one.
func (b *browser) renewal(c *Config) string {
	return renewalToken(b.values[c.Cookie.Name+cookie.RenewedSuffix])
}

// renewalToken takes from the value of a session or renewal cookie what is no token: the token it renews.
func renewalToken(value string) string {
	if bound, token, _ := strings.Cut(value, "."); strings.Count(value, ".") == 3 && len(bound) == cookie.BoundSize {
		return token
	}
	return value
}

// sees is the session that the app sees, or why it sees none.
func (b *browser) sees(c *Config, at int64) (cookie.Session, Reason) {
	d := c.Decide(ask(c, Request{Activity: "passive"}, b.line()), at)
	d.Session.Detach(nil)
	return d.Session, d.Reason
}

func app(command string) Response {
	if command == "" {
		return Response{Status: 200}
	}
	return Response{Status: 200, Commands: []string{command}}
}

// TestWhichRenewalCounts: a renewal counts beside the very token that it renews, be that under a key that is
// gone. Data tells here which of them the app sees.
func TestWhichRenewalCounts(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		old := policyOf(t, `"cookie":{"mode":"`+mode+`"}`, `"keys":[`+keyJSON("a", 0)+`]`)
		c := policyOf(t, `"cookie":{"mode":"`+mode+`"}`, `"keys":[`+keyJSON("b", 0)+`]`)
		token := func(of *Config, data string, revision uint32, issued int64, id byte) string {
			return mint(t, of, with(epoch-5*minute, func(s *cookie.Session) {
				s.Data, s.Revision, s.IssuedAt, s.ID[0] = `{"v":"`+data+`"}`, revision, epoch+issued, id
			}))
		}
		own := token(c, "own", 3, -100, 1)
		gone := token(old, "gone", 3, -100, 1)
		newer := token(c, "newer", 3, -50, 1)
		of := func(session, renewal string) string { return cookie.BoundTo(session) + "." + renewal }
		another, planted := token(c, "another", 9, -10, 2), token(c, "planted", 9, -10, 3)
		dead := mint(t, c, with(epoch-hour, func(s *cookie.Session) { s.ID[0], s.Data = 1, `{"v":"dead"}` }))
		for _, tt := range []struct {
			name              string
			sessions, renewed []string
			want              string // of data; "" is nobody
			reason            Reason
		}{
			{"none", []string{own}, nil, "own", OK},
			{"renewed", []string{own}, []string{of(own, newer)}, "newer", OK},
			{"late: of a token before", []string{own}, []string{of(gone, newer)}, "own", OK},
			{"of no token", []string{own}, []string{newer}, "own", OK},
			{"of an empty token", []string{own}, []string{"." + newer}, "own", OK},
			{"of less of the token", []string{own}, []string{own[len(own)-15:] + "." + newer}, "own", OK},
			{"of more of the token", []string{own}, []string{own[len(own)-17:] + "." + newer}, "own", OK},
			{"of this token, with another's session", []string{own}, []string{of(own, another)}, "own", OK},
			{"left over from another session", []string{own}, []string{of(another, another)}, "own", OK},
			{"left over, and one that counts", []string{own}, []string{of(another, another), of(own, newer)}, "newer", OK},
			{"noise", []string{own}, []string{"x"}, "own", OK},
			{"bound noise", []string{own}, []string{of(own, "x")}, "own", OK},
			{"empty", []string{own}, []string{""}, "own", OK},
			{"under a key that is gone", []string{own}, []string{of(own, token(old, "gone", 3, -1, 1))}, "own", OK},
			{"alone", nil, []string{of(own, newer)}, "", Absent},
			{"alone, two", nil, []string{of(own, newer), of(own, another)}, "", Absent},
			{"session under a key that is gone", []string{gone}, []string{of(gone, newer)}, "newer", OK},
			{"the same, and somebody's before", []string{gone}, []string{of(another, another)}, "", Invalid},
			{"session that is noise", []string{"x"}, []string{"x." + newer}, "", Invalid},
			{"session of which nothing is left", []string{""}, []string{"." + newer}, "", Invalid},
			{"both gone", []string{gone}, []string{of(gone, token(old, "gone", 3, -1, 1))}, "", Invalid},
			{"gone, then noise and a good one", []string{gone}, []string{"x", of(gone, newer)}, "newer", OK},
			{"gone and good", []string{gone, own}, []string{of(own, newer)}, "newer", OK},
			{"gone and good, the gone one's renewal", []string{gone, own}, []string{of(gone, newer)}, "own", OK},
			{"gone and gone", []string{gone, token(old, "gone", 4, -100, 1)}, []string{of(gone, newer)}, "", Invalid},
			{"two different sessions, of one a renewal", []string{own, planted}, []string{of(own, newer)}, "", Invalid},
			{"dead, but renewed", []string{dead}, []string{of(dead, newer)}, "newer", OK},
			{"dead, another's renewal", []string{dead}, []string{of(dead, another)}, "dead", IdleTimeout},
			{"nine", []string{own}, []string{"1", "2", "3", "4", "5", "6", "7", "8", of(own, newer)}, "", Invalid},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				var pairs []string
				for _, v := range tt.sessions {
					pairs = append(pairs, c.Cookie.Name+"="+v)
				}
				for _, v := range tt.renewed {
					pairs = append(pairs, c.Cookie.Name+cookie.RenewedSuffix+"="+v)
				}
				check := func(pairs []string) {
					t.Helper()
					d := c.Decide(ask(c, Request{}, strings.Join(pairs, "; ")), epoch)
					want := ""
					if tt.want != "" {
						want = `{"v":"` + tt.want + `"}`
					}
					if d.Reason != tt.reason || d.Session.Data != want || d.Live != (tt.reason == OK) {
						t.Errorf("%v, %s; want %v, %s", d.Reason, d.Session.Data, tt.reason, want)
					}
				}
				check(pairs)
				slices.Reverse(pairs)
				check(pairs)
			})
		}
	}
}

// TestLateRenewal: a renewal that comes late undoes nothing that was written while it was under way, and
// brings nothing back that has ended.
func TestLateRenewal(t *testing.T) {
	login := Request{Method: "POST", Path: "/login"}
	for _, tt := range []struct {
		name   string
		r      Request // meanwhile
		answer Response
		reason Reason // of what the app sees afterwards
		same   bool   // the id
		data   string
		kinds  []string // of the next set
	}{
		{"nothing", Request{}, app(""), OK, true, `{"a":1}`, []string{session, noRenewal}},
		{"set", Request{}, app(`{"set":{"a":2}}`), OK, true, `{"a":2}`, []string{session, noRenewal}},
		{"remember", Request{}, app(`{"remember":true}`), OK, true, `{"a":1}`, []string{session, noRenewal}},
		{"rotate", Request{}, app(`{"rotate":true}`), OK, false, `{"a":1}`, []string{session, noRenewal}},
		{"login", login, app(`{"start":{"subject":"v","data":{"a":3}}}`), OK, false, `{"a":3}`, []string{session, noRenewal}},
		{"logout", Request{Method: "POST", Path: "/logout"}, app(""), Absent, false, "", nil},
		{"end", Request{}, app(`{"end":true}`), Absent, false, "", nil},
		{"too large", Request{}, tooMuch(), OK, true, `{"a":1}`, []string{session, noRenewal}},
	} {
		for _, late := range []int64{0, 1, 2, 5 * minute, 14 * minute} {
			t.Run(tt.name, func(t *testing.T) {
				c := policyOf(t)
				b := holding(t, c, func(s *cookie.Session) { s.Data = `{"a":1}` })
				before, _ := b.sees(c, epoch)
				answer := b.slow(c, Request{}, epoch)
				b.do(c, tt.r, tt.answer, epoch)
				wrote, _ := b.sees(c, epoch)

				reply := answer(app(""), epoch+late)
				if diff := cmp.Diff([]string{seen, renewal}, kinds(reply.Cookies)); reply.Reason != Renewed || diff != "" {
					t.Fatalf("%v %s", reply.Reason, diff)
				}
				if got := written(t, c, &reply, epoch+late); got.IssuedAt != epoch+late || got.ID != before.ID || got.Revision != before.Revision || got.Data != before.Data {
					t.Errorf("renewed to %+v", got)
				}
				got, reason := b.sees(c, epoch+late)
				if reason != tt.reason || got.Data != tt.data || (got.ID == before.ID) != tt.same {
					t.Fatalf("%v: %+v", reason, got)
				}
				if got.Remember != wrote.Remember || got.Revision != wrote.Revision || got.Subject != wrote.Subject {
					t.Errorf("%+v became %+v", wrote, got)
				}
				if tt.kinds == nil {
					return
				}
				_, reply = b.do(c, Request{Activity: "passive"}, app(`{"set":{"b":1}}`), epoch+late)
				if diff := cmp.Diff(tt.kinds, kinds(reply.Cookies)); reply.Reason != Changed || b.renewal(c) != "" || diff != "" {
					t.Errorf("the next set: %v %s", reply.Reason, diff)
				}
				if after, _ := b.sees(c, epoch+late); after.Revision != got.Revision+1 || after.ID != got.ID {
					t.Errorf("%+v became %+v", got, after)
				}
			})
		}
	}
}

// TestLateSet: what was read from a renewal is changed like the session itself, and outranks it, even if
// the renewal that is deleted with it comes again, later.
func TestLateSet(t *testing.T) {
	c := policyOf(t)
	b := holding(t, c, func(s *cookie.Session) { s.Data = `{"a":1}` })
	set, renew := b.slow(c, Request{}, epoch), b.slow(c, Request{}, epoch)
	b.do(c, Request{}, app(""), epoch)
	if b.renewal(c) == "" {
		t.Fatal("nothing was renewed")
	}
	// The request of the set knew of no renewal: it cannot delete it, but it counts for more.
	reply := set(app(`{"set":{"a":2}}`), epoch+minute)
	if got, _ := b.sees(c, epoch+minute); reply.Reason != Changed || got.Data != `{"a":2}` || got.Revision != 1 {
		t.Errorf("%v: %+v", reply.Reason, got)
	}
	renew(app(""), epoch+2*minute)
	if got, _ := b.sees(c, epoch+2*minute); got.Data != `{"a":2}` {
		t.Errorf("undone: %+v", got)
	}
}

// TestRenewalUnderANewKey: from the change of keys on, the session lives in its renewal alone.
func TestRenewalUnderANewKey(t *testing.T) {
	c := policyOf(t)
	mid := policyOf(t, `"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch)+`]`)
	after := policyOf(t, `"keys":[`+keyJSON("b", 0)+`]`)
	both := policyOf(t, `"keys":[`+keyJSON("b", 0)+","+keyJSON("c", epoch+10*minute)+`]`)
	b := holding(t, c, func(s *cookie.Session) { s.Data, s.IssuedAt = `{"a":1}`, epoch-5*minute })
	if _, reply := b.do(mid, Request{}, app(""), epoch); reply.Reason != Renewed {
		t.Fatal(reply.Reason)
	}
	first := b.values[c.Cookie.Name]
	slow := b.slow(mid, Request{}, epoch)
	if got, reason := b.sees(after, epoch+minute); reason != OK || got.Data != `{"a":1}` || got.ID != someone(0).ID {
		t.Fatalf("%v %+v", reason, got)
	}
	if _, reply := b.do(both, Request{}, app(""), epoch+10*minute); reply.Reason != Renewed || b.values[c.Cookie.Name] != first {
		t.Errorf("renewed once more: %v", reply.Reason)
	}
	if got, reason := b.sees(both, epoch+10*minute); reason != OK || got.Data != `{"a":1}` {
		t.Errorf("%v %+v", reason, got)
	}
	_, reply := b.do(both, Request{Activity: "passive"}, app(`{"set":{"a":2}}`), epoch+11*minute)
	if diff := cmp.Diff([]string{session, noRenewal}, kinds(reply.Cookies)); diff != "" || b.values[c.Cookie.Name] == first {
		t.Errorf("%v %s", reply.Reason, diff)
	}
	slow(app(`{"set":{"big":"`+strings.Repeat("x", 4000)+`"}}`), epoch+12*minute)
	if got, reason := b.sees(both, epoch+12*minute); reason != OK || got.Data != `{"a":2}` || got.Refused {
		t.Errorf("%v %+v", reason, got)
	}
	// Logged out: the renewal alone is nothing, under whatever key.
	b.do(both, Request{Method: "POST", Path: "/logout"}, app(""), epoch+12*minute)
	if b.line() != "" {
		t.Errorf("the logout leaves %s", b.line())
	}
}

// TestWhatDeletesARenewal: every write of the session, and every end of it, where there is one.
func TestWhatDeletesARenewal(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/open","session":"optional"},{"path_prefix":"/brief","session":"optional","idle":"2m"}]`)
	post := func(path string) Request { return Request{Method: "POST", Path: path} }
	for _, tt := range []struct {
		name    string
		age     int64
		r       Request
		command string
		want    []string // without the renewal's deletion, which comes first or is the second
	}{
		{"nothing due", 0, Request{}, "", nil},
		{"touch", minute, Request{}, "", []string{seen}},
		{"set", 0, Request{}, `{"set":{"a":2}}`, []string{session}},
		{"set of nothing", 0, Request{}, `{"set":{}}`, nil},
		{"rotate", 0, Request{}, `{"rotate":true}`, []string{session}},
		{"start", 0, post("/login"), `{"start":{"subject":"v"}}`, []string{session}},
		{"end", 0, Request{}, `{"end":true}`, []string{noSeen, noSession}},
		{"logout", 0, post("/logout"), "", []string{noSeen, noSession}},
		{"dead, on its own path", hour, Request{}, "", []string{noSeen, noSession}},
		{"dead, where none is needed", hour, Request{Path: "/open"}, "", []string{noSeen, noSession}},
		{"dead, logout", hour, post("/logout"), "", []string{noSeen, noSession}},
		{"dead, start", hour, post("/login"), `{"start":{"subject":"v"}}`, []string{session}},
		{"hidden by a rule", 5 * minute, Request{Path: "/brief"}, "", nil},
		{"bad command", 0, Request{}, `{"x":1}`, nil},
	} {
		for _, had := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				b, s := newBrowser(t), someone(epoch-tt.age)
				b.values[c.Cookie.Name] = mint(t, c, s)
				want := slices.Clone(tt.want)
				if had {
					b.values[c.Cookie.Name+cookie.RenewedSuffix] = mint(t, c, s)
					switch {
					case len(want) == 2:
						want = slices.Insert(want, 0, noRenewal)
					case len(want) == 1 && want[0] == session:
						want = append(want, noRenewal)
					}
				}
				b.do(c, tt.r, app(tt.command), epoch)
				if diff := cmp.Diff(want, kinds(b.lines)); diff != "" {
					t.Error(diff)
				}
				for _, line := range b.lines {
					if strings.Contains(line, "=; ") && !strings.HasSuffix(line, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax") {
						t.Errorf("deleted by %q", line)
					}
				}
			})
		}
	}
}

// TestRenewedNeverReachesTheApp: no path and no state lets the app see it.
func TestRenewedNeverReachesTheApp(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/off","session":"off"},{"path_prefix":"/","session":"optional"}]`)
	own := sessionLine(t, c, someone(epoch))
	renewed := c.Cookie.Name + cookie.RenewedSuffix + "=" + mint(t, c, someone(epoch))
	for _, path := range []string{"/", "/off", "/login", "/a;b"} {
		for _, line := range []string{renewed, own + "; " + renewed, renewed + "; " + own, "x=1; " + renewed + "; y=2", c.Cookie.Name + "-renewed=x"} {
			asked := ask(c, Request{Path: path}, line)
			c.Decide(asked, epoch)
			if got := asked.Jar.Lines[0]; strings.Contains(got, "renewed") || !asked.Jar.Cut {
				t.Errorf("%s with %.30s: %q", path, line, got)
			}
		}
	}
	for line, want := range map[string]bool{
		"__Host-session-renewed=x": true, " __Host-session-renewed =x; Path=/": true, "__Host-session=x": true, "__Host-session-seen=x": true,
		"__Host-session-renewed2=x": false, "__Host-session-renewe=x": false, "__Host-session-=x": false, "renewed=x": false, "-renewed=x": false,
	} {
		if c.SetsOurs(line) != want {
			t.Errorf("%q sets ours: %v", line, !want)
		}
	}
}

// TestFullestSession: what fits into the session cookie can be renewed, and can tell that something more
// did not fit.
func TestFullestSession(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			c := policyOf(t, `"cookie":{"mode":"`+mode+`"}`)
			start := func(size int) (*browser, Reply) {
				b := newBrowser(t)
				_, reply := b.do(c, Request{Method: "POST", Path: "/login"}, app(`{"start":{"subject":"u","idle":"2h","data":{"a":"`+strings.Repeat("x", size)+`"}}}`), epoch)
				return b, reply
			}
			low, high := 1000, 4000 // fits, does not
			for low+1 < high {
				mid := (low + high) / 2
				if _, reply := start(mid); reply.Fault == "" {
					low = mid
				} else {
					high = mid
				}
			}
			b, _ := start(low)
			for i, response := range []Response{tooMuch(), app("")} {
				_, reply := b.do(c, Request{}, response, epoch+int64(i+1)*hour)
				if b.renewal(c) == "" || i == 1 && reply.Reason != Renewed {
					t.Fatalf("%v: %v", reply.Reason, kinds(reply.Cookies))
				}
				if n := len(c.Cookie.Name+cookie.RenewedSuffix) + cookie.BoundSize + len(".") + len(b.renewal(c)); n > cookie.MaxPair || n < cookie.MaxPair-3-(cookie.MaxKeyID-len("a")) {
					t.Errorf("%d bytes", n)
				}
				if got, reason := b.sees(c, epoch+int64(i+1)*hour); reason != OK || !got.Refused || len(got.Data) != low+8 {
					t.Errorf("%v %+v", reason, got)
				}
			}
		})
	}
}

// TestLateTooLarge: the word that something did not fit comes late, and undoes nothing.
func TestLateTooLarge(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u","data":{"a":1}}`, epoch)
	answer := b.slow(c, Request{}, epoch)
	b.do(c, Request{}, app(`{"set":{"a":2}}`), epoch+1)
	if reply := answer(tooMuch(), epoch+minute); reply.Reason != TooLarge {
		t.Fatal(reply.Reason)
	}
	if got, _ := b.sees(c, epoch+minute); got.Data != `{"a":2}` || got.Refused {
		t.Errorf("undone: %+v", got)
	}
	// Nor does it come after the end, or take a session's place.
	b = newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	ended, passive := b.slow(c, Request{}, epoch), b.slow(c, Request{Activity: "passive"}, epoch)
	if reply := ended(tooMuch(), epoch+15*minute); reply.Reason != TooLarge || len(reply.Cookies) != 0 {
		t.Errorf("after the end: %v", kinds(reply.Cookies))
	}
	if reply := passive(tooMuch(), epoch+15*minute-1); reply.Reason != TooLarge || len(kinds(reply.Cookies)) != 1 {
		t.Errorf("a second before: %v", kinds(reply.Cookies))
	}
	if _, reason := b.sees(c, epoch+15*minute); reason != IdleTimeout {
		t.Errorf("a poll's answer keeps the session: %v", reason)
	}
}

// TestRevision counts what is written of a session, each time and nothing else.
func TestRevision(t *testing.T) {
	c, b := wrapPolicy(t, `"anonymous":true`), newBrowser(t)
	at := epoch
	for i, tt := range []struct {
		r      Request
		answer Response
		reason Reason
		want   uint32
	}{
		{Request{}, app(`{"set":{"a":1}}`), Opened, 0},
		{Request{}, app(`{"set":{"a":2}}`), Changed, 1},
		{Request{}, app(`{"set":{"a":2}}`), OK, 1},
		{Request{}, app(`{"expire_in":"5m"}`), Changed, 2},
		{Request{}, app(`{"remember":true}`), Changed, 3},
		{Request{}, app(`{"rotate":true}`), Rotated, 4},
		{Request{}, app(`{"rotate":true,"set":{"a":3}}`), Rotated, 5},
		{Request{}, Response{Status: 200, SetCookies: []string{"tok=1; Path=/"}}, Changed, 6},
		{Request{}, Response{Status: 200, SetCookies: []string{"tok=1; Path=/"}}, OK, 6},
		{Request{}, Response{Status: 200, SetCookies: []string{"tok=1; Path=/; Max-Age=600"}}, Changed, 7},
		{Request{}, Response{Status: 200, SetCookies: []string{"tok=1; Path=/; Max-Age=900"}}, Renewed, 7},
		{Request{}, Response{Status: 200, SetCookies: []string{"tok=1; Path=/; Max-Age=600"}, Commands: []string{`{"set":{"a":4}}`}}, Changed, 8},
		{Request{}, tooMuch(), TooLarge, 8},
		{Request{Method: "POST", Path: "/login"}, app(`{"start":{"subject":"u","keep":true}}`), Started, 0},
		{Request{}, app(`{"set":{"a":5}}`), Changed, 1},
		{Request{Method: "POST", Path: "/login"}, Response{Status: 302, Location: "/", SetCookies: []string{"sid=1; Path=/"}}, Started, 0},
		{Request{}, Response{Status: 200, SetCookies: []string{"sid=2; Path=/", "tok=1; Path=/"}}, Changed, 1},
		{Request{}, Response{Status: 302, SetCookies: []string{"sid=; Path=/; Max-Age=0"}}, Ended, 0},
	} {
		_, reply := b.do(c, tt.r, tt.answer, at)
		got, reason := b.sees(c, at)
		if reply.Reason != tt.reason || got.Revision != tt.want || reason != OK {
			t.Errorf("step %d: %v %q, revision %d, then %v; want %v, %d", i, reply.Reason, reply.Fault, got.Revision, reason, tt.reason, tt.want)
		}
	}
}

// TestRenewalsUndoNothing: while an app writes one thing after the other, renewals, touches and refusals
// come late in any order, and the app always sees what it wrote last.
func TestRenewalsUndoNothing(t *testing.T) {
	fields := []string{`"timeouts":{"rotate":"3m"}`, `"keys":[` + keyJSON("a", 0) + "," + keyJSON("b", epoch+hour) + `]`}
	c, late := policyOf(t, fields...), policyOf(t, `"timeouts":{"rotate":"3m"}`, `"keys":[`+keyJSON("b", epoch+hour)+`]`)
	random := rand.New(rand.NewSource(11))
	done := map[Reason]int{}
	for round := range 60 {
		b := newBrowser(t)
		b.login(c, `{"subject":"u","data":{"n":0}}`, epoch+30*minute)
		last := 0
		type flight struct {
			answer func(Response, int64) Reply
			due    int64
		}
		var flying []flight
		for at := epoch + 30*minute; at < epoch+2*hour; at += random.Int63n(2 * minute) {
			if at > epoch+100*minute {
				c = late // the key that signed at first is gone
			}
			flying = slices.DeleteFunc(flying, func(f flight) bool {
				if f.due > at {
					return false
				}
				done[f.answer([...]Response{app(""), app(""), app(""), tooMuch()}[random.Intn(4)], at).Reason]++
				return true
			})
			got, reason := b.sees(c, at)
			if want := `{"n":` + strconv.Itoa(last) + `}`; reason != OK || got.Data != want {
				t.Fatalf("round %d after %d s: %v, the app sees %s, and wrote %s", round, at-epoch, reason, got.Data, want)
			}
			switch random.Intn(6) {
			case 0:
				last++
				b.do(c, Request{}, app(`{"set":{"n":`+strconv.Itoa(last)+`}}`), at)
			case 1:
				b.do(c, Request{}, app(`{"rotate":true}`), at)
			default:
				r := [...]Request{{}, {}, {Activity: "passive"}}[random.Intn(3)]
				flying = append(flying, flight{b.slow(c, r, at), at + random.Int63n(10*minute)})
			}
		}
		c = policyOf(t, fields...)
	}
	for _, reason := range []Reason{Renewed, Touched, TooLarge} {
		if done[reason] < 100 {
			t.Errorf("%v came %d times", reason, done[reason])
		}
	}
}

// TestRenewalOfAnother: somebody's late renewal stays with the token that it renews, even where another
// person's session is under a key that is gone by then.
func TestRenewalOfAnother(t *testing.T) {
	both := policyOf(t, `"keys":[`+keyJSON("a", 0)+","+keyJSON("b", epoch+minute)+`]`)
	after := policyOf(t, `"keys":[`+keyJSON("b", epoch+minute)+`]`)
	b := newBrowser(t)
	b.login(both, `{"subject":"alice"}`, epoch-2*hour)
	alice, _ := b.sees(both, epoch-2*hour)
	b.values[both.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, both, alice.ID, epoch-minute)
	answer := b.slow(both, Request{Path: "/page"}, epoch)
	b.do(both, Request{Method: "POST", Path: "/logout"}, Response{}, epoch+1)
	b.login(both, `{"subject":"bob"}`, epoch+2)
	if reply := answer(app(""), epoch+2*minute); reply.Reason != Renewed || b.renewal(both) == "" {
		t.Fatalf("no late renewal: %v", reply.Reason)
	}
	if s, reason := b.sees(both, epoch+2*minute); s.Subject != "bob" {
		t.Errorf("before: %v %q", reason, s.Subject)
	}
	if s, reason := b.sees(after, epoch+3*minute); reason != Invalid {
		t.Errorf("with bob's key gone: %v %q", reason, s.Subject)
	}
}
