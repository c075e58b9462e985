package main

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// held is a session document around data.
func held(subject, data string) string {
	return fmt.Sprintf(`{"subject":%q,"id":"AAECAwQFBgcICQoLDA0ODw","authenticated_at":1700000000,"remember":false,"data":%s}`, subject, data)
}

// ask sends a request with this x-session header ("" is none) and further header lines; POST carries the form.
func ask(method, target, session string, form url.Values, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if session != "" {
		r.Header.Set("x-session", session)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	newHandler().ServeHTTP(w, r)
	return w
}

// form makes a form of names and values in turn.
func form(pairs ...string) url.Values {
	f := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		f.Set(pair[0], pair[1])
	}
	return f
}

// What the sessions of the tables below hold.
const (
	a     = `{"group":"a"}`
	mug   = `{"group":"a","cart":{"mug":1}}`
	mug9  = `{"group":"a","cart":{"mug":9}}`
	seen  = `{"group":"a","recent":["mug","tin","spoon","cosy"]}`
	there = `{"group":"a","cart":{"mug":1},"address":{"name":"A","street":"B","city":"C"}}`
)

// commandTest is a request, and what the browser and Curfew are told.
type commandTest struct {
	name, method, target, session string
	form                          url.Values
	status                        int
	location, command             string
}

func (tt *commandTest) run(t *testing.T) {
	t.Helper()
	w := ask(tt.method, tt.target, tt.session, tt.form)
	if w.Code != tt.status || w.Header().Get("Location") != tt.location {
		t.Errorf("%s: %d to %q, want %d to %q", tt.name, w.Code, w.Header().Get("Location"), tt.status, tt.location)
	}
	if got := strings.Join(w.Header().Values("x-session"), " AND "); got != tt.command {
		t.Errorf("%s: command\n got %s\nwant %s", tt.name, got, tt.command)
	}
}

// Each page and form asks Curfew for exactly the change that it is about.
func TestBrowsing(t *testing.T) {
	for _, tt := range []commandTest{
		{"home", "GET", "/", held("", a), nil, 200, "", `{"set":{"visits":1}}`},
		{"home again", "GET", "/", held("", `{"group":"a","visits":41}`), nil, 200, "", `{"set":{"visits":42}}`},
		{"home, HEAD", "HEAD", "/", held("", a), nil, 200, "", ``},
		{"product", "GET", "/goods/mug", held("", a), nil, 200, "", `{"set":{"recent":["mug"]}}`},
		{"product, newest first", "GET", "/goods/kettle", held("", seen), nil, 200, "", `{"set":{"recent":["kettle","mug","tin","spoon"]}}`},
		{"product, no twin", "GET", "/goods/spoon", held("", seen), nil, 200, "", `{"set":{"recent":["spoon","mug","tin","cosy"]}}`},
		{"no such product", "GET", "/goods/gold", held("", a), nil, 404, "", ``},
		{"cart", "GET", "/cart", held("", mug), nil, 200, "", ``},
		{"add", "POST", "/cart/add", held("", mug), form("id", "mug"), 303, "/cart", `{"set":{"cart":{"mug":2}}}`},
		{"add another", "POST", "/cart/add", held("", mug), form("id", "tin"), 303, "/cart", `{"set":{"cart":{"tin":1}}}`},
		{"add, full", "POST", "/cart/add", held("", mug9), form("id", "mug"), 303, "/cart", `{"set":{"cart":{"mug":9}}}`},
		{"add begins a session", "POST", "/cart/add", "", form("id", "mug"), 303, "/cart", `{"remember":true,"set":{"cart":{"mug":1}}}`},
		{"add nothing of ours", "POST", "/cart/add", held("", mug), form("id", "gold"), 400, "", ``},
		{"change", "POST", "/cart/change", held("", mug), form("id", "mug", "quantity", "3"), 303, "/cart", `{"set":{"cart":{"mug":3}}}`},
		{"take out", "POST", "/cart/change", held("", mug), form("id", "mug", "quantity", "0"), 303, "/cart", `{"set":{"cart":{"mug":null}}}`},
		{"less than none", "POST", "/cart/change", held("", mug), form("id", "mug", "quantity", "-1"), 303, "/cart", `{"set":{"cart":{"mug":null}}}`},
		{"too many", "POST", "/cart/change", held("", mug), form("id", "mug", "quantity", "10"), 303, "/cart", `{"set":{"cart":{"mug":9}}}`},
		{"no number", "POST", "/cart/change", held("", mug), form("id", "mug", "quantity", "x"), 400, "", ``},
		{"dark", "POST", "/theme", held("", a), form("theme", "dark", "next", "/cart"), 303, "/cart", `{"set":{"theme":"dark"}}`},
		{"as the system", "POST", "/theme", held("", a), form("theme", ""), 303, "/", `{"set":{"theme":null}}`},
		{"no theme of ours", "POST", "/theme", held("", a), form("theme", "pink"), 303, "/", `{"set":{"theme":null}}`},
		{"theme begins a session", "POST", "/theme", "", form("theme", "dark"), 303, "/", `{"remember":true,"set":{"theme":"dark"}}`},
	} {
		tt.run(t)
	}
}

