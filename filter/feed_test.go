package filter_test

import (
	crand "crypto/rand"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/proxytest"
	"github.com/tetratelabs/wazero/api"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// hears lets the app answer the question that is under way.
func (s *site) hears(body string, headers ...[2]string) {
	s.t.Helper()
	calls := s.host.GetCalloutAttributesFromContext(proxytest.PluginContextID)
	if len(calls) == 0 {
		s.t.Fatal("nobody asked")
	}
	if len(headers) == 0 {
		headers = [][2]string{{":status", "200"}}
	}
	s.host.CallOnHttpCallResponse(calls[len(calls)-1].CalloutID, headers, nil, []byte(body))
}

func idText(id cookie.ID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

const feedField = `, "revoke": {"feed": {"cluster": "app", "path": "/revoked"}}`

func TestFeedSessions(t *testing.T) {
	inBoth(t, feedField, func(t *testing.T, s *site) {
		one, other := someone("42"), someone("42")
		s.host.Tick()
		s.hears(`{"sessions": ["` + idText(one.ID) + `"]}`)
		o := s.request("GET", "/", []string{name + "=" + s.mint(one)})
		o.want(t, "")
		if !strings.Contains(strings.Join(values(o.reply, "set-cookie"), ""), name+"=; Max-Age=0") {
			t.Errorf("its cookies stay: %v", o.reply)
		}
		o = s.request("GET", "/", []string{name + "=" + s.mint(other)})
		o.want(t, "42")
		if got := s.host.GetCalloutAttributesFromContext(proxytest.PluginContextID); len(got) != 1 || got[0].Upstream != "app" {
			t.Errorf("it asked %v", got)
		}
	})
}

// fleet is the workers of one Envoy.
type fleet struct {
	t       testing.TB
	shared  *shared
	secret  []byte
	fields  []string
	workers []*streamHost
	now     int64
}

// newFleet starts so many workers, each with a filter for each of these configs.
func newFleet(t testing.TB, workers int, fields ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, shared: newShared(), secret: make([]byte, 32), fields: fields, now: costNow}
	_, _ = crand.Read(f.secret)
	for range workers {
		f.join()
	}
	return f
}

// join starts one more.
func (f *fleet) join() *streamHost {
	f.t.Helper()
	h := newStreamWorker(f.t, f.shared, f.secret, f.fields...)
	h.now = f.now
	f.workers = append(f.workers, h)
	return h
}

func (f *fleet) pass(seconds int64) {
	f.now += seconds
	for _, h := range f.workers {
		h.now = f.now
	}
}

// tick is one of each filter of each worker.
func (f *fleet) tick() {
	f.t.Helper()
	for _, h := range f.workers {
		for plugin := range h.plugins {
			h.tick(plugin)
		}
	}
}

// asked is how many questions there were in all.
func (f *fleet) asked() (n int) {
	for _, h := range f.workers {
		n += len(h.questions)
	}
	return n
}

// asks lets all tick, of whom one must ask, and returns that.
func (f *fleet) asks() (who *streamHost) {
	f.t.Helper()
	before := f.asked()
	for _, h := range f.workers {
		n := len(h.questions)
		for plugin := range h.plugins {
			h.tick(plugin)
		}
		if len(h.questions) > n {
			who = h
		}
	}
	if n := f.asked() - before; n != 1 {
		f.t.Fatalf("%d questions, want one", n)
	}
	return who
}

// quiet lets all tick, of whom none may ask.
func (f *fleet) quiet(when string) {
	f.t.Helper()
	before := f.asked()
	f.tick()
	if n := f.asked() - before; n != 0 {
		f.t.Fatalf("%s: %d questions", when, n)
	}
}

// hears answers the worker's last question; without headers, no answer came.
func (h *streamHost) hears(body string, headers ...[2]string) {
	h.t.Helper()
	h.hearsAs(0, body, headers...)
}

// hearsAs does so where several filters of the worker ask.
func (h *streamHost) hearsAs(plugin int, body string, headers ...[2]string) {
	h.t.Helper()
	q := h.questions[len(h.questions)-1]
	h.callHeaders, h.callBody = headers, body
	h.callAs(h.plugins[plugin], "proxy_on_http_call_response", q.id, uint64(len(headers)), uint64(len(body)), 0)
}

func good(more ...[2]string) [][2]string { return append([][2]string{{":status", "200"}}, more...) }

// sees is the reason that a request with this line meets.
func (h *streamHost) sees(line [2]string) string { return h.seesAs(0, line) }

func (h *streamHost) seesAs(plugin int, line [2]string) string {
	h.t.Helper()
	id := h.open(plugin, line)
	reason := "ok"
	if h.local != 0 {
		reason = h.reasons[id]
	} else {
		h.answer(id)
	}
	h.done(id)
	return reason
}

// all fails unless every worker meets this line with the reason.
func (f *fleet) all(what string, line [2]string, reason string) {
	f.t.Helper()
	for i, h := range f.workers {
		if got := h.sees(line); got != reason {
			f.t.Errorf("%s: worker %d: %s, want %s", what, i, got, reason)
		}
	}
}

func feedWith(more string) string {
	return `, "revoke": {"feed": {"cluster": "app", "path": "/revoked"` + more + `}}`
}

func (f *fleet) metric(name string) uint64 { return f.shared.metrics["curfew_"+name] }

// One worker asks in an interval, whichever is first, and says what the config has.
func TestFeedAsks(t *testing.T) {
	f := newFleet(t, 3, feedWith(`, "authority": "app.internal:8080", "secret": "sixteen-letters!"`))
	who := f.asks()
	want := question{cluster: "app", timeout: 5000, id: 1, headers: [][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":authority", "app.internal:8080"}, {":path", "/revoked"},
		{"accept", "application/json"}, {"authorization", "Bearer sixteen-letters!"},
	}}
	if diff := cmp.Diff(want, who.questions[0], cmp.AllowUnexported(question{})); diff != "" {
		t.Error(diff)
	}
	f.quiet("with that under way")
	f.pass(9)
	f.quiet("a second before the next")
	f.pass(1)
	who.hears(`{}`, good([2]string{"etag", `"one"`})...)
	next := f.asks()
	last := next.questions[len(next.questions)-1]
	if got := last.headers[len(last.headers)-1]; got != [2]string{"if-none-match", `"one"`} {
		t.Errorf("the next question ends in %q", got)
	}
	for _, h := range f.workers {
		if strings.Contains(strings.Join(h.logged, ""), "sixteen-letters!") {
			t.Error("the secret is logged")
		}
	}
}

