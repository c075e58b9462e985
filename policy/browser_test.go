package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// noFields is a config of nothing but what it needs.
const noFields = `"anonymous":false`

// call asks the filter's own folder, as the filter does.
func call(t testing.TB, c *Config, r *Request, at int64) (Decision, Answer) {
	t.Helper()
	d := c.Decide(r, at)
	switch d.Verdict {
	case Pass:
		t.Fatalf("%s %s reaches the app", r.Method, r.Path)
	case Serve:
		a, _ := c.Serve(r, &d, at, counting())
		return d, a
	}
	return d, c.Answer(r, &d, at)
}

// call is that of a browser, which takes what comes back.
func (b *browser) call(c *Config, r Request, at int64) (Decision, Answer) {
	b.t.Helper()
	d, a := call(b.t, c, ask(c, r, b.line()), at)
	b.take(setCookies(a.Headers))
	return d, a
}

func valuesOf(headers [][2]string, name string) (out []string) {
	for _, h := range headers {
		if h[0] == name {
			out = append(out, h[1])
		}
	}
	return out
}

// told is the document that scripts read.
type told struct {
	State     string
	Subject   *string `json:",omitempty"`
	IdleIn    int64   `json:"idle_in"`
	ExpiresIn int64   `json:"expires_in"`
	WarnIn    int64   `json:"warn_in"`
	Required  bool
	Cookie    bool
}

// toldBy reads it, and holds against each one what no cache may keep and no other site may read.
func toldBy(t testing.TB, a *Answer) (s told) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(string(a.Body)))
	in.DisallowUnknownFields()
	if err := in.Decode(&s); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	want := map[string]string{"cache-control": "no-store", "vary": "Cookie", "content-type": "application/json", "x-content-type-options": "nosniff"}
	for name, value := range want {
		if got := valuesOf(a.Headers, name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	for _, h := range a.Headers {
		if strings.HasPrefix(h[0], "access-control-") {
			t.Errorf("other sites may read it: %s", h)
		}
	}
	return s
}

// statusOf is what a page would be told.
func statusOf(t testing.TB, c *Config, r Request, at int64, lines ...string) told {
	t.Helper()
	r.Path = c.Browser.Path + "status"
	_, a := call(t, c, ask(c, r, lines...), at)
	if a.Status != 200 {
		t.Errorf("status of status: %d", a.Status)
	}
	return toldBy(t, &a)
}

// Each call has its methods; whatever else is asked of the folder is answered there too.
func TestCallsByMethod(t *testing.T) {
	c := policyOf(t)
	alive := sessionLine(t, c, someone(epoch))
	for _, tt := range []struct {
		call    string
		methods []string
		status  uint32
	}{
		{"status", []string{"GET", "HEAD"}, 200},
		{"status?x=1", []string{"GET", "HEAD"}, 200},
		{"keepalive", []string{"POST"}, 200},
		{"logout", []string{"POST"}, 200},
		{"session.js", []string{"GET", "HEAD"}, 200},
		{"end?/page", []string{"GET", "HEAD"}, 200}, {"end/idle_timeout?/page", []string{"GET", "HEAD"}, 200}, {"end/absolute_timeout?/page", []string{"GET", "HEAD"}, 200},
		{"", nil, 404}, {"?", nil, 404}, {"x", nil, 404}, {"Status", nil, 404}, {"status/", nil, 404}, {"session.js.map", nil, 404},
		{"statusx", nil, 404}, {"end/page", nil, 404}, {"end/", nil, 404}, {"end/revoked?/page", nil, 404}, {"end/idle_timeout/", nil, 404}, {"x/end/idle_timeout", nil, 404}, {"logout/x", nil, 404},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "QUERY"} {
			t.Run(method+" "+tt.call, func(t *testing.T) {
				d, a := call(t, c, ask(c, Request{Method: method, Path: "/.session/" + tt.call}, alive), epoch)
				want := tt.status
				if want == 200 && !slices.Contains(tt.methods, method) {
					want = 405
				}
				if a.Status != want {
					t.Fatalf("%d, want %d", a.Status, want)
				}
				if allow := valuesOf(a.Headers, "allow"); want == 405 && !slices.Equal(allow, []string{strings.Join(tt.methods, ", ")}) {
					t.Errorf("allow: %q", allow)
				}
				if want != 200 && (len(setCookies(a.Headers)) > 0 || !slices.Equal(valuesOf(a.Headers, "cache-control"), []string{"no-store"})) {
					t.Errorf("%v", a.Headers)
				}
				if want >= 400 && !strings.Contains(string(a.Body), fmt.Sprintf(`"status":%d,"reason":"%s"}`, want, d.Reason)) {
					t.Errorf("%s", a.Body)
				}
			})
		}
	}
}

