package policy

import "github.com/curfew-proxy/curfew/cookie"

// Verdict is what becomes of a request.
type Verdict uint8

// Pass goes to the app. The others are answered here.
const (
	Pass   Verdict = iota
	Login          // somebody must log in first
	Refuse         // logging in would not help
	Logout         // the session ends and the browser goes on
	Serve          // it was for the filter's own folder
)

// Decision is the outcome of one request.
type Decision struct {
	Reason  Reason
	Verdict Verdict
	// Session is what the client's token said. Its strings live as long as the request callback.
	Session cookie.Session
	// Bound is what a renewal says of the client's session cookie. It lives as long.
	Bound string
	// Key is the number of the key, among the config's, that its token was under.
	Key int
	// Found says that Session is one of ours, alive or not; Live that the app shall see it.
	Found, Live bool
	// Seen is when the person was last active, as of this request; IdleAt and ExpiresAt are when the
	// session ends by either timeout. Unix seconds.
	Seen, IdleAt, ExpiresAt int64
	limit                   Limits // of the rule, for these
	revokedAt               int64  // 0: nothing revokes it
	// Active says that a person may be behind this request, Slid that it moved IdleAt, TouchAt what the
	// touch cookie shall say (0: nothing to write), Renew that the session shall rather be written
	// again, Drop that the client's cookies are dead and shall be deleted.
	Active  bool
	Slid    bool
	TouchAt int64
	Renew   bool
	Drop    bool
	// CanStart says that this is a login route, where the app may start a session.
	CanStart bool
	// Call is what was asked of the filter's own folder, Required that the page which asked needs a session.
	Call     Call
	Required bool
}

// Decide says what becomes of a request at now (Unix seconds).
func (c *Config) Decide(r *Request, now int64) Decision {
	path, _ := splitPath(r.Path)
	plain := c.plain(r, path)

	if plain && !c.ReportOnly && underPrefix(path, c.Browser.Path) && !c.hostIsOff(r, path) {
		return c.decideCall(r, c.call(path), now)
	}
	// Before rules: a preflight never carries cookies, so asking it for a session would only break
	// the app's own CORS. It shows no data and changes nothing. (Not on a path that may be another.)
	if plain && c.BypassPreflight && r.preflight() {
		return Decision{Reason: Preflight}
	}
	if plain && path == c.Logout.Path {
		return c.decideLogout(r, c.Logout.Methods, now)
	}

	rule, before, canStart := c.ruleFor(r, path)
	if rule.Need == SessionOff {
		return Decision{Reason: Off}
	}

	d := c.openSession(r, now)
	d.CanStart = canStart
	held := *rule
	alive := d.Reason == OK
	if alive {
		held = c.narrow(rule, before, r, path, &d.Session)
		c.access(&d, &held, now)
	}
	switch {
	case d.Reason == OK:
		d.Live = true
		c.slide(&d, r, &held, now)
	case c.ReportOnly:
		d.Live, d.Drop = alive, false
	case held.Need == SessionOptional:
		// The app serves strangers here; it sees one.
	case d.Reason == Forbidden || d.Reason == FeedStale:
		d.Verdict = Refuse
	default:
		d.Verdict = Login
	}
	return d
}

// plain reports whether every server would take a request for the same path, and host where that decides.
func (c *Config) plain(r *Request, path string) bool {
	return plainPath(path) && (!c.byHost || plainHost(r.Authority))
}

// ruleFor is the rule for a request, how many stand before it, and whether it may start a session.
func (c *Config) ruleFor(r *Request, path string) (rule *Rule, before int, canStart bool) {
	switch {
	case !c.plain(r, path):
		// It may become any path behind us, so it must satisfy what every path asks.
		return &c.strictest, 0, false
	case c.canStart(r.Method, path):
		return &c.open, 0, true
	case c.isLogin(r, path):
		// The way in stays open whatever the rules say, or a redirect to it would loop.
		return &c.open, 0, false
	}
	rule, before = c.rule(r, path)
	return rule, before, false
}

func (c *Config) canStart(method, path string) bool {
	for _, on := range c.Login.StartOn {
		if on.Method == method && on.Path == path {
			return true
		}
	}
	return false
}

// isLogin reports whether a request is for the login page. Its path on another host is that host's.
func (c *Config) isLogin(r *Request, path string) bool {
	return path == c.Login.path && (c.Login.host == "" || host(r.Authority) == host(c.Login.host))
}

