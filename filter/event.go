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
	if p.ended.add(s.ID) {
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

// reasonProperty is read in access logs as %FILTER_STATE(wasm.curfew_reason:PLAIN)%; where it is
// absent the request had a live session.
var reasonProperty = []string{"curfew_reason"}

// tell gives the reason to the access log. A live session costs no call.
func (p *plugin) tell(r policy.Reason) {
	// The last one counts: what a response did says more than what its request met.
	_ = proxywasm.SetProperty(reasonProperty, []byte(r.String()))
}
