package cookie

import (
	"crypto/sha256"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Purpose is what a token is for.
type Purpose uint8

// The purposes.
const (
	Signed Purpose = iota + 1
	Sealed
	Touch
)

// String names the purpose as docs/format.md does.
func (p Purpose) String() string { return [...]string{"unknown", "signed", "sealed", "touch"}[p] }

// Claims are what a token says to whoever has no key: nobody vouches for any of it.
type Claims struct {
	Purpose Purpose
	KeyID   string
	// Size is the length in bytes of the session's payload, or of a touch's, by the token's own length.
	Size    int
	Session Session // of a signed token
	Seen    int64   // of a touch, in Unix seconds
}

// Inspect reads what can be read of a token without its key, for people who look at one. Nothing may be
// decided by it: anybody can write such a token. With an error come the claims found before it.
// Errors: ErrLength, ErrVersion, ErrKey (no key can have that id), ErrEncoding, ErrMAC (too short to have
// one), ErrPayload.
func Inspect(token string) (c Claims, err error) {
	const tag = len("1s.")
	if len(token) > MaxPair || len(token) < tag {
		return c, ErrLength
	}
	around := 0 // bytes of the body that are not payload
	switch token[:tag] {
	case "1s.":
		c.Purpose, around = Signed, sha256.Size
	case "1e.":
		c.Purpose, around = Sealed, chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead
	case "1t.":
		c.Purpose, around = Touch, touchMAC
	default:
		return c, ErrVersion
	}
	id, body, dotted := strings.Cut(token[tag:], ".")
	if !dotted || !ValidKeyID(id) {
		return c, ErrKey
	}
	c.KeyID = id
	if c.Purpose == Touch && len(body) != base64url.EncodedLen(touchSize) {
		return c, ErrLength
	}
	b, err := decode(make([]byte, MaxPair), body)
	if err != nil {
		return c, err
	}
	if len(b) < around {
		return c, ErrMAC
	}
	c.Size = len(b) - around
	return c, c.read(b[:c.Size])
}

// read takes in a payload that is not sealed.
func (c *Claims) read(payload []byte) error {
	switch r := reader(payload); c.Purpose {
	case Signed:
		var s Session
		if err := s.parse(payload); err != nil {
			return err
		}
		c.Session = s
	case Touch:
		c.Seen = int64(r.uint(len(payload)))
	}
	return nil
}
