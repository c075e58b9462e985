package policy

import "strings"

// splitPath cuts the query off. Rules never see it.
func splitPath(path string) (p, query string) {
	p, query, _ = strings.Cut(path, "?")
	return p, query
}

// plainPath reports whether every server would read the path the same way. Where one may decode,
// collapse or cut what another keeps, a rule for the path it shows may not be the rule for the path
// it becomes.
func plainPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == ';' || c == '#':
			return false
		case c == '%' && !plainEscape(p[i+1:]):
			return false
		case c == '/' && !plainSegment(p[i+1:]):
			return false
		}
	}
	return true
}

// plainEscape looks at what follows a percent sign. Plain are only escapes that have no other
// spelling: of a space and of bytes beyond ASCII, with capital digits (RFC 3986, section 6.2.2). What
// could stand there bare would slip past a rule that has it bare.
func plainEscape(rest string) bool {
	if len(rest) < 2 {
		return false
	}
	hi, lo := unhex(rest[0]), unhex(rest[1])
	if hi < 0 || lo < 0 {
		return false
	}
	switch c := byte(hi<<4 | lo); c {
	case 0xc0, 0xc1: // leads of overlong UTF-8
		return false
	case 0xe0, 0xf0:
		// Shortest form starts its second byte with at least %A0 or %90.
		return len(rest) >= 5 && rest[2] == '%' && unhex(rest[3]) > 8 && (c == 0xf0 || unhex(rest[3]) > 9)
	default:
		return c == ' ' || c >= 0x80 && c < 0xf5
	}
}

// plainSegment looks at what follows a slash: not another one, and not a dot segment.
func plainSegment(rest string) bool {
	seg := rest
	if end := strings.IndexByte(rest, '/'); end >= 0 {
		if end == 0 {
			return false
		}
		seg = rest[:end]
	}
	return seg != "." && seg != ".."
}

// unhex reads a digit of an escape in its one plain spelling, which is capital.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// underPrefix matches whole segments: /a covers /a and /a/b, never /ab; /a/ covers what is below it.
func underPrefix(p, prefix string) bool {
	if !strings.HasPrefix(p, prefix) {
		return false
	}
	return len(p) == len(prefix) || prefix[len(prefix)-1] == '/' || p[len(prefix)] == '/'
}
