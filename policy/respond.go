package policy

import (
	"errors"

	"github.com/curfew-proxy/curfew/cookie"
)

// Response is what the filter read of the app's response.
type Response struct {
	Status   int
	Commands []string // the values of x-session
	// Header values; "" where the app sent none.
	CacheControl, Expires, Age string
	// Targeted says that it has cache directives for others than browsers (RFC 9213), which outrank
	// our no-store there.
	Targeted bool
}

// Origin is what a response must know of its request, small enough to keep for each one in flight.
type Origin struct {
	ID        cookie.ID
	Found     bool // ID names a session that was alive
	CanStart  bool
	Insecure  bool // the request came over plain http
	HadTouch  bool // the request carried a touch cookie
	Drop      bool
	TouchAt   int64
	ExpiresAt int64 // with TouchAt or Renewed: when the session ends at the latest
	Remember  bool
	Renewed   string // the session cookie, sealed anew, or ""
}

// Origin keeps what the response needs. A due renewal is sealed now, while the session's strings
// are alive; it is rare, and a response that cannot carry it loses nothing.
func (c *Config) Origin(r *Request, d *Decision, now int64, random func([]byte) error) Origin {
	o := Origin{
		ID: d.Session.ID, Found: d.Live, CanStart: d.CanStart, Insecure: r.Scheme != "https",
		HadTouch: len(r.Jar.Touches) > 0, Drop: d.Drop, TouchAt: d.TouchAt, Remember: d.Session.Remember,
	}
	if d.Live && (d.Renew || d.TouchAt != 0) {
		// A cookie lives as long as its session does anywhere, not only under this request's rule.
		whole := Decision{Session: d.Session}
		c.deadlines(&whole, &c.open)
		o.ExpiresAt = whole.ExpiresAt
	}
	if d.Live && d.Renew {
		s := d.Session
		s.IssuedAt = max(now, s.IssuedAt)
		token, err := c.codec.Seal(&s, now, random)
		if err != nil {
			// No randomness, or it no longer fits under a longer key id. A touch needs neither, and
			// whoever is active must not go idle over it.
			o.TouchAt = now - now%c.Timeouts.Touch
		}
		o.Renewed = token
	}
	return o
}

// Idle reports whether the response needs nothing unless the app commands it.
func (o *Origin) Idle() bool { return !o.Drop && o.TouchAt == 0 && o.Renewed == "" }

// Reply is what to do with a response.
type Reply struct {
	Cookies []string // Set-Cookie values, one for each name
	// Reason is OK where nothing happened; Ended says that Origin's session is over by it.
	Reason Reason
	Ended  Reason    // OK, Replaced or Ended
	New    cookie.ID // of a session that was started
	Fault  Fault     // with BadCommand
}

// Respond decides what a response writes at now (Unix seconds).
func (c *Config) Respond(o *Origin, r *Response, now int64, random func([]byte) error) Reply {
	if len(r.Commands) > 0 {
		cmd, fault := c.parseCommand(r.Commands)
		switch {
		case fault != "":
			return Reply{Reason: BadCommand, Fault: fault}
		case cmd.start != nil:
			return c.start(o, r, cmd.start, now, random)
		default:
			return c.end(o, r)
		}
	}
	// A cookie on a response that a cache may keep would be served to others. It waits for the next.
	if o.Idle() || r.cacheable(now) {
		return Reply{}
	}
	switch {
	case o.Drop:
		return Reply{Cookies: c.Deletions()}
	case o.Renewed != "":
		return Reply{Reason: Renewed, Cookies: []string{c.sessionCookie(o.Renewed, o.Remember, o.ExpiresAt-now)}}
	}
	token, err := c.codec.SealTouch(o.ID, o.TouchAt, now)
	if err != nil {
		return Reply{}
	}
	// Max-Age counts from the touch's own time, so parallel responses set one and the same cookie.
	return Reply{Reason: Touched, Cookies: []string{
		c.attributes.Set(c.Cookie.Name+cookie.TouchSuffix, token, maxAge(o.Remember, o.ExpiresAt-o.TouchAt)),
	}}
}

// start begins a session with an id that nobody has seen before, whatever the browser came with:
// an id planted before the login is worth nothing after it (session fixation, CWE-384).
func (c *Config) start(o *Origin, r *Response, s *start, now int64, random func([]byte) error) Reply {
	if fault := c.mayStart(o, r); fault != "" {
		return Reply{Reason: BadCommand, Fault: fault}
	}
	session := cookie.Session{
		StartedAt: now, AuthenticatedAt: now, IssuedAt: now,
		Subject: s.subject, Data: s.data, Remember: s.remember, Idle: s.idle, Absolute: s.absolute,
	}
	if err := random(session.ID[:]); err != nil {
		return Reply{Reason: BadCommand, Fault: FaultRandomness}
	}
	token, err := c.codec.Seal(&session, now, random)
	if err != nil {
		return Reply{Reason: BadCommand, Fault: sealFault(err)}
	}
	d := Decision{Session: session, Seen: now}
	c.deadlines(&d, &c.open)
	reply := Reply{Reason: Started, New: session.ID, Cookies: []string{c.sessionCookie(token, s.remember, d.ExpiresAt-now)}}
	if o.Found {
		reply.Ended = Replaced
	}
	if o.HadTouch {
		reply.Cookies = append(reply.Cookies, c.attributes.Delete(c.Cookie.Name+cookie.TouchSuffix))
	}
	return reply
}

// mayStart says why a session may not start here, if so.
func (c *Config) mayStart(o *Origin, r *Response) Fault {
	switch {
	case !o.CanStart:
		return FaultRoute
	case r.Status >= 400:
		return FaultStatus
	case o.Insecure && !c.AllowInsecure:
		return FaultInsecure
	case r.Age != "":
		return FaultStored
	}
	return ""
}

func sealFault(err error) Fault {
	switch {
	case errors.Is(err, cookie.ErrTooLarge):
		return FaultTooLarge
	case errors.Is(err, cookie.ErrKey):
		return FaultNoKey
	}
	return FaultRandomness
}

func (c *Config) end(o *Origin, r *Response) Reply {
	if r.Age != "" {
		return Reply{Reason: BadCommand, Fault: FaultStored}
	}
	reply := Reply{Reason: Ended, Cookies: c.Deletions()}
	if o.Found {
		reply.Ended = Ended
	}
	return reply
}

func (c *Config) sessionCookie(token string, remember bool, left int64) string {
	return c.attributes.Set(c.Cookie.Name, token, maxAge(remember, left))
}

func maxAge(remember bool, left int64) int64 {
	if !remember {
		return cookie.SessionOnly
	}
	return max(left, 0)
}
