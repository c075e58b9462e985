package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A person is warned by a page that nobody has touched, stays, is warned again, and signs out.
func warning(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/")
	x.ask(`$("a[href='/public']").focus()`)
	for range 2 { // with what follows, longer than idle
		clk.advance(t, 2*time.Second)
		x.wait("a dialog", "!!dialog")
		x.click("button")
		x.wait("no dialog", "!dialog && focused().matches(`a[href='/public']`)")
	}
	x.hasNotes("warning:ok extended:ok warning:ok extended:ok")
	clk.advance(t, 2*time.Second)
	x.wait("a dialog", "!!dialog")
	x.click("form button")
	x.arrives("/login?reason=logged_out")
	x.open("/")
	x.sentAway("/", "absent")
}

// The same by keyboard alone, and as a screen reader is told.
func keyboard(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/test")
	x.ask(`$("#text").focus()`)
	for _, key := range []string{kb.Enter, kb.Escape, " "} {
		clk.advance(t, 2*time.Second)
		x.wait("an alert dialog", `dialog?.getAttribute("role") === "alertdialog"`)
		x.wait("its name and text", `["aria-labelledby", "aria-describedby"].every((name) => $("#" + dialog.getAttribute(name)).textContent.trim())`)
		x.wait("the focus on the first button", `focused() === $("button")`)
		x.press(kb.Tab)
		x.wait("the focus on the second button", `focused() === $("form button")`)
		x.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift)))
		x.wait("the focus on the first button again", `focused() === $("button")`)
		x.press(key)
		x.wait("no dialog, and the focus where it was", `!dialog && focused().id === "text"`)
	}
	x.hasNotes("warning:ok extended:ok warning:ok extended:ok warning:ok extended:ok")
	x.press("typed")
	x.wait("what is typed lands in the field", `$("#text").value === "typed"`)
}

// Nothing can move the absolute end, so nothing is offered.
func lastWarning(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "5s", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/test")
	clk.advance(t, 3*time.Second)
	x.open("/test?attribute=data-final=Enough")
	x.wait("a dialog with the last words", `dialog?.textContent.includes("Enough")`)
	x.press(kb.Escape)
	x.wait("no dialog", "!dialog")
	clk.advance(t, 2*time.Second)
	x.sentAway("/test?attribute=data-final=Enough", "absolute_timeout")
	x.hasNotes("warning:ok expired:absolute_timeout")
	if n := x.requested("POST /.session/keepalive"); n > 0 {
		t.Errorf("the last warning sent %d keepalives", n)
	}
}

// An app may show a dialog of its own, and go by itself.
func ownDialog(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, "")
	x := c.newPersonAt(t, s, "/test")
	x.ask(`["warning", "expired"].forEach((name) => document.addEventListener("curfew:" + name, (e) => { e.preventDefault(); window.extend = e.detail.extend; }))`)
	clk.advance(t, 2*time.Second)
	x.waitNotes("warning:ok")
	// The dialog would have opened before anything else could run in the page.
	if x.ask("!dialog") != "true" {
		t.Error("preventDefault did not keep the dialog away")
	}
	x.ask("extend?.()")
	x.waitNotes("warning:ok extended:ok")
	clk.advance(t, 4*time.Second)
	x.waitNotes("warning:ok extended:ok expired:idle_timeout")
	x.wait("an answer of a later request", `fetch("/.session/status").then(() => true)`)
	if n := x.requested("GET /.session/end?/test"); n > 0 {
		t.Error("preventDefault did not keep the page")
	}
}
