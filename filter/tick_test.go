package filter_test

import (
	crand "crypto/rand"
	"encoding/binary"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/curfew-proxy/curfew/cookie"
)

// streamHost is a wasmHost on which requests stay under way.
type streamHost struct {
	*wasmHost
	codec    *cookie.Codec
	secret   []byte
	plugins  []uint64
	context  uint64            // whose calls these are
	contexts []uint64          // that the filter asked for, in order
	closed   []uint64          // streams that it reset
	reasons  map[uint64]string // what it said of each
	carried  map[uint64]uint64 // bytes each way
}

// newStreamHost starts a filter for each of these configs, all in one VM.
func newStreamHost(t testing.TB, fields ...string) *streamHost {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = crand.Read(secret)
	return newStreamWorker(t, newShared(), secret, fields...)
}

// newStreamWorker is the same as one of several workers.
func newStreamWorker(t testing.TB, with *shared, secret []byte, fields ...string) *streamHost {
	t.Helper()
	h := &streamHost{wasmHost: emptyWasmHost(t), secret: secret, reasons: map[uint64]string{}, carried: map[uint64]uint64{}}
	h.shared = with
	var err error
	if h.codec, err = cookie.NewCodec(cookie.Options{Name: name, Skew: 60}, []cookie.Key{{ID: "k1", Secret: h.secret}}); err != nil {
		t.Fatal(err)
	}
	h.spy = h.note
	h.load(wasmFile(t, ".wasm"), wazero.NewRuntimeConfig().WithCompilationCache(compiled))
	for _, f := range fields {
		h.add(f)
	}
	return h
}

// add starts a filter with one more config in the same VM.
func (h *streamHost) add(fields string) {
	h.t.Helper()
	if !h.start(configOf(h.secret, fields)) {
		h.t.Fatalf("the filter does not start: %q", h.logged)
	}
	h.plugins = append(h.plugins, h.plugin)
}

// note does what a host would with the calls about streams.
func (h *streamHost) note(name string, m api.Module, arg []uint64) {
	switch name {
	case "proxy_set_effective_context":
		h.context = uint64(uint32(arg[0]))
		h.contexts = append(h.contexts, h.context)
	case "proxy_close_stream":
		if kind := uint32(arg[0]); kind != 0 {
			h.t.Errorf("it closes a stream of kind %d", kind)
		}
		h.closed = append(h.closed, h.context)
	case "proxy_set_property":
		if read(m, arg[0], arg[1]) == "curfew_reason" {
			h.reasons[h.context] = read(m, arg[2], arg[3])
		}
	case "proxy_get_property":
		if path := read(m, arg[0], arg[1]); path != "request\x00total_size" && path != "response\x00total_size" {
			h.t.Errorf("it asks for %q", path)
		}
		h.hand(m, binary.LittleEndian.AppendUint64(nil, h.carried[h.context]), arg[2], arg[3])
	}
}

func (h *streamHost) callAs(id uint64, name string, args ...uint64) {
	h.t.Helper()
	h.context = id
	h.call(name, append([]uint64{id}, args...)...)
}

// open sends a request to a filter, and leaves it under way.
func (h *streamHost) open(plugin int, headers ...[2]string) (id uint64) {
	h.t.Helper()
	id = h.next
	h.next++
	request := [][2]string{{":method", "GET"}, {":path", "/page"}, {":scheme", "https"}, {":authority", "shop.example"}}
	for _, line := range headers {
		request = append(slices.DeleteFunc(request, func(p [2]string) bool { return p[0] == line[0] }), line)
	}
	h.toApp, h.local = slices.Clone(request), 0
	h.callAs(id, "proxy_on_context_create", h.plugins[plugin])
	h.callAs(id, "proxy_on_request_headers", uint64(len(request)), 1)
	return id
}

// answer gives it a response, whose body goes on.
func (h *streamHost) answer(id uint64, headers ...[2]string) {
	h.t.Helper()
	h.toClient = append([][2]string{{":status", "200"}}, headers...)
	h.callAs(id, "proxy_on_response_headers", uint64(len(h.toClient)), 0)
}

