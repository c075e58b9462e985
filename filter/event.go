package filter

import (
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// logStart and logEnd write one JSON line for each start and end of a session. Nothing in it comes
// from a client: reasons are a closed list, the id is hashed.
func (p *plugin) logStart(id cookie.ID) {
	logEvent("session_start", policy.Started, id)
}

func (p *plugin) logEnd(id cookie.ID, reason policy.Reason) {
	if p.ended.add(id) {
		logEvent("session_end", reason, id)
	}
}

func logEvent(event string, reason policy.Reason, id cookie.ID) {
	proxywasm.LogInfo(`{"curfew":"` + event + `","reason":"` + reason.String() + `","session":"` + id.Hash() + `"}`)
}

// reasonProperty is read in access logs as %FILTER_STATE(wasm.curfew_reason:PLAIN)%; where it is
// absent the request had a live session.
var reasonProperty = []string{"curfew_reason"}

// tell gives the reason to the access log. A live session costs no call.
func (p *plugin) tell(r policy.Reason) {
	// The last one counts: what a response did says more than what its request met.
	_ = proxywasm.SetProperty(reasonProperty, []byte(r.String()))
}
