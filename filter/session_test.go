package filter_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/cookie"
)

func command(json string) [2]string { return [2]string{"x-session", json} }

func status(code string) [2]string { return [2]string{":status", code} }

// setCookie is the value that a response sets a cookie to, "" where it does not.
func (o *outcome) setCookie(cookie string) string {
	_, rest, _ := strings.Cut(strings.Join(values(o.reply, "set-cookie"), ""), cookie+"=")
	value, _, _ := strings.Cut(rest, ";")
	return value
}

// deletes reports whether a response deletes a cookie.
func (o *outcome) deletes(cookie string) bool {
	return strings.Contains(strings.Join(values(o.reply, "set-cookie"), ""), cookie+"=; Max-Age=0; ")
}

// A whole life: login, known, logged out by the app or by the logout path.
func TestLife(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		o := s.request("POST", "/login", nil, status("303"), command(`{"start":{"subject":"42","data":{"a":[1,2]}}}`))
		g := o.setCookie(name)
		opened, err := s.codec.Open(g, epoch+60)
		if err != nil || opened.Session.Subject != "42" || opened.Session.Data != `{"a":[1,2]}` {
			t.Fatalf("started %+v, %v: %v", opened.Session, err, o.reply)
		}
		if len(values(o.reply, "x-session")) > 0 || strings.Join(values(o.reply, "cache-control"), "") != "no-store" {
			t.Errorf("the browser got %v", o.reply)
		}
		s.event(t, "session_start", "started", opened.Session.ID.Hash())

		o = s.request("GET", "/page", []string{"a=b; " + name + "=" + g})
		o.want(t, "42")
		if got := values(o.request, "cookie"); len(got) != 1 || got[0] != "a=b" || len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("the app saw cookies %q and the browser got %v", got, o.reply)
		}
		o = s.request("GET", "/page", []string{name + "=" + g}, status("200"), command(`{"end":true}`))
		if o.local != nil || strings.Count(strings.Join(values(o.reply, "set-cookie"), ""), "=; Max-Age=0; ") != 2 {
			t.Errorf("ended: %v", o.reply)
		}
		s.event(t, "session_end", "ended", opened.Session.ID.Hash())

		other := someone("43")
		o = s.request("POST", "/logout", []string{name + "=" + s.mint(other)})
		if o.local == nil || o.local.StatusCode != 303 || strings.Join(values(o.reply, "location"), "") != "/" {
			t.Errorf("logged out: %+v %v", o.local, o.reply)
		}
		s.event(t, "session_end", "logged_out", other.ID.Hash())
	})
}

// event wants exactly one log line for that session.
func (s *site) event(t *testing.T, event, reason, hash string) {
	t.Helper()
	n := 0
	for _, line := range strings.Split(s.log.String(), "\n") {
		if at := strings.Index(line, `{"curfew"`); at >= 0 {
			var got map[string]string
			if err := json.Unmarshal([]byte(line[at:]), &got); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if len(got) == 3 && got["curfew"] == event && got["reason"] == reason && got["session"] == hash {
				n++
			}
		}
	}
	if n != 1 {
		t.Errorf("%d lines of %s by %s:\n%s", n, event, reason, s.log)
	}
}

const leakingStart = `{"start":{"subject":"leak-42"}}`

