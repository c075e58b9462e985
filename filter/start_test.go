package filter_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/policy"
)

// made is a good secret that anybody can derive: for tests only.
func made(name string) string {
	sum := sha256.Sum256([]byte("filter start test " + name))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// starter starts configs inside the built filter, and says what plain Go makes of each.
type starter struct {
	t       *testing.T
	host    *wasmHost
	started int
}

// run fails the test unless wasm and plain Go agree on a config to the letter: both take it, or both
// refuse it and the log says what the parser says. It reports which.
func (s *starter) run(t *testing.T, config string) bool {
	t.Helper()
	if s.host == nil || s.started%200 == 0 {
		s.host = newWasmHost(s.t, "K="+made("k"), "L="+made("l"), "SHORT=Jk3-short-x9Qf")
	}
	s.started++
	h := s.host
	h.t, h.logged = t, nil
	taken := h.start(config)
	_, err := policy.Parse(config, h.getenv)
	want := ""
	if err != nil {
		want = "curfew does not start: " + err.Error()
	}
	if got := strings.Join(h.logged, "\n"); taken != (err == nil) || got != want {
		t.Errorf("config %.200s\ntaken: %v, log: %s\nwant the log: %s", config, taken, got, want)
	}
	return taken
}

const (
	keys    = `"keys":[{"id":"a","secret_env":"K"}]`
	login   = `"login":{"url":"/login"}`
	minimal = `{` + keys + `,` + login + `}`
)

func with(field string) string  { return `{` + keys + `,` + login + `,` + field + `}` }
func rule(fields string) string { return with(`"rules":[{` + fields + `}]`) }

// The whole of it is in package policy's tests; here is one of each kind, for what wasm may lack.
var badStarts = []struct{ name, config string }{
	{"CF-341 empty", ``},
	{"CF-341 blank", " \n\t"},
	{"CF-342 null", `null`},
	{"CF-342 list", `[` + minimal + `]`},
	{"CF-344 BOM", "\ufeff" + minimal},
	{"CF-345 trailing comma", `{` + keys + `,` + login + `,}`},
	{"CF-345 comment", `{/* */` + keys + `,` + login + `}`},
	{"CF-345 trailing bytes", minimal + `{}`},
	{"CF-345 broken UTF-8", with("\"audience\":\"\xff\"")},
	{"CF-346 duplicate key", with(`"report_only":true,"report_only":false`)},
	{"CF-346 duplicate key, escaped", with(`"audience":"a","audi\u0065nce":"b"`)},
	{"CF-348 wrong case", with(`"Cookie":{}`)},
	{"CF-348 a long name", with(`"` + strings.Repeat("x", 10_000) + `":1`)},
	{"CF-348 a name beyond ASCII", with(`"` + strings.Repeat("漢", 300) + `":1`)},
	{"CF-349 keys missing", `{` + login + `}`},
	{"CF-349 keys null", `{"keys":null,` + login + `}`},
	{"CF-349 id a number", `{"keys":[{"id":202401,"secret_env":"K"}],` + login + `}`},
	{"CF-349 variable not set", `{"keys":[{"id":"a","secret_env":"MISSING"}],` + login + `}`},
	{"CF-350 short", `{"keys":[{"id":"a","secret":"Jk3-short-x9Qf"}],` + login + `}`},
	{"CF-350 short in the variable", `{"keys":[{"id":"a","secret_env":"SHORT"}],` + login + `}`},
	{"CF-350 zeros", `{"keys":[{"id":"a","secret":"` + strings.Repeat("A", 43) + `="}],` + login + `}`},
	{"CF-352 same id", `{"keys":[{"id":"a","secret_env":"K"},{"id":"a","secret_env":"L"}],` + login + `}`},
	{"CF-352 same secret", `{"keys":[{"id":"a","secret_env":"K"},{"id":"b","secret_env":"K"}],` + login + `}`},
	{"CF-353 zero keys", `{"keys":[],` + login + `}`},
	{"CF-354 sample key", `{"keys":[{"id":"a","secret":"REPLACE-ME-with-32-random-bytes-of-yours"}],` + login + `}`},
	{"CF-355 not a time", `{"keys":[{"id":"a","secret_env":"K","sign_from":"2026-11-01"}],` + login + `}`},
	{"CF-355 no leap year", `{"keys":[{"id":"a","secret_env":"K","sign_from":"2100-02-29T08:00:00Z"}],` + login + `}`},
	{"CF-355 ends before it begins", `{"keys":[{"id":"a","secret_env":"K","sign_from":"2026-11-02T00:00:00Z","verify_until":"2026-11-01T00:00:00Z"}],` + login + `}`},
	{"CF-356 zero", with(`"timeouts":{"idle":"0s"}`)},
	{"CF-356 negative", with(`"timeouts":{"idle":"-15m"}`)},
	{"CF-356 overflow", with(`"timeouts":{"idle":"999999999999999999999s"}`)},
	{"CF-356 a number", with(`"timeouts":{"idle":1e400}`)},
	{"CF-356 milliseconds", with(`"timeouts":{"touch":"1500ms"}`)},
	{"CF-357 absolute over 400 days", with(`"timeouts":{"absolute":"9601h"}`)},
	{"CF-358 __Host- with a domain", with(`"cookie":{"domain":"shop.example"}`)},
	{"CF-360 None without Secure", with(`"allow_insecure":true,"cookie":{"name":"s","secure":false,"same_site":"None"}`)},
	{"CF-361 name with a semicolon", with(`"cookie":{"name":"__Host-a;b"}`)},
	{"CF-361 name of 5 KiB", with(`"cookie":{"name":"__Host-` + strings.Repeat("a", 5<<10) + `"}`)},
	{"CF-362 header host", with(`"headers":{"host":"subject"}`)},
	{"CF-362 header in capitals", with(`"headers":{"X-User":"subject"}`)},
	{"CF-362 headers that fold", with(`"headers":{"x-a-b":"subject","x-a_b":"id"}`)},
	{"CF-362 path unknown", with(`"headers":{"x-a":"subjekt"}`)},
	{"CF-362 path with a modifier", with(`"headers":{"x-a":"data.list|@reverse"}`)},
	{"CF-362 path is a modifier", with(`"headers":{"x-a":"@reverse"}`)},
	{"CF-362 path with a query", with(`"headers":{"x-a":"data.list.#(a==1)"}`)},
	{"CF-362 path with a count", with(`"headers":{"x-a":"data.list.#"}`)},
	{"CF-362 path with a wildcard", with(`"headers":{"x-a":"data.na*"}`)},
	{"CF-362 path with another", with(`"headers":{"x-a":"data.nam?"}`)},
	{"CF-362 path with a pipe", with(`"headers":{"x-a":"data|name"}`)},
	{"CF-362 path with a selector", with(`"headers":{"x-a":"data.{a,b}"}`)},
	{"CF-362 path with an array selector", with(`"headers":{"x-a":"data.[a,b]"}`)},
	{"CF-362 path with a literal", with(`"headers":{"x-a":"data.!true"}`)},
	{"CF-362 path with an escape", with(`"headers":{"x-a":"data.a\\.b"}`)},
	{"CF-362 path that descends", with(`"headers":{"x-a":"data..name"}`)},
	{"CF-364 off for /", rule(`"path_prefix":"/","session":"off"`)},
	{"CF-365 when with a query", rule(`"path":"/a","when":{"data.#(a)":["x"]}`)},
	{"CF-365 when with a modifier", rule(`"path":"/a","when":{"data.a.@values":["x"]}`)},
	{"CF-365 require with a wildcard", rule(`"path":"/a","require":{"data.*":["x"]}`)},
	{"CF-365 require with an object", rule(`"path":"/a","require":{"data.a":[{}]}`)},
	{"CF-365 path with ..", rule(`"path":"/a/../b"`)},
	{"CF-365 path with overlong UTF-8", rule(`"path":"/%e0%80%af"`)},
	{"CF-365 session a boolean", rule(`"path":"/a","session":false`)},
	{"CF-366 protected login path", rule(`"path":"/login"`)},
	{"CF-367 login elsewhere", `{` + keys + `,"login":{"url":"https://sso.example/login"}}`},
	{"CF-367 login.url with a line break", `{` + keys + `,"login":{"url":"/login\r\nSet-Cookie: a=b"}}`},
	{"CF-368 depth 17", with(`"rules":` + strings.Repeat("[", 16) + strings.Repeat("]", 16))},
	{"CF-368 depth 10,000", with(`"rules":` + strings.Repeat("[", 9990) + strings.Repeat("]", 9990))},
	{"CF-368 depth 10,000, not closed", strings.Repeat(`{"a":`, 10_000)},
	{"CF-369 over 1 MiB", minimal + strings.Repeat(" ", 1<<20)},
	{"CF-369 a string of 1 MiB", with(`"audience":"` + strings.Repeat("a", 1<<20-200) + `"`)},
	{"CF-371 audience with a control character", with(`"audience":"a\u0000"`)},
	{"CF-371 subject with half a surrogate pair in its time", with(`"revoke":{"subjects":{"42":"\ud800"}}`)},
	{"CF-371 revoke.before not a time", with(`"revoke":{"before":"yesterday"}`)},
}

// full has every field, and each kind of condition and path.
const full = `{
  "cookie":   {"name": "__Host-session", "mode": "sealed", "path": "/", "domain": "", "same_site": "Lax", "secure": true, "partitioned": false},
  "keys":     [{"id": "2026-11", "secret_env": "K", "sign_from": "2026-11-01T00:00:00Z", "verify_until": "2027-11-01T00:00:00Z"}, {"id": "b", "secret_env": "L"}],
  "audience": "shop",
  "timeouts": {"idle": "15m", "absolute": "12h", "touch": "1m", "rotate": "1h", "clock_skew": "1m"},
  "remember": {"idle": "336h", "absolute": "720h"},
  "login":    {"url": "https://sso.example:8443/in?app=shop", "return_param": "next", "reason_param": "reason", "start_on": [{"method": "POST", "path": "/login"}]},
  "logout":   {"path": "/logout", "redirect": "/", "methods": ["POST"]},
  "rules":    [{"path_prefix": "/static/", "session": "off"},
               {"path": "/a", "hosts": ["shop.example"], "methods": ["GET"], "session": "required", "activity": "passive",
                "idle": "5m", "absolute": "1h", "max_auth_age": "10m", "when": {"data.staff": [true]}, "require": {"data.role.0": ["admin", 1.5, -0, 9007199254740993]}}],
  "headers":  {"x-session": "@this", "x-session-subject": "subject", "x-first": "data.list.0"},
  "browser":  {"path": "/.session/", "subject": true, "warn": "30s", "refresh": true, "headers": true},
  "streams":  {"idle": "close", "activity": true},
  "revoke":   {"before": "2026-11-20T00:00:00Z", "subjects": {"zoë o'hara": "2026-10-31T23:59:60Z"}},
  "report_only": false, "bypass_cors_preflight": true, "allow_insecure": false
}`

var goodStarts = []struct{ name, config string }{
	{"minimal", minimal},
	{"full", full},
	{"space around", "\n " + minimal + "\r\n\t"},
	{"inline secret", `{"keys":[{"id":"a","secret":"` + made("inline") + `"}],` + login + `}`},
	{"raw secret beyond ASCII", `{"keys":[{"id":"a","secret":"áéíóúäöüñçàèìòùâ"}],` + login + `}`},
	{"escapes", with(`"audi\u0065nce":"a\u0020b ~ \"c\""`)},
	{"an escaped emoji for a subject", with(`"revoke":{"subjects":{"\ud83d\ude00":"2026-11-20T08:00:00Z"}}`)},
	{"no headers", with(`"headers":{}`)},
	{"plain http", with(`"allow_insecure":true,"cookie":{"name":"session","secure":false}`)},
	{"1 MiB to the byte", minimal + strings.Repeat(" ", 1<<20-len(minimal))},
	{"1,000 rules", with(`"rules":[` + manyRules(999) + `{"path":"/b"}]`)},
	{"10,000 revoked subjects", with(`"revoke":{"subjects":{` + manySubjects(10_000) + `}}`)},
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"path_prefix":"/a/%d","require":{"data.a":["x",1,true]}},`, i)
	}
	return b.String()
}

func manySubjects(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":"2026-11-20T08:00:00Z",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestStarts(t *testing.T) {
	s := &starter{t: t}
	for _, c := range badStarts {
		t.Run("bad "+c.name, func(t *testing.T) {
			if s.run(t, c.config) {
				t.Error("it starts")
			}
		})
	}
	for _, c := range goodStarts {
		t.Run("good "+c.name, func(t *testing.T) {
			if !s.run(t, c.config) {
				t.Errorf("it does not start: %q", s.host.logged)
			}
		})
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := strings.Cut(string(readme), "```json\n")
	config, _, _ = strings.Cut(config, "```")
	t.Run("good README", func(t *testing.T) {
		if !s.run(t, strings.Replace(config, `"CURFEW_KEY"`, `"K"`, 1)) {
			t.Errorf("it does not start: %q", s.host.logged)
		}
	})
}

