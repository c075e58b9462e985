package cookie

import "strings"

// Limits of a wrapped cookie (docs/format.md).
const (
	// MaxWrapped is how many of an app's own cookies one session holds.
	MaxWrapped = 16
	// MaxWrappedName is the longest name of one, in bytes.
	MaxWrappedName = 64
	// MaxWrappedPath is the longest path of one, in bytes.
	MaxWrappedPath = 255
)

const flagAuthenticates = 1 << 0

// Wrapped is one of an app's own cookies, kept inside the session. Name and Path together tell it
// from others (RFC 6265bis, section 5.7).
type Wrapped struct {
	Name, Path, Value string
	Expires           int64 // Unix seconds; 0: with the browser's session
	// Authenticates says that it was set on a login route: who has it is logged in.
	Authenticates bool
}

// AppendWrapped writes w as docs/format.md lays it out.
func AppendWrapped(b []byte, w *Wrapped) []byte {
	var flags byte
	if w.Authenticates {
		flags = flagAuthenticates
	}
	b = append(b, flags, byte(len(w.Name)))
	b = append(append(b, w.Name...), byte(len(w.Path)))
	b = appendUint(append(b, w.Path...), 5, uint64(w.Expires))
	return append(appendUint(b, 2, uint64(len(w.Value))), w.Value...)
}

// CutWrapped takes the first cookie off a session's Wrapped. ok is false at the end, and where the
// rest is none.
func CutWrapped(s string) (w Wrapped, rest string, ok bool) {
	r := reader(raw(s))
	flags := r.uint(1)
	w.Name = text(r.bytes(int(r.uint(1))))
	w.Path = text(r.bytes(int(r.uint(1))))
	w.Expires = int64(r.uint(5))
	w.Value = text(r.bytes(int(r.uint(2))))
	if r == nil || flags&^flagAuthenticates != 0 {
		return Wrapped{}, "", false
	}
	w.Authenticates = flags != 0
	return w, text(r), true
}

// Valid reports whether the cookie may stand in a session, and in a Cookie line as it is.
func (w *Wrapped) Valid() bool {
	return w.Name != "" && len(w.Name) <= MaxWrappedName && validText(w.Name) && strings.IndexByte(w.Name, '=') < 0 &&
		len(w.Path) <= MaxWrappedPath && strings.HasPrefix(w.Path, "/") && validText(w.Path) && validText(w.Value) &&
		w.Expires >= 0 && w.Expires <= MaxTime
}

// validText: what a cookie's name, value or path may hold to stand in any line as it is: no control
// characters (of which browsers keep the tab), no semicolons, no spaces at the ends.
func validText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f || s[i] == ';' {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

func validWrapped(s string) bool {
	for n, rest := 0, s; rest != ""; n++ {
		var w Wrapped
		var ok bool
		before := s[:len(s)-len(rest)]
		if w, rest, ok = CutWrapped(rest); !ok || !w.Valid() || n == MaxWrapped || hasWrapped(before, &w) {
			return false
		}
	}
	return true
}

func hasWrapped(s string, like *Wrapped) bool {
	for s != "" {
		var w Wrapped
		if w, s, _ = CutWrapped(s); w.Name == like.Name && w.Path == like.Path {
			return true
		}
	}
	return false
}

func authenticates(s string) bool {
	for s != "" {
		var w Wrapped
		if w, s, _ = CutWrapped(s); w.Authenticates {
			return true
		}
	}
	return false
}

// AuthenticatedUntil returns when the last of the cookies that authenticate expires, in Unix seconds;
// 0 where one lasts as long as the browser's session, or none is there.
func (s *Session) AuthenticatedUntil() (until int64) {
	for rest := s.Wrapped; rest != ""; {
		var w Wrapped
		w, rest, _ = CutWrapped(rest)
		if w.Authenticates && w.Expires == 0 {
			return 0
		}
		if w.Authenticates {
			until = max(until, w.Expires)
		}
	}
	return until
}

// Reaches reports whether a browser would send the cookie with a request to that path at now (RFC
// 6265bis, sections 5.1.4 and 5.8.3).
func (w *Wrapped) Reaches(path string, now int64) bool {
	if w.Expires != 0 && w.Expires <= now {
		return false
	}
	below, ok := strings.CutPrefix(path, w.Path)
	return ok && (below == "" || below[0] == '/' || w.Path[len(w.Path)-1] == '/')
}
