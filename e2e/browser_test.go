package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowser is what a person sees: Chromium, Envoy with the built filter, the example app. One Chromium and one
// app serve all of it; each test has an Envoy, a clock and people of its own, so none can disturb another.
func TestBrowser(t *testing.T) {
	c := &chromium{ctx: startChromium(t, newProfile(t)), app: startExample(t)}
	var all sync.WaitGroup
	// They wait more than they work, so there are more at once than t.Parallel would let be on two cores.
	places := make(chan struct{}, 5)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *chromium)
	}{
		{"sleep", sleepingComputer},
		{"sent away when idle", idleIsSentAway},
		{"sent away at the absolute end", absoluteIsSentAway},
		{"coming back to a tab", comingBack},
		{"warning", warning},
		{"keyboard", keyboard},
		{"last warning", lastWarning},
		{"app's own dialog", ownDialog},
		{"one of two tabs is in use", oneTabInUse},
		{"a tab extends, another logs out", tabsTellEachOther},
		{"two tabs are left alone", abandonedTabs},
		{"activity", activity},
		{"back button", backButton},
		{"remember me", browserRestarts},
		{"cookies off", cookiesOff},
		{"without scripts", withoutScripts},
		{"still signed in", stillSignedIn},
		{"accessibility", accessibility},
		{"screenshots", screenshots},
	} {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			t.Run(test.name, func(t *testing.T) { test.run(t, c) })
		})
	}
	all.Wait()
}

// chromium is what the tests share.
type chromium struct {
	ctx context.Context
	app string // address of the example app
}

// startChromium runs one that ends with the test. It keeps everything in the folder profile.
func startChromium(t *testing.T, profile string) context.Context {
	t.Helper()
	allocator, free := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(tool(t, "CURFEW_CHROMIUM")),
		chromedp.UserDataDir(profile),
		chromedp.Env("TMPDIR="+profile),
		chromedp.NoSandbox,
		chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-component-update", true),
		// Hidden tabs are slowed down, as they are for people.
		chromedp.Flag("disable-background-timer-throttling", false),
		chromedp.Flag("disable-backgrounding-occluded-windows", false),
		chromedp.Flag("disable-renderer-backgrounding", false),
	)...)
	t.Cleanup(free)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}

// newProfile is a folder for Chromium, whose processes may still write to it for a moment after their end.
func newProfile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "curfew-chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eventually(t, "the profile is removed", func() bool { return os.RemoveAll(dir) == nil }) })
	return dir
}

// startExample builds and runs the example app. Its pages can also be had below /passive, where looking at them is no
// activity, and there is a page for tests, /test.
func startExample(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../examples/app"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the example app does not build: %v\n%s", err, out)
	}
	app := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: startApp(t, binary).addr})
	pages := http.NewServeMux()
	pages.Handle("/", app)
	pages.HandleFunc("/test", testPage)
	passive := http.NewServeMux()
	passive.Handle("/passive/", http.StripPrefix("/passive", pages))
	passive.Handle("/", pages)
	srv := httptest.NewServer(passive)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// testPage is a page with the script and a field to type in. Its query sets response headers (`header=Name: value`)
// and attributes of the script (`attribute=`).
func testPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	for _, line := range r.URL.Query()["header"] {
		name, value, _ := strings.Cut(line, ": ")
		w.Header().Set(name, value)
	}
	fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><title>Test</title><link rel="icon" href="/static/icon.svg">
