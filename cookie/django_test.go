package cookie

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

const (
	djangoSecret = "edge-example-secret-key-0123456789abcdefghijklmnopqrst"
	djangoNow    = 1767225600
)

func newTestDjangoSigner(t testing.TB, secret string) *DjangoSigner {
	t.Helper()
	d, err := NewDjangoSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The expected values are what Django makes of the same.
func TestDjangoMessages(t *testing.T) {
	d := newTestDjangoSigner(t, djangoSecret)
	const messages = `[["__json_message",0,30,"Your session has expired. Please log in again.",""]]`
	const want = "W1siX19qc29uX21lc3NhZ2UiLDAsMzAsIllvdXIgc2Vzc2lvbiBoYXMgZXhwaXJlZC4gUGxlYXNlIGxvZyBpbiBhZ2Fpbi4iLCIiXV0:1vb66i:0Ps0heomFckvxbFe-C87fFvYEyYDxgdEkga-LMDUboM"
	for range 2 { // its hash is used again
		if got := d.Sign(messages, djangoNow); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if got := d.Sign("~~~???", 0); !strings.HasPrefix(got, "fn5-Pz8_:0:") {
		t.Errorf("%s is not base64url", got)
	}
	sig := func(s string) string { return s[strings.LastIndexByte(s, ':'):] }
	for name, other := range map[string]string{
		"another key":  newTestDjangoSigner(t, djangoSecret+"x").Sign(messages, djangoNow),
		"another time": d.Sign(messages, djangoNow+1),
		"another text": d.Sign(messages+" ", djangoNow),
	} {
		if sig(other) == sig(want) {
			t.Errorf("%s has the same signature", name)
		}
	}
}

// Django signs all its cookies in this way, under different salts. The first two texts are of Django's own tests
// of its Signer, which has no time.
func TestDjangoSignatures(t *testing.T) {
	const session = "django.contrib.sessions.backends.signed_cookies" + "signer" + djangoSecret
	cases := []struct{ name, key, signed, want string }{
		{"Signer", "django.core.signing.Signer" + "signer" + "\xe7", "foo", "EE4qGC5MEKyQG5msxYA0sBohAxLC0BJf8uRhemh0BGU"},
		{"Signer, text key", "django.core.signing.Signer" + "signer" + "predictable-secret", "foo", "jZQoX_FtSO70jX9HLRGg2A_2s4kdDBxz1QoO_OpEQb0"},
		{"set_signed_cookie", "xs" + "signer" + "django.http.cookies" + djangoSecret, "v:1vb66i", "JquOet0NT70tUQDkT28GecWVXHik28sCHpgEtaVwD6U"},
		{"session", session, "eyJfYXV0aF91c2VyX2lkIjoiNDIifQ:1vb66i", "ftasg7BBM446d2XVbMsB8hmvUC70jgDWW8RCdIGhUu0"},
		{"session, compressed", session, ".eJxVjDsOwjAQBe_iGllkvXEWSnrOEO3HJgHkSHFSIe4OkVJA-2bmvVzP6zL0a01zP5o7OwR3-B2F9ZHKRuzO5TZ5ncoyj-I3xe-0-utk6XnZ3b-DgevwraENRABBKHWialHF2kxEkRtF4QajJpPIlAFOmLqjdWaQs0RCxODeHxrtOKQ:1vb66i", "iuLbj5rMb0JYvo_KUaIx37cijPyVd_DNMODJEolwDF4"},
		{"session of 900 seconds", session, "eyJfYXV0aF91c2VyX2lkIjoiNDIiLCJfc2Vzc2lvbl9leHBpcnkiOjkwMH0:1vb66i", "SIKCDkvCYD2prKn-0Ye2KhJlpbfW_YiD5DGD2psrOFc"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			key := sha256.Sum256([]byte(tc.key))
			d := DjangoSigner{newTestMACKey(t, key[:]), newHasher()}
			var sum [sha256.Size]byte
			d.key.sum(d.hasher, "", []byte(tc.signed), &sum)
			if got := base64.RawURLEncoding.EncodeToString(sum[:]); got != tc.want {
				t.Errorf("signature %s, want %s", got, tc.want)
			}
			payload, stamped := strings.CutSuffix(tc.signed, ":1vb66i")
			text, err := base64.RawURLEncoding.DecodeString(payload)
			if !stamped || err != nil || tc.name == "set_signed_cookie" {
				return // no JSON, or compressed: not what Sign writes
			}
			if got, want := d.Sign(string(text), djangoNow), tc.signed+":"+tc.want; got != want {
				t.Errorf("Sign says %s, want %s", got, want)
			}
		})
	}
}

func TestBase62(t *testing.T) {
	cases := []struct {
		n    int64
		want string
	}{
		{0, "0"}, {9, "9"}, {10, "A"}, {35, "Z"}, {36, "a"}, {61, "z"}, {62, "10"}, {62*62 - 1, "zz"}, {62 * 62, "100"},
		{djangoNow, "1vb66i"}, {1<<63 - 1, "AzL8n0Y58m7"},
	}
	for _, tc := range cases {
		if got := base62(tc.n); got != tc.want {
			t.Errorf("%d: %q, want %q", tc.n, got, tc.want)
		}
	}
}
