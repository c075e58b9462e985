package filter

import "github.com/curfew-proxy/curfew/policy"

// stats are counts that this VM has not told the host yet. Telling costs a host call each, so a
// tick does it for all requests of a second.
type stats struct {
	pending  [policy.ReasonCount]uint64
	counters [policy.ReasonCount]uint32 // metric ids
	pages    uint32                     // metric id
	told     uint64
}

// Names of metrics in Envoy, before its own prefix wasmcustom.
const (
	counterPrefix = "curfew_"
	pagesGauge    = "curfew_memory_pages"
)

// define reports false where the host takes no metrics.
func (s *stats) define(h *host) bool {
	for r := policy.Reason(0); r < policy.ReasonCount; r++ {
		id, ok := h.defineMetric(metricCounter, counterPrefix+r.String())
		if !ok {
			return false
		}
		s.counters[r] = id
	}
	id, ok := h.defineMetric(metricGauge, pagesGauge)
	s.pages = id
	return ok
}

func (s *stats) count(r policy.Reason) { s.pending[r]++ }

func (s *stats) flush(h *host) {
	for r, n := range s.pending {
		if n > 0 {
			h.addMetric(s.counters[r], int64(n))
			s.pending[r] = 0
		}
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
