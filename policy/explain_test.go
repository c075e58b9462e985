package policy

import (
	"math/rand"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/cookie"
)

// explains holds what Explain says against what Decide does.
func explains(t *testing.T, c *Config, r *Request, now int64) Explanation {
	t.Helper()
	e := c.Explain(r, now)
	d := c.Decide(r, now)
	if !reflect.DeepEqual(e.Decision, d) {
		t.Errorf("%s %s: Explain says\n%+v\nDecide\n%+v", r.Method, r.Path, e.Decision, d)
	}
	if want := ruleOf(c, r); e.Rule != want {
		t.Errorf("%s %s: rule %q, want %q", r.Method, r.Path, e.Rule, want)
	}
	if last := e.Steps[len(e.Steps)-1]; last.Topic != "verdict" || !strings.HasPrefix(last.Found, d.Reason.String()+":") {
		t.Errorf("%s %s: ends with %+v, want a verdict of %v", r.Method, r.Path, last, d.Reason)
	}
	return e
}

// ruleOf names the rule that Decide would ask.
func ruleOf(c *Config, r *Request) string {
	path, _ := splitPath(r.Path)
	plain := c.plain(r, path)
	if plain && (!c.ReportOnly && underPrefix(path, c.Browser.Path) && !c.hostIsOff(r, path) || c.BypassPreflight && r.preflight() || path == c.Logout.Path) {
		return ""
	}
	rule, before, _ := c.ruleFor(r, path)
	switch rule {
	case &c.strictest:
		return "strictest"
	case &c.open:
		return "login"
	case &c.fallback:
		return "default"
	}
	return ruleName(before)
}

func TestExplainBoundaries(t *testing.T) {
	for _, tt := range boundaries {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, `"rules":[{"path":"/idle","idle":"5m"},{"path":"/absolute","absolute":"10m"},{"path":"/fresh","max_auth_age":"2m"},
				{"path":"/longer","idle":"1h","absolute":"24h"}]`)
			lines := []string{sessionLine(t, c, with(epoch-tt.age, tt.change))}
			if tt.idle > 0 {
				lines = append(lines, touchLine(t, c, someone(0).ID, epoch-tt.idle))
			}
			explains(t, c, ask(c, Request{Path: tt.path}, lines...), epoch)
		})
	}
}

// explained are configs that between them have every field that Decide asks.
var explained = [][]string{
	nil,
	{`"rules":[{"path_prefix":"/static/","session":"off"},{"path":"/public","session":"optional"},
		{"path_prefix":"/a","idle":"5m","when":{"data.role":["admin","root"]}},{"path_prefix":"/a/b","require":{"data.role":["admin"]},"max_auth_age":"10m"},
		{"path_prefix":"/poll","activity":"passive"},{"path_prefix":"/a","methods":["GET","POST"],"absolute":"2h"}]`},
	{`"rules":[{"path_prefix":"/","hosts":["open.example"],"session":"off"},{"path":"/page","hosts":["shop.example"],"session":"optional"}]`, `"report_only":true`},
	{`"rules":[{"path_prefix":"/","hosts":["open.example"],"session":"off"}]`, `"bypass_cors_preflight":false`},
	{`"anonymous":true`, `"remember":{"idle":"20m","absolute":"1h"}`, `"logout":{"path":"/a","methods":["GET","POST"]}`},
	{`"revoke":{"before":"` + rfc3339(epoch-2*hour) + `","subjects":{"user-42":"` + rfc3339(epoch+minute) + `"},"feed":{"cluster":"app","path":"/revoked","on_stale":"deny"}}`},
	{`"keys":[` + keyJSON("a", 0) + `,` + keyJSON("b", epoch-hour) + `]`, `"cookie":{"mode":"sealed"}`, `"wrap":["sessionid"]`},
}

