package filter_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// tab is a browser before one worker, whose requests may wait for their answers.
type tab struct {
	*site
	h   *wasmHost
	jar map[string]string
}

// newTab starts the built filter for a browser that has nothing.
func newTab(t *testing.T, fields string) *tab {
	t.Helper()
	s := &site{t: t, secret: make([]byte, 32)}
	_, _ = rand.Read(s.secret)
	s.codec = s.newCodec(cookie.Options{Name: name, Skew: 60})
	h := newWasmHost(t)
	h.now = epoch
	if !h.start(configOf(s.secret, `, "rules": [{"path_prefix": "/open", "session": "optional"}], "headers": {"x-session": "@this"}`+fields)) {
		t.Fatalf("the filter does not start: %q", h.logged)
	}
	return &tab{s, h, map[string]string{}}
}

// hold puts a session into the browser that was logged in to and last seen so many seconds ago.
func (b *tab) hold(age, seen int64) *cookie.Session {
	session := someone("42")
	session.StartedAt, session.AuthenticatedAt, session.IssuedAt, session.Data = b.h.now-age, b.h.now-age, b.h.now-age, `{"a":1}`
	b.jar = map[string]string{name: b.mint(session), name + "-seen": b.touch(session.ID, b.h.now-seen)}
	return session
}

// begin sends a request with the cookies that the browser has by now.
func (b *tab) begin(method, path string) (id uint64) {
	b.t.Helper()
	var pairs []string
	for key, value := range b.jar {
		pairs = append(pairs, key+"="+value)
	}
	return b.h.begin([][2]string{{":method", method}, {":path", path}, {":scheme", "https"}, {":authority", "shop.example"}, {"accept", "text/html"}, {"cookie", strings.Join(pairs, "; ")}})
}

// end is the app's answer, if the filter did not give one, and what the browser makes of either. It returns
// the names of the cookies set, a deleted one with a - before.
func (b *tab) end(id uint64, response ...[2]string) (set []string) {
	b.t.Helper()
	if b.h.local == 0 || len(response) > 0 {
		b.h.answer(id, append([][2]string{status("200")}, response...))
	}
	for _, line := range values(b.h.toClient, "set-cookie") {
		pair, attributes, _ := strings.Cut(line, ";")
		key, value, _ := strings.Cut(pair, "=")
		if b.jar[key] = value; strings.Contains(attributes, "Max-Age=0;") {
			delete(b.jar, key)
			set = append(set, "-"+key)
			continue
		}
		set = append(set, key)
	}
	b.h.finish(id)
	return set
}

// sees is x-session as the app gets it, or where it does not get any, the reason.
func (b *tab) sees() string {
	b.t.Helper()
	id := b.begin("GET", "/open")
	saw := strings.Join(values(b.h.toApp, "x-session"), "")
	if saw == "" {
		saw = strings.Join(values(b.h.toApp, "x-session-reason"), "")
	}
	if line := strings.Join(values(b.h.toApp, "cookie"), ""); strings.Contains(line, name) {
		b.t.Errorf("the app gets our cookies: %q", line)
	}
	b.h.finish(id)
	return saw
}

// A renewal that comes late undoes nothing, and brings nothing back.
func TestLateRenewal(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		answer             [2]string
		want               string // in what the app sees afterwards
	}{
		{"nothing", "GET", "/open", [2]string{"x-app", "1"}, `"revision":0,"reason":"ok","data":{"a":1}`},
		{"set", "GET", "/open", command(`{"set":{"a":2}}`), `"revision":1,"reason":"ok","data":{"a":2}`},
		{"rotate", "GET", "/open", command(`{"rotate":true}`), `"revision":1,"reason":"ok","data":{"a":1}`},
		{"login", "POST", "/login", command(`{"start":{"subject":"43","data":{"a":3}}}`), `"revision":0,"reason":"ok","data":{"a":3}`},
		{"end", "GET", "/open", command(`{"end":true}`), "absent"},
		{"logout", "POST", "/logout", [2]string{}, "absent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTab(t, "")
			b.hold(7200, 60)
			slow := b.begin("GET", "/page")
			id := b.begin(c.method, c.path)
			if c.path == "/logout" {
				b.end(id)
			} else {
				b.end(id, c.answer)
			}
			b.h.now += 300
			b.h.local = 0
			if diff := cmp.Diff([]string{name + "-seen", name + "-renewed"}, b.end(slow)); diff != "" {
				t.Error(diff)
			}
			if got := b.sees(); !strings.Contains(got, c.want) {
				t.Errorf("the app sees %s, want %s", got, c.want)
			}
			if strings.HasPrefix(c.want, "absent") {
				return
			}
			id = b.begin("GET", "/open")
			set := b.end(id, command(`{"set":{"b":1}}`))
			if len(set) < 2 || set[0] != name || set[1] != "-"+name+"-renewed" || b.jar[name+"-renewed"] != "" {
				t.Errorf("the next set: %v", set)
			}
		})
	}
}

