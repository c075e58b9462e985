package cookie

import "strings"

// AppCookie is what an app's Set-Cookie asks for. An empty Path stands for the default of the request
// (RFC 6265bis, section 5.1.4).
type AppCookie struct {
	Name, Value, Path string
	Expires           int64 // Unix seconds; 0: with the browser's session
	Gone              bool  // it is to be deleted
	Domain            bool  // it is for a whole domain, and so another than one without
}

// ParseSetCookie reads a Set-Cookie value as a browser does at now (RFC 6265bis, section 5.6). What it
// would drop, and a cookie without a name, is not ok.
func ParseSetCookie(line string, now int64) (c AppCookie, ok bool) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	c.Name, c.Value = trimSpace(name), trimSpace(value)
	if !ok || c.Name == "" || !validText(c.Name) || !validText(c.Value) {
		return AppCookie{}, false
	}
	aged := false
	for rest != "" {
		pair, rest, _ = strings.Cut(rest, ";")
		key, value, _ := strings.Cut(pair, "=")
		value = trimSpace(value)
		switch key = trimSpace(key); {
		case EqualFold(key, "max-age"):
			if age, ok := parseMaxAge(value); ok {
				c.expire(now+age, now)
				aged = true
			}
		case EqualFold(key, "expires") && !aged:
			if at, ok := ParseDate(value); ok {
				c.expire(at, now)
			}
		case EqualFold(key, "domain"):
			c.Domain = value != ""
		case EqualFold(key, "path"):
			if !validText(value) {
				return AppCookie{}, false
			}
			if c.Path = value; !strings.HasPrefix(value, "/") {
				c.Path = ""
			}
		}
	}
	return c, true
}

func (c *AppCookie) expire(at, now int64) {
	c.Expires = min(at, now+MaxOverride)
	c.Gone = at <= now
}

// parseMaxAge reads seconds; what is below 1 is in the past.
func parseMaxAge(s string) (age int64, ok bool) {
	bare, negative := strings.CutPrefix(s, "-")
	if bare == "" {
		return 0, false
	}
	for i := 0; i < len(bare); i++ {
		if bare[i] < '0' || bare[i] > '9' {
			return 0, false
		}
		age = min(age*10+int64(bare[i]-'0'), MaxOverride)
	}
	if negative {
		return 0, true
	}
	return age, true
}

// DefaultPath is where a cookie without a Path belongs that a request to path received (RFC 6265bis,
// section 5.1.4).
func DefaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 && path[0] == '/' {
		return path[:i]
	}
	return "/"
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }
