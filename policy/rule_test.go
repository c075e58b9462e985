package policy

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

func TestRuleChoice(t *testing.T) {
	c := policyOf(t, `"rules":[
		{"path":"/exact","session":"off"},
		{"path_prefix":"/files","session":"off"},
		{"path_prefix":"/tree/","session":"off"},
		{"path_prefix":"/api","methods":["GET","HEAD"],"session":"optional"},
		{"path_prefix":"/","hosts":["open.example"],"session":"optional"},
		{"path_prefix":"/both","hosts":["two.example"],"methods":["GET"],"session":"off"},
		{"path":"/first","session":"off"},
		{"path_prefix":"/first"}]`)
	off, optional := outcome{Off, Pass, false, false}, outcome{Absent, Pass, false, false}
	for _, tt := range []struct {
		name string
		r    Request
		want outcome
	}{
		{"exact", Request{Path: "/exact"}, off},
		{"exact with query", Request{Path: "/exact?a=/b"}, off},
		{"below exact", Request{Path: "/exact/x"}, noneHas},
		{"exact and slash", Request{Path: "/exact/"}, noneHas},
		{"longer than exact", Request{Path: "/exactly"}, noneHas},
		{"prefix itself", Request{Path: "/files"}, off},
		{"below prefix", Request{Path: "/files/a/b"}, off},
		{"prefix and slash", Request{Path: "/files/"}, off},
		{"PM-278 not a whole segment", Request{Path: "/filesX"}, noneHas},
		{"PM-277 case", Request{Path: "/Files/a"}, noneHas},
		{"below prefix with slash", Request{Path: "/tree/a"}, off},
		{"prefix with slash itself", Request{Path: "/tree/"}, off},
		{"prefix with slash, without it", Request{Path: "/tree"}, noneHas},
		{"query never matches", Request{Path: "/page?/files/a"}, noneHas},
		{"method", Request{Path: "/api/x"}, optional},
		{"second method", Request{Path: "/api/x", Method: "HEAD"}, optional},
		{"another method", Request{Path: "/api/x", Method: "POST"}, noneHas},
		{"PM-304 method in other case", Request{Path: "/api/x", Method: "get"}, noneHas},
		{"PM-304 unknown method", Request{Path: "/api/x", Method: "FOO"}, noneHas},
		{"host", Request{Authority: "open.example"}, optional},
		{"host and port", Request{Authority: "open.example:8443"}, optional},
		{"host in other case", Request{Authority: "OPEN.Example"}, optional},
		{"host with root dot", Request{Authority: "open.example."}, optional},
		{"host with root dot and port", Request{Authority: "Open.example.:443"}, optional},
		{"longer host", Request{Authority: "open.example.evil"}, noneHas},
		{"sub host", Request{Authority: "x.open.example"}, noneHas},
		{"RU-249 userinfo", Request{Authority: "open.example@evil"}, noneHas},
		{"RU-249 userinfo before", Request{Authority: "evil@open.example"}, noneHas},
		{"host in brackets", Request{Authority: "[::1]:80"}, noneHas},
		{"host and method", Request{Path: "/both", Authority: "two.example"}, off},
		{"host but not method", Request{Path: "/both", Authority: "two.example", Method: "PUT"}, noneHas},
		{"method but not host", Request{Path: "/both"}, noneHas},
		{"first match", Request{Path: "/first"}, off},
		{"no match", Request{Path: "/"}, noneHas},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, outcomeOf(c.Decide(ask(c, tt.r), epoch))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHost(t *testing.T) {
	for _, tt := range [][2]string{
		{"a.example", "a.example"}, {"A.Example:80", "a.example"}, {"a.example.", "a.example"}, {"[::1]", "[::1]"}, {"[::1]:80", "[::1]"}, {"", ""}, {":80", ""},
	} {
		if got := host(tt[0]); got != tt[1] {
			t.Errorf("host(%q) = %q, want %q", tt[0], got, tt[1])
		}
	}
}

func TestOpenByThemselves(t *testing.T) {
	c := policyOf(t, `"login":{"url":"https://sso.example:8443/in","start_on":[{"method":"POST","path":"/begin"},{"method":"GET","path":"/callback"}]}`,
		`"rules":[{"path":"/never","idle":"5m"},{"path_prefix":"/","require":{"data.role":["admin"]}}]`, `"browser":{"path":"/.mine/"}`)
	optional := outcome{Absent, Pass, false, false}
	for _, tt := range []struct {
		name     string
		r        Request
		want     outcome
		canStart bool
	}{
		{"start route", Request{Method: "POST", Path: "/begin"}, optional, true},
		{"start route with query", Request{Path: "/callback?code=1"}, optional, true},
		{"start path by another method", Request{Path: "/begin"}, noneHas, false},
		{"below a start path", Request{Method: "POST", Path: "/begin/x"}, noneHas, false},
		{"start path, unsafe form", Request{Method: "POST", Path: "/begin;x"}, noneHas, false},
		{"login page on its host", Request{Authority: "sso.example:8443", Path: "/in"}, optional, false},
		{"login page's path here", Request{Path: "/in"}, noneHas, false},
		{"browser path", Request{Path: "/.mine/status"}, outcome{Absent, Serve, false, false}, false},
		{"browser path, without slash", Request{Path: "/.mine"}, noneHas, false},
		{"anything else", Request{Path: "/"}, noneHas, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := c.Decide(ask(c, tt.r), epoch)
			if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" || d.CanStart != tt.canStart {
				t.Error(diff, d.CanStart)
			}
		})
	}
}

