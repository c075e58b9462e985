package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// Wraps reports whether a Set-Cookie value is for one of the app's own cookies that sessions hold.
func (c *Config) Wraps(setCookie string) bool {
	if len(c.Wrap) == 0 {
		return false
	}
	name, _, _ := strings.Cut(setCookie, ";")
	name, _, _ = strings.Cut(name, "=")
	return contains(c.Wrap, trim(name))
}

// Restore gives the app back those of its cookies that a browser would have sent.
func (c *Config) Restore(r *Request, d *Decision, now int64) {
	if !d.Live {
		return
	}
	path, _ := splitPath(r.Path)
	for rest := d.Session.Wrapped; rest != ""; {
		var w cookie.Wrapped
		w, rest, _ = cookie.CutWrapped(rest)
		if contains(c.Wrap, w.Name) && w.Reaches(path, now) {
			r.Jar.Put(w.Name, w.Value)
		}
	}
}

// follow does to the session what the app's response does to its own cookies. done is what else was
// done to the session, and becomes what was done in all. A fault says that a cookie is lost.
func (c *Config) follow(s *cookie.Session, done Reason, o *Origin, r *Response, now int64) (Reason, Fault) {
	if len(r.SetCookies) == 0 {
		return done, ""
	}
	login := o.CanStart && r.Status < 400
	if fault := c.mayFollow(o, r); fault != "" {
		if login {
			done = Started // it must not look like one
		}
		return done, fault
	}
	w := unwrap(s.Wrapped, now)
	for _, line := range r.SetCookies {
		if set, ok := cookie.ParseSetCookie(line, now); ok {
			w.take(set, o.folder, c.Timeouts.Touch, login && r.Status >= 300)
		}
	}
	if !w.changed {
		return done, ""
	}
	wasLoggedIn := s.AuthenticatedAt > 0 && s.Subject == "" && done != Started
	switch loggedIn := login && w.sets(); {
	case loggedIn && done != Started:
		*s = cookie.Session{}
		fallthrough
	case loggedIn:
		w.authenticate()
		done = Started
	case wasLoggedIn && !w.authenticates():
		*s = cookie.Session{}
		done = Ended
	case done == OK && o.Live:
		done = Changed
	case done == OK && len(w.list) > 0:
		done = Opened
	}
	s.Wrapped = w.encode()
	if s.Subject == "" {
		s.Remember = w.persistent()
	}
	return done, ""
}

// mayFollow says why the app's cookies cannot be kept here.
func (c *Config) mayFollow(o *Origin, r *Response) Fault {
	switch {
	case o.Closed:
		return FaultOff
	case r.Age != "":
		return FaultStored
	case o.Insecure && !c.AllowInsecure:
		return FaultInsecure
	}
	return ""
}

// wrapping is a session's wrapped cookies on their way through a response.
type wrapping struct {
	list    []cookie.Wrapped // those with longer paths last
	fresh   []bool           // set, or changed in value, by this response
	changed bool             // there is something to write
}

func unwrap(s string, now int64) (w wrapping) {
	for s != "" {
		var one cookie.Wrapped
		if one, s, _ = cookie.CutWrapped(s); one.Expires == 0 || one.Expires > now {
			w.list, w.fresh = append(w.list, one), append(w.fresh, false)
		}
	}
	return w
}

// take follows one Set-Cookie. An app that moves the expiry with each response would have the session
// written with each; steps of touch are fine enough. again: where a login route leads people on, the
// cookie that they are logged in with, set once more, says that they logged in once more; Django
// keeps its value then. (A refused login shows the form again, with 200.)
func (w *wrapping) take(set cookie.AppCookie, folder string, touch int64, again bool) {
	path := set.Path
	if path == "" {
		path = folder
	}
	i := w.find(set.Name, path)
	switch {
	case set.Gone && i < 0:
	case set.Gone:
		w.list = append(w.list[:i], w.list[i+1:]...)
		w.fresh = append(w.fresh[:i], w.fresh[i+1:]...)
		w.changed = true
	case i < 0:
		w.insert(cookie.Wrapped{Name: set.Name, Path: path, Value: set.Value, Expires: set.Expires})
	case w.list[i].Value != set.Value || again && w.list[i].Authenticates:
		w.list[i].Value, w.list[i].Expires = set.Value, set.Expires
		w.fresh[i], w.changed = true, true
	case (w.list[i].Expires == 0) != (set.Expires == 0) || set.Expires-w.list[i].Expires >= touch || w.list[i].Expires > set.Expires:
		w.list[i].Expires = set.Expires
		w.changed = true
	}
}

func (w *wrapping) find(name, path string) int {
	for i := range w.list {
		if w.list[i].Name == name && w.list[i].Path == path {
			return i
		}
	}
	return -1
}

// insert keeps longer paths behind shorter ones, and what came first behind what came later, so that
// Restore puts them in front (RFC 6265bis, section 5.8.3).
func (w *wrapping) insert(one cookie.Wrapped) {
	i := 0
	for i < len(w.list) && len(w.list[i].Path) < len(one.Path) {
		i++
	}
	w.list = append(w.list[:i], append([]cookie.Wrapped{one}, w.list[i:]...)...)
	w.fresh = append(w.fresh[:i], append([]bool{true}, w.fresh[i:]...)...)
	w.changed = true
}

// sets reports whether the response leaves the app with something that it did not have.
func (w *wrapping) sets() bool {
	for _, fresh := range w.fresh {
		if fresh {
			return true
		}
	}
	return false
}

// authenticate: whoever has what the login route set is logged in, by nothing else.
func (w *wrapping) authenticate() {
	for i := range w.list {
		w.list[i].Authenticates = w.fresh[i]
	}
}

func (w *wrapping) authenticates() bool {
	for i := range w.list {
		if w.list[i].Authenticates {
			return true
		}
	}
	return false
}

// persistent reports whether the cookies that matter outlive the browser: those of the login, or any
// where there was none.
func (w *wrapping) persistent() bool {
	loggedIn := w.authenticates()
	for i := range w.list {
		if w.list[i].Expires != 0 && w.list[i].Authenticates == loggedIn {
			return true
		}
	}
	return false
}

func (w *wrapping) encode() string {
	var b []byte
	for i := range w.list {
		b = cookie.AppendWrapped(b, &w.list[i])
	}
	return string(b)
}