// Two questions never overlap, nor does one go without an answer's time.
func TestFeedTimeouts(t *testing.T) {
	for interval, timeout := range map[string]uint32{"1s": 900, "2s": 1900, "5s": 4900, "6s": 5000, "1h": 5000} {
		f := newFleet(t, 1, feedWith(`, "on_stale": "deny", "stale_after": "2h", "interval": "`+interval+`"`))
		if got := f.asks().questions[0]; got.timeout != timeout || len(got.headers) != 5 {
			t.Errorf("%s: %+v, want a timeout of %d ms and no bearer", interval, got, timeout)
		}
	}
}

// Of two that are due at the same moment, one asks: the other finds that the place is taken.
func TestFeedRace(t *testing.T) {
	f := newFleet(t, 2, feedField)
	one, two := f.workers[0], f.workers[1]
	one.spy = func(call string, m api.Module, arg []uint64) {
		if call == "proxy_set_shared_data" && len(two.questions) == 0 {
			two.tick(0)
		}
		one.note(call, m, arg)
	}
	one.tick(0)
	if len(one.questions) != 0 || len(two.questions) != 1 {
		t.Errorf("%d and %d questions", len(one.questions), len(two.questions))
	}
}

// What one hears all know by their next tick.
func TestFeedReachesAll(t *testing.T) {
	f := newFleet(t, 3, feedField)
	h := f.workers[0]
	listed, s := h.minted(same)
	person, _ := h.minted(func(s *cookie.Session) { s.Subject, s.StartedAt = "zoë", s.StartedAt-1 })
	older, _ := h.minted(func(s *cookie.Session) { s.StartedAt = f.now - 3600 })
	other, _ := h.minted(same)
	f.all("before", listed, "ok")
	who := f.asks()
	who.hears(`{"sessions":["`+idText(s.ID)+`"],"subjects":{"zoë":"`+rfc3339(f.now)+`"},"before":"`+rfc3339(f.now-10)+`"}`, good()...)
	if got := who.sees(listed); got != "revoked" {
		t.Errorf("the one that asked: %s", got)
	}
	f.tick()
	f.all("the session", listed, "revoked")
	f.all("the person", person, "revoked")
	f.all("everybody", older, "revoked")
	f.all("the others", other, "ok")
	if n := f.metric("feed_entries"); n != 2 {
		t.Errorf("the gauge has %d entries", n)
	}
	// The whole list each time: what is no longer there is not revoked.
	f.pass(10)
	f.asks().hears(`{}`, good()...)
	f.tick()
	f.all("after an empty list", listed, "ok")
	if n := f.metric("feed_entries"); n != 0 {
		t.Errorf("the gauge has %d entries", n)
	}
}

