package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// event is one of the filter's log lines.
type event struct {
	Curfew, Reason, Session string
}

// events reads them from Envoy's log; each is the whole of one line's message.
func (e *envoy) events(t *testing.T) (out []event) {
	t.Helper()
	for _, line := range strings.Split(e.log.String(), "\n") {
		at := strings.Index(line, `{"curfew"`)
		if at < 0 {
			continue
		}
		var ev event
		d := json.NewDecoder(strings.NewReader(line[at:]))
		d.DisallowUnknownFields()
		if err := d.Decode(&ev); err != nil || d.More() {
			t.Fatalf("not one JSON object: %q: %v", line[at:], err)
		}
		out = append(out, ev)
	}
	return out
}

// access is the access log's reasons, each with method and status before it.
func (e *envoy) access() (out []string) {
	for _, line := range strings.Split(e.log.String(), "\n") {
		if rest, ok := strings.CutPrefix(line, "ACCESS "); ok {
			out = append(out, rest)
		}
	}
	return out
}

const eventsConfig = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "rules": [
	{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/maybe", "session": "optional"},
	{"path_prefix": "/admin", "require": {"data.role": ["admin"]}}]}`

var hashed = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Each start and each end of a session is one line, with the same hash in both; nothing in it can
// be used as a session.
func TestEvents(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig, clock: clk})
	for _, proto := range overTLS {
		for _, end := range []struct {
			reason string
			happen func(c *client)
		}{
			{"logged_out", func(c *client) { c.do("POST", "/logout", "") }},
			{"ended", func(c *client) { c.do("GET", "/page?set=x-session:+{\"end\":true}", "") }},
			{"replaced", func(c *client) { c.login(`{"start":{"subject":"43"}}`) }},
			{"idle_timeout", func(c *client) { clk.advance(t, 15*time.Minute); c.page("/page"); c.page("/page") }},
			{"absolute_timeout", func(c *client) {
				c.login(`{"start":{"subject":"43","absolute":"10m"}}`)
				clk.advance(t, 10*time.Minute)
				c.page("/page")
			}},
		} {
			t.Run(proto+"/"+end.reason, func(t *testing.T) {
				before := len(e.events(t))
				c := newClient(t, e, proto)
				c.login(`{"start":{"subject":"42"}}`)
				end.happen(c)
				got := waitEvents(t, e, before, end.reason)
				first := got[0]
				if first.Curfew != "session_start" || first.Reason != "started" || !hashed.MatchString(first.Session) {
					t.Errorf("start: %+v", first)
				}
				var ends []event
				for _, ev := range got {
					if ev.Curfew == "session_end" && ev.Reason == end.reason {
						ends = append(ends, ev)
					}
				}
				if len(ends) != 1 || (end.reason != "absolute_timeout" && ends[0].Session != first.Session) {
					t.Errorf("%+v ended by %+v", first, ends)
				}
			})
		}
	}
}

// waitEvents waits until an end with that reason is in the log, and returns all since before.
func waitEvents(t *testing.T, e *envoy, before int, reason string) (got []event) {
	t.Helper()
	eventually(t, "an end by "+reason, func() bool {
		got = e.events(t)[before:]
		for _, ev := range got {
			if ev.Curfew == "session_end" && ev.Reason == reason {
				return true
			}
		}
		return false
	})
	return got
}

// The access log says why, the response's reason before the request's; a live session is the absence
// of one.
func TestAccessLog(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig})
	for _, proto := range overTLS {
		c := newClient(t, e, proto)
		for _, step := range []struct {
			do   func()
			want string
		}{
			{func() { c.page("/page") }, "GET 302 reason=absent"},
			{func() { c.do("GET", "/page", "") }, "GET 401 reason=absent"},
			{func() { c.page("/off") }, "GET 200 reason=off"},
			{func() { c.page("/maybe") }, "GET 200 reason=absent"},
			{func() { c.login(`{"start":{"subject":"42"}}`) }, "POST 303 reason=started"},
			{func() { c.page("/page") }, "GET 200 reason=-"},
			{func() { c.page("/admin") }, "GET 403 reason=forbidden"},
			{func() { c.do("GET", "/logout", "") }, "GET 405 reason=logout_refused"},
			{func() { c.do("GET", "/page?set=x-session:+nonsense", "") }, "GET 502 reason=bad_command"},
			{func() { c.do("GET", "/page?set=x-session:+{\"end\":true}", "") }, "GET 200 reason=ended"},
			{func() { c.do("GET", "/page", "", "Cookie: "+hostName+"=x") }, "GET 401 reason=invalid"},
			{func() { c.do("POST", "/logout", "") }, "POST 303 reason=logged_out"},
		} {
			before := len(e.access())
			step.do()
			eventually(t, "one line in the access log", func() bool { return len(e.access()) == before+1 })
			if got := e.access()[before]; got != step.want {
				t.Errorf("%s: %q, want %q", proto, got, step.want)
			}
		}
	}
}

// Counters agree with what clients saw, over both workers.
func TestCounters(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig})
	want := map[string]int{}
	expect := func(r reply, status int, reasons ...string) {
		t.Helper()
		if r.StatusCode != status {
			t.Fatalf("%d, want %d: %s", r.StatusCode, status, r.body)
		}
		for _, reason := range reasons {
			want[reason]++
		}
	}
	for i := range 25 {
		c := newClient(t, e, overTLS[i%2])
		expect(c.page("/page"), 302, "absent")
		expect(c.page("/off"), 200, "off")
		expect(c.do("OPTIONS", "/page", "", "Origin: https://a.example", "Access-Control-Request-Method: PUT"), 200, "preflight")
		expect(c.do("GET", "/page", "", "Cookie: "+hostName+"=x"), 401, "invalid")
		expect(c.login(`{"start":{"subject":"42"}}`), 303, "absent", "started")
		expect(c.page("/page"), 200, "ok")
		expect(c.page("/admin"), 403, "forbidden")
		expect(c.login(`{"start":{"subject":"43"}}`), 303, "ok", "started", "replaced")
		expect(c.do("GET", "/logout", ""), 405, "logout_refused")
		expect(c.do("GET", "/page?set=x-session:+[]", ""), 502, "ok", "bad_command")
		if i%2 == 0 {
			expect(c.do("POST", "/logout", ""), 303, "logged_out")
		} else {
			expect(c.do("GET", "/page?set=x-session:+{\"end\":true}", ""), 200, "ok", "ended")
		}
		expect(c.page("/maybe"), 200, "absent")
	}
	for reason, n := range want {
		eventually(t, fmt.Sprintf("curfew_%s is %d", reason, n), func() bool { return e.counter(reason) == n })
	}
	for _, reason := range []string{"idle_timeout", "absolute_timeout", "revoked", "auth_too_old", "unreadable", "touched", "renewed"} {
		if n := e.counter(reason); n != 0 {
			t.Errorf("curfew_%s is %d", reason, n)
		}
	}
	if got := strings.Count(e.log.String(), `"session_end"`); got != want["logged_out"]+want["ended"]+want["replaced"] {
		t.Errorf("%d lines of ends, counters %v", got, want)
	}
}
