package filter

import (
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/curfew-proxy/curfew/policy"
)

// stream is one request and its response.
type stream struct {
	types.DefaultHttpContext
	plugin *plugin
	origin policy.Origin
	// answered: the reply is our own, and nothing of it is to be changed.
	answered bool
}

// OnHttpRequestHeaders implements types.HttpContext.
func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	p := s.plugin
	if !p.readRequest() {
		p.stats.count(policy.Unreadable)
		return s.answer(&policy.Decision{Reason: policy.Unreadable, Verdict: policy.Refuse})
	}
	now := p.world.Now()
	d := p.config.Decide(&p.request, now)
	p.stats.count(d.Reason)
	if d.Found && d.Drop {
		p.logEnd(d.Session.ID, d.Reason)
	}
	if d.Verdict != policy.Pass {
		return s.answer(&d)
	}
	s.origin = p.config.Origin(&p.request, &d, now, p.world.Random)
	p.forward(&d, now)
	if d.Reason != policy.OK {
		p.tell(d.Reason)
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
		if s.plugin.config.Ours(h[0]) {
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
	if p.request.Jar.Cut {
		p.forwardCookies()
	}
	// At least one header that only we set goes to every app: a guard behind us demands it.
	if p.config.Headers(d, now, setRequestHeader) == 0 {
		setRequestHeader(policy.ReasonHeader, d.Reason.String())
	}
}

// forwardCookies writes the Cookie lines without ours.
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
func (s *stream) answer(d *policy.Decision) types.Action {
	p := s.plugin
	s.answered = true
	p.tell(d.Reason)
	send(p.config.Answer(&p.request, d))
	return types.ActionPause
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
	if !commanded && s.origin.Idle() {
		return types.ActionContinue
	}
	headers, err := proxywasm.GetHttpResponseHeaders()
	if commanded {
		check(proxywasm.RemoveHttpResponseHeader(policy.CommandHeader))
	}
	switch {
	case err == nil:
		return s.respond(headers)
	case commanded:
		p.stats.count(policy.BadCommand)
		return s.badGateway(policy.FaultUnreadable)
	}
	return types.ActionContinue // a cookie that cannot be written with care waits for the next
}

// respond is the rarer way: the app commands, or a cookie is to be written.
func (s *stream) respond(headers [][2]string) types.Action {
	p := s.plugin
	p.readResponse(headers)
	reply := p.config.Respond(&s.origin, &p.response, p.world.Now(), p.world.Random)
	if reply.Reason != policy.OK {
		p.stats.count(reply.Reason)
	}
	if reply.Ended != policy.OK {
		if reply.Ended != reply.Reason {
			p.stats.count(reply.Ended)
		}
		p.logEnd(s.origin.ID, reply.Ended)
	}
	switch reply.Reason {
	case policy.BadCommand:
		return s.badGateway(reply.Fault)
	case policy.Started:
		p.logStart(reply.New)
		p.tell(policy.Started)
	case policy.Ended:
		p.tell(policy.Ended)
	}
	if len(reply.Cookies) > 0 {
		p.writeCookies(headers, reply.Cookies)
	}
	return types.ActionContinue
}

func (s *stream) badGateway(fault policy.Fault) types.Action {
	proxywasm.LogError("curfew: 502, the app broke a rule: " + string(fault))
	s.plugin.tell(policy.BadCommand)
	if s.plugin.config.ReportOnly {
		return types.ActionContinue
	}
	s.answered = true
	send(policy.BadGateway())
	return types.ActionPause
}

// writeCookies adds ours to the response. Whatever the app itself set under our names goes, for a
// browser would take the last.
func (p *plugin) writeCookies(headers [][2]string, cookies []string) {
	if p.ownNames(headers) {
		check(proxywasm.RemoveHttpResponseHeader("set-cookie"))
		for _, h := range headers {
			if h[0] == "set-cookie" && !p.config.SetsOurs(h[1]) {
				check(proxywasm.AddHttpResponseHeader("set-cookie", h[1]))
			}
		}
	}
	for _, v := range cookies {
		check(proxywasm.AddHttpResponseHeader("set-cookie", v))
	}
	for _, h := range headers {
		if policy.TargetsCaches(h[0]) {
			check(proxywasm.RemoveHttpResponseHeader(h[0]))
		}
	}
	// RFC 9111, section 5.2.2.5; and the answer depended on the cookie.
	check(proxywasm.ReplaceHttpResponseHeader("cache-control", "no-store"))
	check(proxywasm.AddHttpResponseHeader("vary", "Cookie"))
}

func (p *plugin) ownNames(headers [][2]string) bool {
	for _, h := range headers {
		if h[0] == "set-cookie" && p.config.SetsOurs(h[1]) {
			return true
		}
	}
	return false
}

// readResponse takes what Respond asks about.
func (p *plugin) readResponse(headers [][2]string) {
	p.response = policy.Response{Commands: p.response.Commands[:0]}
	r := &p.response
	for _, h := range headers {
		switch h[0] {
		case ":status":
			for i := 0; i < len(h[1]); i++ {
				r.Status = r.Status*10 + int(h[1][i]-'0') // the host's own three digits
			}
		case policy.CommandHeader:
			r.Commands = append(r.Commands, h[1])
		case "cache-control":
			if r.CacheControl != "" {
				r.CacheControl += ","
			}
			r.CacheControl += h[1]
		case "expires":
			r.Expires = h[1]
		case "age":
			r.Age = h[1]
		default:
			r.Targeted = r.Targeted || policy.TargetsCaches(h[0])
		}
	}
}

// OnHttpStreamDone implements types.HttpContext.
func (s *stream) OnHttpStreamDone() {
	s.origin, s.answered = policy.Origin{}, false
	s.plugin.idle = append(s.plugin.idle, s)
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
