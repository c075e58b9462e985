package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// cacheable reports whether a response declares at now that it may be kept and used again (RFC 9111,
// section 5.2.2 and 5.3). Silence is not a declaration.
func (r *Response) cacheable(now int64) bool {
	if r.Targeted {
		return true
	}
	fresh, aged := false, false
	for rest := r.CacheControl; rest != ""; {
		var directive string
		directive, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(lower(trim(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return false
		case "public", "immutable", "stale-while-revalidate", "stale-if-error":
			fresh = true
		case "max-age", "s-maxage":
			aged = true
			fresh = fresh || strings.Trim(value, `"0`) != ""
		}
	}
	if fresh || aged {
		return fresh // a maximum age goes before Expires (section 5.3)
	}
	// What is no date, such as the usual 0 and -1, is in the past.
	expires, ok := cookie.ParseDate(r.Expires)
	return ok && expires > now
}
