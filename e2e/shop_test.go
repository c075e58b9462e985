package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// exampleApp is an example app that runs.
type exampleApp struct {
	t    testing.TB
	addr string
	env  []string
	args []string
	log  *logFile
	cmd  *exec.Cmd
	done chan error
}

// startApp runs a program with a free address in its environment, as APP_ADDR and PORT, until it takes connections.
func startApp(t testing.TB, args ...string) *exampleApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	p := &exampleApp{t: t, addr: addr, env: append(os.Environ(), "APP_ADDR="+addr, "PORT="+port), args: args, log: &logFile{}}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *exampleApp) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	p.done = done
	go func(cmd *exec.Cmd) { done <- cmd.Wait() }(p.cmd)
	eventually(p.t, p.args[0]+" takes connections", func() bool {
		select {
		case err := <-p.done:
			p.t.Fatalf("%v ended at start: %v\n%s", p.args, err, p.log)
		default:
		}
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (p *exampleApp) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	if p.t.Failed() {
		p.t.Logf("%v printed:\n%s", p.args, p.log)
	}
}

// keeper keeps a person's cookies and knows which of them it keeps when it is closed.
type keeper struct{ kept map[string]*http.Cookie }

// SetCookies and Cookies make it an http.CookieJar. The examples' cookies are all for one host and path.
func (b *keeper) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		if delete(b.kept, c.Name); c.MaxAge >= 0 {
			b.kept[c.Name] = c
		}
	}
}

func (b *keeper) Cookies(*url.URL) (list []*http.Cookie) {
	for _, c := range b.kept {
		list = append(list, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return list
}

// restart closes the browser and opens it again: what has no Max-Age is gone.
func (b *keeper) restart() {
	for name, c := range b.kept {
		if c.MaxAge == 0 {
			delete(b.kept, name)
		}
	}
}

// shopper reads pages, fills in the forms that stand there and follows where that leads.
type shopper struct {
	*client
	*keeper
	at   string // path and query of the page before them
	page *html.Node
	last reply
}

func newShopper(t testing.TB, e *envoy, proto string) *shopper {
	p := &shopper{client: newClient(t, e, proto), keeper: &keeper{kept: map[string]*http.Cookie{}}}
	p.http.Jar = p.keeper
	return p
}

// copied is another browser with the same cookies.
func (p *shopper) copied(e *envoy, proto string) *shopper {
	other := newShopper(p.t, e, proto)
	for name, c := range p.kept {
		other.kept[name] = c
	}
	return other
}

// open types an address.
func (p *shopper) open(path string) *shopper {
	p.t.Helper()
	return p.arrive(p.client.page(path), path)
}

// arrive follows redirects and reads the page at their end.
func (p *shopper) arrive(r reply, path string) *shopper {
	p.t.Helper()
	for hops := 0; r.StatusCode == 302 || r.StatusCode == 303; hops++ {
		p.unseen(r)
		path = strings.TrimPrefix(r.Header.Get("location"), p.base)
		if !strings.HasPrefix(path, "/") || hops == 5 {
			p.t.Fatalf("redirected to %q after %d redirects", path, hops)
		}
		r = p.client.page(path)
	}
	p.unseen(r)
	page, err := html.Parse(strings.NewReader(r.body))
	if err != nil {
		p.t.Fatal(err)
	}
	p.at, p.page, p.last = path, page, r
	return p
}

// unseen: what Curfew and the app tell each other never comes here.
func (p *shopper) unseen(r reply) {
	p.t.Helper()
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), "x-session") {
			p.t.Errorf("the browser saw %s", name)
		}
	}
}

