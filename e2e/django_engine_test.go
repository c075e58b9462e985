package e2e

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	engineDir  = "../examples/django"
	engineOpen = "/do/" // does to the session what it is told
)

// installEngine installs the package as its reader would, and returns the folder that it is in.
func installEngine(t *testing.T) string {
	t.Helper()
	source, target := t.TempDir(), t.TempDir()
	// Of a copy, for building leaves files behind.
	if err := os.CopyFS(source, os.DirFS(engineDir)); err != nil {
		t.Fatal(err)
	}
	python(t, ".", []string{"PYTHONPATH=" + filepath.Join(tool(t, "CURFEW_DJANGO_SOURCE"), "build")},
		"-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", target, source)
	return target
}

// python runs Django's and returns what it printed.
func python(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(tool(t, "CURFEW_DJANGO"), args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("python %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The engine's own tests.
func TestDjangoEngineUnit(t *testing.T) {
	out := python(t, engineDir, nil, "-m", "django", "test", "tests", "--settings=tests.settings")
	if !regexp.MustCompile(`Ran [1-9]\d* tests`).MatchString(out) {
		t.Errorf("no test ran:\n%s", out)
	}
}

// Django's tests of its engines: what cannot pass is what the README says, no more and no less.
func TestDjangoEngineSuite(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(engineDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+\\.test_\\w+)`( and `_async`)? \\| (.+) \\|$").FindAllStringSubmatch(string(readme), -1) {
		documented[row[1]] = row[3]
		if row[2] != "" {
			documented[row[1]+"_async"] = row[3]
		}
	}
	out := python(t, engineDir, nil, "-m", "tests.django_suite", filepath.Join(tool(t, "CURFEW_DJANGO_SOURCE"), "django"))
	t.Log("\n" + out)
	cannot := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^cannot  (\S+) -- (.+)$`).FindAllStringSubmatch(out, -1) {
		cannot[line[1]] = line[2]
	}
	if !maps.Equal(documented, cannot) || len(cannot) == 0 {
		t.Errorf("README.md has %q, and what cannot pass is %q", documented, cannot)
	}
	if !regexp.MustCompile(`(?m)^passes  \S+$`).MatchString(out) {
		t.Error("nothing passes")
	}
}

// A real Django on the engine, behind a real Envoy, with the README's configuration.
func TestDjangoEngine(t *testing.T) {
	site, err := filepath.Abs(filepath.Join(engineDir, "tests", "site"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(engineDir, "curfew.json"))
	if err != nil {
		t.Fatal(err)
	}
	clk := newClock(t)
	d := startDjango(t, "DJANGO_SETTINGS_MODULE=engine.settings", "PYTHONPATH="+installEngine(t)+":"+site,
		"CURFEW_CLOCK_FILE="+clk.file.Name())
	d.manage(t, "check", "--fail-level=WARNING")
	e := start(t, setup{app: d.addr, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: string(config)})
	for _, proto := range protocols {
		for _, tt := range []struct {
			name  string
			check func(t *testing.T, b *engineBrowser)
		}{
			{"login", engineLogsIn},
			{"login again", engineLogsInAgain},
			{"logout", engineLogsOut},
			{"staff", engineStaff},
			{"anonymous", engineAnonymous},
			{"data", engineData},
			{"unmodified", engineUnmodified},
			{"visits", engineVisits},
			{"flush", engineFlush},
			{"cycle_key", engineCycleKey},
			{"set_expiry", engineSetExpiry},
			{"point in time", enginePointInTime},
			{"remember me", engineRemembers},
			{"test cookie", engineTestCookie},
			{"password change", enginePasswordChange},
			{"too large", engineTooLarge},
		} {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				clk.align(t)
				tt.check(t, &engineBrowser{d.browser(t, e, proto), clk})
			})
		}
	}
	e.noTrap(t)
}

// engineBrowser is a browser, and the clock of the world that it is in.
type engineBrowser struct {
	*djangoBrowser
	clk *clock
}

// engineState is what Django says of the session.
type engineState struct {
	reply
	User, Key, Error string
	Data             map[string]any
	Age              int
	Browser, Test    bool
	IdleIn           int `json:"idle_in"`
	Cookies, Tables  []string
}

// act does one thing to the session, or nothing, and returns what it then is.
func (b *engineBrowser) act(action ...any) engineState {
	b.t.Helper()
	body := ""
	if len(action) > 0 {
		text, err := json.Marshal(action)
		if err != nil {
			b.t.Fatal(err)
		}
		body = string(text)
	}
	r := b.do("POST", engineOpen, body, "Content-Type: application/json")
	s := engineState{reply: r}
	if err := json.Unmarshal([]byte(r.body), &s); err != nil || r.StatusCode != 200 {
		b.t.Fatalf("%v: %d %s", action, r.StatusCode, r.body)
	}
	return s
}

// after waits, and returns what the session then is.
func (b *engineBrowser) after(d time.Duration) engineState {
	b.t.Helper()
	b.clk.advance(b.t, d)
	return b.act()
}

// cookies are the names of the cookies that an answer sets.
func (s *engineState) cookies() (names []string) {
	for _, c := range s.Response.Cookies() {
		names = append(names, c.Name)
	}
	return names
}

func engineLogsIn(t *testing.T, b *engineBrowser) {
	login := b.sentToLogin(b.page("/profile/?tab=2"), "/profile/?tab=2", "absent")
	r := b.logIn(login, "ada")
	line, n := r.cookie(sessionName)
	if n != 1 || !strings.HasPrefix(line, sessionName+"=1e.") || attributes(line) != "Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("%d session cookies: %q", n, line)
	}
	if got := b.sees("/profile/?tab=2"); got != "ada" {
		t.Errorf("logged in, and Django sees %q", got)
	}
	s := b.act()
	if s.User != "ada" || s.Key == "" || s.Data["_auth_user_id"] == "" || s.Data["_auth_user_hash"] == "" || s.IdleIn != 15*60 {
		t.Errorf("the session: %+v", s)
	}
	if slices.Contains(s.Tables, "django_session") || !slices.Contains(s.Tables, "auth_user") {
		t.Errorf("tables: %q", s.Tables)
	}
	b.clk.advance(t, 15*time.Minute+time.Second)
	b.sentToLogin(b.page("/profile/"), "/profile/", "idle_timeout")
}

