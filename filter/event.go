package filter

import (
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// logStart, logRotate and logEnd write one JSON line for each start, new id and end of a session.
// Nothing in it comes from a client: reasons are a closed list, ids are hashed, and who it was is
// said only if the config wants it.
func (p *plugin) logStart(s *cookie.Session, reason policy.Reason) {
	p.logEvent(sessionStart, reason, s, "")
}

func (p *plugin) logRotate(before, after *cookie.Session) {
	p.logEvent(sessionRotate, policy.Rotated, before, `,"next":"`+after.ID.Hash()+`"`)
}

func (p *plugin) logEnd(s *cookie.Session, reason policy.Reason) {
	if p.logged.add(s.ID) {
		p.logEvent(sessionEnd, reason, s, "")
	}
}

// event is what happens to a session as a whole. Its text is the word in the log and, after our
// prefix, the counter's name.
type event uint8

const (
	sessionStart event = iota
	sessionRotate
	sessionEnd
	streamEnd  // counted and not logged: the access log has a line of each
	eventCount = iota
)

var eventText = [eventCount]string{"session_start", "session_rotate", "session_end", "stream_end"}

func (p *plugin) logEvent(e event, reason policy.Reason, s *cookie.Session, more string) {
	p.stats.events[e].pending++
	if p.config.LogSubject && s.Subject != "" {
		more += `,"subject":` + policy.JSONString(s.Subject)
	}
	proxywasm.LogInfo(`{"curfew":"` + eventText[e] + `","reason":"` + reason.String() + `","session":"` + s.ID.Hash() + `"` + more + `}`)
}

// What access logs read as %FILTER_STATE(wasm.NAME:PLAIN)%. Where there is no reason the request had a live
// session, which costs no call.
var (
	reasonProperty  = []string{"curfew_reason"}
	sessionProperty = []string{"curfew_session"}
)

// tell gives the reason to the access log, and the session's hash, if it was one; the log's lines about it have
// the same. The last one counts: what a response did says more than what its request met.
func (p *plugin) tell(r policy.Reason, id cookie.ID) {
	_ = proxywasm.SetProperty(reasonProperty, []byte(r.String()))
	if id != (cookie.ID{}) {
		_ = proxywasm.SetProperty(sessionProperty, []byte(id.Hash()))
	}
}
