package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// begin is what Respond knows of a request to the start route.
func begin() *Origin { return &Origin{CanStart: true} }

func nested(depth int) string {
	return `{"start":{"subject":"u","data":` + strings.Repeat(`{"a":`, depth-2) + "1" + strings.Repeat("}", depth)
}

// padded is a good command of n bytes.
func padded(n int) string {
	s := `{"end":true}`
	return s + strings.Repeat(" ", n-len(s))
}

var commandFaults = []struct {
	name   string
	values []string
	want   Fault
}{
	{"LG-168 two headers", []string{`{"end":true}`, `{"end":true}`}, FaultMany},
	{"two headers, one empty", []string{"", `{"end":true}`}, FaultMany},
	{"LG-168 comma list", []string{`{"end":true}, {"end":true}`}, FaultJSON},
	{"LG-169 empty", []string{""}, FaultSize},
	{"LG-169 blank", []string{" "}, FaultJSON},
	{"LG-170 8192 bytes", []string{padded(8192)}, ""},
	{"LG-170 8193 bytes", []string{padded(8193)}, FaultSize},
	{"LG-170 64 KiB", []string{padded(64 << 10)}, FaultSize},
	{"LG-170 1 MiB", []string{padded(1 << 20)}, FaultSize},
	{"LG-170 5 KiB of data", []string{`{"start":{"subject":"u","data":{"a":"` + strings.Repeat("x", 5<<10) + `"}}}`}, FaultTooLarge},
	{"LG-172 CRLF", []string{"{\"start\":{\"subject\":\"u\r\nSet-Cookie: N=B\"}}"}, FaultJSON},
	{"LG-172 escaped CRLF", []string{`{"start":{"subject":"u\r\nSet-Cookie: N=B"}}`}, FaultSubject},
	{"LG-177 start and end", []string{`{"start":{"subject":"u"},"end":true}`}, FaultTogether},
	{"not JSON", []string{"start"}, FaultJSON},
	{"single quotes", []string{`{'end':true}`}, FaultJSON},
	{"trailing comma", []string{`{"end":true,}`}, FaultJSON},
	{"text behind", []string{`{"end":true}x`}, FaultJSON},
	{"cut short", []string{`{"end":true`}, FaultJSON},
	{"byte order mark", []string{"\ufeff" + `{"end":true}`}, FaultJSON},
	{"not UTF-8", []string{"{\"start\":{\"subject\":\"\xff\"}}"}, FaultJSON},
	{"NUL", []string{"{\"end\":true}\x00"}, FaultJSON},
	{"list", []string{`[{"end":true}]`}, FaultJSON},
	{"string", []string{`"end"`}, FaultJSON},
	{"null", []string{"null"}, FaultJSON},
	{"TM-96 name twice", []string{`{"end":true,"end":true}`}, FaultJSON},
	{"TM-96 name twice, escaped", []string{`{"end":true,"\u0065nd":true}`}, FaultJSON},
	{"TM-96 subject twice", []string{`{"start":{"subject":"u","subject":"root"}}`}, FaultJSON},
	{"TM-96 twice in data", []string{`{"start":{"subject":"u","data":{"a":1,"a":2}}}`}, FaultJSON},
	{"TM-96 twice in a list in data", []string{`{"start":{"subject":"u","data":{"l":[{"a":1,"a":2}]}}}`}, FaultJSON},
	{"same name at two levels", []string{`{"start":{"subject":"u","data":{"a":{"a":1}}}}`}, ""},
	{"TM-97 case twin", []string{`{"start":{"subject":"u","Subject":"root"}}`}, FaultUnknown},
	{"depth 16", []string{nested(16)}, ""},
	{"depth 17", []string{nested(17)}, FaultJSON},
	{"depth 4000", []string{`{"start":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + "}"}, FaultJSON},
	{"brackets in a string", []string{`{"start":{"subject":"` + strings.Repeat("[", 40) + `"}}`}, ""},
	{"brackets in a string with quotes", []string{`{"start":{"subject":"\"` + strings.Repeat("{", 40) + `"}}`}, ""},
	{"no command", []string{"{}"}, FaultEmpty},
	{"unknown command", []string{`{"begin":{"subject":"u"}}`}, FaultUnknown},
	{"unknown command with a known one", []string{`{"end":true,"x":1}`}, FaultUnknown},
	{"command in other case", []string{`{"End":true}`}, FaultUnknown},
	{"end false", []string{`{"end":false}`}, FaultType},
	{"end null", []string{`{"end":null}`}, FaultType},
	{"end as string", []string{`{"end":"true"}`}, FaultType},
	{"end as number", []string{`{"end":1}`}, FaultType},
	{"start true", []string{`{"start":true}`}, FaultType},
	{"start null", []string{`{"start":null}`}, FaultType},
	{"start a list", []string{`{"start":[]}`}, FaultType},
	{"start empty", []string{`{"start":{}}`}, FaultSubject},
	{"no subject", []string{`{"start":{"data":{}}}`}, FaultSubject},
	{"empty subject", []string{`{"start":{"subject":""}}`}, FaultSubject},
	{"subject a number", []string{`{"start":{"subject":42}}`}, FaultSubject},
	{"subject null", []string{`{"start":{"subject":null}}`}, FaultSubject},
	{"subject an object", []string{`{"start":{"subject":{"a":1}}}`}, FaultSubject},
	{"TM-100 NUL in subject", []string{`{"start":{"subject":"a\u0000b"}}`}, FaultSubject},
	{"half a pair in subject", []string{`{"start":{"subject":"a\ud800"}}`}, FaultSubject},
	{"half a pair that would swallow a letter", []string{`{"start":{"subject":"a\ud800\u0041"}}`}, FaultSubject},
	{"delete byte in subject", []string{`{"start":{"subject":"a\u007fb"}}`}, FaultSubject},
	{"space before subject", []string{`{"start":{"subject":" a"}}`}, FaultSubject},
	{"space after subject", []string{`{"start":{"subject":"a "}}`}, FaultSubject},
	{"subject of 256 bytes", []string{`{"start":{"subject":"` + strings.Repeat("a", 256) + `"}}`}, ""},
	{"subject of 257 bytes", []string{`{"start":{"subject":"` + strings.Repeat("a", 257) + `"}}`}, FaultSubject},
	{"unknown field", []string{`{"start":{"subject":"u","admin":true}}`}, FaultUnknown},
	{"data a string", []string{`{"start":{"subject":"u","data":"{}"}}`}, FaultType},
	{"data a list", []string{`{"start":{"subject":"u","data":[]}}`}, FaultType},
	{"data null", []string{`{"start":{"subject":"u","data":null}}`}, FaultType},
	{"remember a string", []string{`{"start":{"subject":"u","remember":"true"}}`}, FaultType},
	{"remember null", []string{`{"start":{"subject":"u","remember":null}}`}, FaultType},
	{"idle a number", []string{`{"start":{"subject":"u","idle":900}}`}, FaultTimeout},
	{"TI-110 idle exponent", []string{`{"start":{"subject":"u","idle":"1e3s"}}`}, FaultTimeout},
	{"TI-110 idle fraction", []string{`{"start":{"subject":"u","idle":"1.5h"}}`}, FaultTimeout},
	{"TI-104 idle negative", []string{`{"start":{"subject":"u","idle":"-5m"}}`}, FaultTimeout},
	{"idle empty", []string{`{"start":{"subject":"u","idle":""}}`}, FaultTimeout},
	{"idle zero", []string{`{"start":{"subject":"u","idle":"0s"}}`}, FaultTimeout},
	{"idle of a second", []string{`{"start":{"subject":"u","idle":"1s"}}`}, ""},
	{"idle of nothing", []string{`{"start":{"subject":"u","idle":"0s"}}`}, FaultTimeout},
	{"idle of two touches", []string{`{"start":{"subject":"u","idle":"120s"}}`}, ""},
	{"absolute of 9600 h", []string{`{"start":{"subject":"u","absolute":"9600h"}}`}, ""},
	{"absolute over 9600 h", []string{`{"start":{"subject":"u","absolute":"9600h1s"}}`}, FaultTimeout},
	{"TI-109 absolute overflow", []string{`{"start":{"subject":"u","absolute":"99999999999999999999h"}}`}, FaultTimeout},
	{"TI-113 absolute under idle", []string{`{"start":{"subject":"u","idle":"2h","absolute":"1h"}}`}, ""},
	{"white space", []string{" {\"end\" : true}\n"}, ""},
	{"keep a string", []string{`{"start":{"subject":"u","keep":"true"}}`}, FaultType},
	{"keep null", []string{`{"start":{"subject":"u","keep":null}}`}, FaultType},
	{"keep 1", []string{`{"start":{"subject":"u","keep":1}}`}, FaultType},
	{"keep", []string{`{"start":{"subject":"u","keep":true}}`}, ""},
	{"do not keep", []string{`{"start":{"subject":"u","keep":false}}`}, ""},
	{"set", []string{`{"set":{"a":1}}`}, ""},
	{"set null", []string{`{"set":null}`}, FaultType},
	{"set true", []string{`{"set":true}`}, FaultType},
	{"set a list", []string{`{"set":[{"a":1}]}`}, FaultType},
	{"set a string", []string{`{"set":"{}"}`}, FaultType},
	{"set a number", []string{`{"set":1}`}, FaultType},
	{"set twice", []string{`{"set":{"a":1},"set":{"b":1}}`}, FaultJSON},
	{"set one name twice", []string{`{"set":{"a":1,"\u0061":2}}`}, FaultJSON},
	{"set of depth 16", []string{`{"set":` + strings.Repeat(`{"a":`, 15) + "1" + strings.Repeat("}", 16)}, ""},
	{"set of depth 17", []string{`{"set":` + strings.Repeat(`{"a":`, 16) + "1" + strings.Repeat("}", 17)}, FaultJSON},
	{"Set", []string{`{"Set":{"a":1}}`}, FaultUnknown},
	{"expire_in", []string{`{"expire_in":"300s"}`}, ""},
	{"expire_in of a second", []string{`{"expire_in":"1s"}`}, ""},
	{"expire_in of 9600 h", []string{`{"expire_in":"9600h"}`}, ""},
	{"expire_in over 9600 h", []string{`{"expire_in":"9600h1s"}`}, FaultTimeout},
	{"expire_in nothing", []string{`{"expire_in":"0s"}`}, FaultTimeout},
	{"expire_in a number", []string{`{"expire_in":300}`}, FaultTimeout},
	{"expire_in 0", []string{`{"expire_in":0}`}, FaultTimeout},
	{"expire_in true", []string{`{"expire_in":true}`}, FaultTimeout},
	{"expire_in a list", []string{`{"expire_in":["300s"]}`}, FaultTimeout},
	{"expire_in Browser", []string{`{"expire_in":"Browser"}`}, FaultTimeout},
	{"expire_in empty", []string{`{"expire_in":""}`}, FaultTimeout},
	{"expire_in as text of null", []string{`{"expire_in":"null"}`}, FaultTimeout},
	{"expire_in browser", []string{`{"expire_in":"browser"}`}, ""},
	{"expire_in inside start", []string{`{"start":{"subject":"u","expire_in":"300s"}}`}, FaultUnknown},
	{"remember", []string{`{"remember":true}`}, ""},
	{"remember command a string", []string{`{"remember":"true"}`}, FaultType},
	{"remember command null", []string{`{"remember":null}`}, FaultType},
	{"remember command 0", []string{`{"remember":0}`}, FaultType},
	{"rotate", []string{`{"rotate":true}`}, ""},
	{"rotate false", []string{`{"rotate":false}`}, FaultType},
	{"rotate null", []string{`{"rotate":null}`}, FaultType},
	{"rotate a string", []string{`{"rotate":"true"}`}, FaultType},
	{"all but start and end", []string{`{"rotate":true,"remember":true,"expire_in":"5m","set":{"a":1}}`}, ""},
	{"start and expire_in", []string{`{"start":{"subject":"u"},"expire_in":"5m"}`}, ""},
	{"expire_in and start", []string{`{"expire_in":null,"start":{"subject":"u"}}`}, ""},
	{"start and set", []string{`{"start":{"subject":"u"},"set":{"a":1}}`}, FaultTogether},
	{"set and start", []string{`{"set":{},"start":{"subject":"u"}}`}, FaultTogether},
	{"start and remember", []string{`{"start":{"subject":"u"},"remember":false}`}, FaultTogether},
	{"start and rotate", []string{`{"rotate":true,"start":{"subject":"u"}}`}, FaultTogether},
	{"end and start", []string{`{"end":true,"start":{"subject":"u"}}`}, FaultTogether},
	{"end and set", []string{`{"end":true,"set":{"a":1}}`}, FaultTogether},
	{"set of nothing and end", []string{`{"set":{},"end":true}`}, FaultTogether},
	{"end and expire_in", []string{`{"end":true,"expire_in":null}`}, FaultTogether},
	{"end and remember", []string{`{"remember":false,"end":true}`}, FaultTogether},
	{"end and rotate", []string{`{"end":true,"rotate":true}`}, FaultTogether},
	{"a good one before a bad one", []string{`{"set":{"a":1},"rotate":1}`}, FaultType},
	{"a bad one before a good one", []string{`{"expire_in":1,"set":{"a":1}}`}, FaultTimeout},
}

func TestCommandFaults(t *testing.T) {
	c := policyOf(t)
	for _, tt := range commandFaults {
		t.Run(tt.name, func(t *testing.T) {
			o := begin()
			o.Live, o.HadTouch = true, true
			reply := c.Respond(o, &Response{Status: 200, Commands: tt.values}, epoch, counting())
			if tt.want != "" {
				// A fault leaves nothing behind: no cookie, no id, and no word of the app's.
				if diff := cmp.Diff(Reply{Reason: BadCommand, Fault: tt.want}, reply); diff != "" {
					t.Error(diff)
				}
				return
			}
			if reply.Fault != "" || len(reply.Cookies) == 0 {
				t.Errorf("got %v %q", reply.Reason, reply.Fault)
			}
		})
	}
}

// idOnly has randomness for the id, and none for the nonce after it.
func idOnly() func([]byte) error {
	calls := 0
	return func([]byte) error {
		if calls++; calls > 1 {
			return errNoRandom
		}
		return nil
	}
}

func TestStartIsAllowed(t *testing.T) {
	c, insecure := policyOf(t), policyOf(t, `"allow_insecure":true`)
	late := policyOf(t, `"keys":[`+keyJSON("a", epoch+1)+`]`)
	sealed := policyOf(t, `"cookie":{"mode":"sealed"}`)
	post := Request{Method: "POST", Path: "/login"}
	for _, tt := range []struct {
		name   string
		c      *Config
		r      Request
		resp   Response
		random func([]byte) error
		want   Fault
	}{
		{"200", c, post, Response{Status: 200}, counting(), ""},
		{"LG-166 302", c, post, Response{Status: 302}, counting(), ""},
		{"LG-166 399", c, post, Response{Status: 399}, counting(), ""},
		{"LG-166 400", c, post, Response{Status: 400}, counting(), FaultStatus},
		{"LG-166 401", c, post, Response{Status: 401}, counting(), FaultStatus},
		{"LG-166 500", c, post, Response{Status: 500}, counting(), FaultStatus},
		{"LG-164 another path", c, Request{Method: "POST", Path: "/page"}, Response{Status: 200}, counting(), FaultRoute},
		{"LG-165 another method", c, Request{Path: "/login"}, Response{Status: 200}, counting(), FaultRoute},
		{"LG-165 below the path", c, Request{Method: "POST", Path: "/login/x"}, Response{Status: 200}, counting(), FaultRoute},
		{"LG-165 path in other case", c, Request{Method: "POST", Path: "/Login"}, Response{Status: 200}, counting(), FaultRoute},
		{"LG-165 unsafe form", c, Request{Method: "POST", Path: "/login;x"}, Response{Status: 200}, counting(), FaultRoute},
		{"LG-180 preflight", c, Request{Method: "OPTIONS", Path: "/login", Origin: "https://x", RequestMethod: "POST"}, Response{Status: 200}, counting(), FaultRoute},
		{"RP-130 plain http", c, Request{Method: "POST", Path: "/login", Scheme: "http"}, Response{Status: 200}, counting(), FaultInsecure},
		{"RP-130 scheme in other case", c, Request{Method: "POST", Path: "/login", Scheme: "HTTP"}, Response{Status: 200}, counting(), FaultInsecure},
		{"plain http, allowed", insecure, Request{Method: "POST", Path: "/login", Scheme: "http"}, Response{Status: 200}, counting(), ""},
		{"LG-178 age", c, post, Response{Status: 200, Age: "10"}, counting(), FaultStored},
		{"LG-178 age 0", c, post, Response{Status: 200, Age: "0"}, counting(), FaultStored},
		{"no key signs", late, post, Response{Status: 200}, counting(), FaultNoKey},
		{"no randomness", c, post, Response{Status: 200}, noRandom, FaultRandomness},
		{"no randomness, sealed", sealed, post, Response{Status: 200}, noRandom, FaultRandomness},
		{"no randomness for the nonce", sealed, post, Response{Status: 200}, idOnly(), FaultRandomness},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alive := sessionLine(t, policyOf(t), someone(epoch))
			asked := ask(tt.c, tt.r, alive)
			d := tt.c.Decide(asked, epoch)
			o := keep(tt.c, asked, &d, epoch)
			tt.resp.Commands = []string{`{"start":{"subject":"u"}}`}
			reply := tt.c.Respond(&o, &tt.resp, epoch, tt.random)
			if tt.want != "" {
				if diff := cmp.Diff(Reply{Reason: BadCommand, Fault: tt.want}, reply); diff != "" {
					t.Error(diff)
				}
			} else if reply.Reason != Started || len(reply.Cookies) == 0 {
				t.Errorf("got %v %q", reply.Reason, reply.Fault)
			}
		})
	}
}

func TestStartWrites(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		c := policyOf(t, `"cookie":{"mode":"`+mode+`"}`)
		for _, tt := range []struct {
			name, start string
			want        cookie.Session
			maxAge      string
		}{
			{"least", `{"subject":"u"}`, cookie.Session{Subject: "u"}, ""},
			{"data", `{"subject":"u", "data": { "b" : [1, 2.50], "a":"x y" } }`, cookie.Session{Subject: "u", Data: `{"b":[1,2.50],"a":"x y"}`}, ""},
			{"TM-98 numbers stay as written", `{"subject":"u","data":{"n":[1e400,-0,9007199254740993]}}`, cookie.Session{Subject: "u", Data: `{"n":[1e400,-0,9007199254740993]}`}, ""},
			{"empty data", `{"subject":"u","data":{ }}`, cookie.Session{Subject: "u"}, ""},
			{"remember", `{"subject":"u","remember":true}`, cookie.Session{Subject: "u", Remember: true}, "; Max-Age=2592000"},
			{"do not remember", `{"subject":"u","remember":false}`, cookie.Session{Subject: "u"}, ""},
			{"own timeouts", `{"subject":"u","idle":"2m","absolute":"1h"}`, cookie.Session{Subject: "u", Idle: 120, Absolute: 3600}, ""},
			{"remember for an hour", `{"subject":"u","remember":true,"absolute":"1h"}`, cookie.Session{Subject: "u", Remember: true, Absolute: 3600}, "; Max-Age=3600"},
			{"UTF-8", `{"subject":"Zo\u00eb \ud83d\ude00"}`, cookie.Session{Subject: "Zoë 😀"}, ""},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				b := newBrowser(t)
				b.login(c, tt.start, epoch)
				d, _ := b.do(c, Request{}, Response{Status: 200}, epoch)
				tt.want.StartedAt, tt.want.AuthenticatedAt, tt.want.IssuedAt = epoch, epoch, epoch
				tt.want.ID = d.Session.ID
				if diff := cmp.Diff(tt.want, d.Session); diff != "" || d.Reason != OK {
					t.Error(d.Reason, diff)
				}
				if want := "__Host-session=" + b.values["__Host-session"] + tt.maxAge + "; Path=/; HttpOnly; Secure; SameSite=Lax"; b.lines[0] != want {
					t.Errorf("got %s\nwant %s", b.lines[0], want)
				}
			})
		}
	}
}

// TestFaultsAreConstants: each says a rule and nothing else, so a log line can carry it.
func TestFaultsAreConstants(t *testing.T) {
	all := []Fault{FaultUnreadable,
		FaultMany, FaultSize, FaultJSON, FaultUnknown, FaultType, FaultTogether, FaultEmpty, FaultSubject, FaultTimeout,
		FaultRoute, FaultStatus, FaultInsecure, FaultStored, FaultNoSession, FaultOff, FaultTooLarge, FaultNoKey, FaultRandomness,
	}
	seen := map[Fault]bool{}
	for _, f := range all {
		if f == "" || seen[f] || strings.ContainsAny(string(f), "\r\n\"%") {
			t.Errorf("%q", f)
		}
		seen[f] = true
	}
	for err, want := range map[error]Fault{cookie.ErrTooLarge: FaultTooLarge, cookie.ErrInvalidSession: FaultTooLarge, cookie.ErrKey: FaultNoKey, cookie.ErrInvalidSession: FaultTooLarge, errors.New("x"): FaultRandomness} {
		if got := sealFault(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"end":true}`, `{"start":{"subject":"u","data":{"a":[1,"x",null]},"remember":true,"idle":"5m","absolute":"1h"}}`,
		`{"start":{"subject":"u","keep":true},"expire_in":"browser"}`, `{"set":{"a":null},"rotate":true,"remember":false,"expire_in":null}`, `{"start":{"subject":"\ud800"}}`, `{"start":{"subject":"\ud800\u0041"}}`, `{"start":{"subject":"u","data":{"a":"` + "\x7f" + `"}}}`, `{"start":{"subject":"u","data":{"\u0000":"\u007f"}}}`, nested(16), nested(17), `{"a":{"a":`, "[[[[", `"\`,
	} {
		f.Add(seed, byte(0))
		f.Add(seed, byte(1))
	}
	configs := []*Config{policyOf(f, `"headers":{"x-session":"@this"}`), policyOf(f, `"cookie":{"mode":"sealed"}`, `"headers":{"x-session":"@this"}`)}
	f.Fuzz(func(t *testing.T, text string, which byte) {
		c := configs[int(which)%len(configs)]
		reply := c.Respond(begin(), &Response{Status: 200, Commands: []string{text}}, epoch, counting())
		switch reply.Reason {
		case BadCommand:
			if reply.Fault == "" || len(reply.Cookies) != 0 {
				t.Fatalf("%+v", reply)
			}
			return
		case Ended:
			return
		case Started:
		default:
			t.Fatalf("%+v", reply)
		}
		b := newBrowser(t)
		b.take(reply.Cookies)
		d, _ := b.do(c, Request{}, Response{Status: 200}, epoch)
		if d.Reason != OK || d.Session.Subject == "" || d.Session.ID != reply.Session.ID {
			t.Fatalf("what was started is %v", d.Reason)
		}
		var want struct {
			Start struct {
				Subject string
				Data    json.RawMessage
			}
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil || want.Start.Subject != d.Session.Subject {
			t.Fatalf("subject %q of %q: %v", d.Session.Subject, text, err)
		}
		var data bytes.Buffer
		if len(want.Start.Data) > 0 {
			if err := json.Compact(&data, want.Start.Data); err != nil {
				t.Fatal(err)
			}
		}
		if got := data.String(); got != d.Session.Data && (got != "{}" || d.Session.Data != "") {
			t.Fatalf("data %q, want %q", d.Session.Data, got)
		}
		c.Headers(&d, epoch, func(_, value string) {
			if !json.Valid([]byte(value)) {
				t.Fatalf("the app gets %q", value)
			}
			for i := range len(value) {
				if value[i] < ' ' || value[i] >= 0x7f {
					t.Fatalf("byte %#02x in a header", value[i])
				}
			}
		})
	})
}

// written is the session that a reply gives the browser, in whichever of the two cookies.
func written(t testing.TB, c *Config, reply *Reply, at int64) cookie.Session {
	t.Helper()
	for _, line := range reply.Cookies {
		name, value, _ := strings.Cut(line, "=")
		if value, _, _ = strings.Cut(value, ";"); value != "" && (name == c.Cookie.Name || name == c.Cookie.Name+cookie.RenewedSuffix) {
			return held(t, c, value, at)
		}
	}
	t.Fatalf("%v sets no session: %v", reply.Reason, reply.Cookies)
	return cookie.Session{}
}

// held is the session in a token, with memory of its own.
func held(t testing.TB, c *Config, token string, at int64) cookie.Session {
	t.Helper()
	o, err := c.codec.Open(renewalToken(token), at)
	if err != nil {
		t.Fatal(err)
	}
	o.Session.Detach(nil)
	return o.Session
}

// TestWhoMayWrite: what asks to write a session needs one that the app saw, or may begin one.
func TestWhoMayWrite(t *testing.T) {
	c, open := policyOf(t), policyOf(t, `"anonymous":true`)
	insecure := policyOf(t, `"anonymous":true`, `"allow_insecure":true`)
	live := someone(epoch)
	set, others := `{"set":{"a":1}}`, `{"expire_in":"5m","remember":true,"rotate":true}`
	all := `{"set":{"a":1},"expire_in":"5m","remember":true,"rotate":true}`
	for _, tt := range []struct {
		name    string
		c       *Config
		o       Origin
		command string
		age     string
		want    Fault
		done    Reason
	}{
		{"set on a live session", c, Origin{Live: true, Session: live}, set, "", "", Changed},
		{"set on a live session over plain http", c, Origin{Live: true, Session: live, Insecure: true}, set, "", "", Changed},
		{"set from a cache", c, Origin{Live: true, Session: live}, set, "0", FaultStored, BadCommand},
		{"rotate from a cache", c, Origin{Live: true, Session: live}, `{"rotate":true}`, "1", FaultStored, BadCommand},
		{"set without a session", c, Origin{}, set, "", FaultNoSession, BadCommand},
		{"set without a session, anonymous", open, Origin{}, set, "", "", Opened},
		{"set of nothing without a session, anonymous", open, Origin{}, `{"set":{}}`, "", "", OK},
		{"set that only deletes without a session, anonymous", open, Origin{}, `{"set":{"a":null}}`, "", "", OK},
		{"set over a dead session, anonymous", open, Origin{Drop: true}, set, "", "", Opened},
		{"set where one may hide", open, Origin{Closed: true}, set, "", FaultNoSession, BadCommand},
		{"set of nothing where one may hide", open, Origin{Closed: true}, `{"set":{}}`, "", FaultNoSession, BadCommand},
		{"set over plain http, anonymous", open, Origin{Insecure: true}, set, "", FaultInsecure, BadCommand},
		{"set over plain http, anonymous, allowed", insecure, Origin{Insecure: true}, set, "", "", Opened},
		{"expire_in without a session", c, Origin{}, `{"expire_in":"5m"}`, "", FaultNoSession, BadCommand},
		{"expire_in without a session, anonymous", open, Origin{}, `{"expire_in":"5m"}`, "", FaultNoSession, BadCommand},
		{"remember without a session, anonymous", open, Origin{}, `{"remember":true}`, "", FaultNoSession, BadCommand},
		{"rotate without a session, anonymous", open, Origin{}, `{"rotate":true}`, "", FaultNoSession, BadCommand},
		{"others without a session, anonymous", open, Origin{}, others, "", FaultNoSession, BadCommand},
		{"others with a set, anonymous", open, Origin{}, all, "", "", Opened},
		{"others with a set", c, Origin{}, all, "", FaultNoSession, BadCommand},
		{"end without a session", c, Origin{}, `{"end":true}`, "", "", Ended},
		{"end over plain http", c, Origin{Live: true, Session: live, Insecure: true}, `{"end":true}`, "", "", Ended},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply := tt.c.Respond(&tt.o, &Response{Status: 200, Commands: []string{tt.command}, Age: tt.age}, epoch, counting())
			if reply.Reason != tt.done || reply.Fault != tt.want {
				t.Errorf("got %v %q", reply.Reason, reply.Fault)
			}
			if reply.Reason == BadCommand && len(reply.Cookies) != 0 {
				t.Errorf("a fault set %v", reply.Cookies)
			}
			if s := reply.Session; tt.done == Opened && (s.Subject != "" || s.AuthenticatedAt != 0 || s.Data != `{"a":1}` || s.Revision != 0 || s.StartedAt != epoch || s.IssuedAt != epoch || s.ID == cookie.ID{}) {
				t.Errorf("opened %+v", s)
			}
		})
	}
}

// TestEveryCombination puts every set of commands in every state of a session: each ends as a fault
// without a cookie, or as exactly what was asked.
func TestEveryCombination(t *testing.T) {
	c := policyOf(t, `"anonymous":true`)
	parts := []string{`"start":{"subject":"u","data":{"s":1}}`, `"set":{"a":1}`, `"expire_in":"5m"`, `"remember":true`, `"rotate":true`, `"end":true`}
	const start, set, expire, remember, rotate, end = 1, 2, 4, 8, 16, 32
	for which := 1; which < 1<<len(parts); which++ {
		for _, live := range []bool{false, true} {
			var chosen []string
			for i, part := range parts {
				if which>>i&1 == 1 {
					chosen = append(chosen, part)
				}
			}
			command := "{" + strings.Join(chosen, ",") + "}"
			o := Origin{CanStart: true, Live: live, Seen: epoch}
			if live {
				o.Session = someone(epoch - minute)
			}
			reply := c.Respond(&o, &Response{Status: 200, Commands: []string{command}}, epoch, counting())
			want, fault := Changed, Fault("")
			switch {
			case which&end != 0 && which != end, which&start != 0 && which&^(start|expire) != 0:
				want, fault = BadCommand, FaultTogether
			case which == end:
				want = Ended
			case which&start != 0:
				want = Started
			case !live && which&set == 0:
				want, fault = BadCommand, FaultNoSession
			case !live:
				want = Opened
			case which&rotate != 0:
				want = Rotated
			}
			if reply.Reason != want || reply.Fault != fault {
				t.Errorf("live %v, %s: got %v %q, want %v %q", live, command, reply.Reason, reply.Fault, want, fault)
			}
			if want == BadCommand || want == Ended {
				continue
			}
			s := written(t, c, &reply, epoch)
			if (s.Idle == 300) != (which&expire != 0) || (s.Lifetime == cookie.Persistent) != (which&expire != 0) ||
				s.Remember != (which&remember != 0) || (s.Data == `{"a":1}`) != (which&set != 0) || (s.ID == o.Session.ID) != (want == Changed) {
				t.Errorf("live %v, %s: %+v", live, command, s)
			}
		}
	}
}
