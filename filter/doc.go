// Package filter is the only part of Curfew that knows proxy-wasm. It reads what the host has,
// asks package policy, and does what that says.
//
// The boundary between host and guest costs more than everything behind it, so a request with a
// live session crosses it five times: all request headers, the clock, the Cookie line without our
// cookies, the identity, and one look for x-session on the response. Nothing on that way allocates
// but the buffer for the headers, which the host asks for.
package filter