<script src="/.session/session.js" defer %s></script><main><h1>Private</h1><label>Text <input id="text"></label>
<form method="post" action="/logout"><button>Sign out</button></form></main>`, strings.Join(r.URL.Query()["attribute"], " "))
}

// site is an Envoy with Curfew before the app.
type site struct {
	base  string // over TLS and h2, where Chromium stores no page: it does not know the certificate
	plain string // over http/1.1; for a config that allows it
}

// newSite starts one. With a clock, which stands still until the test moves it, the test does not depend on how fast
// this machine is. more is further config and begins with a comma.
func (c *chromium) newSite(t *testing.T, clk *clock, timeouts, more string) *site {
	t.Helper()
	e := start(t, setup{app: c.app, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, workers: 1, config: `{
		"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "timeouts": ` + timeouts + `,
		"logout": {"path": "/logout", "redirect": "/login?reason=logged_out"},
		"rules": [{"path_prefix": "/static/", "session": "off"}, {"path": "/favicon.ico", "session": "off"},
			{"path": "/public", "session": "optional"}, {"path_prefix": "/passive", "activity": "passive"}],
		"headers": {"x-session-subject": "subject", "x-session": "@this"}` + more + `}`})
	_, tls, _ := net.SplitHostPort(e.https)
	_, plain, _ := net.SplitHostPort(e.http)
	return &site{"https://localhost:" + tls, "http://localhost:" + plain}
}

// browserTab is one that a person has open.
type browserTab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	trouble  []string // what a console would show in red, and requests to other hosts
	requests []string // such as "GET /login"
}

// newTab opens one; without options in the profile of browser, which may be another tab.
func (s *site) newTab(t *testing.T, browser context.Context, options ...chromedp.ContextOption) *browserTab {
	t.Helper()
	x := &browserTab{t: t, base: s.base}
	ctx, cancel := chromedp.NewContext(browser, append(options, chromedp.WithListener(x.watch))...)
	x.ctx = ctx
	t.Cleanup(cancel)
	t.Cleanup(x.assertNoTrouble)
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: observer}); err != nil {
		t.Fatal(err)
	}
	return x
}

// newPerson opens the first tab of somebody whom the browser has not seen yet.
func (c *chromium) newPerson(t *testing.T, s *site) *browserTab {
	t.Helper()
	return s.newTab(t, c.ctx, chromedp.WithNewBrowserContext())
}

// newPersonAt is newPerson, logged in and at a page.
func (c *chromium) newPersonAt(t *testing.T, s *site, path string) *browserTab {
	t.Helper()
	x := c.newPerson(t, s)
	x.open(path)
	x.logIn("alice", false)
	x.arrives(path)
	return x
}

// observer tells of what happens in a page, past its end, too.
const observer = `if (location.protocol.startsWith("http")) {
	const note = (what) => {
		try { sessionStorage.setItem("notes", (sessionStorage.getItem("notes") ?? "") + what + "\n"); } catch { /* cookies are off */ }
	};
	for (const name of ["warning", "extended", "expired"]) document.addEventListener("curfew:" + name, (e) => note(name + ":" + e.detail.state));
	addEventListener("pageshow", (e) => {
		const { deliveryType } = performance.getEntriesByType("navigation")[0];
		if (e.persisted || deliveryType) note(e.persisted ? "persisted" : deliveryType);
	});
	addEventListener("securitypolicyviolation", (e) => console.error("CSP", e.violatedDirective, e.blockedURI));
}`

// watch collects requests and trouble.
func (x *browserTab) watch(event any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			x.trouble = append(x.trouble, fmt.Sprintf("console.%s: %s", e.Type, asJSON(e.Args)))
		}
	case *runtime.EventExceptionThrown:
		x.trouble = append(x.trouble, "exception: "+asJSON(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			x.trouble = append(x.trouble, fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		path, ok := strings.CutPrefix(e.Request.URL, x.base)
		if !ok {
			x.trouble = append(x.trouble, "request to another host: "+e.Request.URL)
		}
		x.requests = append(x.requests, e.Request.Method+" "+path)
	}
}

// requested is how often a request was sent, such as "GET /login".
func (x *browserTab) requested(what string) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.requests {
		if r == what {
			n++
		}
	}
	return n
}

// assertNoTrouble fails the test for everything that watch collected.
func (x *browserTab) assertNoTrouble() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, what := range x.trouble {
		x.t.Errorf("in the browser: %s", what)
	}
}

// do runs steps that must succeed.
func (x *browserTab) do(steps ...chromedp.Action[chromedp.Void]) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		x.t.Fatalf("%s: %v", x.at(), err)
	}
}

// ask evaluates script, where $ finds an element by its selector, in an open dialog of Curfew's first of all. A page that is
// on its way out answers nothing.
func (x *browserTab) ask(script string) string {
	ctx, cancel := context.WithTimeout(x.ctx, patience)
	defer cancel()
	answer, _ := chromedp.Run(ctx, chromedp.Evaluate[any]("(() => {"+helpers+"return ("+script+")})()", chromedp.EvalAwaitPromise))
	if answer == nil {
		return ""
	}
	return fmt.Sprint(answer)
}

const helpers = `
	const host = [...document.querySelectorAll("*")].find((e) => e.shadowRoot?.querySelector("dialog"));
	const dialog = host?.shadowRoot.querySelector("dialog[open]");
	const $ = (selector) => (dialog ?? document).querySelector(selector);
	const focused = () => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e; };