// submit fills in the form for this action with names and values in turn, and sends it.
func (p *shopper) submit(action string, pairs ...string) *shopper {
	p.t.Helper()
	form := p.form(action, pairs)
	if form == nil {
		p.t.Fatalf("%s has no form for %s that takes %q:\n%s", p.at, action, pairs, p.last.body)
	}
	r := p.do("POST", action, form.Encode(), "Content-Type: application/x-www-form-urlencoded", "Accept: text/html",
		"Origin: "+p.base, "Referer: "+p.base+p.at, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	return p.arrive(r, action)
}

// form is what a browser sends for the page's first form with this action that has these controls.
func (p *shopper) form(action string, pairs []string) url.Values {
	for _, f := range elements(p.page, "form") {
		if attrOf(f, "action") != action || attrOf(f, "method") != "post" {
			continue
		}
		values := url.Values{}
		for _, c := range elements(f, "input") {
			if _, checked := attrIn(c, "checked"); attrOf(c, "type") != "checkbox" || checked {
				values.Set(attrOf(c, "name"), attrOf(c, "value"))
			}
		}
		fits := true
		for pair := range slices.Chunk(pairs, 2) {
			fits = fits && control(f, pair[0], pair[1])
			values.Set(pair[0], pair[1])
		}
		if fits {
			return values
		}
	}
	return nil
}

// control tells whether a form lets a person give this value under this name.
func control(form *html.Node, name, value string) bool {
	for _, c := range append(elements(form, "input"), elements(form, "button")...) {
		if attrOf(c, "name") != name {
			continue
		}
		switch kind := attrOf(c, "type"); {
		case c.Data == "button", kind == "hidden", kind == "checkbox":
			if attrOf(c, "value") == value {
				return true
			}
		default:
			return true
		}
	}
	return false
}

func elements(n *html.Node, tag string) (found []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == tag {
			found = append(found, d)
		}
	}
	return found
}

func attrIn(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func attrOf(n *html.Node, name string) string { v, _ := attrIn(n, name); return v }

// isAt and sees hold the page before the person against what it should be.
func (p *shopper) isAt(path string) *shopper {
	p.t.Helper()
	if p.at != path {
		p.t.Errorf("at %s, want %s", p.at, path)
	}
	return p
}

func (p *shopper) sees(texts ...string) *shopper {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.last.body, text) {
			p.t.Errorf("%s lacks %q:\n%s", p.at, text, p.last.body)
		}
	}
	return p
}

func (p *shopper) misses(texts ...string) *shopper {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.last.body, text) {
			p.t.Errorf("%s shows %q:\n%s", p.at, text, p.last.body)
		}
	}
	return p
}

// read is the first group of a pattern in the page; "" where it is not there.
func (p *shopper) read(pattern string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(p.last.body); m != nil {
		return m[1]
	}
	return ""
}

// shopTest is one feature of examples/shop, as a person meets it.
type shopTest struct {
	*testing.T
	e     *envoy
	clk   *clock
	proto string
}

func (s *shopTest) person() *shopper { return newShopper(s.T, s.e, s.proto) }

// customer is a person who has logged in, with a mug and two tins in the cart.
func (s *shopTest) customer(pairs ...string) *shopper {
	s.Helper()
	p := s.person()
	p.open("/goods/mug").submit("/cart/add", "id", "mug")
	p.open("/goods/tin").submit("/cart/add", "id", "tin").isAt("/cart").submit("/cart/change", "id", "tin", "quantity", "2")
	return p.open("/login").enter("alice", pairs...).isAt("/").sees("Cart (3)", "Log out")
}

// enter fills in the login form.
func (p *shopper) enter(user string, pairs ...string) *shopper {
	p.t.Helper()
	return p.submit("/login", append([]string{"user", user, "password", "demo-" + user}, pairs...)...)
}

