package cookie

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewCodec(t *testing.T) {
	short := Key{ID: "a", Secret: make([]byte, MinSecret-1)}
	named := func(id string) []Key { return []Key{{ID: id, Secret: testKey("a").Secret}} }
	cases := []struct {
		name string
		keys []Key
		want error
	}{
		{"one key", []Key{testKey("a")}, nil},
		{"secret of 32 bytes", []Key{{ID: "a", Secret: make([]byte, MinSecret)}}, nil},
		{"id of every kind", named("AZaz09_-"), nil},
		{"id of 16 bytes", named(strings.Repeat("k", 16)), nil},
		{"no keys", nil, ErrNoKeys},
		{"same id", []Key{testKey("a"), testKey("b"), testKey("a")}, ErrDuplicateKey},
		{"secret of 31 bytes", []Key{short}, ErrShortSecret},
		{"no secret", []Key{{ID: "a"}}, ErrShortSecret},
		{"id empty", named(""), ErrKeyID},
		{"id of 17 bytes", named(strings.Repeat("k", 17)), ErrKeyID},
		{"id with dot", named("a.b"), ErrKeyID},
		{"id with @", named("@"), ErrKeyID},
		{"id with [", named("["), ErrKeyID},
		{"id with `", named("`"), ErrKeyID},
		{"id with {", named("{"), ErrKeyID},
		{"id with /", named("/"), ErrKeyID},
		{"id with :", named(":"), ErrKeyID},
		{"id with NUL", named("a\x00"), ErrKeyID},
		{"id with é", named("é"), ErrKeyID},
		{"id with =", named("="), ErrKeyID},
		{"second key bad", []Key{testKey("a"), {ID: "b"}}, ErrShortSecret},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c, err := NewCodec(testOptions(false), tc.keys)
			if !errors.Is(err, tc.want) || (c == nil) != (tc.want != nil) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestKeyErrorNamesTheKeyOnly(t *testing.T) {
	_, err := NewCodec(testOptions(false), []Key{testKey("a"), {ID: "2026-11", Secret: []byte("hunter2")}})
	var e *KeyError
	if !errors.As(err, &e) || e.ID != "2026-11" {
		t.Fatalf("%#v, want a KeyError for 2026-11", err)
	}
	if got, want := err.Error(), "key 2026-11: "+ErrShortSecret.Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is read may take all of 4096 bytes with the session cookie's own name.
func TestOpenLongest(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		opt, s := testOptions(sealed), testSession()
		c := testCodec(t, opt, testKey("ab"))
		for n, want := range map[int]error{3057: nil, 3058: ErrLength} {
			around := map[bool]int{false: 32, true: 40}[sealed]
			s.Data = ""
			s.Data = "{" + strings.Repeat("x", n-around-len(payloadOf(s))-2) + "}"
			token := forge(t, opt, testKey("ab"), payloadOf(s))
			if _, err := c.Open(token, testNow); !errors.Is(err, want) {
				t.Errorf("sealed=%v: %d bytes with its name: %v", sealed, len(testName)+len(token), err)
			}
		}
	}
}

func TestSealErrors(t *testing.T) {
	failing := errors.New("no random bytes")
	later := testKey("a")
	later.SignFrom = testNow + 1
	gone := testKey("a")
	gone.VerifyUntil = testNow - 1
	big := func(n int) Session {
		s := testSession()
		s.Data = "{" + strings.Repeat("x", n-2) + "}"
		return s
	}
	// 4096 bytes hold 3038 of body under a two-byte key id and with room for a renewal; the rest of the
	// payload is 57.
	longID := strings.Repeat("k", MaxKeyID)
	exact := map[bool]int{false: 3027 - 32 - 57, true: 3027 - 40 - 57}
	random := func([]byte) error { return failing }
	for _, sealed := range []bool{false, true} {
		cases := []struct {
			name   string
			key    Key
			s      Session
			random func([]byte) error
			want   error
		}{
			{"good", testKey("a"), testSession(), fixedNonce, nil},
			{"no key yet", later, testSession(), fixedNonce, ErrKey},
			{"key retired", gone, testSession(), fixedNonce, ErrKey},
			{"random source fails", testKey("a"), testSession(), random, map[bool]error{true: failing}[sealed]},
			{"fits exactly", testKey(longID), big(exact[sealed]), fixedNonce, nil},
			{"a byte too large", testKey(longID), big(exact[sealed] + 1), fixedNonce, ErrTooLarge},
			{"a byte too large for the longest key id", testKey("a"), big(exact[sealed] + 1), fixedNonce, ErrTooLarge},
			{"payload over 4096", testKey("a"), big(MaxPair), fixedNonce, ErrTooLarge},
			{"data over 65535", testKey("a"), big(1 << 17), fixedNonce, ErrTooLarge},
		}
		for _, tc := range cases {
			t.Run(fmt.Sprint(tc.name, " sealed=", sealed), func(t *testing.T) {
				c := testCodec(t, testOptions(sealed), tc.key)
				token, err := c.Seal(&tc.s, testNow, tc.random)
				if !errors.Is(err, tc.want) || (token == "") != (tc.want != nil) {
					t.Fatalf("%d bytes, %v; want %v", len(token), err, tc.want)
				}
				if size := len(testName) + renewalRoom + len(token); size > MaxPair || tc.name == "fits exactly" && size < MaxPair-1 {
					t.Errorf("%d bytes with room for a renewal", size)
				}
			})
		}
	}
}

// What Open would refuse, Seal does not write.
func TestSealRefusesBadPayloads(t *testing.T) {
	c := codecA(t, false)
	for _, p := range allBadPayloads() {
		if p.session == nil {
			continue
		}
		s := testSession()
		p.session(&s)
		t.Run(p.name, func(t *testing.T) {
			if token, err := c.Seal(&s, testNow, fixedNonce); !errors.Is(err, ErrInvalidSession) {
				t.Errorf("%q, %v; want ErrInvalidSession", token, err)
			}
		})
	}
}

func TestRandomIsAskedOnlyWhereSealed(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		asked := 0
		s := testSession()
		_, err := codecA(t, sealed).Seal(&s, testNow, func(b []byte) error { asked += len(b); return nil })
		if want := map[bool]int{true: 24}[sealed]; err != nil || asked != want {
			t.Errorf("sealed=%v: %v, %d random bytes; want %d", sealed, err, asked, want)
		}
	}
}

func TestTimes(t *testing.T) {
	all := func(at int64) func(*Session) {
		return func(s *Session) { s.StartedAt, s.AuthenticatedAt, s.IssuedAt = at, at, at }
	}
	issued := func(at int64) func(*Session) { return func(s *Session) { s.IssuedAt = at } }
	cases := []struct {
		name       string
		change     func(*Session)
		now        int64
		seal, open error // open where Seal accepts
	}{
		{"TI-104 negative", all(-1), testNow, ErrInvalidSession, nil},
		{"TI-104 start negative", func(s *Session) { s.StartedAt = -1 }, testNow, ErrInvalidSession, nil},
		{"TI-104 authentication negative", func(s *Session) { s.AuthenticatedAt = -1 }, testNow, ErrInvalidSession, nil},
		{"TI-104 idle negative", func(s *Session) { s.Idle = -1 }, testNow, ErrInvalidSession, nil},
		{"TI-104 absolute negative", func(s *Session) { s.Absolute = -1 }, testNow, ErrInvalidSession, nil},
		{"TI-105 now + skew", issued(testNow + 60), testNow, nil, nil},
		{"TI-106 now + skew + 1", issued(testNow + 61), testNow, nil, ErrTime},
		{"TI-108 2^31-1, later", all(math.MaxInt32), testNow + 1<<30, nil, nil},
		{"TI-108 2^31-1, before", all(math.MaxInt32), testNow, nil, ErrTime},
		{"TI-108 2^31, then", all(1 << 31), 1 << 31, nil, nil},
		{"TI-108 2^31, before", all(1 << 31), testNow, nil, ErrTime},
		{"TI-108 2^32, then", all(1 << 32), 1 << 32, nil, nil},
		{"TI-108 2^32, before", all(1 << 32), testNow, nil, ErrTime},
		{"TI-108 MaxTime, then", all(MaxTime), MaxTime, nil, nil},
		{"TI-108 MaxTime, before", all(MaxTime), testNow, nil, ErrTime},
		{"TI-108 MaxTime + 1", all(MaxTime + 1), MaxTime + 1, ErrInvalidSession, nil},
		{"TI-109 2^63-1", all(math.MaxInt64), testNow, ErrInvalidSession, nil},
		{"TI-109 idle 2^63-1", func(s *Session) { s.Idle = math.MaxInt64 }, testNow, ErrInvalidSession, nil},
		{"TI-109 idle 2^32+1", func(s *Session) { s.Idle = 1<<32 + 1 }, testNow, ErrInvalidSession, nil},
		{"TI-113 absolute less than idle", func(s *Session) { s.Idle, s.Absolute = 2, 1 }, testNow, nil, nil},
		{"TI-116 authenticated after issued", func(s *Session) { s.AuthenticatedAt = testNow }, testNow, ErrInvalidSession, nil},
		{"TI-118 clock an hour back", issued(testNow), testNow - 3600, nil, ErrTime},
		{"TI-120 second 60 is second 0 of the next minute", all(1_483_228_800), 1_483_228_799, nil, nil},
		{"TI-121 other proxy 60 s ahead", issued(testNow), testNow - 60, nil, nil},
		{"TI-121 other proxy 90 s behind", issued(testNow), testNow + 90, nil, nil},
	}
	for _, sealed := range []bool{false, true} {
		c := codecA(t, sealed)
		for _, tc := range cases {
			t.Run(fmt.Sprint(tc.name, " sealed=", sealed), func(t *testing.T) {
				s := testSession()
				tc.change(&s)
				token, err := c.Seal(&s, tc.now, fixedNonce)
				if !errors.Is(err, tc.seal) {
					t.Fatalf("sealing: %v, want %v", err, tc.seal)
				}
				if err != nil {
					return
				}
				o, err := c.Open(token, tc.now)
				if !errors.Is(err, tc.open) || err == nil && o.Session != s {
					t.Errorf("%+v, %v; want %v", o, err, tc.open)
				}
			})
		}
	}
}

func TestKeyTimes(t *testing.T) {
	a, b, c := testKey("a"), testKey("b"), testKey("c")
	b.SignFrom, a.VerifyUntil = testNow, testNow+100
	c.SignFrom, c.VerifyUntil = testNow+50, testNow+60
	keys := []Key{a, b, c}
	cases := []struct {
		name                   string
		keys                   []Key
		now                    int64
		signs, opens, rewrites string // ids of keys: that signs; whose tokens open; of these, not current
	}{
		{"second before b signs", keys, testNow - 1, "a", "abc", "bc"},
		{"b signs", keys, testNow, "b", "abc", "ac"},
		{"second before c signs", keys, testNow + 49, "b", "abc", "ac"},
		{"c signs", keys, testNow + 50, "c", "abc", "ab"},
		{"c in its last second", keys, testNow + 60, "c", "abc", "ab"},
		{"c retired, b signs again", keys, testNow + 61, "b", "ab", "a"},
		{"a in its last second", keys, testNow + 100, "b", "ab", "a"},
		{"TM-66 a retired", keys, testNow + 101, "b", "b", ""},
		{"in any order", []Key{c, b, a}, testNow + 50, "c", "abc", "ab"},
		{"none signs yet", []Key{b}, testNow - 1, "", "b", "b"},
		{"same second: the first", []Key{testKey("a"), testKey("b")}, testNow, "a", "ab", "b"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			codec := testCodec(t, testOptions(false), tc.keys...)
			var opens, rewrites string
			for _, id := range []string{"a", "b", "c"} {
				token := forge(t, testOptions(false), testKey(id), payloadOf(testSession()))
				touch := forgeTouch(t, testOptions(false), testKey(id), testID(), testNow-60)
				o, err := codec.Open(token, tc.now)
				_, current, errTouch := codec.OpenTouch(touch, testID(), tc.now)
				if err != errTouch || o.Current != current {
					t.Errorf("key %s: session %v, %v; touch %v, %v", id, o.Current, err, current, errTouch)
				}
				if err != nil {
					continue
				}
				opens += id
				if !o.Current {
					rewrites += id
				}
			}
			if diff := cmp.Diff([]string{tc.signs, tc.opens, tc.rewrites}, []string{codec.SigningKey(tc.now), opens, rewrites}); diff != "" {
				t.Errorf("signs, opens, rewrites (-want +got)\n%s", diff)
			}
		})
	}
}