// The two steps, and every way to skip one.
func TestCheckout(t *testing.T) {
	for _, tt := range []commandTest{
		{"address", "POST", "/checkout", held("u", mug), form("name", " A ", "street", "B", "city", "C"), 303, "/checkout/confirm", `{"set":{"address":{"name":"A","street":"B","city":"C"}}}`},
		{"half an address", "POST", "/checkout", held("u", mug), form("name", "A", "street", " "), 422, "", ``},
		{"long address", "POST", "/checkout", held("u", mug), form("name", strings.Repeat("x", 81), "street", "B", "city", "C"), 422, "", ``},
		{"control character", "POST", "/checkout", held("u", mug), form("name", "A\x7f", "street", "B", "city", "C"), 422, "", ``},
		{"checkout of nothing", "GET", "/checkout", held("u", a), nil, 303, "/cart", ``},
		{"step 2 of nothing", "GET", "/checkout/confirm", held("u", a), nil, 303, "/cart", ``},
		{"step 2 before 1", "GET", "/checkout/confirm", held("u", mug), nil, 303, "/checkout", ``},
		{"step 2", "GET", "/checkout/confirm", held("u", there), nil, 200, "", ``},
		{"start over", "POST", "/checkout/restart", held("u", there), nil, 303, "/checkout", `{"set":{"address":null}}`},
		{"order", "POST", "/checkout/confirm", held("u", there), nil, 303, "/checkout/thanks", `{"set":{"address":null,"cart":null}}`},
		{"order without address", "POST", "/checkout/confirm", held("u", mug), nil, 303, "/checkout", ``},
		{"order nothing", "POST", "/checkout/confirm", held("u", a), nil, 303, "/cart", ``},
		{"thanks", "GET", "/checkout/thanks", held("u", a), nil, 200, "", ``},
	} {
		tt.run(t)
	}
}

// Login and remember-me.
func TestAccount(t *testing.T) {
	for _, tt := range []commandTest{
		{"account", "GET", "/account", held("u", a), nil, 200, "", ``},
		{"remember", "POST", "/account/remember", held("u", a), form("remember", "1"), 303, "/account", `{"remember":true}`},
		{"remember no more", "POST", "/account/remember", held("u", a), form("remember", ""), 303, "/account", `{"remember":false}`},
		{"login", "POST", "/login", held("", a), alice("next", "/checkout"), 303, "/checkout",
			`{"start":{"subject":"alice","data":{"group":"a","name":"Alice"},"keep":true,"remember":false}}`},
		{"login, remembered", "POST", "/login", held("bob", `{"group":"b","theme":"dark"}`), alice("remember", "1"), 303, "/",
			`{"start":{"subject":"alice","data":{"group":"b","name":"Alice","theme":"dark"},"keep":true,"remember":true}}`},
		{"wrong password", "POST", "/login", held("", a), alice("password", "demo-bob"), 401, "", ``},
		{"static", "GET", "/static/style.css", "", nil, 200, "", ``},
		{"nowhere", "GET", "/nowhere", held("", a), nil, 404, "", ``},
	} {
		tt.run(t)
	}
}

// alice is her login form, with further names and values.
func alice(pairs ...string) url.Values {
	return form(append([]string{"user", "alice", "password", "demo-alice"}, pairs...)...)
}