// The folder is kept from the app whatever the rules say of it, and a preflight shows nothing of it.
func TestFolderIsNotTheApps(t *testing.T) {
	for _, tt := range []struct {
		fields, path string
		r            Request
	}{
		{`"rules":[{"path_prefix":"/.session/","session":"off"}]`, "/.session/", Request{}},
		{`"rules":[{"path_prefix":"/.session/","require":{"data.role":["admin"]}},{"path_prefix":"/"}]`, "/.session/", Request{}},
		{`"browser":{"path":"/a/b/"}`, "/a/b/", Request{}},
		{`"bypass_cors_preflight":true`, "/.session/", Request{Method: "OPTIONS", Origin: "https://evil.example", RequestMethod: "POST"}},
		{`"rules":[{"path_prefix":"/","hosts":["shop.example"],"session":"optional"}]`, "/.session/", Request{Authority: "other.example"}},
	} {
		c := policyOf(t, tt.fields)
		for _, name := range []string{"status", "keepalive", "logout", "session.js", "end?/page", "other"} {
			r := tt.r
			r.Path = tt.path + name
			if d := c.Decide(ask(c, r), epoch); d.Verdict != Serve && d.Verdict != Logout && d.Verdict != Refuse || d.Call == NoCall {
				t.Errorf("%s, %s: %v, call %d", tt.fields, name, d.Verdict, d.Call)
			}
		}
	}
}

// What may be another path behind us, or is beside the folder, is none of its calls. So is all of it in a
// trial run.
func TestNoCall(t *testing.T) {
	for _, tt := range []struct {
		fields string
		r      Request
		want   Verdict
	}{
		{"", Request{Path: "/.session"}, Login}, {"", Request{Path: "/.sessions/status"}, Login}, {"", Request{Path: "/x/.session/status"}, Login},
		{"", Request{Path: "/.session//status"}, Login}, {"", Request{Path: "/.session/../page"}, Login}, {"", Request{Path: "/.session/%2e%2e/page"}, Login},
		{"", Request{Path: "/.session/;/status"}, Login}, {"", Request{Path: "/.session/%73tatus"}, Login}, {"", Request{Path: `/.session\status`}, Login},
		{`"rules":[{"path":"/x","hosts":["a.example"]}]`, Request{Path: "/.session/status", Authority: "a.example%00"}, Login},
		{`"report_only":true`, Request{Path: "/.session/status"}, Pass},
		{`"report_only":true`, Request{Method: "POST", Path: "/.session/keepalive", FetchSite: "cross-site"}, Pass},
		{`"report_only":true`, Request{Method: "POST", Path: "/.session/logout"}, Pass},
		{`"report_only":true`, Request{Path: "/.session/session.js"}, Pass},
		{`"report_only":true`, Request{Path: "/.session/end?/page"}, Pass},
	} {
		c := policyOf(t, cmp.Or(tt.fields, noFields))
		if d := c.Decide(ask(c, tt.r), epoch); d.Verdict != tt.want || d.Call != NoCall {
			t.Errorf("%s %s: %v, call %d", tt.fields, tt.r.Path, d.Verdict, d.Call)
		}
	}
}

