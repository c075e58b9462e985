package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// maxReturnTo bounds `next`, in bytes before escaping.
const maxReturnTo = 2048

// loginURL is where somebody without a session is sent: the configured URL with where to return to
// and why.
func (c *Config) loginURL(r *Request, asker Asker, reason Reason) string {
	b := make([]byte, 0, len(c.Login.URL)+len(r.Path)+64)
	b = append(b, c.Login.URL...)
	sep := byte('?')
	if strings.IndexByte(c.Login.URL, '?') >= 0 {
		sep = '&'
	}
	b = append(append(append(b, sep), c.Login.ReturnParam...), '=')
	b = appendQueryEscaped(b, c.returnTo(r, asker))
	b = append(append(append(b, '&'), c.Login.ReasonParam...), '=')
	return string(append(b, reason.String()...))
}

// returnTo is the page to come back to: the one asked for, or, for what is not a page, the one it
// was asked from. It is a path of this very site in its plain form, or `/`.
func (c *Config) returnTo(r *Request, asker Asker) string {
	to := r.Path
	if asker != Page || r.Method != "GET" && r.Method != "HEAD" {
		to = r.refererPath()
	}
	path, query := splitPath(to)
	if len(to) > maxReturnTo || !plainPath(path) || !plainQuery(query) || c.loops(path) {
		return "/"
	}
	return to
}

// loops reports whether going back there after a login would undo it or ask for it again.
func (c *Config) loops(path string) bool {
	for _, on := range c.Login.StartOn {
		if path == on.Path {
			return true
		}
	}
	return path == c.Login.path || path == c.Logout.Path || underPrefix(path, c.Browser.Path)
}

// refererPath is the Referer's path and query if it is of the same host, else "".
func (r *Request) refererPath() string {
	h := originHost(r.Referer)
	if h == "" || !cookie.EqualFold(h, r.Authority) {
		return ""
	}
	_, rest, _ := strings.Cut(r.Referer, "://")
	return rest[len(h):]
}

// plainQuery reports whether a query has only bytes that RFC 3986, section 3.4 allows in one.
func plainQuery(q string) bool {
	for i := 0; i < len(q); i++ {
		if c := q[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// appendQueryEscaped percent-encodes s as the value of a query parameter. Slashes stay, as RFC 3986,
// section 3.4 allows, because people read these URLs.
func appendQueryEscaped(b []byte, s string) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}
