package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const djangoText = "Your session has expired. Please log in again."

// Django's own messages tell why people are on the login page, in a template that nobody changed.
func TestDjangoMessages(t *testing.T) {
	clk := newClock(t)
	d := startDjango(t)
	e := d.behind(t, clk, djangoConfig(t, object{"remember": nil, "timeouts": object{"idle": "15m", "absolute": "20m"}}))
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			b := d.browser(t, e, proto)
			b.told(b.sentToLogin(b.page("/profile/"), "/profile/", "absent"))

			b.logIn(djangoLogin, "ada")
			clk.advance(t, 15*time.Minute+time.Second)
			b.expires("idle_timeout")
			clk.advance(t, 10*time.Minute)
			b.sees("/profile/")
			clk.advance(t, 10*time.Minute+time.Second)
			b.expires("absolute_timeout")

			// A script that polls is the first to hear it; the next page says it.
			clk.advance(t, 15*time.Minute+time.Second)
			if r := b.script("/api/me/"); r.StatusCode != 401 {
				t.Errorf("a script: %d %v", r.StatusCode, r.Header)
			}
			b.told(b.sentToLogin(b.page("/profile/"), "/profile/", "absent"), djangoText)
			b.logIn(djangoLogin, "ada")

			b.submit("/profile/", "/accounts/logout/")
			b.told(b.sentToLogin(b.page("/profile/"), "/profile/", "absent"))
			b.holds("csrftoken")
		})
		t.Run(proto+" remember me", func(t *testing.T) { djangoShortMemory(t, d, e, clk, proto) })
	}
	e.noTrap(t)
}

// expires expects to be told why, once, and to log in after it.
func (b *djangoBrowser) expires(reason string) {
	b.t.Helper()
	r := b.page("/profile/")
	login := b.sentToLogin(r, "/profile/", reason)
	line, _ := r.cookie("messages")
	if !strings.HasPrefix(attributes(line), "Path=/") || !strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=Lax") {
		b.t.Errorf("the message: %q", line)
	}
	if page := b.page(login); !slices.Equal(djangoMessages(page), []string{djangoText}) || !strings.Contains(page.body, `<li class="warning">`) {
		b.t.Errorf("the login page does not say why, as a warning: %s", page.body)
	}
	b.told(login)
	b.logIn(login, "ada")
	if r := b.page("/profile/"); djangoUser(r) != "ada" || len(djangoMessages(r)) > 0 {
		b.t.Errorf("after the login: %q", djangoMessages(r))
	}
}

// told loads the login page and expects these messages.
func (b *djangoBrowser) told(login string, want ...string) {
	b.t.Helper()
	if got := djangoMessages(b.page(login)); !slices.Equal(got, want) {
		b.t.Errorf("the login page says %q, want %q", got, want)
	}
}

// Without "remember" in the config a ticked box outlives the browser, and no timeout.
func djangoShortMemory(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	b := d.browser(t, e, proto)
	r := b.logIn(djangoLogin, "ada", "remember_me=on")
	if line, _ := r.cookie(sessionName); !strings.Contains(line, "; Max-Age=") {
		t.Errorf("ticked: %q", line)
	}
	b.restart()
	if got := b.sees("/profile/"); got != "ada" {
		t.Errorf("ticked, after a restart: %q", got)
	}
	clk.advance(t, 15*time.Minute+time.Second)
	b.sentToLogin(b.page("/profile/"), "/profile/", "idle_timeout")
}