// fetchSites are who can make a browser send something, and whether that is this site.
var fetchSites = []struct {
	name string
	r    Request
	ours bool
}{
	{"this page", Request{FetchSite: "same-origin", Origin: "https://" + site}, true},
	{"typed in", Request{FetchSite: "none"}, true},
	{"no browser", Request{}, true},
	{"older browser, this page", Request{Origin: "https://" + site}, true},
	{"RP-133 another site", Request{FetchSite: "cross-site", Origin: "https://evil.example"}, false},
	{"RP-133 another site, no origin", Request{FetchSite: "cross-site"}, false},
	{"RP-133 a sister host", Request{FetchSite: "same-site", Origin: "https://evil.shop.example"}, false},
	{"RP-133 an unknown word", Request{FetchSite: "same-origin-ish"}, false},
	{"RP-133 in capitals", Request{FetchSite: "Same-Origin"}, false},
	{"RP-133 its word against the origin's", Request{FetchSite: "cross-site", Origin: "https://" + site}, false},
	{"RP-133 older browser", Request{Origin: "https://evil.example"}, false},
	{"RP-133 older browser, sister host", Request{Origin: "https://evil.shop.example"}, false},
	{"RP-133 older browser, like ours", Request{Origin: "https://shop.example.evil.example"}, false},
	{"RP-133 older browser, other port", Request{Origin: "https://shop.example:8443"}, false},
	{"RP-133 older browser, userinfo", Request{Origin: "https://shop.example@evil.example"}, false},
	{"RP-133 older browser, sandbox", Request{Origin: "null"}, false},
	{"prefetch", Request{FetchSite: "same-origin", SecPurpose: "prefetch"}, false},
	{"prerender", Request{FetchSite: "same-origin", SecPurpose: "prefetch;prerender"}, false},
	{"older prefetch", Request{Purpose: "prefetch"}, false},
}

// Another site can neither keep a session alive nor end it.
func TestCallsOfOtherSites(t *testing.T) {
	c := policyOf(t)
	lines := []string{sessionLine(t, c, someone(epoch-2*hour)), touchLine(t, c, someone(0).ID, epoch-5*minute)}
	for _, tt := range fetchSites {
		for _, name := range []string{"keepalive", "logout"} {
			for _, by := range []Request{{}, {Accept: htmlPage}, {FetchMode: "navigate"}, {FetchMode: "no-cors", FetchDest: "image"}, {ContentType: "application/grpc"}} {
				r := tt.r
				r.Method, r.Path, r.Accept, r.FetchMode, r.FetchDest, r.ContentType = "POST", "/.session/"+name, by.Accept, by.FetchMode, by.FetchDest, by.ContentType
				d, a := call(t, c, ask(c, r, lines...), epoch)
				cookies := len(setCookies(a.Headers))
				if tt.ours != (d.Verdict != Refuse) || tt.ours != (cookies > 0) || tt.ours != (a.Status != 403) {
					t.Errorf("%s, %s as %+v: %d with %d cookies", tt.name, name, by, a.Status, cookies)
				}
			}
		}
	}
}

// pageRules are of pages whose own timeouts end a session that lives on elsewhere.
const pageRules = `"rules":[
	{"path_prefix":"/short","idle":"5m"},{"path_prefix":"/brief","absolute":"30m"},
	{"path_prefix":"/maybe/short","session":"optional","idle":"5m"},{"path_prefix":"/maybe","session":"optional"},{"path_prefix":"/off","session":"off"},
	{"path_prefix":"/shop","when":{"data.staff":[true]},"idle":"7m"},{"path_prefix":"/shop","session":"optional"},
	{"path_prefix":"/poll","activity":"passive"},{"path_prefix":"/fresh","max_auth_age":"1m"},{"path_prefix":"/admin","require":{"data.role":["admin"]}}]`

// staff logged in an hour ago and was last seen six minutes ago.
func staff() cookie.Session {
	return with(epoch-hour, func(s *cookie.Session) { s.IssuedAt, s.Data = epoch-6*minute, `{"staff":true}` })
}