// Who logs in again as the same person has authenticated anew.
func engineLogsInAgain(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "grace")
	before := b.act("update", map[string]any{"cart": []int{1}})
	for range 5 {
		b.after(14 * time.Minute)
	}
	b.logIn(b.sentToLogin(b.page("/admin/"), "/admin/", "auth_too_old"), "grace")
	if got := b.page("/admin/"); got.StatusCode != 200 {
		t.Errorf("after the login: %d %v", got.StatusCode, got.Header)
	}
	if s := b.act(); s.Key == before.Key || len(s.Data["cart"].([]any)) != 1 {
		t.Errorf("%+v, before %+v", s, before)
	}
}

func engineLogsOut(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "ada")
	r := b.submit("/profile/", "/accounts/logout/")
	if line, n := r.cookie(sessionName); r.StatusCode != 302 || n != 1 || !strings.Contains(line, "Max-Age=0") {
		t.Errorf("%d, %d cookies: %q", r.StatusCode, n, line)
	}
	if s := b.act(); s.User != "" || s.Key != "" || len(s.Data) != 0 {
		t.Errorf("logged out: %+v", s)
	}
	b.sentToLogin(b.page("/profile/"), "/profile/", "absent")
}

// Curfew's rules know what Django put into the session.
func engineStaff(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "ada")
	if r := b.page("/admin/"); r.StatusCode != 403 {
		t.Errorf("ada at the admin's: %d", r.StatusCode)
	}
	b.submit("/profile/", "/accounts/logout/")
	b.logIn("/admin/login/", "grace")
	if r := b.page("/admin/"); r.StatusCode != 200 || !strings.Contains(r.body, "Site administration") {
		t.Errorf("grace at the admin's: %d %s", r.StatusCode, r.body)
	}
	if s := b.act(); s.User != "grace" || s.Data["staff"] != true {
		t.Errorf("%+v", s)
	}
}

// A theme without login, and with it after.
func engineAnonymous(t *testing.T, b *engineBrowser) {
	if s := b.act(); s.Key != "" || len(s.cookies()) != 0 {
		t.Errorf("a stranger: %+v sets %q", s, s.cookies())
	}
	b.submit("/", "/theme/", "theme=dark")
	if page := b.page("/"); !slices.Equal(djangoMessages(page), []string{"The theme was changed."}) {
		t.Errorf("messages: %q", djangoMessages(page))
	}
	nobody := b.act()
	if nobody.User != "" || nobody.Key == "" || nobody.Data["theme"] != "dark" {
		t.Errorf("%+v", nobody)
	}
	b.sentToLogin(b.page("/profile/"), "/profile/", "anonymous")
	b.logIn(djangoLogin, "ada")
	if s := b.act(); s.User != "ada" || s.Data["theme"] != "dark" || s.Key == nobody.Key {
		t.Errorf("after the login: %+v, before: %+v", s, nobody)
	}
	b.logIn(djangoLogin, "grace")
	if s := b.act(); s.User != "grace" || s.Data["theme"] != nil {
		t.Errorf("the next person has %+v", s.Data)
	}
}