`

// wait is for a script that becomes true.
func (x *browserTab) wait(what, script string) {
	x.t.Helper()
	arrived := false
	defer func() {
		if !arrived {
			x.t.Logf("the tab is at %s, notes %q: %s", x.at(), x.notes(), x.ask("document.body.innerText"))
		}
	}()
	eventually(x.t, what, func() bool { arrived = x.ask(script) == "true"; return arrived })
}

// at is the path and query of the page.
func (x *browserTab) at() string { return x.ask("location.pathname + location.search") }

// arrives waits for a page and its load.
func (x *browserTab) arrives(at string) {
	x.t.Helper()
	x.wait("at "+at, fmt.Sprintf(`decodeURI(location.pathname + location.search) === %q && document.readyState === "complete"`, at))
}

// notes are what the observer told, of all pages so far.
func (x *browserTab) notes() string {
	return strings.Join(strings.Fields(x.ask(`sessionStorage.getItem("notes")`)), " ")
}

// open goes to a page, as if typed into the address bar.
func (x *browserTab) open(path string) { x.t.Helper(); x.do(chromedp.Navigate(x.base + path)) }

// click moves the mouse onto an element and presses.
func (x *browserTab) click(selector string) {
	x.t.Helper()
	var at struct{ X, Y float64 }
	script := fmt.Sprintf("(() => { const r = $(%q).getBoundingClientRect(); return JSON.stringify({X: r.x + r.width / 2, Y: r.y + r.height / 2}); })()", selector)
	if err := json.Unmarshal([]byte(x.ask(script)), &at); err != nil {
		x.t.Fatalf("at %s there is no %s: %v", x.at(), selector, err)
	}
	x.do(chromedp.MouseClickXY(at.X, at.Y))
}

// press is for keys; kb has those without a letter.
func (x *browserTab) press(keys string) { x.t.Helper(); x.do(chromedp.KeyEvent(keys)) }

// logIn fills in the form of the login page.
func (x *browserTab) logIn(user string, remember bool) {
	x.t.Helper()
	x.wait("the login form", `location.pathname === "/login" && document.readyState === "complete"`)
	x.do(chromedp.SendKeys(chromedp.CSS("input[name=user]"), user), chromedp.SendKeys(chromedp.CSS("input[name=password]"), "demo-"+user))
	if remember {
		x.click("input[name=remember]")
	}
	x.press(kb.Enter)
}

// sentAway waits until the page has gone to the login page by itself.
func (x *browserTab) sentAway(next, reason string) {
	x.t.Helper()
	x.wait("sent away from "+next, `location.pathname === "/login" && document.readyState === "complete"`)
	query := `(() => { const q = new URLSearchParams(location.search); return decodeURI(q.get("next")) + " " + q.get("reason"); })()`
	if got, want := x.ask(query), next+" "+reason; got != want {
		x.t.Errorf("sent away with next and reason %s, want %s", got, want)
	}
}

func asJSON(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