// done is the end of a request, however it came.
func (h *streamHost) done(ids ...uint64) {
	h.t.Helper()
	for _, id := range ids {
		h.callAs(id, "proxy_on_log")
		h.callAs(id, "proxy_on_delete")
	}
}

// ask is a request from its beginning to its end.
func (h *streamHost) ask(plugin int, headers ...[2]string) {
	h.t.Helper()
	id := h.open(plugin, headers...)
	if h.local == 0 {
		h.answer(id)
	}
	h.done(id)
}

// tick lets a filter look at its streams, and returns which it closed. What Envoy would do then, after the
// call, is up to the test.
func (h *streamHost) tick(plugin int) (closed []uint64) {
	h.t.Helper()
	h.calls, h.contexts, h.closed = h.calls[:0], nil, nil
	h.callAs(h.plugins[plugin], "proxy_on_tick")
	if h.context != h.plugins[plugin] {
		h.t.Errorf("the context is %d after the tick, want the plugin's, %d", h.context, h.plugins[plugin])
	}
	return h.closed
}

// minted is someone's Cookie line, and who it is.
func (h *streamHost) minted(change func(*cookie.Session)) ([2]string, *cookie.Session) {
	h.t.Helper()
	s := someone("42")
	s.StartedAt, s.AuthenticatedAt, s.IssuedAt = h.now, h.now, h.now
	change(s)
	token, err := h.codec.Seal(s, s.IssuedAt, func(b []byte) error { return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	return [2]string{"cookie", name + "=" + token}, s
}

func to(path string) [2]string { return [2]string{":path", path} }

// told leaves out the counters, which a tick tells the host when there is something to tell.
func told(calls []string) (out []string) {
	for _, c := range calls {
		if c != "proxy_increment_metric" && c != "proxy_get_metric" {
			out = append(out, c)
		}
	}
	return out
}

// A tick asks what sessions ended elsewhere. One with streams that live on costs a look at the clock, too, and
// with activity two figures of each.
func TestTickCalls(t *testing.T) {
	h := newStreamHost(t, "", `, "streams": {"activity": true}`)
	line, _ := h.minted(same)
	none := [2]string{":path", "/login"}
	for plugin, watching := range [][]string{nil, {"proxy_set_effective_context", "proxy_get_property", "proxy_get_property"}} {
		var want []string
		h.tick(plugin)
		for _, open := range []int{0, 1, 3} {
			var ids []uint64
			for range open {
				ids = append(ids, h.open(plugin, line))
			}
			ids = append(ids, h.open(plugin, none)) // without a session
			h.tick(plugin)                          // tells the counters
			if want = []string{"proxy_get_shared_data"}; open > 0 {
				want = append(want, "clock_time_get")
				for range open {
					want = append(want, watching...)
				}
				if watching != nil {
					want = append(want, "proxy_set_effective_context")
				}
			}
			if closed := h.tick(plugin); len(closed) > 0 {
				t.Errorf("it closed %v", closed)
			}
			if diff := cmp.Diff(want, slices.Clone(h.calls), cmp.Transformer("nil", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("plugin %d with %d streams: %s", plugin, open, diff)
			}
			h.done(ids...)
		}
	}
}

// A stream whose session is over is reset once, and says why; then calls are the plugin's again.
func TestTickCloses(t *testing.T) {
	h := newStreamHost(t, "")
	line, _ := h.minted(same)
	other, _ := h.minted(func(s *cookie.Session) { s.Idle = 901 })
	began := h.now
	a, b, c := h.open(0, line), h.open(0, line), h.open(0, other)
	h.answer(a) // b has no response yet
	h.tick(0)
	h.now = began + 15*60 - 1
	if closed := h.tick(0); len(closed) > 0 {
		t.Errorf("a second before the end: %v", closed)
	}
	h.now = began + 15*60
	closed := h.tick(0)
	slices.Sort(closed)
	if !slices.Equal(closed, []uint64{a, b}) || h.reasons[a] != "idle_timeout" || h.reasons[b] != "idle_timeout" || h.reasons[c] != "" {
		t.Errorf("closed %v, want %v; %v", closed, []uint64{a, b}, h.reasons)
	}
	one := []string{"proxy_set_effective_context", "proxy_set_property", "proxy_set_property", "proxy_close_stream"}
	want := append(append(append([]string{"proxy_get_shared_data", "clock_time_get"}, one...), one...), "proxy_set_effective_context")
	if diff := cmp.Diff(want, told(h.calls)); diff != "" {
		t.Error(diff)
	}
	if closed := h.tick(0); len(closed) > 0 {
		t.Errorf("once more: %v", closed)
	}
	h.done(a, b)
	h.now++
	if closed := h.tick(0); !slices.Equal(closed, []uint64{c}) {
		t.Errorf("the other one: %v", closed)
	}
	h.done(c)
	h.tick(0)
	if h.tick(0); !slices.Equal(h.calls, []string{"proxy_get_shared_data"}) {
		t.Errorf("with nothing left: %v", h.calls)
	}
}

// touch is the Cookie pair of somebody who was active so long ago, wherever that was.
func (h *streamHost) touch(id cookie.ID, ago int64) string {
	h.t.Helper()
	token, err := h.codec.SealTouch(id, h.now-ago, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	return name + "-seen=" + token
}

func both(line [2]string, pair string) [2]string { return [2]string{"cookie", line[1] + "; " + pair} }

var (
	sameOrigin = [2]string{"sec-fetch-site", "same-origin"}
	method     = [2]string{":method", "POST"}
	passive    = [2]string{"x-session-activity", "passive"}
)

const never = -1

// follows are what one request of a session does, and when its stream ends then.
var follows = []struct {
	name   string
	act    func(h *streamHost, line [2]string, s *cookie.Session)
	ends   int64 // after the act; never: at once
	reason string
}{
	{"nothing", func(*streamHost, [2]string, *cookie.Session) {}, 300, "idle_timeout"},
	{"a click", func(h *streamHost, line [2]string, _ *cookie.Session) { h.ask(0, line) }, 900, "idle_timeout"},
	{"a poll", func(h *streamHost, line [2]string, _ *cookie.Session) { h.ask(0, line, passive) }, 300, "idle_timeout"},
	{"a poll after a click elsewhere", func(h *streamHost, line [2]string, s *cookie.Session) {
		h.ask(0, both(line, h.touch(s.ID, 120)), passive)
	}, 780, "idle_timeout"},
	{"status after a click elsewhere", func(h *streamHost, line [2]string, s *cookie.Session) {
		h.ask(0, both(line, h.touch(s.ID, 120)), to("/.session/status"))
	}, 780, "idle_timeout"},
	{"status", func(h *streamHost, line [2]string, _ *cookie.Session) { h.ask(0, line, to("/.session/status")) }, 300, "idle_timeout"},
	{"end", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.ask(0, line, to("/.session/end?/page"), [2]string{"accept", "text/html"})
	}, 300, "idle_timeout"},
	{"the script", func(h *streamHost, line [2]string, _ *cookie.Session) { h.ask(0, line, to("/.session/session.js")) }, 300, "idle_timeout"},
	{"keepalive", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.ask(0, line, method, to("/.session/keepalive"), sameOrigin)
	}, 900, "idle_timeout"},
	{"keepalive of another site", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.ask(0, line, method, to("/.session/keepalive"), [2]string{"sec-fetch-site", "cross-site"})
	}, 300, "idle_timeout"},
	{"logout", func(h *streamHost, line [2]string, _ *cookie.Session) { h.ask(0, line, method, to("/logout")) }, never, "logged_out"},
	{"the folder's logout", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.ask(0, line, method, to("/.session/logout"), sameOrigin)
	}, never, "logged_out"},
	{"RP-133 logout of another site", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.ask(0, line, method, to("/.session/logout"), [2]string{"sec-fetch-site", "cross-site"})
	}, 300, "idle_timeout"},
	{"another session's logout", func(h *streamHost, _ [2]string, _ *cookie.Session) {
		line, _ := h.minted(same)
		h.ask(0, line, method, to("/logout"))
	}, 300, "idle_timeout"},
	{"the app's end", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line)
		h.answer(id, command(`{"end":true}`))
		h.tick(0)
		if slices.Contains(h.closed, id) {
			h.t.Error("the response that ended it is cut")
		}
		h.done(id)
	}, never, "ended"},
	{"a login in its place", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line, method, to("/login"))
		h.answer(id, command(`{"start":{"subject":"43"}}`))
		h.done(id)
	}, never, "replaced"},
	{"a new id, and its click", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line, passive)
		h.answer(id, command(`{"rotate":true}`))
		h.done(id)
		renamed := [2]string{"cookie", strings.SplitN(values(h.toClient, "set-cookie")[0], ";", 2)[0]}
		h.ask(0, renamed)
	}, 900, "idle_timeout"},
	// Of two requests that each get the session a new id the browser keeps the later.
	{"two new ids, and the later one's click", func(h *streamHost, line [2]string, _ *cookie.Session) {
		one, two := h.open(0, line, passive), h.open(0, line, passive)
		h.answer(one, command(`{"rotate":true}`))
		h.answer(two, command(`{"rotate":true}`))
		h.done(one, two)
		renamed := [2]string{"cookie", strings.SplitN(values(h.toClient, "set-cookie")[0], ";", 2)[0]}
		h.ask(0, renamed)
	}, 900, "idle_timeout"},
	{"a new id, and an end that was under way", func(h *streamHost, line [2]string, _ *cookie.Session) {
		one, two := h.open(0, line, passive), h.open(0, line, passive)
		h.answer(one, command(`{"rotate":true}`))
		h.answer(two, command(`{"end":true}`))
		h.done(one, two)
	}, never, "ended"},
	// Activity counts as of the response that notes it, and to the second where that writes the session.
	{"a slow click", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line)
		h.now += 120
		h.answer(id)
		h.done(id)
	}, 900, "idle_timeout"},
	{"a change", func(h *streamHost, line [2]string, _ *cookie.Session) {
		h.now += 30
		id := h.open(0, line)
		h.answer(id, command(`{"set":{"a":1}}`))
		h.done(id)
	}, 900, "idle_timeout"},
	// What an app says of a session's own idle timeout holds for all that the session has.
	{"a shorter idle", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line, passive)
		h.answer(id, command(`{"expire_in":"700s"}`))
		h.done(id)
	}, 100, "idle_timeout"},
	{"a longer idle", func(h *streamHost, line [2]string, _ *cookie.Session) {
		id := h.open(0, line, passive)
		h.answer(id, command(`{"expire_in":"30m"}`))
		h.done(id)
	}, 1200, "idle_timeout"},
}

