package cookie

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cutAll takes a section of wrapped cookies apart; rest is what is not one.
func cutAll(s string) (all []Wrapped, rest string) {
	for rest = s; ; {
		w, behind, ok := CutWrapped(rest)
		if !ok {
			return all, rest
		}
		all, rest = append(all, w), behind
	}
}

func TestWrappedRoundTrip(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	cases := []struct {
		name    string
		cookies []Wrapped
	}{
		{"none", nil},
		{"one", []Wrapped{appCookie()}},
		{"one that authenticates", []Wrapped{loginCookie()}},
		{"no value", []Wrapped{{Name: "a", Path: "/"}}},
		{"three", []Wrapped{{Name: "a", Path: "/"}, loginCookie(), {Name: "b", Path: "/b", Value: "c", Expires: 1}}},
		{"longest", []Wrapped{{Name: long(MaxWrappedName), Path: "/" + long(MaxWrappedPath-1), Value: long(1<<16 - 1), Expires: MaxTime, Authenticates: true}, appCookie()}},
		{"any bytes", []Wrapped{{Name: "\x00\xff=", Path: "", Value: ";\n"}}}, // what may stand there is for Valid to say
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, rest := cutAll(wrappedOf(tc.cookies...))
			if diff := cmp.Diff(tc.cookies, got); rest != "" || diff != "" {
				t.Errorf("%q over, (-want +got)\n%s", rest, diff)
			}
		})
	}
}

// A section that ends too early has no cookie there, whole ones before it stay.
func TestCutWrappedShort(t *testing.T) {
	one := wrappedOf(loginCookie())
	for n := range len(one) {
		if w, rest, ok := CutWrapped(one[:n]); ok || w != (Wrapped{}) || rest != "" {
			t.Errorf("%d bytes: %+v, %q, %v", n, w, rest, ok)
		}
		if all, rest := cutAll(one + one[:n]); len(all) != 1 || all[0] != loginCookie() || rest != one[:n] {
			t.Errorf("%d bytes behind one: %+v, %q", n, all, rest)
		}
	}
	for flags := 2; flags < 256; flags++ {
		if w, _, ok := CutWrapped(string([]byte{byte(flags)}) + one[1:]); ok {
			t.Errorf("flags %#x: %+v", flags, w)
		}
	}
}

func TestWrappedValid(t *testing.T) {
	// Each is true of a name, a path (behind a slash) and a value.
	texts := []struct {
		text string
		want bool
	}{
		{"a", true}, {"a b", true}, {`a"b,c\d`, true}, {"é", true}, {"\xff", true}, {"a=", true}, {"~", true},
		{"a;", false}, {";a", false}, {"a\tb", false}, {"a\x00", false}, {"a\x1fb", false}, {"a\x7fb", false}, {"a\nb", false}, {"a ", false},
	}
	for _, tc := range texts {
		w := appCookie()
		if w.Value = tc.text; w.Valid() != tc.want {
			t.Errorf("value %q: %v", tc.text, !tc.want)
		}
		w = appCookie()
		if w.Path = "/" + tc.text; w.Valid() != tc.want {
			t.Errorf("path %q: %v", w.Path, !tc.want)
		}
		w = appCookie()
		if w.Name = tc.text; w.Valid() != (tc.want && !strings.Contains(tc.text, "=")) {
			t.Errorf("name %q: %v", tc.text, w.Valid())
		}
	}
	cases := []struct {
		name   string
		change func(*Wrapped)
		want   bool
	}{
		{"as it is", func(*Wrapped) {}, true},
		{"authenticates", func(w *Wrapped) { w.Authenticates = true }, true},
		{"no name", func(w *Wrapped) { w.Name = "" }, false},
		{"longest name", func(w *Wrapped) { w.Name = strings.Repeat("n", 64) }, true},
		{"longer name", func(w *Wrapped) { w.Name = strings.Repeat("n", 65) }, false},
		{"name that begins with a space", func(w *Wrapped) { w.Name = " n" }, false},
		{"no path", func(w *Wrapped) { w.Path = "" }, false},
		{"path without its slash", func(w *Wrapped) { w.Path = "a/" }, false},
		{"longest path", func(w *Wrapped) { w.Path = "/" + strings.Repeat("p", 254) }, true},
		{"longer path", func(w *Wrapped) { w.Path = "/" + strings.Repeat("p", 255) }, false},
		{"no value", func(w *Wrapped) { w.Value = "" }, true},
		{"value that begins with a space", func(w *Wrapped) { w.Value = " v" }, false},
		{"session's", func(w *Wrapped) { w.Expires = 0 }, true},
		{"negative", func(w *Wrapped) { w.Expires = -1 }, false},
		{"last second", func(w *Wrapped) { w.Expires = MaxTime }, true},
		{"a second later", func(w *Wrapped) { w.Expires = MaxTime + 1 }, false},
	}
	for _, tc := range cases {
		w := appCookie()
		if tc.change(&w); w.Valid() != tc.want {
			t.Errorf("%s: %v", tc.name, w.Valid())
		}
	}
}

