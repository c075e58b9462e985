package e2e

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ended holds the access log against how many lines give each reason, and the counter against how many
// streams the filter has ended.
func (s *scene) ended(streams int, lines map[string]int) {
	s.t.Helper()
	for reason, want := range lines {
		count := func() (n int) {
			for _, line := range s.e.access() {
				if strings.HasSuffix(line, " reason="+reason) {
					n++
				}
			}
			return n
		}
		eventually(s.t, fmt.Sprintf("%d lines say %s", want, reason), func() bool { return count() >= want })
		if n := count(); n > want {
			s.t.Errorf("%d lines say %s, want %d", n, reason, want)
		}
	}
	s.tick()
	if n := s.e.counter("stream_end"); n != streams {
		s.t.Errorf("curfew_stream_end is %d, want %d", n, streams)
	}
	s.e.noTrap(s.t)
}

// over waits until these see their end.
func over(streams ...*stream) {
	for _, w := range streams {
		w.over()
	}
}

// pass proves that these live.
func pass(streams ...*stream) {
	for _, w := range streams {
		w.pass()
	}
}

// A stream of any kind ends with the session that it was opened with: a second before it lives, by the
// next tick it is over, and its client sees what its protocol has for that.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	for _, binary := range []string{"CURFEW_ENVOY", "CURFEW_ENVOY_OLDEST"} {
		for _, tt := range []struct {
			reason       string
			opened, ends time.Duration
		}{
			{"idle_timeout", 0, 15 * time.Minute},
			{"absolute_timeout", 20*time.Minute - time.Second, 20 * time.Minute},
		} {
			t.Run(tt.reason+" "+binary, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, setup{binary: tool(t, binary), workers: 2}, `"timeouts": {"idle": "15m", "absolute": "20m"}`)
				c := s.in(`{"start":{"subject":"42"}}`)
				if tt.opened > 0 {
					s.at("no stream yet", 10*time.Minute, 0)
					alive(t, c, "on the way to its end")
					s.at("no stream yet", tt.opened, 0)
				}
				all := s.everyStream(c.saved())
				s.at("a second before", tt.ends-time.Second, len(all))
				pass(all...) // what they carry extends nothing without streams.activity
				s.at("the end", tt.ends, 0)
				over(all...)
				eventually(t, "the app knows", func() bool { return s.app.open.Load() == 0 })
				// EventSource and both of gRPC have asked again.
				s.ended(len(all), map[string]int{tt.reason: len(all) + 3})
			})
		}
	}
}

// With http/2 a WebSocket is a stream among others of a connection (RFC 8441).
func TestStreamsEndWebSocketOverH2(t *testing.T) {
	t.Parallel()
	clk := newClock(t)
	e := start(t, setup{app: newSocketApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: least()})
	s := &scene{t: t, e: e, clk: clk, began: clk.now}
	c := newClient(t, e, "h2")
	c.login(`{"start":{"subject":"42"}}`)
	res := c.dial("h2", "Cookie: "+c.saved())
	s.clk.advance(t, 15*time.Minute)
	s.within("the WebSocket ends", func() {
		if _, err := io.ReadAll(bufio.NewReader(res.Body)); err == nil {
			t.Error("a clean end")
		}
	})
	eventually(t, "it is counted", func() bool { return e.counter("stream_end") == 1 })
	eventually(t, "Envoy has no stream", func() bool { return s.active() == 0 })
	e.noTrap(t)
}

// With streams.idle ignore a stream may be silent for as long as its session can last.
func TestStreamsIgnoreIdle(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 2}, `"timeouts": {"idle": "15m", "absolute": "20m"}`, `"streams": {"idle": "ignore"}`)
	c := s.in(`{"start":{"subject":"42"}}`)
	all := s.everyStream(c.saved())
	s.at("idle", 15*time.Minute, len(all))
	ended(t, c, "idle_timeout", "the cookie all the same")
	s.at("a second before", 20*time.Minute-time.Second, len(all))
	pass(all...)
	s.at("the end", 20*time.Minute, 0)
	s.ended(len(all), map[string]int{"absolute_timeout": len(all)})
}

