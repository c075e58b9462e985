package policy

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// logoutBy are who signs out, by what they are answered.
var logoutBy = []struct {
	name   string
	r      Request
	status uint32
}{
	{"fetch", Request{FetchSite: "same-origin", FetchMode: "cors", FetchDest: "empty"}, 200},
	{"fetch that asks for html", Request{FetchSite: "same-origin", FetchMode: "cors", Accept: htmlPage}, 200},
	{"no browser", Request{}, 200},
	{"form", Request{FetchSite: "same-origin", FetchMode: "navigate", FetchDest: "document", Accept: htmlPage, Origin: "https://" + site}, 303},
	{"form of an older browser", Request{Accept: htmlPage}, 303},
}

// A logout ends every state there is, and says so to a script; a page goes where the config sends it.
func TestFolderLogout(t *testing.T) {
	c := policyOf(t, `"anonymous":true,"logout":{"path":"/away","redirect":"/bye?x=1","methods":["GET"]},"django_messages":{"secret_env":"DJANGO"}`, revokesGone())
	for _, by := range logoutBy {
		for _, s := range states(t, c) {
			t.Run(by.name+"/"+s.name, func(t *testing.T) {
				r := by.r
				r.Method, r.Path = "POST", "/.session/logout"
				d, a := call(t, c, ask(c, r, s.lines...), epoch)
				if a.Status != by.status || d.Reason != LoggedOut || d.Live {
					t.Errorf("%d, %v, live %v", a.Status, d.Reason, d.Live)
				}
				if diff := cmp.Diff(c.Deletions(false), setCookies(a.Headers)); diff != "" {
					t.Error(diff)
				}
				location := valuesOf(a.Headers, "location")
				if by.status == 303 {
					if !slices.Equal(location, []string{"/bye?x=1"}) || !slices.Equal(valuesOf(a.Headers, "cache-control"), []string{"no-store"}) {
						t.Errorf("%v", a.Headers)
					}
					return
				}
				if diff := cmp.Diff(told{State: "logged_out", Cookie: len(s.lines) > 0}, toldBy(t, &a)); diff != "" || len(location) > 0 {
					t.Errorf("%v %s", location, diff)
				}
			})
		}
	}
}

// With the renewal's cookie there, that one goes, too.
func TestFolderLogoutRenewed(t *testing.T) {
	c := policyOf(t)
	line := sessionLine(t, c, someone(epoch)) + "; " + c.Cookie.Name + cookie.RenewedSuffix + "=x"
	for _, by := range logoutBy {
		r := by.r
		r.Method, r.Path = "POST", "/.session/logout"
		_, a := call(t, c, ask(c, r, line), epoch)
		if diff := cmp.Diff(c.Deletions(true), setCookies(a.Headers)); diff != "" {
			t.Errorf("%s: %s", by.name, diff)
		}
	}
}

