package cookie

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	longest = testNow + MaxOverride
	later   = "Expires=Fri, 15 Jan 2027 09:00:00 GMT" // testNow is 08:00:00
	before  = "Expires=Fri, 15 Jan 2027 07:59:59 GMT"
)

var setCookieCases = []struct {
	line string
	want AppCookie
}{
	{"sid=x", AppCookie{Name: "sid", Value: "x"}},
	{"sid=", AppCookie{Name: "sid"}},
	{" \tsid\t = x \t; Secure", AppCookie{Name: "sid", Value: "x"}},
	{`sid="x"`, AppCookie{Name: "sid", Value: `"x"`}},
	{"sid=a=b==", AppCookie{Name: "sid", Value: "a=b=="}},
	{`sid=a b,"c"\é`, AppCookie{Name: "sid", Value: `a b,"c"\é`}},
	{"s id=x", AppCookie{Name: "s id", Value: "x"}},
	{"sid=x; HttpOnly; Secure; SameSite=Lax; Priority=High; ; =; =a", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x;", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x;;;;", AppCookie{Name: "sid", Value: "x"}},

	{"sid=x; Path=/", AppCookie{Name: "sid", Value: "x", Path: "/"}},
	{"sid=x;pATH = /a/b/ ", AppCookie{Name: "sid", Value: "x", Path: "/a/b/"}},
	{"sid=x; Path=/a=b", AppCookie{Name: "sid", Value: "x", Path: "/a=b"}},
	{"sid=x; Path", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Path=", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Path=a/", AppCookie{Name: "sid", Value: "x"}},
	{`sid=x; Path="/a"`, AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Path=/a; Path=/b", AppCookie{Name: "sid", Value: "x", Path: "/b"}},
	{"sid=x; Path=/a; Path=b", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; XPath=/a; Paths=/b", AppCookie{Name: "sid", Value: "x"}},

	{"sid=x; Domain=a.example", AppCookie{Name: "sid", Value: "x", Domain: true}},
	{"sid=x;dOMAIN = .a.example ", AppCookie{Name: "sid", Value: "x", Domain: true}},
	{"sid=; Domain=a.example; Max-Age=0", AppCookie{Name: "sid", Expires: testNow, Gone: true, Domain: true}},
	{"sid=x; Domain", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Domain= ", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Domain=a.example; Domain=", AppCookie{Name: "sid", Value: "x"}}, // the last counts
	{"sid=x; Domains=a.example; XDomain=a.example", AppCookie{Name: "sid", Value: "x"}},

	{"sid=x; Max-Age=60", AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},
	{"sid=x; max-age= 060 ", AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},
	{"sid=x; Max-Age=0", AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Max-Age=-0", AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Max-Age=-60", AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Max-Age=-99999999999999999999999", AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Max-Age=34560000", AppCookie{Name: "sid", Value: "x", Expires: longest}},
	{"sid=x; Max-Age=34560001", AppCookie{Name: "sid", Value: "x", Expires: longest}},
	{"sid=x; Max-Age=18446744073709551617", AppCookie{Name: "sid", Value: "x", Expires: longest}},
	{"sid=x; Max-Age=" + strings.Repeat("9", 5000), AppCookie{Name: "sid", Value: "x", Expires: longest}},
	{"sid=x; Max-Age", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=-", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=+60", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=60s", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=6e3", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=--6", AppCookie{Name: "sid", Value: "x"}},
	{`sid=x; Max-Age="60"`, AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Max-Age=0; Max-Age=60", AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},
	{"sid=x; Max-Age=60; Max-Age=x", AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},

	{"sid=x; " + later, AppCookie{Name: "sid", Value: "x", Expires: testNow + 3600}},
	{"sid=x; eXPIRES\t=Fri 15-Jan-27 09:00:00", AppCookie{Name: "sid", Value: "x", Expires: testNow + 3600}},
	{"sid=x; " + before, AppCookie{Name: "sid", Value: "x", Expires: testNow - 1, Gone: true}},
	{"sid=x; Expires=Fri, 15 Jan 2027 08:00:00 GMT", AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", AppCookie{Name: "sid", Value: "x", Gone: true}},
	{"sid=x; Expires=1 Jan 1601 00:00:00", AppCookie{Name: "sid", Value: "x", Expires: unixOf(1601, 1, 1, 0, 0, 0), Gone: true}},
	{"sid=x; Expires=31 Dec 9999 23:59:59", AppCookie{Name: "sid", Value: "x", Expires: longest}},
	{"sid=x; Expires=0", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; Expires", AppCookie{Name: "sid", Value: "x"}},
	{"sid=x; " + before + "; " + later, AppCookie{Name: "sid", Value: "x", Expires: testNow + 3600}},
	{"sid=x; " + later + "; Expires=never", AppCookie{Name: "sid", Value: "x", Expires: testNow + 3600}},
	// Max-Age counts, wherever it stands.
	{"sid=x; Max-Age=60; " + before, AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},
	{"sid=x; " + before + "; Max-Age=60", AppCookie{Name: "sid", Value: "x", Expires: testNow + 60}},
	{"sid=x; Max-Age=0; " + later, AppCookie{Name: "sid", Value: "x", Expires: testNow, Gone: true}},
	{"sid=x; Max-Age=soon; " + later, AppCookie{Name: "sid", Value: "x", Expires: testNow + 3600}},
}

func TestParseSetCookie(t *testing.T) {
	for _, tc := range setCookieCases {
		got, ok := ParseSetCookie(tc.line, testNow)
		if diff := cmp.Diff(tc.want, got); !ok || diff != "" {
			t.Errorf("%.80q: %v (-want +got)\n%s", tc.line, ok, diff)
		}
	}
	for _, line := range []string{
		"", ";", "sid", "sid; Path=/", "=x", " =x", "=", "=sid=x", "; sid=x",
		"s\x00id=x", "sid=x\x00", "sid=x\ny", "sid=x\ry", "s\x7fid=x", "sid=\x1fx", "sid=x; Path=/\x01",
	} {
		if got, ok := ParseSetCookie(line, testNow); ok || got != (AppCookie{}) {
			t.Errorf("%q: %+v, %v; want nothing", line, got, ok)
		}
	}
}

// Where net/http and browsers agree on what attributes mean, it and we do too.
func TestParseSetCookieAsGo(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	attribute := func() string {
		switch random.IntN(8) {
		case 0:
			return pick("Path", "path", "PATH") + "=" + pick("/", "/a", "/a/b/", "/%20")
		case 1:
			return pick("Max-Age", "max-age", "MAX-AGE") + "=" + fmt.Sprint(random.IntN(100)-50)
		case 2:
			at := time.Unix(testNow+random.Int64N(2*MaxOverride)-MaxOverride/2, 0).UTC()
			return pick("Expires", "expires") + "=" + at.Format(pick(http.TimeFormat, "Mon, 02-Jan-2006 15:04:05 MST"))
		}
		return pick("Secure", "HttpOnly", "SameSite=Lax", "Domain=a.example", "Partitioned", "", "x=y")
	}
	for range 20_000 {
		line := pick("sid", "SID", "a_b", "!#$") + "=" + pick("", "x", "a=b", "e30.e30:x-y_z")
		for range random.IntN(5) {
			line += pick("; ", ";", " ;  ") + attribute()
		}
		theirs, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := AppCookie{Name: theirs.Name, Value: theirs.Value, Path: theirs.Path, Domain: theirs.Domain != ""}
		switch {
		case theirs.MaxAge < 0:
			want.Expires, want.Gone = testNow, true
		case theirs.MaxAge > 0:
			want.Expires = testNow + int64(theirs.MaxAge)
		case !theirs.Expires.IsZero():
			at := theirs.Expires.Unix()
			want.Expires, want.Gone = min(at, testNow+MaxOverride), at <= testNow
		}
		got, ok := ParseSetCookie(line, testNow)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Fatalf("%q: %v (-Go +got)\n%s", line, ok, diff)
		}
	}
}

// FuzzParseSetCookie: whatever an app sets can be wrapped, unless it is too long, or is not taken.
func FuzzParseSetCookie(f *testing.F) {
	for _, line := range []string{"sid=x; Path=/a; Max-Age=60", "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a b=\"c\"; path=/;x;=", "=x", "a\t=\tb\t;\tpath\t=\t/\t"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, ok := ParseSetCookie(line, testNow)
		if !ok {
			if c != (AppCookie{}) {
				t.Errorf("refused, and %+v", c)
			}
			return
		}
		if c.Expires > testNow+MaxOverride || c.Gone != (c.Expires <= testNow) && c.Expires != 0 {
			t.Errorf("expires %d, gone %v", c.Expires, c.Gone)
		}
		if c.Path == "" {
			c.Path = DefaultPath("/a/b")
		}
		w := Wrapped{Name: c.Name, Path: c.Path, Value: c.Value, Expires: max(c.Expires, 0)}
		if len(w.Name) <= MaxWrappedName && len(w.Path) <= MaxWrappedPath && !w.Valid() {
			t.Errorf("%+v cannot be wrapped", w)
		}
	})
}

// RFC 6265bis, section 5.1.4.
func TestDefaultPath(t *testing.T) {
	cases := []struct{ path, want string }{
		{"", "/"}, {"/", "/"}, {"*", "/"}, {"a/b", "/"}, {"/a", "/"}, {"/a/", "/a"}, {"/a/b", "/a"}, {"/a/b/", "/a/b"},
		{"//", "/"}, {"//a", "/"}, {"/a//", "/a/"}, {"/login.php", "/"}, {"/shop/login.php", "/shop"},
	}
	for _, tc := range cases {
		if got := DefaultPath(tc.path); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.path, got, tc.want)
		}
	}
}
