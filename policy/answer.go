package policy

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// GRPCUnauthenticated is the grpc-status of a call without a session (gRPC core, statuscodes.md).
const GRPCUnauthenticated = 16

// noGRPC leaves the translation of the status to Envoy.
const noGRPC = -1

// Answer is a reply that Curfew gives itself.
type Answer struct {
	Status  uint32
	Headers [][2]string
	Body    []byte
	GRPC    int32 // grpc-status, or -1
}

// Answer turns a decision other than Pass into a reply to that request at now (Unix seconds).
func (c *Config) Answer(r *Request, d *Decision, now int64) Answer {
	asker := r.asker()
	a := personal()
	switch d.Verdict {
	case Logout:
		if d.Call == LogoutCall && asker != Page {
			return c.loggedOut(r, d, now)
		}
		a.Status = 303
		a.add("location", c.Logout.Redirect)
	case Refuse:
		c.refuse(&a, r, d)
	default:
		c.sendToLogin(&a, r, asker, d.Reason)
	}
	if asker == Prefetch {
		return a
	}
	if d.Drop || asker == Page {
		// Whatever asks, once the cookies are gone no later request knows why.
		a.setCookies(c.messages(d.Reason, now))
	}
	if d.Drop {
		a.setCookies(c.Deletions(len(r.Jar.Renewed) > 0))
	}
	return a
}

// personal begins an answer that depended on a cookie, which no cache may keep (RFC 9111, section 3.5 does not
// cover cookies).
func personal() Answer {
	a := Answer{Status: 200, GRPC: noGRPC}
	a.add("cache-control", "no-store")
	a.add("vary", "Cookie")
	return a
}

func (a *Answer) add(name, value string) { a.Headers = append(a.Headers, [2]string{name, value}) }

func (a *Answer) setCookies(values []string) {
	for _, v := range values {
		a.add("set-cookie", v)
	}
}

// sendToLogin answers by what is asking: a redirect helps only where a person sees the next page.
// Never 307 or 308: they would carry a form's body to the login page.
func (c *Config) sendToLogin(a *Answer, r *Request, asker Asker, reason Reason) {
	url := c.loginURL(r, asker, reason)
	switch asker {
	case Page:
		a.Status = 303
		if r.Method == "GET" || r.Method == "HEAD" {
			a.Status = 302
		}
		a.add("location", url)
	case EventSource:
		a.Status = 204 // the one status that stops its retries (HTML, section 9.2.3)
	case GRPC:
		a.Status, a.GRPC = 401, GRPCUnauthenticated
		a.Body = []byte(reason.String()) // becomes grpc-message
	case API:
		a.unauthorized()
		a.problem("Unauthorized", reason, url)
	default: // WebSocket, Prefetch, Subresource: nobody reads a body
		a.unauthorized()
	}
}

// unauthorized: a 401 must name a scheme (RFC 9110, section 15.5.2); this one opens no dialog.
func (a *Answer) unauthorized() {
	a.Status = 401
	a.add("www-authenticate", "Cookie")
}

func (c *Config) refuse(a *Answer, r *Request, d *Decision) {
	methods := c.Logout.Methods
	if d.Call != NoCall {
		methods = d.Call.methods()
	}
	switch {
	case d.Reason == Unreadable:
		a.Status = 431
		a.problem("Request Header Fields Too Large", d.Reason, "")
	case d.Reason == FeedStale:
		a.Status = 503
		a.add("retry-after", strconv.FormatInt(c.Revoke.Feed.Interval, 10)) // RFC 9110, section 10.2.3
		a.problem("Service Unavailable", d.Reason, "")
	case (d.Reason == LogoutRefused || d.Reason == CallRefused) && !contains(methods, r.Method):
		a.Status = 405
		a.add("allow", join(methods)) // RFC 9110, section 15.5.6
		a.problem("Method Not Allowed", d.Reason, "")
	default:
		a.Status = 403
		a.problem("Forbidden", d.Reason, "")
	}
}

// BadGateway is the answer to a browser whose app spoke x-session wrongly. It says nothing of what
// the app said; the log does.
func BadGateway() Answer {
	a := Answer{Status: 502, GRPC: noGRPC}
	a.add("cache-control", "no-store")
	a.problem("Bad Gateway", BadCommand, "")
	return a
}

// problem writes the body of RFC 9457.
func (a *Answer) problem(title string, reason Reason, login string) {
	a.add("content-type", "application/problem+json")
	b := gjson.AppendJSONString([]byte(`{"title":`), title)
	b = strconv.AppendUint(append(b, `,"status":`...), uint64(a.Status), 10)
	b = gjson.AppendJSONString(append(b, `,"reason":`...), reason.String())
	if login != "" {
		b = appendURL(append(b, `,"login":`...), login)
	}
	a.Body = append(b, '}')
}

// appendURL writes a URL that we made as a JSON string. It has but quotes to escape, of login.url's
// path: controls and backslashes are escaped in its parts or refused in the config.
func appendURL(b []byte, url string) []byte {
	return append(append(append(b, '"'), strings.ReplaceAll(url, `"`, `\"`)...), '"')
}

// Deletions are the Set-Cookie values that remove our cookies, that of a renewal where there is one. The session's comes last: of several
// deletions in one response, curl 7.88 keeps all but the last in its cookie file.
func (c *Config) Deletions(renewed bool) (cookies []string) {
	if renewed {
		cookies = append(cookies, c.deletion(cookie.RenewedSuffix))
	}
	return append(cookies, c.deletion(cookie.TouchSuffix), c.deletion(""))
}

func (c *Config) deletion(suffix string) string { return c.attributes.Delete(c.Cookie.Name + suffix) }