const denyFeed = `, "on_stale": "deny", "stale_after": "1m"`

// 304 keeps the list and makes it fresh. It is no answer to who asked without an ETag.
func TestFeedNotModified(t *testing.T) {
	f := newFleet(t, 2, feedWith(denyFeed))
	gone, s := f.workers[0].minted(same)
	other, _ := f.workers[0].minted(same)
	f.asks().hears("", [2]string{":status", "304"})
	f.tick()
	f.all("304 to nothing", other, "feed_stale")
	f.pass(1)
	f.asks().hears(`{"sessions":["`+idText(s.ID)+`"]}`, good([2]string{"etag", `W/"1"`})...)
	for range 10 {
		f.tick()
		f.pass(10)
		f.asks().hears("", [2]string{":status", "304"})
	}
	f.tick()
	f.all("listed", gone, "revoked")
	f.all("another", other, "ok")
	if n := f.metric("feed_age_seconds"); n != 0 {
		t.Errorf("its age is %d", n)
	}
	f.pass(10)
	f.asks().hears(`{}`, good()...)
	f.tick()
	f.pass(10)
	who := f.asks()
	if last := who.questions[len(who.questions)-1].headers; last[len(last)-1][0] == "if-none-match" {
		t.Error("an ETag of an older answer is sent")
	}
	who.hears("", [2]string{":status", "304"})
	if n := f.metric("feed_failures"); n != 1 {
		f.tick()
		if n = f.metric("feed_failures"); n != 2 {
			t.Errorf("%d failures, want the two that answered 304 to nothing", n)
		}
	}
}

// An ETag that is not fit to be sent is not.
func TestFeedETag(t *testing.T) {
	for etag, fit := range map[string]bool{`"a"`: true, `W/"a"`: true, `"` + strings.Repeat("x", 254) + `"`: true,
		"": false, `"a b"`: false, "\"\xc3\xa9\"": false, "\"a\"\r\nx-evil: 1": false, `"` + strings.Repeat("x", 255) + `"`: false} {
		f := newFleet(t, 1, feedField)
		f.asks().hears(`{}`, good([2]string{"etag", etag})...)
		f.pass(10)
		last := f.asks().questions[1].headers
		if sent := last[len(last)-1]; (sent == [2]string{"if-none-match", etag}) != fit || !fit && sent[0] == "if-none-match" {
			t.Errorf("%q: the question ends in %q", etag, sent)
		}
	}
}