// The session lives in its renewal alone where its own cookie is under a key that is gone; without that
// cookie the renewal is nothing.
func TestRenewalAlone(t *testing.T) {
	b := newTab(t, "")
	session := b.hold(7200, 60)
	b.end(b.begin("GET", "/page"))
	own, renewed, seen := b.jar[name], b.jar[name+"-renewed"], b.jar[name+"-seen"]
	ok, other := fmt.Sprintf(`"started_at":%d`, session.StartedAt), b.mint(someone("43"))
	for _, c := range []struct {
		name, own, renewed, want string
	}{
		{"both", own, renewed, ok},
		{"own under no key", "1s.gone." + own[len("1s.k1."):], renewed, ok},
		{"own under no key, another's renewal", "1s.gone." + other[len("1s.k1."):], renewed, "invalid"},
		{"own noise", "x", renewed, "invalid"},
		{"own noise, renewal noise", "x", "y", "invalid"},
		{"own of another", other, renewed, `"subject":"43"`},
		{"renewal of another", own, other, ok},
		{"alone", "", renewed, "absent"},
	} {
		b.jar = map[string]string{name: c.own, name + "-renewed": c.renewed, name + "-seen": seen}
		if c.own == "" {
			delete(b.jar, name)
		}
		if got := b.sees(); !strings.Contains(got, c.want) {
			t.Errorf("%s: the app sees %s", c.name, got)
		}
	}
}

// A slow answer says the time of the answer, and nothing once the session has ended.
func TestLateTouch(t *testing.T) {
	for _, c := range []struct {
		name      string
		age, took int64
		want      []string
	}{
		{"touch", 300, 840, []string{name + "-seen"}},
		{"touch, a second before the end", 300, 899, []string{name + "-seen"}},
		{"touch, at the end", 300, 900, nil},
		{"renewal", 7200, 840, []string{name + "-seen", name + "-renewed"}},
		{"renewal, at the end", 7200, 900, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTab(t, "")
			session := b.hold(c.age, 60)
			slow := b.begin("GET", "/page")
			b.h.now += c.took
			if diff := cmp.Diff(c.want, b.end(slow)); diff != "" {
				t.Error(diff)
			}
			if c.want == nil {
				if got := b.sees(); got != "idle_timeout" {
					t.Errorf("the app sees %s", got)
				}
				return
			}
			at, _, err := b.codec.OpenTouch(b.jar[name+"-seen"], session.ID, b.h.now)
			if want := b.h.now - b.h.now%60; err != nil || at != want {
				t.Errorf("seen at %d, %v; want %d", at, err, want)
			}
		})
	}
}

// Only a prompt answer deletes what was dead when its request came: a slow one would take the login away
// that was made meanwhile.
func TestPromptDeletion(t *testing.T) {
	for took, want := range map[int64][]string{0: {"-" + name + "-seen", "-" + name}, 1: {"-" + name + "-seen", "-" + name}, 2: nil, 60: nil} {
		b := newTab(t, "")
		b.hold(7200, 3600)
		slow := b.begin("GET", "/open")
		if took > 1 {
			b.end(b.begin("POST", "/login"), command(`{"start":{"subject":"43"}}`))
		}
		b.h.now += took
		if diff := cmp.Diff(want, b.end(slow)); diff != "" {
			t.Errorf("after %d s: %s", took, diff)
		}
		if got := b.sees(); strings.Contains(got, `"subject":"43"`) != (took > 1) {
			t.Errorf("after %d s the app sees %s", took, got)
		}
	}
}