func TestShop(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "shop")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../examples/shop"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	config, err := os.ReadFile("../examples/shop/curfew.json")
	if err != nil {
		t.Fatal(err)
	}
	shop, clk := startApp(t, binary), newClock(t)
	t.Run("on localhost", func(t *testing.T) {
		(&shopTest{T: t, e: onLocalhost(t, shop.addr, string(config)), proto: "plain"}).customer().submit("/logout").sees("You have logged out")
	})
	e := start(t, setup{app: shop.addr, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: string(config)})
	for _, proto := range protocols {
		for _, tt := range []struct {
			name string
			test func(s *shopTest)
		}{
			{"theme without login", themeWithoutLogin},
			{"visit counter", visitCounter},
			{"recently seen", recentlySeen},
			{"cart survives login", cartSurvivesLogin},
			{"another person's login", anotherLogin},
			{"form in two steps", twoSteps},
			{"remember me", rememberMe},
			{"test group", abGroup},
			{"wrong password", wrongPassword},
			{"logout", logOut},
			{"idle", idleShopper},
			{"anonymous cart ages", oldCart},
			{"checkout wants a recent login", recentLogin},
			{"other sites", otherSites},
			{"two browsers", twoBrowsers},
			{"the fullest session", fullest},
		} {
			t.Run(tt.name+"/"+proto, func(t *testing.T) { tt.test(&shopTest{t, e, clk, proto}) })
		}
	}
	t.Run("the app keeps nothing", func(t *testing.T) {
		p := (&shopTest{t, e, clk, "h2"}).customer()
		shop.stop()
		shop.start()
		eventually(t, "Envoy finds the app again", func() bool { return p.open("/static/style.css").last.StatusCode == 200 })
		p.open("/account").sees("Log out", "<dd>3</dd>")
	})
}

func themeWithoutLogin(s *shopTest) {
	p := s.person()
	p.open("/goods/mug").misses("data-theme").submit("/theme", "theme", "dark").isAt("/goods/mug").sees(`data-theme="dark"`, "Log in")
	p.restart()
	p.open("/").sees(`data-theme="dark"`, "Log in").submit("/theme", "theme", "light").sees(`data-theme="light"`)
	p.open("/login").enter("bob").sees(`data-theme="light"`, "Log out")
	p.submit("/theme", "theme", "").misses("data-theme").sees("Log out")
}

func visitCounter(s *shopTest) {
	p := s.person()
	p.open("/").sees("This is your first visit")
	p.open("/").sees("number <b>2</b>")
	p.open("/cart").open("/").sees("number <b>3</b>")
	p.do("HEAD", "/", "")
	p.do("GET", "/", "", "Sec-Purpose: prefetch")
	p.open("/").sees("number <b>4</b>")
	p.open("/login").enter("alice").isAt("/").sees("number <b>5</b>")
}

func recentlySeen(s *shopTest) {
	p := s.person()
	p.open("/").misses("Recently seen")
	for _, id := range []string{"mug", "tin", "mug", "cosy", "spoon", "kettle", "tin"} {
		p.open("/goods/" + id)
	}
	_, recent, _ := strings.Cut(p.open("/").last.body, "Recently seen")
	var ids []string
	for _, m := range regexp.MustCompile(`<a href="/goods/([a-z]+)">`).FindAllStringSubmatch(recent, -1) {
		ids = append(ids, m[1])
	}
	if got, want := strings.Join(ids, " "), "tin kettle spoon cosy"; got != want {
		s.Errorf("recently seen: %q, want %q", got, want)
	}
}

// sessionID is what the page's foot says that the app was told.
func (p *shopper) sessionID() string { return p.read(`&#34;id&#34;: &#34;([\w-]+)&#34;`) }

func cartSurvivesLogin(s *shopTest) {
	p := s.person()
	p.open("/goods/mug").submit("/cart/add", "id", "mug").isAt("/cart").sees("€ 14.50", "Cart (1)")
	p.open("/goods/mug").submit("/cart/add", "id", "mug").sees("€ 29.00", "Cart (2)")
	anonymous, before := p.copied(s.e, s.proto), p.sessionID()
	p.open("/checkout").isAt("/login?next=/checkout&reason=anonymous").sees("Your cart comes along")
	p.enter("alice").isAt("/checkout").sees("Cart (2)", "Log out")
	if after := p.sessionID(); before == "" || after == "" || before == after {
		s.Errorf("the session id was %q and is %q", before, after)
	}
	p.open("/cart").submit("/cart/change", "id", "mug", "quantity", "0").sees("It is empty")
	// Whoever knows the cookie from before the login is not logged in with it.
	anonymous.open("/account").isAt("/login?next=/account&reason=anonymous")
	anonymous.open("/cart").sees("Cart (2)", "Log in")
}

// On a shared computer the next person gets the browser's theme and group, not the last one's cart.
func anotherLogin(s *shopTest) {
	p := s.customer()
	group := p.submit("/theme", "theme", "dark").group()
	p.open("/login").enter("bob").isAt("/").sees("Bob", "Cart (0)", `data-theme="dark"`, "first visit")
	if got := p.group(); got != group {
		s.Errorf("the group was %s and is %s", group, got)
	}
}

