package main

import (
	"encoding/json"
	"io"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// ends are when a session ends by the config's own timeouts, in Unix seconds. A rule may shorten them.
type ends struct{ idle, absolute int64 }

func deadlines(c *policy.Config, s *cookie.Session, seen int64) ends {
	limits := c.Timeouts.Limits
	if s.Remember {
		limits = c.Remember
	}
	if s.Idle > 0 {
		limits.Idle = s.Idle
	}
	if s.Absolute > 0 {
		limits.Absolute = s.Absolute
	}
	return ends{seen + limits.Idle, s.StartedAt + limits.Absolute}
}

// String says how the session stands at now.
func (e ends) String(now int64) string {
	switch {
	case now >= e.idle && e.idle <= e.absolute:
		return "idle since too long, it ended " + relative(e.idle, now)
	case now >= e.absolute:
		return "at its absolute timeout, it ended " + relative(e.absolute, now)
	case e.idle < e.absolute:
		return "alive, it ends " + relative(e.idle, now) + " if nobody is active, " + relative(e.absolute, now) + " at the latest"
	}
	return "alive, it ends " + relative(e.absolute, now)
}

// writeJSON writes v in one line, with characters as they are.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