// openSession finds the client's one session and whether it is alive by the config's own timeouts.
func (c *Config) openSession(r *Request, now int64) (d Decision) {
	jar := r.Jar
	if len(jar.Sessions) == 0 && !jar.Hostile {
		// A touch cookie alone is a leftover. It stays: a slow deletion could meet the next login.
		return Decision{Reason: Absent}
	}
	o, token, ok := c.pick(jar, now)
	if !ok {
		// Where something was planted beside ours, a deletion would take ours and leave that.
		return Decision{Reason: Invalid, Drop: len(jar.Sessions) == 1 && !jar.Hostile && !c.unknown(jar, now)}
	}
	d = Decision{Session: o.Session, Key: o.Key, Found: true, Bound: cookie.BoundTo(token)}
	s := &d.Session
	d.Seen = s.IssuedAt
	touchCurrent := c.seen(jar, &d, now)
	c.deadlines(&d)
	d.revokedAt = c.revokedAt(r.Heard, s)
	if d.Reason = d.timeout(now); d.revokedAt != 0 && d.revokedAt <= now {
		d.Reason = Revoked
	}
	if d.Reason != OK {
		d.Drop = d.Reason != IdleTimeout || !c.touchedElsewhere(jar, s.ID, now)
		return d
	}
	switch {
	case r.Heard.ended(s.ID, now):
		d.Reason = Revoked // its cookies were deleted then: to do so again could hit the next login's
	case c.stale(r.Heard, now):
		d.Reason = FeedStale
	}
	if d.Reason != OK {
		return d
	}
	d.Renew = !o.Current || now-s.IssuedAt >= c.Timeouts.Rotate
	if !touchCurrent {
		// Rounded, for a faster clock's touch was cut to now, which is no one's slot.
		d.TouchAt = c.slot(s, d.Seen)
	}
	return d
}

// pick opens every candidate and returns the one session among them, and the session cookie's token that
// it came with. Two different ones are nobody's: one of them was planted. Of one session, the newest
// token counts.
func (c *Config) pick(jar *cookie.Jar, now int64) (best cookie.Opened, token string, ok bool) {
	if jar.Hostile {
		return best, "", false
	}
	stale := false // the codec's buffer holds another than the best
	for _, candidate := range jar.Sessions {
		o, err := c.codec.Open(candidate, now)
		stale = ok
		switch {
		case err != nil:
		case !ok || o.Session.ID == best.Session.ID && newer(&o.Session, &best.Session):
			best, token, ok, stale = o, candidate, true, false
		case o.Session.ID != best.Session.ID:
			return cookie.Opened{}, "", false
		}
	}
	if !ok && len(jar.Sessions) == 1 {
		token = jar.Sessions[0] // its key may be gone; then it lives by its renewal
	}
	for _, candidate := range jar.Renewed {
		if renewal, bound := cookie.CutRenewal(candidate, token); bound {
			o, err := c.codec.Open(renewal, now)
			stale = ok
			if err == nil && (!ok || o.Session.ID == best.Session.ID) {
				return o, token, true
			}
		}
	}
	if stale {
		best, _ = c.codec.Open(token, now)
	}
	return best, token, ok
}

// unknown reports whether the one token that came as a session may be good on another proxy, which has the next key
// already, or whose clock is right. It is not ours to delete then.
func (c *Config) unknown(jar *cookie.Jar, now int64) bool {
	_, err := c.codec.Open(jar.Sessions[0], now)
	return elsewhere(err)
}

// touchedElsewhere reports whether such a proxy may know of later activity.
func (c *Config) touchedElsewhere(jar *cookie.Jar, id cookie.ID, now int64) bool {
	for _, token := range jar.Touches {
		if _, _, err := c.codec.OpenTouch(token, id, now); elsewhere(err) {
			return true
		}
	}
	return false
}

func elsewhere(err error) bool { return err == cookie.ErrKey || err == cookie.ErrTime }

func newer(a, b *cookie.Session) bool {
	return a.Revision > b.Revision || a.Revision == b.Revision && a.IssuedAt > b.IssuedAt
}

// seen moves d.Seen to the newest valid touch and reports whether nothing better need be written:
// false only for a touch under a key that no longer signs.
func (c *Config) seen(jar *cookie.Jar, d *Decision, now int64) (current bool) {
	current = true
	for _, token := range jar.Touches {
		at, fresh, err := c.codec.OpenTouch(token, d.Session.ID, now)
		if err == nil && at > d.Seen {
			d.Seen, current = at, fresh
		}
	}
	// Another proxy's clock may be ahead; nobody was active later than now.
	d.Seen = min(d.Seen, now)
	return current
}