func TestLoginPageIsOpen(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/","max_auth_age":"2m"}]`)
	for _, method := range []string{"GET", "HEAD", "POST"} {
		old := sessionLine(t, c, someone(epoch-5*minute))
		if d := c.Decide(ask(c, Request{Path: "/login", Method: method}, old), epoch); !d.Live || d.Verdict != Pass {
			t.Errorf("%s: %v; a login would loop", method, d.Reason)
		}
	}
}

func TestConditions(t *testing.T) {
	const data = `{"role":"admin","roles":["dev",7,true],"n":1,"big":9007199254740993,"yes":true,"text":"true","no":null,"empty":"","none":[],"a":{"b":"c"},"nested":[["dev"]]}`
	for _, tt := range []struct {
		name, path, values string
		want               bool
	}{
		{"string", "data.role", `["admin"]`, true},
		{"one of several", "data.role", `["x","admin"]`, true},
		{"another string", "data.role", `["user"]`, false},
		{"case", "data.role", `["Admin"]`, false},
		{"prefix", "data.role", `["adm"]`, false},
		{"in a list", "data.roles", `["dev"]`, true},
		{"number in a list", "data.roles", `[7]`, true},
		{"not in a list", "data.roles", `["admin"]`, false},
		{"number", "data.n", `[1]`, true},
		{"number in another spelling", "data.n", `[1.0]`, true},
		{"number as string", "data.n", `["1"]`, false},
		{"TM-98 beyond 2^53", "data.big", `[9007199254740993]`, true},
		{"TM-98 its neighbour", "data.big", `[9007199254740992]`, false},
		{"true", "data.yes", `[true]`, true},
		{"false", "data.yes", `[false]`, false},
		{"true as string", "data.text", `[true]`, false},
		{"null", "data.no", `["null"]`, false},
		{"empty string", "data.empty", `[""]`, true},
		{"absent is not empty", "data.absent", `[""]`, false},
		{"absent is not false", "data.absent", `[false]`, false},
		{"empty list", "data.none", `[""]`, false},
		{"nested", "data.a.b", `["c"]`, true},
		{"list in a list", "data.nested", `["dev"]`, false},
		{"an object", "data.a", `["c"]`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, `"rules":[{"path":"/x","require":{"`+tt.path+`":`+tt.values+`}}]`)
			s := with(epoch, func(s *cookie.Session) { s.Data = data })
			want := outcome{Forbidden, Refuse, false, false}
			if tt.want {
				want = passes
			}
			if diff := cmp.Diff(want, outcomeOf(c.Decide(ask(c, Request{Path: "/x"}, sessionLine(t, c, s)), epoch))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequireAll(t *testing.T) {
	c := policyOf(t, `"rules":[{"path":"/x","require":{"data.a":[1],"data.b":[2]}}]`)
	for data, want := range map[string]Reason{``: Forbidden, `{"a":1}`: Forbidden, `{"b":2}`: Forbidden, `{"a":1,"b":2}`: OK} {
		s := with(epoch, func(s *cookie.Session) { s.Data = data })
		if d := c.Decide(ask(c, Request{Path: "/x"}, sessionLine(t, c, s)), epoch); d.Reason != want {
			t.Errorf("%s: got %v, want %v", data, d.Reason, want)
		}
	}
}

func TestWhen(t *testing.T) {
	c := policyOf(t, `"rules":[
		{"path_prefix":"/","when":{"data.staff":[true]},"activity":"passive"},
		{"path_prefix":"/","when":{"data.guest":[true]},"require":{"data.paid":[true]}},
		{"path":"/open","session":"optional"},
		{"path_prefix":"/","idle":"10m","require":{"data.ok":[true]}}]`)
	for _, tt := range []struct {
		name, path, data string
		want             Reason
		slid             bool
	}{
		{"none met", "/", `{"ok":true}`, OK, true},
		{"staff is passive", "/", `{"ok":true,"staff":true}`, OK, false},
		{"staff still needs what the base requires", "/", `{"staff":true}`, Forbidden, false},
		{"guest unpaid", "/", `{"ok":true,"guest":true}`, Forbidden, false},
		{"guest paid", "/", `{"ok":true,"guest":true,"paid":true}`, OK, true},
		{"guest and staff, unpaid", "/", `{"ok":true,"guest":true,"staff":true}`, Forbidden, false},
		{"guest and staff, paid", "/", `{"ok":true,"guest":true,"staff":true,"paid":true}`, OK, false},
		{"optional base, guest unpaid", "/open", `{"guest":true}`, Forbidden, false},
		{"optional base, stranger", "/open", `{}`, OK, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := with(epoch-5*minute, func(s *cookie.Session) { s.Data = tt.data })
			d := c.Decide(ask(c, Request{Path: tt.path}, sessionLine(t, c, s)), epoch)
			if d.Reason != tt.want || d.Slid != tt.slid {
				t.Errorf("got %v, slid %v", d.Reason, d.Slid)
			}
		})
	}
}

// TestWhenNeverLaxer adds a rule with `when` at any place of any list of rules: no refusal becomes
// a pass by it, and no deadline gets later.
func TestWhenNeverLaxer(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	met := 0
	for range 3000 {
		var rules []string
		for range rng.Intn(4) {
			rules = append(rules, randomRule(rng, rng.Intn(2) == 0))
		}
		at := rng.Intn(len(rules) + 1)
		added := append(append(append([]string(nil), rules[:at]...), randomRule(rng, true)), rules[at:]...)
		before, err := tryPolicy(`"rules":[` + strings.Join(rules, ",") + `]`)
		after, err2 := tryPolicy(`"rules":[` + strings.Join(added, ",") + `]`)
		if err != nil || err2 != nil {
			continue // a rule that could never count
		}
		s := with(epoch-rng.Int63n(20)*minute, func(s *cookie.Session) {
			s.Data = fmt.Sprintf(`{"a":%d,"b":%d}`, rng.Intn(2), rng.Intn(2))
			s.Remember = rng.Intn(4) == 0
			s.Idle, s.Absolute = rng.Int63n(3)*10*minute, rng.Int63n(2)*hour
		})
		r := Request{Path: [...]string{"/", "/x", "/x/y", "//x"}[rng.Intn(4)], Method: [...]string{"GET", "POST"}[rng.Intn(2)]}
		was := before.Decide(ask(before, r, sessionLine(t, before, s)), epoch)
		is := after.Decide(ask(after, r, sessionLine(t, after, s)), epoch)
		if is.Live && !was.Live || is.Verdict == Pass && was.Verdict != Pass {
			t.Fatalf("%+v with %s: %v became %v\nwithout %s\nwith %s", r, s.Data, was.Reason, is.Reason, rules, added)
		}
		if is.Live && (is.IdleAt > was.IdleAt || is.ExpiresAt > was.ExpiresAt) {
			t.Fatalf("%+v with %s: the end moved by %d and %d s\nwithout %s\nwith %s", r, s.Data, is.IdleAt-was.IdleAt, is.ExpiresAt-was.ExpiresAt, rules, added)
		}
		if is.Reason != was.Reason || is.IdleAt != was.IdleAt || is.ExpiresAt != was.ExpiresAt {
			met++
		}
	}
	if met < 100 {
		t.Errorf("the added rule made a difference only %d times", met)
	}
}

func randomRule(rng *rand.Rand, when bool) string {
	s := `{"path_prefix":"` + [...]string{"/", "/x"}[rng.Intn(2)] + `"`
	need := "required"
	maybe := func(field string) {
		if rng.Intn(3) == 0 {
			s += field
		}
	}
	if when {
		s += fmt.Sprintf(`,"when":{"data.%s":[%d]}`, [...]string{"a", "b"}[rng.Intn(2)], rng.Intn(2))
	} else if rng.Intn(3) == 0 {
		need = "optional"
	}
	s += `,"session":"` + need + `"`
	maybe(`,"methods":["GET"]`)
	maybe(`,"activity":"passive"`)
	maybe(fmt.Sprintf(`,"idle":"%dm"`, 2+rng.Intn(60)))
	maybe(fmt.Sprintf(`,"absolute":"%dm"`, 2+rng.Intn(1500)))
	if need == "required" {
		maybe(fmt.Sprintf(`,"max_auth_age":"%dm"`, 1+rng.Intn(20)))
		maybe(fmt.Sprintf(`,"require":{"data.%s":[%d]}`, [...]string{"a", "b"}[rng.Intn(2)], rng.Intn(2)))
	}
	return s + "}"
}

// TestUnsafePathIsHeldToAll: a path that may become any other must satisfy what each of them asks.
func TestUnsafePathIsHeldToAll(t *testing.T) {
	c := policyOf(t, `"rules":[
		{"path_prefix":"/public/","session":"off"},{"path_prefix":"/open","session":"optional","activity":"passive"},
		{"path":"/idle","idle":"5m"},{"path":"/absolute","absolute":"1h"},{"path":"/fresh","max_auth_age":"30m"},
		{"path":"/role","require":{"data.role":["admin"]}},{"path":"/when","when":{"data.x":[1]},"require":{"data.y":[1]}}]`)
	all := `{"role":"admin","y":1}`
	for _, tt := range []struct {
		name, data string
		age, idle  int64
		want       Reason
	}{
		{"meets all", all, 29 * minute, 4 * minute, OK},
		{"idle", all, 29 * minute, 5 * minute, IdleTimeout},
		{"absolute", all, hour, minute, AbsoluteTimeout},
		{"login too old", all, 30 * minute, minute, AuthTooOld},
		{"lacks a role", `{"y":1}`, minute, 0, Forbidden},
		{"lacks what a when-rule asks", `{"role":"admin"}`, minute, 0, Forbidden},
	} {
		for _, path := range []string{"/public/..;/idle", "//public/x", "/public/%2e%2e/x", "*", "/logout;x"} {
			t.Run(tt.name+path, func(t *testing.T) {
				s := with(epoch-tt.age, func(s *cookie.Session) { s.Data = tt.data })
				lines := []string{sessionLine(t, c, s)}
				if tt.idle != 0 {
					lines = append(lines, touchLine(t, c, s.ID, epoch-tt.idle))
				}
				if d := c.Decide(ask(c, Request{Path: path}, lines...), epoch); d.Reason != tt.want {
					t.Errorf("got %v, want %v", d.Reason, tt.want)
				}
				if d := c.Decide(ask(c, Request{Path: path}), epoch); d.Verdict != Login {
					t.Errorf("without a session: %v", d.Reason)
				}
			})
		}
	}
}
