package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The same questions to Django with the packages that people use for this and to Django behind
// Curfew, one clock for all. here is what Curfew answers where that is not the same; docs/django.md
// says why. Every visitor comes with a fresh browser at the start of an hour.
var compareQuestions = []compareQuestion{
	// django-auto-logout
	{"idle end", "auto_logout", askVisits("ada", "14m", "14m", "15m1s"), "page page login", ""},
	{"session end", "auto_logout", askVisits("ada", "10m", "10m", "10m", "10m", "10m", "9m59s", "2s"), "page page page page page page login", ""},
	{"both ends", "auto_logout", askAll(askVisits("ada", "15m1s"), askVisits("ada", "14m", "14m", "14m", "14m", "4m1s")), "login / page page page page login", ""},
	{"idle end between two touches", "auto_logout", askVisits("ada", "14m59s", "14m59s"), "page page", "page login"},
	{"idle end of a login that no page follows", "auto_logout", askBareLogin, "page", "login"},
	{"a login elsewhere", "auto_logout", askLoginElsewhere, "page page", "page login"},
	{"message on the login page", "auto_logout", askMessages("15m1s"), compareExpired + ", then none", ""},
	{"message after the session end", "auto_logout", askMessages("10m", "10m", "10m", "10m", "10m", "10m1s"), compareExpired + ", then none", ""},
	{"public page after the end", "auto_logout", askPublic, compareExpired + ", then none", "none, then " + compareExpired},
	{"level of the message", "auto_logout", askLevel, "info", "warning"},
	{"redirect to login immediately", "auto_logout", askRedirects, "15m1s login, 10m1s login", ""},
	{"two tabs left open", "auto_logout", askTwoTabs, "login after 25m1s", ""},
	{"seconds until the ends", "auto_logout", askSeconds("0s", "10m", "10m"), "900 3600, 900 3000, 900 2400", ""},
	{"seconds between two touches", "auto_logout", askSeconds("10m30s"), "900 2970", "870 2970"},
	{"strangers", "auto_logout", askStrangers, "page none, page none", ""},
	{"cookies written by ten pages", "auto_logout", askCookies, "10", "0"},
	{"a script's request after the end", "auto_logout", askScript, "302", "401"},
	{"background polling", "auto_logout", askPolling, "page", "login"},
	// django-session-refresh
	{"refresh interval", "session_refresh", askRefreshes, "10m0s 20m0s", ""},
	{"active people stay", "session_refresh", askVisits("ada", "20m", "20m", "20m", "20m", "60m1s"), "page page page page login", ""},
	{"refreshed, refreshed_at", "session_refresh", askRefreshedAt, "True now, then none", ""},
	{"staff skipped", "session_refresh", askVisits("grace", "20m", "20m", "20m1s"), "page page login", ""},
	{"superuser skipped", "session_refresh", askVisits("root", "20m", "20m", "20m1s"), "page page login", ""},
	{"unauthenticated skipped", "session_refresh", askThemes, "dark dark light", ""},
	{"static and media skipped", "session_refresh", askFiles, "0 cookies, login", ""},
	// DualSessionMiddleware
	{"remember me unticked", "dual_session", askRemembered(false), "browser-length", ""},
	{"remember me ticked", "dual_session", askRemembered(true), "persistent", ""},
	{"made persistent later", "dual_session", askRemembered(false, true), "browser-length persistent", ""},
	{"made browser-length later", "dual_session", askRemembered(true, false), "persistent browser-length", ""},
	{"remembered for two weeks", "dual_session", askAll(askAway(true, "312h"), askAway(true, "336h1s")), "page / login", ""},
	{"browser left open for a day", "dual_session", askAway(false, "24h"), "page", "login"},
}

// compareRoot adds a superuser who is not staff.
const compareRoot = `
from django.contrib.auth.models import User
User.objects.create_user("root", password="root", is_superuser=True)`

const compareExpired = "Your session has expired. Please log in again."

type compareQuestion struct {
	name, setup string
	ask         func(*person) string
	there, here string
}