// A browser may keep the script for good under its version's name, and asks again under any other. Nobody's
// cookies have a part in it.
func TestScript(t *testing.T) {
	c := policyOf(t, `"browser":{"refresh":true,"headers":true,"subject":true}`)
	tag := `"` + c.scriptTag + `"`
	if !regexp.MustCompile(`^"[0-9a-f]{16}"$`).MatchString(tag) || script == "" || len(script) > 6144 {
		t.Fatalf("a script of %d bytes, tag %s", len(script), tag)
	}
	const asks, keeps = "no-cache", "public, max-age=31536000, immutable"
	for _, tt := range []struct {
		query, ifNoneMatch string
		status             uint32
		cacheControl       string
	}{
		{"", "", 200, asks},
		{"?v=" + c.scriptTag, "", 200, keeps},
		{"?v=" + c.scriptTag[1:], "", 200, asks},
		{"?v=" + c.scriptTag + "0", "", 200, asks},
		{"?v=" + strings.ToUpper(c.scriptTag) + "g", "", 200, asks},
		{"?v=", "", 200, asks}, {"?", "", 200, asks}, {"?v=0123456789abcdef", "", 200, asks},
		{"?x=1&v=" + c.scriptTag, "", 200, asks},
		{"?v=" + c.scriptTag + "&x=1", "", 200, asks},
		{"?V=" + c.scriptTag, "", 200, asks},
		{"", tag, 304, asks},
		{"", "W/" + tag, 304, asks},
		{"", `"a", ` + tag, 304, asks},
		{"?v=" + c.scriptTag, tag, 304, keeps},
		{"", `"0123456789abcdef"`, 200, asks},
		{"", c.scriptTag, 200, asks}, // without quotes it is no tag
		{"", `""`, 200, asks},
	} {
		for _, lines := range [][]string{nil, {sessionLine(t, c, someone(epoch))}, {sessionLine(t, c, someone(epoch-hour))}, {c.Cookie.Name + "=x"}} {
			for _, method := range []string{"GET", "HEAD"} {
				_, a := call(t, c, ask(c, Request{Method: method, Path: "/.session/session.js" + tt.query, IfNoneMatch: tt.ifNoneMatch}, lines...), epoch)
				want := Answer{Status: tt.status, GRPC: noGRPC}
				want.add("etag", tag)
				want.add("cache-control", tt.cacheControl)
				if tt.status == 200 {
					want.add("content-type", "text/javascript; charset=utf-8")
					want.add("x-content-type-options", "nosniff")
					want.Body = []byte(script)
				}
				if diff := cmp.Diff(want, a); diff != "" {
					t.Errorf("%s %q, %q: %s", method, tt.query, tt.ifNoneMatch, diff)
				}
			}
		}
	}
}

// end sends on by what has become of the session, as the page itself would.
func TestEndByState(t *testing.T) {
	c := policyOf(t, `"anonymous":true,"django_messages":{"secret_env":"DJANGO"}`, pageRules, revokesGone())
	old := sessionLine(t, c, staff())
	for _, tt := range []struct {
		name, page string
		lines      []string
		reason     Reason // OK: it lives
		deleted    bool
		message    bool
	}{
		{"live", "/page", []string{old}, OK, false, false},
		{"live, optional page", "/maybe", []string{old}, OK, false, false},
		{"live, page that wants more", "/admin", []string{old}, OK, false, false},
		{"over on this page", "/short", []string{old}, IdleTimeout, false, true},
		{"over on this page, optional", "/maybe/short", []string{old}, IdleTimeout, false, true},
		{"over on this page by its absolute", "/brief", []string{old}, AbsoluteTimeout, false, true},
		{"over on pages that may be any", "/page;x", []string{old}, AbsoluteTimeout, false, true},
		{"absent", "/page", nil, Absent, false, false},
		{"leftover", "/page", []string{touchLine(t, c, cookie.ID{1}, epoch)}, Absent, false, false},
		{"invalid", "/page", []string{c.Cookie.Name + "=x"}, Invalid, true, false},
		{"idle", "/page", []string{sessionLine(t, c, someone(epoch-15*minute))}, IdleTimeout, true, true},
		{"idle, optional page", "/maybe", []string{sessionLine(t, c, someone(epoch-15*minute))}, IdleTimeout, true, true},
		{"idle, no page", "", []string{sessionLine(t, c, someone(epoch-15*minute))}, IdleTimeout, true, true},
		{"absolute", "/page", []string{sessionLine(t, c, with(epoch-12*hour, func(s *cookie.Session) { s.IssuedAt = epoch - 1 }))}, AbsoluteTimeout, true, true},
		{"revoked", "/page", []string{sessionLine(t, c, with(epoch-1, func(s *cookie.Session) { s.Subject = "gone" }))}, Revoked, true, true},
		// Nobody is signed in, so nobody may be told that they still are.
		{"anonymous", "/page", []string{sessionLine(t, c, with(epoch-1, func(s *cookie.Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, `{"a":1}` }))}, Anonymous, false, false},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				r := Request{Method: method, Path: "/.session/end?" + tt.page, FetchMode: "navigate", FetchDest: "document", FetchSite: "same-origin"}
				d, a := call(t, c, ask(c, r, tt.lines...), epoch)
				if d.TouchAt != 0 || d.Renew || d.Slid || !slices.Equal(valuesOf(a.Headers, "cache-control"), []string{"no-store"}) || !slices.Equal(valuesOf(a.Headers, "vary"), []string{"Cookie"}) {
					t.Errorf("%+v, %v", d, a.Headers)
				}
				location := valuesOf(a.Headers, "location")
				if tt.reason == OK {
					if a.Status != 200 || len(location) > 0 || len(setCookies(a.Headers)) > 0 {
						t.Errorf("%d %v", a.Status, a.Headers)
					}
					return
				}
				to := tt.page
				if to == "" || strings.Contains(to, ";") {
					to = "/"
				}
				if a.Status != 302 || !slices.Equal(location, []string{"/login?next=" + to + "&reason=" + tt.reason.String()}) {
					t.Errorf("%d %q", a.Status, location)
				}
				want := map[bool]int{true: 2}[tt.deleted] + map[bool]int{true: 1}[tt.message]
				if got := setCookies(a.Headers); len(got) != want || tt.message && !strings.HasPrefix(got[0], "messages=") {
					t.Errorf("cookies %q, want %d", got, want)
				}
			})
		}
	}
}

