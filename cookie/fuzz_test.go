package cookie

import (
	"bytes"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func seed(f *testing.F, kind string) {
	for _, v := range readVectors(f) {
		if v.Kind == kind {
			f.Add(v.Token)
		}
	}
}

// A session token that opens is the very text that is written for what it holds.
func FuzzOpen(f *testing.F) {
	seed(f, "session")
	signed, sealed := codecA(f, false), codecA(f, true)
	f.Fuzz(func(t *testing.T, token string) {
		if o, err := signed.Open(token, testNow); err == nil {
			if again := mustSeal(t, signed, o.Session); again != token {
				t.Errorf("%q opens, %q is written", token, again)
			}
		} else if o != (Opened{}) {
			t.Errorf("%v, and %+v", err, o)
		}
		if o, err := sealed.Open(token, testNow); err == nil {
			body, _ := base64url.DecodeString(token[5:])
			nonce := func(b []byte) error { copy(b, body); return nil }
			if again, err := sealed.Seal(&o.Session, testNow, nonce); again != token {
				t.Errorf("%q opens, %q is written, %v", token, again, err)
			}
		} else if o != (Opened{}) {
			t.Errorf("%v, and %+v", err, o)
		}
	})
}

func FuzzOpenTouch(f *testing.F) {
	seed(f, "touch")
	c := codecA(f, false)
	f.Fuzz(func(t *testing.T, token string) {
		seen, _, err := c.OpenTouch(token, testID(), testNow)
		if err != nil {
			if seen != 0 {
				t.Errorf("%v, and %d", err, seen)
			}
			return
		}
		if again := mustTouch(t, c, testID(), seen); again != token {
			t.Errorf("%q opens, %q is written", token, again)
		}
	})
}

// What remains of a line and what was taken from it are all of it: only separators, the spaces
// before ours and those before a pair that came to stand first are gone.
func FuzzJar(f *testing.F) {
	for _, line := range []string{"", "s=1", "a=b; s=1; c=d", ";;s=1;; ;s-seen=2", " s =1;s==;\ts=\";\"", "$Version=1; s=1", "s=1; s=2; s=1", "s-renewed=1; s=2;s-renewed=3"} {
		f.Add(line)
	}
	j := NewJar("s")
	f.Fuzz(func(t *testing.T, line string) {
		j.Reset()
		j.Add(line)
		var others, sessions, touches, renewed []string
		for _, pair := range strings.Split(line, ";") {
			trimmed := strings.TrimLeft(pair, " \t")
			if v, ok := strings.CutPrefix(trimmed, "s="); ok {
				sessions = append(sessions, v)
			} else if v, ok := strings.CutPrefix(trimmed, "s-seen="); ok {
				touches = append(touches, v)
			} else if v, ok := strings.CutPrefix(trimmed, "s-renewed="); ok {
				renewed = append(renewed, v)
			} else {
				others = append(others, pair)
			}
		}
		ours := len(sessions)+len(touches)+len(renewed) > 0
		if j.Cut != ours || !ours && j.Lines[0] != line {
			t.Fatalf("cut %v, line %q", j.Cut, j.Lines[0])
		}
		if want, got := pairs(others), pairs(strings.Split(j.Lines[0], ";")); !slices.Equal(want, got) {
			t.Errorf("%q remains of %q", got, want)
		}
		if len(j.Lines[0]) > len(line) {
			t.Errorf("%q has grown to %q", line, j.Lines[0])
		}
		for _, v := range []struct{ found, all []string }{{j.Sessions, sessions}, {j.Touches, touches}, {j.Renewed, renewed}} {
			want := distinct(v.all)
			if len(want) > MaxCandidates {
				want = want[:MaxCandidates]
				if !j.Hostile {
					t.Error("too many values, not hostile")
				}
			}
			if !slices.Equal(want, v.found) {
				t.Errorf("found %q, want %q", v.found, want)
			}
		}
	})
}

// Servers read Cookie lines in their own ways. None of these finds a wrapped cookie in what a jar lets through,
// and cookies that cannot be taken for one stay.
func FuzzJarWrapped(f *testing.F) {
	for _, line := range []string{
		"sid=x", "a=b; SID=x", "a=b sid=x", "a=b, sid=x", `a=b\c?sid=x`, `"sid"=x`, "sid[]=x; sid%00=x", "a=b\tsid =x; sid=y", `a"=sid=x`, "=sid=x", "xsid=x",
	} {
		f.Add(line)
	}
	j := NewJar("s", "sid")
	f.Fuzz(func(t *testing.T, line string) { checkWrapped(t, j, line) })
}

// The same with lines of nothing but what may matter.
func TestJarWrappedAsServersRead(t *testing.T) {
	parts := strings.Split(`sid|sid=x|SID|s%69d|a|a=b|b|=|=|;|;| |,|"|"|\|[|]|%00|%20|@|?|.|_|-|é|`+"\t|\f|\x00|\x1f", "|")
	random, j, cut := rand.New(rand.NewPCG(7, 8)), NewJar("s", "sid"), 0
	for range 50_000 {
		var line strings.Builder
		for range 1 + random.IntN(10) {
			line.WriteString(parts[random.IntN(len(parts))])
		}
		checkWrapped(t, j, line.String())
		if j.Cut {
			cut++
		}
	}
	if cut == 0 {
		t.Error("nothing was cut")
	}
}

func checkWrapped(t *testing.T, j *Jar, line string) {
	t.Helper()
	j.Reset()
	j.Add(line)
	for server, names := range map[string]func(string) []string{"PHP": phpNames, "Python": pythonNames, "ASP.NET Core": aspNames, "Perl": perlNames} {
		if slices.Contains(names(j.Lines[0]), "sid") {
			t.Errorf("%s finds it in %q, of %q", server, j.Lines[0], line)
		}
	}
	left := strings.Split(j.Lines[0], ";")
	for i := range left {
		left[i] = strings.TrimLeft(left[i], " \t")
	}
	for _, pair := range strings.Split(line, ";") {
		pair = strings.TrimLeft(pair, " \t")
		ours := strings.HasPrefix(pair, "s=") || strings.HasPrefix(pair, "s-seen=") || strings.HasPrefix(pair, "s-renewed=")
		if pair != "" && !ours && !strings.Contains(plain(pair), "sid") && !slices.Contains(left, pair) {
			t.Errorf("%q has lost %q: %q", line, pair, j.Lines[0])
		}
	}
}

// plain is a text in lower case without escapes and signs, so that what does not contain a name there
// holds it in no spelling.
func plain(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i+2 < len(s) && c == '%' {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c, i = byte(v), i+2
			}
		}
		if c |= 0x20; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	return string(b)
}

