package cookie

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// form is one kind of token, and how it is opened.
type form struct {
	name, token string
	open        func(token string) error
}

// forms are one good token of each kind, under codecs with the key "a" only. pad makes the body longer.
func forms(t testing.TB, pad int) []form {
	t.Helper()
	s := testSession()
	s.Subject += strings.Repeat("x", pad)
	signed, sealed := codecA(t, false), codecA(t, true)
	open := func(c *Codec) func(string) error {
		return func(token string) error { _, err := c.Open(token, testNow); return err }
	}
	fs := []form{
		{"signed", mustSeal(t, signed, s), open(signed)},
		{"sealed", mustSeal(t, sealed, s), open(sealed)},
		{"touch", mustTouch(t, signed, s.ID, testNow), func(token string) error {
			_, _, err := signed.OpenTouch(token, testID(), testNow)
			return err
		}},
	}
	for _, f := range fs {
		if err := f.open(f.token); err != nil {
			t.Fatalf("the good %s token: %v", f.name, err)
		}
	}
	return fs
}

func insert(s string, at int, what string) string { return s[:at] + what + s[at:] }

// Every one of these changes, at every place of every kind of token, makes it bad.
func TestTamperEverywhere(t *testing.T) {
	cases := []struct {
		name   string
		change func(token string, i int) []string
	}{
		{"TM-49 bit flipped", func(s string, i int) (out []string) {
			for bit := range 8 {
				out = append(out, s[:i]+string([]byte{s[i] ^ 1<<bit})+s[i+1:])
			}
			return out
		}},
		{"TM-49 byte replaced", func(s string, i int) (out []string) {
			for b := range 256 {
				out = append(out, s[:i]+string([]byte{byte(b)})+s[i+1:])
			}
			return out
		}},
		{"TM-50 byte deleted", func(s string, i int) []string { return []string{s[:i] + s[i+1:]} }},
		{"TM-50 byte doubled", func(s string, i int) []string { return []string{s[:i+1] + s[i:]} }},
		{"TM-52 neighbours swapped", func(s string, i int) []string {
			if i == 0 {
				return nil
			}
			return []string{s[:i-1] + s[i:i+1] + s[i-1:i] + s[i+1:]}
		}},
		{"TM-53 truncated", func(s string, i int) []string { return []string{s[:i], s[i+1:]} }},
		{"TM-58 line end", func(s string, i int) []string {
			return []string{insert(s, i, "\n"), insert(s, i, "\r"), insert(s, i, "\r\n"), s + strings.Repeat("\n", i+1)}
		}},
		{"TM-60 case flipped", func(s string, i int) []string { return []string{s[:i] + swapCase(s[i:i+1]) + s[i+1:]} }},
		{"TM-61 dot more", func(s string, i int) []string { return []string{insert(s, i, "."), insert(s, i, ".a.")} }},
	}
	for _, c := range cases {
		for _, f := range forms(t, 0) {
			t.Run(c.name+" "+f.name, func(t *testing.T) {
				tried := 0
				for i := range f.token {
					for _, bad := range c.change(f.token, i) {
						if bad == f.token {
							continue
						}
						tried++
						if f.open(bad) == nil {
							t.Errorf("accepted: %q", bad)
						}
					}
				}
				if tried < 20 {
					t.Errorf("only %d tokens tried", tried)
				}
			})
		}
	}
}

func TestTamperEnd(t *testing.T) {
	for _, f := range forms(t, 0) {
		for _, with := range []string{"A", ".", "=", "\x00", " ", "_"} { // TM-54, TM-56
			t.Run(fmt.Sprintf("TM-54 TM-56 extended by %q %s", with, f.name), func(t *testing.T) {
				for n := 1; n <= 16; n++ {
					if f.open(f.token+strings.Repeat(with, n)) == nil {
						t.Errorf("accepted with %d more", n)
					}
				}
			})
		}
	}
}

