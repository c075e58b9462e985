package e2e

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Django project of which no line knows Curfew.
func TestDjango(t *testing.T) {
	clk := newClock(t)
	d := startDjango(t)
	e := d.behind(t, clk, djangoConfig(t, nil))
	for _, proto := range protocols {
		for _, tt := range []struct {
			name  string
			check func(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string)
		}{
			{"login", djangoLogsIn},
			{"next", djangoChecksNext},
			{"failed login", djangoRefusesLogin},
			{"bare cookie", djangoGetsNoBareCookie},
			{"fixation", djangoFixation},
			{"idle", djangoIdle},
			{"absolute", djangoAbsolute},
			{"remember me", djangoRemembers},
			{"logout", djangoLogsOut},
			{"password change", djangoPasswordChange},
			{"messages", djangoShowsMessages},
			{"csrf", djangoCSRF},
			{"staff", djangoStaff},
			{"login once more", djangoLogsInAgain},
			{"many tabs", djangoManyTabs},
		} {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				clk.align(t)
				tt.check(t, d, e, clk, proto)
			})
		}
	}
	e.noTrap(t)
}

func djangoLogsIn(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	login := b.sentToLogin(b.page("/profile/?tab=2"), "/profile/?tab=2", "absent")
	b.noProblem("/static/site.css")
	r := b.logIn(login, "ada")
	if r.Header.Get("location") != "/profile/?tab=2" {
		t.Errorf("back to %s", r.Header.Get("location"))
	}
	line, n := r.cookie(sessionName)
	if n != 1 || !strings.HasPrefix(line, sessionName+"=1e.") || attributes(line) != "Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("%d session cookies: %q", n, line)
	}
	if r.Header.Get("cache-control") != "no-store" || !strings.Contains(r.Header.Get("vary"), "Cookie") {
		t.Errorf("a cache may keep the session: %v", r.Header)
	}
	if got := b.sees("/profile/?tab=2"); got != "ada" {
		t.Errorf("Django sees %q", got)
	}
	if got := b.sees("/"); got != "ada" {
		t.Errorf("where a session is optional, Django sees %q", got)
	}
	if r := b.script("/api/me/"); r.StatusCode != 200 || r.body != `{"username": "ada", "staff": false}` {
		t.Errorf("a script: %d %s", r.StatusCode, r.body)
	}
	b.holds("csrftoken", sessionName)
}

// noProblem loads what needs no session.
func (b *djangoBrowser) noProblem(path string) {
	b.t.Helper()
	if r := b.do("GET", path, ""); r.StatusCode != 200 || len(r.Header.Values("set-cookie")) > 0 {
		b.t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
	}
}

