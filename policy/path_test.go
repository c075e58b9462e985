package policy

import (
	"math/rand"
	"net/url"
	"path"
	"strings"
	"testing"
)

// pathCases are the PM family: public is what the rules leave open.
var pathCases = []struct {
	name, path string
	public     bool
}{
	{"public", "/public/x", true},
	{"public with query", "/public/x?y=/../admin", true},
	{"public with escapes", "/public/%C3%A4%20x", true},
	{"public, three dots", "/public/.../x", true},
	{"public, dot file", "/public/.x", true},
	{"PM-256", "/public/../admin", false},
	{"PM-257", "/public/..%2fadmin", false},
	{"PM-258", "/public/%2e%2e/admin", false},
	{"PM-258 half", "/public/.%2E/admin", false},
	{"PM-260", "/public/..;/admin", false},
	{"PM-261", "/public;/../admin", false},
	{"PM-262", "/public/..\\admin", false},
	{"PM-262 escaped", "/public/..%5cadmin", false},
	{"PM-264", "/public/.%00./admin", false},
	{"PM-265", "/public%00/../admin", false},
	{"PM-266", "/public/%252e%252e%252fadmin", false},
	{"PM-268", "//public/x", false},
	{"PM-268 inside", "/public//x", false},
	{"PM-269", "///admin", false},
	{"PM-270", "/./admin", false},
	{"PM-270 public", "/public/./x", false},
	{"PM-270 at the end", "/public/.", false},
	{"PM-256 at the end", "/public/..", false},
	{"PM-272", "/admin/", false},
	{"PM-273", "/admin%20", false},
	{"PM-274", "/admin%09", false},
	{"PM-274 public", "/public/%09", false},
	{"PM-274 raw", "/public/\tx", false},
	{"PM-276", "/ADMIN", false},
	{"PM-277", "/Public/", false},
	{"PM-278", "/publicX", false},
	{"PM-280", "/public%2f", false},
	{"PM-281", "/public%2fadmin", false},
	{"PM-282 CVE-2025-54576", "/admin?x=/public/", false},
	{"PM-284", "/admin%23/public/", false},
	{"PM-284 public", "/public/%23/../../admin", false},
	{"PM-284 raw", "/public/#/x", false},
	{"PM-285", "/admin;/public/", false},
	{"PM-285 public", "/public/x;y", false},
	{"PM-285 escaped", "/public/x%3by", false},
	{"PM-286", "/admin/x/../../public/../admin", false},
	{"PM-288", "/health?", true},
	{"PM-289", "/health%3f", false},
	{"PM-289 public", "/public/%3fx", false},
	{"PM-290", "/healthz", false},
	{"PM-292 fullwidth", "／admin", false},
	{"PM-292 fullwidth public", "/public/／admin", false},
	{"PM-292 overlong of two", "/public/..%c0%afadmin", false},
	{"PM-292 overlong of two, c1", "/public/..%C1%9Cadmin", false},
	{"PM-292 overlong of three", "/public/..%e0%80%afadmin", false},
	{"PM-292 overlong of four", "/public/..%f0%80%80%afadmin", false},
	{"PM-292 three, cut short", "/public/%e0%a", false},
	{"letter escaped", "/public/%61dmin", false},
	{"letter escaped first", "/%70ublic/x", false},
	{"mark escaped", "/public/%40x", false},
	{"colon escaped", "/public/%3Ax", false},
	{"space", "/public/a%20b", true},
	{"small digits", "/public/caf%c3%a9", false},
	{"capital digits", "/public/caf%C3%A9", true},
	{"PM-292 three, shortest form", "/public/%E0%A0%80", true},
	{"PM-292 four, shortest form", "/public/%F0%90%80%80", true},
	{"PM-292 beyond Unicode", "/public/%f5%80%80%80", false},
	{"PM-293", "/public/%u002e%u002e/admin", false},
	{"PM-294", "*", false},
	{"PM-296", "", false},
	{"PM-297", "https://other.example/public/x", false},
	{"PM-300", "/public/%", false},
	{"PM-300 one digit", "/public/%2", false},
	{"PM-300 no hex", "/public/%g0", false},
	{"PM-300 no hex, second", "/public/%0g", false},
	{"PM-301", "\\public\\", false},
	{"PM-302", "/a/b/../../../admin", false},
	{"control byte", "/public/\x01", false},
	{"delete byte", "/public/\x7f", false},
	{"escaped delete byte", "/public/%7f", false},
	{"space", "/public/ x", false},
	{"no slash", "public/x", false},
}

