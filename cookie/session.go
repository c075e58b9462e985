package cookie

import (
	"encoding/hex"
	"errors"
	"unicode/utf8"
	"unsafe"

	"crypto/sha256"
)

// Limits of format 1 (docs/format.md).
const (
	// IDSize is the length of a session id in bytes: 128 random bits, twice what OWASP asks for at least.
	IDSize = 16
	// MaxSubject is the longest subject in bytes.
	MaxSubject = 256
	// MaxTime is the last second a token can name (2^40-1, the year 36812).
	MaxTime = 1<<40 - 1
	// MaxOverride is the longest timeout in seconds that a session can carry for itself:
	// 400 days, the longest that browsers keep a cookie (RFC 6265bis, section 5.5).
	MaxOverride = 400 * 24 * 3600
)

const (
	flagRemember   = 1 << 0
	flagPersistent = 1 << 1
	flagBrowser    = 1 << 2
	flagRefused    = 1 << 3
	// fixedSize counts flags, id, three times, two overrides, revision and three lengths.
	fixedSize = 1 + IDSize + 3*5 + 2*4 + 4 + 3*2
)

// ErrPayload means that the bytes inside a token with a good MAC are not a session: an operator's
// fault (a key shared with something else), never an ordinary client's.
var ErrPayload = errors.New("payload is not a session of format 1")

// ID is a session's random name.
type ID [IDSize]byte

// Hash returns the first 8 bytes of the id's SHA-256 in hex: enough to follow one session through
// logs, of no use to make or guess one.
func (id ID) Hash() string {
	sum := sha256.Sum256(id[:])
	return hex.EncodeToString(sum[:8])
}

// Lifetime says whether a session's cookie outlives the browser.
type Lifetime uint8

// The lifetimes.
const (
	ByRemember Lifetime = iota // it does where Remember is set
	Persistent                 // it does
	Browser                    // it does not
)

// Session is what the session cookie carries. Times are Unix seconds.
type Session struct {
	ID       ID
	Remember bool // under the config's `remember` timeouts
	Lifetime Lifetime
	// Refused says that a write since this token's data did not fit into a cookie.
	Refused bool
	// StartedAt is when this id was made; the absolute timeout runs from it and nothing moves it.
	StartedAt int64
	// AuthenticatedAt is when the person last proved who they are; 0 for a session of nobody.
	AuthenticatedAt int64
	// IssuedAt is when this very token was written; idle counts from it until a touch is newer.
	IssuedAt int64
	// Idle and Absolute are this session's own timeouts in seconds; 0 means the config's.
	Idle, Absolute int64
	// Revision counts what was written to the session since it began.
	Revision uint32
	// Subject names the person; empty where nobody logged in, or only the app knows who.
	Subject string
	// Data is a JSON object as text, or empty.
	Data string
	// Wrapped holds the app's own cookies, as AppendWrapped writes them one after the other.
	Wrapped string
}

// OutlivesBrowser reports whether the session's cookie has a Max-Age.
func (s *Session) OutlivesBrowser() bool {
	return s.Lifetime == Persistent || s.Lifetime == ByRemember && s.Remember
}

// Detach copies the session's strings behind b, so that they outlive the token that they were read
// from, and returns b with them.
func (s *Session) Detach(b []byte) []byte {
	at := len(b)
	b = append(append(append(b, s.Subject...), s.Data...), s.Wrapped...)
	copied := text(b[at:])
	data := len(s.Subject) + len(s.Data)
	s.Subject, s.Data, s.Wrapped = copied[:len(s.Subject)], copied[len(s.Subject):data], copied[data:]
	return b
}

// appendTo writes the payload, big-endian, as docs/format.md lays it out.
func (s *Session) appendTo(b []byte) []byte {
	b = append(b, s.flags())
	b = append(b, s.ID[:]...)
	b = appendUint(b, 5, uint64(s.StartedAt))
	b = appendUint(b, 5, uint64(s.AuthenticatedAt))
	b = appendUint(b, 5, uint64(s.IssuedAt))
	b = appendUint(b, 4, uint64(s.Idle))
	b = appendUint(b, 4, uint64(s.Absolute))
	b = appendUint(b, 4, uint64(s.Revision))
	b = append(appendUint(b, 2, uint64(len(s.Subject))), s.Subject...)
	b = append(appendUint(b, 2, uint64(len(s.Data))), s.Data...)
	return append(appendUint(b, 2, uint64(len(s.Wrapped))), s.Wrapped...)
}

