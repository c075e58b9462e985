package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// Header names of Curfew's own.
const (
	// CommandHeader is what an app answers with; everything that begins so is removed from requests.
	CommandHeader = "x-session"
	// ReasonHeader tells an app why it sees no session. Only Curfew sets it.
	ReasonHeader = "x-session-reason"
	// ErrorHeader tells an app that a change of the session did not fit.
	ErrorHeader = "x-session-error"
	// ActivityHeader: a client's "passive" keeps a request from sliding the idle deadline.
	ActivityHeader = "x-session-activity"
)

// Ours reports whether a request header must not come from a client: x-session and all that begins
// so, and every mapped name; case does not count, and whatever is no letter or digit is -, for servers
// that hand headers over as environment variables make one and the same _ of it (RFC 3875, section
// 4.1.18).
func (c *Config) Ours(name string) bool {
	if hasFoldedPrefix(name, CommandHeader) {
		return true
	}
	for i := range c.HeaderMap {
		if n := c.HeaderMap[i].Name; len(n) == len(name) && hasFoldedPrefix(name, n) {
			return true
		}
	}
	return false
}

func hasFoldedPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		if cookie.Fold(name[i]) != cookie.Fold(prefix[i]) {
			return false
		}
	}
	return true
}

func foldHeader(name string) string { return strings.ReplaceAll(name, "_", "-") }

// TargetsCaches reports whether a response header holds cache directives for others than browsers
// (RFC 9213, and what some of those others call theirs).
func TargetsCaches(name string) bool {
	return strings.HasSuffix(name, "cdn-cache-control") || name == "surrogate-control"
}

// SetsOurs reports whether a Set-Cookie value is for one of our cookies.
func (c *Config) SetsOurs(setCookie string) bool {
	name, _, _ := strings.Cut(setCookie, "=")
	name = trim(name)
	suffix, ok := strings.CutPrefix(name, c.Cookie.Name)
	return ok && (suffix == "" || suffix == cookie.TouchSuffix || suffix == cookie.RenewedSuffix)
}
