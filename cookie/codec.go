package cookie

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"crypto/sha256"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxPair is the most that a cookie's name and value take together, in bytes: what browsers keep
// (RFC 6265bis, section 5.6). More is refused when written, for a browser drops it in silence.
const MaxPair = 4096

// The ways in which a token can be bad, in the order in which they are looked for. To a client they
// are all one; tests and tools tell them apart.
var (
	ErrLength   = errors.New("token is too long or too short")
	ErrVersion  = errors.New("token is of another version or purpose")
	ErrKey      = errors.New("token names a key that is not in use")
	ErrEncoding = errors.New("token is not canonical base64url")
	ErrMAC      = errors.New("token is not authentic")
	// ErrPayload stands here in the order.
	ErrTime = errors.New("token was issued in the future")
)

// ErrTooLarge means that a session does not fit in a cookie.
var ErrTooLarge = errors.New("cookie name and value are over 4096 bytes")

// ErrInvalidSession means that Seal was asked to write what Open would refuse.
var ErrInvalidSession = errors.New("session has a value that the format cannot carry")

var base64url = base64.RawURLEncoding.Strict()

// Options say for which cookie and audience a Codec works. Both go into every sub-key, so a token
// for one name or audience is noise to another.
type Options struct {
	Name     string // the session cookie's name, with its prefix
	Audience string
	Sealed   bool  // encrypt, so that the browser cannot read what it holds
	Skew     int64 // seconds that another proxy's clock may be ahead of ours
}

// Codec opens and seals tokens. See the package's words on misuse.
type Codec struct {
	opt  Options
	keys []codecKey

	// Buffers, so that opening does not allocate. The open session's strings point into the first
	// two, so touches have their own.
	decoded      [MaxPair]byte // a session's body, decoded
	plain        [MaxPair]byte // a sealed body, opened
	touched      [touchSize]byte
	touchMessage [IDSize + 5]byte
	sum          [sha256.Size]byte
	hasher       *hasher
}

// NewCodec derives every sub-key. Errors: ErrNoKeys, ErrKeyID, ErrDuplicateKey, ErrShortSecret.
func NewCodec(opt Options, keys []Key) (*Codec, error) {
	if len(keys) == 0 {
		return nil, ErrNoKeys
	}
	c := &Codec{opt: opt, hasher: newHasher()}
	for _, k := range keys {
		ck, err := newCodecKey(k, opt.Name, opt.Audience)
		if err != nil {
			return nil, err
		}
		if c.key(k.ID) != nil {
			return nil, &KeyError{k.ID, ErrDuplicateKey}
		}
		ck.number = len(c.keys)
		c.keys = append(c.keys, ck)
	}
	return c, nil
}

func (c *Codec) key(id string) *codecKey {
	for i := range c.keys {
		if c.keys[i].id == id {
			return &c.keys[i]
		}
	}
	return nil
}

// signing is the newest key whose time to sign has come. Every proxy with the same keys flips in
// the same second. nil: none signs now.
func (c *Codec) signing(now int64) (best *codecKey) {
	for i := range c.keys {
		k := &c.keys[i]
		if k.signFrom <= now && k.verifies(now) && (best == nil || k.signFrom > best.signFrom) {
			best = k
		}
	}
	return best
}

// SigningKey returns the id of the key that signs at now, or "" where none does.
func (c *Codec) SigningKey(now int64) string {
	if k := c.signing(now); k != nil {
		return k.id
	}
	return ""
}

// Opened says what opening a session token found.
type Opened struct {
	Session Session
	// Key is the number of the key, as they were given, that it was under.
	Key int
	// Current is false when the token should be written again because it is under a key other than
	// the signing one.
	Current bool
}