// TestExplainIsDecide asks both the same, over requests at random.
func TestExplainIsDecide(t *testing.T) {
	seen := map[string]bool{}
	for i, fields := range explained {
		c := policyOf(t, fields...)
		rnd := rand.New(rand.NewSource(int64(i)))
		for range 3000 {
			r := anyRequest(t, rnd, c)
			e := explains(t, c, r, epoch)
			for _, s := range e.Steps {
				seen[s.Topic+": "+s.Found] = true
			}
			if t.Failed() {
				t.Fatalf("config %v, request %+v, cookies %+v", fields, r, r.Jar)
			}
		}
	}
	for r := OK; r <= CallRefused; r++ {
		if r != Unreadable && !slices.ContainsFunc(keys(seen), func(s string) bool { return strings.HasPrefix(s, "verdict: "+r.String()+":") }) {
			t.Errorf("no request met %v", r)
		}
	}
}

func keys(m map[string]bool) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func oneOf[T any](rnd *rand.Rand, of ...T) T { return of[rnd.Intn(len(of))] }

func anyRequest(t *testing.T, rnd *rand.Rand, c *Config) *Request {
	r := Request{
		Method:    oneOf(rnd, "GET", "GET", "POST", "OPTIONS", "HEAD"),
		Authority: oneOf(rnd, site, "open.example", "odd_host", "SHOP.example:443"),
		Path: oneOf(rnd, "/", "/page", "/public", "/static/x", "/a", "/a/b", "/a/b?x=//", "/poll", "/login", "/logout", "//a", "/a/../b", "/a;b", "/%61", "/é", "/a%zz", "a", "",
			"/.session/status", "/.session/keepalive", "/.session/logout", "/.session/session.js", "/.session/end?/a/b", "/.session/other"),
		Accept:     oneOf(rnd, "", htmlPage, "text/event-stream"),
		Origin:     oneOf(rnd, "", "", "https://"+site, "https://evil.example"),
		FetchSite:  oneOf(rnd, "", "", "same-origin", "cross-site"),
		SecPurpose: oneOf(rnd, "", "", "", "prefetch"),
		Activity:   oneOf(rnd, "", "", "passive"),
		Upgrade:    oneOf(rnd, "", "", "", "websocket"),
		Referer:    oneOf(rnd, "", "https://"+site+"/a/b", "https://evil.example/"),
	}
	if r.Method == "OPTIONS" {
		r.RequestMethod = oneOf(rnd, "", "PUT")
	}
	r.Heard = oneOf(rnd, nil, &Heard{FeedAt: epoch}, &Heard{FeedAt: epoch, Feed: &Revocations{Before: epoch - hour}}, &Heard{FeedAt: epoch, Ended: endedOf(map[cookie.ID]int64{someone(0).ID: epoch + hour})})
	return ask(c, r, anyCookies(t, rnd, c)...)
}

func anyCookies(t *testing.T, rnd *rand.Rand, c *Config) []string {
	age := oneOf(rnd, 0, minute, 10*minute, 16*minute, 50*minute, 3*hour, 13*hour)
	s := with(epoch-age, func(s *cookie.Session) {
		s.Data = oneOf(rnd, "", `{"role":"admin"}`, `{"role":["user","root"]}`, `{"role":1}`)
		s.Remember = oneOf(rnd, false, true)
		s.Idle = oneOf(rnd, 0, 0, 5*minute, hour)
		if rnd.Intn(5) == 0 {
			s.Subject, s.AuthenticatedAt = "", 0
		}
	})
	token := mint(t, c, s)
	line := c.Cookie.Name + "=" + token
	name := c.Cookie.Name
	touch := touchLine(t, c, s.ID, epoch-oneOf(rnd, 0, minute, 20*minute))
	other := with(epoch, func(s *cookie.Session) { s.ID = cookie.ID{9} })
	renewed := name + cookie.RenewedSuffix + "=" + cookie.BoundTo(token) + "." + mint(t, c, with(epoch, func(r *cookie.Session) { r.StartedAt = s.StartedAt; r.AuthenticatedAt = s.StartedAt }))
	return oneOf(rnd, nil, []string{"theme=dark"}, []string{line}, []string{line, touch}, []string{line, touch}, []string{line + "x"}, []string{name + "=1s.zz.AAAA"}, []string{touch},
		[]string{line, renewed}, []string{line, sessionLine(t, c, other)}, []string{line, name + "=junk"}, []string{"$Version=1; " + line}, []string{name + "=junk", renewed})
}