// phpNames: main/php_variables.c, with the escapes that it took until 2020.
func phpNames(line string) (names []string) {
	for _, pair := range strings.Split(line, ";") {
		name, _, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		if end := strings.IndexAny(name, "\x00["); end >= 0 {
			name = name[:end]
		}
		names = append(names, strings.NewReplacer(" ", "_", ".", "_").Replace(strings.TrimLeft(name, " \t\n\v\f\r")))
	}
	return names
}

var pythonPair = regexp.MustCompile(`^[ \t\n\r\f\v]*([\w!#%&'~_` + "`" + `><@,:/$*+\-.^|)(?}{=]+?)([ \t\n\r\f\v]*=[ \t\n\r\f\v]*("(?:[^\\"]|\\.)*"|[\w!#%&'~_` + "`" + `><@,:/$*+\-.^|)(?}{=\[\]]*))?[ \t\n\r\f\v]*([ \t\n\r\f\v]+|;|$)`)

// pythonNames: http.cookies, SimpleCookie.
func pythonNames(line string) (names []string) {
	for {
		m := pythonPair.FindStringSubmatch(line)
		if m == nil || m[0] == "" {
			return names
		}
		if m[2] != "" {
			names = append(names, m[1])
		}
		line = line[len(m[0]):]
	}
}

var aspPair = regexp.MustCompile("^[ \t,;]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)=(\"[!#-+--:<-\\[\\]-~]*\"|[!#-+--:<-\\[\\]-~]*)[ \t]*(?:[,;]|$)")

// aspNames: CookieHeaderParserShared, which goes on a character later where it finds no cookie.
func aspNames(line string) (names []string) {
	for line != "" {
		if m := aspPair.FindStringSubmatch(line); m != nil {
			names, line = append(names, m[1]), line[len(m[0]):]
		} else {
			line = line[1:]
		}
	}
	return names
}

// perlNames: CGI::Cookie.
func perlNames(line string) (names []string) {
	for _, pair := range strings.FieldsFunc(line, func(c rune) bool { return c == ';' || c == ',' }) {
		name, _, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

// pairs leaves out what is blank, and spaces before the first.
func pairs(all []string) (out []string) {
	for _, p := range all {
		if strings.TrimLeft(p, " \t") == "" {
			continue
		}
		if out == nil {
			p = strings.TrimLeft(p, " \t")
		}
		out = append(out, p)
	}
	return out
}

func distinct(all []string) (out []string) {
	for _, v := range all {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// What is sealed opens to the same; what cannot be sealed is refused by Open in the same breath.
func FuzzSession(f *testing.F) {
	s := testSession()
	f.Add(s.Remember, s.StartedAt, s.AuthenticatedAt, s.IssuedAt, s.Idle, s.Absolute, s.Revision, s.Subject, s.Data, byte(0), false, "")
	f.Add(true, int64(0), int64(0), int64(0), int64(1), int64(MaxOverride), uint32(1<<32-1), "", "", byte(Browser), true, wrappedOf(Wrapped{Name: "sid", Path: "/", Value: "x"}))
	f.Add(false, int64(-1), int64(-1), int64(1)<<40, int64(-1), int64(1)<<33, uint32(0), "a\x00", "[]", byte(9), false, "x")
	codecs := []*Codec{codecA(f, false), codecA(f, true)}
	f.Fuzz(func(t *testing.T, remember bool, started, authenticated, issued, idle, absolute int64, revision uint32, subject, data string, lifetime byte, refused bool, wrapped string) {
		s := Session{testID(), remember, Lifetime(lifetime), refused, started, authenticated, issued, idle, absolute, revision, subject, data, wrapped}
		for _, c := range codecs {
			token, err := c.Seal(&s, MaxTime, fixedNonce)
			if err != nil {
				continue
			}
			if o, err := c.Open(token, MaxTime); err != nil || o.Session != s {
				t.Errorf("%+v, %v; want %+v", o.Session, err, s)
			}
		}
	})
}

// An attacker cannot reach the payload's parser, so it is tried by itself: what it takes is
// written back byte for byte.
func FuzzPayload(f *testing.F) {
	f.Add(payloadOf(testSession()))
	for _, p := range allBadPayloads() {
		f.Add(p.payload())
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var s Session
		if err := s.parse(payload); err != nil {
			return
		}
		if again := payloadOf(s); !bytes.Equal(again, payload) {
			t.Errorf("%x is read, %x is written", payload, again)
		}
	})
}