// With no session at all, one begins that has but the word in it that something did not fit.
func TestTooLargeBeginsASession(t *testing.T) {
	inBoth(t, `, "anonymous": true, "rules": [{"path_prefix": "/open", "session": "optional"}]`, func(t *testing.T, s *site) {
		o := s.request("GET", "/open", nil, status("200"), command(`{"set":{"a":"`+strings.Repeat("x", 4000)+`"}}`))
		got := s.held(t, o.setCookie(name))
		want := cookie.Session{ID: got.ID, StartedAt: got.StartedAt, IssuedAt: got.StartedAt, Refused: true}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		s.event(t, "session_start", "opened", got.ID.Hash())
		o = s.request("GET", "/open", []string{name + "=" + o.setCookie(name)})
		if got := values(o.request, "x-session-error"); len(got) != 1 || got[0] != "too_large" {
			t.Errorf("the app was told %q", got)
		}
		s.host.Tick()
		for counter, want := range map[string]uint64{"too_large": 1, "opened": 1, "session_start": 1} {
			if n, err := s.host.GetCounterMetric("curfew_" + counter); err != nil || n != want {
				t.Errorf("%s: %d, %v", counter, n, err)
			}
		}
	})
}

// A logout ends a session that was dead already, for whoever reads the log.
func TestLogoutOfTheDead(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		dead := someone("42")
		dead.StartedAt, dead.AuthenticatedAt, dead.IssuedAt = epoch-7200, epoch-7200, epoch-7200
		token := s.mint(dead)
		o := s.request("POST", "/logout", []string{name + "=" + token + "; " + name + "-renewed=" + token})
		for _, cookie := range []string{name, name + "-seen", name + "-renewed"} {
			if !o.deletes(cookie) {
				t.Errorf("%s stays: %v", cookie, o.reply)
			}
		}
		if o.local == nil || o.local.StatusCode != 303 {
			t.Errorf("%+v", o.local)
		}
		s.event(t, "session_end", "logged_out", dead.ID.Hash())
	})
}

// Some servers hand trailers to an app as if they were headers: none of ours and no cookie is among them.
func TestTrailers(t *testing.T) {
	b := newTab(t, `, "cookie": {"mode": "sealed"}, "wrap": ["sid"]`)
	id := b.begin("POST", "/open")
	trailer := [2]string{"x-checksum", "1"}
	b.h.toApp = [][2]string{{"cookie", "sid=evil"}, trailer, {"x-session", "evil"}, {"x-session-subject", "evil"}, {"x_session_id", "evil"}, {"cookie", name + "=evil"}, {"cookies", "a=b"}}
	b.h.call("proxy_on_request_trailers", id, uint64(len(b.h.toApp)))
	if diff := cmp.Diff([][2]string{trailer, {"cookies", "a=b"}}, b.h.toApp); diff != "" {
		t.Error(diff)
	}
	b.h.finish(id)
}

// Where an answer's headers cannot be read, the app's cookie in them must neither go to the browser nor be
// dropped in silence.
func TestUnreadableAnswer(t *testing.T) {
	for _, c := range []struct {
		name, fields string
		response     [][2]string
		want         uint32
	}{
		{"wrapping, a cookie", `, "cookie": {"mode": "sealed"}, "wrap": ["sid"]`, [][2]string{status("200"), sets("sid=secret")}, 502},
		{"wrapping, no cookie", `, "cookie": {"mode": "sealed"}, "wrap": ["sid"]`, [][2]string{status("200")}, 0},
		{"not wrapping, a cookie", "", [][2]string{status("200"), sets("sid=1")}, 0},
		{"a command", "", [][2]string{status("200"), command(`{"end":true}`)}, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTab(t, c.fields)
			id := b.begin("GET", "/open")
			b.h.unreadable = true
			b.h.answer(id, c.response)
			b.h.unreadable = false
			b.h.finish(id)
			if b.h.local != c.want {
				t.Errorf("reply %d: %v", b.h.local, b.h.toClient)
			}
			if c.want == 502 && (len(values(b.h.toClient, "set-cookie")) > 0 || !strings.Contains(strings.Join(b.h.logged, "\n"), "the response's headers cannot be read")) {
				t.Errorf("%v, logged %q", b.h.toClient, b.h.logged)
			}
			if got := b.sees(); got != "absent" {
				t.Errorf("afterwards the app sees %s", got)
			}
		})
	}
}