// Three proxies with the same keys in any order flip in the same second, and each opens what any wrote.
func TestProxiesFlipTogether(t *testing.T) {
	a, b, c := testKey("a"), testKey("b"), testKey("c")
	a.SignFrom, b.SignFrom, c.SignFrom = 1, testNow-5, testNow+5
	a.VerifyUntil = testNow + 7
	orders := [][]Key{{a, b, c}, {c, b, a}, {b, c, a}}
	for _, sealed := range []bool{false, true} {
		var proxies []*Codec
		for _, keys := range orders {
			proxies = append(proxies, testCodec(t, testOptions(sealed), keys...))
		}
		for now := testNow - 10; now <= testNow+10; now++ {
			s := testSession()
			var tokens, touches []string
			for _, p := range proxies {
				token, err := p.Seal(&s, now, fixedNonce)
				touch, errTouch := p.SealTouch(s.ID, now, now)
				if err != nil || errTouch != nil {
					t.Fatal(err, errTouch)
				}
				tokens, touches = append(tokens, token), append(touches, touch)
			}
			for i, p := range proxies {
				o, err := p.Open(tokens[(i+1)%3], now)
				if err != nil || !o.Current || tokens[i] != tokens[0] || touches[i] != touches[0] {
					t.Errorf("at %+d, proxy %d: current %v, %v\n%s\n%s", now-testNow, i, o.Current, err, tokens[i], tokens[0])
				}
			}
		}
	}
}

