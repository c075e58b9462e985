package e2e

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// djangoConfig is django/curfew.json, with these fields instead of its own; nil drops one.
func djangoConfig(t testing.TB, instead object) string {
	t.Helper()
	b, err := os.ReadFile("django/curfew.json")
	if err != nil {
		t.Fatal(err)
	}
	config := object{}
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	for name, value := range instead {
		config[name] = value
		if value == nil {
			delete(config, name)
		}
	}
	if b, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// djangoApp is the project in django/, unchanged, on a database of its own.
type djangoApp struct {
	addr, secret string
	env          []string
	passwords    map[string]string // by username; grace is staff
}

// startDjango serves the project; env has further environment variables, NAME=value.
func startDjango(t testing.TB, env ...string) *djangoApp {
	t.Helper()
	d := &djangoApp{secret: newKey(), passwords: map[string]string{"ada": newKey(), "grace": newKey()}}
	d.env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
		"DJANGO_SECRET_KEY="+d.secret, "DJANGO_DATABASE="+filepath.Join(t.TempDir(), "db.sqlite3"))
	d.env = append(d.env, env...)
	d.manage(t, "migrate", "--verbosity=0")
	d.manage(t, "shell", "--verbosity=0", "--command", `
from django.contrib.auth.models import User
User.objects.create_user("ada", password="`+d.passwords["ada"]+`")
User.objects.create_user("grace", password="`+d.passwords["grace"]+`", is_staff=True)`)
	d.serve(t)
	return d
}

// behind starts an Envoy before it.
func (d *djangoApp) behind(t testing.TB, clk *clock, config string) *envoy {
	t.Helper()
	return start(t, setup{app: d.addr, env: map[string]string{"CURFEW_KEY": newKey(), "DJANGO_SECRET_KEY": d.secret}, clock: clk, config: config})
}

