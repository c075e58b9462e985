package cookie

import "strings"

// Names in HTTP are ASCII (RFC 9110, section 5.1). Package strings would fold all of Unicode, with
// tables of some ten kilobytes, and call K (the sign for kelvin) a k.

// Lower returns A-Z as a-z, and any other byte as it is.
func Lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// EqualFold compares without regard to the case of A-Z.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// Fold makes one of a letter's two cases, and - of all that is no letter or digit: servers that hand names
// over as variables do (RFC 3875, section 4.1.18).
func Fold(c byte) byte {
	if c = Lower(c); c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return '-'
}

// InToken reports whether c may stand in a token (RFC 9110, section 5.6.2).
func InToken(c byte) bool {
	return Fold(c) != '-' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