// It answers for the page that asks. That is told by the Referer, of this very host only.
func TestStatusByPage(t *testing.T) {
	c := policyOf(t, pageRules)
	line := sessionLine(t, c, staff())
	alive := func(idle, absolute int64, required bool) told {
		return told{State: "ok", IdleIn: idle, ExpiresIn: absolute, WarnIn: max(min(idle, absolute)-minute, 0), Required: required, Cookie: true}
	}
	over := func(state string, required bool) told { return told{State: state, Required: required, Cookie: true} }
	whole := alive(9*minute, 11*hour, true)
	nowhere := alive(9*minute, 11*hour, false)
	for _, tt := range []struct {
		referer string
		want    told
	}{
		{"https://shop.example/page", whole},
		{"https://shop.example/page?next=/short", whole},
		{"https://SHOP.example/page", whole},
		{"https://shop.example/short/x?y", over("idle_timeout", true)},
		{"http://shop.example/short", over("idle_timeout", true)}, // the scheme makes no other page of it
		{"https://shop.example/shortx", whole},
		{"https://shop.example/brief", over("absolute_timeout", true)},
		{"https://shop.example/maybe", nowhere},
		{"https://shop.example/maybe/short", over("idle_timeout", false)},
		{"https://shop.example/off", nowhere},
		{"https://shop.example/shop", alive(minute, 11*hour, true)},
		{"https://shop.example/poll", whole},
		{"https://shop.example/fresh", whole}, // it lives: only this page asks for another login
		{"https://shop.example/admin", whole},
		{"https://shop.example/login", nowhere},
		{"https://shop.example/login?next=/short", nowhere},
		{"https://shop.example/.session/end?/short", nowhere},
		{"https://shop.example/logout", whole},
		// What may be any page is held to all of them; of two ends that have passed, the sooner counts.
		{"https://shop.example/page;x", over("absolute_timeout", true)},
		{"https://shop.example//maybe", over("absolute_timeout", true)},
		{"https://shop.example/%6Daybe", over("absolute_timeout", true)},
		{"https://shop.example/maybe/../page", over("absolute_timeout", true)},
		// Nobody's, or another site's.
		{"", nowhere}, {"/short", nowhere}, {"short", nowhere}, {"about:blank", nowhere}, {"https://", nowhere}, {"://", nowhere},
		{"https://shop.example", nowhere}, {"https://shop.example?x=/short", nowhere}, {"https://shop.example#/short", over("absolute_timeout", true)},
		{"https://evil.example/short", nowhere}, {"https://shop.example.evil.example/short", nowhere}, {"https://shop.example:8443/short", nowhere},
		{"https://shop.example@evil.example/short", nowhere}, {"https://evil.example/https://shop.example/short", nowhere},
	} {
		if diff := gocmp.Diff(tt.want, statusOf(t, c, Request{Referer: tt.referer}, epoch, line)); diff != "" {
			t.Errorf("%s: %s", tt.referer, diff)
		}
	}
}