// compareConfigs is Curfew's configuration for each package's.
var compareConfigs = map[string]string{
	"auto_logout":     `"timeouts": {"idle": "15m", "absolute": "1h"}`,
	"session_refresh": `"timeouts": {"idle": "1h", "absolute": "12h", "touch": "10m"}`,
	"dual_session":    `"timeouts": {"idle": "1h", "absolute": "12h"}, "remember": {"idle": "336h", "absolute": "720h"}`,
}

const compareConfig = `{
	"cookie": {"mode": "sealed"}, "wrap": ["sessionid"],
	"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}],
	"login": {"url": "/accounts/login/"},
	"headers": {"x-session": "@this"},
	"django_messages": {"secret_env": "DJANGO_SECRET_KEY", "text": "` + compareExpired + `"},
	"rules": [{"path_prefix": "/static/", "session": "off"},
	          {"path_prefix": "/media/", "session": "off"},
	          {"path": "/", "session": "optional", "activity": "passive"},
	          {"path": "/about/", "session": "optional"},
	          {"path": "/theme/", "session": "optional"},
	          {"path": "/api/me/", "activity": "passive"},
	          {"path_prefix": "/", "when": {"data.staff": [true]}, "activity": "passive"},
	          {"path_prefix": "/", "when": {"data.superuser": [true]}, "activity": "passive"}],
	%s}`

