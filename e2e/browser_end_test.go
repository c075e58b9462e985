package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Nobody touches anything, and the page goes by itself; after a login it is there again. This one is by the real clock.
func idleIsSentAway(t *testing.T, c *chromium) {
	s := c.newSite(t, nil, `{"idle": "6s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/test?a=1&b=two words")
	x.sentAway("/test?a=1&b=two words", "idle_timeout")
	x.logIn("bob", false)
	x.arrives("/test?a=1&b=two words")
}

// Activity does not move the absolute end.
func absoluteIsSentAway(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "5s", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/")
	clk.advance(t, 3*time.Second)
	x.open("/")
	clk.advance(t, 2*time.Second)
	x.sentAway("/", "absolute_timeout")
}

// A computer wakes up hours later: timers have stood still, the clock has not.
func sleepingComputer(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "15m", "absolute": "12h"}`, "")
	x := c.newPersonAt(t, s, "/")
	clk.advance(t, 3*time.Hour)
	x.pageClock(3 * time.Hour)
	x.sentAway("/", "idle_timeout")
}

// A tab that was in the background asks when it is looked at again, whatever its timers say.
func comingBack(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "15m", "absolute": "12h"}`, "")
	x := c.newPersonAt(t, s, "/test")
	other := x.sibling(s, chromedp.WithNewWindow(false))
	other.open("/public")
	x.wait("hidden behind the other tab", "document.hidden")
	clk.advance(t, 16*time.Minute)
	x.pageClock(time.Minute) // it does not ask at each blink
	x.toFront()
	x.sentAway("/test", "idle_timeout")
}

// sibling opens a tab of the same person.
func (x *browserTab) sibling(s *site, options ...chromedp.ContextOption) *browserTab {
	x.t.Helper()
	return s.newTab(x.t, x.ctx, options...)
}

// toFront makes it the tab that its window shows.
func (x *browserTab) toFront() {
	x.t.Helper()
	if _, err := chromedp.Call(x.ctx, page.BringToFront, struct{}{}); err != nil {
		x.t.Fatal(err)
	}
}

// pageClock moves the clock that the page sees.
func (x *browserTab) pageClock(d time.Duration) {
	x.ask(fmt.Sprintf("void (Date.now = ((now) => () => now() + %d)(Date.now))", d.Milliseconds()))
}