func twoSteps(s *shopTest) {
	p := s.customer()
	p.open("/checkout/confirm").isAt("/checkout")
	p.submit("/checkout", "name", "Zoë <3", "street", "😀 Lane 1", "city", " ").isAt("/checkout").sees("Please fill this in", `value="Zoë &lt;3"`)
	p.submit("/checkout", "city", "東京").isAt("/checkout/confirm").sees("Zoë &lt;3<br>😀 Lane 1<br>東京", "€ 34.30")
	p.open("/checkout").sees(`value="Zoë &lt;3"`, `value="😀 Lane 1"`, `value="東京"`) // back
	p.submit("/checkout", "street", "Lane 2").isAt("/checkout/confirm").sees("Zoë &lt;3<br>Lane 2<br>東京")
	p.submit("/checkout/restart").isAt("/checkout").misses("Zoë", "東京")
	p.open("/checkout/confirm").isAt("/checkout")
	p.submit("/checkout", "name", "Al", "street", "Road 3", "city", "Rome")
	p.submit("/checkout/confirm").isAt("/checkout/thanks").sees("Thank you, Alice", "Cart (0)")
	p.open("/checkout/confirm").isAt("/cart").sees("It is empty")
}

// persistent tells whether the session cookie outlives the browser.
func (p *shopper) persistent() bool {
	c := p.kept[sessionName]
	return c != nil && c.MaxAge > 0
}

func rememberMe(s *shopTest) {
	for _, ticked := range []bool{true, false} {
		p := s.customer()
		if p.persistent() {
			s.Error("not ticked, and the cookie is persistent")
		}
		if ticked {
			p = s.customer("remember", "1")
		}
		for range 3 { // as ticked, then the other way, then back
			if p.open("/account"); p.persistent() != ticked {
				s.Errorf("remember %t: the cookie has Max-Age %d", ticked, p.kept[sessionName].MaxAge)
			}
			closed := p.copied(s.e, s.proto)
			if closed.restart(); ticked {
				closed.open("/account").isAt("/account").sees("This browser is remembered", "<dd>3</dd>")
				p.submit("/account/remember", "remember", "").isAt("/account").sees("until the browser closes")
			} else {
				closed.open("/account").isAt("/login?next=/account&reason=absent")
				p.submit("/account/remember", "remember", "1").isAt("/account").sees("This browser is remembered")
			}
			ticked = !ticked
		}
	}
}

// group is the A/B group that the shop's first page shows.
func (p *shopper) group() string { return p.open("/").read(`data-group="([ab])"`) }

func abGroup(s *shopTest) {
	p := s.person()
	first := p.group()
	if first == "" {
		s.Fatalf("no group:\n%s", p.last.body)
	}
	for i := range 50 {
		switch i {
		case 10:
			p.restart()
		case 20:
			p.open("/login").enter("alice", "remember", "1")
		case 30:
			p.restart()
		case 40:
			p.open("/account").submit("/account/remember", "remember", "")
		}
		if got := p.group(); got != first {
			s.Fatalf("the group was %s, and is %q on request %d", first, got, i)
		}
	}
}

func wrongPassword(s *shopTest) {
	p := s.person()
	p.open("/goods/mug").submit("/cart/add", "id", "mug")
	p.open("/login?next=/cart").submit("/login", "user", "alice", "password", "demo-bob").sees("is not right", "Cart (1)", "Log in")
	if p.last.StatusCode != 401 {
		s.Errorf("a wrong password: %d", p.last.StatusCode)
	}
	p.open("/account").isAt("/login?next=/account&reason=anonymous")
}

func logOut(s *shopTest) {
	p := s.customer("remember", "1")
	p.submit("/logout").isAt("/login?reason=logged_out").sees("You have logged out", "Cart (0)")
	p.open("/account").isAt("/login?next=/account&reason=anonymous")
	p.open("/").sees("first visit", "Cart (0)", "Log in")
}