// A page may say why its session ended where the cookies no longer do. Where they do, they are believed, and
// another site's link never is.
func TestEndPresumed(t *testing.T) {
	c := policyOf(t, `"anonymous":true,"django_messages":{"secret_env":"DJANGO"}`, pageRules, revokesGone())
	navigates := func(r Request) Request { r.FetchMode, r.FetchDest = "navigate", "document"; return r }
	for _, name := range []string{"end", "end/idle_timeout", "end/absolute_timeout"} {
		says := map[string]Reason{"end": Absent, "end/idle_timeout": IdleTimeout, "end/absolute_timeout": AbsoluteTimeout}[name]
		for _, from := range fetchSites {
			if from.r.prefetch() {
				continue
			}
			want := says
			if !from.ours {
				want = Absent
			}
			r := navigates(from.r)
			r.Path = "/.session/" + name + "?/page"
			_, a := call(t, c, ask(c, r), epoch)
			if got := valuesOf(a.Headers, "location"); a.Status != 302 || !slices.Equal(got, []string{"/login?next=/page&reason=" + want.String()}) {
				t.Errorf("%s, %s: %d %q", name, from.name, a.Status, got)
			}
			if n := len(setCookies(a.Headers)); n != map[bool]int{true: 1}[want != Absent] {
				t.Errorf("%s, %s: %d cookies", name, from.name, n)
			}
		}
		for _, s := range states(t, c) {
			if s.state == Absent {
				continue
			}
			r := navigates(Request{Path: "/.session/" + name + "?/page"})
			_, a := call(t, c, ask(c, r, s.lines...), epoch)
			location := strings.Join(valuesOf(a.Headers, "location"), "")
			if s.state == OK && a.Status != 200 || s.state != OK && location != "/login?next=/page&reason="+s.state.String() {
				t.Errorf("%s, %s: %d %q", name, s.name, a.Status, location)
			}
		}
	}
}

