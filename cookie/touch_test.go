package cookie

import (
	"errors"
	"strings"
	"testing"
)

func TestTouchIsDeterministic(t *testing.T) {
	first := mustTouch(t, codecA(t, false), testID(), testNow)
	for range 3 { // another codec each time, as another proxy would have; sealed or not is no matter
		if again := mustTouch(t, codecA(t, true), testID(), testNow); again != first {
			t.Errorf("%q, then %q", first, again)
		}
	}
	if other := mustTouch(t, codecA(t, false), testID(), testNow+60); other == first {
		t.Error("the same token for another time")
	}
}

// Each bit of the session id counts.
func TestTouchIsBoundToItsSession(t *testing.T) {
	c := codecA(t, false)
	token := mustTouch(t, c, testID(), testNow)
	for i := range IDSize * 8 {
		other := testID()
		other[i/8] ^= 1 << (i % 8)
		if _, _, err := c.OpenTouch(token, other, testNow); !errors.Is(err, ErrMAC) {
			t.Errorf("bit %d of the id changed: %v, want ErrMAC", i, err)
		}
	}
}

func TestTouchTimes(t *testing.T) {
	c := codecA(t, false)
	cases := []struct {
		name      string
		seen, now int64
		want      error
	}{
		{"now", testNow, testNow, nil},
		{"long ago", 1, testNow, nil},
		{"TI-112 now + skew", testNow + 60, testNow, nil},
		{"TI-112 now + skew + 1", testNow + 61, testNow, ErrTime},
		{"TI-108 2^31", 1 << 31, 1 << 31, nil},
		{"TI-108 2^32", 1 << 32, 1 << 32, nil},
		{"TI-108 MaxTime", MaxTime, MaxTime, nil},
		{"TI-108 MaxTime, before", MaxTime, testNow, ErrTime},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			seen, current, err := c.OpenTouch(mustTouch(t, c, testID(), tc.seen), testID(), tc.now)
			if !errors.Is(err, tc.want) || err == nil && (seen != tc.seen || !current) {
				t.Errorf("%d, %v, %v; want %d, %v", seen, current, err, tc.seen, tc.want)
			}
		})
	}
}

func TestTouchIsSmall(t *testing.T) {
	c := testCodec(t, testOptions(false), testKey(strings.Repeat("k", MaxKeyID)))
	pair := strings.TrimPrefix(testName+TouchSuffix, "__Host-") + "=" + mustTouch(t, c, testID(), MaxTime)
	if len(pair) >= 64 {
		t.Errorf("%q has %d bytes, want under 64", pair, len(pair))
	}
}

func TestSealTouchWithoutSigningKey(t *testing.T) {
	key := testKey("a")
	key.SignFrom = testNow + 1
	if token, err := testCodec(t, testOptions(false), key).SealTouch(testID(), testNow, testNow); !errors.Is(err, ErrKey) {
		t.Errorf("%q, %v; want ErrKey", token, err)
	}
}
