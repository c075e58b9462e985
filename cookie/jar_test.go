package cookie

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const eight = "N=1; N=2; N=3; N=4; N=5; N=6; N=7; N=8"

func many(n int) string { return strings.TrimSuffix(strings.Repeat("a=b; ", n), "; ") }

// In this table N stands for the session cookie's name, G for a good token, B for a bad one and T
// for a good touch token. Lines are split at "|".
var jarCases = []struct {
	name, in, out     string
	sessions, touches string // values found, space between
	good              int    // distinct values that open
	hostile           bool
}{
	{"CK-1 empty", "", "", "", "", 0, false},
	{"CK-2 name alone", "N", "N", "", "", 0, false},
	{"CK-2 name alone among others", "a=b; N; c=d", "a=b; N; c=d", "", "", 0, false},
	{"CK-4 value =", "N==", "", "=", "", 0, false},
	{"CK-4 empty value", "N=", "", "", "", 0, false},
	{"CK-5 nameless", "=G", "=G", "", "", 0, false},
	{"CK-6 nameless, name in value", "=N=G", "=N=G", "", "", 0, false},
	{"CK-8 no spaces", "a=b;N=G;c=d", "a=b;c=d", "G", "", 1, false},
	{"CK-8 usual", "a=b; N=G; c=d", "a=b; c=d", "G", "", 1, false},
	{"CK-8 first", "N=G; c=d", "c=d", "G", "", 1, false},
	{"CK-8 last", "a=b; N=G", "a=b", "G", "", 1, false},
	{"CK-8 alone", "N=G", "", "G", "", 1, false},
	{"CK-8 semicolon after", "N=G;", "", "G", "", 1, false},
	{"CK-8 semicolon after, others", "a=b; N=G;", "a=b;", "G", "", 1, false},
	{"CK-8 semicolon before", ";N=G", "", "G", "", 1, false},
	{"CK-8 both cookies", "a=b; N-seen=T; c=d; N=G; e=f", "a=b; c=d; e=f", "G", "T", 1, false},
	{"CK-8 both cookies only", "N=G; N-seen=T", "", "G", "T", 1, false},
	{"CK-9 two spaces", "a=b;  N=G", "a=b", "G", "", 1, false},
	{"CK-9 odd spaces kept", " a=b ;\tc = d ;N=G;  e=f ", " a=b ;\tc = d ;  e=f ", "G", "", 1, false},
	{"CK-10 space before =", "N =G", "N =G", "", "", 0, false},
	{"CK-10 space after =", "N= G", "", " G", "", 0, false},
	{"CK-10 space after value", "N=G ;a=b", "a=b", "G ", "", 0, false},
	{"CK-12 double quotes", `N="G"`, "", `"G"`, "", 0, false},
	{"CK-12 quotes around a pair", `a="x; N=G; y"`, `a="x; y"`, "G", "", 1, false},
	{"CK-13 single quotes", `N='G'`, "", `'G'`, "", 0, false},
	{"CK-14 upper case", "__HOST-session=G", "__HOST-session=G", "", "", 0, false},
	{"CK-14 lower case", "__host-session=G", "__host-session=G", "", "", 0, false},
	{"CK-16 percent in name", "__Host%2Dsession=G", "__Host%2Dsession=G", "", "", 0, false},
	{"CK-17 U+2000 before", "\u2000N=G", "\u2000N=G", "", "", 0, false},
	{"CK-18 U+00A0 before", "\u00a0N=G", "\u00a0N=G", "", "", 0, false},
	{"CK-18 byte A0 before", "\xa0N=G", "\xa0N=G", "", "", 0, false},
	{"CK-20 vertical tab before", "\x0bN=G", "\x0bN=G", "", "", 0, false},
	{"CK-20 form feed before", "\x0cN=G", "\x0cN=G", "", "", 0, false},
	{"CK-21 tab before", "\tN=G", "", "G", "", 1, false},
	{"CK-22 NUL in name", "N\x00=G", "N\x00=G", "", "", 0, false},
	{"CK-22 NUL after value", "N=G\x00", "", "G\x00", "", 0, false},
	{"CK-24 comma", "N=G,N=B", "", "G,N=B", "", 0, false},
	{"CK-24 comma and space", "a=b, N=G", "a=b, N=G", "", "", 0, false},
	{"CK-25 $Version", "$Version=1; N=G; $Path=/", "$Version=1; $Path=/", "G", "", 1, true},
	{"CK-25 $version", "a=b; $version=1", "a=b; $version=1", "", "", 0, true},
	{"CK-25 $VERSIOn, tab", "\t$VERSIOn=1", "\t$VERSIOn=1", "", "", 0, true},
	{"CK-25 $Path alone", "$Path=/; N=G", "$Path=/", "G", "", 1, false},
	{"CK-25 xVersion", "xVersion=1; N=G", "xVersion=1", "G", "", 1, false},
	{"CK-25 $Versio2", "$Versio2=1; N=G", "$Versio2=1", "G", "", 1, false},
	{"CK-26 $Version quoted", `$Version="1"; N="G"`, `$Version="1"`, `"G"`, "", 0, true},
	{"CK-28 good, bad", "N=G; N=B", "", "G B", "", 1, false},
	{"CK-29 bad, good", "N=B; N=G", "", "B G", "", 1, false},
	{"CK-30 good twice", "N=G; N=G", "", "G", "", 1, false},
	{"CK-30 eight", eight + "; N=1", "", "1 2 3 4 5 6 7 8", "", 0, false},
	{"CK-30 nine", eight + "; N=G", "", "1 2 3 4 5 6 7 8", "", 0, true},
	{"CK-30 nine touches", strings.ReplaceAll(eight, "N", "N-seen") + "; N-seen=9; N=G", "", "G", "1 2 3 4 5 6 7 8", 1, true},
	{"CK-32 two lines, good, bad", "N=G|N=B", "|", "G B", "", 1, false},
	{"CK-33 two lines, bad, good", "a=b; N=B|N=G; c=d", "a=b|c=d", "B G", "", 1, false},
	{"CK-34 crumbs", "a=b|N=G|c=d", "a=b||c=d", "G", "", 1, false},
	{"CK-34 crumbs with two cuts in their middle", "a=b; N=G; c=d|e=f; N-seen=T; g=h", "a=b; c=d|e=f; g=h", "G", "T", 1, false},
	{"CK-36 longer name", "N2=G", "N2=G", "", "", 0, false},
	{"CK-36 name with x before", "xN=G", "xN=G", "", "", 0, false},
	{"CK-36 name with .0", "N.0=G", "N.0=G", "", "", 0, false},
	{"CK-36 name with -see", "N-see=T; N-seen2=T; N-Seen=T", "N-see=T; N-seen2=T; N-Seen=T", "", "", 0, false},
	{"CK-37 %3B", "N=G%3B", "", "G%3B", "", 0, false},
	{"CK-40 10,000 semicolons", strings.Repeat(";", 10000), strings.Repeat(";", 10000), "", "", 0, false},
	{"CK-40 10,000 semicolons, then ours", strings.Repeat(";", 10000) + "N=G", strings.Repeat(";", 9999), "G", "", 1, false},
	{"CK-41 5,000 cookies", many(5000), many(5000), "", "", 0, false},
	{"CK-41 5,000 cookies and ours", many(2500) + "; N=G; " + many(2500), many(5000), "G", "", 1, false},
	{"CK-42 60 KiB", "a=" + strings.Repeat("x", 60<<10) + "; N=G", "a=" + strings.Repeat("x", 60<<10), "G", "", 1, false},
	{"CK-42 60 KiB under our name", "N=" + strings.Repeat("x", 60<<10), "", strings.Repeat("x", 60<<10), "", 0, false},
	{"CK-44 high bytes around", "\x80\xff=\xfe\x81; N=G; \xc3=\xa9", "\x80\xff=\xfe\x81; \xc3=\xa9", "G", "", 1, false},
	{"CK-44 high byte in name", "N\xff=G", "N\xff=G", "", "", 0, false},
	{"CK-44 high byte in value", "N=G\xff", "", "G\xff", "", 0, false},
}

