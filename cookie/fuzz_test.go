package cookie

import (
	"bytes"
	"slices"
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
	for _, line := range []string{"", "s=1", "a=b; s=1; c=d", ";;s=1;; ;s-seen=2", " s =1;s==;\ts=\";\"", "$Version=1; s=1", "s=1; s=2; s=1"} {
		f.Add(line)
	}
	j := NewJar("s")
	f.Fuzz(func(t *testing.T, line string) {
		j.Reset()
		j.Add(line)
		var others, sessions, touches []string
		for _, pair := range strings.Split(line, ";") {
			trimmed := strings.TrimLeft(pair, " \t")
			if v, ok := strings.CutPrefix(trimmed, "s="); ok {
				sessions = append(sessions, v)
			} else if v, ok := strings.CutPrefix(trimmed, "s-seen="); ok {
				touches = append(touches, v)
			} else {
				others = append(others, pair)
			}
		}
		ours := len(sessions)+len(touches) > 0
		if j.Cut != ours || !ours && j.Lines[0] != line {
			t.Fatalf("cut %v, line %q", j.Cut, j.Lines[0])
		}
		if want, got := pairs(others), pairs(strings.Split(j.Lines[0], ";")); !slices.Equal(want, got) {
			t.Errorf("%q remains of %q", got, want)
		}
		if len(j.Lines[0]) > len(line) {
			t.Errorf("%q has grown to %q", line, j.Lines[0])
		}
		for _, v := range []struct{ found, all []string }{{j.Sessions, sessions}, {j.Touches, touches}} {
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
	f.Add(s.Remember, s.StartedAt, s.AuthenticatedAt, s.IssuedAt, s.Idle, s.Absolute, s.Revision, s.Subject, s.Data)
	f.Add(true, int64(0), int64(0), int64(0), int64(1), int64(MaxOverride), uint32(1<<32-1), "", "")
	f.Add(false, int64(-1), int64(-1), int64(1)<<40, int64(-1), int64(1)<<33, uint32(0), "a\x00", "[]")
	codecs := []*Codec{codecA(f, false), codecA(f, true)}
	f.Fuzz(func(t *testing.T, remember bool, started, authenticated, issued, idle, absolute int64, revision uint32, subject, data string) {
		s := Session{testID(), remember, started, authenticated, issued, idle, absolute, revision, subject, data}
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
	for _, p := range badPayloads {
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
