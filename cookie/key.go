package cookie

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// MinSecret is the least number of bytes in a key's secret: as strong as the HMAC it feeds
// (RFC 2104, section 3).
const MinSecret = 32

// MaxKeyID is the longest key id in bytes.
const MaxKeyID = 16

// Errors of NewCodec; each but the first is wrapped in a KeyError.
var (
	ErrNoKeys       = errors.New("at least one key is needed")
	ErrKeyID        = errors.New("a key id is 1 to 16 of A-Z a-z 0-9 _ -")
	ErrDuplicateKey = errors.New("two keys have the same id")
	ErrShortSecret  = errors.New("a secret has at least 32 bytes")
)

// KeyError names the key at fault, never its secret.
type KeyError struct {
	ID  string
	Err error
}

// Error puts it in one line. (Not fmt.Errorf: package fmt would be an eighth of the module.)
func (e *KeyError) Error() string { return "key " + e.ID + ": " + e.Err.Error() }

// Unwrap returns the rule that was broken.
func (e *KeyError) Unwrap() error { return e.Err }

// Key is one secret and when it is in use. Times are Unix seconds.
type Key struct {
	ID string
	// Secret has at least MinSecret bytes. It is never used itself, only what HKDF derives from it.
	Secret []byte
	// SignFrom is when this key may begin to sign; 0: at once.
	SignFrom int64
	// VerifyUntil is the last second in which its tokens are good; 0: without end.
	VerifyUntil int64
}

// ValidKeyID reports whether id can stand in a token.
func ValidKeyID(id string) bool {
	if id == "" || len(id) > MaxKeyID {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i] | 0x20
		if (c < 'a' || c > 'z') && (id[i] < '0' || id[i] > '9') && id[i] != '_' && id[i] != '-' {
			return false
		}
	}
	return true
}

// codecKey is a key ready for use: one sub-key for each purpose, so that a token of one purpose is
// noise to another.
type codecKey struct {
	id                    string
	number                int // among those given
	signFrom, verifyUntil int64
	// prefixes as they stand in a token, `1s.KID.` and so on: they are part of what is authenticated.
	signedPrefix, sealedPrefix, touchPrefix string
	signed, touch                           *macKey
	sealed                                  cipher.AEAD
}

// derive makes a sub-key by HKDF-SHA256 (RFC 5869). Each part of info is length-prefixed, so no two
// choices of (purpose, name, audience) give the same info.
func derive(secret []byte, purpose, name, audience string) ([]byte, error) {
	var info []byte
	for _, part := range [...]string{purpose, name, audience} {
		info = append(appendUint(info, 2, uint64(len(part))), part...)
	}
	return hkdf.Key(sha256.New, secret, nil, string(info), sha256.Size)
}

func newCodecKey(k Key, name, audience string) (codecKey, error) {
	if !ValidKeyID(k.ID) {
		return codecKey{}, &KeyError{k.ID, ErrKeyID}
	}
	if len(k.Secret) < MinSecret {
		return codecKey{}, &KeyError{k.ID, ErrShortSecret}
	}
	var sub [3][]byte
	for i, purpose := range [...]string{"signed", "sealed", "touch"} {
		b, err := derive(k.Secret, purpose, name, audience)
		if err != nil {
			return codecKey{}, &KeyError{k.ID, err}
		}
		sub[i] = b
	}
	signed, err := newMACKey(sub[0])
	if err != nil {
		return codecKey{}, &KeyError{k.ID, err}
	}
	touch, err := newMACKey(sub[2])
	if err != nil {
		return codecKey{}, &KeyError{k.ID, err}
	}
	aead, err := chacha20poly1305.NewX(sub[1])
	if err != nil {
		return codecKey{}, &KeyError{k.ID, err}
	}
	return codecKey{
		id: k.ID, signFrom: k.SignFrom, verifyUntil: k.VerifyUntil,
		signedPrefix: "1s." + k.ID + ".", sealedPrefix: "1e." + k.ID + ".", touchPrefix: "1t." + k.ID + ".",
		signed: signed, touch: touch, sealed: aead,
	}, nil
}

// verifies reports whether tokens under this key are good at now.
func (k *codecKey) verifies(now int64) bool { return k.verifyUntil == 0 || now <= k.verifyUntil }