func engineData(t *testing.T, b *engineBrowser) {
	values := map[string]any{
		"none": nil, "true": true, "one": 1.0, "text": "\x7f\u2028é😀\"\\", "empty": map[string]any{}, "list": []any{nil, []any{nil}, map[string]any{"a": nil}},
		"nested": map[string]any{"keep": "k", "none": nil, "lone": []any{nil}, "deep": map[string]any{"n": 1.0, "gone": "x"}}, "a.b": "dot", "": "no name",
	}
	b.act("update", values)
	if got := b.act().Data; !reflect.DeepEqual(got, values) {
		t.Errorf("stored %q, read %q", values, got)
	}
	values["nested"] = map[string]any{"keep": "k", "none": 0.0, "lone": nil, "deep": map[string]any{"n": true}}
	values["list"] = []any{}
	b.act("update", map[string]any{"nested": values["nested"], "list": values["list"]})
	if got := b.act().Data; !reflect.DeepEqual(got, values) {
		t.Errorf("changed to %q, read %q", values, got)
	}
	b.act("drop", []string{"none", "true", "one", "text", "list", "nested", "a.b", ""})
	if got := b.act().Data; !reflect.DeepEqual(got, map[string]any{"empty": map[string]any{}}) {
		t.Errorf("left %q", got)
	}
}

func engineUnmodified(t *testing.T, b *engineBrowser) {
	b.act("update", map[string]any{"cart": []int{1}})
	for _, action := range [][]any{{}, {"append", "cart", 2}, {"update", map[string]any{"cart": []int{1}}}} {
		if s := b.act(action...); len(s.cookies()) != 0 {
			t.Errorf("%v sets %q", action, s.cookies())
		}
	}
	if s := b.act(); len(s.Data["cart"].([]any)) != 1 || !slices.Contains(s.Header.Values("vary"), "Cookie") {
		t.Errorf("%v %v", s.Data, s.Header)
	}
	if r := b.page("/plain/"); r.StatusCode != 200 || len(r.Header.Values("set-cookie")) != 0 {
		t.Errorf("a page without session: %d %v", r.StatusCode, r.Header)
	}
	// What slides is the touch cookie alone.
	if s := b.after(2 * time.Minute); !slices.Equal(s.cookies(), []string{touchName}) {
		t.Errorf("two minutes later: %q", s.cookies())
	}
}

func engineVisits(t *testing.T, b *engineBrowser) {
	for n := range 5 {
		if s := b.act("visits"); s.Data["visits"] != float64(n+1) {
			t.Errorf("visit %d: %v", n+1, s.Data)
		}
	}
}

func engineFlush(t *testing.T, b *engineBrowser) {
	b.act("update", map[string]any{"a": 1})
	s := b.act("flush")
	if got := s.cookies(); !slices.Contains(got, sessionName) || s.Key != "" {
		t.Errorf("flush sets %q, key %q", got, s.Key)
	}
	if s := b.act(); s.Key != "" || len(s.Data) != 0 || strings.Contains(b.saved(), sessionName) {
		t.Errorf("after it: %+v, cookies %s", s, b.saved())
	}
	if s := b.act("flush"); len(s.cookies()) != 0 {
		t.Errorf("nothing to flush, and it sets %q", s.cookies())
	}
}

func engineCycleKey(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "ada")
	before := b.act("update", map[string]any{"a": 1})
	b.act("cycle_key")
	if s := b.act(); s.Key == "" || s.Key == before.Key || s.User != "ada" || s.Data["a"] != 1.0 {
		t.Errorf("%+v, before %+v", s, before)
	}
}