// What pathFault says agrees with plainPath.
func TestPathFault(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 50_000 {
		b := []byte{'/'}
		for range rnd.Intn(8) {
			b = append(b, oneOf(rnd, "/", ".", "..", "a", "%", "%2F", "%20", "%C3%A9", "%c3", ";", "\\", "#", " ", "\x7f", "é", "0")...)
		}
		p := string(b[rnd.Intn(2)%len(b):])
		if plain, why := plainPath(p), pathFault(p); plain != (why == "") {
			t.Fatalf("%q: plain %v, fault %q", p, plain, why)
		}
	}
}

// Each step says why in words that fit what was found.
func TestExplainSays(t *testing.T) {
	c := policyOf(t, explained[1]...)
	live := sessionLine(t, c, with(epoch-6*minute, func(s *cookie.Session) { s.Data = `{"role":"root"}` }))
	for _, tt := range []struct {
		name  string
		r     Request
		lines []string
		want  Step
	}{
		{"a hostile path", Request{Path: "/a//b"}, nil, Step{Topic: "path", Found: "hostile", Why: "it has an empty segment (//) or a dot segment at byte 2; servers may read it in two ways, so it is held to the strictest of all rules"}},
		{"a rule for another path", Request{Path: "/public"}, nil, Step{Topic: "rules[0]", Found: "does not match", Why: "the path is not below /static/"}},
		{"a rule for other methods", Request{Path: "/a", Method: "PUT"}, nil, Step{Topic: "rules[5]", Found: "does not match", Why: "the method PUT is not GET, POST"}},
		{"the rule that decides", Request{Path: "/public"}, nil, Step{Topic: "rules[1]", Found: "decides", Why: "the first that matches; session: optional; 4 behind it are not looked at"}},
		{"a rule that joins in", Request{Path: "/a"}, []string{live}, Step{Topic: "rules[2]", Found: "joins in", Why: "the session's data meets its when; of each field the strictest counts"}},
		{"and ends it", Request{Path: "/a"}, []string{live}, Step{Topic: "idle", Found: "over", Why: "by the rule's; since the last activity", From: epoch - 6*minute, Ends: epoch - minute}},
		{"what is required", Request{Path: "/a/b"}, []string{live, touchLine(t, c, someone(0).ID, epoch)}, Step{Topic: "require", Found: "not met", Why: `data.role is "root", not "admin"`}},
		{"a forged cookie", Request{}, []string{live[:len(live)-2] + "AA"}, Step{Topic: "cookie __Host-session", Found: "refused", Why: "key a: token is not authentic"}},
		{"a key that is not there", Request{}, []string{"__Host-session=1s.zz.AAAA"}, Step{Topic: "cookie __Host-session", Found: "refused", Why: "key zz: token names a key that is not in use"}},
		{"a name that is no key's", Request{}, []string{"__Host-session=1s.\x1b[31m.AAAA"}, Step{Topic: "cookie __Host-session", Found: "refused", Why: "no key id: token names a key that is not in use"}},
		{"two sessions", Request{}, []string{live, sessionLine(t, c, with(epoch, func(s *cookie.Session) { s.ID = cookie.ID{9} }))}, Step{Topic: "session", Found: "invalid", Why: "not exactly one session opens"}},
		{"the client's word", Request{Path: "/public", Activity: "passive"}, []string{live}, Step{Topic: "activity", Found: "passive", Why: "the client says so (x-session-activity); the idle deadline stays"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := explains(t, c, ask(c, tt.r, tt.lines...), epoch)
			if !slices.Contains(e.Steps, tt.want) {
				t.Errorf("want %+v among", tt.want)
				for _, s := range e.Steps {
					t.Logf("%+v", s)
				}
			}
		})
	}
}

// Package fmt is as large as all of ours together: what only tools use may not bring it into the filter.
func TestNoFmt(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(out)), "fmt") {
		t.Error("package policy imports fmt")
	}
}
