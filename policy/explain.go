package policy

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// Step is one thing that Decide looks at, and what it finds.
type Step struct {
	Topic string // such as path, rules[2] or idle
	Found string // in a word or two
	Why   string // in more; may be empty
	// From and Ends are when what the step is about began and ends, Unix seconds; 0: it has no such time.
	From, Ends int64
}

// Explanation is how a decision comes about. Rule is the one that decided, as errors name it, or login (the
// login routes), strictest (paths that may become others), default (no rule matches), or empty: none was asked.
type Explanation struct {
	Steps    []Step
	Decision Decision
	Rule     string
}

// Explain is Decide step by step, for people. Its decision is that of Decide.
func (c *Config) Explain(r *Request, now int64) Explanation {
	t := &tracer{c: c, r: r, now: now}
	d, rule := t.decide()
	d.Session.Detach(nil)
	t.verdict(&d)
	return Explanation{Steps: t.steps, Decision: d, Rule: rule}
}

// tracer goes the way of Decide, asks the same functions and notes what they say.
type tracer struct {
	c     *Config
	r     *Request
	now   int64
	steps []Step
}

func (t *tracer) say(topic, found, why string) {
	t.steps = append(t.steps, Step{Topic: topic, Found: found, Why: why})
}

// sayWhen is say with times.
func (t *tracer) sayWhen(topic, found, why string, from, ends int64) {
	t.steps = append(t.steps, Step{Topic: topic, Found: found, Why: why, From: from, Ends: ends})
}

func (t *tracer) decide() (d Decision, name string) {
	c, r := t.c, t.r
	path, _ := splitPath(r.Path)
	plain := t.plain(path)
	if t.folder(path, plain) {
		return t.call(c.call(path)), ""
	}
	if t.preflight(plain) {
		return Decision{Reason: Preflight}, ""
	}
	if t.logout(path, plain) {
		t.session()
		return c.decideLogout(r, c.Logout.Methods, t.now), ""
	}
	rule, before, canStart := c.ruleFor(r, path)
	name = t.rule(path, rule, before, canStart)
	if rule.Need == SessionOff {
		t.say("cookies", "not looked at", "the rule wants no session")
		return Decision{Reason: Off}, name
	}
	d = t.session()
	d.CanStart = canStart
	held := *rule
	alive := d.Reason == OK
	if alive {
		t.joining(path, before, &d.Session)
		held = c.narrow(rule, before, r, path, &d.Session)
		t.access(&d, &held)
	}
	switch {
	case d.Reason == OK:
		d.Live = true
		t.slide(&d, &held)
	case c.ReportOnly:
		d.Live, d.Drop = alive, false
		t.say("report_only", "true", "what would be refused goes to the app")
	case held.Need == SessionOptional:
		t.say("session", "optional", "the app serves strangers here; it sees one")
	case d.Reason == Forbidden || d.Reason == FeedStale:
		d.Verdict = Refuse
	default:
		d.Verdict = Login
	}
	return d, name
}

func (t *tracer) plain(path string) bool {
	plain := t.c.plain(t.r, path)
	switch why := pathFault(path); {
	case plain:
		t.say("path", "plain", "every server reads it the same way")
	case why != "":
		t.say("path", "hostile", why+"; servers may read it in two ways, so it is held to the strictest of all rules")
	default:
		t.say("path", "plain, but the host is not", "some rule names hosts, and this is no plain host name; it is held to the strictest of all rules")
	}
	return plain
}

// pathFault says by which rule a path is not plain; "" where it is.
func pathFault(p string) string {
	if p == "" || p[0] != '/' {
		return "it does not begin with a slash"
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c >= 0x7f:
			return "it has a control character, a space or a byte beyond ASCII at byte " + strconv.Itoa(i)
		case c == '\\' || c == ';' || c == '#':
			return "it has a " + string(rune(c)) + " at byte " + strconv.Itoa(i)
		case c == '%' && !plainEscape(p[i+1:]):
			return "the escape at byte " + strconv.Itoa(i) + " is broken, has small digits, or stands for what could stand there bare"
		case c == '/' && !plainSegment(p[i+1:]):
			return "it has an empty segment (//) or a dot segment at byte " + strconv.Itoa(i)
		}
	}
	return ""
}

// folder reports whether the request is for the filter's own folder.
func (t *tracer) folder(path string, plain bool) bool {
	c := t.c
	under := underPrefix(path, c.Browser.Path)
	ours := plain && !c.ReportOnly && under && !c.hostIsOff(t.r, path)
	switch {
	case ours:
		t.say("browser.path", "yes", "it is below "+c.Browser.Path+", which Curfew answers itself")
	case !under:
		t.say("browser.path", "no", "it is not below "+c.Browser.Path)
	case c.ReportOnly:
		t.say("browser.path", "no", "report_only leaves the folder to the app")
	case !plain:
		t.say("browser.path", "no", "the path or the host is not plain")
	default:
		t.say("browser.path", "no", "a rule turns sessions off for this host")
	}
	return ours
}

