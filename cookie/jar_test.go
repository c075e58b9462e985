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

// A jar that is used again shows nothing of the request before.
func TestJarReset(t *testing.T) {
	j := NewJar("s")
	j.Add("$Version=1; s=1; s-seen=2; a=b")
	j.Reset()
	j.Add("c=d")
	want := []string{"c=d"}
	if len(j.Sessions)+len(j.Touches) != 0 || j.Hostile || j.Cut || !cmp.Equal(want, j.Lines) {
		t.Errorf("%+v", j)
	}
}