// A visitor without a group gets one with the first page, and with it a session; both groups happen.
func TestGroup(t *testing.T) {
	drawn := map[string]bool{}
	for i := 0; len(drawn) < 2; i++ {
		if i == 200 {
			t.Fatalf("200 visitors, and only the groups %v", drawn)
		}
		drawn[ask("GET", "/cart", "", nil).Header().Get("x-session")] = true
	}
	for _, group := range []string{"a", "b"} {
		if command := `{"remember":true,"set":{"group":"` + group + `"}}`; !drawn[command] {
			t.Errorf("groups came by %v, want %s, too", drawn, command)
		}
	}
	w := ask("GET", "/cart", "", nil, "Sec-Purpose: prefetch")
	if got := w.Header().Get("x-session"); got != "" {
		t.Errorf("a prefetch was told %s", got)
	}
}

func TestPages(t *testing.T) {
	full := `{"name":"Zoë <3","theme":"dark","group":"b","visits":6,"recent":["tin","gone","mug"],"cart":{"mug":2,"tin":1,"gone":7},` +
		`"address":{"name":"Zoë","street":"Deck 3","city":"東京"}}`
	tests := []struct {
		target, session string
		texts           []string
	}{
		{"/", "", []string{"This is your first visit", "Cart (0)", `href="/login?next=%2f"`, `aria-pressed="true">As my system`}},
		{"/", held("", `{"group":"a"}`), []string{`<div data-group="a">`, "Everything for a good cup"}},
		{"/", held("zoe", full), []string{`data-theme="dark"`, `<div data-group="b">`, "Put the kettle on", "number <b>7</b>", "Cart (3)", "Zoë &lt;3", "Recently seen", `aria-pressed="true">Dark`}},
		{"/goods/mug", held("", full), []string{"<h1>Mug</h1>", "€ 14.50", "Seen before", `name="id" value="mug"`}},
		{"/cart", held("", full), []string{"€ 29.00", "€ 9.90", "€ 38.90", `aria-label="Quantity of Mug"`, `href="/checkout"`}},
		{"/cart", "", []string{"It is empty."}},
		{"/checkout", held("zoe", full), []string{`aria-current="step">Address`, `value="東京"`}},
		{"/checkout/confirm", held("zoe", full), []string{`aria-current="step">Confirm`, "Zoë<br>Deck 3<br>東京", "€ 38.90", `action="/checkout/restart"`}},
		{"/account", held("zoe", full), []string{"until the browser closes", `name="remember" value="1"`, "<dd>dark</dd>"}},
		{"/account", strings.Replace(held("zoe", full), `"remember":false`, `"remember":true`, 1), []string{"This browser is remembered", `name="remember" value=""`}},
		{"/login?next=/checkout&reason=anonymous", "", []string{"Your cart comes along", `name="next" value="/checkout"`, `role="status"`}},
		{"/login?next=//evil.example&reason=%3Cb%3Ezebra", "", []string{`name="next" value="/"`, "Please log in to continue."}},
	}
	for _, tt := range tests {
		w := ask("GET", tt.target, tt.session, nil)
		contains(t, w, tt.texts...)
		lacks(t, w, "<3", "zebra", "gone:", ">gone<", " style=", "<style", "<script", " onclick=")
		if w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'self';") {
			t.Errorf("%s: %d %v", tt.target, w.Code, w.Header())
		}
	}
}

func TestPageAfterTooLargeChange(t *testing.T) {
	contains(t, ask("GET", "/cart", held("", `{}`), nil, "x-session-error: too_large"), `role="alert"`, "did not fit")
	lacks(t, ask("GET", "/cart", held("", `{}`), nil), `role="alert"`)
}

func TestAddressErrors(t *testing.T) {
	w := ask("POST", "/checkout", held("u", `{"cart":{"mug":1}}`), form("name", "Zoë", "street", "", "city", strings.Repeat("x", 81)))
	contains(t, w, `value="Zoë"`, `id="street-wrong" role="alert">Please fill this in.`, `aria-describedby="street-wrong"`, `id="city-wrong" role="alert">Please shorten this.`)
	lacks(t, w, `name-wrong`)
}

