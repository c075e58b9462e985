package cookie

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var steps = []string{"length", "version", "key", "encoding", "mac", "payload", "time"}

// step is which check of an opening gave the error; a good token is past them all.
func step(err error) int {
	if err == nil {
		return len(steps)
	}
	for i, class := range steps {
		if errors.Is(err, classes[class]) {
			return i
		}
	}
	return -1
}

// What Inspect shows is what the right key opens, and it sees every fault that takes no key to see.
func TestInspectVectors(t *testing.T) {
	seen := map[Purpose]int{}
	for _, v := range readVectors(t) {
		c, err := Inspect(v.Token)
		if v.Class == "" {
			seen[c.Purpose]++
			if err != nil || c.KeyID == "" {
				t.Errorf("%s: %+v, %v", v.Name, c, err)
			}
			if c.Purpose != Sealed {
				if got, want := claimed(t, c), withoutCurrent(t, v.Fields); got != want {
					t.Errorf("%s: %s, want %s", v.Name, got, want)
				}
			}
			continue
		}
		// It cannot find a fault where there is none, so the right key finds the same or an earlier one. A
		// token of another purpose than the one asked for is a good one here, or bad in its own way.
		if step(err) < step(classes[v.Class]) && (v.Class != "version" || c.Purpose == 0) {
			t.Errorf("%s: %v, the right key says %s", v.Name, err, v.Class)
		}
		if (v.Class == "encoding" || v.Class == "payload" && c.Purpose == Signed) && !errors.Is(err, classes[v.Class]) {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Class)
		}
	}
	for _, p := range []Purpose{Signed, Sealed, Touch} {
		if seen[p] < 5 {
			t.Errorf("%d good vectors are %s", seen[p], p)
		}
	}
}

func claimed(t *testing.T, c Claims) string {
	t.Helper()
	if c.Purpose == Touch {
		return withoutCurrent(t, marshal(t, touchFields{Seen: c.Seen}))
	}
	return withoutCurrent(t, marshal(t, fieldsOf(Opened{Session: c.Session})))
}

// withoutCurrent drops what only the key can tell.
func withoutCurrent(t *testing.T, fields json.RawMessage) string {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(fields, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "current")
	return string(marshal(t, m))
}

// The payload's size is told of a sealed token, too.
func TestInspectSize(t *testing.T) {
	s := testSession()
	for _, sealed := range []bool{false, true} {
		c, err := Inspect(mustSeal(t, codecA(t, sealed), s))
		if want := map[bool]Purpose{false: Signed, true: Sealed}[sealed]; err != nil || c.Purpose != want || c.Size != len(payloadOf(s)) {
			t.Errorf("%v of %d bytes, %v; want %v of %d", c.Purpose, c.Size, err, want, len(payloadOf(s)))
		}
	}
	c, err := Inspect(mustTouch(t, codecA(t, false), s.ID, testNow))
	if diff := cmp.Diff(Claims{Purpose: Touch, KeyID: "a", Size: 5, Seen: testNow}, c); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// With an error come the claims before it, and no half of a session.
func TestInspectErrors(t *testing.T) {
	good := mustSeal(t, codecA(t, false), testSession())
	broken := "1s.a." + base64url.EncodeToString(make([]byte, 90))
	cases := []struct {
		name, token string
		want        error
		claims      Claims
	}{
		{"nothing", "", ErrLength, Claims{}},
		{"too long", "1s.a." + strings.Repeat("A", MaxPair-4), ErrLength, Claims{}},
		{"another version", "2s" + good[2:], ErrVersion, Claims{}},
		{"no key id", "1s.", ErrKey, Claims{Purpose: Signed}},
		{"a key id that cannot be", "1s.a b." + good[5:], ErrKey, Claims{Purpose: Signed}},
		{"not base64url", good[:len(good)-1] + "!", ErrEncoding, Claims{Purpose: Signed, KeyID: "a"}},
		{"too short", good[:20], ErrMAC, Claims{Purpose: Signed, KeyID: "a"}},
		{"not a session", broken, ErrPayload, Claims{Purpose: Signed, KeyID: "a", Size: 58}},
		{"a touch too long", "1t.a." + hex.EncodeToString(make([]byte, 20)), ErrLength, Claims{Purpose: Touch, KeyID: "a"}},
	}
	for _, tc := range cases {
		c, err := Inspect(tc.token)
		if diff := cmp.Diff(tc.claims, c); !errors.Is(err, tc.want) || diff != "" {
			t.Errorf("%s: %v, want %v (-want +got)\n%s", tc.name, err, tc.want, diff)
		}
	}
}

// FuzzInspect: nothing makes it panic, and what the right key opens it shows.
func FuzzInspect(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.Token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := Inspect(token)
		if err == nil && (c.Purpose == 0 || !ValidKeyID(c.KeyID) || c.Size > len(token)) || step(err) < 0 {
			t.Errorf("%s %+v, %v", c.Purpose, c, err)
		}
		o, openErr := codecA(t, false).Open(token, testNow)
		if openErr == nil && (err != nil || c.Session != o.Session) {
			t.Errorf("opens as %+v, shows %+v, %v", o.Session, c.Session, err)
		}
	})
}
