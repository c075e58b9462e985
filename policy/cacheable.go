package policy

import "strings"

// cacheable reports whether a response declares that it may be kept and used again (RFC 9111,
// section 5.2.2 and 5.3). Silence is not a declaration.
func (r *Response) cacheable() bool {
	fresh := r.Expires != "" && r.Expires != "0" && r.CacheControl == ""
	for rest := r.CacheControl; rest != ""; {
		var directive string
		directive, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return false
		case "public", "immutable", "stale-while-revalidate", "stale-if-error":
			fresh = true
		case "max-age", "s-maxage":
			fresh = fresh || strings.Trim(value, `"0`) != ""
		}
	}
	return fresh
}