var badFeedAnswers = []struct {
	name, body string
	headers    [][2]string
	why        string
}{
	{"none", "", nil, "no answer came"},
	{"500", `{}`, [][2]string{{":status", "500"}}, "status is 500"},
	{"401", `{}`, [][2]string{{":status", "401"}}, "status is 401"},
	{"204", ``, [][2]string{{":status", "204"}}, "status is 204"},
	{"206", `{}`, [][2]string{{":status", "206"}}, "status is 206"},
	{"302", `{}`, [][2]string{{":status", "302"}, {"location", "/login"}}, "status is 302"},
	{"304 unasked", ``, [][2]string{{":status", "304"}}, "status is 304"},
	{"no status", `{}`, [][2]string{{"etag", `"a"`}}, "status is "},
	{"nothing in it", ``, good(), "answer: must be a JSON object"},
	{"a page", `<html>SEKRIT</html>`, good(), "answer: must be a JSON object"},
	{"cut off", `{"subjects":{"SEKRIT":"2027-`, good(), "answer: must be a JSON object"},
	{"unknown field", `{"SEKRIT":{}}`, good(), "answer: unknown field"},
	{"wrong type", `{"subjects":["SEKRIT"]}`, good(), "subjects: must be a JSON object"},
	{"a long id", `{"sessions":["` + strings.Repeat("A", 23) + `"]}`, good(), "sessions: must have sessions' ids"},
	{"a longer id", `{"sessions":["` + strings.Repeat("A", 100_000) + `"]}`, good(), "sessions: must have sessions' ids"},
	{"an id of line breaks", `{"sessions":["` + strings.Repeat(`\n`, 22) + `"]}`, good(), "sessions: must have sessions' ids"},
	{"deep", strings.Repeat("[", 300_000), good(), "answer: must be a JSON object"},
	{"deep below a good one", `{"before":"2027-01-01T00:00:00Z","sessions":` + strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000) + `}`, good(), "answer: must be a JSON object"},
	{"broken UTF-8", "{\"subjects\":{\"\xff\":\"2027-01-01T00:00:00Z\"}}", good(), "answer: must be a JSON object"},
	{"too many", `{"sessions":` + manyIDs(policy.MaxRevocations+1) + `}`, good(), "sessions: more than 10,000"},
	{"too large", `{}` + strings.Repeat(" ", policy.MaxFeed-1), good(), "over 1048576 bytes"},
	{"far too large", strings.Repeat("x", 20<<20), good(), "over 1048576 bytes"},
}

