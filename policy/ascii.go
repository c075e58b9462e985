package policy

import "github.com/curfew-proxy/curfew/cookie"

// lower returns s with A-Z as a-z.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if cookie.Lower(s[i]) != s[i] {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = cookie.Lower(b[i])
			}
			return string(b)
		}
	}
	return s
}

// trim drops space, tab and line ends from both ends.
func trim(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