// The last character has unused bits where the body's length is not a multiple of three: of all
// characters there, one only is right.
func TestTM57NonCanonicalEnd(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for pad := range 3 {
		for _, f := range forms(t, pad) {
			t.Run(fmt.Sprint("TM-57 ", f.name, " pad ", pad), func(t *testing.T) {
				accepted, malformed := 0, 0
				for _, last := range alphabet {
					switch err := f.open(f.token[:len(f.token)-1] + string(last)); {
					case err == nil:
						accepted++
					case errors.Is(err, ErrEncoding):
						malformed++
					}
				}
				// By the body's length modulo 4: no bits unused, four, two.
				want := map[int]int{0: 0, 2: 60, 3: 48}[len(f.token[5:])%4]
				if accepted != 1 || malformed != want {
					t.Errorf("%d accepted, %d malformed; want 1, %d", accepted, malformed, want)
				}
			})
		}
	}
}

type tamperCase struct {
	name, token string
	want        error
}

func tamperCases(t *testing.T, c *Codec) []tamperCase {
	opt, a := testOptions(false), testKey("a")
	x, y := testSession(), testSession()
	y.Subject, y.ID[0] = "user-43", 0xff
	tx, ty := mustSeal(t, c, x), mustSeal(t, c, y)
	body := func(token string) []byte {
		b, err := base64url.DecodeString(token[5:])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bx, by := body(tx), body(ty)
	px, macX := bx[:len(bx)-32], bx[len(bx)-32:]
	py, macY := by[:len(by)-32], by[len(by)-32:]
	join := func(parts ...[]byte) string { return "1s.a." + base64url.EncodeToString(bytes.Join(parts, nil)) }
	signedOf := func(payload []byte) string { return forge(t, opt, a, payload) }
	purpose := func(p string) string { // a MAC by the sub-key of another purpose
		sub, err := derive(a.Secret, p, opt.Name, opt.Audience)
		if err != nil {
			t.Fatal(err)
		}
		return "1s.a." + base64url.EncodeToString(append(bytes.Clone(px), hmacSum(sub, "1s.a.", px)...))
	}
	otherAudience, shifted := opt, opt
	otherAudience.Audience = "bank"
	shifted.Name, shifted.Audience = opt.Name+"s", "hop"
	return []tamperCase{
		{"TM-62 empty tag", tx[2:], ErrVersion},
		{"TM-62 empty key id", "1s.." + tx[5:], ErrKey},
		{"TM-62 empty body", "1s.a.", ErrMAC},
		{"TM-64 no key id", "1s." + tx[5:], ErrKey},
		{"TM-65 key unknown", "1s.b." + tx[5:], ErrKey},
		{"TM-68 key id of 1 MiB", "1s." + strings.Repeat("a", 1<<20) + "." + tx[5:], ErrLength},
		{"TM-68 key id of 17 bytes", "1s." + strings.Repeat("a", 17) + "." + tx[5:], ErrKey},
		{"TM-69 key id __proto__", "1s.__proto__." + tx[5:], ErrKey},
		{"TM-69 key id ../", "1s.../." + tx[5:], ErrKey},
		{"TM-69 key id %00", "1s.%00." + tx[5:], ErrKey},
		{"TM-69 key id a%00", "1s.a%00." + tx[5:], ErrKey},
		{"TM-70 MAC of no length", join(px), ErrMAC},
		{"TM-70 half a MAC", join(px, macX[:16]), ErrMAC},
		{"TM-72 MAC all zero", join(px, make([]byte, 32)), ErrMAC},
		{"TM-73 MAC of another message", join(px, macY), ErrMAC},
		{"TM-74 payload of X, MAC of Y", join(py, macX), ErrMAC},
		{"TM-76 head of X, body of Y", tx[:20] + ty[20:], ErrMAC},
		{"TM-78 sealed to signed", mustSeal(t, codecA(t, true), x), ErrVersion},
		{"TM-78 sealed, tag renamed", "1s." + mustSeal(t, codecA(t, true), x)[3:], ErrMAC},
		{"TM-84 32 zero bytes", join(make([]byte, 32)), ErrMAC},
		{"TM-84 64 zero bytes", join(make([]byte, 64)), ErrMAC},
		{"TM-85 another secret, same id", forge(t, opt, Key{ID: "a", Secret: testKey("b").Secret}, px), ErrMAC},
		{"TM-86 sub-key of touch", purpose("touch"), ErrMAC},
		{"TM-86 sub-key of sealed", purpose("sealed"), ErrMAC},
		{"TM-86 no purpose", purpose(""), ErrMAC},
		{"TM-88 another audience", forge(t, otherAudience, a, px), ErrMAC},
		{"TM-89 touch as session", mustTouch(t, c, x.ID, testNow), ErrVersion},
		{"TM-89 touch as session, renamed", "1s" + mustTouch(t, c, x.ID, testNow)[2:], ErrMAC},
		{"TM-90 id | time shifted", join(px[:16], px[17:], macX), ErrMAC},
		{"TM-90 shifted, authentic", signedOf(append(bytes.Clone(px[:16]), px[17:]...)), ErrPayload},
		{"TM-92 subject | data shifted", signedOf(shift(px, +1)), ErrPayload},
		{"TM-92 data | subject shifted", signedOf(shift(px, -1)), ErrPayload},
		{"TM-93 name | audience shifted", forge(t, shifted, a, px), ErrMAC},
		{"TM-94 gzip", signedOf([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")), ErrPayload},
		{"TM-96 JSON in place of a payload", signedOf([]byte(`{"sub":"a","sub":"b"}`)), ErrPayload},
		{"TM-100 NUL in the subject", signedOf(payloadOf(withSubject("a\x00b"))), ErrPayload},
	}
}

func TestTamper(t *testing.T) {
	c := codecA(t, false)
	cases := tamperCases(t, c)
	for _, f := range foreignTokens() {
		cases = append(cases, tamperCase{"TM-80 TM-81 TM-82 " + f.name, f.token, classes[f.class]})
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o, err := c.Open(tc.token, testNow)
			if !errors.Is(err, tc.want) || o != (Opened{}) {
				t.Errorf("%+v, %v; want nothing, %v", o, err, tc.want)
			}
		})
	}
}

func withSubject(subject string) Session {
	s := testSession()
	s.Subject = subject
	return s
}

// shift makes the subject n bytes longer without moving what follows it.
func shift(payload []byte, n int) []byte {
	b := bytes.Clone(payload)
	b[45] = byte(int(b[45]) + n)
	return b
}

func TestTM77SignedToSealed(t *testing.T) {
	sealed, token := codecA(t, true), mustSeal(t, codecA(t, false), testSession())
	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"TM-77 as it is", token, ErrVersion},
		{"TM-77 tag renamed", "1e." + token[3:], ErrMAC},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := sealed.Open(tc.token, testNow); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestTM93KeyIDAndBody(t *testing.T) {
	// Two keys, so that characters moved between key id and body still name a key.
	key := testKey("a")
	c := testCodec(t, testOptions(false), key, Key{ID: "aA", Secret: key.Secret})
	token := mustSeal(t, testCodec(t, testOptions(false), key), testSession())
	if _, err := c.Open(token, testNow); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"1s.aA." + token[6:], "1s.aA." + token[5:]} {
		if _, err := c.Open(bad, testNow); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

// A refused token leaves nothing behind in what is returned.
func TestRefusalsReturnNothing(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.Class == "" || v.Kind != "session" {
			continue
		}
		if o, err := v.codec(t).Open(v.Token, v.Now); err == nil || o != (Opened{}) {
			t.Errorf("%s: %+v, %v", v.Name, o, err)
		}
	}
}
