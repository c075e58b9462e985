package policy

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Serve answers a call, with what it did to the session: Touched, Renewed or OK.
func (c *Config) Serve(r *Request, d *Decision, now int64, random func([]byte) error) (Answer, Reason) {
	switch d.Call {
	case ScriptCall:
		return c.serveScript(r), OK
	case EndCall:
		return c.serveEnd(r, d, now), OK
	case StatusCall, KeepaliveCall:
		return c.serveStatus(r, d, now, random)
	}
	a := Answer{Status: 404, GRPC: noGRPC}
	a.add("cache-control", "no-store")
	a.problem("Not Found", d.Reason, "")
	return a, OK
}

// testCookie tells whether a browser takes cookies: where a status came without any, the next one should
// come with this.
const (
	testCookie       = "curfew-test"
	testCookieMaxAge = 5 * 60 // seconds
)

func (c *Config) serveStatus(r *Request, d *Decision, now int64, random func([]byte) error) (Answer, Reason) {
	a := personal()
	if d.Call == KeepaliveCall && !d.Live {
		a.unauthorized()
	}
	c.status(&a, r, d, now)
	if d.Call == StatusCall {
		if len(r.Jar.Lines) == 0 {
			attributes := c.attributes
			attributes.Path, attributes.Domain = c.Browser.Path, ""
			a.add("set-cookie", attributes.Set(testCookie, "1", testCookieMaxAge))
		}
		return a, OK
	}
	var o Origin
	c.Keep(&o, r, d, now)
	reply := c.keepUp(&o, &Response{}, &o.Session, OK, now, random)
	a.setCookies(reply.Cookies)
	return a, reply.Reason
}

// status writes the document that scripts read.
func (c *Config) status(a *Answer, r *Request, d *Decision, now int64) {
	a.add("content-type", "application/json")
	a.add("x-content-type-options", "nosniff")
	idle, absolute, warn := int64(0), int64(0), int64(0)
	if d.Live {
		idle, absolute, warn = max(d.IdleAt-now, 0), max(d.ExpiresAt-now, 0), max(c.warnAt(d)-now, 0)
	}
	b := gjson.AppendJSONString([]byte(`{"state":`), d.Reason.String())
	if c.Browser.Subject && d.Live {
		b = gjson.AppendJSONString(append(b, `,"subject":`...), d.Session.Subject)
	}
	b = appendNumber(b, `,"idle_in":`, idle)
	b = appendNumber(b, `,"expires_in":`, absolute)
	b = appendNumber(b, `,"warn_in":`, warn)
	b = strconv.AppendBool(append(b, `,"required":`...), d.Required)
	b = strconv.AppendBool(append(b, `,"cookie":`...), len(r.Jar.Lines) > 0)
	a.Body = append(b, '}')
}

// warnAt is when to warn of the sooner of both ends: Warn before it, or in the middle of a timeout that is
// shorter than two of that.
func (c *Config) warnAt(d *Decision) int64 {
	end, whole := d.IdleAt, d.IdleAt-d.Seen
	if d.ExpiresAt <= d.IdleAt {
		end, whole = d.ExpiresAt, d.ExpiresAt-d.Session.StartedAt
	}
	return end - min(c.Browser.Warn, whole/2)
}

// serveEnd sends a page whose session is over to the login page. Where another tab keeps the session alive
// it goes neither there nor back: loading the page would be activity, and two tabs that nobody looks at
// would keep each other alive.
func (c *Config) serveEnd(r *Request, d *Decision, now int64) Answer {
	page := r.page(EndCall)
	if d.Reason != OK {
		told := *d
		told.Verdict, told.Reason = Login, c.presumed(r, d)
		return c.Answer(&page, &told, now)
	}
	to := c.returnTo(&page, Page)
	a := personal()
	a.add("content-type", "text/html; charset=utf-8")
	// (It also keeps the browser from asking for an icon, which a rule could take for activity.)
	a.add("content-security-policy", "default-src 'none'; frame-ancestors 'self'")
	a.add("refresh", c.refresh(min(d.IdleAt, d.ExpiresAt)-now, to))
	a.Body = []byte(`<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<meta name="color-scheme" content="light dark"><title>Still signed in</title><main><h1>You are still signed in</h1>` +
		`<p>This page rested, while you were active in another one.</p><p><a href="` + escapeHTML(to) + `">Go on here</a></p></main></html>`)
	return a
}

// presumed is why the session ended: what the page says, where the cookies no longer do. Another site could
// make such a link, and is not believed.
func (c *Config) presumed(r *Request, d *Decision) Reason {
	path, _ := splitPath(r.Path)
	switch {
	case d.Reason != Absent || r.crossSite():
		return d.Reason
	case strings.HasSuffix(path, endIdle):
		return IdleTimeout
	case strings.HasSuffix(path, endAbsolute):
		return AbsoluteTimeout
	}
	return d.Reason
}

// loggedOut tells a script that it did what a page would be redirected for.
func (c *Config) loggedOut(r *Request, d *Decision, now int64) Answer {
	a := personal()
	c.status(&a, r, d, now)
	a.setCookies(c.Deletions(len(r.Jar.Renewed) > 0))
	return a
}

// escapeHTML makes text of s, in an attribute in double quotes too (HTML, section 13.3).
func escapeHTML(s string) string {
	for _, c := range [...][2]string{{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {`"`, "&quot;"}} {
		s = strings.ReplaceAll(s, c[0], c[1])
	}
	return s
}