func TestValidSubject(t *testing.T) {
	cases := []struct {
		subject string
		want    bool
	}{
		{"", true},
		{"user-42", true},
		{"a b", true},
		{"~", true},
		{"Zoë", true},
		{"\U0001F36A", true},
		{strings.Repeat("s", 256), true},
		{strings.Repeat("s", 257), false},
		{" a", false},
		{"a ", false},
		{" ", false},
		{"a\tb", false},
		{"a\x00", false},
		{"a\x1f", false},
		{"a\x7f", false},
		{"a\r\nX-Session: b", false},
		{"\x80", false},
		{"a\xff", false},
		{"\xed\xa0\x80", false},
		{"\xc0\xae", false},
	}
	for _, tc := range cases {
		if got := ValidSubject(tc.subject); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.subject, got, tc.want)
		}
	}
}

// No two choices of purpose, name and audience share a sub-key.
func TestDeriveTellsPartsApart(t *testing.T) {
	seen := map[string]string{}
	for _, parts := range [][3]string{
		{"signed", "ab", "c"}, {"signed", "a", "bc"}, {"signed", "abc", ""}, {"signed", "", "abc"},
		{"signeda", "b", "c"}, {"sealed", "ab", "c"}, {"touch", "ab", "c"}, {"signed", "a\x00", "bc"},
	} {
		b, err := derive(testKey("a").Secret, parts[0], parts[1], parts[2])
		if err != nil || len(b) != 32 {
			t.Fatal(len(b), err)
		}
		if other := seen[string(b)]; other != "" {
			t.Errorf("%q has the sub-key of %s", parts, other)
		}
		seen[string(b)] = fmt.Sprintf("%q", parts)
	}
}

