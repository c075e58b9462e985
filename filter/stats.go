package filter

import (
	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// stats are counts that this VM has not told the host yet. Telling costs a host call each, so a
// tick does it for all requests of half a second.
type stats struct {
	reasons [policy.ReasonCount]counter
	events  [eventCount]counter
	keys    []counter // by the number of the key in the config
	pages   uint32    // metric id
	told    uint64
}

type counter struct {
	name    string // kept, for the SDK's emulated host refers to its bytes
	id      uint32 // metric id
	pending int64
}

// Names of metrics in Envoy, before its own prefix wasmcustom.
const (
	counterPrefix = "curfew_"
	pagesGauge    = "curfew_memory_pages"
)

// define reports false where the host takes no metrics.
func (s *stats) define(h *host, keys []cookie.Key) (ok bool) {
	for r := range s.reasons {
		if ok = s.reasons[r].define(h, policy.Reason(r).String()); !ok {
			return false
		}
	}
	for e := range s.events {
		if ok = s.events[e].define(h, eventText[e]); !ok {
			return false
		}
	}
	s.keys = make([]counter, len(keys))
	for i := range keys {
		if ok = s.keys[i].define(h, "key_"+policy.CounterName(keys[i].ID)); !ok {
			return false
		}
	}
	s.pages, ok = h.defineMetric(metricGauge, pagesGauge)
	return ok
}

func (c *counter) define(h *host, name string) (ok bool) {
	c.name = counterPrefix + name
	c.id, ok = h.defineMetric(metricCounter, c.name)
	return ok
}

func (c *counter) flush(h *host) {
	if c.pending > 0 {
		h.addMetric(c.id, c.pending)
		c.pending = 0
	}
}

// gauge is a number that goes up and down; of several workers' the last one's counts.
type gauge struct {
	name  string // kept, as a counter's
	id    uint32
	value int64
}

func (g *gauge) define(h *host, name string) (ok bool) {
	g.name = counterPrefix + name
	g.value = -1 // an older config's may stand there
	g.id, ok = h.defineMetric(metricGauge, g.name)
	return ok
}

func (g *gauge) set(h *host, value int64) {
	if value != g.value {
		g.value = value
		h.setMetric(g.id, uint64(max(value, 0)))
	}
}

func (s *stats) count(r policy.Reason) { s.reasons[r].pending++ }

func (s *stats) flush(h *host) {
	for r := range s.reasons {
		s.reasons[r].flush(h)
	}
	for e := range s.events {
		s.events[e].flush(h)
	}
	for i := range s.keys {
		s.keys[i].flush(h)
	}
	s.flushPages(h)
}

// flushPages raises the gauge to the largest memory that any worker's VM has.
func (s *stats) flushPages(h *host) {
	pages := memoryPages()
	if pages == s.told {
		return
	}
	s.told = pages
	if seen := h.metric(s.pages); pages > seen {
		h.addMetric(s.pages, int64(pages-seen))
	}
}