func (s *Session) flags() (f byte) {
	if s.Remember {
		f |= flagRemember
	}
	if s.Refused {
		f |= flagRefused
	}
	return f | [...]byte{ByRemember: 0, Persistent: flagPersistent, Browser: flagBrowser}[s.Lifetime]
}

func (s *Session) setFlags(f byte) {
	s.Remember, s.Refused = f&flagRemember != 0, f&flagRefused != 0
	switch {
	case f&flagPersistent != 0:
		s.Lifetime = Persistent
	case f&flagBrowser != 0:
		s.Lifetime = Browser
	}
}

// parse reads a payload strictly: every byte accounted for, every value in range. The strings point
// into b.
func (s *Session) parse(b []byte) error {
	r := reader(b)
	flags := byte(r.uint(1))
	copy(s.ID[:], r.bytes(IDSize))
	s.setFlags(flags)
	s.StartedAt = int64(r.uint(5))
	s.AuthenticatedAt = int64(r.uint(5))
	s.IssuedAt = int64(r.uint(5))
	s.Idle = int64(r.uint(4))
	s.Absolute = int64(r.uint(4))
	s.Revision = uint32(r.uint(4))
	s.Subject = text(r.bytes(int(r.uint(2))))
	s.Data = text(r.bytes(int(r.uint(2))))
	s.Wrapped = text(r.bytes(int(r.uint(2))))
	// A short payload ends with r nil; exactly all of it read ends with r empty. Comparing flags
	// catches unknown ones and two lifetimes.
	if r == nil || len(r) != 0 || flags != s.flags() || !s.valid() {
		return ErrPayload
	}
	return nil
}

// valid reports whether the values fit together. Seal and Open ask the same, so nothing can be
// written that could not be read.
func (s *Session) valid() bool {
	return s.StartedAt >= 0 && s.StartedAt <= s.IssuedAt && s.IssuedAt <= MaxTime &&
		s.Idle >= 0 && s.Idle <= MaxOverride && s.Absolute >= 0 && s.Absolute <= MaxOverride &&
		s.Lifetime <= Browser && ValidSubject(s.Subject) && validData(s.Data) && validWrapped(s.Wrapped) && s.validAuthentication()
}

// validAuthentication: who is authenticated, as a subject or by one of the app's own cookies, became
// so within the session's life; nobody else did.
func (s *Session) validAuthentication() bool {
	if s.Subject == "" && !authenticates(s.Wrapped) {
		return s.AuthenticatedAt == 0
	}
	return s.StartedAt <= s.AuthenticatedAt && s.AuthenticatedAt <= s.IssuedAt
}

// ValidSubject reports whether s may stand in a request header as it is: UTF-8, at most MaxSubject
// bytes, no control characters, no space at an end (RFC 9110, section 5.5). Empty is valid: nobody.
func ValidSubject(s string) bool {
	if len(s) > MaxSubject {
		return false
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
		ascii = ascii && s[i] < 0x80
	}
	if s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		return false
	}
	return ascii || utf8.ValidString(s)
}

// validData checks the frame only: the MAC says that a Curfew wrote it, and it writes objects only.
func validData(d string) bool {
	return d == "" || len(d) >= 2 && d[0] == '{' && d[len(d)-1] == '}'
}

func appendUint(b []byte, size int, v uint64) []byte {
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// reader takes values off the front of a payload. Past its end it becomes nil for good, so that a
// parser can check once, at the end.
type reader []byte

func (r *reader) bytes(n int) []byte {
	if len(*r) < n || *r == nil {
		*r = nil
		return nil
	}
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) uint(size int) (v uint64) {
	for _, c := range r.bytes(size) {
		v = v<<8 | uint64(c)
	}
	return v
}

// text views b as a string without copying; the valid path must not allocate.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// raw views s as bytes without copying, for readers only.
func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