// hostileParts follow `end?`, with the page that they are worth.
var hostileParts = []struct{ name, part, page string }{
	{"none", "", "/"},
	{"page", "/page", "/page"},
	{"query", "/page?x=1&y=/z?", "/page?x=1&y=/z?"},
	{"RU-181", "//evil.example", "/"},
	{"RU-182", "///evil.example", "/"},
	{"RU-184", `/\evil.example`, "/"},
	{"RU-185", `\/evil.example`, "/"},
	{"RU-186", `\\evil.example`, "/"},
	{"RU-189", "/%09/evil.example", "/"},
	{"RU-190", "/\t/evil.example", "/"},
	{"RU-192", "/\r/evil.example", "/"},
	{"RU-194", "/ /evil.example", "/"},
	{"RU-196", "/%2f%2fevil.example", "/"},
	{"RU-197", "/%5cevil.example", "/"},
	{"RU-200", `/../\evil.example`, "/"},
	{"RU-201", "/.//evil.example", "/"},
	{"RU-202", "/;//evil.example", "/"},
	{"RU-204", "/#//evil.example", "/"},
	{"RU-205", "https:evil.example", "/"},
	{"RU-206", "https:/evil.example", "/"},
	{"RU-212", "\njavascript:alert(1)", "/"},
	{"RU-214", "javascript:alert(1)", "/"},
	{"RU-217", "//shop.example@evil.example", "/"},
	{"RU-224", "https://shop.example/page", "/"},
	{"RU-230", "\uff0f\uff0fevil.example", "/"},
	{"RU-238", "/page?rd=//evil.example", "/page?rd=//evil.example"},
	{"RU-240", "/%0d%0aSet-Cookie:%20a=b", "/"},
	{"RU-240 bare", "/page?x=\r\nset-cookie: a=b", "/"},
	{"RU-241", "/%E5%98%8A%E5%98%8Dset-cookie:a=b", "/%E5%98%8A%E5%98%8Dset-cookie:a=b"},
	{"RU-242", "/page?x=\x00", "/"},
	{"RU-244", "/%zz", "/"},
	{"RU-245", "/" + strings.Repeat("a", 60<<10), "/"},
	{"RU-245 query", "/page?" + strings.Repeat("a", maxReturnTo), "/"},
	{"RU-252 login", "/login", "/"},
	{"RU-252 login's query", "/login?next=//evil.example", "/"},
	{"RU-252 start", "/begin", "/"},
	{"logout", "/logout", "/"},
	{"another end", "/.session/end?/page", "/"},
	{"folder's logout", "/.session/logout", "/"},
	{"folder", "/.session/", "/"},
	{"end again", "?/page", "/"},
	{"double quote", `/page"onmouseover="alert(1)`, `/page"onmouseover="alert(1)`},
	{"single quote", `/page'onmouseover='alert(1)`, `/page'onmouseover='alert(1)`},
	{"element", "/<script>alert(1)</script>", "/<script>alert(1)</script>"},
	{"end of the link", `/"><script>alert(1)</script>`, `/"><script>alert(1)</script>`},
	{"ampersand", "/page?a=1&amp;b=&#34;", "/"}, // a bare # would end the URL
	{"reference", "/page?a=1&quot", "/page?a=1&quot"},
	{"double quote in the query", `/page?x="y`, "/"},
	{"element in the query", "/page?<script>", "/"},
	{"comma and semicolon", "/page?x=1;url=//evil.example,2", "/page?x=1;url=//evil.example,2"},
}

// Whatever stands behind `end?`, nobody leaves the site by it, and no byte of it is markup or a header.
func TestEndHostile(t *testing.T) {
	c := policyOf(t, `"login":{"url":"/login","start_on":[{"method":"POST","path":"/login"},{"method":"POST","path":"/begin"}]}`)
	base := Request{Path: "/.session/end?/", FetchMode: "navigate"}
	alive, dead := sessionLine(t, c, someone(epoch-5*minute)), sessionLine(t, c, someone(epoch-hour))
	_, plain := call(t, c, ask(c, base, alive), epoch)
	link := regexp.MustCompile(`<a href="([^"]*)">`)
	for _, tt := range hostileParts {
		t.Run(tt.name, func(t *testing.T) {
			r := base
			r.Path = "/.session/end?" + tt.part
			_, a := call(t, c, ask(c, r, dead), epoch)
			location := valuesOf(a.Headers, "location")
			if len(location) != 1 {
				t.Fatalf("%d %v", a.Status, a.Headers)
			}
			u, err := url.Parse(location[0])
			if err != nil || u.Host != "" || u.Scheme != "" || u.Path != "/login" || u.Query().Get("next") != tt.page || u.Query().Get("reason") != "idle_timeout" || len(u.Query()) != 2 {
				t.Errorf("location %q", location[0])
			}
			noControls(t, &a)

			_, a = call(t, c, ask(c, r, alive), epoch)
			body := string(a.Body)
			for _, mark := range []string{"<", ">", `"`} {
				if n := strings.Count(body, mark); n != strings.Count(string(plain.Body), mark) {
					t.Errorf("%d times %s: %s", n, mark, body)
				}
			}
			href := link.FindStringSubmatch(body)
			if href == nil || html.UnescapeString(href[1]) != tt.page {
				t.Errorf("the link leads to %q", href)
			}
			if got := valuesOf(a.Headers, "refresh"); !slices.Equal(got, []string{"600; url=/.session/end?" + tt.page}) {
				t.Errorf("refresh %q", got)
			}
			noControls(t, &a)
		})
	}
}