func (d *djangoApp) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(tool(t, "CURFEW_DJANGO"), args...)
	cmd.Dir, cmd.Env = "django", d.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (d *djangoApp) manage(t testing.TB, args ...string) {
	t.Helper()
	if out, err := d.command(t, append([]string{"manage.py"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("manage.py %s: %v\n%s", args[0], err, out)
	}
}

var djangoServes = regexp.MustCompile(`Serving on http://(\S+)`)

// serve runs a WSGI server on a port that is free; it trusts Envoy's word that the browser spoke TLS.
func (d *djangoApp) serve(t testing.TB, options ...string) {
	t.Helper()
	args := append([]string{"-m", "waitress", "--listen=127.0.0.1:0", "--trusted-proxy=127.0.0.1", "--trusted-proxy-headers=x-forwarded-proto"}, options...)
	log := background(t, "Django", d.command(t, append(args, "mysite.wsgi:application")...))
	eventually(t, "Django serves", func() bool {
		found := djangoServes.FindStringSubmatch(log.String())
		if found != nil {
			d.addr = found[1]
		}
		return found != nil
	})
}

// djangoBrowser is a client that fills in forms and can be restarted.
type djangoBrowser struct {
	*client
	app     *djangoApp
	watcher *cookieWatcher
}

// cookieWatcher knows which cookies outlive the browser. Never may it see Django's own.
type cookieWatcher struct {
	http.RoundTripper
	t          testing.TB
	persistent map[string]bool
}

func (w *cookieWatcher) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	for _, c := range res.Cookies() {
		w.persistent[c.Name] = c.MaxAge > 0 || !c.Expires.IsZero()
		if c.Name == "sessionid" {
			w.t.Errorf("%s %s: the browser gets Django's cookie: %q", req.Method, req.URL.Path, res.Header.Values("set-cookie"))
		}
	}
	if h := res.Header.Values("x-session"); len(h) > 0 {
		w.t.Errorf("%s %s: the browser gets %q", req.Method, req.URL.Path, h)
	}
	return res, nil
}

func (d *djangoApp) browser(t testing.TB, e *envoy, proto string) *djangoBrowser {
	t.Helper()
	c := newClient(t, e, proto)
	w := &cookieWatcher{RoundTripper: c.http.Transport, t: t, persistent: map[string]bool{}}
	c.http.Transport = w
	return &djangoBrowser{client: c, app: d, watcher: w}
}

// restart closes the browser and opens it again.
func (b *djangoBrowser) restart() {
	b.t.Helper()
	b.keep(func(name string) bool { return b.watcher.persistent[name] })
}

// copied is another browser with the same cookies.
func (b *djangoBrowser) copied() *djangoBrowser {
	b.t.Helper()
	c, h := *b.client, *b.http
	c.http = &h
	other := &djangoBrowser{client: &c, app: b.app, watcher: b.watcher}
	other.keep(func(string) bool { return true })
	return other
}

// keep moves to a new cookie jar with those cookies that may stay.
func (b *djangoBrowser) keep(may func(name string) bool) {
	b.t.Helper()
	u, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	var kept []*http.Cookie
	for _, c := range b.jar.Cookies(u) {
		if may(c.Name) {
			kept = append(kept, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true})
		}
	}
	b.jar, _ = cookiejar.New(nil)
	b.jar.SetCookies(u, kept)
	b.http.Jar = b.jar
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// submit loads a page and sends its form, filled in; fields are name=value.
func (b *djangoBrowser) submit(path, action string, fields ...string) reply {
	b.t.Helper()
	page := b.page(path)
	if page.StatusCode != 200 {
		b.t.Fatalf("the form at %s: %d %v", path, page.StatusCode, page.Header)
	}
	form := url.Values{}
	for _, input := range hiddenInput.FindAllStringSubmatch(page.body, -1) {
		form.Set(input[1], html.UnescapeString(input[2]))
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		form.Set(name, value)
	}
	return b.post(path, action, form)
}

// post sends a form as a browser does that shows the page at path.
func (b *djangoBrowser) post(path, action string, form url.Values) reply {
	b.t.Helper()
	return b.do("POST", action, form.Encode(), "Content-Type: application/x-www-form-urlencoded", "Accept: text/html",
		"Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Origin: "+b.base, "Referer: "+b.base+path)
}

const djangoLogin = "/accounts/login/"

// logIn fills in the login form at path, which may have a query.
func (b *djangoBrowser) logIn(path, username string, fields ...string) reply {
	b.t.Helper()
	r := b.submit(path, path, append(fields, "username="+username, "password="+b.app.passwords[username])...)
	if r.StatusCode != 302 {
		b.t.Fatalf("login of %s: %d %s", username, r.StatusCode, r.body)
	}
	return r
}

// sees loads a page and says whom Django takes the browser for; "" for nobody.
func (b *djangoBrowser) sees(path string) string {
	b.t.Helper()
	r := b.page(path)
	if r.StatusCode != 200 {
		b.t.Fatalf("%s: %d %v", path, r.StatusCode, r.Header)
	}
	return djangoUser(r)
}

var djangoNav = regexp.MustCompile(`<a href="/profile/">(\w+)</a>`)

func djangoUser(r reply) string {
	if found := djangoNav.FindStringSubmatch(r.body); found != nil {
		return found[1]
	}
	return ""
}

// sentToLogin holds an answer against the redirect to the login page; it returns where that is.
func (b *djangoBrowser) sentToLogin(r reply, next, reason string) string {
	b.t.Helper()
	u, err := url.Parse(r.Header.Get("location"))
	if err != nil || r.StatusCode != 302 || u.Path != djangoLogin || u.Query().Get("next") != next || u.Query().Get("reason") != reason {
		b.t.Errorf("%d %v, want the login page with next %s and reason %s", r.StatusCode, r.Header, next, reason)
	}
	return u.RequestURI()
}

// messages are what the page shows.
func djangoMessages(r reply) (out []string) {
	for _, found := range djangoMessage.FindAllStringSubmatch(r.body, -1) {
		out = append(out, html.UnescapeString(found[1]))
	}
	return out
}

var djangoMessage = regexp.MustCompile(`<li class="\w+">([^<]*)</li>`)
