package policy

import "github.com/curfew-proxy/curfew/cookie"

// Streams is the config's `streams`: what a session's end means to responses that are under way, such as
// WebSockets, event streams and long downloads.
type Streams struct {
	IgnoreIdle bool // only the absolute timeout ends them
	Activity   bool // what one carries, either way, counts as activity of all streams of the session
}

// Lease is for how long a stream may go on. Of the zero Lease it never ends.
type Lease struct {
	Terms
	config *Config
	limit  Limits // of the rule that it was opened under
}

// Terms is what a session itself says of its end. Of two, those of the higher revision hold.
type Terms struct {
	Revision                  uint32
	remember                  bool
	startedAt, idle, absolute int64
	until                     int64 // the expiry of the wrapped cookie that logged somebody in; 0: none
	revokedAt                 int64 // 0: by nothing that is known
}

// Lease returns that of a request which the app gets to see with its session.
func (c *Config) Lease(d *Decision) Lease {
	if !d.Live || c.ReportOnly {
		return Lease{}
	}
	return Lease{Terms: terms(&d.Session, d.revokedAt), config: c, limit: d.limit}
}

// Terms returns those of a session that was written.
func (c *Config) Terms(s *cookie.Session, heard *Heard) Terms { return terms(s, c.revokedAt(heard, s)) }

// Revoke adds what a list says of the session whose terms they are.
func (t *Terms) Revoke(v *Revocations, s *cookie.Session) {
	t.revokedAt = shorter(t.revokedAt, v.at(s))
}

func terms(s *cookie.Session, revokedAt int64) Terms {
	return Terms{
		Revision: s.Revision, remember: s.Remember, startedAt: s.StartedAt, idle: s.Idle, absolute: s.Absolute,
		until: wrappedUntil(s), revokedAt: revokedAt,
	}
}

// Over says at now why a stream ends whose person was last active at seen (Unix seconds); OK where it
// does not.
func (l *Lease) Over(seen, now int64) Reason {
	if l.config == nil {
		return OK
	}
	s := cookie.Session{StartedAt: l.startedAt, Idle: l.idle, Absolute: l.absolute, Remember: l.remember}
	d := Decision{Session: s, Seen: seen, limit: l.limit}
	l.config.deadlines(&d)
	d.ExpiresAt = shorter(d.ExpiresAt, l.until)
	if l.config.Streams.IgnoreIdle {
		d.IdleAt = d.ExpiresAt + 1
	}
	if at := l.revokedAt; at != 0 && at <= now && at < min(d.IdleAt, d.ExpiresAt) {
		return Revoked
	}
	return d.timeout(now)
}
