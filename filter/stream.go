package filter

import (
	"cmp"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/curfew-proxy/curfew/policy"
)

// stream is one request and its response.
type stream struct {
	types.DefaultHttpContext
	plugin *plugin
	id     uint32 // of its context
	origin policy.Origin
	// answered: the reply is our own, and nothing of it is to be changed.
	answered bool

	// While it is under way with a session: for how long it may be, and its place among the others.
	lease         policy.Lease
	holder        *holder
	before, after *stream
	carried       uint64 // bytes by the last tick
	closing       bool
}

// OnHttpRequestHeaders implements types.HttpContext.
func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	p := s.plugin
	if !p.readRequest() {
		p.stats.count(policy.Unreadable)
		return s.answer(&policy.Decision{Reason: policy.Unreadable, Verdict: policy.Refuse}, 0)
	}
	now := p.world.Now()
	d := p.config.Decide(&p.request, now)
	p.stats.count(d.Reason)
	if d.Found {
		p.stats.keys[d.Key].pending++
	}
	if d.Found && d.Drop {
		p.logEnd(&d.Session, d.Reason)
	}
	if d.Verdict != policy.Pass {
		return s.answer(&d, now)
	}
	p.config.Keep(&s.origin, &p.request, &d, now)
	if d.Live && !p.config.ReportOnly && !d.CanStart {
		// Not for a login: of two at once the first ends the session that both came with, and not the second.
		s.lease = p.config.Lease(&d)
		p.streams.join(s, d.Session.ID, d.Seen)
		s.holder.follow(s.lease.Terms)
	}
	p.forward(&d, now)
	if d.Reason != policy.OK {
		p.tell(d.Reason, d.Session.ID)
	}
	return types.ActionContinue
}

// OnHttpRequestTrailers implements types.HttpContext. Some servers hand trailers to an app as if they
// were headers.
func (s *stream) OnHttpRequestTrailers(int) types.Action {
	trailers, err := proxywasm.GetHttpRequestTrailers()
	if err == types.ErrorStatusNotFound {
		return types.ActionContinue // http/2 can send trailers with nothing in them
	}
	check(err)
	for _, h := range trailers {
		// (RFC 9110, section 6.5.1, has no Cookie there.)
		if h[0] == "cookie" || s.plugin.config.Ours(h[0]) {
			check(proxywasm.RemoveHttpRequestTrailer(h[0]))
		}
	}
	return types.ActionContinue
}

// forward makes the request what the app shall see.
func (p *plugin) forward(d *policy.Decision, now int64) {
	for _, name := range p.hostile {
		check(proxywasm.RemoveHttpRequestHeader(name))
	}
	p.config.Restore(&p.request, d, now)
	if p.request.Jar.Cut {
		p.forwardCookies()
	}
	p.config.Headers(d, now, setRequestHeader)
}

// forwardCookies writes the Cookie lines without ours, and with what the session wraps.
func (p *plugin) forwardCookies() {
	lines := p.request.Jar.Lines
	if len(lines) == 1 && lines[0] != "" {
		setRequestHeader("cookie", lines[0])
		return
	}
	check(proxywasm.RemoveHttpRequestHeader("cookie"))
	for _, line := range lines {
		if line != "" {
			check(proxywasm.AddHttpRequestHeader("cookie", line))
		}
	}
}

// answer replies in the app's place.
func (s *stream) answer(d *policy.Decision, now int64) types.Action {
	p := s.plugin
	s.answered = true
	if d.Verdict == policy.Serve {
		s.serve(d, now)
		return types.ActionPause
	}
	p.tell(d.Reason, d.Session.ID)
	if d.Reason == policy.LoggedOut && d.Found {
		p.streams.end(d.Session.ID, d.Reason)
		p.block(&d.Session)
	}
	send(p.config.Answer(&p.request, d, now))
	return types.ActionPause
}

