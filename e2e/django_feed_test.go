package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// feedSite is the Django of examples/django with its feed, behind two Envoys. Django's clock is one of its own.
type feedSite struct {
	*djangoApp
	t      *testing.T
	envoys []*envoy
	clk    *clock // of the Envoys
	clocks []*clock
}

// startFeedSite begins with Django's clock so far ahead of Envoy's.
func startFeedSite(t *testing.T, ahead time.Duration) *feedSite {
	t.Helper()
	site, err := filepath.Abs(filepath.Join(engineDir, "tests", "site"))
	if err != nil {
		t.Fatal(err)
	}
	clk, its := newClock(t), newClock(t)
	its.advance(t, ahead)
	env := map[string]string{"CURFEW_KEY": newKey(), "CURFEW_FEED_TOKEN": newKey()}
	s := &feedSite{t: t, clk: clk, clocks: []*clock{clk, its}}
	s.djangoApp = startDjango(t, "DJANGO_SETTINGS_MODULE=engine.feed_settings", "PYTHONPATH="+installEngine(t)+":"+site,
		"CURFEW_CLOCK_FILE="+its.file.Name(), "CURFEW_FEED_TOKEN="+env["CURFEW_FEED_TOKEN"])
	s.manage(t, "check", "--fail-level=WARNING")
	s.manage(t, "shell", "--verbosity=0", "--command", `
from django.contrib.auth.models import User
User.objects.filter(username="grace").update(is_superuser=True)`)
	for range 2 {
		s.envoys = append(s.envoys, start(t, setup{app: s.addr, env: env, clock: clk, workers: 1, config: feedSiteConfig(t)}))
	}
	s.pass(3 * time.Second)
	return s
}

// feedSiteConfig is the example's configuration and what its README adds. Two pages need a session that do not
// look at Django's user: what happens to them is Curfew's doing alone.
func feedSiteConfig(t *testing.T) string {
	t.Helper()
	config := object{}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(engineDir, "curfew.json"))), &config); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(\"revoke\":.*?)```").FindStringSubmatch(readFile(t, filepath.Join(engineDir, "README.md")))
	if m == nil {
		t.Fatal("README.md has no revoke")
	}
	if err := json.Unmarshal([]byte("{"+m[1]+"}"), &config); err != nil {
		t.Fatal(err)
	}
	config["revoke"].(object)["feed"].(object)["interval"] = "1s"
	config["rules"] = append([]any{object{"path": "/plain/"}, object{"path": "/events/"}}, config["rules"].([]any)...)
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pass lets time go by, everywhere.
func (s *feedSite) pass(d time.Duration) {
	s.t.Helper()
	for _, c := range s.clocks {
		c.advance(s.t, d)
	}
}

// in is a new browser in which somebody has logged in at one of the Envoys.
func (s *feedSite) in(envoy int, user string) *djangoBrowser {
	s.t.Helper()
	b := s.browser(s.t, s.envoys[envoy], "h2")
	b.logIn(djangoLogin, user)
	return b
}