func noControls(t *testing.T, a *Answer) {
	t.Helper()
	for _, h := range a.Headers {
		if strings.ContainsFunc(h[1], func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			t.Errorf("%s: %q", h[0], h[1])
		}
	}
}

// The page for who is still signed in runs nothing and is framed by nobody else.
func TestEndPage(t *testing.T) {
	c := policyOf(t)
	_, a := call(t, c, ask(c, Request{Path: "/.session/end?/page", FetchMode: "navigate"}, sessionLine(t, c, someone(epoch))), epoch)
	policy := strings.Join(valuesOf(a.Headers, "content-security-policy"), "")
	for _, word := range []string{"default-src 'none'", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, word) {
			t.Errorf("policy %q lacks %s", policy, word)
		}
	}
	if strings.Contains(string(a.Body), "<script") || strings.Contains(string(a.Body), "style") || !strings.HasPrefix(string(a.Body), "<!DOCTYPE html>") {
		t.Errorf("%s", a.Body)
	}
}

// Two tabs that nobody looks at do not keep each other alive: each goes from its Refresh to end, and so on,
// until both are at the login page when the session is over.
func TestAbandonedTabs(t *testing.T) {
	c, b := policyOf(t, `"browser":{"refresh":true}`), newBrowser(t)
	b.login(c, `{"subject":"u"}`, epoch)
	b.do(c, Request{Path: "/a", FetchMode: "navigate"}, app(""), epoch)
	b.do(c, Request{Path: "/b", FetchMode: "navigate"}, app(""), epoch+10*minute)
	next := map[string]int64{"/a": epoch + 15*minute, "/b": epoch + 25*minute}
	loads := 0
	for len(next) > 0 {
		page := "/a"
		if _, ok := next[page]; !ok || next["/b"] != 0 && next["/b"] < next[page] {
			page = "/b"
		}
		at := next[page]
		if loads++; loads > 10 {
			t.Fatal("they go on and on")
		}
		_, a := b.call(c, Request{Path: "/.session/end?" + page, FetchMode: "navigate", FetchDest: "document"}, at)
		if a.Status == 302 {
			delete(next, page)
			if at < epoch+25*minute {
				t.Errorf("%s is over after %d s", page, at-epoch)
			}
			continue
		}
		var in int64
		for _, digit := range strings.SplitN(valuesOf(a.Headers, "refresh")[0], ";", 2)[0] {
			in = in*10 + int64(digit-'0')
		}
		if next[page] = at + in; in <= 0 || next[page] > epoch+25*minute {
			t.Fatalf("%s goes on in %d s, after %d s", page, in, at-epoch)
		}
	}
	if loads != 3 {
		t.Errorf("%d loads of end, want 3", loads)
	}
}

// What asks for an end without being a page is told so as it would be elsewhere.
func TestEndByAsker(t *testing.T) {
	c := policyOf(t)
	dead := sessionLine(t, c, someone(epoch-hour))
	for _, tt := range askers {
		if tt.r.Method != "" && tt.r.Method != "HEAD" {
			continue
		}
		r := tt.r
		r.Path = "/.session/end?/page"
		_, a := call(t, c, ask(c, r, dead), epoch)
		if a.Status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, a.Status, tt.status)
		}
	}
}

// A login page on another host gets its people with the page here to come back to.
func TestEndLoginElsewhere(t *testing.T) {
	c := policyOf(t, `"login":{"url":"https://sso.example/in?app=shop","start_on":[{"method":"GET","path":"/back"}]}`)
	_, a := call(t, c, ask(c, Request{Path: "/.session/end?/page?x=1", FetchMode: "navigate"}, sessionLine(t, c, someone(epoch-hour))), epoch)
	if got := valuesOf(a.Headers, "location"); !slices.Equal(got, []string{"https://sso.example/in?app=shop&next=/page%3Fx%3D1&reason=idle_timeout"}) {
		t.Errorf("%q", got)
	}
}