// call explains a request for the filter's own folder.
func (t *tracer) call(call Call) Decision {
	c, r := t.c, t.r
	asks := [...]string{StatusCall: "status", KeepaliveCall: "keepalive", LogoutCall: "logout", ScriptCall: "session.js", EndCall: "end", UnknownCall: "nothing that is there"}
	t.say("call", asks[call], "its methods are "+join(call.methods())+"; this is "+r.Method)
	d := c.decideCall(r, call, t.now)
	if d.Reason == CallRefused || call == UnknownCall || call == ScriptCall {
		return d
	}
	if call != LogoutCall {
		page := r.page(call)
		path, _ := splitPath(page.Path)
		t.say("page", orNone(path), "whose rule says how long the session lasts here")
		if path != "" && !underPrefix(path, c.Browser.Path) {
			rule, before, canStart := c.ruleFor(&page, path)
			p := &tracer{c: c, r: &page, now: t.now}
			p.rule(path, rule, before, canStart)
			t.steps = append(t.steps, p.steps...)
		}
	}
	t.session()
	return c.decideCall(r, call, t.now) // again: the session's strings are in the codec's buffer
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (t *tracer) preflight(plain bool) bool {
	r := t.r
	bypassed := plain && t.c.BypassPreflight && r.preflight()
	why := ""
	switch {
	case r.Method != "OPTIONS":
		why = "the method is " + orNone(r.Method)
	case r.Origin == "" || !validToken(r.RequestMethod):
		why = "it lacks Origin or Access-Control-Request-Method"
	case r.Upgrade != "" || len(r.Jar.Lines) > 0:
		why = "browsers send no cookie and no Upgrade with a preflight"
	case !plain:
		why = "the path or the host is not plain"
	case !bypassed:
		why = "bypass_cors_preflight is false"
	default:
		why = "it goes to the app, which answers it"
	}
	t.say("preflight", yes(bypassed), why)
	return bypassed
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (t *tracer) logout(path string, plain bool) bool {
	is := plain && path == t.c.Logout.Path
	if !is {
		t.say("logout", "no", "logout.path is "+t.c.Logout.Path)
		return false
	}
	why := "the method is one of " + join(t.c.Logout.Methods) + " and no other site asks"
	switch {
	case !contains(t.c.Logout.Methods, t.r.Method):
		why = "the method is " + t.r.Method + ", logout.methods are " + join(t.c.Logout.Methods)
	case t.r.crossSite():
		why = "another site made the browser send it"
	case t.r.prefetch():
		why = "the browser loads ahead"
	}
	t.say("logout", "yes", why)
	return true
}

// rule explains which rule holds, and returns its name.
func (t *tracer) rule(path string, rule *Rule, before int, canStart bool) (name string) {
	switch {
	case rule == &t.c.strictest:
		t.say("rules", "all", "the path or the host is not plain: a session is required, with every require and the shortest of all timeouts")
		return "strictest"
	case canStart:
		t.say("rules", "none", "login.start_on names "+t.r.Method+" "+path+": open to everybody, and the app may start a session")
		return "login"
	case rule == &t.c.open:
		t.say("rules", "none", "this is the login page: open to everybody")
		return "login"
	}
	for i := range t.c.Rules[:before] {
		u := &t.c.Rules[i]
		if why := u.mismatch(t.r, path); why != "" {
			t.say(ruleName(i), "does not match", why)
		} else {
			t.say(ruleName(i), "matches", "it has a when, so the session's data will say whether it joins in")
		}
	}
	if before == len(t.c.Rules) {
		t.say("rules", "none matches", "then a session is required")
		return "default"
	}
	why := "the first that matches; session: " + rule.Need.String()
	if left := len(t.c.Rules) - before - 1; left > 0 {
		why += "; " + strconv.Itoa(left) + " behind it are not looked at"
	}
	t.say(ruleName(before), "decides", why)
	return ruleName(before)
}

func ruleName(i int) string { return "rules[" + strconv.Itoa(i) + "]" }

// mismatch says why a rule is not for a request, its when aside; "" where it is.
func (u *Rule) mismatch(r *Request, path string) string {
	switch {
	case u.matches(r, path):
		return ""
	case !(&Rule{Path: u.Path}).matches(r, path):
		return "the path is not " + u.Path
	case !(&Rule{PathPrefix: u.PathPrefix}).matches(r, path):
		return "the path is not below " + u.PathPrefix
	case !(&Rule{Methods: u.Methods}).matches(r, path):
		return "the method " + r.Method + " is not " + join(u.Methods)
	}
	return "the host " + host(r.Authority) + " is not " + join(u.Hosts)
}

// session explains what the cookies say, up to whether the session is alive by the config's own timeouts.
func (t *tracer) session() Decision {
	c, jar := t.c, t.r.Jar
	t.cookies(jar)
	d := c.openSession(t.r, t.now)
	switch {
	case d.Found:
	case d.Reason == Invalid && jar.Hostile:
		t.say("session", "invalid", "no browser sends such a Cookie header: over 8 values under one name, or $Version")
		return d
	case d.Reason == Invalid:
		t.say("session", "invalid", "not exactly one session opens")
		return d
	default:
		t.say("session", "absent", "there is no "+c.Cookie.Name+" cookie")
		return d
	}
	s := &d.Session
	t.say("session", s.ID.Hash(), about(s))
	t.sayWhen("login", or(s.AuthenticatedAt == 0, "nobody logged in", "logged in"), "", s.AuthenticatedAt, 0)
	t.deadlines(&d)
	t.revoked(&d)
	return c.openSession(t.r, t.now)
}

func or(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// about is what a session holds.
func about(s *cookie.Session) string {
	out := "no subject"
	if s.Subject != "" {
		out = "subject " + JSONString(s.Subject)
	}
	out += ", revision " + strconv.FormatInt(int64(s.Revision), 10)
	if s.Data != "" {
		out += ", data " + s.Data
	}
	for rest := s.Wrapped; rest != ""; {
		var w cookie.Wrapped
		if w, rest, _ = cookie.CutWrapped(rest); w.Name == "" {
			break
		}
		out += ", holds the cookie " + w.Name
	}
	return out
}

// cookies explains each cookie of ours by itself.
func (t *tracer) cookies(jar *cookie.Jar) {
	c := t.c
	if len(jar.Sessions)+len(jar.Touches)+len(jar.Renewed) == 0 {
		t.say("cookies", "none of ours", "looked for "+c.Cookie.Name+", with "+cookie.TouchSuffix+" and "+cookie.RenewedSuffix)
		return
	}
	var id cookie.ID
	session := ""
	for _, token := range jar.Sessions {
		o, err := c.codec.Open(token, t.now)
		if err == nil {
			id = o.Session.ID
		}
		session = token
		t.token("", token, o.Current, o.Session.IssuedAt, err)
	}
	for _, value := range jar.Renewed {
		token, bound := cookie.CutRenewal(value, session)
		if !bound {
			t.say("cookie "+c.Cookie.Name+cookie.RenewedSuffix, "not looked at", "it renews another session cookie than the one that came")
			continue
		}
		o, err := c.codec.Open(token, t.now)
		if err == nil {
			id = o.Session.ID
		}
		t.token(cookie.RenewedSuffix, token, o.Current, o.Session.IssuedAt, err)
	}
	for _, token := range jar.Touches {
		seen, current, err := c.codec.OpenTouch(token, id, t.now)
		t.token(cookie.TouchSuffix, token, current, seen, err)
	}
}

// token explains a cookie by itself. at is when it was written, or what it says.
func (t *tracer) token(suffix, token string, current bool, at int64, err error) {
	topic, key := "cookie "+t.c.Cookie.Name+suffix, keyOf(token)
	switch {
	case err != nil:
		t.say(topic, "refused", key+": "+err.Error())
	case current:
		t.sayWhen(topic, "authentic", key+", which signs now", at, 0)
	default:
		t.sayWhen(topic, "authentic", key+", which does not sign now; "+orNone(t.c.codec.SigningKey(t.now))+" does", at, 0)
	}
}

// keyOf is the key that a token names.
func keyOf(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	if id, _, ok := strings.Cut(rest, "."); ok && cookie.ValidKeyID(id) {
		return "key " + id
	}
	return "no key id"
}

// deadlines explains both, and whether one has passed.
func (t *tracer) deadlines(d *Decision) {
	s, limits := &d.Session, "timeouts"
	if s.Remember {
		limits = "remember"
	}
	idle, absolute := limits+".idle", limits+".absolute"
	if s.Idle != 0 {
		idle = "the session's own"
	}
	if s.Absolute != 0 {
		absolute = "the session's own"
	}
	l := t.c.limits(s)
	if d.limit.Idle != 0 && limit(l.Idle, s.Idle, 0) > d.limit.Idle {
		idle = "the rule's"
	}
	if d.limit.Absolute != 0 && limit(l.Absolute, s.Absolute, 0) > d.limit.Absolute {
		absolute = "the rule's"
	}
	if until := wrappedUntil(s); until != 0 && until == d.ExpiresAt {
		absolute = "the app's own cookie's"
	}
	t.sayWhen("idle", or(t.now >= d.IdleAt, "over", "goes on"), "by "+idle+"; since the last activity", d.Seen, d.IdleAt)
	t.sayWhen("absolute", or(t.now >= d.ExpiresAt, "over", "goes on"), "by "+absolute+"; since the session began", s.StartedAt, d.ExpiresAt)
}

// revoked explains what the config and the feed say of the session.
func (t *tracer) revoked(d *Decision) {
	heard := t.r.Heard
	switch at := d.revokedAt; {
	case at != 0 && at <= t.now && t.c.Revoke.at(&d.Session) == at:
		t.sayWhen("revoke", "yes", "the config ends sessions like this that began before", 0, at)
	case at != 0 && at <= t.now:
		t.say("revoke", "yes", "the feed ends it")
	case at != 0:
		t.sayWhen("revoke", "not yet", "it will be", 0, at)
	case heard.ended(d.Session.ID, t.now):
		t.say("revoke", "yes", "somebody ended it on this proxy")
	case d.Reason == FeedStale:
		t.say("revoke", "unknown", "the feed has been silent for longer than revoke.feed.stale_after")
	default:
		t.say("revoke", "no", "")
	}
}

// joining explains which rules with a when add to the one that decides.
func (t *tracer) joining(path string, before int, s *cookie.Session) {
	for i := range t.c.Rules[:before] {
		u := &t.c.Rules[i]
		if len(u.When) == 0 || !u.matches(t.r, path) {
			continue
		}
		if why := unmet(u.When, s.Data); why != "" {
			t.say(ruleName(i), "does not join in", why)
		} else {
			t.say(ruleName(i), "joins in", "the session's data meets its when; of each field the strictest counts")
		}
	}
}

// unmet says which condition data does not meet; "" where it meets all.
func unmet(conditions []Condition, data string) string {
	for _, cond := range conditions {
		if !met([]Condition{cond}, data) {
			is := gjson.Get(data, cond.Path).Raw
			return "data." + cond.Path + " is " + or(is == "", "not there", is) + ", not " + join(cond.Values)
		}
	}
	return ""
}

// access explains what the rule asks of a live session.
func (t *tracer) access(d *Decision, held *Rule) {
	c, was := t.c, *d
	c.access(d, held, t.now)
	limited := was
	limited.limit = d.limit
	c.deadlines(&limited)
	if limited.IdleAt != was.IdleAt || limited.ExpiresAt != was.ExpiresAt {
		t.deadlines(&limited)
	}
	if limited.timeout(t.now) != OK {
		return
	}
	s := &d.Session
	if held.Need == SessionRequired {
		t.say("authenticated", yes(s.AuthenticatedAt != 0), "the rule requires somebody who is logged in")
	}
	if d.Reason == Anonymous {
		return
	}
	if age := held.MaxAuthAge; age > 0 {
		t.sayWhen("max_auth_age", or(d.Reason == AuthTooOld, "over", "goes on"), "since the login", s.AuthenticatedAt, s.AuthenticatedAt+age)
	}
	if len(held.Require) > 0 && d.Reason != AuthTooOld {
		why := unmet(held.Require, s.Data)
		t.say("require", or(why == "", "met", "not met"), why)
	}
}

// slide explains whether the request counts as activity.
func (t *tracer) slide(d *Decision, held *Rule) {
	t.c.slide(d, t.r, held, t.now)
	switch {
	case held.Passive:
		t.say("activity", "passive", "by the rule; the idle deadline stays")
	case t.r.prefetch():
		t.say("activity", "passive", "the browser loads ahead; the idle deadline stays")
	case !d.Active:
		t.say("activity", "passive", "the client says so ("+ActivityHeader+"); the idle deadline stays")
	case d.Renew:
		t.sayWhen("activity", "active", "the session is sealed again with the response", d.Seen, d.IdleAt)
	case d.Slid:
		t.sayWhen("activity", "active", "the touch cookie is written with the response", d.Seen, d.IdleAt)
	default:
		t.say("activity", "active", "it has been noted in this interval of timeouts.touch; nothing is written")
	}
}

// verdict is the last step.
func (t *tracer) verdict(d *Decision) {
	does := [...]string{Pass: "goes to the app", Login: "is sent to log in", Refuse: "is refused", Logout: "is logged out", Serve: "is answered by Curfew"}
	asks := [...]string{GRPC: "a gRPC call", WebSocket: "a WebSocket", Prefetch: "a prefetch", EventSource: "an EventSource", Page: "a page load", Subresource: "a part of a page", API: "an API call"}
	why := "it is " + asks[t.r.asker()]
	if d.Verdict == Pass {
		why += or(d.Live, "; the app sees the session", "; the app sees no session")
	}
	t.say("verdict", d.Reason.String()+": "+does[d.Verdict], why)
}
