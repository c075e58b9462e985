package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Somebody works in one tab for longer than idle; the other one, in the background, neither warns nor leaves.
func oneTabInUse(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/test")
	y := x.sibling(s, chromedp.WithNewWindow(false))
	for range 6 {
		clk.advance(t, time.Second)
		y.open("/")
	}
	asked := x.requested("GET /.session/status")
	x.pageClock(time.Minute) // by what it knew, the session is over
	eventually(t, "the idle tab asks", func() bool { return x.requested("GET /.session/status") > asked })
	x.wait("the answer", `fetch("/.session/status").then(() => true)`)
	if at := x.ask("location.pathname + !!dialog"); at != "/testfalse" {
		t.Errorf("the idle tab is at %s", at)
	}
	x.hasNotes("")
}

// What one tab does, the others know at once: their own timers would say so a minute later.
func tabsTellEachOther(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "15m", "absolute": "12h"}`, "")
	x := c.newPersonAt(t, s, "/passive/test")
	y := x.sibling(s)
	clk.advance(t, 14*time.Minute)
	for _, tab := range []*browserTab{x, y} {
		tab.open("/passive/test")
		tab.wait("a dialog", "!!dialog")
	}
	y.click("button")
	x.wait("no dialog", "!dialog")
	x.hasNotes("warning:ok extended:ok")
	clk.advance(t, 14*time.Minute)
	x.open("/passive/test")
	x.wait("a dialog", "!!dialog")
	y.open("/test")
	x.wait("no dialog", "!dialog")
	y.click("form button")
	y.arrives("/login?reason=logged_out")
	x.sentAway("/passive/test", "absent")
}

// Two tabs that nobody touches end both: asking is no activity. By the real clock.
func abandonedTabs(t *testing.T, c *chromium) {
	s := c.newSite(t, nil, `{"idle": "6s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/")
	y := x.sibling(s)
	y.open("/test")
	x.sentAway("/", "idle_timeout")
	y.sentAway("/test", "idle_timeout")
}

// Keys are activity where the page says so; elsewhere they are not.
func activity(t *testing.T, c *chromium) {
	for _, tt := range []struct {
		attribute string
		lives     bool
	}{{"data-activity", true}, {"", false}} {
		clk := newClock(t)
		s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, "")
		path := "/test?attribute=" + tt.attribute
		x := c.newPersonAt(t, s, path)
		x.ask(`$("#text").focus()`)
		for range 4 {
			clk.advance(t, time.Second)
			x.press("k")
			if tt.lives {
				eventually(t, "keys slide the deadline", func() bool {
					x.press("k")
					return x.ask(`fetch("/.session/status").then((r) => r.json()).then((s) => s.idle_in)`) == "4"
				})
			}
		}
		if !tt.lives {
			x.sentAway(path, "idle_timeout")
		}
		if n := x.requested("POST /.session/keepalive"); (n > 0) != tt.lives {
			t.Errorf("attribute %q: %d keepalives", tt.attribute, n)
		}
	}
}

// hasNotes compares what the observer told.
func (x *browserTab) hasNotes(want string) {
	x.t.Helper()
	if got := x.notes(); got != want {
		x.t.Errorf("the page noted %q, want %q", got, want)
	}
}

// waitNotes waits for what the observer tells.
func (x *browserTab) waitNotes(want string) {
	x.t.Helper()
	x.wait("the notes "+want, fmt.Sprintf(`sessionStorage.getItem("notes")?.trim().replaceAll("\n", " ") === %q`, want))
}
