package policy

import "strconv"

// refresh is the value of the header that takes a page to its end (HTML, section 4.2.5.3, in its form as
// a header).
func (c *Config) refresh(in int64, page string) string {
	return strconv.FormatInt(max(in, 0), 10) + "; url=" + c.Browser.Path + "end?" + page
}

// Told reports whether the response to o says when the session ends.
func (c *Config) Told(o *Origin) bool {
	return o.Live && !c.ReportOnly && (c.Browser.Headers || o.page != "")
}

// Tell calls set with each header by which a response says when the session ends, and reports whether
// there was one. What a cache may keep says nothing: others would read it.
func (c *Config) Tell(o *Origin, r *Response, reply *Reply, now int64, set func(name, value string)) bool {
	if !c.Told(o) || r.cacheable(now) || reply.Ended != OK {
		return false
	}
	d := Decision{Session: o.Session, Seen: max(o.slot, reply.Seen), limit: o.limit}
	if reply.Session.StartedAt != 0 {
		d.Session = reply.Session
	}
	c.deadlines(&d)
	if c.Browser.Headers {
		set("session-idle-in", strconv.FormatInt(max(d.IdleAt-now, 0), 10))
		set("session-expires-in", strconv.FormatInt(max(d.ExpiresAt-now, 0), 10))
	}
	if o.page != "" && !r.Refreshes {
		set("refresh", c.refresh(min(d.IdleAt, d.ExpiresAt)-now, o.page))
	}
	return true
}
