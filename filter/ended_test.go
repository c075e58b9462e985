package filter_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/curfew-proxy/curfew/cookie"
)

// maxEnded is how many ended sessions an Envoy remembers.
const maxEnded = 4096

// The names under which they are in the shared data.
const endedCount = "curfew.ended"

func endedPlace(n int64) string { return fmt.Sprintf("curfew.ended.%d", n%maxEnded) }

func numberText(n int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }

func entryText(n int64, id cookie.ID, until int64) string {
	return numberText(n) + string(id[:]) + numberText(until)
}

// ringID is the id of one of many.
func ringID(n int64) cookie.ID { return cookie.ID{5, byte(n), byte(n >> 8), byte(n >> 16)} }

// fillRing is what so many logouts of other workers leave behind.
func (s *shared) fillRing(from, n int64) {
	for i := from; i < from+n; i++ {
		s.set(endedPlace(i), entryText(i, ringID(i), costNow+3600), 0)
	}
	s.set(endedCount, numberText(from+n), 0)
}

// ringCount is how many there ever were.
func (s *shared) ringCount() int64 {
	text := s.data[endedCount].text
	if text == "" {
		return 0
	}
	return int64(binary.LittleEndian.Uint64([]byte(text)))
}

// The ways to end a session on purpose.
var endings = []struct {
	name string
	act  func(h *streamHost, line [2]string)
}{
	{"the logout path", func(h *streamHost, line [2]string) { h.ask(0, line, method, to("/logout")) }},
	{"the folder's logout", func(h *streamHost, line [2]string) { h.ask(0, line, method, to("/.session/logout"), sameOrigin) }},
	{"the app's end", func(h *streamHost, line [2]string) { h.does(`{"end":true}`, line) }},
	{"the app's end on the login route", func(h *streamHost, line [2]string) { h.does(`{"end":true}`, line, method, to("/login")) }},
	{"a login in its place", func(h *streamHost, line [2]string) { h.does(`{"start":{"subject":"43"}}`, line, method, to("/login")) }},
	{"the same person's login", func(h *streamHost, line [2]string) { h.does(`{"start":{"subject":"42"}}`, line, method, to("/login")) }},
}

// does is a request that the app answers with a command.
func (h *streamHost) does(text string, headers ...[2]string) {
	h.t.Helper()
	id := h.open(0, headers...)
	h.answer(id, command(text))
	h.done(id)
}

// However a session is ended, its worker knows at once and the others by their next tick.
func TestEnded(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 3, "")
			h := f.workers[1]
			line, _ := h.minted(same)
			other, _ := h.minted(same)
			f.tick()
			f.all("before", line, "ok")
			tt.act(h, line)
			if got := h.sees(line); got != "revoked" {
				t.Errorf("at once: %s", got)
			}
			if got := f.workers[0].sees(line); got != "ok" {
				t.Errorf("another worker before its tick: %s", got)
			}
			f.tick()
			f.all("after a tick", line, "revoked")
			f.all("another session of the person", other, "ok")
			if late := f.join(); late.sees(line) != "revoked" {
				t.Error("a worker that starts later does not know")
			}
		})
	}
}

// What ends by itself, or is no end, takes no place.
func TestNotEnded(t *testing.T) {
	for _, tt := range []struct {
		name, fields string
		change       func(*cookie.Session)
		act          func(h *streamHost, line [2]string)
	}{
		{"an anonymous session", `, "anonymous": true`, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"a":1}` },
			func(h *streamHost, line [2]string) { h.ask(0, line, method, to("/logout")) }},
		{"an anonymous session at its login", `, "anonymous": true`, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"a":1}` },
			func(h *streamHost, line [2]string) { h.does(`{"start":{"subject":"43"}}`, line, method, to("/login")) }},
		{"another site's logout", "", same, func(h *streamHost, line [2]string) {
			h.ask(0, line, method, to("/logout"), [2]string{"sec-fetch-site", "cross-site"})
		}},
		{"nobody's logout", "", same, func(h *streamHost, _ [2]string) { h.ask(0, method, to("/logout")) }},
		{"a forged session's logout", "", same, func(h *streamHost, line [2]string) {
			h.ask(0, [2]string{"cookie", line[1][:len(line[1])-4] + "AAAA"}, method, to("/logout"))
		}},
		{"a new id", "", same, func(h *streamHost, line [2]string) { h.does(`{"rotate":true}`, line) }},
		{"a trial run", `, "report_only": true`, same, func(h *streamHost, line [2]string) { h.ask(0, line, method, to("/logout")) }},
		{"a trial run's end", `, "report_only": true`, same, func(h *streamHost, line [2]string) { h.does(`{"end":true}`, line) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 1, tt.fields)
			line, _ := f.workers[0].minted(tt.change)
			tt.act(f.workers[0], line)
			if n := f.shared.ringCount(); n != 0 {
				t.Errorf("%d places are taken", n)
			}
		})
	}
}

