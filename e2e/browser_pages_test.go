package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// After a logout the back button leads to the login page: from a page that is not stored, from the browser's
// cache, and from the page kept whole.
func backButton(t *testing.T, c *chromium) {
	const cached = "/test?header=Cache-Control: private, max-age=600"
	s := c.newSite(t, nil, `{"idle": "15m", "absolute": "12h"}`, `, "cookie": {"name": "session", "secure": false}, "allow_insecure": true`)
	s.base = s.plain
	for _, tt := range []struct{ path, script, notes string }{
		{"/", "", ""},
		{cached, "", "persisted expired:absent"},
		{cached, `void addEventListener("unload", () => {})`, "cache expired:absent"},
	} {
		x := c.newPersonAt(t, s, tt.path)
		x.ask(tt.script)
		x.click(`form[action="/logout"] button`)
		x.arrives("/login?reason=logged_out")
		x.ask("history.back()")
		x.sentAway(tt.path, "absent")
		x.hasNotes(tt.notes)
		if body := x.ask("document.body.innerText"); strings.Contains(body, "Private") || strings.Contains(body, "Hello") {
			t.Errorf("%s: the back button shows:\n%s", tt.path, body)
		}
	}
}

// A browser that is closed and opened again knows who wanted to be remembered.
func browserRestarts(t *testing.T, c *chromium) {
	s := c.newSite(t, nil, `{"idle": "15m", "absolute": "12h"}`, "")
	profile := newProfile(t)
	visit := func(use func(x *browserTab)) {
		ctx := startChromium(t, profile)
		x := s.newTab(t, ctx)
		x.open("/test")
		use(x)
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("Chromium does not end: %v", err)
		}
	}
	visit(func(x *browserTab) { x.logIn("bob", false); x.arrives("/test") })
	visit(func(x *browserTab) {
		x.sentAway("/test", "absent")
		x.logIn("bob", true)
		x.arrives("/test")
	})
	visit(func(x *browserTab) { x.arrives("/test") })
}

// A login page can tell whether the browser takes cookies.
func cookiesOff(t *testing.T, c *chromium) {
	s := c.newSite(t, nil, `{"idle": "15m", "absolute": "12h"}`, "")
	const secondAnswer = `fetch("/.session/status").then(() => fetch("/.session/status")).then((r) => r.json()).then((s) => s.state + s.cookie)`
	x := c.newPerson(t, s)
	x.open("/login")
	if got := x.ask(secondAnswer); got != "absenttrue" {
		t.Errorf("with cookies: %s", got)
	}
	profile := newProfile(t)
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeJSON(t, filepath.Join(profile, "Default", "Preferences"), object{"profile": object{"default_content_setting_values": object{"cookies": 2}}})
	x = s.newTab(t, startChromium(t, profile))
	x.open("/login")
	if got := x.ask(secondAnswer); got != "absentfalse" {
		t.Errorf("without cookies: %s", got)
	}
}

// Without scripts a page goes by itself, too, by a response header. By the real clock.
func withoutScripts(t *testing.T, c *chromium) {
	s := c.newSite(t, nil, `{"idle": "6s", "absolute": "1h", "touch": "1s"}`, `, "browser": {"refresh": true}`)
	x := c.newPersonAt(t, s, "/")
	x.noScripts()
	x.open("/test?a=1&b=2")
	x.sentAway("/test?a=1&b=2", "idle_timeout")
}

// A page's time is over, but another tab kept the session: the page says so, shows the way back, and keeps nothing alive.
func stillSignedIn(t *testing.T, c *chromium) {
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "4s", "absolute": "1h", "touch": "1s"}`, `, "browser": {"refresh": true}`)
	x := c.newPersonAt(t, s, "/test")
	x.noScripts()
	x.open("/test?a=1")
	clk.advance(t, 3*time.Second)
	x.arrives("/.session/end?/test?a=1")
	x.wait("the way back", `$("a").getAttribute("href") === "/test?a=1"`)
	clk.advance(t, time.Second)
	x.sentAway("/test?a=1", "idle_timeout")
}

// noScripts stops the scripts of the pages to come.
func (x *browserTab) noScripts() {
	x.t.Helper()
	params := emulation.SetScriptExecutionDisabledParams{Value: true}
	if _, err := chromedp.Call(x.ctx, emulation.SetScriptExecutionDisabled, params); err != nil {
		x.t.Fatal(err)
	}
}
