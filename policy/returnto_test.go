package policy

import (
	"net/url"
	"strings"
	"testing"
)

// badReturns are the RU family as paths: none may become `next`.
var badReturns = []struct{ name, path string }{
	{"RU-181", "//evil"},
	{"RU-182", "///evil"},
	{"RU-184", `/\evil`},
	{"RU-185", `\/evil`},
	{"RU-186", `\\evil`},
	{"RU-188", `/\\/evil`},
	{"RU-189", "/%09/evil"},
	{"RU-190", "/\t/evil"},
	{"RU-192", "/\r/evil"},
	{"RU-193", "/\v/evil"},
	{"RU-194", "/ /evil"},
	{"RU-196", "/%2f%2fevil"},
	{"RU-196 one", "/%2Fevil"},
	{"RU-197", "/%5cevil"},
	{"RU-198", "/%5c%5cevil"},
	{"RU-200", `/../\evil`},
	{"RU-201", "/.//evil"},
	{"RU-202", "/;//evil"},
	{"RU-204", "/#//evil"},
	{"RU-205", "https:evil"},
	{"RU-206", "https:/evil"},
	{"RU-208", `http:\\evil`},
	{"RU-209", `http:/\evil`},
	{"RU-210", "HTTPS://evil"},
	{"RU-212", "\njavascript:alert(1)"},
	{"RU-213", "java\nscript:alert(1)"},
	{"RU-214", "javascript://host/%0aalert(1)"},
	{"RU-216", "vbscript:x"},
	{"RU-217", "//host@evil"},
	{"RU-218", "https://host@evil"},
	{"RU-220", `https://evil\.host`},
	{"RU-221", "https://evil#@host"},
	{"RU-222", "https://evil?@host"},
	{"RU-224", "https://host.evil"},
	{"RU-225", "https://evilhost"},
	{"RU-226", "https://host%00.evil"},
	{"RU-228", "https://host。evil"},
	{"RU-229", "https://ⓔvil"},
	{"RU-230", "／／evil"},
	{"RU-230 after a slash", "/／evil"},
	{"RU-232", "https://еxample"},
	{"RU-233 hex", "http://0x7f.1"},
	{"RU-233 number", "http://2130706433"},
	{"RU-233 octal", "http:0330.072.0326.0316"},
	{"RU-234", "http://[::1]"},
	{"RU-234 mapped", "http://[::ffff:1.2.3.4]"},
	{"RU-234 open", "http://[evil"},
	{"RU-236", ".evil"},
	{"RU-237", "evil.com"},
	{"RU-240", "/%0d%0aSet-Cookie: N=B"},
	{"RU-240 no space", "/%0d%0aSet-Cookie:%20N=B"},
	{"RU-241 raw", "/嘊嘍"},
	{"RU-244", "/%zz"},
	{"RU-244 bare", "/%"},
	{"RU-244 u", "/%u002f"},
	{"RU-245 2049 bytes", "/" + strings.Repeat("a", 2048)},
	{"RU-245 60 KiB", "/" + strings.Repeat("a", 60<<10)},
	{"RU-245 long query", "/?" + strings.Repeat("a", 2047)},
	{"RU-248", "https://evil/"},
	{"RU-252 login", "/login"},
	{"RU-252 login with query", "/login?next=/x"},
	{"RU-252 start", "/callback?code=1"},
	{"RU-252 logout", "/logout"},
	{"RU-252 browser", "/.session/status"},
	{"space in query", "/x?a b"},
	{"fragment in query", "/x?a#b"},
	{"quote in query", `/x?a"b`},
	{"less than in query", "/x?<script>"},
	{"greater than in query", "/x?>"},
	{"backslash in query", `/x?\\evil`},
	{"non-ASCII in query", "/x?ä"},
	{"empty", ""},
	{"query only", "?x"},
}

func returnPolicy(t testing.TB) *Config {
	return policyOf(t, `"login":{"url":"/login","start_on":[{"method":"POST","path":"/login"},{"method":"GET","path":"/callback"}]}`)
}

func TestReturnToRefuses(t *testing.T) {
	c := returnPolicy(t)
	for _, tt := range badReturns {
		t.Run(tt.name, func(t *testing.T) {
			page := &Request{Method: "GET", Authority: site, Path: tt.path}
			if got := c.returnTo(page, Page); got != "/" {
				t.Errorf("page %q: got %q", tt.path, got)
			}
			form := &Request{Method: "POST", Authority: site, Path: "/form", Referer: "https://" + site + tt.path}
			if got := c.returnTo(form, Page); got != "/" {
				t.Errorf("referer %q: got %q", form.Referer, got)
			}
		})
	}
	for c0 := range 256 {
		b := byte(c0)
		if b > ' ' && b < 0x7f && b != '\\' {
			continue
		}
		for _, p := range []string{"/a" + string([]byte{b}) + "b", "/a?b" + string([]byte{b})} {
			if got := c.returnTo(&Request{Method: "GET", Path: p}, Page); got != "/" {
				t.Errorf("RU-242 byte %#02x: got %q", b, got)
			}
		}
	}
}

