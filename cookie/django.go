package cookie

import (
	"crypto/sha256"
)

// DjangoMessages is the name of the cookie in which Django keeps messages for the next page.
const DjangoMessages = "messages"

// DjangoSigner signs that cookie as Django does (3.2 and newer; django.contrib.messages.storage.cookie
// and django.core.signing).
type DjangoSigner struct {
	key    *macKey
	hasher *hasher
}

// NewDjangoSigner takes a project's SECRET_KEY. It fails only where HMAC-SHA256 cannot be had.
func NewDjangoSigner(secretKey string) (*DjangoSigner, error) {
	// The salt that Django's own storage uses, and the key of its cookie signer.
	key := sha256.Sum256([]byte("django.contrib.messages" + "signer" + "django.http.cookies" + secretKey))
	mac, err := newMACKey(key[:])
	return &DjangoSigner{mac, newHasher()}, err
}

// Sign returns the cookie's value for messages in JSON, as of now (Unix seconds).
func (d *DjangoSigner) Sign(messages string, now int64) string {
	value := base64url.EncodeToString([]byte(messages)) + ":" + base62(now)
	var sum [sha256.Size]byte
	d.key.sum(d.hasher, "", raw(value), &sum)
	return value + ":" + base64url.EncodeToString(sum[:])
}

// base62 writes a number with digits, capitals and small letters, the most significant first.
func base62(n int64) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [11]byte
	i := len(b)
	for ok := true; ok; ok = n > 0 {
		i--
		b[i] = digits[n%62]
		n /= 62
	}
	return string(b[i:])
}
