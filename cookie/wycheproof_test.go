package cookie

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"golang.org/x/crypto/chacha20poly1305"
)

type wycheproofFile struct {
	TestGroups []struct {
		Tests []wycheproofTest `json:"tests"`
	} `json:"testGroups"`
}

type wycheproofTest struct {
	ID                                 int `json:"tcId"`
	Key, Msg, IV, AAD, CT, Tag, Result string
}

func readWycheproof(t *testing.T, name string) (tests []wycheproofTest) {
	t.Helper()
	b, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var f wycheproofFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.TestGroups {
		tests = append(tests, g.Tests...)
	}
	return tests
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors' own keys stand in for sub-keys. Whole tags go the way of a signed session; halved
// ones the way of a touch, whose message has a fixed form, so only its MAC is compared.
func TestTM102WycheproofHMAC(t *testing.T) {
	c, counts := codecA(t, false), map[string]int{}
	for _, tc := range readWycheproof(t, "hmac_sha256_test.json") {
		counts[tc.Result]++
		msg, tag := unhex(t, tc.Msg), unhex(t, tc.Tag)
		key := unhex(t, tc.Key)
		if len(key) > blockSize {
			// RFC 2104, section 2; a sub-key never is so long.
			sum := sha256.Sum256(key)
			key = sum[:]
		}
		signed, err := newMACKey(key)
		if err != nil {
			t.Fatal(err)
		}
		k := &codecKey{signed: signed}
		payload, err := c.authenticate(k, append(bytes.Clone(msg), tag...))
		accepted := err == nil && bytes.Equal(payload, msg)
		if len(tag) == touchMAC {
			if err == nil {
				t.Errorf("test %d: half a tag was accepted for a session", tc.ID)
			}
			accepted = subtle.ConstantTimeCompare(tag, c.mac(k.signed, "", msg)[:touchMAC]) == 1
		}
		if accepted != (tc.Result == "valid") {
			t.Errorf("test %d: accepted %v, it is %s", tc.ID, accepted, tc.Result)
		}
	}
	if counts["invalid"] < 108 || counts["valid"] == 0 {
		t.Errorf("%v, want at least 108 invalid", counts)
	}
}

func TestTM102WycheproofXChaCha20Poly1305(t *testing.T) {
	c, counts := codecA(t, true), map[string]int{}
	for _, tc := range readWycheproof(t, "xchacha20_poly1305_test.json") {
		counts[tc.Result]++
		aead, err := chacha20poly1305.NewX(unhex(t, tc.Key))
		if err != nil {
			t.Fatal(err)
		}
		k := &codecKey{sealed: aead, sealedPrefix: string(unhex(t, tc.AAD))}
		payload, err := c.authenticate(k, unhex(t, tc.IV+tc.CT+tc.Tag))
		if accepted := err == nil && bytes.Equal(payload, unhex(t, tc.Msg)); accepted != (tc.Result == "valid") {
			t.Errorf("test %d: accepted %v, it is %s", tc.ID, accepted, tc.Result)
		}
	}
	if counts["invalid"] < 69 || counts["valid"] == 0 {
		t.Errorf("%v, want at least 69 invalid", counts)
	}
}
