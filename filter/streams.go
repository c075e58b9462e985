package filter

import (
	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// streams are the requests under way that have a session, by session: what one of them says of the person
// holds for all.
type streams struct {
	// heads begin a list of holders each, by the first byte of the session's id, which is random.
	heads [256]*holder
	spare *holder // a list of those to use again
	open  int
}

// holder is one session's requests under way.
type holder struct {
	id    cookie.ID
	seen  int64         // when its person was last active, Unix seconds
	terms policy.Terms  // what it says of its own end by now
	over  policy.Reason // why it is over before its time; OK where it is not
	first *stream
	next  *holder
}

func (t *streams) find(id cookie.ID) *holder {
	for h := t.heads[id[0]]; h != nil; h = h.next {
		if h.id == id {
			return h
		}
	}
	return nil
}

// join adds a request whose session was last used at seen.
func (t *streams) join(s *stream, id cookie.ID, seen int64) {
	h := t.find(id)
	if h == nil {
		h = t.take()
		h.id = id
		t.link(h)
	}
	h.seen = max(h.seen, seen)
	s.holder, s.before, s.after = h, nil, h.first
	if h.first != nil {
		h.first.before = s
	}
	h.first = s
	t.open++
}

// saw notes a use of a session that is no request under way.
func (t *streams) saw(id cookie.ID, seen int64) {
	if h := t.find(id); h != nil {
		h.seen = max(h.seen, seen)
	}
}

// leave removes a request, if it joined.
func (t *streams) leave(s *stream) {
	h := s.holder
	if h == nil {
		return
	}
	if s.after != nil {
		s.after.before = s.before
	}
	if s.before != nil {
		s.before.after = s.after
	} else {
		h.first = s.after
	}
	s.holder, s.before, s.after = nil, nil, nil
	t.open--
	if h.first == nil {
		t.unlink(h)
		*h = holder{next: t.spare}
		t.spare = h
	}
}

// end makes the next tick end all that a session has under way.
func (t *streams) end(id cookie.ID, reason policy.Reason) {
	if h := t.find(id); h != nil {
		h.over = reason
	}
}

// rename takes along what is under way when a session gets a new id.
func (t *streams) rename(h *holder, id cookie.ID) {
	t.unlink(h)
	h.id = id
	t.link(h)
}

// follow takes what a session says of its end, unless it has said so later.
func (h *holder) follow(terms policy.Terms) {
	if terms.Revision >= h.terms.Revision {
		h.terms = terms
	}
}

func (t *streams) take() *holder {
	h := t.spare
	if h == nil {
		return &holder{}
	}
	t.spare, h.next = h.next, nil
	return h
}

func (t *streams) link(h *holder) {
	head := &t.heads[h.id[0]]
	h.next, *head = *head, h
}

func (t *streams) unlink(h *holder) {
	at := &t.heads[h.id[0]]
	for *at != h {
		at = &(*at).next
	}
	*at = h.next
}

// endStreams ends what is under way of sessions that are over.
func (p *plugin) endStreams() {
	if p.streams.open == 0 {
		return
	}
	now, moved := p.world.Now(), false
	for i := range p.streams.heads {
		for h := p.streams.heads[i]; h != nil; {
			this, next := h, h.next // a host may call back at once that a stream is done
			for s := this.first; s != nil; {
				after := s.after
				moved = p.watch(s, this, now) || moved
				s = after
			}
			h = next
		}
	}
	if moved {
		p.host.setContext(p.id)
	}
}

// watch looks at one stream, and reports whether that made its context the one that calls are for.
func (p *plugin) watch(s *stream, h *holder, now int64) (moved bool) {
	if s.plugin.config.Streams.Activity {
		p.host.setContext(s.id)
		moved = true
		if p.carries(s) {
			h.seen = now
		}
	}
	reason := h.over
	if reason == policy.OK {
		s.lease.Terms = h.terms
		reason = s.lease.Over(h.seen, now)
	}
	if reason == policy.OK || s.closing {
		return moved
	}
	s.closing = true
	p.stats.events[streamEnd].pending++
	p.host.setContext(s.id)
	p.tell(reason, h.id)
	p.host.closeStream()
	return true
}

// revokeStreams holds what is under way against a list. Of configs with the same feed, older ones too: another
// feed may be about other people.
func (p *plugin) revokeStreams(list *policy.Revocations) {
	for i := range p.streams.heads {
		for h := p.streams.heads[i]; h != nil; h = h.next {
			if s := h.ofFeed(p.feed.key); s != nil {
				session := s.origin.Session
				session.ID = h.id // which may be newer
				h.terms.Revoke(list, &session)
			}
		}
	}
}

// ofFeed is one that was opened under a config with that feed, or nil.
func (h *holder) ofFeed(key string) *stream {
	s := h.first
	for s != nil && s.plugin.feed.key != key {
		s = s.after
	}
	return s
}

// carries reports whether a stream has carried anything since it was last asked.
func (p *plugin) carries(s *stream) bool {
	before := s.carried
	s.carried = p.host.bytesPast("request\x00total_size") + p.host.bytesPast("response\x00total_size")
	return s.carried != before
}