// at says what each Envoy makes of cookies: "200", or "302" and the reason, or "cut off", which is what happens to
// requests under way when their session is revoked.
func (s *feedSite) at(cookies string) (out []string) {
	s.t.Helper()
	for _, e := range s.envoys {
		res, err := newBare(s.t, e, "h2").send("GET", "/plain/", "", "Cookie: "+cookies, "Accept: text/html")
		if err != nil {
			out = append(out, "cut off")
			continue
		}
		_ = res.Body.Close()
		u, _ := url.Parse(res.Header.Get("location"))
		out = append(out, strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", u.Query().Get("reason"))))
	}
	return out
}

// goesOut waits until no Envoy knows the session any more.
func (s *feedSite) goesOut(who string, b *djangoBrowser) {
	s.t.Helper()
	eventually(s.t, who+" is out at each Envoy", func() bool {
		return strings.Join(s.at(b.saved()), ", ") == "302 revoked, 302 revoked"
	})
}

func (s *feedSite) staysIn(who string, b *djangoBrowser) {
	s.t.Helper()
	if got := strings.Join(s.at(b.saved()), ", "); got != "200, 200" {
		s.t.Errorf("%s: %s, want 200 at each Envoy", who, got)
	}
}

// changePassword fills in Django's form.
func (b *djangoBrowser) changePassword(path, user string) {
	b.t.Helper()
	changed := newKey()
	r := b.submit(path, path, "old_password="+b.app.passwords[user], "new_password1="+changed, "new_password2="+changed)
	if r.StatusCode != 302 {
		b.t.Fatalf("the password change: %d %s", r.StatusCode, r.body)
	}
	b.app.passwords[user] = changed
}

// follow opens a stream, and says when it is over.
func (b *djangoBrowser) follow(path string) (over <-chan struct{}) {
	b.t.Helper()
	res, err := b.send("GET", path, "", "Accept: text/event-stream")
	if err != nil {
		b.t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	if res.StatusCode != 200 || !lines.Scan() {
		b.t.Fatalf("the stream: %d", res.StatusCode)
	}
	b.t.Cleanup(func() { _ = res.Body.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
		}
	}()
	return done
}

func ends(t *testing.T, what string, over <-chan struct{}) {
	t.Helper()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s ends", patience, what)
	}
}

func goesOn(t *testing.T, what string, over <-chan struct{}) {
	t.Helper()
	select {
	case <-over:
		t.Errorf("%s ended", what)
	default:
	}
}

const (
	djangoChange      = "/accounts/password_change/"
	djangoAdminChange = "/admin/password_change/"
)

// A change of password signs out everywhere else, and what staff does signs out everywhere.
func TestDjangoFeed(t *testing.T) {
	s := startFeedSite(t, 0)
	a, b, c := s.in(0, "ada"), s.in(1, "ada"), s.in(0, "grace")
	streamA, streamB := a.follow("/events/"), b.follow("/events/")
	s.pass(5 * time.Second)
	for who, browser := range map[string]*djangoBrowser{"A": a, "B": b, "C": c} {
		s.staysIn(who+" before", browser)
	}
	old := a.saved()
	a.changePassword(djangoChange, "ada")
	s.pass(2 * time.Second)
	s.goesOut("B", b)
	ends(t, "B's stream", streamB)
	ends(t, "the stream of A's session before the change", streamA)
	s.staysIn("A", a)
	s.staysIn("C", c)
	if got := a.sees("/profile/"); got != "ada" {
		t.Errorf("after the change Django sees %q", got)
	}
	b.sentToLogin(b.page("/plain/"), "/plain/", "revoked")
	if got := strings.Join(s.at(old), ", "); got != "302 revoked, 302 revoked" {
		t.Errorf("A's cookies before the change: %s", got)
	}

	b.logIn(djangoLogin, "ada")
	s.pass(5 * time.Second)
	s.staysIn("B, logged in with the new password", b)
	streamC := c.follow("/events/")
	s.signOut(c, "ada")
	s.pass(3 * time.Second)
	s.goesOut("B, signed out by staff", b)
	s.goesOut("A, signed out by staff", a)

	a.logIn(djangoLogin, "ada")
	s.pass(5 * time.Second)
	s.staysIn("A, logged in again", a)
	s.deactivate(c, "ada")
	s.pass(3 * time.Second)
	s.goesOut("A, deactivated", a)
	s.staysIn("C", c)
	goesOn(t, "C's stream", streamC)
	c.changePassword(djangoAdminChange, "grace")
	s.pass(3 * time.Second)
	ends(t, "C's stream of before the change", streamC)
	s.staysIn("C with a new password", c)

	s.strangersAsk(c)
	s.stops(c, a)
	for _, e := range s.envoys {
		e.noTrap(t)
	}
}

// pk is what the admin knows a user by.
func (s *feedSite) pk(b *djangoBrowser, user string) string {
	s.t.Helper()
	m := regexp.MustCompile(`/admin/auth/user/(\d+)/change/[^>]*>` + user + `<`).FindStringSubmatch(b.page("/admin/auth/user/").body)
	if m == nil {
		s.t.Fatalf("the admin has no %s", user)
	}
	return m[1]
}

func (s *feedSite) signOut(b *djangoBrowser, user string) {
	s.t.Helper()
	const path = "/admin/auth/user/"
	r := b.submit(path, path, "action=sign_out_everywhere", "_selected_action="+s.pk(b, user), "index=0")
	if r.StatusCode != 302 || !strings.Contains(b.page(path).body, "Signed out everywhere: 1.") {
		s.t.Fatalf("the action: %d %s", r.StatusCode, r.body)
	}
}

func (s *feedSite) deactivate(b *djangoBrowser, user string) {
	s.t.Helper()
	path := "/admin/auth/user/" + s.pk(b, user) + "/change/"
	// A box that is not ticked is not sent: is_active.
	r := b.submit(path, path, "username="+user, "date_joined_0=2026-11-01", "date_joined_1=12:00:00", "_save=Save")
	if r.StatusCode != 302 {
		s.t.Fatalf("the change: %d %s", r.StatusCode, r.body)
	}
}

// strangersAsk for the list through the filter, with a session and without.
func (s *feedSite) strangersAsk(b *djangoBrowser) {
	s.t.Helper()
	for who, r := range map[string]reply{
		"staff":                   b.do("GET", feedPath, ""),
		"a stranger":              newBare(s.t, s.envoys[0], "h2").do("GET", feedPath, ""),
		"one with another token":  b.do("GET", feedPath, "", "Authorization: Bearer "+newKey()),
		"one past the filter":     newBare(s.t, &envoy{http: s.addr}, "plain").do("GET", feedPath, ""),
		"one with an empty token": newBare(s.t, &envoy{http: s.addr}, "plain").do("GET", feedPath, "", "Authorization: Bearer "),
	} {
		if r.StatusCode != http.StatusUnauthorized || strings.Contains(r.body, "subjects") {
			s.t.Errorf("%s gets %d %s", who, r.StatusCode, r.body)
		}
	}
}

// stops Django: sessions go on as they were, and the counter says what is wrong.
func (s *feedSite) stops(in, out *djangoBrowser) {
	s.t.Helper()
	_, _ = newBare(s.t, &envoy{http: s.addr}, "plain").send("GET", "/die/", "")
	for i, e := range s.envoys {
		failed := e.counter("feed_failures")
		eventually(s.t, fmt.Sprintf("curfew_feed_failures rises at Envoy %d", i), func() bool {
			s.pass(time.Second)
			return e.counter("feed_failures") > failed+1
		})
	}
	if got := strings.Join(s.at(in.saved()), ", "); got != "503, 503" {
		s.t.Errorf("one who is in: %s, want what Envoy says of an app that is gone", got)
	}
	if got := strings.Join(s.at(out.saved()), ", "); got != "302 revoked, 302 revoked" {
		s.t.Errorf("one who is out: %s", got)
	}
}

// With clocks a second apart, either way, the browser that changes the password stays in and the other one goes out.
func TestDjangoFeedClocksApart(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Second, 0, time.Second} {
		t.Run(fmt.Sprintf("Django ahead by %v", ahead), func(t *testing.T) {
			s := startFeedSite(t, ahead)
			a, b := s.in(0, "ada"), s.in(1, "ada")
			s.pass(5 * time.Second)
			a.changePassword(djangoChange, "ada")
			s.pass(2 * time.Second)
			s.goesOut("B", b)
			s.staysIn("A", a)

			// What staff does catches even a session that has just begun.
			grace := s.in(0, "grace")
			b.logIn(djangoLogin, "ada")
			s.deactivate(grace, "ada")
			s.pass(4 * time.Second)
			s.goesOut("B, deactivated", b)
			s.goesOut("A, deactivated", a)
		})
	}
}