// With streams.activity what a stream carries, either way, keeps it open; it keeps no cookie alive.
func TestStreamsActivity(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1}, `"timeouts": {"idle": "15m", "absolute": "55m"}`, `"streams": {"activity": true}`)
	cookies := func() string { return s.in(`{"start":{"subject":"42"}}`).saved() }
	c := s.in(`{"start":{"subject":"42"}}`)
	var talking []func()
	var streams []*stream
	opens := func(w *stream, talks func()) {
		streams, talking = append(streams, w), append(talking, talks)
	}
	// A session each, so that none lives on what another carries.
	both := s.webSocket("/ws", c.saved())
	opens(both, both.pass)
	says, hears := s.webSocket("/ws", cookies()), s.webSocket("/ws", cookies())
	opens(says, says.say)
	opens(hears, hears.hear)
	for _, proto := range protocols {
		down, up := s.download(proto, "/download", cookies()), s.upload(proto, "/upload", cookies())
		opens(down, down.say)
		opens(up, up.hear)
	}
	event, rpc := s.eventSource("/events", cookies()), s.bothWays(cookies())
	opens(event, event.say)
	opens(rpc, rpc.pass)
	silent := s.webSocket("/ws", cookies())
	n := len(streams)
	talk := func(at time.Duration, open int) {
		s.at("before they talk", at, open)
		for _, talks := range talking {
			talks()
		}
		s.at("after they talked", at, open) // what passed is seen at a tick
	}
	talk(10*time.Minute, n+1)
	s.at("a second before idle", 15*time.Minute-time.Second, n+1)
	s.at("idle", 15*time.Minute, n)
	silent.over()
	ended(t, c, "idle_timeout", "the cookie of a stream that lives")
	talk(24*time.Minute, n)
	talk(38*time.Minute, n)

	// Half of them fall silent; the others go on until the absolute timeout.
	half := n / 2
	talking = talking[half:]
	talk(45*time.Minute, n)
	s.at("silent, a second before", 53*time.Minute-time.Second, n)
	s.at("silent", 53*time.Minute, n-half)
	s.at("absolute, a second before", 55*time.Minute-time.Second, n-half)
	s.at("absolute", 55*time.Minute, 0)
	over(streams...)
	s.ended(n+1, map[string]int{"absolute_timeout": n - half})
}

// A stream ends with its session and not with its own silence: it follows what the person does
// elsewhere, where the same worker sees it.
func TestStreamsFollow(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1}, passiveRule)
	other := start(t, s.setup) // a second proxy of the same fleet
	elsewhere := func(c *client) *client {
		twin := newClient(t, other, "http/1.1")
		twin.jar, twin.http.Jar = c.jar, c.jar // a host's cookies are shared by its ports
		return twin
	}
	var moved, silent []*stream
	var acts []func()
	for _, tt := range []struct {
		name  string
		moves bool
		act   func(c *client)
	}{
		{"a click", true, func(c *client) { alive(t, c, "a click") }},
		{"keepalive", true, func(c *client) { c.do("POST", "/.session/keepalive", "", "Sec-Fetch-Site: same-origin") }},
		{"a click elsewhere, then a poll", true, func(c *client) { alive(t, elsewhere(c), "a click"); c.do("GET", "/poll", "") }},
		{"a click elsewhere, then status", true, func(c *client) { alive(t, elsewhere(c), "a click"); c.do("GET", "/.session/status", "") }},
		{"a poll", false, func(c *client) { c.do("GET", "/poll", "") }},
		{"status", false, func(c *client) { c.do("GET", "/.session/status", "") }},
		{"a prefetch", false, func(c *client) { c.do("GET", "/", "", "Sec-Purpose: prefetch") }},
		{"keepalive of another site", false, func(c *client) { c.do("POST", "/.session/keepalive", "", "Sec-Fetch-Site: cross-site") }},
		{"another session's click", false, func(c *client) { alive(t, s.in(`{"start":{"subject":"42"}}`), "a click") }},
	} {
		c := s.in(`{"start":{"subject":"42"}}`)
		w := s.download("h2", "/download", c.saved())
		w.name = tt.name
		acts = append(acts, func() { tt.act(c) })
		if tt.moves {
			moved = append(moved, w)
		} else {
			silent = append(silent, w)
		}
	}
	s.at("before the acts", 10*time.Minute, len(moved)+len(silent))
	for _, act := range acts {
		act()
	}
	s.at("a second before", 15*time.Minute-time.Second, len(moved)+len(silent))
	s.at("idle", 15*time.Minute, len(moved))
	over(silent...)
	s.at("a second before", 25*time.Minute-time.Second, len(moved))
	pass(moved...)
	s.at("idle", 25*time.Minute, 0)
	over(moved...)
	s.ended(len(moved)+len(silent), map[string]int{"idle_timeout": len(moved) + len(silent)})
}

