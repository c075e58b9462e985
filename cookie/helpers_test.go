package cookie

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	testNow  = int64(1_800_000_000)
	testName = "__Host-session"
)

// testKey has a secret that anybody can derive: for tests only.
func testKey(id string) Key {
	secret := sha256.Sum256([]byte("curfew test key " + id))
	return Key{ID: id, Secret: secret[:]}
}

func testOptions(sealed bool) Options {
	return Options{Name: testName, Audience: "shop", Sealed: sealed, Skew: 60}
}

func testCodec(t testing.TB, opt Options, keys ...Key) *Codec {
	t.Helper()
	c, err := NewCodec(opt, keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// codecA is the codec that most tests use: one key, "a".
func codecA(t testing.TB, sealed bool) *Codec {
	t.Helper()
	return testCodec(t, testOptions(sealed), testKey("a"))
}

func testID() (id ID) {
	for i := range id {
		id[i] = byte(i + 1)
	}
	return id
}

func testSession() Session {
	return Session{
		ID: testID(), StartedAt: testNow - 3600, AuthenticatedAt: testNow - 1800, IssuedAt: testNow - 60,
		Revision: 7, Subject: "user-42", Data: `{"role":"admin"}`,
	}
}

// fixedNonce stands in for randomness, so that tokens in tests are the same in every run.
func fixedNonce(b []byte) error {
	for i := range b {
		b[i] = byte(0xa0 + i)
	}
	return nil
}

func mustSeal(t testing.TB, c *Codec, s Session) string {
	t.Helper()
	token, err := c.Seal(&s, testNow, fixedNonce)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustTouch(t testing.TB, c *Codec, id ID, seen int64) string {
	t.Helper()
	token, err := c.SealTouch(id, seen, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// payloadOf is the payload that s would have, valid or not.
func payloadOf(s Session) []byte { return s.appendTo(nil) }

// forge writes an authentic token around any payload, as a broken writer with the right key would.
func forge(t testing.TB, opt Options, key Key, payload []byte) string {
	t.Helper()
	k, err := newCodecKey(key, opt.Name, opt.Audience)
	if err != nil {
		t.Fatal(err)
	}
	if opt.Sealed {
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		fixedNonce(nonce)
		return k.sealedPrefix + base64url.EncodeToString(k.sealed.Seal(nonce, nonce, payload, []byte(k.sealedPrefix)))
	}
	sub, err := derive(key.Secret, "signed", opt.Name, opt.Audience)
	if err != nil {
		t.Fatal(err)
	}
	return k.signedPrefix + base64url.EncodeToString(append(bytes.Clone(payload), hmacSum(sub, k.signedPrefix, payload)...))
}

func hmacSum(key []byte, prefix string, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(prefix))
	h.Write(message)
	return h.Sum(nil)
}

// wrappedOf is a session's Wrapped with these cookies.
func wrappedOf(cookies ...Wrapped) string {
	var b []byte
	for i := range cookies {
		b = AppendWrapped(b, &cookies[i])
	}
	return string(b)
}
