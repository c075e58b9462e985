package filter

import (
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// World is what the filter takes from outside beside the host's proxy-wasm calls.
type World struct {
	Now    func() int64             // Unix seconds
	Random func([]byte) error       // fills its argument or fails
	Getenv func(name string) string // "" where it is not set
}

// New returns the VM context to register with proxywasm.SetVMContext. The zero World is the real
// one: the host's clock and randomness, and the VM's environment.
func New(w World) types.VMContext { return &vm{world: w} }

type vm struct {
	types.DefaultVMContext
	world World
	// streams are those of all configs: what was opened under an older one follows requests under the newer.
	streams streams
	ends    ended // the same holds for these
}

// NewPluginContext implements types.VMContext.
func (v *vm) NewPluginContext(id uint32) types.PluginContext {
	p := &plugin{id: id, world: v.world, streams: &v.streams, ends: &v.ends}
	p.world.fill(&p.host)
	return p
}

// plugin is one filter config in one worker's VM.
type plugin struct {
	types.DefaultPluginContext
	id      uint32 // of its context
	world   World
	host    host
	config  *policy.Config
	stats   stats
	streams *streams
	ends    *ended
	feed    feed
	heard   policy.Heard
	logged  recent

	// One request is decided at a time, so they share what it takes.
	request  policy.Request
	response policy.Response
	hostile  []string // names of request headers to remove
	idle     []*stream
}

// OnPluginStart reads and checks the config. Anything wrong stops Envoy from starting, or from
// taking the update.
func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	text, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		text = nil // no configuration at all reads as an empty one
	}
	config, err := policy.Parse(string(text), p.world.Getenv)
	if err != nil {
		// Not err.Error(): a call through the interface would link every Error method there is.
		if e, ok := err.(*policy.ConfigError); ok {
			proxywasm.LogCritical("curfew does not start: " + e.Error())
		}
		return types.OnPluginStartStatusFailed
	}
	p.config = config
	p.heard.Ended = &p.ends.known
	p.request.Jar = config.NewJar()
	p.catchUp()
	if !p.stats.define(&p.host, config.Keys) || !p.listen() || proxywasm.SetTickPeriodMilliSeconds(tickMillis) != nil {
		proxywasm.LogCritical("curfew does not start: the host gives no metrics or no timer")
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

// tickMillis is how often streams are held against the clock, and counts go to the host. Time is told in
// whole seconds, so a stream ends within half of one after its session.
const tickMillis = 500

// OnTick implements types.PluginContext.
func (p *plugin) OnTick() {
	p.catchUp()
	p.poll()
	p.endStreams()
	p.stats.flush(&p.host)
}

// NewHttpContext hands out a stream; those that are done are used again, so that a request
// allocates none.
func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		s.id = id
		return s
	}
	return &stream{plugin: p, id: id}
}

// recent remembers the sessions whose end was logged last, so that the parallel requests of one
// page, or a replayed cookie, log one end and not a hundred.
type recent struct {
	ids  [64]cookie.ID
	next int
}

// add reports whether the id was not there yet.
func (r *recent) add(id cookie.ID) bool {
	for i := range r.ids {
		if r.ids[i] == id {
			return false
		}
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % len(r.ids)
	return true
}
