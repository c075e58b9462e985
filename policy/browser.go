package policy

// Browser is the config's `browser`: what pages are told of their session's end.
type Browser struct {
	Path             string // folder that the filter answers itself
	Subject          bool   // status says who it is
	Refresh, Headers bool   // responses say when the session ends
	Warn             int64  // how long before the end a person is warned, in seconds
}

// Call is what a request asks of the folder Browser.Path.
type Call uint8

// NoCall is a request for anything else.
const (
	NoCall        Call = iota
	StatusCall         // how long the session lives
	KeepaliveCall      // a person wants it to live on
	LogoutCall         // it shall end
	ScriptCall         // the script that asks for the others
	EndCall            // a page's session is over, as far as it knows
	UnknownCall
)

func (c *Config) call(path string) Call {
	switch path[len(c.Browser.Path):] {
	case "status":
		return StatusCall
	case "keepalive":
		return KeepaliveCall
	case "logout":
		return LogoutCall
	case "session.js":
		return ScriptCall
	case "end", endIdle, endAbsolute:
		return EndCall
	}
	return UnknownCall
}

// Names of EndCall by which a page says why its session ended. Where another tab came first, the cookies
// that would say so are gone.
const (
	endIdle     = "end/idle_timeout"
	endAbsolute = "end/absolute_timeout"
)

// methods: what only tells is safe, what changes the session is not (RFC 9110, section 9.2.1).
func (call Call) methods() []string {
	if call == KeepaliveCall || call == LogoutCall {
		return []string{"POST"}
	}
	return []string{"GET", "HEAD"}
}

// hostIsOff reports whether a rule keeps a request's host out of the session. Then the folder is not there
// either, for scripts of that host must not learn who somebody is.
func (c *Config) hostIsOff(r *Request, path string) bool {
	if !c.byHost {
		return false
	}
	rule, _ := c.rule(r, path)
	return rule.Need == SessionOff && len(rule.Hosts) > 0
}

// decideCall says what becomes of a request for the filter's own folder. No rule holds there.
func (c *Config) decideCall(r *Request, call Call, now int64) Decision {
	switch {
	case call == LogoutCall:
		d := c.decideLogout(r, call.methods(), now)
		d.Call = call
		return d
	case call == UnknownCall:
		return Decision{Reason: Off, Verdict: Serve, Call: call}
	case !contains(call.methods(), r.Method) || call == KeepaliveCall && (r.crossSite() || r.prefetch()):
		return Decision{Reason: CallRefused, Verdict: Refuse, Call: call}
	case call == ScriptCall:
		return Decision{Reason: Off, Verdict: Serve, Call: call}
	}
	d := c.openPage(r, call, now)
	d.Verdict, d.Call = Serve, call
	if d.Reason == FeedStale {
		d.Verdict = Refuse // it may be alive: a page that hears so asks again
	}
	if call == KeepaliveCall && d.Live {
		// Somebody said so, whatever the rule of the page says of its own loads.
		c.slide(&d, r, &Rule{}, now)
		if d.Active && now > d.Seen {
			// To the second, or whoever answers a warning late in a slot would be warned again at once.
			d.IdleAt += now - d.Seen
			d.Seen, d.TouchAt, d.Slid = now, now, true
		}
	}
	return d
}

// openPage finds the session as the page would that a call is about: its rule may have shorter timeouts.
// Nothing is written for it.
func (c *Config) openPage(r *Request, call Call, now int64) Decision {
	page := r.page(call)
	path, _ := splitPath(page.Path)
	rule, before := &c.open, 0
	if path != "" && !underPrefix(path, c.Browser.Path) {
		rule, before, _ = c.ruleFor(&page, path)
	}
	d := c.openSession(r, now)
	d.Required = rule.Need == SessionRequired
	if call != EndCall {
		d.Drop = false // or the next one to ask, who may be sent to the login page, could not tell why
	}
	if d.Reason != OK {
		return d
	}
	held := c.narrow(rule, before, &page, path, &d.Session)
	d.Required = held.Need == SessionRequired
	d.TouchAt, d.Renew = 0, call == KeepaliveCall && d.Renew
	d.limit = Limits{Idle: held.Idle, Absolute: held.Absolute}
	c.deadlines(&d)
	if d.Reason = d.timeout(now); d.Reason == OK {
		d.Live = true
		if d.Session.AuthenticatedAt == 0 {
			d.Reason = Anonymous
		}
	}
	return d
}

// page is the request for the page that a call is about: what follows `end?`, else where it comes from.
// Its path is "" where that is not told.
func (r *Request) page(call Call) Request {
	page := *r
	page.Method = "GET"
	if call == EndCall {
		_, page.Path = splitPath(r.Path)
	} else {
		page.Path = r.refererPath()
	}
	return page
}