var badCommands = []struct {
	name, path string
	response   [][2]string
	rule       string
}{
	{"LG-164 no login route", "/page", [][2]string{status("200"), command(leakingStart)}, "only on a route of login.start_on"},
	{"LG-166 500", "/login", [][2]string{status("500"), command(leakingStart)}, "only with a status below 400"},
	{"LG-166 401", "/login", [][2]string{status("401"), command(leakingStart)}, "only with a status below 400"},
	{"LG-168 list", "/login", [][2]string{status("200"), command(leakingStart + "," + leakingStart)}, "is not one JSON object"},
	{"LG-170 long", "/login", [][2]string{status("200"), command(`{"start":{"subject":"` + strings.Repeat("leak", 1<<18) + `"}}`)}, "over 8192 bytes"},
	{"LG-172 CRLF", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak\r\nSet-Cookie: a=b"}}`)}, "start.subject must be"},
	{"LG-177 start and end", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak"},"end":true}`)}, "end comes alone"},
	{"LG-178 cached", "/login", [][2]string{status("200"), command(leakingStart), {"age", "10"}}, "a response that a cache served"},
	{"two", "/login", [][2]string{status("200"), command(leakingStart), command(leakingStart)}, "more than one x-session header"},
	{"unknown", "/page", [][2]string{status("200"), command(`{"leak":1}`)}, "unknown command"},
	{"deep", "/page", [][2]string{status("200"), command(strings.Repeat("[", 4000))}, "is not one JSON object"},
	{"TM-96 subject twice", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","subject":"admin"}}`)}, "with unique keys"},
	{"TM-96 subject twice, escaped", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","subj\u0065ct":"admin"}}`)}, "with unique keys"},
	{"TM-96 twice deep in data", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":[{"b":1,"b":2}]}}}`)}, "with unique keys"},
	{"TM-97 Subject", "/login", [][2]string{status("200"), command(`{"start":{"Subject":"leak"}}`)}, "unknown command"},
	{"TM-97 SUBJECT and subject", "/login", [][2]string{status("200"), command(`{"start":{"SUBJECT":"admin","subject":"leak"}}`)}, "unknown command"},
	{"TM-97 Start", "/login", [][2]string{status("200"), command(`{"Start":{"subject":"leak"}}`)}, "unknown command"},
	{"TM-98 a number for a subject", "/login", [][2]string{status("200"), command(`{"start":{"subject":9007199254740993}}`)}, "start.subject must be"},
	{"TM-98 1e400 for a timeout", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","idle":1e400}}`)}, "must be a duration"},
	{"TM-98 -0 for a timeout", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","absolute":-0}}`)}, "must be a duration"},
	{"TM-98 no number at all", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":NaN}}}`)}, "is not one JSON object"},
	{"TM-98 leading zero", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":01}}}`)}, "is not one JSON object"},
	{"TM-100 NUL", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak\u0000admin"}}`)}, "start.subject must be"},
	{"TM-100 NUL as it is", "/login", [][2]string{status("200"), command("{\"start\":{\"subject\":\"leak\x00admin\"}}")}, "is not one JSON object"},
	{"TI-110 exponent", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","idle":"1e3s"}}`)}, "must be a duration"},
	{"TI-110 fraction", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","absolute":"1.5h"}}`)}, "must be a duration"},
	{"TI-110 number", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","idle":9e2}}`)}, "must be a duration"},
	{"half a surrogate pair", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak\ud800"}}`)}, "start.subject must be"},
	{"broken UTF-8", "/login", [][2]string{status("200"), command("{\"start\":{\"subject\":\"leak\",\"data\":{\"a\":\"\xff\"}}}")}, "is not one JSON object"},
	{"17 levels", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":` + nested(14) + `}}}`)}, "at most 16 levels deep"},
	{"too large", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":"` + strings.Repeat("leak", 1000) + `"}}}`)}, "does not fit into a cookie"},
}

// LG-164 to LG-178: what an app may not say ends in a 502 without any of its headers, and the log
// says which rule it broke but nothing that it wrote.
func TestBadCommands(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range badCommands {
			t.Run(c.name, func(t *testing.T) {
				live := someone("42")
				from := s.log.Len()
				o := s.request("POST", c.path, []string{name + "=" + s.mint(live)}, append(c.response, [2]string{"set-cookie", "leak=1"})...)
				if o.local == nil || o.local.StatusCode != 502 || strings.Contains(string(o.local.Data), "leak") || len(values(o.reply, "set-cookie")) > 0 {
					t.Errorf("%+v %v", o.local, o.reply)
				}
				if said := s.log.String()[from:]; !strings.Contains(said, "curfew: 502, the app broke a rule: ") || !strings.Contains(said, c.rule) || strings.Contains(said, "leak") {
					t.Errorf("the log says %q", said)
				}
			})
		}
		s.sound(t)
	})
}

// nested is a JSON value of so many levels, objects and lists by turns.
func nested(levels int) string {
	text := "0"
	for i := range levels {
		if i%2 == 0 {
			text = "[" + text + "]"
		} else {
			text = `{"d":` + text + "}"
		}
	}
	return text
}

// LG-180: an app that echoes the client's headers starts nothing, for it never gets to see it.
func TestEcho(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		o := s.send([][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", "https"}, {":authority", "a"}, command(`{"start":{"subject":"admin"}}`), {"X_Session-Subject", "admin"}})
		for _, h := range o.request {
			if strings.HasPrefix(strings.ReplaceAll(h[0], "_", "-"), "x-session") && h[0] != "x-session-reason" {
				t.Errorf("the app saw %q", h)
			}
		}
	})
}

// RP: an id that somebody planted is worth nothing after the login; a logout ends one's own session.
func TestFixation(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		planted := someone("attacker")
		o := s.request("POST", "/login", []string{name + "=" + s.mint(planted)}, status("303"), command(`{"start":{"subject":"victim"}}`))
		opened, err := s.codec.Open(o.setCookie(name), epoch+60)
		if err != nil || opened.Session.ID == planted.ID {
			t.Errorf("RP-126: %+v, %v", opened.Session, err)
		}
		s.event(t, "session_end", "replaced", planted.ID.Hash())

		for _, header := range [][2]string{{"sec-fetch-site", "cross-site"}, {"sec-fetch-site", "same-site"}, {"origin", "https://evil.example"}, {"origin", "null"}} {
			t.Run("RP-133 "+header[1], func(t *testing.T) {
				o := s.send([][2]string{{":method", "POST"}, {":path", "/logout"}, {":scheme", "https"}, {":authority", "shop.example"}, header, {"cookie", name + "=" + s.mint(someone("42"))}})
				if o.local == nil || o.local.StatusCode != 403 || len(values(o.reply, "set-cookie")) > 0 {
					t.Errorf("%+v %v", o.local, o.reply)
				}
			})
		}
	})
}

// RP-125: neither a renewal nor a touch that was under way during the logout brings anything back, alone
// or both of them.
func TestLateResponse(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range []struct {
			name string
			age  int64
			sets []string
		}{{"RP-125 renewal", 3600, []string{name + "-seen", name + "-renewed"}}, {"RP-125 touch", 120, []string{name + "-seen"}}} {
			t.Run(c.name, func(t *testing.T) {
				session := someone(known)
				session.StartedAt, session.AuthenticatedAt, session.IssuedAt = epoch-2*3600, epoch-2*3600, epoch-c.age
				cookies := name + "=" + s.mint(session) + "; " + name + "-seen=" + s.touch(session.ID, epoch-120)

				slow := s.host.InitializeHttpContext()
				s.host.CallOnRequestHeaders(slow, pageLoad("/slow", [2]string{"cookie", cookies}), true)
				if o := s.request("POST", "/logout", []string{cookies}); o.local == nil || o.local.StatusCode != 303 {
					t.Fatalf("logout: %+v", o.local)
				}
				s.host.CallOnResponseHeaders(slow, [][2]string{status("200")}, true)
				late := outcome{reply: copied(s.host.GetCurrentResponseHeaders(slow))}
				s.host.CompleteHttpContext(slow)

				all := ""
				for _, set := range c.sets {
					value := late.setCookie(set)
					if value == "" {
						t.Errorf("the late response did not set %s: %v", set, late.reply)
					}
					all += "; " + set + "=" + value
					o := s.request("GET", "/page", []string{set + "=" + value})
					o.want(t, stranger)
				}
				o := s.request("GET", "/page", []string{all})
				o.want(t, stranger)
				if late.setCookie(name) != "" {
					t.Errorf("the late response set the session: %v", late.reply)
				}
			})
		}
	})
}

func pageLoad(path string, more ...[2]string) [][2]string {
	return append([][2]string{{":method", "GET"}, {":path", path}, {":scheme", "https"}, {":authority", "shop.example"}, {"accept", "text/html"}}, more...)
}

// RP-128 to RP-130: what a cookie is bound to, and what it is not.
func TestScope(t *testing.T) {
	inBoth(t, `, "audience": "a.example"`, func(t *testing.T, s *site) {
		s.codec = s.newCodec(cookie.Options{Name: name, Audience: "a.example"})
		other := s.newCodec(cookie.Options{Name: name, Audience: "b.example"})
		for _, c := range []struct {
			name, who, scheme, authority string
			codec                        *cookie.Codec
		}{
			{"RP-128 the listener of another audience", stranger, "https", "b.example", other},
			{"RP-128 its own", known, "https", "a.example", s.codec},
			// Cookies know no ports (RFC 6265, section 8.5); an audience for each does.
			{"RP-129 another port", known, "https", "a.example:8443", s.codec},
			{"RP-129 another port, another audience", stranger, "https", "a.example:8443", other},
			// TLS may end before Envoy. Browsers keep a Secure cookie off plain http themselves.
			{"RP-130 plain http", known, "http", "a.example", s.codec},
		} {
			t.Run(c.name, func(t *testing.T) {
				minter := *s
				minter.codec = c.codec
				o := s.send([][2]string{{":method", "GET"}, {":path", "/page"}, {":scheme", c.scheme}, {":authority", c.authority}, {"accept", "text/html"},
					{"cookie", name + "=" + minter.mint(someone(known))}})
				o.want(t, c.who)
			})
		}
		for _, scheme := range []string{"http", "HTTP", ""} {
			t.Run("RP-130 start over "+scheme, func(t *testing.T) {
				o := s.send([][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", scheme}, {":authority", "a.example"}}, status("200"), command(`{"start":{"subject":"42"}}`))
				if o.local == nil || o.local.StatusCode != 502 || len(values(o.reply, "set-cookie")) > 0 {
					t.Errorf("%+v %v", o.local, o.reply)
				}
			})
		}
	})
}

// RP-134: a session starts where the config says an app may start one, and nowhere else. Whether the
// person meant to log in is the app's to know: its answer is the word for it, wherever the request
// came from.
func TestLoginCSRF(t *testing.T) {
	inBoth(t, `, "rules": [{"path_prefix": "/", "session": "optional"}]`, func(t *testing.T, s *site) {
		for _, c := range []struct {
			name, method, path string
			status             uint32 // of our own reply, 0 for none
			from               [2]string
		}{
			{"RP-134 the login route", "POST", "/login", 0, [2]string{"sec-fetch-site", "same-origin"}},
			{"RP-134 from another site", "POST", "/login", 0, [2]string{"sec-fetch-site", "cross-site"}},
			{"RP-134 from another origin", "POST", "/login?state=evil", 0, [2]string{"origin", "https://evil.example"}},
			{"RP-134 another method", "GET", "/login", 502, [2]string{"sec-fetch-site", "cross-site"}},
			{"RP-134 another path", "POST", "/login/", 502, [2]string{"sec-fetch-site", "cross-site"}},
			{"RP-134 a path below", "POST", "/login/x", 502, [2]string{"sec-fetch-site", "same-origin"}},
			{"RP-134 an escape in the path", "POST", "/logi%6e", 401, [2]string{"sec-fetch-site", "same-origin"}},
			{"RP-134 the logout", "POST", "/logout", 403, [2]string{"sec-fetch-site", "cross-site"}},
			{"RP-134 any page", "POST", "/page", 502, [2]string{"sec-fetch-site", "same-origin"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				o := s.send([][2]string{{":method", c.method}, {":path", c.path}, {":scheme", "https"}, {":authority", "shop.example"}, c.from}, status("303"), command(`{"start":{"subject":"42"}}`))
				got := uint32(0)
				if o.local != nil {
					got = o.local.StatusCode
				}
				if started := o.setCookie(name) != ""; got != c.status || started != (c.status == 0) {
					t.Errorf("reply %d, want %d; %v", got, c.status, o.reply)
				}
			})
		}
	})
}

// RP-122: a copy of the cookie is worth nothing in the Envoy that saw the logout, and nothing is deleted for it:
// whoever sends it may have logged in anew. (Another Envoy hears of it by the feed alone.)
func TestReplay(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone("42"))
		s.request("POST", "/logout", []string{name + "=" + g})
		o := s.request("GET", "/page", []string{name + "=" + g})
		o.want(t, stranger)
		if reason := values(o.reply, "location"); len(reason) != 1 || !strings.HasSuffix(reason[0], "reason=revoked") || values(o.reply, "set-cookie") != nil {
			t.Errorf("RP-122 after the logout: %v", o.reply)
		}
		line("another session of the person", "42", name+"="+s.mint(someone("42"))).run(t, s)
	})
}

// RP-124: the config ends sessions.
func TestRevoked(t *testing.T) {
	inBoth(t, `, "revoke": {"before": "2021-12-31T12:00:00Z", "subjects": {"gone": "2021-12-31T23:00:00Z"}}`, func(t *testing.T, s *site) {
		for _, c := range []struct {
			subject, who string
			started      int64
		}{{"gone", stranger, -3600 - 1}, {"gone", "gone", -3600}, {"other", "other", -3600 - 1}, {"other", "other", -12*3600 + 1}, {"other", stranger, -12*3600 - 1}} {
			session := someone(c.subject)
			session.StartedAt, session.AuthenticatedAt = epoch+c.started, epoch+c.started
			session.Absolute = 24 * 3600
			line(fmt.Sprintf("RP-124 %s %d", c.subject, c.started), c.who, name+"="+s.mint(session)).run(t, s)
		}
	})
}

// A host that gives no list of headers is an attack, never a request without cookies: even where no
// session is asked for.
func TestUnreadable(t *testing.T) {
	inBoth(t, `, "rules": [{"path_prefix": "/page", "session": "off"}]`, func(t *testing.T, s *site) {
		o := s.send(nil)
		if o.local == nil || o.local.StatusCode != 431 || !strings.Contains(string(o.local.Data), `"reason":"unreadable"`) {
			t.Errorf("%+v", o.local)
		}
		s.host.Tick()
		if n, err := s.host.GetCounterMetric("curfew_unreadable"); err != nil || n != 1 {
			t.Errorf("counter: %d, %v", n, err)
		}
		if o := s.request("GET", "/page", nil); o.local != nil {
			t.Errorf("afterwards: %+v", o.local)
		}
	})
}

// Counts are told twice a second, by reason.
func TestStats(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone("42"))
		for range 3 {
			s.request("GET", "/page", []string{name + "=" + g})
			s.request("GET", "/page", nil)
		}
		s.request("GET", "/page", []string{name + "=x"})
		if s.host.GetTickPeriod() != 500 {
			t.Errorf("tick: %d ms", s.host.GetTickPeriod())
		}
		for range 2 {
			s.host.Tick()
			for reason, want := range map[string]uint64{"ok": 3, "absent": 3, "invalid": 1, "off": 0} {
				if n, err := s.host.GetCounterMetric("curfew_" + reason); err != nil || n != want {
					t.Errorf("%s: %d, %v; want %d", reason, n, err, want)
				}
			}
		}
	})
}
