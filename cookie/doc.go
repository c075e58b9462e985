// Package cookie owns everything that Curfew keeps in a browser: the session token and the touch
// token (docs/format.md is their specification), the keys that protect them, the Cookie request
// header (RFC 6265bis, section 5.8.3) and the Set-Cookie response header (section 4.1).
//
// # Three cookies
//
// The session cookie holds who somebody is and what the app keeps, and is written when that changes. The
// touch cookie holds only when they were last active, and is written often. The renewal holds the session
// sealed again, under a new key or after a while. With fewer, a slow response could put old data back.
//
// # Misuse
//
// A Codec keeps hash states and buffers of its own, so that opening a token does not allocate. It
// is for one goroutine (in Envoy: one worker's VM), and the strings of a Session it opened are
// valid until it opens the next.
package cookie