// manyIDs is a JSON list of so many.
func manyIDs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,%q`, idText(cookie.ID{7, byte(i), byte(i >> 8)}))
	}
	return `[` + strings.TrimPrefix(b.String(), ",") + `]`
}

// Whatever comes instead of a good answer, the last good one stays; it is counted, logged once, and asked about
// again after 1, 2, 4 and so many seconds.
func TestFeedFailures(t *testing.T) {
	for _, tt := range badFeedAnswers {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, 2, feedField)
			gone, s := f.workers[0].minted(same)
			f.asks().hears(`{"sessions":["`+idText(s.ID)+`"]}`, good()...)
			f.pass(10)
			for i, wait := range []int64{1, 2, 4, 8, 10, 10} {
				f.asks().hears(tt.body, tt.headers...)
				f.tick()
				if n := f.metric("feed_failures"); n != uint64(i+1) {
					t.Fatalf("%d failures are counted, want %d", n, i+1)
				}
				f.pass(wait - 1)
				f.quiet(fmt.Sprintf("%d s after failure %d", wait-1, i+1))
				f.pass(1)
			}
			f.all("the list", gone, "revoked")
			if age := f.metric("feed_age_seconds"); age != 10+24+10 {
				t.Errorf("its age is %d", age)
			}
			f.oneLine(tt.why)
			// It recovers, and what fails then is news.
			f.asks().hears(`{}`, good()...)
			f.tick()
			f.all("after a good one", gone, "ok")
			f.pass(9)
			f.quiet("less than an interval after a good one")
			f.pass(1)
			f.asks().hears(tt.body, tt.headers...)
			f.oneLine(tt.why)
		})
	}
}

// oneLine fails unless the workers logged one line about the feed since it was last called.
func (f *fleet) oneLine(why string) {
	f.t.Helper()
	var lines []string
	for _, h := range f.workers {
		for _, line := range h.logged {
			if strings.Contains(line, "revoke.feed") {
				lines = append(lines, line)
			}
		}
		h.logged = nil
	}
	if len(lines) != 1 || !strings.Contains(lines[0], why) || strings.Contains(lines[0], "SEKRIT") {
		f.t.Errorf("it logged %q, want one line with %q", lines, why)
	}
}

// A cluster that is not there is no reason not to start.
func TestFeedUnreachable(t *testing.T) {
	f := newFleet(t, 2, feedField)
	line, _ := f.workers[0].minted(same)
	for _, h := range f.workers {
		h.unreachable = true
	}
	for range 20 {
		f.tick()
		f.pass(1)
	}
	f.all("meanwhile", line, "ok")
	f.oneLine("no cluster app")
	f.tick()
	if n := f.metric("feed_failures"); n < 4 || n > 6 { // at 0, 1, 3, 7 and 15 s
		t.Errorf("%d failures", n)
	}
	for _, h := range f.workers {
		h.unreachable = false
	}
	f.pass(10)
	f.asks()
}

// The list outlives a config and a VM: who starts later has it before the first tick, and asks no sooner.
func TestFeedOutlives(t *testing.T) {
	f := newFleet(t, 1, feedWith(denyFeed))
	h := f.workers[0]
	gone, s := h.minted(same)
	other, _ := h.minted(same)
	f.asks().hears(`{"sessions":["`+idText(s.ID)+`"]}`, good([2]string{"etag", `"e"`})...)
	h.add(feedWith(denyFeed + `, "interval": "20s"`))
	late := f.join()
	for name, got := range map[string]string{
		"a new config, listed": h.seesAs(1, gone), "a new config, another": h.seesAs(1, other),
		"a new VM, listed": late.sees(gone), "a new VM, another": late.sees(other),
	} {
		if want := map[bool]string{true: "revoked", false: "ok"}[strings.HasSuffix(name, "listed")]; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f.quiet("within the interval")
	f.pass(10)
	if q := f.asks(); !slices.Contains(q.questions[len(q.questions)-1].headers, [2]string{"if-none-match", `"e"`}) {
		t.Error("who came later forgot the ETag")
	}
	if n := f.metric("feed_entries"); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// Nobody sleeps until a time that a clock or a config from before has set.
func TestFeedNotAsleep(t *testing.T) {
	f := newFleet(t, 2, feedWith(`, "interval": "1h", "on_stale": "deny", "stale_after": "2h"`))
	f.asks().hears(`{}`, good()...)
	f.pass(-24 * 3600)
	f.asks().hears(`{}`, good()...)
	f.pass(3599)
	f.quiet("within the hour")
	f.pass(1)
	f.asks()
	f.workers[0].add(feedField)
	f.workers[0].plugins = f.workers[0].plugins[1:]
	f.workers = f.workers[:1]
	f.asks()
}

// What an older or newer build may have left under the same names counts for nothing, and stops nothing.
func TestFeedOverRubbish(t *testing.T) {
	f := newFleet(t, 1, feedWith(denyFeed))
	f.asks().hears(`{}`, good([2]string{"etag", `"e"`})...)
	h := f.workers[0]
	h.ask(0, firstOf(h.minted(same)), method, to("/logout"))
	if len(f.shared.data) != 5 {
		t.Fatalf("the data has other keys than the test knows of: %v", f.shared.data)
	}
	for _, rubbish := range []string{"", "x", strings.Repeat("\xff", 31), strings.Repeat("\x7f", 40)} {
		for key := range f.shared.data {
			t.Run(fmt.Sprintf("%s/%x", key, rubbish), func(t *testing.T) {
				f := newFleet(t, 0, feedWith(denyFeed))
				f.shared.set(key, rubbish, 0)
				f.join()
				f.join()
				h := f.workers[0]
				f.tick()
				f.pass(10)
				f.asks().hears(`{"sessions":[]}`, good()...)
				f.tick()
				line, _ := h.minted(same)
				f.all("afterwards", line, "ok")
				h.ask(0, line, method, to("/logout"))
				if got := h.sees(line); got != "revoked" {
					t.Errorf("after a logout: %s", got)
				}
				f.tick()
				f.tick()
				f.all("after a logout", line, "revoked")
			})
		}
	}
}

func firstOf(line [2]string, _ *cookie.Session) [2]string { return line }

// Where the config would rather let nobody in, nobody is before the first answer, and after the last is too old.
func TestFeedDeny(t *testing.T) {
	f := newFleet(t, 2, feedWith(denyFeed))
	line, _ := f.workers[0].minted(func(s *cookie.Session) { s.Idle = 3600 })
	f.all("before the first tick", line, "feed_stale")
	who := f.asks()
	f.all("before the first answer", line, "feed_stale")
	if who.local != 503 {
		t.Errorf("status %d", who.local)
	}
	who.hears(`{}`, good()...)
	f.tick()
	f.all("after it", line, "ok")
	f.pass(59)
	f.asks().hears("", [2]string{":status", "500"})
	f.tick()
	f.all("in time", line, "ok")
	f.pass(1)
	who = f.asks()
	f.all("a minute after", line, "feed_stale")
	f.pass(3)
	who.hears(`{}`, good()...)
	f.tick()
	f.all("after the next", line, "ok")
	// It is as of the question: what was said after that, it need not have.
	f.pass(57)
	f.all("a minute after its question", line, "feed_stale")
}

// The gauges say how long nothing good was heard, from the start on.
func TestFeedGauges(t *testing.T) {
	f := newFleet(t, 2, feedField)
	f.pass(7)
	f.tick()
	if n := f.metric("feed_age_seconds"); n != 7 {
		t.Errorf("before the first answer: %d", n)
	}
	f.workers[0].hears(`{"sessions":`+manyIDs(100)+`,"subjects":{"a":"2027-01-01T00:00:00Z"}}`, good()...)
	f.tick()
	if n, age := f.metric("feed_entries"), f.metric("feed_age_seconds"); n != 101 || age != 0 {
		t.Errorf("%d entries, %d s", n, age)
	}
	f.pass(5)
	f.tick()
	if age := f.metric("feed_age_seconds"); age != 5 {
		t.Errorf("five seconds later: %d", age)
	}
	f.pass(-3600)
	f.tick()
	if age := f.metric("feed_age_seconds"); age > 5 {
		t.Errorf("with the clock set back: %d", age)
	}
}

// Configs in one VM that ask different apps know of different people, their streams too.
func TestFeedsOfTwo(t *testing.T) {
	f := newFleet(t, 1, feedField, `, "revoke": {"feed": {"cluster": "blog", "path": "/revoked"}}`)
	h := f.workers[0]
	line, s := h.minted(same)
	shop, blog := h.open(0, line), h.open(1, line)
	h.answer(shop)
	h.answer(blog)
	h.tick(0)
	h.hearsAs(0, `{}`, good()...)
	h.tick(1)
	if n := len(h.questions); n != 2 || h.questions[0].cluster != "app" || h.questions[1].cluster != "blog" {
		t.Fatalf("asked %v", h.questions)
	}
	h.hearsAs(1, `{"sessions":["`+idText(s.ID)+`"]}`, good()...)
	if a, b := h.seesAs(0, line), h.seesAs(1, line); a != "ok" || b != "revoked" {
		t.Errorf("%s and %s", a, b)
	}
	for plugin := range h.plugins {
		for _, id := range h.tick(plugin) {
			if id != blog {
				t.Error("the stream of the config whose feed has nothing was ended")
			}
		}
	}
}

// What is under way ends by the list, whichever worker heard it.
func TestFeedEndsStreams(t *testing.T) {
	f := newFleet(t, 2, feedField)
	one, two := f.workers[0], f.workers[1]
	line, s := one.minted(same)
	other, _ := one.minted(same)
	a, b, c := one.open(0, line), two.open(0, line), two.open(0, other)
	one.answer(a)
	two.answer(b)
	two.answer(c)
	f.asks().hears(`{"sessions":["`+idText(s.ID)+`"]}`, good()...)
	if got := one.tick(0); !slices.Equal(got, []uint64{a}) || one.reasons[a] != "revoked" {
		t.Errorf("closed %v (%s), want %d", got, one.reasons[a], a)
	}
	if got := two.tick(0); !slices.Equal(got, []uint64{b}) || two.reasons[b] != "revoked" {
		t.Errorf("closed %v (%s), want %d", got, two.reasons[b], b)
	}
}

// A list that comes before a session's new id holds for its streams by the new one; a time to come ends them then.
func TestFeedEndsRenamedStreams(t *testing.T) {
	f := newFleet(t, 1, feedField)
	h := f.workers[0]
	line, _ := h.minted(same)
	stream := h.open(0, line)
	h.answer(stream)
	id := h.open(0, line, passive)
	h.answer(id, command(`{"rotate":true}`))
	h.done(id)
	token, _, _ := strings.Cut(strings.TrimPrefix(values(h.toClient, "set-cookie")[0], name+"="), ";")
	renamed, err := h.codec.Open(token, h.now)
	if err != nil {
		t.Fatal(err)
	}
	f.asks().hears(`{"sessions":["`+idText(renamed.Session.ID)+`"]}`, good()...)
	if got := h.tick(0); !slices.Equal(got, []uint64{stream}) {
		t.Errorf("closed %v, want %d", got, stream)
	}
	h.done(stream)

	line, _ = h.minted(same)
	stream = h.open(0, line)
	h.answer(stream)
	f.pass(10)
	f.asks().hears(`{"subjects":{"42":"`+rfc3339(f.now+5)+`"}}`, good()...)
	f.pass(4)
	if got := h.tick(0); len(got) > 0 {
		t.Errorf("closed %v before the time", got)
	}
	f.pass(1)
	if got := h.tick(0); !slices.Equal(got, []uint64{stream}) {
		t.Errorf("closed %v, want %d", got, stream)
	}
}

// A stream outlives the config that it was opened under, and ends by what the next one hears of the same feed.
func TestFeedEndsOlderStreams(t *testing.T) {
	f := newFleet(t, 1, feedField)
	h := f.workers[0]
	line, s := h.minted(same)
	stream := h.open(0, line)
	h.answer(stream)
	h.add(feedField + `, "audience": ""`)
	h.tick(1) // the older one's are over
	h.hearsAs(1, `{"sessions":["`+idText(s.ID)+`"]}`, good()...)
	if got := h.tick(1); !slices.Equal(got, []uint64{stream}) {
		t.Errorf("closed %v, want %d", got, stream)
	}
}

// fullLists gives a filter as many revocations as it takes, of others.
func (h *countingHost) fullLists() {
	h.t.Helper()
	h.call("proxy_on_tick", h.plugin)
	h.callHeaders, h.callBody = good(), `{"subjects":`+manyPeople(policy.MaxRevocations/2, 0)+`,"sessions":`+manyIDs(policy.MaxRevocations/2)+`}`
	h.call("proxy_on_http_call_response", h.plugin, h.questions[0].id, 1, uint64(len(h.callBody)), 0)
	if n := h.shared.metrics["curfew_feed_entries"]; n != policy.MaxRevocations {
		h.t.Fatalf("%d entries", n)
	}
	h.shared.fillRing(0, maxEnded)
	h.call("proxy_on_tick", h.plugin)
}

// manyPeople is a JSON object of so many subjects, like UUIDs, that no other round has.
func manyPeople(n, round int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%08x-1111-4222-8333-%012x":"2026-11-20T08:00:00Z"`, round, i)
	}
	return `{` + strings.TrimPrefix(b.String(), ",") + `}`
}