// A session that is ended takes its streams along; one that gets a new id does, too, and they live.
func TestStreamsEndEarly(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1})
	opened := func() (*client, *stream) {
		c := s.in(`{"start":{"subject":"42"}}`)
		return c, s.webSocket("/ws", c.saved())
	}
	var ends []*stream
	for _, act := range []func(c *client){
		func(c *client) { c.do("POST", "/logout", "") },
		func(c *client) {
			c.do("POST", "/.session/logout", "", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
		},
		func(c *client) { c.command("/", `{"end":true}`) },
		func(c *client) { c.login(`{"start":{"subject":"42"}}`) },
		func(c *client) { c.command("/", `{"rotate":true}`); c.do("POST", "/logout", "") },
	} {
		c, w := opened()
		ends = append(ends, w)
		act(c)
	}
	rotated, lives := opened()
	rotated.must(`{"rotate":true}`)
	changed, too := opened()
	changed.must(`{"set":{"theme":"dark"}}`)
	s.at("ended early", 0, 2)
	over(ends...)
	pass(lives, too)

	s.at("the others", 10*time.Minute, 2)
	alive(t, rotated, "the new id")
	s.at("the old end", 15*time.Minute, 1)
	over(too)
	s.at("a second before the new end", 25*time.Minute-time.Second, 1)
	pass(lives)
	s.at("the new end", 25*time.Minute, 0)
	over(lives)
	// Beside the streams: the requests that did it. A login's line says that one has started.
	s.ended(len(ends)+2, map[string]int{"logged_out": 3 + 3, "ended": 1 + 1, "replaced": 1, "idle_timeout": 2})
}

// A path's own timeouts, a session's own, and those of remember hold for its streams.
func TestStreamsLimits(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1}, `"remember": {"idle": "1h", "absolute": "2h"}`, `"rules": [
		{"path_prefix": "/short", "idle": "5m"}, {"path_prefix": "/brief", "absolute": "8m"},
		{"path_prefix": "/optional", "session": "optional"}, {"path_prefix": "/off", "session": "off"}]`)
	c := s.in(`{"start":{"subject":"42"}}`)
	short, brief, whole := s.download("h2", "/short/download", c.saved()), s.download("h2", "/brief/download", c.saved()), s.download("h2", "/download", c.saved())
	optional := s.download("h2", "/optional/download", c.saved())
	own := s.download("h2", "/download", s.in(`{"start":{"subject":"42","idle":"3m"}}`).saved())
	remembered := s.download("h2", "/download", s.in(`{"start":{"subject":"42","remember":true}}`).saved())
	free := []*stream{s.download("h2", "/optional/download", ""), s.download("h2", "/off/download", ""), s.download("h2", "/off/download", c.saved())}

	for _, tt := range []struct {
		ends    time.Duration
		streams []*stream
	}{
		{3 * time.Minute, []*stream{own}},
		{8 * time.Minute, []*stream{brief}},
		{9 * time.Minute, []*stream{short}}, // after the click below
		{19 * time.Minute, []*stream{whole, optional}},
		{time.Hour, []*stream{remembered}},
	} {
		open := s.active()
		s.at("a second before", tt.ends-time.Second, open)
		pass(tt.streams...)
		s.at("the end", tt.ends, open-len(tt.streams))
		over(tt.streams...)
		if tt.ends == 3*time.Minute {
			s.at("a click", 4*time.Minute, open-1)
			alive(t, c, "a click")
		}
	}
	s.at("without a session", 24*time.Hour, len(free))
	pass(free...)
	s.ended(6, map[string]int{"idle_timeout": 5, "absolute_timeout": 1})
}

