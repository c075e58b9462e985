package filter

import (
	"encoding/binary"
	"strconv"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// ended are the sessions that somebody ended in this Envoy, by logout or by a login in their place: a copy of
// their cookies is worth nothing here. They are in a ring that all workers share, of which each has its own
// copy: its own entries at once, those of others by the next tick.
type ended struct {
	known policy.EndedSessions
	ids   []cookie.ID // the same, in the order in which the oldest is overwritten
	next  int
	read  int64 // how many of all that ever were in the ring were read
	since int64 // when the next one was missed first, whose writer has its place, Unix seconds; 0: it was not
}

// patient is how long another worker may take to fill its place, in seconds.
const patient = 2

// maxEnded is how many there are room for. With more, the oldest is forgotten.
const maxEnded = 4096

// Keys in the host's shared data: how many there ever were, and before its number each one's place.
const (
	endedCount = "curfew.ended"
	endedPlace = "curfew.ended."
)

// add takes in a session that would have lived on until then, in Unix seconds.
func (e *ended) add(id cookie.ID, until int64) {
	if e.known.Has(id) {
		return // somebody who sends one logout often must not push out others
	}
	e.keep(id, until)
	for range 8 {
		var n [1]int64
		version := sharedNumbers(endedCount, n[:])
		if shareNumbers(endedCount, version, n[0]+1) {
			e.share(n[0], id, until)
			return
		}
	}
	proxywasm.LogError("curfew: a logout is known to one worker only, for the others wrote at the same moment")
}

func (e *ended) share(n int64, id cookie.ID, until int64) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(n))
	b = binary.LittleEndian.AppendUint64(append(b, id[:]...), uint64(until))
	_ = proxywasm.SetSharedData(place(n), b, 0)
}

func place(n int64) string { return endedPlace + strconv.FormatInt(n%maxEnded, 10) }

// catchUp reads what other workers added, and calls each with its id.
func (e *ended) catchUp(now func() int64, each func(cookie.ID)) {
	var n [1]int64
	sharedNumbers(endedCount, n[:])
	for e.read = max(e.read, n[0]-maxEnded); e.read < n[0]; e.read++ {
		id, until, ok := readPlace(e.read)
		if !ok && e.waits(now()) {
			return
		}
		e.since = 0
		if ok && !e.known.Has(id) {
			e.keep(id, until)
			each(id)
		}
	}
}

// readPlace returns what is in a place since it had that number, or a later one.
func readPlace(n int64) (id cookie.ID, until int64, ok bool) {
	b, _, err := proxywasm.GetSharedData(place(n))
	if err != nil || len(b) != 8+cookie.IDSize+8 || int64(binary.LittleEndian.Uint64(b)) < n {
		return id, 0, false
	}
	return cookie.ID(b[8 : 8+cookie.IDSize]), int64(binary.LittleEndian.Uint64(b[8+cookie.IDSize:])), true
}

// waits reports whether the writer of the next place may still be at it. One that is gone must not stop the rest.
func (e *ended) waits(now int64) bool {
	if e.since == 0 {
		e.since = now
	}
	return now >= e.since && now-e.since < patient
}

func (e *ended) keep(id cookie.ID, until int64) {
	if len(e.ids) < maxEnded {
		e.ids = append(e.ids, id)
	} else {
		e.known.Delete(e.ids[e.next])
		e.ids[e.next] = id
		e.next = (e.next + 1) % maxEnded
	}
	e.known.Add(id, until)
}

// block makes a session that somebody ended worth nothing in this Envoy. Not one in which nobody logged in:
// those cost nothing to make, and would push out the others.
func (p *plugin) block(s *cookie.Session) {
	if s.AuthenticatedAt != 0 && !p.config.ReportOnly {
		// As long as any config could let it live: others share the ring, and later ones.
		p.ends.add(s.ID, s.StartedAt+cookie.MaxOverride)
	}
}

// catchUp hears of sessions that other workers ended.
func (p *plugin) catchUp() {
	p.ends.catchUp(p.world.Now, func(id cookie.ID) { p.streams.end(id, policy.LoggedOut) })
}