// What one request of a session does, its streams on the same worker feel. The request itself goes on.
func TestTickFollows(t *testing.T) {
	for _, tt := range follows {
		t.Run(tt.name, func(t *testing.T) {
			h := newStreamHost(t, "")
			line, s := h.minted(same)
			stream := h.open(0, line)
			h.answer(stream)
			h.now += 600
			tt.act(h, line, s)
			acted := h.now
			if slices.Contains(h.closed, stream) {
				h.closed = nil // by the tick that a test had
			} else if tt.ends != never {
				h.now = acted + tt.ends - 1
				if closed := h.tick(0); len(closed) > 0 {
					t.Fatalf("a second before: closed for %s", h.reasons[stream])
				}
				h.now = acted + tt.ends
			}
			h.tick(0)
			if h.reasons[stream] != tt.reason {
				t.Errorf("reason %q, want %q", h.reasons[stream], tt.reason)
			}
			if h.done(stream); len(h.tick(0)) > 0 {
				t.Errorf("more to close: %v", h.closed)
			}
		})
	}
}

// A login whose old session ends while the app looks at the password is no part of what ends: it is what
// the person is waiting for. So with one that another tab was faster with.
func TestTickSparesLogins(t *testing.T) {
	post := [][2]string{method, to("/login")}
	t.Run("idle", func(t *testing.T) {
		h := newStreamHost(t, "")
		line, _ := h.minted(same)
		h.now += 15*60 - 1
		id := h.open(0, append(post, line)...)
		h.now++
		if closed := h.tick(0); len(closed) > 0 {
			t.Errorf("the login was cut: %v", h.reasons[id])
		}
	})
	t.Run("two tabs", func(t *testing.T) {
		h := newStreamHost(t, `, "anonymous": true`)
		line, _ := h.minted(func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"cart":[1]}` })
		fast, slow := h.open(0, append(post, line)...), h.open(0, append(post, line)...)
		h.answer(fast, command(`{"start":{"subject":"42","keep":true}}`))
		h.done(fast)
		if closed := h.tick(0); slices.Contains(closed, slow) {
			t.Errorf("the slower login was cut: %v", h.reasons[slow])
		}
	})
}

// Configs in one VM know of each other's streams, for the older one's outlive it. Each stream keeps to
// its own limits, and whichever filter has a tick ends it, and counts it: the other may be gone.
func TestTickOfTwoPlugins(t *testing.T) {
	h := newStreamHost(t, "", `, "timeouts": {"idle": "5m"}`, `, "streams": {"activity": true}`)
	line, _ := h.minted(same)
	talking, _ := h.minted(same)
	long, short, talks := h.open(0, line), h.open(1, line), h.open(2, talking)
	h.carried[long], h.carried[short], h.carried[talks] = 1, 1, 1
	for plugin := range h.plugins {
		h.tick(plugin) // tells the counters
	}
	h.now += 5 * 60
	if closed := h.tick(0); !slices.Equal(closed, []uint64{short}) {
		t.Errorf("closed %v, want %d", closed, short)
	}
	if !slices.Contains(h.calls, "proxy_increment_metric") {
		t.Error("it is not counted by the filter that ended it")
	}
	h.carried[long]++
	h.carried[talks]++
	if closed := h.tick(1); len(closed) > 0 {
		t.Errorf("once more: %v", closed)
	}
	h.done(short)
	h.now += 10 * 60
	if closed := h.tick(1); !slices.Equal(closed, []uint64{long}) {
		t.Errorf("closed %v, want %d", closed, long)
	}
	h.done(long)
	h.now += 5 * 60
	if closed := h.tick(0); !slices.Equal(closed, []uint64{talks}) {
		t.Errorf("closed %v, want %d", closed, talks)
	}
	h.done(talks)

	line, _ = h.minted(same)
	stranger, _ := h.minted(same)
	one, other, spared := h.open(0, line), h.open(1, line), h.open(1, stranger)
	h.ask(1, line, [2]string{":method", "POST"}, to("/logout"))
	closed := h.tick(0)
	if slices.Sort(closed); !slices.Equal(closed, []uint64{one, other}) {
		t.Errorf("closed %v, want %d and %d, not %d", closed, one, other, spared)
	}
}

// With activity, what passes keeps a session's streams open, and only that.
func TestTickActivity(t *testing.T) {
	h := newStreamHost(t, `, "streams": {"activity": true}`)
	talking, _ := h.minted(same)
	silent, _ := h.minted(same)
	a, b := h.open(0, talking), h.open(0, silent)
	h.carried[a], h.carried[b] = 100, 100
	h.tick(0)
	began := h.now
	for h.now = began + 60; h.now < began+900; h.now += 60 {
		h.carried[a]++
		if closed := h.tick(0); len(closed) > 0 {
			t.Fatalf("after %d s: %v", h.now-began, closed)
		}
	}
	if closed := h.tick(0); !slices.Equal(closed, []uint64{b}) {
		t.Errorf("closed %v, want the silent one, %d", closed, b)
	}
	h.done(b)
	h.now = began + 840 + 899
	if closed := h.tick(0); len(closed) > 0 {
		t.Errorf("closed %v before its end", closed)
	}
	h.now++
	if closed := h.tick(0); !slices.Equal(closed, []uint64{a}) {
		t.Errorf("closed %v, want %d", closed, a)
	}
}

// No activity moves the absolute end.
func TestTickActivityAbsolute(t *testing.T) {
	h := newStreamHost(t, `, "timeouts": {"idle": "15m", "absolute": "20m"}, "streams": {"activity": true}`)
	line, _ := h.minted(same)
	id, began := h.open(0, line), h.now
	for h.carried[id] = 1; h.now < began+20*60; h.now += 30 {
		h.carried[id]++
		if closed := h.tick(0); len(closed) > 0 {
			t.Fatalf("after %d s", h.now-began)
		}
	}
	if closed := h.tick(0); !slices.Equal(closed, []uint64{id}) || h.reasons[id] != "absolute_timeout" {
		t.Errorf("closed %v, %v", closed, h.reasons)
	}
}

// streamers is people with streams, and what should become of these.
type streamers struct {
	*streamHost
	r           *rand.Rand
	lines       [12][2]string
	seen, began [12]int64
	streams     map[uint64]*underWay
}

type underWay struct {
	person int // -1: of a session that is over
	closed bool
}

func (c *streamers) login(i int) {
	for _, s := range c.streams {
		if s.person == i {
			s.person = -1
		}
	}
	c.lines[i], _ = c.minted(same)
	c.seen[i], c.began[i] = c.now, c.now
}

func (c *streamers) dead(i int) bool {
	return i < 0 || c.now >= c.seen[i]+120 || c.now >= c.began[i]+600
}

// step does one thing that can happen.
func (c *streamers) step() {
	i := c.r.Intn(len(c.lines))
	switch c.r.Intn(8) {
	case 0, 1, 2: // passive, so the cookie says it all: no touch is kept here
		id := c.open(0, c.lines[i], passive)
		c.streams[id] = &underWay{person: i}
		if c.r.Intn(2) == 0 {
			c.answer(id)
		}
	case 3, 4:
		if ids := slices.Sorted(maps.Keys(c.streams)); len(ids) > 0 {
			c.leaves(ids[c.r.Intn(len(ids))])
		}
	case 5:
		c.ask(0, c.lines[i], method, to("/logout"))
		c.login(i)
	default:
		c.now += int64(c.r.Intn(20))
		c.look()
	}
}

func (c *streamers) leaves(id uint64) {
	c.done(id)
	delete(c.streams, id)
}

// look holds a tick against what is over, and logs in anew who is out.
func (c *streamers) look() {
	want := []uint64{}
	for id, s := range c.streams {
		if !s.closed && c.dead(s.person) {
			s.closed, want = true, append(want, id)
		}
	}
	got := append([]uint64{}, c.tick(0)...)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatal(diff)
	}
	for _, id := range got {
		if c.r.Intn(3) > 0 {
			c.leaves(id)
		}
	}
	for i := range c.lines {
		if c.dead(i) {
			c.login(i)
		}
	}
}

// TestTickModel does in any order what can happen to requests, and holds each tick against what should be
// over then. No call may trap, and no stream is closed twice.
func TestTickModel(t *testing.T) {
	for seed := range int64(6) {
		c := &streamers{r: rand.New(rand.NewSource(seed)), streams: map[uint64]*underWay{}}
		c.streamHost = newStreamHost(t, `, "timeouts": {"idle": "2m", "absolute": "10m", "touch": "10s"}`)
		for i := range c.lines {
			c.login(i)
		}
		for range 1500 {
			c.step()
		}
	}
}
