package filter_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// rich is data with something of every kind, as an app may write it.
const rich = `{"name":"Zoë 😀","n":1,"f":1.0,"e":1e0,"big":9007199254740993,"huge":1e400,"tiny":1e-400,"neg":-0,"yes":true,"no":false,` +
	`"null":null,"empty":"","esc":"a\"b\\c\/d\u00e9","nul":"a\u0000b","tab":"a\tb","pair":"\ud83d\ude00","half":"\ud800",` +
	`"list":["ä",{"b":"\t","c":"d"},[1,[2,{"c":3}]]],"objs":[{"k":"v"},{"k":"w"}],"roles":["user","admin",2,true,null],` +
	`"none":[],"obj":{"x":{"y":{"z":"deep"}}},"0":"zero","a-b":"dash","_":"under","a.b":"dotted","*":"star","@this":"at",` +
	`"k\u0065y":"escaped","role":"user","Role":"admin"}`

// withData is a login whose app says so, and the cookie that the browser has of it.
func (s *site) withData(t *testing.T, data, more string) string {
	t.Helper()
	o := s.request("POST", "/login", nil, status("303"), command(`{"start":{"subject":"42","data":`+data+more+`}}`))
	token := o.setCookie(name)
	if token == "" {
		t.Fatalf("not started: %+v %v", o.local, o.reply)
	}
	return token
}

// headerCases are every documented path and every kind of value below data, and what the app gets.
var headerCases = []struct{ path, want string }{
	{"subject", "42"},
	{"remember", "false"},
	{"refreshed", "false"},
	{"reason", "ok"},
	{"data.name", "Zoë 😀"},
	{"data.n", "1"},
	{"data.f", "1.0"},
	{"data.e", "1e0"},
	{"data.big", "9007199254740993"}, // TM-98
	{"data.huge", "1e400"},
	{"data.tiny", "1e-400"},
	{"data.neg", "-0"},
	{"data.yes", "true"},
	{"data.no", "false"},
	{"data.null", ""},
	{"data.empty", ""},
	{"data.esc", `a"b\c/dé`},
	{"data.nul", ""},
	{"data.tab", ""},
	{"data.pair", "😀"},
	{"data.half", "\ufffd"},
	{"data.list", `["\u00e4",{"b":"\t","c":"d"},[1,[2,{"c":3}]]]`},
	{"data.list.0", "ä"},
	{"data.list.1", `{"b":"\t","c":"d"}`},
	{"data.list.1.b", ""},
	{"data.list.1.c", "d"},
	{"data.list.2.1.1.c", "3"},
	{"data.list.2.1.1", `{"c":3}`},
	{"data.list.3", ""},
	{"data.list.-1", ""},
	{"data.list.99999999999999999999", ""},
	{"data.list.c", ""},
	{"data.objs.k", ""},
	{"data.objs.1.k", "w"},
	{"data.roles.1", "admin"},
	{"data.roles.4", ""},
	{"data.none", "[]"},
	{"data.none.0", ""},
	{"data.obj.x", `{"y":{"z":"deep"}}`},
	{"data.obj.x.y.z", "deep"},
	{"data.obj.x.y.z.more", ""},
	{"data.0", "zero"},
	{"data.a-b", "dash"},
	{"data._", "under"},
	{"data.a.b", ""},
	{"data.key", "escaped"},
	{"data.role", "user"}, // TM-97
	{"data.Role", "admin"},
	{"data.ROLE", ""},
	{"data.name.x", ""},
	{"data.n.0", ""},
	{"data.missing", ""},
	{"data.missing.deeper", ""},
}

