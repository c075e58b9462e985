package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// Origin is what a response must know of its request. It has its own copy of the session, for the
// host's buffer dies with the request's callback; a used one gives its memory to the next request.
type Origin struct {
	Session cookie.Session // where Live
	// Live says that the app saw the session, Closed that the app did not see one which may be there.
	Live, Closed bool
	CanStart     bool
	Insecure     bool // the request came over plain http
	// HadTouch and HadRenewed say that the request carried these cookies.
	HadTouch, HadRenewed bool
	Drop                 bool
	Reason               Reason // what the request met
	TouchAt              int64
	Renew                bool
	slot                 int64                  // the same as the cookies say it, from which the deadlines count
	limit                Limits                 // of the request's rule
	page                 string                 // where a page is to go when its session ends; "" for none
	At, Seen             int64                  // when the request came, when the person was last active as of it
	bound                [cookie.BoundSize]byte // what a renewal says of the request's session cookie
	folder               string                 // where a wrapped cookie without a Path belongs
	text                 []byte                 // backs the session
}

// Keep notes for the response what matters of its request.
func (c *Config) Keep(o *Origin, r *Request, d *Decision, now int64) {
	*o = Origin{
		Live: d.Live, Closed: !d.Live && (d.Found && !d.Drop && !c.over(d, now) || d.Reason == Off || d.Reason == Preflight),
		CanStart: d.CanStart, Insecure: r.Scheme != "https", HadTouch: len(r.Jar.Touches) > 0, HadRenewed: len(r.Jar.Renewed) > 0,
		Drop: d.Drop, Reason: d.Reason, TouchAt: d.TouchAt, Renew: d.Renew, At: now, Seen: d.Seen, text: o.text[:0],
	}
	if d.Active {
		o.Seen = now // to the second: a timeout that the app shortens may be less than a slot
	}
	if d.Live {
		o.slot, o.limit = d.Seen, d.limit
		o.Session = d.Session
		o.text = o.Session.Detach(o.text)
		copy(o.bound[:], d.Bound)
	}
	if c.Browser.Refresh && d.Live && d.Session.AuthenticatedAt != 0 && r.loadsDocument() {
		if to := c.returnTo(r, Page); to == r.Path { // no other page can answer for this one
			o.page = strings.Clone(to)
		}
	}
	if len(c.Wrap) > 0 {
		path, _ := splitPath(r.Path)
		if folder := cookie.DefaultPath(path); len(folder) <= cookie.MaxWrappedPath {
			o.folder = strings.Clone(folder) // a longer one could not be kept
		}
	}
}

// over reports whether a session is that kept its cookies all the same: another may begin in its place.
func (c *Config) over(d *Decision, now int64) bool {
	return d.Reason == Revoked || d.Reason == IdleTimeout && now >= d.IdleAt && !c.ReportOnly
}

// Forget empties o for the next request.
func (o *Origin) Forget() { *o = Origin{text: o.text[:0]} }

// Idle reports whether the response needs nothing unless the app commands it.
func (o *Origin) Idle() bool { return !o.Drop && o.TouchAt == 0 }