// A rule for hosts counts on these hosts; on others the page has another rule.
func TestStatusByHost(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/","hosts":["shop.example"],"idle":"5m"},{"path_prefix":"/","hosts":["open.example"],"session":"optional"}]`)
	line := sessionLine(t, c, staff())
	for host, want := range map[string]told{
		"shop.example":      {State: "idle_timeout", Required: true, Cookie: true},
		"SHOP.EXAMPLE:8443": {State: "idle_timeout", Required: true, Cookie: true},
		"open.example":      {State: "ok", IdleIn: 540, ExpiresIn: 39600, WarnIn: 480, Cookie: true},
		"else.example":      {State: "ok", IdleIn: 540, ExpiresIn: 39600, WarnIn: 480, Required: true, Cookie: true},
	} {
		r := Request{Authority: host, Referer: "https://" + host + "/page"}
		if diff := gocmp.Diff(want, statusOf(t, c, r, epoch, line)); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
}

// states are all that a browser's cookies can come to.
func states(t *testing.T, c *Config) []struct {
	name  string
	lines []string
	state Reason
} {
	line := func(at int64, change func(*cookie.Session)) []string {
		return []string{sessionLine(t, c, with(at, change))}
	}
	return []struct {
		name  string
		lines []string
		state Reason
	}{
		{"live", line(epoch-5*minute, unchanged), OK},
		{"anonymous", line(epoch-5*minute, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"a":1}` }), Anonymous},
		{"absent", nil, Absent},
		{"another cookie only", []string{"theme=dark"}, Absent},
		{"leftover", []string{touchLine(t, c, cookie.ID{1}, epoch)}, Absent},
		{"invalid", []string{c.Cookie.Name + "=1s.a.AAAA"}, Invalid},
		{"two sessions", append(line(epoch-1, unchanged), line(epoch-1, func(s *cookie.Session) { s.ID = cookie.ID{9} })...), Invalid},
		{"idle", line(epoch-15*minute, unchanged), IdleTimeout},
		{"absolute", line(epoch-12*hour, func(s *cookie.Session) { s.IssuedAt = epoch - 1 }), AbsoluteTimeout},
		{"revoked", line(epoch-minute, func(s *cookie.Session) { s.Subject = "gone" }), Revoked},
	}
}

func revokesGone() string { return `"revoke":{"subjects":{"gone":"` + rfc3339(epoch) + `"}}` }

// Every state has its word, and whoever has no live session has no seconds. No call but end deletes
// the cookies of a dead one: the next page could not say why.
func TestStatusByState(t *testing.T) {
	c := policyOf(t, `"anonymous":true,"browser":{"subject":true}`, revokesGone())
	for _, s := range states(t, c) {
		for _, name := range []string{"status", "keepalive"} {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				r := Request{Path: "/.session/" + name, Referer: "https://" + site + "/page"}
				lives := s.state == OK || s.state == Anonymous
				status := uint32(200)
				want := told{State: s.state.String(), Required: true, Cookie: len(s.lines) > 0}
				if lives {
					want.IdleIn, want.ExpiresIn, want.WarnIn = 10*minute, 12*hour-5*minute, 9*minute
					want.Subject = new(string)
				}
				if s.state == OK {
					*want.Subject = "user-42"
				}
				if name == "keepalive" {
					r.Method = "POST"
					if lives {
						want.IdleIn, want.WarnIn = 15*minute, 14*minute
					} else {
						status = 401
					}
				}
				_, a := call(t, c, ask(c, r, s.lines...), epoch)
				if a.Status != status {
					t.Errorf("%d, want %d", a.Status, status)
				}
				if challenge := valuesOf(a.Headers, "www-authenticate"); (status == 401) != slices.Equal(challenge, []string{"Cookie"}) {
					t.Errorf("%d with a challenge %q", status, challenge)
				}
				if diff := gocmp.Diff(want, toldBy(t, &a)); diff != "" {
					t.Error(diff)
				}
				for _, line := range setCookies(a.Headers) {
					if strings.Contains(line, "Max-Age=0;") || !lives && !strings.HasPrefix(line, "curfew-test=") {
						t.Errorf("a cookie: %s", line)
					}
				}
			})
		}
	}
}

// Who it is stands there only if the config wants it.
func TestStatusSubject(t *testing.T) {
	s := with(epoch, func(s *cookie.Session) { s.Subject = `zoë "</script>"` })
	for _, fields := range []string{`"browser":{"subject":false}`, `"browser":{"subject":true}`} {
		c := policyOf(t, fields)
		got := statusOf(t, c, Request{}, epoch, sessionLine(t, c, s))
		if c.Browser.Subject != (got.Subject != nil) || got.Subject != nil && *got.Subject != s.Subject {
			t.Errorf("%s: %v", fields, got.Subject)
		}
	}
}

// The warning comes so long before the sooner end, or in the middle of a timeout too short for that.
func TestWarn(t *testing.T) {
	for _, tt := range []struct {
		name, fields string
		idle, whole  int64 // since the last activity, since the login
		want         int64
	}{
		{"long before", "", 0, 0, 14 * minute},
		{"a second before", "", 14*minute - 1, 14*minute - 1, 1},
		{"now", "", 14 * minute, 14 * minute, 0},
		{"a second late", "", 14*minute + 1, 14*minute + 1, 0},
		{"the last second", "", 15*minute - 1, 15*minute - 1, 0},
		{"absolute first", "", 0, 12*hour - 10*minute, 9 * minute},
		{"absolute first, now", "", 0, 12*hour - minute, 0},
		{"both at once", "", 5 * minute, 11*hour + 50*minute, 9 * minute},
		{"other time", `"browser":{"warn":"5m"}`, 0, 0, 10 * minute},
		{"least time", `"browser":{"warn":"20s"}`, 0, 0, 15*minute - 20},
		{"short idle", `"timeouts":{"idle":"100s","touch":"10s"}`, 0, 0, 50},
		{"short idle, half", `"timeouts":{"idle":"100s","touch":"10s"}`, 50, 50, 0},
		{"short idle, odd", `"timeouts":{"idle":"101s","touch":"10s"}`, 0, 0, 51},
		{"twice the time", `"timeouts":{"idle":"2m","touch":"10s"}`, 0, 0, minute},
		{"longer than idle", `"browser":{"warn":"1h"}`, 0, 0, 7*minute + 30},
		{"short absolute", `"timeouts":{"idle":"80s","absolute":"90s","touch":"10s"}`, 0, 20, 25},
		{"short absolute, now", `"timeouts":{"idle":"80s","absolute":"90s","touch":"10s"}`, 0, 45, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, cmp.Or(tt.fields, noFields))
			line := sessionLine(t, c, with(epoch-tt.whole, func(s *cookie.Session) { s.IssuedAt = epoch - tt.idle }))
			got := statusOf(t, c, Request{}, epoch, line)
			if got.State != "ok" || got.WarnIn != tt.want {
				t.Errorf("%s, warning in %d s, want %d", got.State, got.WarnIn, tt.want)
			}
			if warnAt := got.WarnIn; warnAt > 0 {
				if at := statusOf(t, c, Request{}, epoch+warnAt, line); at.State != "ok" || at.WarnIn != 0 {
					t.Errorf("when it was to come: %+v", at)
				}
			}
		})
	}
}

// The page's own timeouts are what it is warned of.
func TestWarnByPage(t *testing.T) {
	c := policyOf(t, `"rules":[{"path":"/short","idle":"5m"},{"path":"/brief","absolute":"20m"}]`)
	line := sessionLine(t, c, with(epoch-18*minute, func(s *cookie.Session) { s.IssuedAt = epoch - 3*minute }))
	for page, want := range map[string]int64{"/": 11 * minute, "/short": minute, "/brief": minute} {
		if got := statusOf(t, c, Request{Referer: "https://" + site + page}, epoch, line); got.WarnIn != want {
			t.Errorf("%s: in %d s, want %d", page, got.WarnIn, want)
		}
	}
}

// However often it is asked, status moves nothing and writes nothing, whatever is due.
func TestStatusWritesNothing(t *testing.T) {
	keys := `"keys":[` + keyJSON("old", 0) + `,` + keyJSON("new", epoch) + `]`
	c := policyOf(t, keys, `"anonymous":true,"browser":{"subject":true,"refresh":true,"headers":true}`)
	for _, age := range []int64{0, 5 * minute, 2 * hour} {
		s := with(epoch-age, unchanged) // of the old key, unless it is new
		lines := []string{sessionLine(t, c, s), touchLine(t, c, s.ID, epoch-2*minute)}
		for _, method := range []string{"GET", "HEAD"} {
			for _, referer := range []string{"", "https://" + site + "/page"} {
				for at := epoch; at < epoch+13*minute; at += 61 {
					d, a := call(t, c, ask(c, Request{Method: method, Path: "/.session/status", Referer: referer}, lines...), at)
					if n := len(setCookies(a.Headers)); n > 0 || d.Slid || d.TouchAt != 0 || d.Renew || d.Drop || d.Active {
						t.Fatalf("age %d, after %d s: %d cookies, %+v", age, at-epoch, n, d)
					}
					if got := toldBy(t, &a); got.IdleIn != d.Seen+15*minute-at || got.IdleIn > 15*minute {
						t.Fatalf("age %d, after %d s: idle in %d s", age, at-epoch, got.IdleIn)
					}
				}
			}
		}
	}
}

// Keepalive is activity: noted to the second, with a renewal where that is due.
func TestKeepaliveSlides(t *testing.T) {
	keys := `"keys":[` + keyJSON("old", 0) + `,` + keyJSON("new", epoch-30*minute) + `]`
	touched, renewed := []string{seen}, []string{seen, renewal}
	for _, tt := range []struct {
		name    string
		fields  string
		r       Request
		age     int64 // of the session
		touched int64 // ago; -1: never
		after   int64 // the request comes so long after epoch
		want    []string
		idleIn  int64
	}{
		{"just logged in", "", Request{}, 0, -1, 0, nil, 15 * minute},
		{"same slot", "", Request{}, 10 * minute, 0, 59, touched, 15 * minute},
		{"same second", "", Request{}, 10 * minute, 0, 0, nil, 15 * minute},
		{"next slot", "", Request{}, 10 * minute, 0, 60, touched, 15 * minute},
		{"late in a slot", "", Request{}, 10 * minute, 0, 119, touched, 15 * minute},
		{"never touched", "", Request{}, 10 * minute, -1, 0, touched, 15 * minute},
		{"on a passive page", `"rules":[{"path_prefix":"/poll","activity":"passive"}]`, Request{Referer: "https://" + site + "/poll"}, 10 * minute, 5 * minute, 0, touched, 15 * minute},
		{"on a short page", `"rules":[{"path_prefix":"/poll","idle":"7m"}]`, Request{Referer: "https://" + site + "/poll"}, 10 * minute, 5 * minute, 0, touched, 7 * minute},
		{"on no page", "", Request{}, 10 * minute, 5 * minute, 0, touched, 15 * minute},
		{"of a form", "", Request{FetchMode: "navigate", Accept: htmlPage}, 10 * minute, 5 * minute, 0, touched, 15 * minute},
		{"passive client", "", Request{Activity: "passive"}, 10 * minute, 5 * minute, 0, nil, 10 * minute},
		{"rotate", "", Request{}, hour, 5 * minute, 0, renewed, 15 * minute},
		{"rotate, in a slot", "", Request{}, hour, 0, 59, renewed, 15 * minute},
		{"rotate, passive client", "", Request{Activity: "passive"}, hour, 5 * minute, 0, nil, 10 * minute},
		{"retired key", keys, Request{}, 40 * minute, 5 * minute, 0, renewed, 15 * minute},
		{"retired key, passive client", keys, Request{Activity: "passive"}, 40 * minute, 5 * minute, 0, nil, 10 * minute},
		{"signing key", keys, Request{}, 20 * minute, 5 * minute, 0, touched, 15 * minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, cmp.Or(tt.fields, noFields))
			b := newBrowser(t)
			s := someone(epoch - tt.age)
			b.values[c.Cookie.Name] = mint(t, c, s)
			if tt.touched != -1 {
				b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, s.ID, epoch-tt.touched)
			}
			r := tt.r
			r.Method, r.Path = "POST", "/.session/keepalive"
			at := epoch + tt.after
			_, a := b.call(c, r, at)
			if got := toldBy(t, &a); a.Status != 200 || got.State != "ok" || got.IdleIn != tt.idleIn {
				t.Errorf("%d %+v, want idle in %d s", a.Status, got, tt.idleIn)
			}
			if diff := gocmp.Diff(tt.want, kinds(setCookies(a.Headers))); diff != "" {
				t.Error(diff)
			}
			// What it says is what the cookies then say.
			if got := statusOf(t, c, Request{Referer: tt.r.Referer}, at, b.line()); got.IdleIn != tt.idleIn {
				t.Errorf("afterwards: idle in %d s, want %d", got.IdleIn, tt.idleIn)
			}
		})
	}
}

// It keeps a session alive for as long as somebody says so, and not a second past the absolute timeout.
func TestKeepaliveKeepsAlive(t *testing.T) {
	c, b := policyOf(t), newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	keepalive := Request{Method: "POST", Path: "/.session/keepalive", FetchSite: "same-origin"}
	for at := epoch + 14*minute; at < epoch+12*hour; at += 13 * minute {
		if _, a := b.call(c, keepalive, at); a.Status != 200 {
			t.Fatalf("after %d s: %d %s", at-epoch, a.Status, a.Body)
		}
	}
	if got := statusOf(t, c, Request{}, epoch+12*hour-1, b.line()); got.State != "ok" || got.ExpiresIn != 1 {
		t.Errorf("a second before the end: %+v", got)
	}
	_, a := b.call(c, keepalive, epoch+12*hour)
	if got := toldBy(t, &a); a.Status != 401 || got.State != "absolute_timeout" || len(setCookies(a.Headers)) > 0 {
		t.Errorf("at the end: %d %+v", a.Status, got)
	}
}

// Where a rule of the page has ended the session there, nothing is to be kept alive.
func TestKeepaliveOfDeadPage(t *testing.T) {
	c := policyOf(t, pageRules)
	r := Request{Method: "POST", Path: "/.session/keepalive", Referer: "https://" + site + "/short"}
	_, a := call(t, c, ask(c, r, sessionLine(t, c, staff())), epoch)
	if got := toldBy(t, &a); a.Status != 401 || got.State != "idle_timeout" || len(setCookies(a.Headers)) > 0 {
		t.Errorf("%d %+v %q", a.Status, got, setCookies(a.Headers))
	}
}

// A browser that sends no cookie gets one to send with its next call: what it does then tells whether it
// takes any.
func TestTestCookie(t *testing.T) {
	for _, tt := range []struct{ fields, want string }{
		{noFields, "curfew-test=1; Max-Age=300; Path=/.session/; HttpOnly; Secure; SameSite=Lax"},
		{`"browser":{"path":"/a/"}`, "curfew-test=1; Max-Age=300; Path=/a/; HttpOnly; Secure; SameSite=Lax"},
		{`"cookie":{"name":"__Secure-s","domain":"shop.example","same_site":"None","partitioned":true}`, "curfew-test=1; Max-Age=300; Path=/.session/; HttpOnly; Secure; SameSite=None; Partitioned"},
		{`"allow_insecure":true,"cookie":{"name":"s","secure":false}`, "curfew-test=1; Max-Age=300; Path=/.session/; HttpOnly; SameSite=Lax"},
	} {
		c := policyOf(t, tt.fields)
		for _, s := range []struct {
			name, method string
			lines        []string
			want         []string
		}{
			{"status", "GET", nil, []string{tt.want}},
			{"status", "HEAD", nil, []string{tt.want}},
			{"status", "GET", []string{"theme=dark"}, nil},
			{"status", "GET", []string{"curfew-test=1"}, nil},
			{"status", "GET", []string{sessionLine(t, c, someone(epoch))}, nil},
			{"keepalive", "POST", nil, nil},
			{"session.js", "GET", nil, nil},
			{"end?/page", "GET", nil, nil},
			{"status", "POST", nil, nil},
			{"other", "GET", nil, nil},
		} {
			_, a := call(t, c, ask(c, Request{Method: s.method, Path: c.Browser.Path + s.name}, s.lines...), epoch)
			got := setCookies(a.Headers)
			for i, line := range got {
				// Expires repeats Max-Age for browsers that know no better.
				if from := strings.Index(line, "Expires="); from >= 0 {
					to := strings.Index(line[from:], "; ") + 2
					got[i] = line[:from] + line[from+to:]
				}
			}
			if diff := gocmp.Diff(s.want, got); diff != "" {
				t.Errorf("%s, %s %s: %s", tt.fields, s.method, s.name, diff)
			}
		}
		if got := statusOf(t, c, Request{}, epoch, "curfew-test=1"); !got.Cookie || got.State != "absent" {
			t.Errorf("the next call: %+v", got)
		}
	}
}

// Below a cookie's own path the folder is where the cookie goes.
func TestFolderByCookiePath(t *testing.T) {
	const named = `"cookie":{"name":"__Secure-s","path":"/shop"},"allow_insecure":true,"rules":[{"path_prefix":"/shop"},{"path_prefix":"/","session":"optional"}]`
	c := policyOf(t, named)
	if c.Browser.Path != "/shop/.session/" {
		t.Errorf("the folder is %s", c.Browser.Path)
	}
	if got := statusOf(t, c, Request{Referer: "https://" + site + "/shop/x"}, epoch, sessionLine(t, c, someone(epoch))); got.State != "ok" || !got.Required {
		t.Errorf("%+v", got)
	}
	if d := c.Decide(ask(c, Request{Path: "/.session/status"}), epoch); d.Verdict != Pass {
		t.Errorf("outside: %v", d.Verdict)
	}
	for path, good := range map[string]bool{"/shop/a/": true, "/shop/": true, "/.session/": false, "/shopping/": false, "/": false} {
		if _, err := tryPolicy(named, `"browser":{"path":"`+path+`"}`); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A host that is kept out of the session has no folder: its scripts would learn who somebody is, and could
// keep them there.
func TestFolderOfHostsThatAreOff(t *testing.T) {
	c := policyOf(t, `"cookie":{"name":"__Secure-s","domain":"shop.example"},"browser":{"subject":true},
		"rules":[{"path_prefix":"/","hosts":["users.shop.example"],"session":"off"},{"path_prefix":"/static/","session":"off"}]`)
	line := sessionLine(t, c, someone(epoch-5*minute))
	for _, tt := range []struct {
		host string
		want outcome
	}{
		{"shop.example", outcome{OK, Serve, true, false}},
		{"users.shop.example", outcome{Off, Pass, false, false}},
		{"USERS.shop.example.:8443", outcome{Off, Pass, false, false}},
	} {
		for _, path := range []string{"/.session/status", "/.session/end?/"} {
			d := c.Decide(ask(c, Request{Authority: tt.host, Path: path}, line), epoch)
			if diff := gocmp.Diff(tt.want, outcomeOf(d)); diff != "" {
				t.Errorf("%s%s: %s", tt.host, path, diff)
			}
		}
	}
}