func TestIDHash(t *testing.T) {
	// The start of the SHA-256 of 16 zero bytes.
	if got, want := (ID{}).Hash(), "374708fff7719dd5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOpenDoesNotAllocate(t *testing.T) {
	c, sealed := codecA(t, false), codecA(t, true)
	token, box, touch := mustSeal(t, c, testSession()), mustSeal(t, sealed, testSession()), mustTouch(t, c, testID(), testNow)
	forged := token[:len(token)-2] + "AA"
	wrapping := testSession()
	wrapping.Wrapped = wrappedOf(loginCookie(), Wrapped{Name: "theme", Path: "/"})
	wrapped, detached := mustSeal(t, sealed, wrapping), make([]byte, 0, MaxPair)
	j, wj := NewJar(testName), NewJar(testName, "sessionid", "theme")
	line := "a=b; " + testName + "=" + token + "; c=d; " + testName + TouchSuffix + "=" + touch
	cases := []struct {
		name string
		run  func() bool // reports whether it did what it should
	}{
		{"Open signed", func() bool { _, err := c.Open(token, testNow); return err == nil }},
		{"Open sealed", func() bool { _, err := sealed.Open(box, testNow); return err == nil }},
		{"Open forged", func() bool { _, err := c.Open(forged, testNow); return err != nil }},
		{"OpenTouch", func() bool { _, _, err := c.OpenTouch(touch, testID(), testNow); return err == nil }},
		{"Jar.Add", func() bool { j.Reset(); j.Add(line); return len(j.Sessions) == 1 && j.Lines[0] == "a=b; c=d" }},
		{"Jar.Add and Put, wrapped", func() bool {
			wj.Reset()
			wj.Add("sessionid=x; a=b c, d; " + "Theme=y")
			wj.Put("sessionid", "z")
			return wj.Lines[0] == "sessionid=z; a=b c, d"
		}},
		{"Open, Detach and CutWrapped", func() bool {
			o, err := sealed.Open(wrapped, testNow)
			detached = o.Session.Detach(detached[:0])
			w, rest, ok := CutWrapped(o.Session.Wrapped)
			return err == nil && ok && w.Reaches("/", testNow) && rest != "" && o.Session.AuthenticatedUntil() != 0
		}},
		{"Jar.Add, nothing of ours", func() bool { j.Reset(); j.Add("a=b; c=d"); return len(j.Lines) == 1 }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if !tc.run() {
				t.Fatal("did not work")
			}
			if n := testing.AllocsPerRun(100, func() { tc.run() }); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}
