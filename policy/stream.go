package policy

// Streams is the config's `streams`: what a session's end means to responses that are under way, such as
// WebSockets, event streams and long downloads.
type Streams struct {
	IgnoreIdle bool // only the absolute timeout ends them
	Activity   bool // what they carry, either way, counts as activity of theirs
}

// Lease is for how long a stream may go on. Of the zero Lease it never ends.
type Lease struct {
	idle      int64 // seconds from the last activity; 0: for however long
	expiresAt int64 // Unix seconds; 0: never
	why       Reason
}

// Lease returns that of a request which the app gets to see with its session.
func (c *Config) Lease(d *Decision) Lease {
	if !d.Live || c.ReportOnly {
		return Lease{}
	}
	l := Lease{idle: d.IdleAt - d.Seen, expiresAt: d.ExpiresAt, why: AbsoluteTimeout}
	if c.Streams.IgnoreIdle {
		l.idle = 0
	}
	if d.revokedAt != 0 && d.revokedAt < l.expiresAt {
		l.expiresAt, l.why = d.revokedAt, Revoked
	}
	return l
}

// Over says at now why a stream ends whose person was last active at seen (Unix seconds); OK where it
// does not.
func (l *Lease) Over(seen, now int64) Reason {
	idleAt := seen + l.idle
	switch {
	case l.expiresAt == 0:
		return OK
	case l.idle != 0 && now >= idleAt && idleAt <= l.expiresAt:
		return IdleTimeout
	case now >= l.expiresAt:
		return l.why
	}
	return OK
}