// Open reads a session token. The session's strings are valid until the next Open.
// Errors: ErrLength, ErrVersion, ErrKey, ErrEncoding, ErrMAC, ErrPayload, ErrTime.
func (c *Codec) Open(token string, now int64) (o Opened, err error) {
	// 1, 2: caps before any work; the key id only selects a key that the config names.
	k, body, err := c.split(token, c.tag(), now)
	if err != nil {
		return o, err
	}
	// 3: one text for each value, or an attacker could write the same token in many ways.
	b, err := decode(c.decoded[:], body)
	if err != nil {
		return o, err
	}
	// 4: nothing is parsed before it is authentic.
	payload, err := c.authenticate(k, b)
	if err != nil {
		return o, err
	}
	// 5: strictly.
	if err = o.Session.parse(payload); err != nil {
		return Opened{}, err
	}
	// 6: times last, and only here.
	if o.Session.IssuedAt > now+c.opt.Skew {
		return Opened{}, ErrTime
	}
	o.Key, o.Current = k.number, k == c.signing(now)
	return o, nil
}

func (c *Codec) tag() string {
	if c.opt.Sealed {
		return "1e."
	}
	return "1s."
}

// split takes TAG KID . BODY apart and finds the key.
func (c *Codec) split(token, tag string, now int64) (k *codecKey, body string, err error) {
	if len(token) > MaxPair-len(c.opt.Name) || len(token) < len(tag) {
		return nil, "", ErrLength
	}
	if token[:len(tag)] != tag {
		return nil, "", ErrVersion
	}
	dot := strings.IndexByte(token[len(tag):], '.')
	if dot < 1 || dot > MaxKeyID {
		return nil, "", ErrKey
	}
	k = c.key(token[len(tag) : len(tag)+dot])
	if k == nil || !k.verifies(now) {
		return nil, "", ErrKey
	}
	return k, token[len(tag)+dot+1:], nil
}

// decode undoes base64url (RFC 4648, section 5) without padding. Go's decoder skips line ends even
// when strict; then less comes out than the length promises.
func decode(dst []byte, body string) ([]byte, error) {
	size := base64url.DecodedLen(len(body))
	if size > len(dst) {
		return nil, ErrLength
	}
	n, err := base64url.Decode(dst, raw(body))
	if err != nil || n != size || len(body)%4 == 1 {
		return nil, ErrEncoding
	}
	return dst[:n], nil
}

func (c *Codec) authenticate(k *codecKey, b []byte) ([]byte, error) {
	if c.opt.Sealed {
		return c.unseal(k, b)
	}
	if len(b) < sha256.Size {
		return nil, ErrMAC
	}
	payload, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if subtle.ConstantTimeCompare(mac, c.mac(k.signed, k.signedPrefix, payload)) != 1 {
		return nil, ErrMAC
	}
	return payload, nil
}

func (c *Codec) unseal(k *codecKey, b []byte) ([]byte, error) {
	if len(b) < chacha20poly1305.NonceSizeX {
		return nil, ErrMAC
	}
	nonce, box := b[:chacha20poly1305.NonceSizeX], b[chacha20poly1305.NonceSizeX:]
	payload, err := k.sealed.Open(c.plain[:0], nonce, box, raw(k.sealedPrefix))
	if err != nil {
		return nil, ErrMAC
	}
	return payload, nil
}

// Seal writes a session token under the key that signs at now. random fills its argument with
// random bytes or fails; it is asked only where the token is sealed.
// Errors: ErrKey where no key signs yet, ErrInvalidSession, ErrTooLarge, and random's own.
func (c *Codec) Seal(s *Session, now int64, random func([]byte) error) (string, error) {
	k := c.signing(now)
	if k == nil {
		return "", ErrKey
	}
	if !s.valid() {
		return "", ErrInvalidSession
	}
	if fixedSize+len(s.Subject)+len(s.Data)+len(s.Wrapped) > MaxPair {
		return "", ErrTooLarge
	}
	payload := s.appendTo(nil)
	prefix, body := k.signedPrefix, []byte(nil)
	if c.opt.Sealed {
		prefix = k.sealedPrefix
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		if err := random(nonce); err != nil {
			return "", err
		}
		body = k.sealed.Seal(nonce, nonce, payload, raw(prefix))
	} else {
		body = append(payload, c.mac(k.signed, prefix, payload)...)
	}
	token := prefix + base64url.EncodeToString(body)
	// It must leave room to be renewed, under whatever key comes next.
	if len(c.opt.Name)+renewalRoom+len(token)+MaxKeyID-len(k.id) > MaxPair {
		return "", ErrTooLarge
	}
	return token, nil
}
