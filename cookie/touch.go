package cookie

import "crypto/subtle"

const (
	touchMAC  = 16 // HMAC-SHA256 truncated to half (RFC 2104, section 5)
	touchSize = 5 + touchMAC
)

// TouchSuffix makes the touch cookie's name from the session cookie's.
const TouchSuffix = "-seen"

// OpenTouch reads a touch token that belongs to the session id, and returns when that session was
// last seen, in Unix seconds, and whether the token is under the signing key. A time ahead of now
// by more than the clock skew is refused.
// Errors: ErrLength, ErrVersion, ErrKey, ErrEncoding, ErrMAC, ErrTime.
func (c *Codec) OpenTouch(token string, id ID, now int64) (seen int64, current bool, err error) {
	k, body, err := c.split(token, "1t.", now)
	if err != nil {
		return 0, false, err
	}
	if len(body) != base64url.EncodedLen(touchSize) {
		return 0, false, ErrLength
	}
	b, err := decode(c.touched[:], body)
	if err != nil {
		return 0, false, err
	}
	if subtle.ConstantTimeCompare(b[5:], c.touchSum(k, id, b[:5])) != 1 {
		return 0, false, ErrMAC
	}
	r := reader(b)
	seen = int64(r.uint(5))
	if seen > now+c.opt.Skew {
		return 0, false, ErrTime
	}
	return seen, k == c.signing(now), nil
}

func (c *Codec) touchSum(k *codecKey, id ID, seen []byte) []byte {
	copy(c.touchMessage[:], id[:])
	copy(c.touchMessage[IDSize:], seen)
	return c.mac(k.touch, k.touchPrefix, c.touchMessage[:])[:touchMAC]
}

// SealTouch writes the touch token for a session last seen at seen, under the key that signs at
// now. It has no randomness: any proxy with the same keys writes the same bytes.
// Errors: ErrKey where no key signs yet.
func (c *Codec) SealTouch(id ID, seen, now int64) (string, error) {
	k := c.signing(now)
	if k == nil {
		return "", ErrKey
	}
	body := appendUint(make([]byte, 0, touchSize), 5, uint64(seen))
	body = append(body, c.touchSum(k, id, body)...)
	return k.touchPrefix + base64url.EncodeToString(body), nil
}
