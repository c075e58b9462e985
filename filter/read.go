package filter

import "github.com/curfew-proxy/curfew/policy"

// readRequest fills p.request from all request headers, read at once. That is the fastest way, and
// the safe one: the host's single look-up returns only the first of several Cookie lines. It
// reports false where the host gives no list (more than 1,024 pairs or 1 MiB), which must never
// look like a request without cookies.
func (p *plugin) readRequest() bool {
	jar := p.request.Jar
	jar.Reset()
	p.request = policy.Request{Jar: jar, Heard: &p.heard}
	p.hostile = p.hostile[:0]
	list, ok := p.host.requestHeaders()
	if !ok {
		return false
	}
	n := 0
	for {
		name, value, more := list.next()
		if !more {
			break
		}
		n++
		if p.config.Take(&p.request, name, value) {
			p.hostile = append(p.hostile, name)
		}
	}
	return n > 0 && !list.broken
}

// headerList walks the host's serialised headers in place (proxy-wasm ABI 0.2.0): a count, the
// sizes of each name and value, then the bytes, each text with a zero behind it. All numbers are 32
// bits, little-endian.
type headerList struct {
	raw          string
	count, index uint32
	data         uint32
	broken       bool
}

func newHeaderList(raw string) (l headerList, ok bool) {
	if len(raw) < 4 {
		return l, false
	}
	l = headerList{raw: raw, count: word(raw, 0)}
	if uint64(len(raw)) < 4+8*uint64(l.count) {
		return l, false
	}
	l.data = 4 + 8*l.count
	return l, true
}

// next returns the next header. Sizes are checked although they are the host's: this is where a
// wrong one would become a trap.
func (l *headerList) next() (name, value string, ok bool) {
	if l.index == l.count {
		return "", "", false
	}
	at := 4 + 8*l.index
	nameSize, valueSize := word(l.raw, at), word(l.raw, at+4)
	end := uint64(l.data) + uint64(nameSize) + uint64(valueSize) + 2
	if end > uint64(len(l.raw)) {
		l.broken = true
		return "", "", false
	}
	valueAt := l.data + nameSize + 1
	name, value = l.raw[l.data:l.data+nameSize], l.raw[valueAt:valueAt+valueSize]
	l.data = uint32(end)
	l.index++
	return name, value, true
}

func word(s string, at uint32) uint32 {
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}
