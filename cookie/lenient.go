package cookie

// Alike reports whether some server takes two cookies' names for one.
func Alike(a, b string) bool { return reads(a+"=", b) || reads(b+"=", a) }

// anyReads reports whether some server finds the cookie of that name in a pair. A pair of the grammar
// (RFC 6265bis, section 4.2.1) is one cookie to all of them; in others some begin anew: Python's
// http.cookies behind a space, ASP.NET Core and Perl's CGI behind a comma, ASP.NET Core behind whatever
// it takes for broken.
func anyReads(pair string, eq int, name string) bool {
	grammatical := wellFormed(pair, eq)
	for i := skip(pair); i < len(pair); i += skip(pair[i:]) {
		if reads(pair[i:], name) {
			return true
		}
		if grammatical {
			return false
		}
		for i < len(pair) && InToken(pair[i]) {
			i++
		}
	}
	return false
}

func wellFormed(pair string, eq int) bool {
	for i := 0; i < eq; i++ {
		if !InToken(pair[i]) {
			return false
		}
	}
	value := pair[eq+1:]
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == '\\' {
			return false
		}
	}
	return eq > 0
}

// reads reports whether some server reads a cookie as the one of that name. They are lenient in many
// ways: spaces, quotes or an equals sign in front, names without regard to case, escapes in names,
// another character for what is no letter or digit. PHP ends a name at a bracket, and at a NUL.
func reads(pair, name string) bool {
	i, n := skip(pair), skip(name)
	for ; n < len(name); n++ {
		if i < len(pair) && pair[i] == '=' {
			return false
		}
		c := byte(0)
		if c, i = unescape(pair, i); Fold(c) != Fold(name[n]) {
			return false
		}
	}
	for i < len(pair) && pair[i] != '=' {
		if pair[i] == '[' { // PHP makes a list of name[x]
			return true
		}
		c := byte(0)
		switch c, i = unescape(pair, i); {
		case c == 0, c == '[':
			return true
		case Fold(c) != '-':
			return false
		}
	}
	return i < len(pair)
}

// skip returns where the first letter or digit is.
func skip(s string) (i int) {
	for i < len(s) {
		c, next := unescape(s, i)
		if Fold(c) != '-' {
			break
		}
		i = next
	}
	return i
}

// unescape returns the byte at i, of a URL's escape the byte it stands for, and where the next begins.
func unescape(s string, i int) (byte, int) {
	switch {
	case i >= len(s):
		return 0, i
	case s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) < 16 && hexDigit(s[i+2]) < 16:
		return hexDigit(s[i+1])<<4 | hexDigit(s[i+2]), i + 3
	}
	return s[i], i + 1
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}