// Lists of any length cost a live session no call, and no allocation.
func TestHostCallsOfRevocation(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		bare, full := newCountingHost(t, mode), newCountingHostWith(t, mode, feedWith(denyFeed))
		full.fullLists()
		full.now++
		bare.now++
		for range 10 {
			bare.request(0)
			full.request(0)
			if diff := cmp.Diff(bare.calls, full.calls); diff != "" {
				t.Fatalf("%s: host calls (-without +with):\n%s", mode, diff)
			}
		}
		clear(bare.allocs)
		clear(full.allocs)
		for range 100 {
			bare.request(0)
			full.request(0)
		}
		if diff := cmp.Diff(bare.allocs, full.allocs); diff != "" {
			t.Errorf("%s: allocations (-without +with):\n%s", mode, diff)
		}
	}
}

// Lists that come and go must not make a VM grow: of any number, there is room for one that is in use, one that
// is read, its text and the garbage of the one before.
func TestFeedMemory(t *testing.T) {
	const rounds = 50
	f := newFleet(t, 2, feedField)
	var first, last uint32
	var took time.Duration
	for round := range rounds {
		people := policy.MaxRevocations // of UUIDs alone, 650 KB, and half of them with ids in turn
		if round%2 == 0 {
			people /= 2
		}
		ids := make([]string, policy.MaxRevocations-people)
		for i := range ids {
			ids[i] = `"` + idText(cookie.ID{byte(round), byte(i), byte(i >> 8)}) + `"`
		}
		text := `{"subjects":` + manyPeople(people, round) + `,"sessions":[` + strings.Join(ids, ",") + `]}`
		who := f.asks()
		began := time.Now()
		who.hears(text, good([2]string{"etag", fmt.Sprintf("%q", fmt.Sprint(round))})...)
		took += time.Since(began)
		f.tick()
		f.pass(10)
		if round == 4 {
			first = f.pages()
		}
	}
	if n := f.metric("feed_entries"); n != policy.MaxRevocations {
		t.Fatalf("%d entries", n)
	}
	last = f.pages()
	t.Logf("pages of 64 KiB: %d after 5 lists, %d after %d; a worker took in %d entries in %v on average (wazero, %s)",
		first, last, rounds, policy.MaxRevocations, (took / rounds).Round(time.Millisecond), runtime.GOARCH)
	// A collector that finds what is dead, but cannot move what lives, may need twice what is used at most.
	if last > 2*first {
		t.Errorf("%d pages after %d lists, %d after five", last, rounds, first)
	}
}