func TestReturnTo(t *testing.T) {
	c := returnPolicy(t)
	self := "https://" + site
	for _, tt := range []struct {
		name  string
		asker Asker
		r     Request
		want  string
	}{
		{"page", Page, Request{Path: "/a/b?c=d"}, "/a/b?c=d"},
		{"root", Page, Request{Path: "/"}, "/"},
		{"head", Page, Request{Method: "HEAD", Path: "/a"}, "/a"},
		{"2048 bytes", Page, Request{Path: "/" + strings.Repeat("a", 2047)}, "/" + strings.Repeat("a", 2047)},
		{"RU-238 nested", Page, Request{Path: "/x?rd=//evil"}, "/x?rd=//evil"},
		{"RU-241 escaped", Page, Request{Path: "/%E5%98%8A%E5%98%8D"}, "/%E5%98%8A%E5%98%8D"},
		{"RU-246 host evil", Page, Request{Authority: "evil", Path: "/a"}, "/a"},
		{"RU-253 post", Page, Request{Method: "POST", Path: "/pay", Referer: self + "/cart?x"}, "/cart?x"},
		{"RU-253 post, no referer", Page, Request{Method: "POST", Path: "/pay"}, "/"},
		{"fetch", API, Request{Path: "/api", Referer: self + "/cart"}, "/cart"},
		{"fetch, get", API, Request{Path: "/api"}, "/"},
		{"referer in other case", API, Request{Referer: "https://SHOP.Example/cart"}, "/cart"},
		{"referer with port", API, Request{Authority: site + ":8443", Referer: self + ":8443/cart"}, "/cart"},
		{"referer with another port", API, Request{Referer: self + ":8443/cart"}, "/"},
		{"referer of another host", API, Request{Referer: "https://evil.example/cart"}, "/"},
		{"referer with userinfo", API, Request{Referer: "https://" + site + "@evil/cart"}, "/"},
		{"referer of a longer host", API, Request{Referer: self + ".evil/cart"}, "/"},
		{"referer, host only", API, Request{Referer: self}, "/"},
		{"referer, query only", API, Request{Referer: self + "?x"}, "/"},
		{"referer, not a URL", API, Request{Referer: "/cart"}, "/"},
		{"referer, no host", API, Request{Referer: "https:///cart"}, "/"},
		{"RU-217 referer path with two slashes", API, Request{Referer: self + "//evil"}, "/"},
		{"like the login page", Page, Request{Path: "/login/help"}, "/login/help"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.r
			if r.Method == "" {
				r.Method = "GET"
			}
			if r.Authority == "" {
				r.Authority = site
			}
			if got := c.returnTo(&r, tt.asker); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoginURL(t *testing.T) {
	for _, tt := range []struct{ name, login, path, want string }{
		{"plain", `{"url":"/login"}`, "/a?b=c&d", "/login?next=/a%3Fb%3Dc%26d&reason=absent"},
		{"with a query", `{"url":"/login?x=1"}`, "/a", "/login?x=1&next=/a&reason=absent"},
		{"another host", `{"url":"https://sso.example/in","start_on":[{"path":"/begin"}]}`, "/a", "https://sso.example/in?next=/a&reason=absent"},
		{"other names", `{"url":"/login","return_param":"to","reason_param":"why"}`, "/a", "/login?to=/a&why=absent"},
		{"RU-240 escapes stay escaped", `{"url":"/login"}`, "/a?%0d%0aSet-Cookie:x", "/login?next=/a%3F%250d%250aSet-Cookie%3Ax&reason=absent"},
		{"quotes in the path", `{"url":"/login"}`, `/a"'<>{}|^` + "`", "/login?next=/a%22%27%3C%3E%7B%7D%7C%5E%60&reason=absent"},
		{"not our reason", `{"url":"/login"}`, "/a?reason=ok", "/login?next=/a%3Freason%3Dok&reason=absent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, `"login":`+tt.login)
			r := ask(c, Request{Path: tt.path, FetchMode: "navigate"})
			got := c.loginURL(r, r.asker(), Absent)
			if got != tt.want {
				t.Fatalf("got %s, want %s", got, tt.want)
			}
			u, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if q := u.Query(); q.Get("next") != tt.path && q.Get("to") != tt.path {
				t.Errorf("a server reads %v", q)
			}
		})
	}
}

func FuzzReturnTo(f *testing.F) {
	c := returnPolicy(f)
	for _, tt := range badReturns {
		f.Add("GET", tt.path, "https://"+site+tt.path, site, true)
		f.Add("POST", "/x", "https://"+site+tt.path, site, true)
	}
	f.Fuzz(func(t *testing.T, method, path, referer, authority string, page bool) {
		r := &Request{Method: method, Path: path, Referer: referer, Authority: authority}
		asker := API
		if page {
			asker = Page
		}
		got := c.returnTo(r, asker)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || len(got) > 2048 {
			t.Fatalf("got %q", got)
		}
		for i := range len(got) {
			if got[i] <= ' ' || got[i] >= 0x7f || got[i] == '\\' || got[i] == '#' {
				t.Fatalf("byte %d of %q", i, got)
			}
		}
		// A server reads back from the login URL what was put into it, as one parameter.
		u, err := url.Parse(c.loginURL(r, asker, Absent))
		if err != nil || u.Host != "" || u.Path != "/login" || u.Fragment != "" || u.Query().Get("next") != got || len(u.Query()) != 2 {
			t.Fatalf("%v: %v", u, err)
		}
	})
}