// script asks as fetch() does.
func (b *djangoBrowser) script(path string) reply {
	b.t.Helper()
	return b.do("GET", path, "", "Accept: application/json", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin")
}

// holds names all cookies that the browser has.
func (b *djangoBrowser) holds(want ...string) {
	b.t.Helper()
	u, _ := url.Parse(b.base)
	var got []string
	for _, c := range b.jar.Cookies(u) {
		got = append(got, c.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.t.Errorf("the browser holds %q, want %q", got, want)
	}
}

// Django says where people may go after the login, as it always did.
func djangoChecksNext(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	for next, want := range map[string]string{
		"/staff/":                "/staff/",
		"https://evil.example/":  "/",
		"//evil.example/profile": "/",
	} {
		b := d.browser(t, e, proto)
		r := b.logIn(djangoLogin+"?"+url.Values{"next": {next}}.Encode(), "ada")
		if r.Header.Get("location") != want {
			t.Errorf("next %s leads to %s, want %s", next, r.Header.Get("location"), want)
		}
	}
}

func djangoRefusesLogin(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	r := b.submit(djangoLogin, djangoLogin, "username=ada", "password="+d.passwords["grace"])
	if r.StatusCode != 200 || !strings.Contains(r.body, "Please enter a correct username and password") {
		t.Errorf("a wrong password: %d %s", r.StatusCode, r.body)
	}
	b.holds("csrftoken")
	b.sentToLogin(b.page("/profile/"), "/profile/", "absent")
}

// A stolen or planted cookie of Django's own opens nothing at the proxy.
func djangoGetsNoBareCookie(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	direct := &djangoBrowser{client: newClient(t, &envoy{http: d.addr}, "plain"), app: d}
	direct.logIn(djangoLogin, "grace")
	var bare string
	for _, pair := range strings.Split(direct.saved(), "; ") {
		if strings.HasPrefix(pair, "sessionid=") {
			bare = pair
		}
	}
	thief := newBare(t, &envoy{http: d.addr}, "plain")
	if got := djangoUser(thief.do("GET", "/about/", "", "Cookie: "+bare)); got != "grace" {
		t.Fatalf("the cookie is no good: Django sees %q", got)
	}

	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	own := b.saved()
	c := newBare(t, e, proto)
	for _, path := range []string{"/", "/about/", djangoLogin} {
		if got := djangoUser(c.do("GET", path, "", "Cookie: "+bare)); got != "" {
			t.Errorf("%s: Django sees %q", path, got)
		}
	}
	b.sentToLogin(c.do("GET", "/profile/", "", "Accept: text/html", "Cookie: "+bare), "/profile/", "absent")
	for _, lines := range [][]string{
		{"Cookie: " + bare + "; " + own}, {"Cookie: " + own + "; " + bare}, {"Cookie: " + own, "Cookie: " + bare}, {"Cookie: " + bare, "Cookie: " + own},
	} {
		if got := djangoUser(c.do("GET", "/profile/", "", lines...)); got != "ada" {
			t.Errorf("a bare cookie beside the session: Django sees %q", got)
		}
	}
}

// What a browser had before the login is worth nothing after it, to whoever planted it.
func djangoFixation(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	before := len(e.events(t))
	b := d.browser(t, e, proto)
	b.submit("/", "/theme/", "theme=dark")
	b.holds("csrftoken", "messages", sessionName)
	thief := b.copied()
	if r := b.page("/"); !strings.Contains(r.body, `class="dark"`) || djangoUser(r) != "" {
		t.Errorf("Django keeps no session for a stranger: %s", r.body)
	}
	b.sentToLogin(b.page("/profile/"), "/profile/", "anonymous")

	b.logIn(djangoLogin, "ada")
	if r := b.page("/profile/"); !strings.Contains(r.body, `class="dark"`) || djangoUser(r) != "ada" {
		t.Errorf("after the login: %s", r.body)
	}
	thief.sentToLogin(thief.page("/profile/"), "/profile/", "anonymous")
	if got := thief.sees("/"); got != "" {
		t.Errorf("the planted cookie: Django sees %q", got)
	}
	var ids []string
	eventually(t, "two sessions began", func() bool {
		ids = nil
		for _, ev := range e.events(t)[before:] {
			if ev.Curfew == "session_start" {
				ids = append(ids, ev.Session)
			}
		}
		return len(ids) == 2
	})
	if ids[0] == ids[1] {
		t.Errorf("one id before and after the login: %v", ids)
	}
}

func djangoIdle(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	for range 3 {
		clk.advance(t, 14*time.Minute)
		if got := b.sees("/profile/"); got != "ada" {
			t.Fatalf("a click every 14 minutes: Django sees %q", got)
		}
	}
	clk.advance(t, 15*time.Minute+time.Second)
	b.ends(t, "idle_timeout")
}

// ends expects that the session is over: for scripts, for pages, and for Django.
func (b *djangoBrowser) ends(t *testing.T, reason string) {
	b.t.Helper()
	r := b.copied().script("/api/me/")
	if r.StatusCode != 401 {
		b.t.Errorf("a script: %d %s", r.StatusCode, r.body)
	} else {
		checkProblem(t, r, reason, djangoLogin+"?next=/&reason="+reason)
	}
	if got := b.copied().sees("/"); got != "" {
		b.t.Errorf("where a session is optional, Django still sees %q", got)
	}
	login := b.sentToLogin(b.page("/profile/"), "/profile/", reason)
	b.holds("csrftoken", "messages")
	if got := b.sees("/"); got != "" {
		b.t.Errorf("Django still sees %q", got)
	}
	if r := b.logIn(login, "ada"); r.Header.Get("location") != "/profile/" || b.sees("/profile/") != "ada" {
		b.t.Errorf("after a new login: %v", r.Header)
	}
}

// No click moves the absolute end; Django's own cookie would live on.
func djangoAbsolute(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	for range 11*60/14 + 4 { // just under 12 hours
		clk.advance(t, 14*time.Minute)
		if got := b.sees("/profile/"); got != "ada" {
			t.Fatalf("a click every 14 minutes: Django sees %q", got)
		}
	}
	clk.advance(t, 12*time.Minute+time.Second)
	b.ends(t, "absolute_timeout")
}

func djangoRemembers(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	ticked, not := d.browser(t, e, proto), d.browser(t, e, proto)
	r := ticked.logIn(djangoLogin, "ada", "remember_me=on")
	if line, _ := r.cookie(sessionName); attributes(line) != "Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("ticked: %q", line)
	}
	r = not.logIn(djangoLogin, "ada")
	if line, _ := r.cookie(sessionName); strings.Contains(line, "Max-Age") || strings.Contains(line, "Expires") {
		t.Errorf("not ticked: %q", line)
	}
	ticked.restart()
	not.restart()
	if got := ticked.sees("/profile/"); got != "ada" {
		t.Errorf("ticked, after a restart: %q", got)
	}
	not.sentToLogin(not.page("/profile/"), "/profile/", "absent")

	clk.advance(t, 13*24*time.Hour)
	if got := ticked.sees("/profile/"); got != "ada" {
		t.Errorf("ticked, after 13 days: %q", got)
	}
	// As somebody else, without the tick: as short as any other.
	r = ticked.logIn(djangoLogin, "grace")
	if line, n := r.cookie(sessionName); n != 1 || strings.Contains(line, "Max-Age") {
		t.Errorf("no longer ticked: %q", line)
	}
	clk.advance(t, 14*time.Minute)
	if got := ticked.sees("/profile/"); got != "grace" {
		t.Errorf("no longer ticked, 14 minutes later: %q", got)
	}
	clk.advance(t, 15*time.Minute+time.Second)
	ticked.ends(t, "idle_timeout")
}

func djangoLogsOut(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	before := len(e.events(t))
	thief := b.copied()
	r := b.submit("/profile/", "/accounts/logout/")
	if r.StatusCode != 302 || r.Header.Get("location") != "/" {
		t.Errorf("logout: %d %v", r.StatusCode, r.Header)
	}
	b.holds("csrftoken")
	if got := b.sees("/"); got != "" {
		t.Errorf("after the logout Django sees %q", got)
	}
	b.sentToLogin(b.page("/profile/"), "/profile/", "absent")
	waitEvents(t, e, before, "ended")
	// Django's store forgot the session, so the old cookie is good for nothing.
	if got := thief.sees("/"); got != "" {
		t.Errorf("a replay after the logout: Django sees %q", got)
	}
}

// Django gives this browser a new session and throws all others of the person out.
func djangoPasswordChange(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	b, other := d.browser(t, e, proto), d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	other.logIn(djangoLogin, "ada")
	const path = "/accounts/password_change/"
	changed := newKey()
	r := b.submit(path, path, "old_password="+d.passwords["ada"], "new_password1="+changed, "new_password2="+changed)
	if r.StatusCode != 302 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	d.passwords["ada"] = changed
	r = b.page("/profile/")
	if djangoUser(r) != "ada" || !slices.Equal(djangoMessages(r), []string{"Your password was changed."}) {
		t.Errorf("after the change: %d %s", r.StatusCode, r.body)
	}
	if r := other.page("/profile/"); r.StatusCode != 302 || !strings.HasPrefix(r.Header.Get("location"), djangoLogin) {
		t.Errorf("elsewhere: %d %v", r.StatusCode, r.Header)
	}
	other.holds("csrftoken")
	other.sentToLogin(other.page("/profile/"), "/profile/", "absent")
	clk.advance(t, 15*time.Minute+time.Second)
	b.ends(t, "idle_timeout")
}

func djangoShowsMessages(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	r := b.submit("/profile/", "/profile/", "first_name=Ada", "last_name="+proto)
	if r.StatusCode != 302 || r.Header.Get("location") != "/profile/" {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	r = b.page("/profile/")
	if !slices.Equal(djangoMessages(r), []string{"Your profile was saved."}) || !strings.Contains(r.body, `value="`+proto+`"`) {
		t.Errorf("after saving: %s", r.body)
	}
	if got := djangoMessages(b.page("/profile/")); len(got) > 0 {
		t.Errorf("shown again: %q", got)
	}
}

func djangoCSRF(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	form := url.Values{"first_name": {"Mallory"}, "last_name": {""}}
	if r := b.post("/profile/", "/profile/", form); r.StatusCode != 403 || !strings.Contains(r.body, "CSRF") {
		t.Errorf("without a token: %d", r.StatusCode)
	}
	r := b.page("/profile/")
	if djangoUser(r) != "ada" || strings.Contains(r.body, "Mallory") {
		t.Errorf("after a refused form: %s", r.body)
	}
	if r := b.submit("/profile/", "/profile/", "first_name=Ada"); r.StatusCode != 302 {
		t.Errorf("with a token: %d %s", r.StatusCode, r.body)
	}
}

func djangoStaff(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "ada")
	if r := b.page("/staff/"); r.StatusCode != 302 || r.Header.Get("location") != djangoLogin+"?next=/staff/" {
		t.Errorf("ada at the staff's page: %d %v", r.StatusCode, r.Header)
	}
	// As somebody else, in the same browser: Django begins a session of its own.
	if r := b.logIn(djangoLogin+"?next=/staff/", "grace"); r.Header.Get("location") != "/staff/" {
		t.Errorf("back to %s", r.Header.Get("location"))
	}
	if r := b.page("/staff/"); r.StatusCode != 200 || djangoUser(r) != "grace" || !strings.Contains(r.body, "<h1>Users</h1>") {
		t.Errorf("grace at the staff's page: %d %s", r.StatusCode, r.body)
	}
}

// Who is logged in and logs in once more gets no new cookie from Django, but the one they have counts
// from now.
func djangoLogsInAgain(t *testing.T, d *djangoApp, e *envoy, clk *clock, proto string) {
	b := d.browser(t, e, proto)
	b.logIn(djangoLogin, "grace", "remember_me=on")
	clk.advance(t, 10*time.Minute+time.Second)
	login := b.sentToLogin(b.page("/staff/"), "/staff/", "auth_too_old")
	if got := b.sees("/profile/"); got != "grace" {
		t.Errorf("where an older login will do, Django sees %q", got)
	}
	if r := b.submit(login, login, "username=grace", "password=wrong"); r.StatusCode != 200 {
		t.Errorf("a wrong password: %d", r.StatusCode)
	}
	b.sentToLogin(b.page("/staff/"), "/staff/", "auth_too_old")
	b.logIn(login, "grace", "remember_me=on")
	if got := b.sees("/staff/"); got != "grace" {
		t.Errorf("after the second login Django sees %q", got)
	}
	clk.advance(t, 13*24*time.Hour)
	r := b.logIn(djangoLogin, "grace")
	if line, n := r.cookie(sessionName); n != 1 || strings.Contains(line, "Max-Age") {
		t.Errorf("no longer ticked: %q", line)
	}
	clk.advance(t, 14*time.Minute)
	if got := b.sees("/profile/"); got != "grace" {
		t.Errorf("no longer ticked, 14 minutes later: %q", got)
	}
}

// Two tabs have the login page open; whoever logs in last is logged in, and nobody loops.
func djangoManyTabs(t *testing.T, d *djangoApp, e *envoy, _ *clock, proto string) {
	b := d.browser(t, e, proto)
	for _, username := range []string{"ada", "ada", "grace"} {
		b.logIn(djangoLogin, username)
		if got := b.sees("/profile/"); got != username {
			t.Errorf("Django sees %q, want %q", got, username)
		}
	}
}