// The full config, cut anywhere, without any one of its bytes, or with any one value replaced:
// wasm says of each what plain Go says.
func TestStartsOfBentConfigs(t *testing.T) {
	s := &starter{t: t}
	taken, refused := 0, 0
	try := func(config string) {
		if s.run(t, config) {
			taken++
		} else {
			refused++
		}
	}
	for i := range full {
		try(full[:i] + full[i+1:])
		if i%4 == 0 {
			try(full[:i])
		}
	}
	var doc any
	if err := json.Unmarshal([]byte(full), &doc); err != nil {
		t.Fatal(err)
	}
	bend(doc, func(value any) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		try(string(text))
	}, func(inner any) any { return inner })
	if taken < 100 || refused < 1000 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// bend calls each with the whole of a document in which one value is another; whole puts a changed
// value back where it was.
func bend(value any, each func(any), whole func(any) any) {
	for _, other := range []any{nil, true, 0, -1.5, json.Number("1e400"), json.Number("9007199254740993"), "", "x", "\x00", "😀", "15m", []any{}, []any{"x"}, map[string]any{}, map[string]any{"x": 1}} {
		each(whole(other))
	}
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			bend(inner, each, func(changed any) any {
				copied := map[string]any{}
				for n, i := range v {
					copied[n] = i
				}
				copied[name] = changed
				return whole(copied)
			})
		}
	case []any:
		for at, inner := range v {
			bend(inner, each, func(changed any) any {
				copied := append([]any(nil), v...)
				copied[at] = changed
				return whole(copied)
			})
		}
	}
}

// What Go reads from the environment must not wake what the module has cut out.
func TestEnvironment(t *testing.T) {
	for _, setting := range []string{"GODEBUG=fips140=on", "GODEBUG=fips140=only", "GODEBUG=fips140=debug", "GOGC=off", "TZ=Europe/Berlin"} {
		t.Run(setting, func(t *testing.T) {
			h := newWasmHost(t, "K="+made("k"), setting)
			if !h.start(minimal) {
				t.Fatalf("the filter does not start: %q", h.logged)
			}
			h.exchange([][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", "https"}, {":authority", "shop.example"}}, [][2]string{status("303"), command(`{"start":{"subject":"42"}}`)})
			o := outcome{reply: h.toClient}
			h.exchange(pageLoad("/page", [2]string{"cookie", name + "=" + o.setCookie(name)}), [][2]string{status("200")})
			if o.request = h.toApp; o.subject() != "42" {
				t.Errorf("the app saw %v by %q", h.toApp, h.reason)
			}
		})
	}
}
