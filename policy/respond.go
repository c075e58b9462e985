package policy

import (
	"cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// Response is what the filter read of the app's response.
type Response struct {
	Status   int
	Commands []string // the values of x-session
	// SetCookies are the values of Set-Cookie that Wraps takes out.
	SetCookies []string
	// Header values; "" where the app sent none.
	CacheControl, Expires, Age string
	// Targeted says that it has cache directives for others than browsers (RFC 9213), which outrank
	// our no-store there.
	Targeted bool
}

// Reply is what to do with a response.
type Reply struct {
	Cookies []string // Set-Cookie values, one for each name
	// Reason is OK where nothing happened. Session is the one with a new id, if any: with Opened,
	// Started and Rotated, and with Ended where cookies of the app's go on as nobody's.
	Reason  Reason
	Session cookie.Session
	// Ended says that Origin's session is over by it: OK, Replaced or Ended.
	Ended Reason
	// Fault says what the app did wrong: with BadCommand, with TooLarge, and with OK where a wrapped
	// cookie was lost.
	Fault Fault
}

func bad(fault Fault) Reply { return Reply{Reason: BadCommand, Fault: fault} }

// Respond decides what a response writes at now (Unix seconds). In this order: the app starts a session,
// it says something to its own cookies, it changes what there is by then; else what the request left to do.
func (c *Config) Respond(o *Origin, r *Response, now int64, random func([]byte) error) Reply {
	cmd, fault := c.parseCommand(r.Commands)
	if fault == "" {
		fault = c.mayCommand(o, r, &cmd)
	}
	if fault != "" {
		return bad(fault)
	}
	if cmd.end {
		return c.end(o)
	}
	s, done := o.Session, OK
	if cmd.start != nil {
		s, done = beginning(o, cmd.start), Started
	}
	done, lost := c.follow(&s, done, o, r, now)
	done, fault = c.obey(&s, done, o, &cmd)
	var reply Reply
	switch {
	case fault != "":
		return bad(fault)
	case lost != "" && done == Started:
		return bad(lost) // it must not look like a login
	case done == Ended && s.Wrapped == "":
		return c.end(o)
	case done != OK:
		reply = c.write(o, r, s, done, now, random)
	default:
		reply = c.keepUp(o, r, now, random)
	}
	reply.Fault = cmp.Or(reply.Fault, lost)
	return reply
}

// mayCommand says why a command is not allowed here, if so.
func (c *Config) mayCommand(o *Origin, r *Response, cmd *command) Fault {
	switch {
	case (cmd.any() || cmd.end) && r.Age != "":
		return FaultStored
	case cmd.start == nil:
		return ""
	case !o.CanStart:
		return FaultRoute
	case r.Status >= 400:
		return FaultStatus
	case o.Insecure && !c.AllowInsecure:
		return FaultInsecure
	}
	return ""
}

// obey applies a command to the session. done is what has happened to it by then, and becomes what was
// done in all: OK is nothing.
func (c *Config) obey(s *cookie.Session, done Reason, o *Origin, cmd *command) (Reason, Fault) {
	if !cmd.any() {
		return done, ""
	}
	if !o.Live && done == OK {
		if fault := c.mayOpen(o, cmd); fault != "" {
			return done, fault
		}
	}
	if cmd.set != "" {
		if data := unlessEmpty(merge(s.Data, cmd.set)); data != s.Data {
			s.Data = data
			s.Revision++
		}
	}
	if cmd.remember != nil {
		s.Remember, s.Lifetime = *cmd.remember, cookie.ByRemember
	}
	if cmd.expire != nil {
		s.Idle, s.Lifetime = cmd.expire.idle, cmd.expire.lifetime
	}
	switch {
	case done != OK && done != Changed:
		return done, ""
	case !o.Live && s.Data == "":
		return OK, "" // nothing to keep
	case !o.Live:
		return Opened, ""
	case cmd.rotate:
		return Rotated, ""
	case *s != o.Session:
		return Changed, ""
	}
	return OK, ""
}

// mayOpen says why an anonymous session may not begin by a command here, if so.
func (c *Config) mayOpen(o *Origin, cmd *command) Fault {
	switch {
	case o.Closed || !c.Anonymous || cmd.set == "":
		return FaultNoSession
	case o.Insecure && !c.AllowInsecure:
		return FaultInsecure
	}
	return ""
}

// beginning is a session that starts from nothing. Data may be kept of whoever was here before, but never
// another person's.
func beginning(o *Origin, t *start) cookie.Session {
	s := cookie.Session{Subject: t.subject, Data: t.data, Remember: t.remember, Idle: t.idle, Absolute: t.absolute, Wrapped: o.Session.Wrapped}
	if t.keep && (o.Session.AuthenticatedAt == 0 || o.Session.Subject == t.subject) {
		s.Data = merge(o.Session.Data, cmp.Or(t.data, "{}"))
	}
	s.Data = unlessEmpty(s.Data)
	return s
}

// unlessEmpty is data as a session has it: nothing for an object without members.
func unlessEmpty(data string) string {
	if data == "{}" {
		return ""
	}
	return data
}

// write seals a session that has changed. A new one, and one with a new privilege, gets an id that nobody
// has seen before: one planted before the login is worth nothing after it (session fixation, CWE-384).
func (c *Config) write(o *Origin, r *Response, s cookie.Session, done Reason, now int64, random func([]byte) error) Reply {
	if done != Changed {
		if err := random(s.ID[:]); err != nil {
			return c.unwritten(o, r, done, FaultRandomness, now, random)
		}
	}
	switch done {
	case Changed, Rotated:
		// What an app writes is no sign of a person: a poll's answer must not keep a session alive.
		s.IssuedAt = max(o.Seen, s.IssuedAt)
	case Started:
		s.AuthenticatedAt = now
		fallthrough
	default:
		s.StartedAt, s.IssuedAt = now, now
	}
	s.Refused = false
	token, err := c.codec.Seal(&s, now, random)
	if err != nil {
		return c.unwritten(o, r, done, sealFault(err), now, random)
	}
	reply := Reply{Reason: done, Cookies: []string{c.sessionCookie(token, &s, now)}}
	if done == Changed {
		return reply
	}
	reply.Session = s
	switch {
	case done == Ended:
		reply.Ended = Ended
	case done == Started && o.Live:
		reply.Ended = Replaced
	}
	if o.HadTouch {
		reply.Cookies = append(reply.Cookies, c.attributes.Delete(c.Cookie.Name+cookie.TouchSuffix))
	}
	return reply
}

// unwritten is what becomes of a session that could not be sealed. Of one that would not fit the
// response stays the app's, and the old cookie, or one with nothing else in it, brings the word to the
// app. A login that came to nothing must not look like one.
func (c *Config) unwritten(o *Origin, r *Response, done Reason, fault Fault, now int64, random func([]byte) error) Reply {
	switch {
	case done == Ended:
		reply := c.end(o) // a logout does not fail over what was to go on
		reply.Fault = fault
		return reply
	case fault != FaultTooLarge || done == Started:
		return bad(fault)
	}
	reply := Reply{Reason: TooLarge, Fault: fault}
	s := o.Session
	if !o.Live {
		s.StartedAt, s.IssuedAt = now, now
		if random(s.ID[:]) != nil {
			return reply
		}
	}
	if !s.Refused {
		s.Refused, s.IssuedAt = true, max(o.Seen, s.IssuedAt)
		if token, err := c.codec.Seal(&s, now, random); err == nil {
			reply.Cookies = []string{c.sessionCookie(token, &s, now)}
			return reply
		}
	}
	reply.Cookies = c.keepUp(o, r, now, random).Cookies // whoever is active must not go idle over it
	return reply
}

func sealFault(err error) Fault {
	switch err {
	case cookie.ErrTooLarge, cookie.ErrInvalidSession:
		return FaultTooLarge // what else is not valid is a wrapped cookie beyond its bounds
	case cookie.ErrKey:
		return FaultNoKey
	}
	return FaultRandomness
}

func (c *Config) end(o *Origin) Reply {
	reply := Reply{Reason: Ended, Cookies: c.Deletions()}
	if o.Live {
		reply.Ended = Ended
	}
	return reply
}

// keepUp writes what the request left to do. A cookie on a response that a cache may keep would be
// served to others: it waits for the next.
func (c *Config) keepUp(o *Origin, r *Response, now int64, random func([]byte) error) Reply {
	switch {
	case o.Idle() || r.cacheable(now):
		return Reply{}
	case o.Drop:
		return Reply{Cookies: append(c.messages(o.Reason, now), c.Deletions()...)}
	case o.Renew && (now-o.At <= prompt || o.Overdue):
		if token := c.renew(o, now, random); token != "" {
			return Reply{Reason: Renewed, Cookies: []string{c.sessionCookie(token, &o.Session, now)}}
		}
	}
	token, err := c.codec.SealTouch(o.Session.ID, o.TouchAt, now)
	if err != nil {
		return Reply{}
	}
	// Max-Age counts from the touch's own time, so parallel responses set one and the same cookie.
	return Reply{Reason: Touched, Cookies: []string{
		c.attributes.Set(c.Cookie.Name+cookie.TouchSuffix, token, c.maxAge(&o.Session, o.TouchAt)),
	}}
}

// prompt is how many seconds an app may take over a response that renews the session. A slow one
// would put back the data of when its request came, over what another response wrote since. A
// renewal can wait; where the key retires it cannot wait for ever.
const prompt = 1

// renew seals the session anew, or returns "": without randomness, or where it no longer fits under a
// longer key id. A touch needs neither, and whoever is active must not go idle over it.
func (c *Config) renew(o *Origin, now int64, random func([]byte) error) string {
	s := o.Session
	s.IssuedAt = max(o.At, s.IssuedAt)
	token, _ := c.codec.Seal(&s, now, random)
	return token
}

func (c *Config) sessionCookie(token string, s *cookie.Session, now int64) string {
	return c.attributes.Set(c.Cookie.Name, token, c.maxAge(s, now))
}

// maxAge is how long a cookie of the session is to be kept from a time on: as long as the session may
// live anywhere, whatever the rule of this path says. Idle is decided here, not by the browser, which
// would have to get the whole session again with every sign of activity.
func (c *Config) maxAge(s *cookie.Session, from int64) int64 {
	if !s.OutlivesBrowser() {
		return cookie.SessionOnly
	}
	d := Decision{Session: *s}
	c.deadlines(&d, &c.open)
	return max(d.ExpiresAt-from, 0)
}
