package filter_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// events are the log's JSON lines from a place on.
func (s *site) events(t *testing.T, from int) (out []map[string]string) {
	t.Helper()
	for _, line := range strings.Split(s.log.String()[from:], "\n") {
		if at := strings.Index(line, `{"curfew"`); at >= 0 {
			var got map[string]string
			if err := json.Unmarshal([]byte(line[at:]), &got); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			out = append(out, got)
		}
	}
	return out
}

// held is the session in a token.
func (s *site) held(t *testing.T, token string) cookie.Session {
	t.Helper()
	o, err := s.codec.Open(token, epoch+60)
	if err != nil {
		t.Fatalf("%q: %v", token, err)
	}
	o.Session.Detach(nil)
	return o.Session
}

// owner is someone with data, as one write after another makes them.
func owner(change func(*cookie.Session)) *cookie.Session {
	s := someone("42")
	s.StartedAt, s.AuthenticatedAt, s.IssuedAt = epoch-600, epoch-600, epoch
	s.Data, s.Revision = `{"a":1,"b":[2]}`, 7
	change(s)
	return s
}

var changeCases = []struct {
	name, command string
	before, after func(*cookie.Session)
	maxAge        string
	event         string
}{
	{"set", `{"set":{"b":null,"c":{"d":"é"}}}`, same, func(s *cookie.Session) { s.Data = `{"a":1,"c":{"d":"é"}}` }, "", ""},
	{"set all away", `{"set":{"b":null,"a":null}}`, same, func(s *cookie.Session) { s.Data = "" }, "", ""},
	{"set clears the flag", `{"set":{"b":null}}`, func(s *cookie.Session) { s.Refused = true }, func(s *cookie.Session) { s.Data, s.Refused = `{"a":1}`, false }, "", ""},
	{"expire_in", `{"expire_in":"300s"}`, same, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, "; Max-Age=42600", ""},
	{"expire_in browser", `{"expire_in":"browser"}`, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, func(s *cookie.Session) { s.Idle, s.Lifetime = 0, cookie.Browser }, "", ""},
	{"expire_in null", `{"expire_in":null}`, func(s *cookie.Session) { s.Idle, s.Lifetime = 300, cookie.Persistent }, func(s *cookie.Session) { s.Idle, s.Lifetime = 0, cookie.ByRemember }, "", ""},
	{"remember", `{"remember":true}`, same, func(s *cookie.Session) { s.Remember = true }, "; Max-Age=2591400", ""},
	{"remember no more", `{"remember":false}`, func(s *cookie.Session) { s.Remember = true }, func(s *cookie.Session) { s.Remember = false }, "", ""},
	{"rotate", `{"rotate":true}`, same, same, "", "session_rotate"},
	{"all in one", `{"set":{"a":2},"expire_in":"5m","remember":true,"rotate":true}`, same, func(s *cookie.Session) {
		s.Data, s.Idle, s.Lifetime, s.Remember = `{"a":2,"b":[2]}`, 300, cookie.Persistent, true
	}, "; Max-Age=2591400", "session_rotate"},
}

func same(*cookie.Session) {}

