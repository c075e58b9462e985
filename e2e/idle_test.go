package e2e

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	sessionName = "__Host-session"
	touchName   = "__Host-session-seen"
	renewedName = "__Host-session-renewed"
	passiveRule = `"rules": [{"path_prefix": "/poll", "activity": "passive"}]`
)

func decoded(t testing.TB, body string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// align moves the clock to the next whole minute, where a touch interval begins.
func (c *clock) align(t testing.TB) {
	t.Helper()
	c.set(t, c.now.Truncate(time.Minute).Add(time.Minute))
}

// alive and ended hold one page load against what it should be.
func alive(t *testing.T, c *client, when string) reply {
	t.Helper()
	r := c.page("/")
	if r.StatusCode != 200 || r.subject() == "" {
		t.Errorf("%s: %d %v, want the page", when, r.StatusCode, r.Header)
	}
	return r
}

func ended(t *testing.T, c *client, reason, when string) reply {
	t.Helper()
	r := c.page("/")
	if want := "/login?next=/&reason=" + reason; r.StatusCode != 302 || r.Header.Get("location") != want {
		t.Errorf("%s: %d %v, want 302 to %s", when, r.StatusCode, r.Header, want)
	}
	return r
}

// The idle timeout to the second, with a clock that only the test moves.
func TestIdle(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(passiveRule), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			checkIdle(t, e, clk, proto)
			t.Run("passive", func(t *testing.T) { checkPassive(t, e, clk, proto) })
			t.Run("cacheable", func(t *testing.T) { checkCacheable(t, e, clk, proto) })
		})
	}
}

func checkIdle(t *testing.T, e *envoy, clk *clock, proto string) {
	clk.align(t)
	in, out := newClient(t, e, proto), newClient(t, e, proto)
	in.login(`{"start":{"subject":"in"}}`)
	out.login(`{"start":{"subject":"out"}}`)

	clk.advance(t, 15*time.Minute-time.Second)
	r := alive(t, in, "idle-1 s")
	line, n := r.cookie(touchName)
	if n != 1 || len(r.Header.Values("set-cookie")) != 1 || attributes(line) != "Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("it slides by one touch cookie only: %q", r.Header.Values("set-cookie"))
	}
	if r.Header.Get("cache-control") != "no-store" || r.Header.Get("vary") != "Cookie" {
		t.Errorf("a cache may keep the touch: %v", r.Header)
	}
	if r := alive(t, in, "the same interval"); len(r.Header.Values("set-cookie")) != 0 {
		t.Errorf("one interval, two touches: %q", r.Header.Values("set-cookie"))
	}
	clk.advance(t, 2*time.Second)
	ended(t, out, "idle_timeout", "idle+1 s")

	// The touch said 14:00, and again idle counts from there.
	clk.advance(t, 14*time.Minute-2*time.Second)
	alive(t, in, "idle-1 s after a touch")
	clk.advance(t, 14*time.Minute+2*time.Second)
	ended(t, in, "idle_timeout", "idle+1 s after a touch")
}

// What nobody's hand did keeps nobody's session.
func checkPassive(t *testing.T, e *envoy, clk *clock, proto string) {
	for _, tt := range []struct {
		name, path, header string
		slides             bool
	}{
		{"a rule", "/poll", "Accept: */*", false},
		{"below a rule", "/poll/more", "Accept: */*", false},
		{"a prefetch", "/", "Sec-Purpose: prefetch", false},
		{"a prerender", "/", "Sec-Purpose: prefetch;prerender", false},
		{"an old prefetch", "/", "Purpose: prefetch", false},
		{"the client's word", "/", "x-session-activity: passive", false},
		{"any other word", "/", "x-session-activity: active", true},
		{"a click", "/", "Accept: */*", true},
	} {
		clk.align(t)
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		clk.advance(t, 10*time.Minute)
		r := c.do("GET", tt.path, "", tt.header)
		if r.subject() != "42" || len(r.app.Header.Values("x-session-activity")) != 0 {
			t.Errorf("%s: %d %s", tt.name, r.StatusCode, r.body)
		}
		if _, n := r.cookie(touchName); (n == 1) != tt.slides {
			t.Errorf("%s: %d touches", tt.name, n)
		}
		clk.advance(t, 5*time.Minute+time.Second)
		if tt.slides {
			alive(t, c, tt.name)
		} else {
			ended(t, c, "idle_timeout", tt.name)
		}
	}
}

// A touch waits for a response that no cache keeps.
func checkCacheable(t *testing.T, e *envoy, clk *clock, proto string) {
	for _, tt := range []struct {
		line    string
		touched bool
	}{
		{"Cache-Control: public", false},
		{"Cache-Control: max-age=60", false},
		{"Cache-Control: private, Max-Age=60", false},
		{"Cache-Control: s-maxage=60", false},
		{"Expires: Thu, 01 Jan 2099 00:00:00 GMT", false},
		{"Cache-Control: no-store", true},
		{"Cache-Control: no-cache, max-age=60", true},
		{"Cache-Control: max-age=0", true},
		{"X-Other: 1", true},
	} {
		clk.align(t)
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		clk.advance(t, 2*time.Minute)
		r := c.page(telling("/", tt.line))
		_, n := r.cookie(touchName)
		if r.subject() != "42" || (n == 1) != tt.touched {
			t.Errorf("%s: %d %v", tt.line, r.StatusCode, r.Header)
		}
		name, value, _ := strings.Cut(tt.line, ": ")
		if !tt.touched && (len(r.Header.Values("set-cookie")) != 0 || r.Header.Get(name) != value) {
			t.Errorf("%s: changed to %v", tt.line, r.Header)
		}
		r = alive(t, c, tt.line)
		if _, n := r.cookie(touchName); (n == 1) == tt.touched {
			t.Errorf("%s: %d touches on the next response", tt.line, n)
		}
	}
}

// A page with a hundred parts slides once: whichever response a browser takes last, the cookie is
// the same to the byte, from whichever worker and whichever Envoy, all through the interval.
func TestParallelTouches(t *testing.T) {
	const parts = 100
	clk := newClock(t)
	fleet := twoEnvoys(t, least(), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, fleet[0], proto)
			c.login(`{"start":{"subject":"42","remember":true}}`)
			clk.advance(t, 5*time.Minute+17*time.Second)
			cookies := "Cookie: " + c.saved()
			bare := [2]*client{newBare(t, fleet[0], proto), newBare(t, fleet[1], proto)}
			lines := make(chan string, 2*parts)
			var wg sync.WaitGroup
			for range 2 {
				for i := range parts {
					wg.Go(func() {
						r := bare[i%2].do("GET", "/", "", cookies)
						line, _ := r.cookie(touchName)
						lines <- line
					})
				}
				wg.Wait()
				clk.advance(t, 40*time.Second) // later, but in the same interval
			}
			close(lines)
			first := <-lines
			if !strings.HasPrefix(first, touchName+"=1t.k1.") {
				t.Fatalf("no touch: %q", first)
			}
			for line := range lines {
				if line != first {
					t.Fatalf("two touches:\n%s\n%s", first, line)
				}
			}
		})
	}
}

// twoEnvoys share an app, a key and a clock: any of them serves any request.
func twoEnvoys(t testing.TB, config string, clk *clock) (both [2]*envoy) {
	t.Helper()
	app, key := newApp(t), newKey()
	for i := range both {
		both[i] = start(t, setup{app: app, env: map[string]string{"CURFEW_KEY": key}, clock: clk, config: config})
	}
	return both
}