func idleShopper(s *shopTest) {
	p := s.customer()
	s.clk.advance(s, 29*time.Minute)
	p.open("/cart").sees("Cart (3)", "Log out")
	s.clk.advance(s, 29*time.Minute)
	p.open("/checkout").isAt("/checkout")
	s.clk.advance(s, 31*time.Minute)
	other := p.copied(s.e, s.proto)
	p.submit("/checkout", "name", "Al", "street", "Road 3", "city", "Rome")
	p.isAt("/login?next=/checkout&reason=idle_timeout").sees("because you were inactive", "Cart (0)")
	other.open("/").sees("first visit", "Cart (0)", "Log in") // an open page goes on without a session
	p.enter("alice").isAt("/cart").sees("It is empty")
}

// An anonymous session lives as long as `remember` says.
func oldCart(s *shopTest) {
	p := s.person()
	p.open("/goods/mug").submit("/cart/add", "id", "mug")
	s.clk.advance(s, 700*time.Hour)
	p.restart()
	p.open("/cart").sees("Cart (1)")
	s.clk.advance(s, 721*time.Hour)
	p.open("/cart").sees("Cart (0)")
}

func recentLogin(s *shopTest) {
	p := s.customer("remember", "1")
	s.clk.advance(s, 13*time.Hour)
	p.open("/account").isAt("/account")
	p.open("/checkout").isAt("/login?next=/checkout&reason=auth_too_old").sees("needs a recent login", "Cart (3)")
	p.enter("alice").isAt("/checkout").sees("Cart (3)")
}

// A form on another site changes nothing, even where the browser sent the cookie.
func otherSites(s *shopTest) {
	p := s.customer()
	for _, c := range p.kept {
		if c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || !c.Secure {
			s.Errorf("cookie %s: SameSite %v, HttpOnly %t, Secure %t", c.Name, c.SameSite, c.HttpOnly, c.Secure)
		}
	}
	for _, line := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null"} {
		for _, path := range []string{"/cart/add", "/theme", "/account/remember", "/checkout/restart", "/login", "/logout"} {
			body := "id=kettle&theme=dark&remember=1&user=bob&password=demo-bob"
			r := p.do("POST", path, body, line, "Content-Type: application/x-www-form-urlencoded")
			if r.StatusCode != 403 || len(r.Header.Values("set-cookie")) > 0 {
				s.Errorf("%s, %s: %d %v", path, line, r.StatusCode, r.Header)
			}
		}
	}
	p.open("/account").sees("Alice", "Cart (3)", "until the browser closes").misses("data-theme")
}

// What many people do at once stays apart.
func twoBrowsers(s *shopTest) {
	var wg sync.WaitGroup
	for i, id := range []string{"mug", "teapot", "kettle", "tin", "spoon", "cosy"} {
		wg.Go(func() {
			p := s.person()
			for n := 1; n <= 5; n++ {
				p.open("/goods/"+id).submit("/cart/add", "id", id).sees(fmt.Sprintf("Cart (%d)", n), `/goods/`+id)
				if rows := strings.Count(p.last.body, `action="/cart/change"`); rows != 1 {
					s.Errorf("the cart of %s has %d rows", id, rows)
				}
				if n == 3 {
					p.open("/login").enter([]string{"alice", "bob"}[i%2])
				}
			}
		})
	}
	wg.Wait()
}

// Everything at its limit still fits into the cookie.
func fullest(s *shopTest) {
	p := s.person()
	p.open("/").submit("/theme", "theme", "light").open("/login").enter("alice", "remember", "1")
	for _, id := range []string{"mug", "teapot", "kettle", "tin", "spoon", "cosy"} {
		p.open("/goods/"+id).submit("/cart/add", "id", id).submit("/cart/change", "id", id, "quantity", "9")
	}
	const size = 80
	longest, shown := strings.Repeat("<", size), strings.Repeat("&lt;", size) // six bytes each where Go writes JSON
	p.open("/checkout").submit("/checkout", "name", longest, "street", longest, "city", longest).isAt("/checkout/confirm")
	p.sees("Cart (54)", shown+"<br>"+shown+"<br>"+shown).misses("did not fit")
	p.submit("/checkout/restart").isAt("/checkout").misses(shown)
}
