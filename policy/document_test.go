package policy

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// headersOf is what the app gets of s.
func headersOf(t *testing.T, config string, s cookie.Session, lines ...string) map[string]string {
	t.Helper()
	c := policyOf(t, config, `"rules":[{"path_prefix":"/","session":"optional"}]`)
	if s.StartedAt != 0 {
		lines = append(lines, sessionLine(t, c, s))
	}
	d := c.Decide(ask(c, Request{}, lines...), epoch)
	got := map[string]string{}
	c.Headers(&d, epoch, func(name, value string) { got[name] = value })
	return got
}

func TestHeaders(t *testing.T) {
	const data = `{"name":"Zoë 😀","n":1,"big":9007199254740993,"list":["ä",{"b":"\t"}],"yes":true,"null":null,"empty":"","tab":"a\tb","del":"a` + "\x7f" + `b","inner":{"del":"` + "\x7f" + `"}}`
	s := with(epoch-90, func(s *cookie.Session) { s.Data = data })
	for _, tt := range []struct{ name, path, want string }{
		{"subject", "subject", "user-42"},
		{"id", "id", "AQIDAAAAAAAAAAAAAAAAAA"},
		{"number", "started_at", "1799999910"},
		{"authenticated_at", "authenticated_at", "1799999910"},
		{"touched_at", "touched_at", "1800000000"},
		{"idle_in", "idle_in", "900"},
		{"expires_in", "expires_in", "43110"},
		{"remember", "remember", "false"},
		{"refreshed", "refreshed", "true"},
		{"reason", "reason", "ok"},
		{"string in data", "data.name", "Zoë 😀"},
		{"number in data", "data.n", "1"},
		{"number beyond 2^53", "data.big", "9007199254740993"},
		{"true", "data.yes", "true"},
		{"list", "data.list", `["\u00e4",{"b":"\t"}]`},
		{"list item", "data.list.0", "ä"},
		{"absent", "data.absent", ""},
		{"null", "data.null", ""},
		{"empty", "data.empty", ""},
		{"HD control byte in a string", "data.tab", ""},
		{"HD delete byte in a string", "data.del", ""},
		{"HD delete byte in JSON", "data.inner", `{"del":"\u007f"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]string{}
			if tt.want != "" {
				want["x-it"] = tt.want
			} else {
				want[ReasonHeader] = "ok"
			}
			if diff := cmp.Diff(want, headersOf(t, `"headers":{"x-it":"`+tt.path+`"}`, s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	s := with(epoch-90, func(s *cookie.Session) {
		s.Data, s.Remember, s.Subject, s.Revision = `{"a":{"b":[1]},"ü":"😀"}`, true, `Zoë "x" \ </script>`, 7
	})
	got := headersOf(t, `"headers":{"x-session":"@this","x-session-subject":"subject"}`, s)
	if len(got) != 2 || got["x-session-subject"] != s.Subject {
		t.Fatal(got)
	}
	for i := range len(got["x-session"]) {
		if b := got["x-session"][i]; b < ' ' || b >= 0x7f {
			t.Fatalf("byte %#02x in %s", b, got["x-session"])
		}
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got["x-session"]), &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"subject": s.Subject, "id": "AQIDAAAAAAAAAAAAAAAAAA", "started_at": float64(epoch - 90), "authenticated_at": float64(epoch - 90),
		"touched_at": float64(epoch), "idle_in": 336.0 * 3600, "expires_in": 720.0*3600 - 90, "remember": true, "refreshed": true, "revision": 7.0,
		"reason": "ok", "data": map[string]any{"a": map[string]any{"b": []any{1.0}}, "ü": "😀"},
	}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentWithoutData(t *testing.T) {
	got := headersOf(t, `"headers":{"x-session":"@this","x-data":"data"}`, someone(epoch))
	if !json.Valid([]byte(got["x-session"])) || got["x-data"] != "{}" {
		t.Errorf("got %v", got)
	}
}

func TestNobodyHasAReasonOnly(t *testing.T) {
	all := `"headers":{"x-session":"@this","x-session-subject":"subject"}`
	for name, s := range map[string]cookie.Session{
		"absent":           {},
		"idle_timeout":     someone(epoch - hour),
		"absolute_timeout": with(epoch-13*hour, func(s *cookie.Session) { s.IssuedAt = epoch }),
	} {
		if diff := cmp.Diff(map[string]string{ReasonHeader: name}, headersOf(t, all, s)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	anonymous := with(epoch, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt = "", 0 })
	if diff := cmp.Diff(map[string]string{ReasonHeader: "ok"}, headersOf(t, `"headers":{"x-session-subject":"subject"}`, anonymous)); diff != "" {
		t.Errorf("anonymous: %s", diff)
	}
}

func TestAppendASCII(t *testing.T) {
	for _, tt := range [][2]string{
		{`"a"`, `"a"`}, {`"ÿ"`, `"\u00ff"`}, {`"￿"`, `"\uffff"`}, {`"𐀀"`, `"\ud800\udc00"`}, {`"😀"`, `"\ud83d\ude00"`},
		{"\"\U0010ffff\"", `"\udbff\udfff"`}, {"\"\u2028\"", `"\u2028"`}, {"\"\x7f\"", `"\u007f"`},
	} {
		if got := string(appendASCII(nil, tt[0])); got != tt[1] {
			t.Errorf("%q: got %s, want %s", tt[0], got, tt[1])
		}
	}
}
