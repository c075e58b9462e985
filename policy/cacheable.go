package policy

import "strings"

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
	expires, ok := parseHTTPDate(r.Expires)
	return ok && expires > now
}

// parseHTTPDate reads a date in the one form that may still be sent (RFC 9110, section 5.6.7) as Unix
// seconds.
func parseHTTPDate(s string) (unix int64, ok bool) {
	const form, names, numbers = "Thu, 01 Dec 2033 16:00:00 GMT", "JanFebMarAprMayJunJulAugSepOctNovDec", "010203040506070809101112"
	if len(s) != len(form) || s[3:5] != ", " || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[25:] != " GMT" {
		return 0, false
	}
	i := strings.Index(names, s[8:11])
	if i%3 != 0 {
		return 0, false
	}
	month := numbers[i/3*2:][:2]
	return parseTime(s[12:16] + "-" + month + "-" + s[5:7] + "T" + s[17:25] + "Z")
}