// What a session may not wrap is not sealed, and what it may is opened again.
func TestSealWrapped(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		c := codecA(t, sealed)
		s := testSession()
		s.Subject, s.Wrapped = "", wrappedOf(loginCookie(), Wrapped{Name: "theme", Path: "/", Value: "dark"})
		o, err := c.Open(mustSeal(t, c, s), testNow)
		if diff := cmp.Diff(s, o.Session); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
		s.Subject, s.AuthenticatedAt, s.Wrapped = "", 0, wrappedWith(func(w *Wrapped) { w.Value = strings.Repeat("v", MaxPair) })
		if _, err := c.Seal(&s, testNow, fixedNonce); err != ErrTooLarge {
			t.Errorf("a cookie of 4096 bytes: %v", err)
		}
	}
}

// RFC 6265bis, section 5.1.4.
func TestReaches(t *testing.T) {
	cases := []struct {
		cookie, path string
		want         bool
	}{
		{"/", "/", true}, {"/", "/a", true}, {"/", "/a/b", true}, {"/", "//", true},
		{"/a", "/a", true}, {"/a", "/a/", true}, {"/a", "/a/b", true}, {"/a", "/a//b", true},
		{"/a/", "/a/", true}, {"/a/", "/a/b", true}, {"/a/b", "/a/b/c", true},
		{"/a", "/", false}, {"/a", "/ab", false}, {"/a", "/a.b", false}, {"/a", "/a;b", false}, {"/a", "/A", false},
		{"/a", "/b/a", false}, {"/a", "/a%2Fb", false}, {"/a/", "/a", false}, {"/a/b", "/a", false}, {"/a/b", "/a/bc", false},
		{"/a", "", false}, {"/", "", false}, {"/", "*", false}, {"/a", "a", false},
	}
	for _, tc := range cases {
		w := Wrapped{Name: "a", Path: tc.cookie}
		if got := w.Reaches(tc.path, testNow); got != tc.want {
			t.Errorf("of %q to %q: %v, want %v", tc.cookie, tc.path, got, tc.want)
		}
		w.Expires = testNow + 1
		if got := w.Reaches(tc.path, testNow); got != tc.want {
			t.Errorf("of %q to %q, in its last second: %v, want %v", tc.cookie, tc.path, got, tc.want)
		}
		for _, w.Expires = range []int64{1, testNow - 1, testNow} {
			if w.Reaches(tc.path, testNow) {
				t.Errorf("of %q to %q, expired at now%+d: true", tc.cookie, tc.path, w.Expires-testNow)
			}
		}
	}
}

