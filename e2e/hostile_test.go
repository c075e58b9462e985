package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// raw sends bytes over a TLS connection of its own, as http/1.1, and reads one response. It is for
// what no client library would send.
func (e *envoy) raw(t testing.TB, request string) reply {
	t.Helper()
	conn, err := tls.Dial("tcp", e.https, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	return readReply(t, res)
}

// get is a page load as bytes; lines are header lines without their end.
func get(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// onlyDeletions fails where a response sets a cookie to anything.
func onlyDeletions(t testing.TB, r reply) {
	t.Helper()
	for _, line := range r.Header.Values("set-cookie") {
		if _, value, _ := strings.Cut(line, "="); !strings.HasPrefix(value, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; ") {
			t.Errorf("a Set-Cookie that deletes nothing: %q", line)
		}
	}
}

// alive fails where a filter trapped or a worker does not answer: eight connections reach both.
func (e *envoy) alive(t testing.TB, good string) {
	t.Helper()
	for range 8 {
		if r := e.raw(t, get("/page", "Cookie: "+good)); r.StatusCode != 200 {
			t.Fatalf("afterwards: %d", r.StatusCode)
		}
	}
	e.noTrap(t)
}

// noTrap looks for a trap in Envoy's log.
func (e *envoy) noTrap(t testing.TB) {
	t.Helper()
	for _, word := range []string{"Function: proxy_on", "wasm trap", "RuntimeError", "in-VM backtrace", "VM is failed", "Wasm VM failed"} {
		if strings.Contains(e.log.String(), word) {
			t.Errorf("the filter trapped: %q in Envoy's log", word)
		}
	}
}

// token takes the value of a cookie out of a login's response.
func token(t testing.TB, r reply, name string) string {
	t.Helper()
	line, n := r.cookie(name)
	if n != 1 {
		t.Fatalf("%d cookies of that name: %q", n, r.Header.Values("set-cookie"))
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(line, name+"="), ";")
	return value
}

// What becomes of a hostile request.
const (
	stranger = ""       // treated as one without a session
	known    = "victim" // the one valid cookie counts
)

type hostileCase struct {
	name  string
	who   string
	lines []string
}

const hostName = "__Host-session"

// cookieSyntax is family CK: g is a good value, b a forged one.
func cookieSyntax(g, b string) []hostileCase {
	const n = hostName
	line := func(name, who string, cookies ...string) hostileCase {
		lines := make([]string, len(cookies))
		for i, c := range cookies {
			lines[i] = "Cookie: " + c
		}
		return hostileCase{name, who, lines}
	}
	bytes := make([]byte, 0, 128)
	for c := 0x80; c <= 0xff; c++ {
		bytes = append(bytes, byte(c))
	}
	return []hostileCase{
		line("CK-1 empty", stranger, ""),
		line("CK-2 name alone", stranger, n),
		line("CK-4 double equals", stranger, n+"=="+g),
		line("CK-5 no name", stranger, "="+g),
		line("CK-6 no name but ours", stranger, "="+n+"="+g),
		line("CK-8 no spaces", known, "a=b;"+n+"="+g+";c=d"),
		line("CK-9 two spaces", known, "a=b;  "+n+"="+g),
		line("CK-10 space before equals", stranger, n+" ="+g),
		line("CK-12 double quotes", stranger, n+`="`+g+`"`),
		line("CK-13 single quotes", stranger, n+"='"+g+"'"),
		line("CK-14 case", stranger, "__host-session="+g),
		line("CK-16 escaped name", stranger, "__Host%2Dsession="+g),
		line("CK-17 U+2000", stranger, "\u2000"+n+"="+g),
		line("CK-18 U+00A0", stranger, "\u00a0"+n+"="+g),
		line("CK-21 tab", known, "a=b;\t"+n+"="+g),
		line("CK-24 comma", stranger, n+"="+g+","+n+"="+b),
		line("CK-25 $Version", stranger, "$Version=1; "+n+"="+g+"; $Path=/"),
		line("CK-26 $Version quoted", stranger, `$Version="1"; `+n+`="`+g+`"`),
		line("CK-28 good, forged", known, n+"="+g+"; "+n+"="+b),
		line("CK-29 forged, good", known, n+"="+b+"; "+n+"="+g),
		line("CK-30 twice the same", known, n+"="+g+"; "+n+"="+g),
		line("CK-32 lines good, forged", known, n+"="+g, n+"="+b),
		line("CK-33 lines forged, good", known, n+"="+b, n+"="+g),
		line("CK-36 names around it", stranger, n+"2="+g+"; x"+n+"="+g+"; "+n+".0="+g),
		line("CK-37 escaped semicolon", stranger, n+"="+g+"%3B"),
		line("CK-38 escaped value", stranger, n+"="+strings.ReplaceAll(g, ".", "%2E")),
		line("CK-40 semicolons", stranger, strings.Repeat(";", 10_000)),
		line("CK-40 semicolons around", known, strings.Repeat(";", 5000)+n+"="+g+strings.Repeat(";", 5000)),
		line("CK-41 many cookies", stranger, strings.Repeat("a=b; ", 5000)),
		line("CK-42 huge", stranger, n+"="+strings.Repeat("A", 50<<10)),
		line("CK-44 high bytes", stranger, string(bytes)+n+"="+g+"; "+n+"="+string(bytes)),
		{"CK-45 Set-Cookie", stranger, []string{"Set-Cookie: " + n + "=" + g}},
		{"CK-46 Cookie2", stranger, []string{"Cookie2: " + n + "=" + g, "_cookie: " + n + "=" + g, "cookie_: " + n + "=" + g}},
		{"CK-48 elsewhere", stranger, []string{"Authorization: Bearer " + g, "X-Session: " + g}},
		line("nine candidates", stranger, n+"="+b+"; "+distinct(n, b, 8)+n+"="+g),
	}
}

// distinct is count cookies of that name, each with another value.
func distinct(name, value string, count int) (s string) {
	for i := range count {
		s += name + "=" + value + string(rune('A'+i)) + "; "
	}
	return s
}

// tampering is a selection of families TM and RP. touch is a touch cookie's value, other a session
// of another subject, foreign one by another Envoy with other keys.
func tampering(g, touch, other, foreign string) []hostileCase {
	dot := strings.LastIndexByte(g, '.')
	prefix, body := g[:dot+1], g[dot+1:]
	otherBody := other[strings.LastIndexByte(other, '.')+1:]
	swap := func(value string) []string { return []string{"Cookie: " + hostName + "=" + value} }
	flip := func(s string, at int) string {
		c := byte('A')
		if s[at] == c {
			c = 'B'
		}
		return s[:at] + string(c) + s[at+1:]
	}
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	cases := []hostileCase{
		{"TM-50 first byte gone", stranger, swap(prefix + body[1:])},
		{"TM-54 longer", stranger, swap(g + "A")},
		{"TM-54 longer by 16", stranger, swap(g + "AAAAAAAAAAAAAAAA")},
		{"TM-56 padding", stranger, swap(g + "=")},
		{"TM-56 double padding", stranger, swap(g + "==")},
		{"TM-61 extra segment", stranger, swap(g + ".")},
		{"TM-61 missing segment", stranger, swap(body)},
		{"TM-62 no body", stranger, swap(prefix)},
		{"TM-62 dots only", stranger, swap("..")},
		{"TM-64 no key id", stranger, swap("1s.." + body)},
		{"TM-65 unknown key id", stranger, swap("1s.k9." + body)},
		{"TM-68 long key id", stranger, swap("1s." + strings.Repeat("k", 3000) + "." + body)},
		{"TM-69 __proto__", stranger, swap("1s.__proto__." + body)},
		{"TM-69 dots", stranger, swap("1s.../." + body)},
		{"TM-70 no tag", stranger, swap(prefix + body[:len(body)-43])},
		{"TM-72 zero tag", stranger, swap(prefix + body[:len(body)-43] + zero)},
		{"TM-74 tag of another", stranger, swap(prefix + body[:len(body)-43] + otherBody[len(otherBody)-43:])},
		{"TM-78 sealed", stranger, swap("1e" + g[2:])},
		{"TM-78 touch", stranger, swap("1t" + g[2:])},
		{"TM-80 JWT", stranger, swap("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.")},
		{"TM-82 Django", stranger, swap("eyJzdWIiOiJhZG1pbiJ9:1tYw2u:c2lnbmF0dXJl")},
		{"TM-89 touch as session", stranger, swap(touch)},
		{"TM-84 other keys", stranger, swap(foreign)},
		{"RP-126 two sessions", stranger, []string{"Cookie: " + hostName + "=" + g + "; " + hostName + "=" + other}},
		{"RP-132 many cookies", known, []string{"Cookie: " + strings.Repeat("x=y; ", 200) + hostName + "=" + g}},
	}
	for _, at := range []int{0, len(body) / 3, len(body) / 2, len(body) - 1} {
		cases = append(cases, hostileCase{"TM-49 flipped", stranger, swap(prefix + flip(body, at))})
		cases = append(cases, hostileCase{"TM-53 truncated", stranger, swap(prefix + body[:at])})
	}
	return cases
}

// Every hostile cookie meets the real thing: no identity, no cookie but a deletion, no trap.
func TestHostileCookies(t *testing.T) {
	app, clk := newApp(t), newClock(t)
	config := `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`
	run := func() *envoy {
		return start(t, setup{app: app, env: map[string]string{"CURFEW_KEY": newKey()}, config: config, clock: clk, maxHeaders: 20_000})
	}
	e := run()
	victim := newClient(t, e, "h2")
	g := token(t, victim.login(`{"start":{"subject":"victim"}}`), hostName)
	other := token(t, newClient(t, e, "h2").login(`{"start":{"subject":"attacker"}}`), hostName)
	foreign := token(t, newClient(t, run(), "h2").login(`{"start":{"subject":"admin"}}`), hostName)
	clk.advance(t, 2*time.Minute)
	r := victim.page("/page")
	touch := token(t, r, hostName+"-seen")
	forged := g[:len(g)-4] + "AAAA"

	cases := append(cookieSyntax(g, forged), tampering(g, touch, other, foreign)...)
	for _, c := range cases {
		t.Run("http/1.1/"+c.name, func(t *testing.T) {
			checkHostile(t, e.raw(t, get("/page", c.lines...)), c.who)
		})
		if speakable(c.lines) {
			t.Run("h2/"+c.name, func(t *testing.T) {
				checkHostile(t, newClient(t, e, "h2").do("GET", "/page", "", append(c.lines, "Accept: text/html")...), c.who)
			})
		}
	}
	e.alive(t, hostName+"="+g)
}

// checkHostile holds one response against who may be known to the app.
func checkHostile(t *testing.T, r reply, who string) {
	t.Helper()
	onlyDeletions(t, noTouch(r))
	if who == known {
		if r.app == nil || r.app.Header.Get("x-session-subject") != who {
			t.Errorf("%d, want the app to know %q: %s", r.StatusCode, who, r.body)
		}
		return
	}
	if r.app != nil {
		t.Errorf("the app was reached: %+v", r.app)
	}
	// 400 is Envoy's own for what it does not even read as HTTP.
	if r.StatusCode != 302 && r.StatusCode != 400 {
		t.Errorf("status %d: %s", r.StatusCode, r.body)
	}
}

// noTouch drops the touch cookie of a known session: it is no identity.
func noTouch(r reply) reply {
	kept := r.Header.Values("set-cookie")[:0:0]
	for _, line := range r.Header.Values("set-cookie") {
		if r.app == nil || !strings.HasPrefix(line, hostName+"-seen=1t.") {
			kept = append(kept, line)
		}
	}
	h := r.Header.Clone()
	h["Set-Cookie"] = kept
	return reply{Response: &http.Response{StatusCode: r.StatusCode, Header: h}, body: r.body, app: r.app}
}

// speakable reports whether Go's h2 client agrees to send these lines.
func speakable(lines []string) bool {
	for _, line := range lines {
		for i := range len(line) {
			if c := line[i]; c < ' ' && c != '\t' || c >= 0x7f {
				return false
			}
		}
	}
	return true
}

// Bytes that no header may hold are refused by Envoy or read as nobody, whatever follows them.
func TestHostileBytes(t *testing.T) {
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()},
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`,
	})
	g := token(t, newClient(t, e, "h2").login(`{"start":{"subject":"victim"}}`), hostName)
	for _, c := range []struct{ name, cookie string }{
		{"CK-20 vertical tab", "\x0b" + hostName + "=" + g},
		{"CK-20 form feed", "\x0c" + hostName + "=" + g},
		{"CK-22 NUL", hostName + "\x00=" + g},
		{"TM-58 line end", hostName + "=" + g[:20] + "\n" + g[20:]},
	} {
		t.Run(c.name, func(t *testing.T) { checkHostile(t, e.raw(t, get("/page", "Cookie: "+c.cookie)), stranger) })
	}
	// TM-58: Envoy takes a bare CR out before any filter, so what comes is the good token itself.
	checkHostile(t, e.raw(t, get("/page", "Cookie: "+hostName+"="+g[:20]+"\r"+g[20:])), known)
	e.alive(t, hostName+"="+g)
}

// However many headers come, the host hands all of them over or the request goes no further: a list
// cut short could lose our cookie or keep a forged name.
func TestManyHeaders(t *testing.T) {
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, maxHeaders: 20_000,
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`,
	})
	g := token(t, newClient(t, e, "h2").login(`{"start":{"subject":"victim"}}`), hostName)
	for _, n := range []int{99, 1030, 15_000} {
		lines := strings.Split(strings.Repeat("a: b\n", n), "\n")[:n]
		lines = append(lines, "X-Session-Subject: admin", "Cookie: "+hostName+"="+g, "x_session_subject: admin")
		r := e.raw(t, get("/page", lines...))
		if r.app == nil || len(r.app.Header["A"]) != n || !slices.Equal(r.app.Header["X-Session-Subject"], []string{"victim"}) {
			t.Errorf("RS-330 %d headers: %d", n, r.StatusCode)
		} else {
			onlyOurs(t, r.app.Header, "X-Session-Subject")
		}
	}
	huge := strings.Repeat("a: "+strings.Repeat("b", 90_000)+"\r\n", 80)
	if r := e.raw(t, get("/page", huge+"Cookie: "+hostName+"="+g)); r.StatusCode != 200 && r.StatusCode != 431 {
		t.Errorf("7 MB of headers: %d", r.StatusCode)
	}
	e.alive(t, hostName+"="+g)
}

// A token is good only on the Envoy whose keys, name and audience it is for.
func TestScope(t *testing.T) {
	app, key := newApp(t), newKey()
	run := func(fields string) *envoy {
		return start(t, setup{app: app, env: map[string]string{"CURFEW_KEY": key},
			config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}` + fields + `}`})
	}
	shop := run(`, "audience": "shop"`)
	g := token(t, newClient(t, shop, "h2").login(`{"start":{"subject":"victim"}}`), hostName)
	for _, c := range []struct {
		name, fields, cookie string
		status               int
	}{
		{"RP-129 same config elsewhere", `, "audience": "shop"`, hostName, 200},
		{"TM-88 other audience", `, "audience": "forum"`, hostName, 302},
		{"TM-88 no audience", ``, hostName, 302},
		{"TM-93 other name", `, "audience": "shop", "cookie": {"name": "__Host-other"}`, "__Host-other", 302},
		{"TM-77 sealed", `, "audience": "shop", "cookie": {"mode": "sealed"}`, hostName, 302},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := run(c.fields).raw(t, get("/page", "Cookie: "+c.cookie+"="+g)); r.StatusCode != c.status {
				t.Errorf("%d, want %d", r.StatusCode, c.status)
			}
		})
	}
}