func TestHeaderMap(t *testing.T) {
	var fields []string
	for i, c := range headerCases {
		fields = append(fields, fmt.Sprintf(`"x-it-%d": %q`, i, c.path))
	}
	inBoth(t, `, "headers": {`+strings.Join(fields, ", ")+`}`, func(t *testing.T, s *site) {
		o := s.request("GET", "/page", []string{name + "=" + s.withData(t, rich, "")})
		for i, c := range headerCases {
			t.Run(c.path, func(t *testing.T) {
				var want []string
				if c.want != "" {
					want = []string{c.want}
				}
				if diff := cmp.Diff(want, values(o.request, fmt.Sprintf("x-it-%d", i))); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

// The whole document is JSON in ASCII, and its times are also to be had one by one.
func TestDocument(t *testing.T) {
	const fields = `, "headers": {"x-session": "@this", "x-id": "id", "x-started": "started_at", "x-authenticated": "authenticated_at",
		"x-touched": "touched_at", "x-idle": "idle_in", "x-expires": "expires_in", "x-remember": "remember", "x-refreshed": "refreshed", "x-data": "data"}`
	inBoth(t, fields, func(t *testing.T, s *site) {
		session := someone("Zoë 😀")
		session.StartedAt, session.AuthenticatedAt, session.IssuedAt = epoch-600, epoch-500, epoch-400
		session.Data, session.Remember, session.Idle, session.Absolute = rich, true, 1000, 2000
		o := s.request("GET", "/page", []string{name + "=" + s.mint(session)})
		whole := strings.Join(values(o.request, "x-session"), "")
		for i := range len(whole) {
			if whole[i] < ' ' || whole[i] > '~' {
				t.Fatalf("byte %#02x in %s", whole[i], whole)
			}
		}
		id := base64.RawURLEncoding.EncodeToString(session.ID[:])
		doc := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(whole), &doc); err != nil {
			t.Fatalf("%s: %v", whole, err)
		}
		for _, c := range []struct{ field, header, want string }{
			{"id", "x-id", id},
			{"started_at", "x-started", fmt.Sprint(epoch - 600)},
			{"authenticated_at", "x-authenticated", fmt.Sprint(epoch - 500)},
			{"touched_at", "x-touched", fmt.Sprint(epoch)},
			{"idle_in", "x-idle", "1000"},
			{"expires_in", "x-expires", "1400"},
			{"remember", "x-remember", "true"},
			{"refreshed", "x-refreshed", "true"},
		} {
			if got := strings.Join(values(o.request, c.header), ","); got != c.want || strings.Trim(string(doc[c.field]), `"`) != c.want {
				t.Errorf("%s: %s is %q, the document has %s; want %s", c.field, c.header, got, doc[c.field], c.want)
			}
		}
		if got := strings.Join(values(o.request, "x-data"), ","); got != string(doc["data"]) || !equalJSON(t, got, rich) {
			t.Errorf("data: %s, the document has %s", got, doc["data"])
		}
		var subject string
		if err := json.Unmarshal(doc["subject"], &subject); err != nil || subject != session.Subject {
			t.Errorf("subject %s, %v", doc["subject"], err)
		}
		if len(doc) != 12 || string(doc["reason"]) != `"ok"` {
			t.Errorf("document %s", whole)
		}
	})
}

// equalJSON compares values and not spelling; of numbers the digits count.
func equalJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var values [2]any
	for i, text := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return cmp.Equal(values[0], values[1])
}

var conditionCases = []struct {
	path, values string
	met          bool
}{
	{"name", `"Zoë 😀"`, true},
	{"name", `"Zo\u00eb \ud83d\ude00"`, true},
	{"name", `"Zoe 😀"`, false},
	{"name", `"zoë 😀"`, false},
	{"n", `1`, true},
	{"n", `1.0`, true},
	{"n", `10e-1`, true},
	{"n", `1.0000000000000002`, false},
	{"n", `"1"`, false},
	{"n", `true`, false},
	{"n", `2, 3, 1`, true},
	{"f", `1`, true},
	{"e", `1`, true},
	{"big", `9007199254740993`, true}, // TM-98: as a float it would be its neighbour
	{"big", `9007199254740992`, false},
	{"big", `9007199254740994`, false},
	{"huge", `1e400`, true},
	{"huge", `1e401`, false},
	{"neg", `0`, true},
	{"neg", `-0`, true},
	{"yes", `true`, true},
	{"yes", `false`, false},
	{"yes", `"true"`, false},
	{"yes", `1`, false},
	{"no", `false`, true},
	{"no", `0`, false},
	{"null", `false, 0, ""`, false},
	{"missing", `false, 0, ""`, false},
	{"missing.deeper", `""`, false},
	{"empty", `""`, true},
	{"nul", `"a\u0000b"`, true},
	{"nul", `"a"`, false},
	{"tab", `"a\tb"`, true},
	{"pair", `"😀"`, true},
	{"esc", `"a\"b\\c/dé"`, true},
	{"roles", `"admin"`, true},
	{"roles", `"root", 2`, true},
	{"roles", `true`, true},
	{"roles", `"root"`, false},
	{"roles", `""`, false},
	{"none", `""`, false},
	{"list", `"ä"`, true},
	{"list", `"d"`, false},
	{"list", `1`, false},
	{"list.1.c", `"d"`, true},
	{"list.2", `1`, true},
	{"list.2", `2`, false},
	{"list.2.1.1.c", `3`, true},
	{"objs", `"v"`, false},
	{"objs.k", `"v"`, false},
	{"objs.0.k", `"v"`, true},
	{"obj", `"deep"`, false},
	{"obj.x.y.z", `"deep"`, true},
	{"0", `"zero"`, true},
	{"key", `"escaped"`, true},
	{"role", `"admin"`, false}, // TM-97
	{"Role", `"admin"`, true},
}

// Conditions of `when` and `require` on the same data: each stands as a require, which must be met,
// and as a when, whose rule then refuses everybody.
func TestConditions(t *testing.T) {
	var rules []string
	for i, c := range conditionCases {
		rules = append(rules, fmt.Sprintf(`{"path": "/require/%d", "require": {"data.%s": [%s]}}`, i, c.path, c.values),
			fmt.Sprintf(`{"path": "/when/%d", "when": {"data.%s": [%s]}, "require": {"data.never": [true]}}`, i, c.path, c.values))
	}
	inBoth(t, `, "rules": [`+strings.Join(rules, ", ")+`]`, func(t *testing.T, s *site) {
		cookies := []string{name + "=" + s.withData(t, rich, "")}
		for i, c := range conditionCases {
			t.Run(c.path+" "+c.values, func(t *testing.T) {
				for kind, passes := range map[string]bool{"require": c.met, "when": !c.met} {
					o := s.request("GET", fmt.Sprintf("/%s/%d", kind, i), cookies)
					switch {
					case passes:
						o.want(t, "42")
					case o.local == nil || o.local.StatusCode != 403:
						t.Errorf("%s: %+v, the app saw %q; want 403", kind, o.local, o.subject())
					}
				}
			})
		}
	})
}

var startCases = []struct {
	name, data, more string
	want             cookie.Session
}{
	{"rich", rich, "", cookie.Session{Data: rich}},
	{"nothing", `{}`, "", cookie.Session{}},
	{"spaces", "{ \"a b\" :\n[ 1 ,\t\" \" ] }", "", cookie.Session{Data: `{"a b":[1," "]}`}},
	{"own timeouts", `{}`, `,"idle":"5m","absolute":"1h0m1s"`, cookie.Session{Idle: 300, Absolute: 3601}},
	{"longest timeouts", `{}`, `,"idle":"9600h","absolute":"9600h"`, cookie.Session{Idle: cookie.MaxOverride, Absolute: cookie.MaxOverride}},
	{"remembered", `{"a":"\u2028"}`, `,"remember":true`, cookie.Session{Data: `{"a":"\u2028"}`, Remember: true}},
	{"TM-97 case twins", `{"sub":1,"SUB":2,"Sub":3}`, "", cookie.Session{Data: `{"sub":1,"SUB":2,"Sub":3}`}},
	{"TM-98 numbers", `{"a":[1e400,-0,9007199254740993,1E+2,0.10]}`, "", cookie.Session{Data: `{"a":[1e400,-0,9007199254740993,1E+2,0.10]}`}},
	{"TM-100 an escaped NUL in data", `{"a":"\u0000"}`, "", cookie.Session{Data: `{"a":"\u0000"}`}},
	{"emoji for a name", `{"😀":{"":"😀"}}`, "", cookie.Session{Data: `{"😀":{"":"😀"}}`}},
	{"16 levels", `{"a":` + nested(13) + `}`, "", cookie.Session{Data: `{"a":` + nested(13) + `}`}},
	{"brackets in a string", `{"a":"` + strings.Repeat("[{", 100) + `"}`, "", cookie.Session{Data: `{"a":"` + strings.Repeat("[{", 100) + `"}`}},
	{"1,000 numbers", `{"a":[` + strings.Repeat("1,", 999) + `1]}`, "", cookie.Session{Data: `{"a":[` + strings.Repeat("1,", 999) + `1]}`}},
}

// What an app starts a session with is what the cookie keeps, without the spaces.
func TestStartData(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range startCases {
			t.Run(c.name, func(t *testing.T) {
				token := s.withData(t, c.data, c.more)
				got, err := s.codec.Open(token, epoch+60)
				c.want.Subject, c.want.ID = "42", got.Session.ID
				c.want.StartedAt, c.want.AuthenticatedAt, c.want.IssuedAt = got.Session.StartedAt, got.Session.StartedAt, got.Session.StartedAt
				if diff := cmp.Diff(c.want, got.Session); err != nil || got.Session.StartedAt < epoch || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
				o := s.request("GET", "/page", []string{name + "=" + token})
				o.want(t, "42")
			})
		}
	})
}
