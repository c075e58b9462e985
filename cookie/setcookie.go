package cookie

import "strconv"

// SessionOnly as a maximum age leaves Max-Age out: the cookie ends with the browser's session.
const SessionOnly = -1

// Attributes are what every Set-Cookie of ours carries beside its name and value (RFC 6265bis,
// section 4.1.2). HttpOnly is always there.
type Attributes struct {
	Path, Domain, SameSite string
	Secure, Partitioned    bool
}

// Set returns a Set-Cookie value. maxAge is in seconds, or SessionOnly.
func (a *Attributes) Set(name, value string, maxAge int64) string {
	b := make([]byte, 0, len(name)+len(value)+128)
	b = append(append(append(b, name...), '='), value...)
	if maxAge >= 0 {
		b = strconv.AppendInt(append(b, "; Max-Age="...), maxAge, 10)
	}
	return string(a.append(b))
}

// Delete returns a Set-Cookie value that removes the cookie. A browser takes it for the same cookie
// only if Path and Domain are the same, and takes it at all for a prefixed name only if Secure is.
// Expires is for clients without Max-Age.
func (a *Attributes) Delete(name string) string {
	b := append([]byte(name), "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"...)
	return string(a.append(b))
}

func (a *Attributes) append(b []byte) []byte {
	b = append(append(b, "; Path="...), a.Path...)
	if a.Domain != "" {
		b = append(append(b, "; Domain="...), a.Domain...)
	}
	b = append(b, "; HttpOnly"...)
	if a.Secure {
		b = append(b, "; Secure"...)
	}
	b = append(append(b, "; SameSite="...), a.SameSite...)
	if a.Partitioned {
		b = append(b, "; Partitioned"...)
	}
	return b
}