// The commands that change a session, one by one and together.
func TestChanges(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range changeCases {
			t.Run(c.name, func(t *testing.T) {
				before, from := owner(c.before), s.log.Len()
				o := s.request("GET", "/page", []string{name + "=" + s.mint(before)}, status("200"), command(c.command), [2]string{"x-app", "1"})
				lines := values(o.reply, "set-cookie")
				if o.local != nil || len(lines) != 1 || len(values(o.reply, "x-session")) > 0 || len(values(o.reply, "x-app")) != 1 || values(o.reply, "cache-control")[0] != "no-store" {
					t.Fatalf("%+v %v", o.local, o.reply)
				}
				if !strings.Contains(lines[0], c.maxAge+"; Path=/;") || strings.Contains(lines[0], "Max-Age") != (c.maxAge != "") {
					t.Errorf("set %q", lines[0])
				}
				got, want := s.held(t, o.setCookie(name)), owner(c.before)
				c.after(want)
				if (got.ID != before.ID) != (c.event != "") || got.IssuedAt < epoch {
					t.Errorf("id %x, issued at %d", got.ID, got.IssuedAt)
				}
				want.ID, want.IssuedAt, want.Revision = got.ID, got.IssuedAt, 8 // each write counts
				if diff := cmp.Diff(*want, got); diff != "" {
					t.Error(diff)
				}
				var events []map[string]string
				if c.event != "" {
					events = []map[string]string{{"curfew": c.event, "reason": "rotated", "session": before.ID.Hash(), "next": got.ID.Hash()}}
				}
				if diff := cmp.Diff(events, s.events(t, from)); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

// Nothing is written where nothing changed.
func TestUnmodified(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, text := range []string{`{"set":{}}`, `{"set":{"a":1}}`, `{"set":{"b":[2]}}`, `{"set":{"x":null}}`, `{"remember":false}`, `{"expire_in":null}`} {
			session := owner(same)
			o := s.request("GET", "/page", []string{name + "=" + s.mint(session)}, status("200"), command(text), [2]string{"cache-control", "max-age=60"})
			if o.local != nil || len(values(o.reply, "set-cookie")) > 0 || values(o.reply, "cache-control")[0] != "max-age=60" || len(values(o.reply, "x-session")) > 0 {
				t.Errorf("%s: %+v %v", text, o.local, o.reply)
			}
		}
	})
}

// What does not fit leaves the app's response and the session as they are; the app is told until a write
// succeeds, and the log once.
func TestTooLarge(t *testing.T) {
	big := command(`{"set":{"big":"` + strings.Repeat("x", 4000) + `"}}`)
	inBoth(t, "", func(t *testing.T, s *site) {
		token, from := s.mint(owner(same)), s.log.Len()
		o := s.request("GET", "/page", []string{name + "=" + token}, status("200"), big, [2]string{"x-app", "1"})
		if o.local != nil || len(values(o.reply, "x-app")) != 1 || len(values(o.reply, "x-session")) > 0 {
			t.Fatalf("%+v %v", o.local, o.reply)
		}
		if said := s.log.String()[from:]; strings.Count(said, "does not fit into a cookie of 4096 bytes") != 1 || strings.Contains(said, "xxx") || len(s.events(t, from)) > 0 {
			t.Errorf("the log says %q", said)
		}
		if o.setCookie(name) != "" {
			t.Errorf("the session was written: %v", o.reply)
		}
		flagged := token + "; " + name + "-renewed=" + o.setCookie(name+"-renewed")
		for _, cookies := range []string{token, flagged} {
			o = s.request("GET", "/page", []string{name + "=" + cookies}, status("200"), big)
			o.want(t, "42")
		}
		if got := values(o.request, "x-session-error"); len(got) != 1 || got[0] != "too_large" || len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("the app was told %q and the browser got %v", got, o.reply)
		}
		o = s.request("GET", "/page", []string{name + "=" + flagged}, status("200"), command(`{"set":{"a":3}}`))
		good := o.setCookie(name)
		if !o.deletes(name + "-renewed") {
			t.Errorf("the flag stays: %v", o.reply)
		}
		o = s.request("GET", "/page", []string{name + "=" + good})
		if o.want(t, "42"); len(values(o.request, "x-session-error")) > 0 || s.held(t, good).Data != `{"a":3,"b":[2]}` {
			t.Errorf("after a good write the app saw %v", o.request)
		}
		s.host.Tick()
		if n, err := s.host.GetCounterMetric("curfew_too_large"); err != nil || n != 3 {
			t.Errorf("counter: %d, %v", n, err)
		}
	})
}

// A session that nobody logged in to begins with the first set, and ends with the login.
func TestAnonymous(t *testing.T) {
	const fields = `, "anonymous": true, "headers": {"x-session": "@this", "x-session-subject": "subject"},
		"rules": [{"path_prefix": "/open", "session": "optional"}, {"path_prefix": "/off", "session": "off"}]`
	inBoth(t, fields, func(t *testing.T, s *site) {
		set := command(`{"set":{"theme":"dark"}}`)
		o := s.request("GET", "/open", nil, status("200"), command(`{"set":{"theme":null}}`))
		if o.local != nil || len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("a set of nothing: %v", o.reply)
		}
		o = s.request("GET", "/open", nil, status("200"), set)
		token := o.setCookie(name)
		first := s.held(t, token)
		if first.Subject != "" || first.AuthenticatedAt != 0 || first.Data != `{"theme":"dark"}` || first.Revision != 0 {
			t.Fatalf("opened %+v", first)
		}
		s.event(t, "session_start", "opened", first.ID.Hash())

		o = s.request("GET", "/open", []string{name + "=" + token})
		var doc struct {
			Subject         *string
			AuthenticatedAt *int64 `json:"authenticated_at"`
			Reason          string
			Data            map[string]string
		}
		if err := json.Unmarshal([]byte(strings.Join(values(o.request, "x-session"), "")), &doc); err != nil || *doc.Subject != "" || *doc.AuthenticatedAt != 0 || doc.Reason != "ok" || doc.Data["theme"] != "dark" {
			t.Errorf("the app saw %v, %v", o.request, err)
		}
		if len(values(o.request, "x-session-subject")) > 0 {
			t.Errorf("the app saw %v", o.request)
		}
		if o = s.request("GET", "/page", []string{name + "=" + token}); o.local == nil || !strings.Contains(values(o.reply, "location")[0], "reason=anonymous") || len(values(o.reply, "set-cookie")) > 0 {
			t.Errorf("on a required path: %+v %v", o.local, o.reply)
		}
		for _, cookies := range [][]string{nil, {name + "=" + token}} {
			if o = s.request("GET", "/off", cookies, status("200"), set); o.local == nil || o.local.StatusCode != 502 || len(values(o.reply, "set-cookie")) > 0 {
				t.Errorf("on an off path: %+v %v", o.local, o.reply)
			}
		}
		o = s.request("POST", "/login", []string{name + "=" + token}, status("303"), command(`{"start":{"subject":"42","keep":true,"data":{"n":1}}}`))
		second := s.held(t, o.setCookie(name))
		if second.ID == first.ID || second.Data != `{"theme":"dark","n":1}` || second.Subject != "42" {
			t.Errorf("started %+v", second)
		}
		s.event(t, "session_end", "replaced", first.ID.Hash())
		s.event(t, "session_start", "started", second.ID.Hash())
	})
	inBoth(t, `, "rules": [{"path_prefix": "/open", "session": "optional"}]`, func(t *testing.T, s *site) {
		o := s.request("GET", "/open", nil, status("200"), command(`{"set":{"theme":"dark"}}`))
		if o.local == nil || o.local.StatusCode != 502 || len(values(o.reply, "set-cookie")) > 0 || !strings.Contains(s.log.String(), "there is no live session here") {
			t.Errorf("without anonymous: %+v %v", o.local, o.reply)
		}
	})
}

// Each event is one line with hashed ids; who it was is said only if the config wants it.
func TestEvents(t *testing.T) {
	const subject = `Zoë "x" </script>`
	for fields, withSubject := range map[string]bool{"": false, `, "log_subject": true`: true} {
		inBoth(t, fields, func(t *testing.T, s *site) {
			line := func(event, reason string, session *cookie.Session, more ...string) map[string]string {
				out := map[string]string{"curfew": event, "reason": reason, "session": session.ID.Hash()}
				if withSubject {
					out["subject"] = session.Subject
				}
				for i := 0; i < len(more); i += 2 {
					out[more[i]] = more[i+1]
				}
				return out
			}
			start := command(`{"start":{"subject":"Zoë \"x\" </script>"}}`)
			o := s.request("POST", "/login", nil, status("303"), start)
			first := s.held(t, o.setCookie(name))
			o = s.request("GET", "/page", []string{name + "=" + o.setCookie(name)}, status("200"), command(`{"rotate":true}`))
			second := s.held(t, o.setCookie(name))
			o = s.request("POST", "/login", []string{name + "=" + o.setCookie(name)}, status("303"), start)
			third := s.held(t, o.setCookie(name))
			s.request("GET", "/page", []string{name + "=" + o.setCookie(name)}, status("200"), command(`{"end":true}`))
			idle := someone(subject)
			idle.StartedAt, idle.AuthenticatedAt, idle.IssuedAt = epoch-3600, epoch-3600, epoch-3600
			for range 3 {
				s.request("GET", "/page", []string{name + "=" + s.mint(idle)})
			}
			want := []map[string]string{
				line("session_start", "started", &first),
				line("session_rotate", "rotated", &first, "next", second.ID.Hash()),
				line("session_end", "replaced", &second),
				line("session_start", "started", &third),
				line("session_end", "ended", &third),
				line("session_end", "idle_timeout", idle),
			}
			if diff := cmp.Diff(want, s.events(t, 0)); diff != "" {
				t.Error(diff)
			}
			for _, session := range []*cookie.Session{&first, &second, &third, idle} {
				for _, secret := range []string{base64.RawURLEncoding.EncodeToString(session.ID[:]), fmt.Sprintf("%x", session.ID[:])} {
					if strings.Contains(s.log.String(), secret) {
						t.Errorf("the log has the id %s", secret)
					}
				}
			}
			if got := strings.Contains(s.log.String(), "script"); got != withSubject {
				t.Errorf("the log names the subject: %v", got)
			}
			s.host.Tick()
			for counter, want := range map[string]uint64{
				"session_start": 2, "session_rotate": 1, "session_end": 3, "started": 2, "rotated": 1, "replaced": 1, "ended": 1, "idle_timeout": 3, "opened": 0,
			} {
				if n, err := s.host.GetCounterMetric("curfew_" + counter); err != nil || n != want {
					t.Errorf("%s: %d, %v; want %d", counter, n, err, want)
				}
			}
		})
	}
}

