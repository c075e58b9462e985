package filter_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func command(json string) [2]string { return [2]string{"x-session", json} }

func status(code string) [2]string { return [2]string{":status", code} }

// setCookie is the value that a response sets a cookie to, "" where it does not.
func (o *outcome) setCookie(cookie string) string {
	_, rest, _ := strings.Cut(strings.Join(values(o.reply, "set-cookie"), ""), cookie+"=")
	value, _, _ := strings.Cut(rest, ";")
	return value
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

// LG-164 to LG-178: what an app may not say ends in a 502 without any of its headers, and the log
// says which rule it broke but nothing that it wrote.
func TestBadCommands(t *testing.T) {
	const start = `{"start":{"subject":"leak-42"}}`
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range []struct {
			name, path string
			response   [][2]string
			rule       string
		}{
			{"LG-164 no login route", "/page", [][2]string{status("200"), command(start)}, "only on a route of login.start_on"},
			{"LG-166 500", "/login", [][2]string{status("500"), command(start)}, "only with a status below 400"},
			{"LG-166 401", "/login", [][2]string{status("401"), command(start)}, "only with a status below 400"},
			{"LG-168 list", "/login", [][2]string{status("200"), command(start + "," + start)}, "is not one JSON object"},
			{"LG-170 long", "/login", [][2]string{status("200"), command(`{"start":{"subject":"` + strings.Repeat("leak", 1<<18) + `"}}`)}, "over 8192 bytes"},
			{"LG-172 CRLF", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak\r\nSet-Cookie: a=b"}}`)}, "start.subject must be"},
			{"LG-177 start and end", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak"},"end":true}`)}, "cannot come together"},
			{"LG-178 cached", "/login", [][2]string{status("200"), command(start), {"age", "10"}}, "on a response that a cache served"},
			{"two", "/login", [][2]string{status("200"), command(start), command(start)}, "more than one x-session header"},
			{"unknown", "/page", [][2]string{status("200"), command(`{"leak":1}`)}, "unknown command"},
			{"deep", "/page", [][2]string{status("200"), command(strings.Repeat("[", 4000))}, "is not one JSON object"},
			{"too large", "/login", [][2]string{status("200"), command(`{"start":{"subject":"leak","data":{"a":"` + strings.Repeat("leak", 1000) + `"}}}`)}, "does not fit into a cookie"},
		} {
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
			o := s.send([][2]string{{":method", "POST"}, {":path", "/logout"}, {":scheme", "https"}, {":authority", "shop.example"}, header, {"cookie", name + "=" + s.mint(someone("42"))}})
			if o.local == nil || o.local.StatusCode != 403 || len(values(o.reply, "set-cookie")) > 0 {
				t.Errorf("RP-133 %v: %+v %v", header, o.local, o.reply)
			}
		}
	})
}

// RP-122: with no store, a copy of the cookie outlives a logout until the session's own end. This is
// the price of having none; docs and `revoke` are the answer, and a change of it must be noticed.
func TestReplay(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone("42"))
		s.request("POST", "/logout", []string{name + "=" + g})
		o := s.request("GET", "/page", []string{name + "=" + g})
		o.want(t, "42")
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
			o := s.request("GET", "/page", []string{name + "=" + s.mint(session)})
			o.want(t, c.who)
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

// Counts are told once a second, by reason.
func TestStats(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone("42"))
		for range 3 {
			s.request("GET", "/page", []string{name + "=" + g})
			s.request("GET", "/page", nil)
		}
		s.request("GET", "/page", []string{name + "=x"})
		if s.host.GetTickPeriod() != 1000 {
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