func TestWrongLogin(t *testing.T) {
	for _, tt := range []struct{ user, password string }{
		{"alice", "demo-bob"}, {"alice", ""}, {"", ""}, {"", "demo-alice"}, {"Alice", "demo-alice"}, {"alice\x00demo-alice", ""}, {"<b>mallory</b>", "x"},
	} {
		w := ask("POST", "/login", "", form("user", tt.user, "password", tt.password, "next", "/cart"))
		if command := w.Header().Get("x-session"); w.Code != 401 || strings.Contains(command, "start") {
			t.Errorf("%q, %q: %d with %s", tt.user, tt.password, w.Code, command)
		}
		contains(t, w, `role="alert"`, `name="next" value="/cart"`)
		lacks(t, w, "<b>mallory")
	}
}

// No other site fills a cart, changes a theme or logs anybody in.
func TestOtherSites(t *testing.T) {
	for _, tt := range []struct {
		line    string
		refused bool
	}{
		{"Sec-Fetch-Site: same-origin", false},
		{"Sec-Fetch-Site: none", false},
		{"Origin: http://example.com", false}, // httptest's host
		{"Accept: */*", false},                // curl
		{"Sec-Fetch-Site: cross-site", true},
		{"Sec-Fetch-Site: same-site", true},
		{"Origin: https://evil.example", true},
		{"Origin: null", true},
	} {
		for _, target := range []string{"/login", "/cart/add", "/theme", "/account/remember"} {
			w := ask("POST", target, held("", `{"group":"a"}`), alice("id", "mug"), tt.line)
			if (w.Code == 403) != tt.refused || (w.Header().Get("x-session") == "") != tt.refused {
				t.Errorf("%s, %s: %d with %q", target, tt.line, w.Code, w.Header().Get("x-session"))
			}
		}
	}
}

func TestUnreadableForm(t *testing.T) {
	for name, body := range map[string]string{"broken escape": "id=%zz", "too large": "id=mug&x=" + strings.Repeat("x", maxForm)} {
		r := httptest.NewRequest("POST", "/cart/add", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		newHandler().ServeHTTP(w, r)
		if w.Code != 400 || w.Header().Get("x-session") != "" {
			t.Errorf("%s: %d with %q, want 400 without a command", name, w.Code, w.Header().Get("x-session"))
		}
	}
}

func TestSafePath(t *testing.T) {
	for _, path := range []string{"/", "/cart", "/a/b/?q=1&r=%2F", "/%2f/evil", "/%5cevil"} {
		if got := safePath(path); got != path {
			t.Errorf("%q became %q", path, got)
		}
	}
	for _, path := range []string{
		"", "cart", "?q", "//evil", "///evil", "/a//evil", "/.//evil", `/\evil`, `\\evil`, "/\t/evil", "/\n/evil", "/a\r\nb", "/\x00", "/\x7f", " //evil",
		"https:evil", "https://evil/", "javascript:alert(1)", "@evil",
	} {
		if got := safePath(path); got != "/" {
			t.Errorf("%q became %q", path, got)
		}
	}
}

// A header that is no session document is nobody.
func TestNobody(t *testing.T) {
	for _, session := range []string{"alice", "null", "[]", "{}", "{", held("alice", "{}")[1:], held("alice", "{}") + "x", `{"subject":7}`, `{"subject":"alice","data":[]}`} {
		lacks(t, ask("GET", "/", session, nil), "Log out")
	}
	contains(t, ask("GET", "/", held("alice", "{}"), nil), "Log out")
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, "127.0.0.1:0"); err != nil {
		t.Errorf("after the stop signal: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := serve(context.Background(), taken.Addr().String()); err == nil {
		t.Error("an address in use: no error")
	}
}

// contains fails the test for every one of texts that the answer's body lacks.
func contains(t *testing.T, w *httptest.ResponseRecorder, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("body lacks %q:\n%s", text, w.Body)
		}
	}
}

// lacks fails the test for every one of texts that the answer's body contains.
func lacks(t *testing.T, w *httptest.ResponseRecorder, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(w.Body.String(), text) {
			t.Errorf("body contains %q:\n%s", text, w.Body)
		}
	}
}
