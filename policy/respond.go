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
	CacheControl, Expires, Age, Location string
	// Messages says that the app itself sets Django's cookie of messages.
	Messages bool
	// Refreshes says that the app itself says where the page goes when.
	Refreshes bool
	// Targeted says that it has cache directives for others than browsers (RFC 9213), which outrank
	// our no-store there.
	Targeted bool
}

// Reply is what to do with a response.
type Reply struct {
	Cookies []string // Set-Cookie values, one for each name
	// Reason is OK where nothing happened. Session is the one that was written, if any: with Opened, Started,
	// Rotated and Changed, and with Ended where cookies of the app's go on as nobody's.
	Reason  Reason
	Session cookie.Session
	// Seen is when the person was last active (Unix seconds), as the cookies that were written have it; 0: none
	// say so.
	Seen int64
	// Ended says that Origin's session is over by it: OK, Replaced or Ended.
	Ended Reason
	// Fault says what the app did wrong: always with BadCommand and TooLarge, else where a wrapped cookie
	// was lost.
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
	case done == Ended && s.Wrapped == "" && (s.Data == "" || !c.Anonymous):
		return c.end(o)
	case done != OK && done != Renewed:
		reply = c.write(o, r, s, done, now, random)
	default:
		reply = c.keepUp(o, r, &s, done, now, random)
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
		s.Data = unlessEmpty(merge(s.Data, cmd.set))
	}
	if cmd.remember != nil {
		s.Remember, s.Lifetime = *cmd.remember, cookie.ByRemember
	}
	if cmd.expire != nil {
		s.Idle, s.Lifetime = cmd.expire.idle, cmd.expire.lifetime
	}
	switch {
	case done != OK && done != Changed && done != Renewed:
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
	s := cookie.Session{Subject: t.subject, Data: t.data, Remember: t.remember, Idle: t.idle, Absolute: t.absolute}
	if o.Session.AuthenticatedAt == 0 || o.Session.Subject == t.subject {
		s.Wrapped = o.Session.Wrapped // the app's own, as it stands in a browser
		if t.keep {
			s.Data = merge(o.Session.Data, cmp.Or(t.data, "{}"))
		}
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
	alive := c.lives(o, now)
	switch done {
	case Changed, Rotated:
		// What an app writes is no sign of a person: a poll's answer must not keep a session alive.
		seen := o.Seen
		if active := o.Seen == o.At; done == Rotated && active && alive {
			seen = now // touches of the old id mean nothing to the new one
		}
		s.IssuedAt = max(seen, s.IssuedAt)
		s.Revision++
	default:
		s.StartedAt, s.IssuedAt = now, now
	}
	if done == Started {
		s.AuthenticatedAt = now
	}
	s.Refused = false
	token, err := c.codec.Seal(&s, now, random)
	if err != nil {
		return c.unwritten(o, r, done, sealFault(err), now, random)
	}
	reply := Reply{Reason: done, Session: s, Seen: s.IssuedAt, Cookies: []string{c.sessionCookie("", token, &s, now)}}
	if o.HadRenewed {
		reply.Cookies = append(reply.Cookies, c.deletion(cookie.RenewedSuffix))
	}
	if done == Changed {
		if alive {
			// Here, too, or a slower set, whose request came first, would take the activity back.
			c.touch(&reply, o, &s, now)
		}
		return reply
	}
	switch {
	case done == Ended:
		reply.Ended = Ended
	case done == Started && o.Live:
		reply.Ended = Replaced
	}
	if o.HadTouch {
		reply.Cookies = append(reply.Cookies, c.deletion(cookie.TouchSuffix))
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
	if o.Live {
		s, done := o.Session, OK
		if !s.Refused {
			s.Refused, done = true, Renewed
		}
		reply.Cookies = c.keepUp(o, r, &s, done, now, random).Cookies
		return reply
	}
	s := cookie.Session{StartedAt: now, IssuedAt: now, Refused: true}
	if random(s.ID[:]) != nil {
		return reply
	}
	if token, err := c.codec.Seal(&s, now, random); err == nil {
		reply.Session, reply.Cookies = s, []string{c.sessionCookie("", token, &s, now)}
	}
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
	reply := Reply{Reason: Ended, Cookies: c.Deletions(o.HadRenewed)}
	if o.Live {
		reply.Ended = Ended
	}
	return reply
}

// prompt is within how many seconds a response deletes what its request came with. A slow one could
// delete what a login has written since.
const prompt = 1

// keepUp writes what the request left to do, or done says: that what the app did renews the session as s.
// A cookie of our own accord waits for a response that no cache may keep, to serve it to others.
func (c *Config) keepUp(o *Origin, r *Response, s *cookie.Session, done Reason, now int64, random func([]byte) error) Reply {
	switch {
	case done == OK && (o.Idle() || r.cacheable(now)):
		return Reply{}
	case o.Drop && o.Reason != LoggedOut && now-o.At > prompt:
		return Reply{}
	case o.Drop:
		reply := Reply{Cookies: c.Deletions(o.HadRenewed)}
		if !r.Messages {
			reply.Cookies = append(c.messages(o.Reason, now), reply.Cookies...)
		}
		return reply
	case !c.lives(o, now):
		return Reply{}
	}
	if o.Renew {
		s.IssuedAt = max(now, s.IssuedAt)
	}
	var reply Reply
	c.touch(&reply, o, s, now)
	if o.Renew || done == Renewed {
		c.renew(&reply, o, s, now, random)
	}
	return reply
}

// touch notes activity, if that is due. As of now: a slow response must not take back what a later request
// has noted. It needs no randomness and always fits.
func (c *Config) touch(reply *Reply, o *Origin, s *cookie.Session, now int64) {
	if o.TouchAt == 0 {
		return
	}
	at := max(o.TouchAt, c.slot(&o.Session, now))
	token, err := c.codec.SealTouch(o.Session.ID, at, now)
	if err != nil {
		return // no key signs
	}
	// Max-Age counts from the touch's own time, so parallel responses set one and the same cookie.
	reply.Cookies = append(reply.Cookies, c.attributes.Set(c.Cookie.Name+cookie.TouchSuffix, token, c.maxAge(s, at)))
	reply.Reason, reply.Seen = cmp.Or(reply.Reason, Touched), max(reply.Seen, at)
}

// lives reports whether the request's session has not ended while the app was busy.
func (c *Config) lives(o *Origin, now int64) bool {
	d := Decision{Session: o.Session, Seen: o.Seen}
	c.deadlines(&d)
	return d.timeout(now) == OK
}

// renew seals a session whose content is that of the request. It has a cookie of its own, and names the
// token that it renews: however late it comes, beside what another response wrote since it means nothing.
// Activity has its own, too, or a late renewal would take it back. Nothing is written where it cannot be
// sealed, for lack of randomness.
func (c *Config) renew(reply *Reply, o *Origin, s *cookie.Session, now int64, random func([]byte) error) {
	token, err := c.codec.Seal(s, now, random)
	if err != nil {
		return
	}
	reply.Cookies = append(reply.Cookies, c.sessionCookie(cookie.RenewedSuffix, string(o.bound[:])+"."+token, s, now))
	reply.Reason, reply.Seen = Renewed, max(reply.Seen, s.IssuedAt)
}

func (c *Config) sessionCookie(suffix, token string, s *cookie.Session, now int64) string {
	return c.attributes.Set(c.Cookie.Name+suffix, token, c.maxAge(s, now))
}

// maxAge is how long a cookie of the session is to be kept from a time on: until the absolute timeout. What
// may end it sooner is decided here, not by the browser, which would have to get the whole session again
// whenever that moves: idle with each sign of activity, a wrapped cookie's expiry as the app likes.
func (c *Config) maxAge(s *cookie.Session, from int64) int64 {
	if !s.OutlivesBrowser() {
		return cookie.SessionOnly
	}
	return max(s.StartedAt+limit(c.limits(s).Absolute, s.Absolute, 0)-from, 0)
}