// What a revocation ends, it ends for streams, too, when its time comes.
func TestStreamsRevoked(t *testing.T) {
	t.Parallel()
	clk := newClock(t)
	in := func(d time.Duration) string { return clk.now.Add(d).Format(time.RFC3339) }
	s := newScene(t, setup{workers: 1}, `"revoke": {"before": "`+in(10*time.Minute)+`", "subjects": {"42": "`+in(5*time.Minute)+`"}}`)
	one, all := s.download("h2", "/download", s.in(`{"start":{"subject":"42"}}`).saved()), s.download("h2", "/download", s.in(`{"start":{"subject":"43"}}`).saved())
	s.at("a second before", 5*time.Minute-time.Second, 2)
	s.at("one person", 5*time.Minute, 1)
	over(one)
	s.at("a second before", 10*time.Minute-time.Second, 1)
	pass(all)
	s.at("everybody", 10*time.Minute, 0)
	over(all)
	s.ended(2, map[string]int{"revoked": 2})
}

// A trial run closes nothing.
func TestStreamsReportOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1}, `"report_only": true`)
	c := s.in(`{"start":{"subject":"42"}}`)
	w := s.download("h2", "/download", c.saved())
	s.at("idle", 15*time.Minute, 1)
	c.do("POST", "/logout", "")
	s.at("absolute, and logged out", 12*time.Hour, 1)
	pass(w)
	s.ended(0, nil)
}

// When an app gives a session another idle timeout, its open streams have it from then on.
func TestStreamsExpireIn(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1}, `"remember": {"idle": "2h", "absolute": "4h"}`)
	opened := func(command string) *stream {
		c := s.in(`{"start":{"subject":"42"}}`)
		w := s.download("h2", "/download", c.saved())
		c.must(command)
		return w
	}
	shorter, longer, remembered := opened(`{"expire_in":"5m"}`), opened(`{"expire_in":"1h"}`), opened(`{"remember":true}`)
	s.at("a second before", 5*time.Minute-time.Second, 3)
	pass(shorter)
	s.at("the shorter one", 5*time.Minute, 2)
	s.at("a second before", time.Hour-time.Second, 2)
	pass(longer)
	s.at("the longer one", time.Hour, 1)
	s.at("a second before", 2*time.Hour-time.Second, 1)
	pass(remembered)
	s.at("the remembered one", 2*time.Hour, 0)
	over(shorter, longer, remembered)
	s.ended(3, map[string]int{"idle_timeout": 3})
}

// A new config takes over from the next request on. What was opened under the older one is ended all the
// same, by that one's limits, and follows what requests under the newer tell of the session.
func TestStreamsOutliveConfig(t *testing.T) {
	t.Parallel()
	s := newScene(t, setup{workers: 1, discovery: filepath.Join(t.TempDir(), "curfew.json")})
	quiet, busy := s.in(`{"start":{"subject":"42"}}`), s.in(`{"start":{"subject":"42"}}`)
	silent, moved := s.download("h2", "/download", quiet.saved()), s.download("http/1.1", "/download", busy.saved())
	s.at("before the change", 10*time.Minute, 2)

	s.setup.config = least(`"timeouts": {"idle": "3h"}`)
	httpFilters(t, s.setup)
	eventually(t, "the new config holds", func() bool {
		return strings.Contains(quiet.do("GET", "/.session/status", "").body, fmt.Sprintf(`"idle_in":%d`, 170*60))
	})
	alive(t, busy, "a click")
	s.at("a second before", 15*time.Minute-time.Second, 2)
	s.at("idle", 15*time.Minute, 1)
	silent.over()
	s.at("a second before", 25*time.Minute-time.Second, 1)
	moved.pass()
	s.at("idle", 25*time.Minute, 0)
	moved.over()
	s.ended(2, map[string]int{"idle_timeout": 2})
}