func TestDjangoCompare(t *testing.T) {
	clk := newClock(t)
	// It makes the database. Its server is asked nothing: it does not live by the test's clock.
	base := startDjango(t, "DJANGO_SETTINGS_MODULE=packages.common")
	base.manage(t, "shell", "--verbosity=0", "--command", compareRoot)
	base.passwords["root"] = "root"
	wrapped := compareServe(t, base, clk, "packages.curfew")
	there, here := map[string]openBrowser{}, map[string]openBrowser{}
	for name, config := range compareConfigs {
		bare := compareServe(t, base, clk, "packages."+name)
		there[name] = func(t testing.TB) *djangoBrowser {
			return &djangoBrowser{client: newClient(t, &envoy{http: bare.addr}, "plain"), app: bare}
		}
		e := start(t, setup{app: wrapped.addr, clock: clk, config: fmt.Sprintf(compareConfig, config),
			env: map[string]string{"CURFEW_KEY": newKey(), "DJANGO_SECRET_KEY": wrapped.secret}})
		here[name] = func(t testing.TB) *djangoBrowser { return wrapped.browser(t, e, "h2") }
	}
	for _, q := range compareQuestions {
		t.Run(q.name, func(t *testing.T) {
			if got := q.ask(newPerson(t, clk, there[q.setup])); got != q.there {
				t.Errorf("Django with packages: %q, want %q", got, q.there)
			}
			want := q.here
			if want == "" {
				want = q.there
			}
			if got := q.ask(newPerson(t, clk, here[q.setup])); got != want {
				t.Errorf("Django behind Curfew: %q, want %q", got, want)
			}
		})
	}
	t.Run("the page's configuration", func(t *testing.T) {
		e := start(t, setup{app: wrapped.addr, clock: clk, config: compareDocsConfig(t),
			env: map[string]string{"CURFEW_KEY": newKey(), "DJANGO_SECRET_KEY": wrapped.secret}})
		open := func(t testing.TB) *djangoBrowser { return wrapped.browser(t, e, "h2") }
		ask, want := askAll(askVisits("ada", "14m", "14m", "15m1s"), askMessages("15m1s")), "page page login / "+compareExpired+", then none"
		if got := ask(newPerson(t, clk, open)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func compareDocs(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "django.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func compareDocsConfig(t *testing.T) string {
	t.Helper()
	_, config, _ := strings.Cut(compareDocs(t), "```json\n")
	config, _, _ = strings.Cut(config, "```")
	return config
}

// The page that compares says of each question what the answers above say, and has no other rows.
func TestDjangoCompareDocs(t *testing.T) {
	_, section, _ := strings.Cut(compareDocs(t), "\n## Setting for setting\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]string{}
	for _, line := range strings.Split(section, "\n") {
		if cells := strings.Split(line, " | "); len(cells) == 5 {
			rows[strings.TrimPrefix(cells[0], "| ")], _, _ = strings.Cut(cells[3], ":")
		}
	}
	for _, q := range compareQuestions {
		if same := rows[q.name] == "same"; rows[q.name] == "" || same != (q.here == "") {
			t.Errorf("%s: the page says %q; there: %q, here: %q", q.name, rows[q.name], q.there, q.here)
		}
		delete(rows, q.name)
	}
	delete(rows, "question")
	for name := range rows {
		t.Errorf("%s: a row that nobody asks", name)
	}
}

// compareServe runs the project under a settings module, on the test's clock, until the test ends. Its
// server must not take a jump of the clock for an idle connection.
func compareServe(t *testing.T, base *djangoApp, clk *clock, settings string) *djangoApp {
	t.Helper()
	d := *base
	d.env = append(append(d.env[:len(d.env):len(d.env)], "DJANGO_SETTINGS_MODULE="+settings), clk.env(t)...)
	d.serve(t, "--channel-timeout=999999999")
	return &d
}

// openBrowser is a fresh browser with one of the set-ups behind it.
type openBrowser func(testing.TB) *djangoBrowser

type person struct {
	*djangoBrowser
	clk  *clock
	open openBrowser
}

// newPerson comes at the start of an hour, where touch intervals of any length begin.
func newPerson(t testing.TB, clk *clock, open openBrowser) *person {
	t.Helper()
	clk.set(t, clk.now.Truncate(time.Hour).Add(time.Hour))
	return &person{open(t), clk, open}
}

// signIn logs in and lands on the page that the app sends people to; the answer is the login's.
func (v *person) signIn(name string, fields ...string) reply {
	v.t.Helper()
	r := v.logIn(djangoLogin, name, fields...)
	v.load(r.Header.Get("location"))
	return r
}

func (v *person) wait(d string) {
	v.t.Helper()
	wait, err := time.ParseDuration(d)
	if err != nil {
		v.t.Fatal(err)
	}
	v.clk.advance(v.t, wait)
}

// load is a page; a redirect is followed to the page that it leads to.
func (v *person) load(path string) reply {
	v.t.Helper()
	r := v.page(path)
	if to := r.Header.Get("location"); r.StatusCode == 302 && strings.HasPrefix(to, "/") {
		r = v.page(to)
	}
	if r.StatusCode != 200 {
		v.t.Fatalf("%s: status %d: %s", path, r.StatusCode, r.body)
	}
	return r
}

// see says what comes up for a path: the page, or the login page.
func (v *person) see(path string) string {
	v.t.Helper()
	if strings.Contains(v.load(path).body, "<title>Log in</title>") {
		return "login"
	}
	return "page"
}

// each asks again after every wait.
func (v *person) each(waits []string, ask func() string) (answers []string) {
	v.t.Helper()
	for _, wait := range waits {
		v.wait(wait)
		answers = append(answers, ask())
	}
	return answers
}

// sessionCookies are the Set-Cookie lines of the session, whosever it is.
func sessionCookies(r reply) (lines []string) {
	for _, line := range r.Header.Values("set-cookie") {
		if strings.HasPrefix(line, "sessionid=") || strings.HasPrefix(line, sessionName) {
			lines = append(lines, line)
		}
	}
	return lines
}

func askVisits(user string, waits ...string) func(*person) string {
	return func(v *person) string {
		v.signIn(user)
		return strings.Join(v.each(waits, func() string { return v.see("/profile/") }), " ")
	}
}

// askAll asks several things, each at a browser of its own.
func askAll(asks ...func(*person) string) func(*person) string {
	return func(v *person) string {
		answers := []string{}
		for _, ask := range asks {
			answers = append(answers, ask(newPerson(v.t, v.clk, v.open)))
		}
		return strings.Join(answers, " / ")
	}
}

// askBareLogin: a script logs in, and nothing follows the redirect.
func askBareLogin(v *person) string {
	v.logIn(djangoLogin, "ada")
	v.wait("15m1s")
	return v.see("/profile/")
}

// askLoginElsewhere: the same person at a second browser, shortly before the first one's session ends.
func askLoginElsewhere(v *person) string {
	askVisits("ada", "10m", "10m", "10m", "10m", "10m")(v)
	(&person{v.open(v.t), v.clk, v.open}).signIn("ada")
	return strings.Join(v.each([]string{"9m", "5m"}, func() string { return v.see("/profile/") }), " ")
}

var messageItem = regexp.MustCompile(`(?s)<ul class="messages">\s*<li class="(\w+)">(.*?)</li>`)

// message is what the page says to the visitor.
func (v *person) message(path string) (level, text string) {
	v.t.Helper()
	if m := messageItem.FindStringSubmatch(v.load(path).body); m != nil {
		return m[1], html.UnescapeString(m[2])
	}
	return "none", "none"
}

func askMessages(waits ...string) func(*person) string {
	return func(v *person) string {
		v.signIn("ada")
		last := len(waits) - 1
		v.each(waits[:last], func() string { return v.see("/profile/") })
		v.wait(waits[last])
		_, first := v.message("/profile/")
		_, second := v.message("/profile/")
		return first + ", then " + second
	}
}

func askPublic(v *person) string {
	v.signIn("ada")
	v.wait("15m1s")
	_, first := v.message("/about/")
	_, second := v.message("/about/")
	return first + ", then " + second
}

func askLevel(v *person) string {
	v.signIn("ada")
	v.wait("15m1s")
	level, _ := v.message("/profile/")
	return level
}

// The script in a page: of the package, and of the project behind Curfew.
var (
	leaveScript = regexp.MustCompile(`at=Date\.now\(\)\+Math\.max\(Math\.min\(([\d.]+),([\d.]+)\),0\)\*1000\+999;`)
)

// leaveIn is when the script in an open page acts.
func (v *person) leaveIn() time.Duration {
	v.t.Helper()
	body := v.load("/state/").body
	if strings.Contains(body, `<script src="/.session/session.js" defer></script>`) {
		in, _ := v.left()
		return in
	}
	m := leaveScript.FindStringSubmatch(body)
	if m == nil {
		v.t.Fatalf("nothing makes this page leave: %s", body)
	}
	idle, _ := strconv.ParseFloat(m[1], 64)
	session, _ := strconv.ParseFloat(m[2], 64)
	return time.Duration(math.Ceil(min(idle, session)+0.999)) * time.Second
}

func askRedirects(v *person) string {
	v.signIn("ada")
	first := v.leaveIn().String()
	v.wait(first)
	first += " " + v.see("/state/")

	v = newPerson(v.t, v.clk, v.open)
	askVisits("ada", "10m", "10m", "10m", "10m", "10m")(v)
	second := v.leaveIn().String()
	v.wait(second)
	return first + ", " + second + " " + v.see("/state/")
}

// askTwoTabs: one page is opened ten minutes after the other, and both stay open. The first one's
// script must neither end the session of the second one nor prolong it.
func askTwoTabs(v *person) string {
	v.signIn("ada")
	begin, first := v.clk.now, v.leaveIn()
	v.wait("10m")
	second := v.leaveIn()
	if _, asks := v.left(); asks {
		v.clk.set(v.t, begin.Add(first))
		again, _ := v.left()
		v.wait(again.String())
	} else {
		// The package's tabs tell each other in the browser; the last end counts.
		v.clk.set(v.t, begin.Add(max(first, 10*time.Minute+second)))
	}
	return v.see("/state/") + " after " + v.clk.now.Sub(begin).String()
}

// left is when Curfew's script acts by what it is told, if there is one.
func (v *person) left() (in time.Duration, asks bool) {
	v.t.Helper()
	r := v.do("GET", "/.session/status", "", "Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin", "Referer: "+v.base+"/state/")
	var status struct {
		Idle    int64 `json:"idle_in"`
		Expires int64 `json:"expires_in"`
	}
	if r.StatusCode != 200 || json.Unmarshal([]byte(r.body), &status) != nil {
		return 0, false
	}
	return time.Duration(min(status.Idle, status.Expires)+1) * time.Second, true
}

var stateLine = regexp.MustCompile(`idle end: (\d*); session end: (\d*);\s*refreshed: (\w*); at: (\d*);`)

// state is what a view knows of its session.
func (v *person) state() (idle, session, refreshed, at string) {
	v.t.Helper()
	r := v.load("/state/")
	m := stateLine.FindStringSubmatch(r.body)
	if m == nil {
		v.t.Fatalf("no state: %s", r.body)
	}
	return m[1], m[2], m[3], m[4]
}

func askSeconds(waits ...string) func(*person) string {
	return func(v *person) string {
		v.signIn("ada")
		return strings.Join(v.each(waits, func() string {
			idle, session, _, _ := v.state()
			return idle + " " + session
		}), ", ")
	}
}

func askStrangers(v *person) string {
	return strings.Join(v.each([]string{"0s", "2h"}, func() string {
		_, text := v.message("/about/")
		return v.see("/about/") + " " + text
	}), ", ")
}

func askCookies(v *person) string {
	v.signIn("ada")
	v.wait("1m")
	v.load("/profile/")
	n := 0
	for range 10 {
		n += len(sessionCookies(v.load("/profile/")))
	}
	return strconv.Itoa(n)
}

func askScript(v *person) string {
	v.signIn("ada")
	v.wait("15m1s")
	return strconv.Itoa(v.do("GET", "/api/me/", "", "Accept: application/json", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty").StatusCode)
}

// askPolling: nobody is there, but the page goes on asking.
func askPolling(v *person) string {
	v.signIn("ada")
	v.each([]string{"5m", "5m", "4m"}, func() string {
		r := v.do("GET", "/api/me/", "", "Accept: application/json")
		var me struct{ Username string }
		if err := json.Unmarshal([]byte(r.body), &me); err != nil || me.Username != "ada" {
			v.t.Fatalf("polling: %d %s", r.StatusCode, r.body)
		}
		return ""
	})
	v.wait("1m1s")
	return v.see("/profile/")
}

func askRefreshes(v *person) string {
	v.signIn("ada")
	begin, at := v.clk.now, []string{}
	v.each([]string{"0s", "5m", "5m", "5m", "5m"}, func() string {
		if _, _, refreshed, _ := v.state(); refreshed == "True" {
			at = append(at, v.clk.now.Sub(begin).String())
		}
		return ""
	})
	return strings.Join(at, " ")
}

func askRefreshedAt(v *person) string {
	v.signIn("ada")
	v.load("/profile/")
	v.wait("10m")
	_, _, refreshed, at := v.state()
	if at == strconv.FormatInt(v.clk.now.Unix(), 10) {
		at = "now"
	}
	_, _, again, then := v.state()
	if again+then == "" {
		again = "none"
	}
	return refreshed + " " + at + ", then " + again + then
}

// askThemes: a stranger's session, with visits that do not write to it.
func askThemes(v *person) string {
	v.submit("/", "/theme/", "theme=dark")
	return strings.Join(v.each([]string{"20m", "20m", "20m1s"}, func() string {
		_, after, _ := strings.Cut(v.load("/").body, `<body class="`)
		theme, _, _ := strings.Cut(after, `"`)
		return theme
	}), " ")
}

func askFiles(v *person) string {
	v.signIn("ada")
	v.load("/profile/")
	n := 0
	v.each([]string{"20m", "20m"}, func() string {
		n += len(sessionCookies(v.load("/static/site.css"))) + len(sessionCookies(v.load("/media/picture")))
		return ""
	})
	v.wait("20m1s")
	return fmt.Sprintf("%d cookies, %s", n, v.see("/profile/"))
}

// sessionLength says how long the browser will keep the session that a response sets.
func sessionLength(v *person, r reply) string {
	v.t.Helper()
	for _, c := range r.Cookies() {
		switch {
		case c.Name != "sessionid" && c.Name != sessionName:
		case c.MaxAge > 0:
			return "persistent"
		default:
			return "browser-length"
		}
	}
	v.t.Fatalf("no session cookie: %v", r.Header)
	return ""
}

// askRemembered logs in with the box ticked or not, and then saves it otherwise.
func askRemembered(boxes ...bool) func(*person) string {
	return func(v *person) string {
		answers := []string{sessionLength(v, v.signIn("ada", rememberBox(boxes[0])...))}
		for _, ticked := range boxes[1:] {
			answers = append(answers, sessionLength(v, v.submit("/state/", "/remember/", rememberBox(ticked)...)))
		}
		return strings.Join(answers, " ")
	}
}

func rememberBox(ticked bool) []string {
	if ticked {
		return []string{"remember_me=on"}
	}
	return nil
}

func askAway(remember bool, wait string) func(*person) string {
	return func(v *person) string {
		v.signIn("ada", rememberBox(remember)...)
		v.wait(wait)
		return v.see("/profile/")
	}
}
