package cookie

import "strings"

// RenewedSuffix makes the name of the renewal cookie from the session cookie's. It has the session sealed
// again, for in the session's own cookie a renewal that comes late would undo a change.
const RenewedSuffix = "-renewed"

// BoundSize is how much of the session's token a renewal names, in bytes: its last characters, which are of its
// MAC and so of no other token.
const BoundSize = 16

// renewalRoom is what a renewal takes beside its token, in bytes.
const renewalRoom = len(RenewedSuffix) + BoundSize + len(".")

// BoundTo returns what a renewal says of the session token that it renews.
func BoundTo(session string) string { return session[max(len(session)-BoundSize, 0):] }

// CutRenewal returns the token in a renewal cookie's value. ok is false where it does not renew that very
// session token: it is late, or left over, and means nothing.
func CutRenewal(value, session string) (token string, ok bool) {
	bound, token, _ := strings.Cut(value, ".")
	return token, len(bound) == BoundSize && bound == BoundTo(session)
}