// Answers that are refused leave nothing behind.
func TestFeedMemoryOfRubbish(t *testing.T) {
	var fields strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&fields, `,"field-%d":%d`, i, i)
	}
	text := `{` + fields.String()[1:] + `}`
	f := newFleet(t, 1, feedField)
	var few uint32
	for round := range 40 {
		f.asks().hears(text, good()...)
		f.pass(10)
		if round == 4 {
			few = f.pages()
		}
	}
	if n := f.pages(); n > 2*few {
		t.Errorf("%d pages after five such answers, %d after forty", few, n)
	}
}

// pages is the most memory that a worker has.
func (f *fleet) pages() (n uint32) {
	for _, h := range f.workers {
		n = max(n, h.guest.Memory().Size()>>16)
	}
	return n
}

// Of two configs with one feed and different secrets, the one that is refused does not keep the other from asking.
func TestFeedOfTwoSecrets(t *testing.T) {
	f := newFleet(t, 1, feedWith(denyFeed+`, "secret": "the-old-secret-16"`), feedWith(denyFeed+`, "secret": "the-new-secret-16"`))
	h := f.workers[0]
	answered := 0
	for range 100 {
		for plugin := range h.plugins {
			n := len(h.questions)
			switch h.tick(plugin); {
			case len(h.questions) == n:
			case plugin == 0:
				h.hearsAs(0, "", [2]string{":status", "401"})
			default:
				answered++
				h.hearsAs(1, `{}`, good()...)
			}
		}
		f.pass(1)
	}
	if line, _ := h.minted(same); answered == 0 || h.seesAs(1, line) != "ok" {
		t.Errorf("%d answers; somebody there meets %s", answered, h.seesAs(1, line))
	}
}