// deadlines sets when the session ends.
func (c *Config) deadlines(d *Decision) {
	s := &d.Session
	t := c.limits(s)
	d.IdleAt = d.Seen + limit(t.Idle, s.Idle, d.limit.Idle)
	d.ExpiresAt = shorter(s.StartedAt+limit(t.Absolute, s.Absolute, d.limit.Absolute), wrappedUntil(s))
}

// wrappedUntil is how long somebody is logged in by the app's own cookie, in Unix seconds: as long as that
// lasts. 0 where it does not say, or somebody is logged in by name.
func wrappedUntil(s *cookie.Session) int64 {
	if s.Subject != "" || s.Wrapped == "" {
		return 0
	}
	return s.AuthenticatedUntil()
}

// timeout is which deadline has passed first; OK where neither has.
func (d *Decision) timeout(now int64) Reason {
	switch {
	case now >= d.IdleAt && d.IdleAt <= d.ExpiresAt:
		return IdleTimeout
	case now >= d.ExpiresAt:
		return AbsoluteTimeout
	}
	return OK
}

func (c *Config) limits(s *cookie.Session) *Limits {
	if s.Remember {
		return &c.Remember
	}
	return &c.Timeouts.Limits
}

// slot rounds a time of activity down, so that all proxies and all parallel requests of one interval
// write the same bytes, and most requests write nothing. The interval is touch, or less for a session
// whose own idle timeout would end before the second one.
func (c *Config) slot(s *cookie.Session, at int64) int64 {
	interval := c.Timeouts.Touch
	if s.Idle > 0 && s.Idle < 2*interval {
		interval = max(s.Idle/2, 1)
	}
	return at - at%interval
}

// limit: what the app said for this very session replaces what the config says. A rule can only
// shorten it: openSession asks no rule, so the session would be dead before a rule's longer time.
func limit(config, session, rule int64) int64 {
	if session != 0 {
		config = session
	}
	return shorter(config, rule)
}

// access holds a live session against its rule. A session that is only too old for this path lives
// on elsewhere, so its cookies stay.
func (c *Config) access(d *Decision, rule *Rule, now int64) {
	idleAt, expiresAt := d.IdleAt, d.ExpiresAt
	d.limit = Limits{Idle: rule.Idle, Absolute: rule.Absolute}
	c.deadlines(d)
	d.Reason = d.timeout(now)
	switch {
	case d.Reason != OK:
	case rule.Need == SessionRequired && d.Session.AuthenticatedAt == 0:
		d.Reason = Anonymous
	case rule.MaxAuthAge > 0 && now-d.Session.AuthenticatedAt >= rule.MaxAuthAge:
		d.Reason = AuthTooOld
	case !met(rule.Require, d.Session.Data):
		d.Reason = Forbidden
	}
	if d.Reason != OK {
		d.IdleAt, d.ExpiresAt = idleAt, expiresAt
		d.Renew, d.TouchAt = false, 0
	}
}

// slide notes activity.
func (c *Config) slide(d *Decision, r *Request, rule *Rule, now int64) {
	if rule.Passive || r.passive() {
		d.Renew, d.TouchAt = false, 0
		return
	}
	d.Active = true
	idle := d.IdleAt - d.Seen
	slot := c.slot(&d.Session, now)
	switch {
	case d.Renew:
		d.Seen, d.TouchAt, d.Slid = now, slot, true
	case slot > d.Seen:
		d.Seen, d.TouchAt, d.Slid = slot, slot, true
	}
	d.IdleAt = d.Seen + idle
}

// decideLogout ends whatever session there is. Another site must not be able to do that, nor a browser
// that loads ahead.
func (c *Config) decideLogout(r *Request, methods []string, now int64) Decision {
	d := Decision{Reason: LogoutRefused, Verdict: Refuse}
	if contains(methods, r.Method) && !r.crossSite() && !r.prefetch() {
		o := c.openSession(r, now)
		d = Decision{Reason: LoggedOut, Verdict: Logout, Session: o.Session, Key: o.Key, Found: o.Found, Drop: true}
	}
	if c.ReportOnly {
		// The path may be a page, or a logout, of the app's own.
		d.Verdict = Pass
	}
	return d
}