func engineSetExpiry(t *testing.T, b *engineBrowser) {
	b.act("update", map[string]any{"a": 1})
	for _, tt := range []struct {
		expiry  any
		lasts   time.Duration
		browser bool
	}{
		{300, 5 * time.Minute, false},
		{0, 15 * time.Minute, true},
		{3600, time.Hour, false},
		{nil, 15 * time.Minute, true},
	} {
		r := b.act("set_expiry", tt.expiry)
		if line, n := r.cookie(sessionName); n != 1 || strings.Contains(line, "Max-Age") == tt.browser {
			t.Errorf("set_expiry(%v): %d cookies: %q", tt.expiry, n, line)
		}
		if s := b.after(tt.lasts - time.Second); s.Data["a"] != 1.0 || s.Browser != tt.browser {
			t.Errorf("set_expiry(%v), idle for a second less: %+v", tt.expiry, s)
		}
		b.clk.align(t)
		if s := b.after(tt.lasts + time.Second); s.Key != "" || len(s.Data) != 0 {
			t.Errorf("set_expiry(%v), idle for a second more: %+v", tt.expiry, s)
		}
		b.act("update", map[string]any{"a": 1})
		b.act("set_expiry", 7200)
	}
	if s := b.act("set_expiry", -1); !slices.Contains(s.cookies(), sessionName) {
		t.Errorf("set_expiry(-1) sets %q", s.cookies())
	}
	if s := b.act(); s.Key != "" {
		t.Errorf("after it: %+v", s)
	}
}

// set_expiry with a point in time: the session ends then, however busy it is.
func enginePointInTime(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "ada")
	b.act("log_in_for", 3600)
	for range 5 {
		if s := b.after(11 * time.Minute); s.User != "ada" {
			t.Fatalf("before its time: %+v", s)
		}
	}
	if s := b.after(5*time.Minute - time.Second); s.User != "ada" || s.Age != 1 {
		t.Errorf("a second before: %+v", s)
	}
	if s := b.after(time.Second); s.User != "" || s.Key != "" || !slices.Contains(s.cookies(), sessionName) {
		t.Errorf("at its time: %+v, sets %q", s, s.cookies())
	}
	b.sentToLogin(b.page("/profile/"), "/profile/", "absent")
}

func engineRemembers(t *testing.T, b *engineBrowser) {
	b.logIn(djangoLogin, "ada", "remember_me=on")
	b.restart()
	if s := b.act(); s.User != "ada" {
		t.Errorf("the browser opened again: %+v", s)
	}
	b.logIn(djangoLogin, "ada")
	b.restart()
	if s := b.act(); s.User != "" {
		t.Errorf("not remembered, the browser opened again: %+v", s)
	}
}

func engineTestCookie(t *testing.T, b *engineBrowser) {
	if b.act("set_test_cookie"); !b.act().Test {
		t.Error("the cookie came back and Django does not see it")
	}
	if b.act("delete_test_cookie"); b.act().Test {
		t.Error("deleted, it is still there")
	}
}

// A password change logs out everywhere but here.
func enginePasswordChange(t *testing.T, b *engineBrowser) {
	const path = "/accounts/password_change/"
	b.logIn(djangoLogin, "ada")
	other := &engineBrowser{b.copied(), b.clk}
	old, changed := b.app.passwords["ada"], newKey()
	r := b.submit(path, path, "old_password="+old, "new_password1="+changed, "new_password2="+changed)
	if r.StatusCode != 302 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	b.app.passwords["ada"] = changed
	if s := b.act(); s.User != "ada" {
		t.Errorf("here: %+v", s)
	}
	if s := other.act(); s.User != "" || !slices.Contains(s.cookies(), sessionName) {
		t.Errorf("elsewhere: %+v, sets %q", s, s.cookies())
	}
}

func engineTooLarge(t *testing.T, b *engineBrowser) {
	b.act("update", map[string]any{"a": 1})
	b.act("update", map[string]any{"large": strings.Repeat("x", 5000)})
	for range 2 {
		if s := b.act(); s.Error != "too_large" || s.Data["a"] != 1.0 || s.Data["large"] != nil {
			t.Errorf("the next request: %+v", s)
		}
	}
	b.act("update", map[string]any{"a": 2})
	if s := b.act(); s.Error != "" || s.Data["a"] != 2.0 {
		t.Errorf("after a smaller one: %+v", s)
	}
	text, _ := json.Marshal([]any{"update", map[string]any{"larger": strings.Repeat("x", 9000)}})
	if r := b.do("POST", engineOpen, string(text)); r.StatusCode != 500 {
		t.Errorf("over what a header takes: %d", r.StatusCode)
	}
	if u, _ := url.Parse(b.base); len(b.jar.Cookies(u)) == 0 || b.act().Data["a"] != 2.0 {
		t.Errorf("after it: %s", b.saved())
	}
}
