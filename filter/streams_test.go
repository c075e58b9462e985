package filter

import (
	"math/rand"
	"testing"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// entry is what streams should know of one session.
type entry struct {
	seen    int64
	over    policy.Reason
	members map[*stream]bool
}

// model is streams in its simplest form.
type model struct {
	t        *testing.T
	table    streams
	sessions map[cookie.ID]*entry
	peak     int // the most sessions at a time: so many holders there are for ever
}

// check holds all of the table against the model.
func (m *model) check() {
	m.t.Helper()
	open, found := 0, 0
	for first, head := range m.table.heads {
		for h := head; h != nil; h = h.next {
			want := m.sessions[h.id]
			if want == nil || int(h.id[0]) != first {
				m.t.Fatalf("a session %x under %d that nobody has", h.id, first)
			}
			found++
			open += m.members(h, want)
			if h.seen != want.seen || h.over != want.over {
				m.t.Fatalf("%x: seen %d, over %v; want %+v", h.id, h.seen, h.over, want)
			}
			if m.table.find(h.id) != h {
				m.t.Fatalf("%x is not to be found", h.id)
			}
		}
	}
	if found != len(m.sessions) || open != m.table.open {
		m.t.Fatalf("%d sessions, want %d; %d streams, counted as %d", found, len(m.sessions), open, m.table.open)
	}
	spare := 0
	for h := m.table.spare; h != nil; h = h.next {
		if (holder{next: h.next}) != *h {
			m.t.Fatalf("a spare one holds %+v", h)
		}
		spare++
	}
	m.peak = max(m.peak, found)
	if found+spare != m.peak {
		m.t.Fatalf("%d in use and %d spare, want %d in all", found, spare, m.peak)
	}
}

// members counts one session's streams, forwards and back.
func (m *model) members(h *holder, want *entry) (n int) {
	var last *stream
	for s := h.first; s != nil; last, s = s, s.after {
		if !want.members[s] || s.holder != h || s.before != last {
			m.t.Fatalf("%x: a stream that is not its own", h.id)
		}
		n++
	}
	if n == 0 || n != len(want.members) {
		m.t.Fatalf("%x has %d streams, want %d", h.id, n, len(want.members))
	}
	return n
}

func (m *model) join(s *stream, id cookie.ID, seen int64) {
	m.table.join(s, id, seen)
	if m.sessions[id] == nil {
		m.sessions[id] = &entry{members: map[*stream]bool{}}
	}
	e := m.sessions[id]
	e.seen, e.members[s] = max(e.seen, seen), true
}

func (m *model) leave(s *stream) {
	m.table.leave(s)
	for id, e := range m.sessions {
		if delete(e.members, s); len(e.members) == 0 {
			delete(m.sessions, id)
		}
	}
	if s.holder != nil || s.before != nil || s.after != nil {
		m.t.Fatalf("it left and holds on to %+v", s)
	}
}

// TestStreamsModel does what requests do, in any order, with ids of which many begin alike.
func TestStreamsModel(t *testing.T) {
	for seed := range int64(20) {
		r := rand.New(rand.NewSource(seed))
		m := &model{t: t, sessions: map[cookie.ID]*entry{}}
		pool := make([]*stream, 60)
		for i := range pool {
			pool[i] = &stream{}
		}
		next := 0
		ids := make([]cookie.ID, 25)
		fresh := func() cookie.ID {
			next++
			return cookie.ID{byte(r.Intn(3)), byte(next), byte(next >> 8)}
		}
		for i := range ids {
			ids[i] = fresh()
		}
		for range 2000 {
			s, i, at := pool[r.Intn(len(pool))], r.Intn(len(ids)), int64(r.Intn(1000))
			e := m.sessions[ids[i]]
			switch r.Intn(6) {
			case 0, 1:
				if s.holder == nil {
					m.join(s, ids[i], at)
				}
			case 2:
				m.leave(s) // of what never joined too, and of what left
			case 3:
				m.table.saw(ids[i], at)
				if e != nil {
					e.seen = max(e.seen, at)
				}
			case 4:
				m.table.end(ids[i], policy.LoggedOut)
				if e != nil {
					e.over = policy.LoggedOut
				}
			case 5:
				if e == nil {
					continue
				}
				before := ids[i]
				ids[i] = fresh()
				m.table.rename(m.table.find(before), ids[i])
				delete(m.sessions, before)
				m.sessions[ids[i]] = e
			}
			m.check()
		}
		for _, s := range pool {
			m.leave(s)
		}
		m.check()
		if m.table.open != 0 || len(m.sessions) != 0 {
			t.Fatalf("%d streams are left", m.table.open)
		}
	}
}

// What was over is over for its own streams: the next session that gets the holder lives.
func TestStreamsHolderIsClean(t *testing.T) {
	var table streams
	a, b := &stream{}, &stream{}
	table.join(a, cookie.ID{1}, 1000)
	table.end(cookie.ID{1}, policy.LoggedOut)
	table.leave(a)
	table.join(b, cookie.ID{1}, 5)
	if h := b.holder; h.over != policy.OK || h.seen != 5 {
		t.Errorf("%+v", h)
	}
}

// Once as many sessions have been there as ever will be, nothing more is allocated.
func TestStreamsAllocateNothing(t *testing.T) {
	var table streams
	pool := make([]stream, 500)
	n := testing.AllocsPerRun(20, func() {
		for i := range pool {
			table.join(&pool[i], cookie.ID{byte(i), byte(i >> 1)}, int64(i))
		}
		for i := range pool {
			table.rename(table.find(cookie.ID{byte(i), byte(i >> 1)}), cookie.ID{byte(i), byte(i >> 1), 1})
			table.saw(cookie.ID{byte(i), byte(i >> 1), 1}, 7)
			table.end(cookie.ID{byte(i), byte(i >> 1), 1}, policy.Ended)
		}
		for i := range pool {
			table.leave(&pool[i])
		}
	})
	if n != 0 || table.open != 0 {
		t.Errorf("%v allocations, %d streams left", n, table.open)
	}
}