// Sending one logout over and over pushes nobody out.
func TestEndedOnce(t *testing.T) {
	f := newFleet(t, 2, "")
	line, _ := f.workers[0].minted(same)
	for range 3 {
		f.workers[0].ask(0, line, method, to("/logout"))
	}
	f.tick()
	for range 3 {
		f.workers[1].ask(0, line, method, to("/logout"))
	}
	f.join().ask(0, line, method, to("/logout"))
	if n := f.shared.ringCount(); n != 1 {
		t.Errorf("%d places are taken", n)
	}
}

// There is room for 4,096; with more, the oldest is forgotten, in every worker.
func TestEndedBound(t *testing.T) {
	f := newFleet(t, 2, "")
	h := f.workers[0]
	first, _ := h.minted(same)
	second, _ := h.minted(same)
	h.ask(0, first, method, to("/logout"))
	h.ask(0, second, method, to("/logout"))
	f.tick()
	f.shared.fillRing(2, maxEnded-2)
	f.tick()
	f.all("with all places taken, the first", first, "revoked")
	last, _ := h.minted(same)
	f.workers[1].ask(0, last, method, to("/logout"))
	f.tick()
	f.all("the oldest", first, "ok")
	f.all("the second", second, "revoked")
	f.all("the newest", last, "revoked")
	if got := f.join().sees(second); got != "revoked" {
		t.Errorf("a worker that starts later, the second: %s", got)
	}
	if got := f.workers[2].sees(first); got != "ok" {
		t.Errorf("a worker that starts later, the oldest: %s", got)
	}
	if n := len(f.shared.data); n != maxEnded+1 {
		t.Errorf("the data has %d values", n)
	}
	// One that missed whole rounds has what is there now.
	f.shared.fillRing(f.shared.ringCount(), 3*maxEnded)
	f.tick()
	f.all("rounds later", last, "ok")
	for _, n := range []int64{0, 1, maxEnded - 1} {
		line, _ := h.minted(func(s *cookie.Session) { s.ID = ringID(f.shared.ringCount() - 1 - n) })
		f.all(fmt.Sprintf("the last but %d", n), line, "revoked")
	}
}

// An entry holds as long as any cookie of the session could be good: whatever the rule says of the path that
// ended it, and whatever that cookie says of remembering.
func TestEndedHolds(t *testing.T) {
	const rules = `, "timeouts": {"idle": "2h"}, "rules": [{"path_prefix": "/brief", "absolute": "10m"}, {"path_prefix": "/"}]`
	for _, tt := range []struct {
		name   string
		change func(*cookie.Session)
		lives  int64
	}{
		{"plain", same, 12 * 3600},
		{"remembered", func(s *cookie.Session) { s.Remember = true }, 720 * 3600},
		{"shorter of its own", func(s *cookie.Session) { s.Absolute = 7200 }, 7200},
		{"longer of its own", func(s *cookie.Session) { s.Absolute = 24 * 3600 }, 24 * 3600},
	} {
		for _, path := range []string{"/", "/brief"} {
			t.Run(tt.name+path, func(t *testing.T) {
				f := newFleet(t, 2, rules)
				h := f.workers[0]
				line, s := h.minted(tt.change)
				h.does(`{"end":true}`, line, to(path))
				f.tick()
				for _, at := range []int64{1, 599, 600, 601, 3600, tt.lives - 1} {
					f.pass(s.StartedAt + at - f.now)
					fresh := both(line, f.workers[0].touch(s.ID, 0))
					f.all(fmt.Sprintf("after %d s", at), fresh, "revoked")
				}
				f.pass(1)
				f.all("by its own end", both(line, f.workers[0].touch(s.ID, 0)), "absolute_timeout")
			})
		}
	}
}

// A cookie from before the person ticked "remember me" ends the one from after, too.
func TestEndedHoldsRemembered(t *testing.T) {
	f := newFleet(t, 1, "")
	h := f.workers[0]
	line, s := h.minted(same)
	remembered, _ := h.minted(func(r *cookie.Session) { *r = *s; r.Remember, r.Revision = true, 1 })
	h.ask(0, line, method, to("/logout"))
	f.pass(13 * 3600)
	if got := h.sees(remembered); got != "revoked" {
		t.Errorf("got %s", got)
	}
}