// serve answers for the filter's own folder.
func (s *stream) serve(d *policy.Decision, now int64) {
	p := s.plugin
	answer, done := p.config.Serve(&p.request, d, now, p.world.Random)
	if done != policy.OK {
		p.stats.count(done)
	}
	if d.Live {
		p.streams.saw(d.Session.ID, d.Seen)
	}
	if d.Reason != policy.OK {
		p.tell(d.Reason, d.Session.ID)
	}
	send(answer)
}

func send(a policy.Answer) {
	check(proxywasm.SendHttpResponse(a.Status, a.Headers, a.Body, a.GRPC))
}

// OnHttpResponseHeaders implements types.HttpContext.
func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	p := s.plugin
	if s.answered {
		return types.ActionContinue
	}
	commanded := p.host.hasResponseHeader(policy.CommandHeader)
	wraps := len(p.config.Wrap) > 0 && p.host.hasResponseHeader("set-cookie")
	if !commanded && !wraps && s.origin.Idle() && !p.config.Told(&s.origin) {
		return types.ActionContinue
	}
	headers, err := proxywasm.GetHttpResponseHeaders()
	if commanded {
		check(proxywasm.RemoveHttpResponseHeader(policy.CommandHeader))
	}
	switch {
	case err == nil:
		return s.respond(headers)
	case commanded || wraps:
		p.stats.count(policy.BadCommand)
		return s.badGateway(policy.FaultUnreadable)
	}
	return types.ActionContinue // a cookie that cannot be written with care waits for the next
}

// respond is the longer way: the app commands, a cookie is to be written or taken, or the client to be told.
func (s *stream) respond(headers [][2]string) types.Action {
	p := s.plugin
	p.readResponse(headers)
	now := p.world.Now()
	reply := p.config.Respond(&s.origin, &p.response, now, p.world.Random)
	s.note(&reply)
	if reply.Reason == policy.BadCommand {
		return s.badGateway(reply.Fault)
	}
	if reply.Fault != "" {
		proxywasm.LogError("curfew: " + string(reply.Fault))
	}
	p.writeCookies(headers, reply.Cookies)
	if told := p.config.Tell(&s.origin, &p.response, &reply, now, setResponseHeader); told || len(reply.Cookies) > 0 {
		addVary(headers)
	}
	return types.ActionContinue
}

// note counts and logs what a response did.
func (s *stream) note(reply *policy.Reply) {
	p, o := s.plugin, &s.origin
	if reply.Reason != policy.OK {
		p.stats.count(reply.Reason)
	}
	if reply.Ended != policy.OK {
		if reply.Ended != reply.Reason {
			p.stats.count(reply.Ended)
		}
		p.logEnd(&o.Session, reply.Ended)
		p.block(&o.Session)
	}
	s.pass(reply)
	switch reply.Reason {
	case policy.Opened, policy.Started:
		p.logStart(&reply.Session, reply.Reason)
		p.tell(reply.Reason, reply.Session.ID)
	case policy.Rotated:
		p.logRotate(&o.Session, &reply.Session)
		p.tell(reply.Reason, reply.Session.ID)
	case policy.Ended, policy.TooLarge:
		if reply.Session.StartedAt != 0 {
			p.stats.count(policy.Opened)
			p.logStart(&reply.Session, policy.Opened)
		}
		p.tell(reply.Reason, cmp.Or(o.Session.ID, reply.Session.ID))
	}
}

// pass tells the other streams of the session what became of it.
func (s *stream) pass(reply *policy.Reply) {
	t, h := s.plugin.streams, s.holder
	if h == nil { // it is none of them
		if reply.Ended != policy.OK {
			t.end(s.origin.Session.ID, reply.Ended)
		}
		return
	}
	h.seen = max(h.seen, reply.Seen)
	switch {
	case reply.Ended != policy.OK:
		h.over = reply.Ended // which may have a newer id by now
		t.leave(s)           // its own response is none of what must end
	case reply.Reason == policy.Rotated || reply.Reason == policy.Changed:
		if reply.Reason == policy.Rotated {
			t.rename(h, reply.Session.ID)
		}
		h.follow(s.plugin.config.Terms(&reply.Session, &s.plugin.heard))
	}
}

