// Package cookie owns everything that Curfew keeps in a browser: the session token and the touch
// token (docs/format.md is their specification), the keys that protect them, the Cookie request
// header (RFC 6265bis, section 5.8.3) and the Set-Cookie response header (section 4.1).
//
// # Two cookies
//
// The session cookie holds who somebody is and is written rarely: at login, when its data changes
// and when it is renewed. The touch cookie holds only when they were last active, and is written
// often. One cookie for both would let a slow response put old data back.
//
// # Misuse
//
// A Codec keeps hash states and buffers of its own, so that opening a token does not allocate. It
// is for one goroutine (in Envoy: one worker's VM), and the strings of a Session it opened are
// valid until it opens the next.
package cookie