// begin is a request up to the app, in a context of its own.
func (h *wasmHost) begin(request [][2]string) (id uint64) {
	h.t.Helper()
	id = h.next
	h.next++
	h.toApp, h.toClient, h.local, h.reason = slices.Clone(request), nil, 0, ""
	h.call("proxy_on_context_create", id, h.plugin)
	h.call("proxy_on_request_headers", id, uint64(len(request)), 1)
	return id
}

// answer is the app's response in that context.
func (h *wasmHost) answer(id uint64, response [][2]string) {
	h.t.Helper()
	h.toApp, h.toClient, h.local, h.reason = nil, slices.Clone(response), 0, ""
	h.call("proxy_on_response_headers", id, uint64(len(response)), 1)
}

func (h *wasmHost) finish(id uint64) {
	h.t.Helper()
	h.call("proxy_on_log", id)
	h.call("proxy_on_delete", id)
}

// crowd are people who have requests under way in one worker, all at once.
type crowd struct {
	*site
	h       *wasmHost
	random  *rand.Rand
	wrapped bool
	jars    []map[string]string // one for each person
	flying  []flight
	renewed int
}

type flight struct {
	id     uint64
	who    int
	before cookie.Session // what the request came with
}

// TestManyStreams: streams are used again and again, in any order, and nothing of one person's session
// comes out of another's response.
func TestManyStreams(t *testing.T) {
	for _, c := range []struct{ name, fields string }{
		{"signed", `, "rules": [{"path_prefix": "/", "session": "optional"}]`},
		{"sealed", `, "cookie": {"mode": "sealed"}, "rules": [{"path_prefix": "/", "session": "optional"}]`},
		{"wrapped", `, "cookie": {"mode": "sealed"}, "wrap": ["sid"], "rules": [{"path_prefix": "/", "session": "optional"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &site{t: t, secret: make([]byte, 32)}
			rand.New(rand.NewSource(7)).Read(s.secret)
			s.codec = s.newCodec(cookie.Options{Name: name, Sealed: c.name != "signed", Skew: 60})
			h := newWasmHost(t)
			if !h.start(configOf(s.secret, c.fields+`, "headers": {"x-session": "@this"}, "timeouts": {"rotate": "2m"}`)) {
				t.Fatalf("the filter does not start: %q", h.logged)
			}
			p := &crowd{site: s, h: h, random: rand.New(rand.NewSource(8)), wrapped: c.name == "wrapped"}
			for who := range 12 {
				p.jars = append(p.jars, map[string]string{})
				p.login(t, who)
			}
			for range 3000 {
				p.step(t)
			}
			if p.renewed == 0 {
				t.Errorf("%d renewals", p.renewed)
			}
		})
	}
}

func (p *crowd) mark(who int) string { return fmt.Sprintf("mark-%d-", who) }

func (p *crowd) login(t *testing.T, who int) {
	p.h.exchange([][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", "https"}, {":authority", "shop.example"}},
		[][2]string{status("303"), command(fmt.Sprintf(`{"start":{"subject":"%s","data":{"m":"%s"}}}`, p.mark(who), p.mark(who)))})
	p.take(t, who, cookie.Session{})
}

// open reads a token at the host's own time.
func (p *crowd) open(t *testing.T, token string) cookie.Session {
	t.Helper()
	if bound, renewal, _ := strings.Cut(token, "."); len(bound) == cookie.BoundSize {
		token = renewal
	}
	o, err := p.codec.Open(token, p.h.now)
	if err != nil {
		t.Fatal(err)
	}
	o.Session.Detach(nil)
	return o.Session
}

// take puts what came for one person into their jar, and finds nobody else in it.
func (p *crowd) take(t *testing.T, who int, before cookie.Session) {
	t.Helper()
	for _, line := range values(p.h.toClient, "set-cookie") {
		pair, attributes, _ := strings.Cut(line, ";")
		key, value, _ := strings.Cut(pair, "=")
		if key == name+"-seen" && value != "" {
			if _, _, err := p.codec.OpenTouch(value, before.ID, p.h.now); err != nil {
				t.Fatalf("a touch of another session: %v", err)
			}
		}
		if p.jars[who][key] = value; strings.Contains(attributes, "Max-Age=0;") {
			delete(p.jars[who], key)
		}
		if key == name+"-seen" || value == "" {
			continue
		}
		p.renewed += strings.Count(key, "-renewed")
		got := p.open(t, value)
		text := got.Subject + got.Data + got.Wrapped
		if strings.Count(text, "mark-") != strings.Count(text, p.mark(who)) || got.Subject != p.mark(who) {
			t.Fatalf("person %d got %+v", who, got)
		}
		if before.StartedAt != 0 && (got.StartedAt != before.StartedAt || got.Revision < before.Revision) {
			t.Fatalf("%+v became %+v", before, got)
		}
	}
}

func (p *crowd) step(t *testing.T) {
	t.Helper()
	p.h.now += int64(p.random.Intn(3))
	if len(p.flying) < 20 && p.random.Intn(2) == 0 {
		p.send(t, p.random.Intn(len(p.jars)))
		return
	}
	if len(p.flying) == 0 {
		return
	}
	i := p.random.Intn(len(p.flying))
	f := p.flying[i]
	p.flying = slices.Delete(p.flying, i, i+1)
	if p.random.Intn(10) > 0 {
		p.reply(t, f)
	}
	p.h.finish(f.id)
}

func (p *crowd) send(t *testing.T, who int) {
	t.Helper()
	if p.random.Intn(5) == 0 { // a stranger, in whose stream nothing is left of anybody
		id := p.h.begin(pageLoad("/page"))
		if len(values(p.h.toApp, "x-session")) > 0 {
			t.Fatalf("a stranger: %v", p.h.toApp)
		}
		p.h.answer(id, [][2]string{status("200")})
		if len(p.h.toClient) != 1 {
			t.Fatalf("a stranger got %v", p.h.toClient)
		}
		p.h.finish(id)
		return
	}
	token := p.jars[who][name]
	if token == "" {
		p.login(t, who)
		token = p.jars[who][name]
	}
	id := p.h.begin(pageLoad("/page", [2]string{"cookie", name + "=" + token + "; " + name + "-seen=" + p.jars[who][name+"-seen"] + "; " + name + "-renewed=" + p.jars[who][name+"-renewed"]}))
	saw := strings.Join(values(p.h.toApp, "x-session"), "") + strings.Join(values(p.h.toApp, "cookie"), "")
	if strings.Count(saw, "mark-") != strings.Count(saw, p.mark(who)) || !strings.Contains(saw, p.mark(who)) {
		t.Fatalf("for person %d the app saw %s", who, saw)
	}
	p.flying = append(p.flying, flight{id, who, p.open(t, token)})
}

func (p *crowd) reply(t *testing.T, f flight) {
	t.Helper()
	response := [][2]string{status("200")}
	switch kind := p.random.Intn(6); {
	case kind < 3:
		response = append(response, command(fmt.Sprintf(`{"set":{"k%d":"%s%d"}}`, p.random.Intn(4), p.mark(f.who), p.random.Intn(100))))
	case kind == 3:
		response = append(response, command(`{"set":{"k0":null,"k1":null}}`))
	case kind == 4 && p.wrapped:
		response = append(response, [2]string{"set-cookie", fmt.Sprintf("sid=%s%d", p.mark(f.who), p.random.Intn(100))})
	}
	p.h.answer(f.id, response)
	if p.h.local != 0 {
		t.Fatalf("reply %d: %q", p.h.local, p.h.logged[len(p.h.logged)-1])
	}
	p.take(t, f.who, f.before)
}

// The guest's memory does not grow with the answers that write.
func TestMemoryOfChanges(t *testing.T) {
	const warmUp, requests = 2_000, 20_000
	secret := make([]byte, 32)
	rand.New(rand.NewSource(9)).Read(secret)
	h := newWasmHost(t)
	if !h.start(configOf(secret, `, "cookie": {"mode": "sealed"}, "wrap": ["sid"], "headers": {"x-session": "@this"}`)) {
		t.Fatalf("the filter does not start: %q", h.logged)
	}
	h.exchange([][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", "https"}, {":authority", "shop.example"}},
		[][2]string{status("303"), command(`{"start":{"subject":"42"}}`), {"set-cookie", "sid=0"}})
	o := outcome{reply: h.toClient}
	cookies := name + "=" + o.setCookie(name)
	var before uint32
	for i := range requests {
		if i == warmUp {
			before = h.guest.Memory().Size()
		}
		h.exchange(pageLoad("/page", [2]string{"cookie", cookies}), [][2]string{status("200"), {"set-cookie", fmt.Sprintf("sid=%d", i)},
			command(fmt.Sprintf(`{"set":{"n":%d,"list":[%s1]}}`, i, strings.Repeat("1,", i%200)))})
		if o = (outcome{reply: h.toClient}); o.setCookie(name) == "" {
			t.Fatalf("request %d: %v, %q", i, h.toClient, h.logged)
		}
		h.logged = h.logged[:0]
	}
	if after := h.guest.Memory().Size(); after != before {
		t.Errorf("%d KiB became %d KiB", before>>10, after>>10)
	}
}

// A response whose request never came this way is nobody's, whoever had its stream before.
func TestResponseWithoutRequest(t *testing.T) {
	h, s := newWrappingHost(t)
	session, cookies := s.sealed(true, sidIn)
	h.exchange(pageLoad("/page", [2]string{"cookie", cookies}), [][2]string{status("200")})
	for _, response := range [][][2]string{
		{status("200")},
		{status("200"), command(`{"set":{"a":1}}`)},
		{status("200"), command(`{"rotate":true}`)},
		{status("200"), sets("sid=s2; Path=/")},
		{status("200"), sets("sid=; Max-Age=0; Path=/")},
	} {
		id := h.next
		h.next++
		h.call("proxy_on_context_create", id, h.plugin)
		h.answer(id, response)
		o := outcome{reply: h.toClient}
		if token := o.setCookie(name); token != "" {
			if got := s.held(t, token); got.AuthenticatedAt != 0 || got.ID == session.ID {
				t.Errorf("%v: got %+v", response, got)
			}
		}
		if len(values(h.toClient, "x-session")) > 0 || strings.Contains(fmt.Sprint(values(h.toClient, "set-cookie")), "sid=") || o.setCookie(name+"-seen") != "" {
			t.Errorf("%v: got %v", response, h.toClient)
		}
		h.finish(id)
	}
}