// A worker that dies between taking a place and filling it stops nobody for long. One that is only slow is not
// given up, however many filters look.
func TestEndedPlaceOfTheDead(t *testing.T) {
	take := func(f *fleet) int64 {
		n := f.shared.ringCount()
		f.shared.set(endedCount, numberText(n+1), 0)
		return n
	}
	t.Run("dead", func(t *testing.T) {
		f := newFleet(t, 2, "")
		take(f)
		take(f)
		line, _ := f.workers[0].minted(same)
		f.workers[0].ask(0, line, method, to("/logout"))
		for range 10 {
			f.tick()
			f.pass(1)
		}
		f.all("behind it", line, "revoked")
	})
	t.Run("slow", func(t *testing.T) {
		f := newFleet(t, 1, "", "", "")
		n := take(f)
		line, s := f.workers[0].minted(same)
		f.tick() // of three filters in one worker
		f.shared.set(endedPlace(n), entryText(n, s.ID, f.now+3600), 0)
		f.tick()
		f.all("afterwards", line, "revoked")
	})
}

// Of two logouts at the same moment each gets a place.
func TestEndedRace(t *testing.T) {
	f := newFleet(t, 2, "")
	one, two := f.workers[0], f.workers[1]
	first, _ := one.minted(same)
	second, _ := one.minted(same)
	done := false
	one.spy = func(call string, m api.Module, arg []uint64) {
		if call == "proxy_set_shared_data" && !done {
			done = true
			two.ask(0, second, method, to("/logout"))
		}
		one.note(call, m, arg)
	}
	one.ask(0, first, method, to("/logout"))
	if n := f.shared.ringCount(); n != 2 {
		t.Errorf("%d places are taken", n)
	}
	f.tick()
	f.all("one", first, "revoked")
	f.all("the other", second, "revoked")
}

// What a session has under way ends wherever it is, also after a login in its place.
func TestEndedStreams(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 2, "")
			one, two := f.workers[0], f.workers[1]
			line, _ := one.minted(same)
			other, _ := one.minted(same)
			a, b, c := one.open(0, line), two.open(0, line), two.open(0, other)
			one.answer(a)
			two.answer(b)
			two.answer(c)
			tt.act(one, line)
			if got := one.tick(0); !slices.Equal(got, []uint64{a}) {
				t.Errorf("in the same worker it closed %v, want %d", got, a)
			}
			if got := two.tick(0); !slices.Equal(got, []uint64{b}) || two.reasons[b] != "logged_out" {
				t.Errorf("in another worker it closed %v (%s), want %d", got, two.reasons[b], b)
			}
		})
	}
}

// Filters of one Envoy share what ended, whatever else they are told.
func TestEndedOfTwoConfigs(t *testing.T) {
	f := newFleet(t, 2, "", `, "timeouts": {"idle": "5m"}`)
	line, _ := f.workers[0].minted(same)
	f.workers[0].ask(1, line, method, to("/logout"))
	f.tick()
	for i, h := range f.workers {
		for plugin := range h.plugins {
			if got := h.seesAs(plugin, line); got != "revoked" {
				t.Errorf("worker %d, filter %d: %s", i, plugin, got)
			}
		}
	}
}

// In a single worker, and natively.
func TestEndedCopies(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, path := range []string{"/logout", "/.session/logout"} {
			copied := name + "=" + s.mint(someone("42"))
			s.request("POST", path, []string{copied})
			s.host.Tick()
			o := s.request("GET", "/", []string{copied})
			o.want(t, "")
			if set := values(o.reply, "set-cookie"); set != nil || !strings.HasSuffix(values(o.reply, "location")[0], "reason=revoked") {
				t.Errorf("%s: a copy got %v", path, o.reply)
			}
		}
	})
}

// A logout holds under every config of the Envoy, however long it lets sessions live.
func TestEndedUnderTwoConfigs(t *testing.T) {
	f := newFleet(t, 1, `, "timeouts": {"idle": "1h", "absolute": "1h"}, "remember": {"idle": "1h", "absolute": "1h"}`, `, "timeouts": {"idle": "8h", "absolute": "12h"}`)
	h := f.workers[0]
	line, _ := h.minted(same)
	h.ask(0, line, method, to("/logout"))
	at := h.seesAs(1, line)
	f.pass(2 * 3600)
	if later := h.seesAs(1, line); at != "revoked" || later != "revoked" {
		t.Errorf("at once %s, after two hours %s", at, later)
	}
}