func TestAuthenticatedUntil(t *testing.T) {
	at := func(name string, expires int64, authenticates bool) Wrapped {
		return Wrapped{Name: name, Path: "/", Expires: expires, Authenticates: authenticates}
	}
	cases := []struct {
		name    string
		cookies []Wrapped
		want    int64
	}{
		{"none", nil, 0},
		{"none that authenticates", []Wrapped{at("a", 5, false)}, 0},
		{"one", []Wrapped{at("a", 5, true)}, 5},
		{"with the browser", []Wrapped{at("a", 0, true)}, 0},
		{"the later one, first", []Wrapped{at("a", 7, true), at("b", 5, true)}, 7},
		{"the later one, last", []Wrapped{at("a", 5, true), at("b", 7, true)}, 7},
		{"others do not count", []Wrapped{at("a", 0, false), at("b", 5, true), at("c", 9, false)}, 5},
		{"one with the browser, first", []Wrapped{at("a", 0, true), at("b", 5, true)}, 0},
		{"one with the browser, last", []Wrapped{at("a", 5, true), at("b", 0, true)}, 0},
	}
	for _, tc := range cases {
		s := Session{Wrapped: wrappedOf(tc.cookies...)}
		if got := s.AuthenticatedUntil(); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestOutlivesBrowser(t *testing.T) {
	cases := []struct {
		remember bool
		lifetime Lifetime
		want     bool
	}{
		{false, ByRemember, false}, {true, ByRemember, true},
		{false, Persistent, true}, {true, Persistent, true},
		{false, Browser, false}, {true, Browser, false},
	}
	for _, tc := range cases {
		s := Session{Remember: tc.remember, Lifetime: tc.lifetime}
		if got := s.OutlivesBrowser(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// The low four bits are flags, of which two exclude each other; nothing else is.
func TestFlags(t *testing.T) {
	for flags := range 256 {
		payload := payloadOf(testSession())
		payload[0] = byte(flags)
		var s Session
		err := s.parse(payload)
		want := testSession()
		want.Remember, want.Refused = flags&1 != 0, flags&8 != 0
		want.Lifetime = map[int]Lifetime{0: ByRemember, 2: Persistent, 4: Browser}[flags&6]
		if flags > 15 || flags&6 == 6 {
			if err != ErrPayload {
				t.Errorf("flags %#x: %+v, %v", flags, s, err)
			}
		} else if diff := cmp.Diff(want, s); err != nil || diff != "" {
			t.Errorf("flags %#x: %v (-want +got)\n%s", flags, err, diff)
		}
	}
	s := testSession()
	s.Lifetime = Browser + 1
	if _, err := codecA(t, false).Seal(&s, testNow, fixedNonce); err != ErrInvalidSession {
		t.Errorf("an unknown lifetime: %v", err)
	}
}

// What is detached stays when the codec opens another token, and stands behind what was there.
func TestDetach(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		c := codecA(t, sealed)
		first, second := testSession(), testSession()
		first.Wrapped = wrappedOf(loginCookie())
		second.Subject, second.Data, second.Wrapped = "SOMEBODY", `{"ROLE":"NOBODY"}`, wrappedWith(func(w *Wrapped) { w.Name = "OTHER" })
		tokens := []string{mustSeal(t, c, first), mustSeal(t, c, second)}
		open := func(token string) Session {
			o, err := c.Open(token, testNow)
			if err != nil {
				t.Fatal(err)
			}
			return o.Session
		}
		for _, room := range []int{0, 4, 4096} { // grown twice, once, never
			b := append(make([]byte, 0, room), "here"...)
			s := open(tokens[0])
			b = s.Detach(b)
			other := open(tokens[1])
			b = other.Detach(b)
			open(tokens[0])
			open(tokens[1])
			if diff := cmp.Diff([]Session{first, second}, []Session{s, other}); diff != "" {
				t.Errorf("room %d (-want +got)\n%s", room, diff)
			}
			want := "here" + first.Subject + first.Data + first.Wrapped + second.Subject + second.Data + second.Wrapped
			if string(b) != want {
				t.Errorf("room %d: %q", room, b)
			}
		}
	}
	empty := Session{}
	if b := empty.Detach(nil); len(b) != 0 || empty != (Session{}) {
		t.Errorf("%q, %+v", b, empty)
	}
}

// FuzzWrapped: what is cut off is written back byte for byte, and what a session takes is cut to the end.
func FuzzWrapped(f *testing.F) {
	f.Add("")
	f.Add(wrappedOf(loginCookie(), appCookie()))
	f.Add(manyWrapped(MaxWrapped + 1))
	for _, p := range badWrapped {
		var s Session
		p.session(&s)
		f.Add(s.Wrapped)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, rest := cutAll(s)
		if again := wrappedOf(all...) + rest; again != s {
			t.Errorf("%q is read, %q is written", s, again)
		}
		valid, seen, login := rest == "" && len(all) <= MaxWrapped, map[[2]string]bool{}, false
		for _, w := range all {
			valid = valid && w.Valid() && !seen[[2]string{w.Name, w.Path}]
			seen[[2]string{w.Name, w.Path}] = true
			login = login || w.Authenticates
		}
		if got := validWrapped(s); got != valid {
			t.Errorf("%q: valid %v, want %v", s, got, valid)
		}
		if rest == "" && authenticates(s) != login {
			t.Errorf("%q: authenticates %v, want %v", s, !login, login)
		}
	})
}