// An answer that comes after that to a later question is no news.
func TestFeedOvertaken(t *testing.T) {
	f := newFleet(t, 2, feedWith(`, "interval": "1s"`))
	line, s := f.workers[0].minted(same)
	f.workers[0].tick(0)
	f.pass(1)
	f.workers[1].tick(0)
	f.workers[1].hears(`{"sessions":["`+idText(s.ID)+`"]}`, good()...)
	f.workers[0].hears(`{}`, good()...)
	f.workers[1].tick(0)
	f.all("after the late answer", line, "revoked")
}

// A clock that is set back does not make an old answer a fresh one for good.
func TestFeedClockBack(t *testing.T) {
	f := newFleet(t, 1, feedWith(denyFeed))
	h := f.workers[0]
	h.tick(0)
	h.hears(`{}`, good()...)
	f.pass(-1800)
	for range 900 {
		n := len(h.questions)
		if h.tick(0); len(h.questions) > n {
			h.hears("", [2]string{":status", "500"})
		}
		f.pass(1)
	}
	if line, _ := h.minted(same); h.sees(line) != "feed_stale" {
		t.Errorf("after 15 minutes of silence: %s", h.sees(line))
	}
}

// Whatever stands in the shared data, a failed question traps nothing.
func TestFeedOverNegatives(t *testing.T) {
	f := newFleet(t, 1, feedWith(denyFeed))
	f.asks().hears(`{}`, good()...)
	written := 0
	for key, v := range f.shared.data {
		if len(v.text) == 32 {
			f.shared.set(key, strings.Repeat("\xff", 32), 0)
			written++
		}
	}
	f.pass(20)
	f.workers[0].tick(0)
	f.workers[0].hears("", [2]string{":status", "500"})
	if n := f.metric("feed_failures"); written != 1 || n > 1 {
		t.Errorf("%d states, %d failures", written, n)
	}
}
