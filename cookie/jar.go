package cookie

import "strings"

// MaxCandidates bounds how many cookies under one name are looked at in a request: each may cost a
// MAC. A browser sends one; a few more can come from other paths and domains.
const MaxCandidates = 8

// Jar is what one request's Cookie lines hold, as far as Curfew is concerned: the values under its
// three names, and the lines without them and without what the session wraps. It is filled by Add and
// reused by Reset.
type Jar struct {
	session, touch, renewed string
	wrapped                 []string

	// Sessions, Touches and Renewed are the distinct values found, in order.
	Sessions, Touches, Renewed []string
	// Lines are the Cookie lines as the app shall see them; a line that held only ours is empty.
	// Other cookies keep their bytes and their order.
	Lines []string
	// Cut says whether any line lost a cookie.
	Cut bool
	// Hostile is set where a line is one that no browser sends: more than MaxCandidates values under
	// a name, or the $Version of RFC 2965, whose quoting would let a cookie swallow its neighbours.
	Hostile bool

	kept []byte // backs the lines that had ours in their middle
}

// NewJar returns a Jar for the session cookie of that name and the two beside it. Cookies under the
// wrapped names are an app's own, which come from the session alone.
func NewJar(name string, wrapped ...string) *Jar {
	return &Jar{session: name, touch: name + TouchSuffix, renewed: name + RenewedSuffix, wrapped: wrapped}
}

// Reset empties the jar for the next request and keeps its memory.
func (j *Jar) Reset() {
	j.Sessions, j.Touches, j.Renewed, j.Lines = j.Sessions[:0], j.Touches[:0], j.Renewed[:0], j.Lines[:0]
	j.Cut, j.Hostile, j.kept = false, false, j.kept[:0]
}

// Add takes in one Cookie line. A pair ends at the next semicolon whatever stands in it; around a
// pair, spaces and tabs are dropped at the front only; names are compared byte for byte, values are
// taken as they are (RFC 6265bis, section 5.8.3, read from the server's side).
func (j *Jar) Add(line string) {
	out, cut := len(j.kept), false
	for rest, start := line, 0; start <= len(line); {
		end := strings.IndexByte(rest, ';')
		if end < 0 {
			end = len(rest)
		}
		if !j.take(rest[:end]) {
			if cut {
				j.keep(rest[:end], out)
			}
		} else if !cut {
			cut = true
			j.kept = append(j.kept, strings.TrimSuffix(line[:start], ";")...)
		}
		start += end + 1
		if start <= len(line) {
			rest = line[start:]
		}
	}
	if !cut {
		j.Lines = append(j.Lines, line)
		return
	}
	j.Cut = true
	j.Lines = append(j.Lines, text(j.kept[out:]))
}

// keep appends a pair to the line that began at out.
func (j *Jar) keep(pair string, out int) {
	if len(j.kept) == out {
		pair = trimFront(pair)
	} else {
		j.kept = append(j.kept, ';')
	}
	j.kept = append(j.kept, pair...)
}

// take notes a pair if its name is one of ours and reports whether it, or an app, must not see it there.
func (j *Jar) take(pair string) bool {
	pair = trimFront(pair)
	eq := strings.IndexByte(pair, '=')
	if eq < 0 {
		return false
	}
	switch name := pair[:eq]; {
	case name == j.session:
		j.Sessions = j.note(j.Sessions, pair[eq+1:])
		return true
	case name == j.touch:
		j.Touches = j.note(j.Touches, pair[eq+1:])
		return true
	case name == j.renewed:
		j.Renewed = j.note(j.Renewed, pair[eq+1:])
		return true
	case EqualFold(name, "$version"):
		j.Hostile = true
	}
	for _, name := range j.wrapped {
		if pair[:eq] == name || anyReads(pair, eq, name) {
			return true
		}
	}
	return false
}

func (j *Jar) note(values []string, v string) []string {
	for _, seen := range values {
		if seen == v {
			return values
		}
	}
	if len(values) == MaxCandidates {
		j.Hostile = true
		return values
	}
	return append(values, v)
}

func trimFront(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// Put sets an app's own cookie in front of the others.
func (j *Jar) Put(name, value string) {
	at := len(j.kept)
	j.kept = append(append(append(j.kept, name...), '='), value...)
	if len(j.Lines) == 0 {
		j.Lines = append(j.Lines, "")
	}
	i := 0 // a line of its own would be a second one, which few apps can read
	for i < len(j.Lines)-1 && j.Lines[i] == "" {
		i++
	}
	if j.Lines[i] != "" {
		j.kept = append(append(j.kept, "; "...), j.Lines[i]...)
	}
	j.Lines[i] = text(j.kept[at:])
	j.Cut = true
}
