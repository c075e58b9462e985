package policy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// idText is a session's id as the session document has it.
func idText(id cookie.ID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// manySubjects is a JSON object of n subjects.
func manySubjects(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"s%d":"2026-11-20T08:00:00Z"`, i)
	}
	return `{` + strings.TrimPrefix(b.String(), ",") + `}`
}

// manySessions is a JSON list of n ids.
func manySessions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,%q`, idText(cookie.ID{3, byte(i), byte(i >> 8)}))
	}
	return `[` + strings.TrimPrefix(b.String(), ",") + `]`
}

var goodAnswers = []struct {
	name, text string
	want       Revocations
}{
	{"nothing", `{}`, Revocations{}},
	{"blanks around", " \r\n\t{ }\n", Revocations{}},
	{"empty parts", `{"subjects":{},"sessions":[]}`, Revocations{}},
	{"before", `{"before":"2026-11-20T08:00:00Z"}`, Revocations{Before: 1795161600}},
	{"another zone", `{"before":"2026-11-20T10:00:00+02:00"}`, Revocations{Before: 1795161600}},
	{"a fraction is cut", `{"before":"2026-11-20T08:00:00.999Z"}`, Revocations{Before: 1795161600}},
	{"a leap day", `{"before":"2028-02-29T00:00:00Z"}`, Revocations{Before: 1835395200}},
	{"subjects", `{"subjects":{"42":"2026-11-20T08:00:00Z","zoë":"1971-01-01T00:00:00Z"}}`, Revocations{Subjects: []RevokedSubject{{"42", 1795161600}, {"zoë", 31536000}}}},
	{"a subject with escapes", `{"subjects":{"\u0034\"\/":"2026-11-20T08:00:00Z"}}`, Revocations{Subjects: []RevokedSubject{{`4"/`, 1795161600}}}},
	{"a subject like a field", `{"subjects":{"before":"2026-11-20T08:00:00Z","a.b[0]":"2026-11-20T08:00:00Z"}}`, Revocations{Subjects: []RevokedSubject{{"a.b[0]", 1795161600}, {"before", 1795161600}}}},
	{"a subject of 256 bytes", `{"subjects":{"` + strings.Repeat("x", 256) + `":"2026-11-20T08:00:00Z"}}`, Revocations{Subjects: []RevokedSubject{{strings.Repeat("x", 256), 1795161600}}}},
	{"sessions", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAA","_-8AAAAAAAAAAAAAAAAAAA"]}`, Revocations{Sessions: []cookie.ID{{1}, {0xff, 0xef}}}},
	{"a session twice", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAA","AQAAAAAAAAAAAAAAAAAAAA"]}`, Revocations{Sessions: []cookie.ID{{1}}}},
	{"all, in another order", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAA"],"subjects":{"a":"2026-11-20T08:00:00Z"},"before":"2026-11-20T08:00:00Z"}`,
		Revocations{Before: 1795161600, Subjects: []RevokedSubject{{"a", 1795161600}}, Sessions: []cookie.ID{{1}}}},
}

func TestParseRevocations(t *testing.T) {
	for _, tt := range goodAnswers {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseRevocations(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// secret stands in bad answers for what an error must not repeat.
const secret = "SEKRIT"

var badAnswers = []struct{ name, text, field, rule string }{
	{"empty", ``, "answer", "JSON object"},
	{"blank", " \n", "answer", "JSON object"},
	{"null", `null`, "answer", "JSON object"},
	{"a list", `["SEKRIT"]`, "answer", "JSON object"},
	{"a string", `"SEKRIT"`, "answer", "JSON object"},
	{"a page", `<!DOCTYPE html><title>SEKRIT</title>`, "answer", "JSON object"},
	{"cut off", `{"subjects":{"SEKRIT":"2026-11-20T08:00:00Z"`, "answer", "JSON object"},
	{"trailing bytes", `{}SEKRIT`, "answer", "JSON object"},
	{"two objects", `{}{}`, "answer", "JSON object"},
	{"trailing NUL", "{}\x00", "answer", "JSON object"},
	{"trailing comma", `{"sessions":[],}`, "answer", "JSON object"},
	{"a byte order mark", "\ufeff{}", "answer", "JSON object"},
	{"broken UTF-8", "{\"subjects\":{\"\xffSEKRIT\":\"2026-11-20T08:00:00Z\"}}", "answer", "JSON object"},
	{"broken UTF-8 in what is no name", "{\"before\":\"\xff\"}", "answer", "JSON object"},
	{"deep", `{"sessions":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "answer", "JSON object"},
	{"unknown field", `{"SEKRIT":1}`, "answer", "unknown field; known here: before, subjects, sessions"},
	{"unknown field of the config", `{"feed":{}}`, "answer", "unknown field"},
	{"a field in other case", `{"Before":"2026-11-20T08:00:00Z"}`, "answer", "unknown field"},
	{"unknown field like a known one", `{"before.SEKRIT":"2026-11-20T08:00:00Z"}`, "before", "unknown field"},
	{"a field with no name", `{"":1}`, "answer", "unknown field"},
	{"before twice", `{"before":"2026-11-20T08:00:00Z","before":"2027-11-20T08:00:00Z"}`, "before", "stands twice"},
	{"subjects twice", `{"subjects":{},"subjects":{"SEKRIT":"2026-11-20T08:00:00Z"}}`, "subjects", "stands twice"},
	{"sessions twice, with an escape", `{"sessions":[],"s\u0065ssions":[]}`, "sessions", "stands twice"},
	{"a subject twice", `{"subjects":{"SEKRIT":"2026-11-20T08:00:00Z","SEKRIT":"2026-11-20T08:00:00Z"}}`, "subjects", "stands twice"},
	{"a subject twice, with an escape", `{"subjects":{"SEKRIT":"2026-11-20T08:00:00Z","S\u0045KRIT":"2026-11-20T08:00:00Z"}}`, "subjects", "stands twice"},
	{"before null", `{"before":null}`, "before", "in quotes"},
	{"before a number", `{"before":1795161600}`, "before", "in quotes"},
	{"before no time", `{"before":"SEKRIT"}`, "before", "RFC 3339"},
	{"before empty", `{"before":""}`, "before", "RFC 3339"},
	{"before without a zone", `{"before":"2026-11-20T08:00:00"}`, "before", "RFC 3339"},
	{"before no day", `{"before":"2026-02-30T08:00:00Z"}`, "before", "RFC 3339"},
	{"before in 1970", `{"before":"1970-12-31T23:59:59Z"}`, "before", "RFC 3339"},
	{"before with a space", `{"before":" 2026-11-20T08:00:00Z"}`, "before", "RFC 3339"},
	{"subjects null", `{"subjects":null}`, "subjects", "JSON object"},
	{"subjects a list", `{"subjects":["SEKRIT"]}`, "subjects", "JSON object"},
	{"subjects true", `{"subjects":true}`, "subjects", "JSON object"},
	{"a subject's time a number", `{"subjects":{"SEKRIT":1795161600}}`, "subjects", "in quotes"},
	{"a subject's time null", `{"subjects":{"SEKRIT":null}}`, "subjects", "in quotes"},
	{"a subject's time true", `{"subjects":{"SEKRIT":true}}`, "subjects", "in quotes"},
	{"a subject's time no time", `{"subjects":{"SEKRIT":"SEKRIT"}}`, "subjects", "RFC 3339"},
	{"a subject without a name", `{"subjects":{"":"2026-11-20T08:00:00Z"}}`, "subjects", "1 to 256 bytes"},
	{"a subject over 256 bytes", `{"subjects":{"` + strings.Repeat("x", 257) + `":"2026-11-20T08:00:00Z"}}`, "subjects", "1 to 256 bytes"},
	{"a subject with a control character", `{"subjects":{"SEKRIT\n":"2026-11-20T08:00:00Z"}}`, "subjects", "control characters"},
	{"a subject with a space at its end", `{"subjects":{"SEKRIT ":"2026-11-20T08:00:00Z"}}`, "subjects", "space at either end"},
	{"a bad one behind good ones", `{"subjects":{"a":"2026-11-20T08:00:00Z","SEKRIT":""}}`, "subjects", "RFC 3339"},
	{"sessions null", `{"sessions":null}`, "sessions", "list"},
	{"sessions an object", `{"sessions":{"SEKRIT":1}}`, "sessions", "list"},
	{"sessions a string", `{"sessions":"AQAAAAAAAAAAAAAAAAAAAA"}`, "sessions", "list"},
	{"an id a number", `{"sessions":[1]}`, "sessions", "sessions' ids"},
	{"an id null", `{"sessions":[null]}`, "sessions", "sessions' ids"},
	{"an id empty", `{"sessions":[""]}`, "sessions", "sessions' ids"},
	{"an id too short", `{"sessions":["AQAAAAAAAAAAAAAAAAAAA"]}`, "sessions", "sessions' ids"},
	{"an id too long", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAAA"]}`, "sessions", "sessions' ids"},
	{"an id of 17 bytes", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAAA"]}`, "sessions", "sessions' ids"},
	{"an id, padded", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAA=="]}`, "sessions", "sessions' ids"},
	{"an id of the other alphabet", `{"sessions":["+/8AAAAAAAAAAAAAAAAAAA"]}`, "sessions", "sessions' ids"},
	{"an id that is not canonical", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAB"]}`, "sessions", "sessions' ids"},
	{"an id with a line break", `{"sessions":["AQAAAAAAAAAA\nAAAAAAAAAA"]}`, "sessions", "sessions' ids"},
	{"an id with more line breaks", `{"sessions":["AQAAAAAAAAAAAAAAAAAA\n\n"]}`, "sessions", "sessions' ids"},
	{"a bad id behind good ones", `{"sessions":["AQAAAAAAAAAAAAAAAAAAAA","SEKRIT"]}`, "sessions", "sessions' ids"},
	{"10,001 subjects", `{"subjects":` + manySubjects(MaxRevocations+1) + `}`, "subjects", "10,000"},
	{"10,001 sessions", `{"sessions":` + manySessions(MaxRevocations+1) + `}`, "sessions", "10,000"},
	{"10,001 together", `{"subjects":` + manySubjects(MaxRevocations/2) + `,"sessions":` + manySessions(MaxRevocations/2+1) + `}`, "sessions", "10,000"},
	{"a byte over 1 MiB", `{}` + strings.Repeat(" ", MaxFeed-1), "answer", "1 MiB"},
}

// What an answer means to end and is not understood must not be lost without a word. The word itself goes to
// logs, and the answer may be somebody's page.
func TestBadRevocations(t *testing.T) {
	for _, tt := range badAnswers {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseRevocations(tt.text)
			if got != nil || err == nil {
				t.Fatalf("got %v, %v", got, err)
			}
			if err.Field != tt.field || !strings.Contains(err.Rule, tt.rule) {
				t.Errorf("got %q, %q; want %q with %q", err.Field, err.Rule, tt.field, tt.rule)
			}
			if strings.Contains(err.Error(), secret) || err.Value != "" {
				t.Errorf("it repeats what came: %s", err)
			}
		})
	}
}

// The most that is taken, is.
func TestMostRevocations(t *testing.T) {
	const half = MaxRevocations / 2
	for name, text := range map[string]string{
		"subjects": `{"subjects":` + manySubjects(MaxRevocations) + `}`,
		"sessions": `{"sessions":` + manySessions(MaxRevocations) + `}`,
		"both":     `{"subjects":` + manySubjects(half) + `,"sessions":` + manySessions(half) + `}`,
		"1 MiB":    `{}` + strings.Repeat(" ", MaxFeed-2),
	} {
		got, err := ParseRevocations(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if n := len(got.Subjects) + len(got.Sessions); name != "1 MiB" && n != MaxRevocations {
			t.Errorf("%s: %d entries", name, n)
		}
	}
}

// Every entry is found, in whatever order they came.
func TestRevocationsAreFound(t *testing.T) {
	const n = MaxRevocations / 2
	list, err := ParseRevocations(`{"subjects":` + manySubjects(n) + `,"sessions":` + manySessions(n) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n + 1 {
		person := cookie.Session{Subject: fmt.Sprint("s", i), StartedAt: 1795161600 - 1}
		if found := list.at(&person) == 1795161600; found != (i < n) {
			t.Fatalf("subject %d: %v", i, found)
		}
		session := cookie.Session{ID: cookie.ID{3, byte(i), byte(i >> 8)}, StartedAt: 1795161600}
		if found := list.at(&session) != 0; found != (i < n) {
			t.Fatalf("session %d: %v", i, found)
		}
	}
}

// serialised is an answer that says what r does.
func serialised(t testing.TB, r *Revocations) string {
	t.Helper()
	out := map[string]any{}
	if r.Before != 0 {
		out["before"] = rfc3339(r.Before)
	}
	if len(r.Subjects) > 0 {
		subjects := map[string]string{}
		for _, s := range r.Subjects {
			subjects[s.Subject] = rfc3339(s.Before)
		}
		out["subjects"] = subjects
	}
	var ids []string
	for _, id := range r.Sessions {
		ids = append(ids, idText(id))
	}
	if ids != nil {
		out["sessions"] = ids
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzParseRevocations: nothing traps it, errors are one of four, and what it takes is taken again the same. (An answer
// of standard JSON at that: encoding/json reads it, too.)
func FuzzParseRevocations(f *testing.F) {
	for _, tt := range goodAnswers {
		f.Add(tt.text)
	}
	for _, tt := range badAnswers {
		if len(tt.text) < 1000 {
			f.Add(tt.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseRevocations(text)
		if err != nil {
			if got != nil || err.Value != "" || !contains([]string{"answer", "before", "subjects", "sessions"}, err.Field) {
				t.Fatalf("%v, %#v", got, err)
			}
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatal("it took what is no JSON")
		}
		again, err := ParseRevocations(serialised(t, got))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// feedOf is a config with a feed of these further fields, and what it heard: a list as of epoch.
func feedOf(t testing.TB, more, answer string, fields ...string) (*Config, *Heard) {
	t.Helper()
	revoke, other := "", []string{}
	for _, f := range fields {
		if rest, ok := strings.CutPrefix(f, `"revoke":{`); ok {
			revoke = strings.TrimSuffix(rest, "}") + ","
			continue
		}
		other = append(other, f)
	}
	c := policyOf(t, append(other, `"revoke":{`+revoke+`"feed":{"cluster":"app","path":"/revoked"`+more+`}}`)...)
	list, err := ParseRevocations(answer)
	if err != nil {
		t.Fatal(err)
	}
	return c, &Heard{Feed: list, FeedAt: epoch}
}

// hearing makes a request one to a proxy that has heard that.
func hearing(r *Request, h *Heard) *Request {
	r.Heard = h
	return r
}

func TestDecideFeed(t *testing.T) {
	id := cookie.ID{1, 2, 3} // someone's
	at := func(seconds int64) string { return `"` + rfc3339(epoch+seconds) + `"` }
	for _, tt := range []struct {
		name, config, feed string
		started            int64 // after epoch; now is a minute after it
		want               outcome
	}{
		{"nothing", "", `{}`, 0, passes},
		{"before", "", `{"before":` + at(0) + `}`, -1, dead(Revoked)},
		{"before, that second", "", `{"before":` + at(0) + `}`, 0, passes},
		{"before, to come", "", `{"before":` + at(minute+1) + `}`, 0, passes},
		{"before, now", "", `{"before":` + at(minute) + `}`, 0, dead(Revoked)},
		{"subject", "", `{"subjects":{"user-42":` + at(0) + `}}`, -1, dead(Revoked)},
		{"subject, that second", "", `{"subjects":{"user-42":` + at(0) + `}}`, 0, passes},
		{"subject, to come", "", `{"subjects":{"user-42":` + at(minute+1) + `}}`, 0, passes},
		{"subject, now", "", `{"subjects":{"user-42":` + at(minute) + `}}`, 0, dead(Revoked)},
		{"another subject", "", `{"subjects":{"user-4":` + at(0) + `,"USER-42":` + at(0) + `}}`, -1, passes},
		{"session", "", `{"sessions":["` + idText(id) + `"]}`, 59, dead(Revoked)},
		{"another session", "", `{"sessions":["` + idText(cookie.ID{1, 2, 4}) + `"]}`, -1, passes},
		{"subject to come, before now", "", `{"before":` + at(0) + `,"subjects":{"user-42":` + at(hour) + `}}`, -1, dead(Revoked)},
		{"before to come, subject now", "", `{"before":` + at(hour) + `,"subjects":{"user-42":` + at(0) + `}}`, -1, dead(Revoked)},
		{"before to come, session now", "", `{"before":` + at(hour) + `,"sessions":["` + idText(id) + `"]}`, -1, dead(Revoked)},
		{"config alone", `"revoke":{"before":` + at(0) + `}`, `{}`, -1, dead(Revoked)},
		{"config now, feed to come", `"revoke":{"before":` + at(0) + `}`, `{"subjects":{"user-42":` + at(hour) + `}}`, -1, dead(Revoked)},
		{"config to come, feed now", `"revoke":{"subjects":{"user-42":` + at(hour) + `}}`, `{"before":` + at(0) + `}`, -1, dead(Revoked)},
		{"both to come", `"revoke":{"before":` + at(hour) + `}`, `{"before":` + at(2*hour) + `}`, -1, passes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fields []string
			if tt.config != "" {
				fields = append(fields, tt.config)
			}
			c, heard := feedOf(t, "", tt.feed, fields...)
			line := sessionLine(t, c, someone(epoch+tt.started))
			got := outcomeOf(c.Decide(hearing(ask(c, Request{}, line), heard), epoch+minute))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Who heard nothing yet goes by the config alone, and the app that allows that with on_stale by sessions.
func TestDecideHeardNothing(t *testing.T) {
	for name, heard := range map[string]*Heard{"nil": nil, "empty": {}} {
		c, _ := feedOf(t, "", `{}`, `"revoke":{"subjects":{"gone":"`+rfc3339(epoch)+`"}}`)
		line := func(subject string) string {
			return sessionLine(t, c, with(epoch-1, func(s *cookie.Session) { s.Subject = subject }))
		}
		if d := c.Decide(hearing(ask(c, Request{}, line("here")), heard), epoch+1); d.Reason != OK {
			t.Errorf("%s: %v", name, d.Reason)
		}
		if d := c.Decide(hearing(ask(c, Request{}, line("gone")), heard), epoch+1); d.Reason != Revoked {
			t.Errorf("%s, revoked by the config: %v", name, d.Reason)
		}
	}
}

func endedOf(until map[cookie.ID]int64) *EndedSessions {
	e := &EndedSessions{}
	for id, at := range until {
		e.Add(id, at)
	}
	return e
}

// A session that was ended is found until it is forgotten, however many there are.
func TestEndedSet(t *testing.T) {
	e := &EndedSessions{}
	id := func(i int) cookie.ID { return cookie.ID{byte(i * 37), byte(i), byte(i >> 8), 0xff} }
	const n = 3000
	for i := range n {
		e.Add(id(i), int64(i))
		e.Add(id(i), 0) // the first counts
	}
	for i := 0; i < n; i += 2 {
		e.Delete(id(i))
		e.Delete(id(i))
	}
	for i := range n {
		if got, want := e.Has(id(i)), i%2 == 1; got != want {
			t.Fatalf("%d: %v", i, got)
		}
		h := &Heard{Ended: e}
		if i%2 == 1 && (!h.ended(id(i), int64(i)-1) || h.ended(id(i), int64(i))) {
			t.Fatalf("%d: its time is not kept", i)
		}
	}
}

// What somebody ended here reads as revoked until its own end, and its cookies stay: they are a copy, or came
// late, and a deletion could meet the next login's.
func TestDecideEnded(t *testing.T) {
	c := policyOf(t, `"rules":[{"path":"/maybe","session":"optional"},{"path":"/off","session":"off"}]`)
	s := someone(epoch)
	heard := &Heard{Ended: endedOf(map[cookie.ID]int64{s.ID: epoch + 2*minute, {9}: epoch + hour})}
	refused := outcome{Revoked, Login, false, false}
	for _, tt := range []struct {
		name, path string
		session    cookie.Session
		at         int64
		want       outcome
	}{
		{"at once", "/", s, 0, refused},
		{"on an optional page", "/maybe", s, 0, outcome{Revoked, Pass, false, false}},
		{"at the login", "/login", s, 0, outcome{Revoked, Pass, false, false}},
		{"where no session is asked for", "/off", s, 0, outcome{Off, Pass, false, false}},
		{"the last second", "/", s, 2*minute - 1, refused},
		{"by its own end", "/", s, 2 * minute, passes},
		{"another session", "/", with(epoch, func(s *cookie.Session) { s.ID = cookie.ID{8} }), 0, passes},
		{"over anyway", "/", with(epoch-hour, func(s *cookie.Session) { s.ID = cookie.ID{9} }), 0, dead(IdleTimeout)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := hearing(ask(c, Request{Path: tt.path, Accept: htmlPage}, sessionLine(t, c, tt.session)), heard)
			d := c.Decide(asked, epoch+tt.at)
			if diff := cmp.Diff(tt.want, outcomeOf(d)); diff != "" {
				t.Fatal(diff)
			}
			if d.Verdict != Pass {
				if set := setCookies(c.Answer(asked, &d, epoch+tt.at).Headers); tt.want == refused && len(set) > 0 {
					t.Errorf("it sets %q", set)
				}
			}
		})
	}
}

// A blocked cookie keeps nobody from beginning anew: neither a login nor an anonymous session.
func TestEndedClosesNothing(t *testing.T) {
	c := policyOf(t, `"anonymous":true`, `"rules":[{"path":"/maybe","session":"optional"}]`)
	s := someone(epoch)
	heard := &Heard{Ended: endedOf(map[cookie.ID]int64{s.ID: epoch + hour})}
	for _, tt := range []struct {
		method, path, command string
		want                  Reason
	}{{"POST", "/login", `{"start":{"subject":"43"}}`, Started}, {"GET", "/maybe", `{"set":{"theme":"dark"}}`, Opened}} {
		asked := hearing(ask(c, Request{Method: tt.method, Path: tt.path}, sessionLine(t, c, s)), heard)
		d := c.Decide(asked, epoch)
		o := keep(c, asked, &d, epoch)
		reply := c.Respond(&o, &Response{Status: 200, Commands: []string{tt.command}}, epoch, counting())
		if d.Reason != Revoked || reply.Reason != tt.want || reply.Session.ID == s.ID || reply.Ended != OK {
			t.Errorf("%s: %v, then %v (%s), ended %v", tt.path, d.Reason, reply.Reason, reply.Fault, reply.Ended)
		}
	}
}

// staleConfig denies after a minute without news, which TestStale's requests come after.
const staleConfig = `,"on_stale":"deny","stale_after":"1m","interval":"7s"`

func TestStale(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{"subjects":{"gone":"`+rfc3339(epoch)+`"}}`, `"rules":[{"path":"/maybe","session":"optional"},{"path":"/off","session":"off"}]`)
	line := sessionLine(t, c, someone(epoch))
	gone := sessionLine(t, c, with(epoch-1, func(s *cookie.Session) { s.Subject = "gone" }))
	refused := outcome{FeedStale, Refuse, false, false}
	for _, tt := range []struct {
		name, path, line string
		heard            *Heard
		at               int64
		want             outcome
	}{
		{"a second before", "/", line, heard, minute - 1, passes},
		{"then", "/", line, heard, minute, refused},
		{"long after", "/", line, heard, 10 * minute, refused},
		{"no answer yet", "/", line, &Heard{}, 0, refused},
		{"nil", "/", line, nil, 0, refused},
		{"no session", "/", "", heard, minute, noneHas},
		{"a forged one", "/", c.Cookie.Name + "=x", heard, minute, dead(Invalid)},
		{"a dead one", "/", line, heard, 15 * minute, dead(IdleTimeout)},
		{"one that it ended", "/", gone, heard, minute, dead(Revoked)},
		{"an optional page", "/maybe", line, heard, minute, outcome{FeedStale, Pass, false, false}},
		{"the login page", "/login", line, heard, minute, outcome{FeedStale, Pass, false, false}},
		{"without a session's need", "/off", line, heard, minute, outcome{Off, Pass, false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := outcomeOf(c.Decide(hearing(ask(c, Request{Path: tt.path}, tt.line), tt.heard), epoch+tt.at))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever asks, the answer says that it is for now, and no cookie is touched.
func TestStaleAnswers(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{}`)
	want := Answer{Status: 503, GRPC: noGRPC, Body: []byte(`{"title":"Service Unavailable","status":503,"reason":"feed_stale"}`)}
	want.add("cache-control", "no-store")
	want.add("vary", "Cookie")
	want.add("retry-after", "7")
	want.add("content-type", "application/problem+json")
	for _, a := range askers {
		t.Run(a.name, func(t *testing.T) {
			asked := hearing(ask(c, a.r, sessionLine(t, c, someone(epoch))), heard)
			d := c.Decide(asked, epoch+minute)
			if diff := cmp.Diff(want, c.Answer(asked, &d, epoch+minute)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The way out stays open, and scripts are told to ask again.
func TestStaleCalls(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{}`)
	line := sessionLine(t, c, someone(epoch))
	for _, tt := range []struct {
		method, path string
		status       uint32
		reason       Reason
	}{
		{"POST", "/logout", 303, LoggedOut},
		{"POST", "/.session/logout", 200, LoggedOut},
		{"GET", "/.session/status", 503, FeedStale},
		{"POST", "/.session/keepalive", 503, FeedStale},
		{"GET", "/.session/end?/page", 503, FeedStale},
		{"GET", "/.session/session.js", 200, Off},
	} {
		asked := hearing(ask(c, Request{Method: tt.method, Path: tt.path}, line), heard)
		d := c.Decide(asked, epoch+minute)
		a := c.Answer(asked, &d, epoch+minute)
		if d.Verdict == Serve {
			a, _ = c.Serve(asked, &d, epoch+minute, counting())
		}
		if d.Reason != tt.reason || a.Status != tt.status {
			t.Errorf("%s: %v, %d; want %v, %d", tt.path, d.Reason, a.Status, tt.reason, tt.status)
		}
		if deleted := len(setCookies(a.Headers)) > 0; deleted != (tt.reason == LoggedOut) {
			t.Errorf("%s: cookies %q", tt.path, setCookies(a.Headers))
		}
	}
}

// A login works while nobody knows who is revoked. What is there and unseen, the app may not overwrite in passing.
func TestStaleLogin(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{}`, `"anonymous":true`, `"rules":[{"path":"/maybe","session":"optional"}]`)
	for _, tt := range []struct {
		method, path, command string
		want                  Reason
	}{{"POST", "/login", `{"start":{"subject":"43"}}`, Started}, {"GET", "/maybe", `{"set":{"theme":"dark"}}`, BadCommand}} {
		asked := hearing(ask(c, Request{Method: tt.method, Path: tt.path}, sessionLine(t, c, someone(epoch))), heard)
		d := c.Decide(asked, epoch+minute)
		o := keep(c, asked, &d, epoch+minute)
		if reply := c.Respond(&o, &Response{Status: 200, Commands: []string{tt.command}}, epoch+minute, counting()); reply.Reason != tt.want {
			t.Errorf("%s: %v (%s)", tt.path, reply.Reason, reply.Fault)
		}
	}
}

// A trial run blocks nobody, whatever was heard.
func TestRevokeReportOnly(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{"subjects":{"gone":"`+rfc3339(epoch)+`"}}`, `"report_only":true`)
	s := someone(epoch)
	heard.Ended = endedOf(map[cookie.ID]int64{{7}: epoch + hour})
	for _, tt := range []struct {
		name   string
		change func(*cookie.Session)
		at     int64
		want   Reason
	}{
		{"revoked", func(s *cookie.Session) { s.Subject, s.StartedAt = "gone", epoch-1 }, 1, Revoked},
		{"ended", func(s *cookie.Session) { s.ID = cookie.ID{7} }, 1, Revoked},
		{"stale", unchanged, minute, FeedStale},
	} {
		session := s
		tt.change(&session)
		d := c.Decide(hearing(ask(c, Request{}, sessionLine(t, c, session)), heard), epoch+tt.at)
		if diff := cmp.Diff(outcome{tt.want, Pass, false, false}, outcomeOf(d)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// A stream's terms take in each list that comes, and what ended it earlier stays.
func TestTermsRevoke(t *testing.T) {
	c, heard := feedOf(t, "", `{}`)
	s := someone(epoch)
	asked := hearing(ask(c, Request{}, sessionLine(t, c, s)), heard)
	d := c.Decide(asked, epoch)
	l := c.Lease(&d)
	for _, tt := range []struct {
		name, list string
		ends       int64 // after epoch
		why        Reason
	}{
		{"nothing", `{}`, 15 * minute, IdleTimeout},
		{"another's", `{"subjects":{"43":"` + rfc3339(epoch+1) + `"},"sessions":["` + idText(cookie.ID{9}) + `"]}`, 15 * minute, IdleTimeout},
		{"after its end", `{"before":"` + rfc3339(epoch+hour) + `"}`, 15 * minute, IdleTimeout},
		{"then", `{"before":"` + rfc3339(epoch+10*minute) + `"}`, 10 * minute, Revoked},
		{"sooner, in person", `{"subjects":{"user-42":"` + rfc3339(epoch+5*minute) + `"}}`, 5 * minute, Revoked},
		{"later", `{"before":"` + rfc3339(epoch+11*minute) + `"}`, 5 * minute, Revoked},
		{"at once", `{"sessions":["` + idText(s.ID) + `"]}`, 0, Revoked},
	} {
		list, err := ParseRevocations(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		l.Revoke(list, &s)
		if got := l.Over(epoch, epoch+tt.ends-1); tt.ends > 0 && got != OK {
			t.Errorf("%s: %v a second before", tt.name, got)
		}
		if got := l.Over(epoch, epoch+tt.ends); got != tt.why {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.why)
		}
	}
}

// What is heard reaches the terms of a session that is written, too.
func TestTermsOfHeard(t *testing.T) {
	c, heard := feedOf(t, "", `{"before":"`+rfc3339(epoch+minute)+`"}`)
	s := someone(epoch)
	d := c.Decide(hearing(ask(c, Request{}, sessionLine(t, c, s)), heard), epoch)
	l := c.Lease(&d)
	if got := l.Over(epoch, epoch+minute); got != Revoked {
		t.Errorf("a lease: %v", got)
	}
	l.Terms = c.Terms(&s, nil)
	if got := l.Over(epoch, epoch+minute); got != OK {
		t.Errorf("of nothing: %v", got)
	}
	l.Terms = c.Terms(&s, heard)
	if got := l.Over(epoch, epoch+minute); got != Revoked {
		t.Errorf("of the list: %v", got)
	}
}

// Lists of any length cost a live session no allocation.
func TestRevocationsAllocateNothing(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{"subjects":`+manySubjects(MaxRevocations/2)+`,"sessions":`+manySessions(MaxRevocations/2)+`}`)
	heard.Ended = &EndedSessions{}
	for i := range 4096 {
		heard.Ended.Add(cookie.ID{2, byte(i), byte(i >> 8)}, epoch+hour)
	}
	asked := hearing(ask(c, Request{}, sessionLine(t, c, someone(epoch))), heard)
	alive := true
	got := testing.AllocsPerRun(100, func() {
		d := c.Decide(asked, epoch+1)
		alive = alive && d.Live
	})
	if !alive || got != 0 {
		t.Errorf("alive %v, %v allocations", alive, got)
	}
}

// A login takes the place of a session that nobody can judge, in a wrapped app, too.
func TestStaleWrappedLogin(t *testing.T) {
	c, heard := feedOf(t, staleConfig, `{}`, `"cookie":{"mode":"sealed"}`, `"wrap":["sid"]`)
	asked := hearing(ask(c, Request{Method: "POST", Path: "/login"}, sessionLine(t, c, loggedIn(epoch))), heard)
	d := c.Decide(asked, epoch+minute)
	o := keep(c, asked, &d, epoch+minute)
	reply := c.Respond(&o, &Response{Status: 302, Location: "/", SetCookies: []string{"sid=new; Path=/"}}, epoch+minute, counting())
	if d.Reason != FeedStale || reply.Reason != Started {
		t.Errorf("%v: %v %s", d.Reason, reply.Reason, reply.Fault)
	}
}

// A logout counts under the key that its session was under, or the last logouts would hold up an old key's end.
func TestLogoutKey(t *testing.T) {
	c := policyOf(t, `"keys":[`+keyJSON("old", 0)+`,`+keyJSON("new", epoch-10)+`]`)
	for _, path := range []string{"/logout", "/.session/logout", "/page"} {
		d := c.Decide(ask(c, Request{Method: "POST", Path: path}, sessionLine(t, c, someone(epoch))), epoch)
		if !d.Found || d.Key != 1 {
			t.Errorf("%s: %v, key %d", path, d.Reason, d.Key)
		}
	}
}

// A session that is idle here and touched under a key that is not known here keeps its cookies, and stands in
// nobody's way.
func TestTouchedElsewhere(t *testing.T) {
	other := policyOf(t, `"cookie":{"mode":"sealed"}`, `"keys":[`+keyJSON("b", 0)+`]`)
	for field, response := range map[string]Response{
		`"wrap":["sid"]`:   {Status: 302, Location: "/", SetCookies: []string{"sid=new; Path=/"}},
		`"anonymous":true`: {Status: 200, Commands: []string{`{"set":{"a":1}}`}},
	} {
		c := policyOf(t, `"cookie":{"mode":"sealed"}`, field, `"rules":[{"path":"/maybe","session":"optional"}]`)
		s, at := someone(epoch), epoch+3*hour
		for _, r := range []Request{{Method: "POST", Path: "/login"}, {Path: "/maybe"}} {
			asked := ask(c, r, sessionLine(t, c, s), touchLine(t, other, s.ID, at))
			d := c.Decide(asked, at)
			o := keep(c, asked, &d, at)
			reply := c.Respond(&o, &response, at, counting())
			if d.Reason != IdleTimeout || d.Drop || reply.Reason == BadCommand || len(reply.Cookies) == 0 {
				t.Errorf("%s %s: %v, deletes %v; then %v %s", field, r.Path, d.Reason, d.Drop, reply.Reason, reply.Fault)
			}
		}
	}
}
