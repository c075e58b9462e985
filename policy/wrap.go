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
	if !d.Live || d.Session.Wrapped == "" {
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
	login := o.CanStart && r.Status < 400 && !c.refusesLogin(r)
	if fault := c.mayFollow(o, r, login); fault != "" {
		if login {
			done = Started // it must not look like one
		}
		return done, fault
	}
	w := unwrap(s.Wrapped, now)
	was := unwrap(s.Wrapped, 0) // with those that have expired since
	before := was.persistent()
	w.takeAll(r.SetCookies, o.folder, c.Timeouts.Touch, login && r.Status >= 300, now)
	switch {
	case login && w.sets():
		if done != Started {
			*s, before, done = cookie.Session{}, false, Started
		}
		w.authenticate()
	case !w.changed && !w.moved:
		return done, ""
	case done == OK && s.Subject == "" && s.AuthenticatedAt > 0 && !w.authenticates():
		*s, before, done = cookie.Session{}, false, Ended
	case done == OK && !o.Live && len(w.list) > 0:
		done = Opened
	case done == OK && o.Live && (w.changed || w.persistent() != before):
		done = Changed
	case done == OK && o.Live:
		done = Renewed
	}
	s.Wrapped = w.encode()
	if after := w.persistent(); s.Subject == "" && after != before {
		s.Remember = after
	}
	return done, ""
}

// mayFollow says why the app's cookies cannot be kept here. A login may always take the place of what is there.
func (c *Config) mayFollow(o *Origin, r *Response, login bool) Fault {
	switch {
	case o.Closed && !login:
		return FaultOff
	case r.Age != "":
		return FaultStored
	case o.Insecure && !c.AllowInsecure:
		return FaultInsecure
	}
	return ""
}

// refusesLogin reports whether a response leads back to the login page, as many apps say that a password
// was wrong. (Where that page is /, they lead there after a good one, too.)
func (c *Config) refusesLogin(r *Response) bool {
	if r.Status < 300 || c.Login.path == "/" {
		return false
	}
	path, _, _ := strings.Cut(r.Location, "#")
	path, _ = splitPath(path)
	if scheme, rest, ok := strings.Cut(path, "//"); ok && (scheme == "" || strings.HasSuffix(scheme, ":")) {
		slash := max(strings.IndexByte(rest, '/'), 0)
		path = rest[slash:]
	}
	// A relative one is of the login route's folder, or of the route itself.
	return path == "" || path == c.Login.path || path[0] != '/' && strings.HasSuffix(c.Login.path, "/"+path)
}

// wrapping is a session's wrapped cookies on their way through a response.
type wrapping struct {
	list    []kept // those with longer paths last
	changed bool   // some came, went or have another value
	moved   bool   // some expire at another time
}

type kept struct {
	cookie.Wrapped
	fresh bool // set, or changed in value, by this response
}

func unwrap(s string, now int64) (w wrapping) {
	for s != "" {
		var one cookie.Wrapped
		if one, s, _ = cookie.CutWrapped(s); one.Expires == 0 || one.Expires > now {
			w.list = append(w.list, kept{Wrapped: one})
		}
	}
	return w
}

// takeAll follows a response's Set-Cookie values in their order.
func (w *wrapping) takeAll(lines []string, folder string, touch int64, again bool, now int64) {
	for _, line := range lines {
		set, ok := cookie.ParseSetCookie(line, now)
		if !ok {
			continue
		}
		if set.Path == "" {
			set.Path = folder
		}
		if i := w.find(set.Name, set.Path); !set.Gone {
			w.take(i, set, touch, again)
		} else if i >= 0 && !(set.Domain && w.list[i].fresh) {
			// (With a Domain it is another cookie: apps that move from one to the other set this and
			// delete that.)
			w.list = append(w.list[:i], w.list[i+1:]...)
			w.changed = true
		}
	}
}

// take keeps what the app set, in the place of the i-th. again: where a login route leads people on, the
// cookie that they are logged in with, set once more, says that they logged in once more; Django keeps
// its value then. An app that moves the expiry with each response would have the session written with
// each; steps of touch are fine enough.
func (w *wrapping) take(i int, set cookie.AppCookie, touch int64, again bool) {
	if i < 0 {
		w.insert(kept{cookie.Wrapped{Name: set.Name, Path: set.Path, Value: set.Value, Expires: set.Expires}, true})
		w.changed = true
		return
	}
	one := &w.list[i]
	switch delta := set.Expires - one.Expires; {
	case one.Value != set.Value || again && one.Authenticates:
		one.Value, one.Expires = set.Value, set.Expires
		one.fresh, w.changed = true, true
		one.Authenticates = one.Authenticates && set.Value != "" // an empty one is what some apps leave of it
	case delta >= touch || -delta >= touch:
		one.Expires = set.Expires
		w.moved = true
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

// insert keeps longer paths, and of equal ones the older cookies, behind the others, so that Restore puts them
// in front (RFC 6265bis, section 5.8.3).
func (w *wrapping) insert(one kept) {
	i := 0
	for i < len(w.list) && len(w.list[i].Path) < len(one.Path) {
		i++
	}
	w.list = append(w.list[:i], append([]kept{one}, w.list[i:]...)...)
}

func (one *kept) loggingIn() bool { return one.fresh && one.Value != "" }

// sets reports whether the response leaves the app with something that it did not have.
func (w *wrapping) sets() bool {
	for i := range w.list {
		if w.list[i].loggingIn() {
			return true
		}
	}
	return false
}

// authenticate: whoever has what the login route set is logged in, by nothing else.
func (w *wrapping) authenticate() {
	for i := range w.list {
		w.list[i].Authenticates = w.list[i].loggingIn()
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
		b = cookie.AppendWrapped(b, &w.list[i].Wrapped)
	}
	return string(b)
}