func TestJar(t *testing.T) {
	c := codecA(t, false)
	g, touch := mustSeal(t, c, testSession()), mustTouch(t, c, testID(), testNow)
	write := strings.NewReplacer("N", testName, "G", g, "B", g[:len(g)-4]+"AAAA", "T", touch).Replace
	read := strings.NewReplacer(testName, "N", g, "G", g[:len(g)-4]+"AAAA", "B", touch, "T").Replace
	j := NewJar(testName)
	for _, tc := range jarCases {
		t.Run(tc.name, func(t *testing.T) {
			j.Reset()
			in := strings.Split(write(tc.in), "|")
			for _, line := range in {
				j.Add(line)
			}
			got := []string{
				read(strings.Join(j.Lines, "|")), read(strings.Join(j.Sessions, " ")), read(strings.Join(j.Touches, " ")),
				fmt.Sprint("good ", countGood(c, j.Sessions)), fmt.Sprint("hostile ", j.Hostile), fmt.Sprint("cut ", j.Cut),
			}
			want := []string{tc.out, tc.sessions, tc.touches, fmt.Sprint("good ", tc.good), fmt.Sprint("hostile ", tc.hostile), fmt.Sprint("cut ", tc.in != tc.out)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func countGood(c *Codec, tokens []string) (n int) {
	for _, token := range tokens {
		if _, err := c.Open(token, testNow); err == nil {
			n++
		}
	}
	return n
}

func TestCK38PercentEncoded(t *testing.T) {
	c := codecA(t, false)
	g := mustSeal(t, c, testSession())
	var all strings.Builder
	for _, b := range []byte(g) {
		fmt.Fprintf(&all, "%%%02X", b)
	}
	for _, value := range []string{all.String(), strings.ReplaceAll(g, ".", "%2E"), url.QueryEscape(g + "=")} {
		if _, err := c.Open(value, testNow); err == nil {
			t.Errorf("accepted %q", value)
		}
	}
}

// The renewal's cookie is ours like the other two: noted apart from them, and never shown to an app.
func TestJarRenewed(t *testing.T) {
	nine := strings.ReplaceAll(eight, "N", "s-renewed") + "; s-renewed=9"
	for _, tc := range []struct {
		in, out                    []string
		sessions, touches, renewed []string
		hostile                    bool
	}{
		{[]string{"s-renewed=1"}, []string{""}, nil, nil, []string{"1"}, false},
		{[]string{"a=b; s-renewed=1; c=d"}, []string{"a=b; c=d"}, nil, nil, []string{"1"}, false},
		{[]string{"s=1; s-seen=2; s-renewed=3; a=b"}, []string{"a=b"}, []string{"1"}, []string{"2"}, []string{"3"}, false},
		{[]string{"s-renewed=3; s=1"}, []string{""}, []string{"1"}, nil, []string{"3"}, false},
		{[]string{"a=b", "s-renewed=1; s=1", "s-renewed=2; c=d"}, []string{"a=b", "", "c=d"}, []string{"1"}, nil, []string{"1", "2"}, false},
		{[]string{"s-renewed=1; s-renewed=1"}, []string{""}, nil, nil, []string{"1"}, false},
		{[]string{"s-renewed="}, []string{""}, nil, nil, []string{""}, false},
		{[]string{nine}, []string{""}, nil, nil, []string{"1", "2", "3", "4", "5", "6", "7", "8"}, true},
		{[]string{"s-renewed; S-renewed=1; s-Renewed=1; s-renewed2=1; s_renewed=1; xs-renewed=1; -renewed=1"},
			[]string{"s-renewed; S-renewed=1; s-Renewed=1; s-renewed2=1; s_renewed=1; xs-renewed=1; -renewed=1"}, nil, nil, nil, false},
	} {
		j := NewJar("s")
		for _, line := range tc.in {
			j.Add(line)
		}
		want := []any{tc.out, tc.sessions, tc.touches, tc.renewed, tc.hostile}
		if diff := cmp.Diff(want, []any{j.Lines, j.Sessions, j.Touches, j.Renewed, j.Hostile}); diff != "" {
			t.Errorf("%q (-want +got)\n%s", tc.in, diff)
		}
	}
}

// A jar that is used again shows nothing of the request before.
func TestJarReset(t *testing.T) {
	j := NewJar("s")
	j.Add("$Version=1; s=1; s-seen=2; s-renewed=3; a=b")
	j.Reset()
	j.Add("c=d")
	want := []string{"c=d"}
	if len(j.Sessions)+len(j.Touches)+len(j.Renewed) != 0 || j.Hostile || j.Cut || !cmp.Equal(want, j.Lines) {
		t.Errorf("%+v", j)
	}
}

var wrappedPairs = []struct{ name, pair string }{
	{"as it is", "sid=x"},
	{"no value", "sid="},
	{"upper case", "SID=x"},
	{"some upper case", "sId=x"},
	{"spaces around", " sid =x"},
	{"tabs around", "\tsid\t=x"},
	{"vertical tab", "\vsid=x"},
	{"no-break space", "\u00a0sid=x"},
	{"quotes", `"sid"=x`},
	{"half quoted", `"sid=x"`},
	{"= before", "=sid=x"},
	{"== before", "==sid=x"},
	{"escape", "s%69d=x"},
	{"every character escaped", "%73%69%44=x"},
	{"escaped space before", "%20sid=x"},
	{"escaped space after", "sid%20=x"},
	{"escaped = after", "sid%3D=x"},
	{"plus before", "+sid=x"},
	{"comma before", ",sid=x"},
	{"dollar before", "$sid=x"},
	{"PHP's array", "sid[]=x"},
	{"PHP's array with a key", "sid[a]=x"},
	{"PHP's array, escaped", "sid%5Ba%5D=x"},
	{"PHP's array, never closed", "sid[=x"},
	{"PHP's array behind the only =", "a=b sid[x"},
	{"PHP's array over and over", "a=" + strings.Repeat("sid[ ", 60<<10/5)},
	{"escaped NUL", "sid%00a=x"},
	{"NUL", "sid\x00a=x"},
	{"underscore", "user_id=x"},
	{"point for underscore", "user.id=x"},
	{"space for underscore", "user id=x"},
	{"minus for underscore", "USER-ID=x"},
	{"bracket for underscore", "user[id=x"},
	{"escape for underscore", "user%5Fid=x"},
	{"escaped point for underscore", "user%2eid=x"},
	{"behind a space", "a=b sid=x"},
	{"behind a tab", "a=b\tsid=x"},
	{"behind a form feed", "a=b\fsid=x"},
	{"behind a comma", "a=b,sid=x"},
	{"behind a comma and a space", "a=b, sid=x"},
	{"behind a quoted value", `a="b" sid=x`},
	{"behind two of another name", "a=b c=d SID =x"},
	{"behind a backslash", `a=b\sid=x`},
	{"behind a backslash and a question mark", `a=b\c?sid=x`},
	{"behind a name that is broken", "a@sid=x"},
	{"behind a broken name and =", `a"=sid=x`},
	{"in a broken value", `a="b" user.id[0]=x`},
	{"behind many spaces", "a=b" + strings.Repeat(" ", 5000) + "sid=x"},
}

// What some server may read as the cookie sid or user_id is cut out, wherever it stands.
func TestJarWrapped(t *testing.T) {
	j := NewJar("s", "sid", "user_id")
	for _, tc := range wrappedPairs {
		t.Run(tc.name, func(t *testing.T) {
			for _, line := range []struct{ in, out string }{
				{tc.pair, ""}, {"c=d;" + tc.pair, "c=d"}, {tc.pair + "; c=d", "c=d"}, {"c=d; " + tc.pair + ";e=f", "c=d;e=f"},
				{"s=1; " + tc.pair, ""}, {tc.pair + ";" + tc.pair, ""},
			} {
				j.Reset()
				if j.Add(line.in); !j.Cut || j.Lines[0] != line.out {
					t.Errorf("%q: cut %v, %q; want %q", line.in, j.Cut, j.Lines[0], line.out)
				}
			}
		})
	}
}

// What no server reads as sid or user_id keeps its bytes.
func TestJarKeeps(t *testing.T) {
	j := NewJar("s", "sid", "user_id")
	for _, pair := range []string{
		"xsid=x", "sid2=x", "sidx=x", "si=x", "id=x", "sid", "a=sid=x", "a=sid", "a=b=sid=x", "ssid=x", "sid-sid=x", "s%69dx=x",
		"my-sid=x", "a.sid=x", "s_id=x", "si%64%64=x", "s%6=x", "sid%2=x", "sid%zz=x",
		"user=id=x", "user=x", "userid=x", "user__id=x", "xuser_id=x", "user_idx=x", "user_id", "user%69id=x",
		"next=/a?sid=x&user_id=y", "next=%2Fa%3Fsid%3Dx", `a="sid=x"`, "a={sid:1}", `a={"sid":1}`, `a="b" xsid=x`, "a=b, sid2=x", "a=b sid", "a=sid b",
		"a=b, my-sid=x", "=x", "=", "", " ", "---", "-=-", "%20=%20",
	} {
		for _, line := range []string{pair, "c=d; " + pair, pair + ";c=d", "c=d;" + pair + "; e=f"} {
			j.Reset()
			if j.Add(line); j.Cut || j.Lines[0] != line {
				t.Errorf("%q: cut %v, %q", line, j.Cut, j.Lines[0])
			}
		}
	}
}

// A wrapped name's own spelling is cut whatever it is made of, and ours are never taken for one.
func TestJarWrappedNames(t *testing.T) {
	for _, name := range []string{"a%20b", "__", "%", "-sid-", "PHPSESSID", ".AspNetCore.Session", "__Secure-sid", "$a", "sid%00x"} {
		j := NewJar("s", name)
		if j.Add(name + "=x; c=d"); !j.Cut || j.Lines[0] != "c=d" {
			t.Errorf("%q: cut %v, %q", name, j.Cut, j.Lines[0])
		}
	}
	for _, tc := range []struct{ wrapped, line string }{
		{"host-session", "__Host-session=1; __Host-session-seen=2"},
		{"HOST_SESSION_SEEN", "__Host-session=1; __Host-session-seen=2"},
		{"host.session.renewed", "__Host-session=1; __Host-session-seen=2; __Host-session-renewed=3"},
	} {
		j := NewJar("__Host-session", tc.wrapped)
		if j.Add(tc.line); !cmp.Equal(j.Sessions, []string{"1"}) || !cmp.Equal(j.Touches, []string{"2"}) || j.Lines[0] != "" {
			t.Errorf("%s: %+v", tc.wrapped, j)
		}
	}
	j := NewJar("s", "version")
	if j.Add("$Version=1; a=b"); !j.Hostile || j.Lines[0] != "a=b" {
		t.Errorf("%+v", j)
	}
}

func TestJarPut(t *testing.T) {
	type put struct{ name, value string }
	cases := []struct {
		name string
		in   []string
		put  []put
		want []string
	}{
		{"no line", nil, []put{{"sid", "x"}}, []string{"sid=x"}},
		{"no line, two", nil, []put{{"a", "1"}, {"b", "2"}}, []string{"b=2; a=1"}},
		{"empty line", []string{""}, []put{{"sid", "x"}}, []string{"sid=x"}},
		{"line that held ours only", []string{"s=1"}, []put{{"sid", "x"}}, []string{"sid=x"}},
		{"one line", []string{"a=b; c=d"}, []put{{"sid", "x"}}, []string{"sid=x; a=b; c=d"}},
		{"one line that lost a cookie", []string{"a=b; s=1; c=d"}, []put{{"sid", "x"}}, []string{"sid=x; a=b; c=d"}},
		{"in place of the browser's", []string{"sid=old; a=b"}, []put{{"sid", "new"}}, []string{"sid=new; a=b"}},
		{"one line, three", []string{"a=b"}, []put{{"x", "1"}, {"x", "2"}, {"y", ""}}, []string{"y=; x=2; x=1; a=b"}},
		{"many lines", []string{"a=b", "s=1", "c=d; s=1; e=f"}, []put{{"x", "1"}, {"y", "2"}}, []string{"y=2; x=1; a=b", "", "c=d; e=f"}},
		{"many lines, the first empty", []string{"s=1", "a=b; sid=old; c=d"}, []put{{"x", "1"}}, []string{"", "x=1; a=b; c=d"}},
		{"spaces kept", []string{" a=b ;c"}, []put{{"x", `"1 2"`}}, []string{`x="1 2";  a=b ;c`}},
	}
	for _, room := range []int{0, 1 << 10} { // memory that grows under way, and memory that does not
		for _, tc := range cases {
			t.Run(fmt.Sprint(tc.name, " room=", room), func(t *testing.T) {
				j := NewJar("s", "sid")
				j.kept = make([]byte, 0, room)
				for _, line := range tc.in {
					j.Add(line)
				}
				// What was handed out before stays as it was.
				var before, then []string
				note := func() {
					for _, line := range j.Lines {
						before, then = append(before, line), append(then, strings.Clone(line))
					}
				}
				note()
				for _, p := range tc.put {
					j.Put(p.name, p.value)
					note()
				}
				if diff := cmp.Diff(tc.want, j.Lines); !j.Cut || diff != "" {
					t.Errorf("cut %v (-want +got)\n%s", j.Cut, diff)
				}
				if diff := cmp.Diff(then, before); diff != "" {
					t.Errorf("lines of before (-then +now)\n%s", diff)
				}
			})
		}
	}
}
