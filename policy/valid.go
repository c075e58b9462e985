package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// parseTarget splits where a browser may be sent: a plain path of this site, or a URL.
func parseTarget(target string, allowHTTP bool) (host, path string, ok bool) {
	rest, absolute := strings.CutPrefix(target, "https://")
	if !absolute && allowHTTP {
		rest, absolute = strings.CutPrefix(target, "http://")
	}
	if absolute {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return "", "", false
		}
		host, rest = rest[:slash], rest[slash:]
		if !validAuthority(host) {
			return "", "", false
		}
	}
	path, query := splitPath(rest)
	return host, path, len(target) <= maxReturnTo && plainPath(path) && plainQuery(query)
}

func validAuthority(s string) bool {
	name, port, has := strings.Cut(s, ":")
	return validHost(name) && (!has || validPort(port))
}

func validPort(s string) bool {
	for i := 0; i < len(s); i++ {
		if !digit(s[i]) {
			return false
		}
	}
	return s != "" && s[0] != '0' && len(s) <= 5 && number(s) <= 65535
}

// validHost: labels of letters, digits and inner hyphens, in lower case, joined by dots (RFC 1123).
func validHost(s string) bool {
	for rest, more := s, true; more; {
		var label string
		if label, rest, more = strings.Cut(rest, "."); !validLabel(label) {
			return false
		}
	}
	return len(s) <= 253
}

func validLabel(s string) bool {
	for i := 0; i < len(s); i++ {
		edge := i == 0 || i == len(s)-1
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || edge) {
			return false
		}
	}
	return s != ""
}

// validToken is RFC 9110's token.
func validToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !cookie.InToken(s[i]) {
			return false
		}
	}
	return s != ""
}

func hasLower(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'a' && s[i] <= 'z' {
			return true
		}
	}
	return false
}

func validMethod(s string) bool { return validToken(s) && !hasLower(s) && len(s) <= 32 }

func validParam(s string) bool { return validPath(s) && len(s) <= 64 }

func validAudience(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= 128
}

// validPlain is a plain path that a request can have: a query is no part of it, and * is a star, which
// nobody means.
func validPlain(s string) bool { return plainPath(s) && !strings.ContainsAny(s, "?*") }

// validPath is a gjson path without wildcards, queries or modifiers: words joined by dots.
func validPath(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-.", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 128 && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

func validDocumentPath(s string) bool {
	switch root, _, _ := strings.Cut(s, "."); root {
	case "@this":
		return s == root
	case "subject", "id", "started_at", "authenticated_at", "touched_at", "idle_in", "expires_in", "remember", "refreshed", "revision", "reason":
		return s == root
	case "data":
		return validPath(s)
	}
	return false
}

func validFolder(s string) bool {
	return len(s) > 2 && s[len(s)-1] == '/' && validPlain(s)
}

func validCookiePath(s string) bool {
	return validPlain(s) && strings.IndexByte(s, ',') < 0 && len(s) <= 256
}

// validHeaderName: a token in lower case that neither HTTP nor Envoy nor Curfew gives a meaning.
func validHeaderName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	if s == "" || len(s) > 64 || hasFoldedPrefix(s, "x-envoy-") || hasFoldedPrefix(s, "sec-") || hasFoldedPrefix(s, "access-control-") {
		return false
	}
	switch foldHeader(s) {
	case "accept", "purpose", "host", "cookie", "set-cookie", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te",
		"trailer", "upgrade", "content-length", "content-type", "expect", "authorization", "origin", "referer",
		"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", ReasonHeader, ErrorHeader, ActivityHeader:
		return false
	}
	return true
}

// validWrap: a token with something in it that a lenient server's folding leaves.
func validWrap(s string) bool {
	for i := 0; i < len(s); i++ {
		if cookie.Fold(s[i]) != '-' {
			return validToken(s) && len(s) <= cookie.MaxWrappedName
		}
	}
	return false
}