func publicPolicy(t testing.TB) *Config {
	return policyOf(t, `"rules":[{"path_prefix":"/public/","session":"off"},{"path":"/health","session":"off"}]`)
}

func TestPaths(t *testing.T) {
	c := publicPolicy(t)
	for _, tt := range pathCases {
		for _, method := range []string{"GET", "POST", "OPTIONS", "get", "PRI"} {
			t.Run(tt.name+"/"+method, func(t *testing.T) {
				r := ask(c, Request{Method: method, Referer: "https://" + site + "/public/", Upgrade: "x"})
				r.Path = tt.path
				want := Login
				if tt.public {
					want = Pass
				}
				if d := c.Decide(r, epoch); d.Verdict != want {
					t.Errorf("%q: %v", tt.path, d.Reason)
				}
			})
		}
	}
}

// readings are what servers do to a path, each by itself.
var readings = []func(string) string{
	func(p string) string { return strings.ReplaceAll(p, "\\", "/") },
	func(p string) string {
		for strings.Contains(p, "//") {
			p = strings.ReplaceAll(p, "//", "/")
		}
		return p
	},
	func(p string) string { // as Tomcat cuts parameters
		segments := strings.Split(p, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		return strings.Join(segments, "/")
	},
	func(p string) string { p, _, _ = strings.Cut(p, "#"); return p },
	func(p string) string { p, _, _ = strings.Cut(p, "\x00"); return p },
	func(p string) string {
		if decoded, err := url.PathUnescape(p); err == nil {
			return decoded
		}
		return p
	},
	func(p string) string {
		if !strings.HasPrefix(p, "/") {
			return p
		}
		clean := path.Clean(p)
		if strings.HasSuffix(p, "/") && clean != "/" {
			clean += "/"
		}
		return clean
	},
}

// TestNoReadingLeavesPublic: whatever a server behind us makes of a path that we let through, in
// whatever order, it stays where the rule said that it is.
func TestNoReadingLeavesPublic(t *testing.T) {
	c := publicPolicy(t)
	rng := rand.New(rand.NewSource(1))
	pieces := []string{"/", "/", "public", "admin", "health", ".", "..", ";", "\\", "#", "%", "2e", "2f", "5c", "%2e", "%2F", "%5c", "%25", "%3b", "%00", "%20", "x", "%C3%A4", "//"}
	candidates := []string{}
	for _, tt := range pathCases {
		candidates = append(candidates, tt.path)
	}
	for range 50_000 {
		p := "/public/"
		for range 1 + rng.Intn(6) {
			p += pieces[rng.Intn(len(pieces))]
		}
		candidates = append(candidates, p)
	}
	public := 0
	for _, candidate := range candidates {
		r := ask(c, Request{})
		r.Path = candidate
		if c.Decide(r, epoch).Verdict != Pass {
			continue
		}
		public++
		for range 16 {
			read, _ := splitPath(candidate)
			for range 1 + rng.Intn(6) {
				read = readings[rng.Intn(len(readings))](read)
			}
			if !strings.HasPrefix(read, "/public/") && read != "/public" && read != "/health" {
				t.Fatalf("%q passed as public and may be read as %q", candidate, read)
			}
		}
	}
	if public < 1000 {
		t.Errorf("only %d paths passed", public)
	}
}