func (s *stream) badGateway(fault policy.Fault) types.Action {
	proxywasm.LogError("curfew: 502, the app broke a rule: " + string(fault))
	s.plugin.tell(policy.BadCommand, s.origin.Session.ID)
	if s.plugin.config.ReportOnly {
		return types.ActionContinue
	}
	s.answered = true
	send(policy.BadGateway())
	return types.ActionPause
}

// writeCookies adds ours to the response, and takes out what the browser must not get.
func (p *plugin) writeCookies(headers [][2]string, cookies []string) {
	p.cutCookies(headers, len(cookies) > 0)
	if len(cookies) == 0 {
		return
	}
	for _, v := range cookies {
		check(proxywasm.AddHttpResponseHeader("set-cookie", v))
	}
	for _, h := range headers {
		if policy.TargetsCaches(h[0]) {
			check(proxywasm.RemoveHttpResponseHeader(h[0]))
		}
	}
	setResponseHeader("cache-control", "no-store") // RFC 9111, section 5.2.2.5
}

// addVary says that the answer depended on the cookie.
func addVary(headers [][2]string) {
	for _, h := range headers {
		if h[0] == "vary" && (h[1] == "Cookie" || h[1] == "*") {
			return
		}
	}
	check(proxywasm.AddHttpResponseHeader("vary", "Cookie"))
}

// cutCookies takes the app's Set-Cookie lines out that sessions wrap, and where we write cookies, what
// it set under our names: a browser would take the last.
func (p *plugin) cutCookies(headers [][2]string, ours bool) {
	cut := func(h [2]string) bool {
		return h[0] == "set-cookie" && (p.config.Wraps(h[1]) || ours && p.config.SetsOurs(h[1]))
	}
	any := false
	for _, h := range headers {
		any = any || cut(h)
	}
	if !any {
		return
	}
	check(proxywasm.RemoveHttpResponseHeader("set-cookie"))
	for _, h := range headers {
		if h[0] == "set-cookie" && !cut(h) {
			check(proxywasm.AddHttpResponseHeader("set-cookie", h[1]))
		}
	}
}

// readResponse takes what Respond asks about.
func (p *plugin) readResponse(headers [][2]string) {
	p.response = policy.Response{Commands: p.response.Commands[:0], SetCookies: p.response.SetCookies[:0]}
	r := &p.response
	for _, h := range headers {
		switch h[0] {
		case ":status":
			for i := 0; i < len(h[1]); i++ {
				r.Status = r.Status*10 + int(h[1][i]-'0') // the host's own three digits
			}
		case policy.CommandHeader:
			r.Commands = append(r.Commands, h[1])
		case "set-cookie":
			if p.config.Wraps(h[1]) {
				r.SetCookies = append(r.SetCookies, h[1])
			}
			r.Messages = r.Messages || policy.SetsMessages(h[1])
		case "cache-control":
			if r.CacheControl != "" {
				r.CacheControl += ","
			}
			r.CacheControl += h[1]
		case "expires":
			r.Expires = h[1]
		case "refresh":
			r.Refreshes = true
		case "age":
			r.Age = h[1]
		case "location":
			r.Location = h[1]
		default:
			r.Targeted = r.Targeted || policy.TargetsCaches(h[0])
		}
	}
}

// OnHttpStreamDone implements types.HttpContext.
func (s *stream) OnHttpStreamDone() {
	p := s.plugin
	p.streams.leave(s)
	s.origin.Forget()
	*s = stream{plugin: p, origin: s.origin}
	p.idle = append(p.idle, s)
}

func setResponseHeader(name, value string) {
	check(proxywasm.ReplaceHttpResponseHeader(name, value))
}

func setRequestHeader(name, value string) {
	check(proxywasm.ReplaceHttpRequestHeader(name, value))
}

// check: these calls fail only where the host has no such map, which the callbacks we are in rule
// out. Should one fail all the same, the trap is the safe way out: the request ends here, for a
// header that stayed could be a forged identity.
func check(err error) {
	if err != nil {
		panic("curfew: the host refused a header")
	}
}
