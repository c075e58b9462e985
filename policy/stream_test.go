package policy

import (
	"testing"

	"github.com/curfew-proxy/curfew/cookie"
)

// A stream ends with the session that its request had, by that request's rule, and says why.
func TestLease(t *testing.T) {
	const limits = `"rules":[{"path_prefix":"/short","idle":"5m"},{"path_prefix":"/brief","absolute":"1h"},{"path_prefix":"/maybe","session":"optional"}]`
	in := func(seconds int64) string { return rfc3339(epoch + seconds) }
	for _, tt := range []struct {
		name   string
		fields string
		path   string
		age    int64
		change func(*cookie.Session)
		ends   int64 // after epoch, without activity; 0: never
		why    Reason
		last   int64 // with activity all the time; 0: never
		why2   Reason
	}{
		{"idle", noFields, "/", 0, unchanged, 15 * minute, IdleTimeout, 12 * hour, AbsoluteTimeout},
		{"absolute", noFields, "/", 12*hour - minute, unchanged, minute, AbsoluteTimeout, minute, AbsoluteTimeout},
		{"both at once", noFields, "/", 12*hour - 15*minute, unchanged, 15 * minute, IdleTimeout, 15 * minute, AbsoluteTimeout},
		{"the rule's idle", limits, "/short", 0, unchanged, 5 * minute, IdleTimeout, 12 * hour, AbsoluteTimeout},
		{"the rule's absolute", limits, "/brief", 50 * minute, unchanged, 10 * minute, AbsoluteTimeout, 10 * minute, AbsoluteTimeout},
		{"its own", noFields, "/", 0, ownTimeouts(2*minute, hour), 2 * minute, IdleTimeout, hour, AbsoluteTimeout},
		{"remembered", noFields, "/", 0, remembered, 336 * hour, IdleTimeout, 720 * hour, AbsoluteTimeout},
		{"optional", limits, "/maybe", 0, unchanged, 15 * minute, IdleTimeout, 12 * hour, AbsoluteTimeout},
		{"idle is ignored", `"streams":{"idle":"ignore"}`, "/", 0, unchanged, 12 * hour, AbsoluteTimeout, 12 * hour, AbsoluteTimeout},
		{"only the rule's absolute", limits + `,"streams":{"idle":"ignore"}`, "/brief", 50 * minute, unchanged, 10 * minute, AbsoluteTimeout, 10 * minute, AbsoluteTimeout},
		{"revoked then", `"revoke":{"before":"` + in(10*minute) + `"}`, "/", 0, unchanged, 10 * minute, Revoked, 10 * minute, Revoked},
		{"revoked then, in person", `"revoke":{"before":"` + in(hour) + `","subjects":{"user-42":"` + in(minute) + `"}}`, "/", 0, unchanged, minute, Revoked, minute, Revoked},
		{"revoked after its end", `"revoke":{"before":"` + in(13*hour) + `"}`, "/", 0, unchanged, 15 * minute, IdleTimeout, 12 * hour, AbsoluteTimeout},
		{"revoked in another life", `"revoke":{"before":"` + in(-1) + `"}`, "/", 0, unchanged, 15 * minute, IdleTimeout, 12 * hour, AbsoluteTimeout},
		{"revoked, idle is ignored", `"streams":{"idle":"ignore"},"revoke":{"before":"` + in(hour) + `"}`, "/", 0, unchanged, hour, Revoked, hour, Revoked},
		{"trial run", `"report_only":true`, "/", 0, unchanged, 0, OK, 0, OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, tt.fields)
			s := with(epoch-tt.age, func(s *cookie.Session) { s.IssuedAt = epoch; tt.change(s) })
			d := c.Decide(ask(c, Request{Path: tt.path}, sessionLine(t, c, s)), epoch)
			if !d.Live {
				t.Fatalf("%v", d.Reason)
			}
			l := c.Lease(&d)
			over := func(seen, now, ends int64, why Reason) {
				t.Helper()
				if got := l.Over(seen, now); ends == 0 && got != OK || ends != 0 && now < epoch+ends && got != OK || ends != 0 && now >= epoch+ends && got != why {
					t.Errorf("seen at %d, at %d: %v, want the end at %d by %v", seen-epoch, now-epoch, got, ends, why)
				}
			}
			for _, now := range []int64{0, tt.ends - 1, tt.ends, tt.ends + 1, 1000 * hour} {
				over(d.Seen, epoch+now, tt.ends, tt.why)
			}
			for _, now := range []int64{0, tt.ends, tt.last - 1, tt.last, tt.last + 1, 1000 * hour} {
				over(epoch+now, epoch+now, tt.last, tt.why2)
			}
		})
	}
}

// Who has no session that the app sees has no lease, and a stream without one goes on.
func TestNoLease(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/maybe","session":"optional","idle":"5m"},{"path_prefix":"/off","session":"off"}]`)
	line := sessionLine(t, c, someone(epoch-6*minute))
	for path, lines := range map[string][]string{"/off": {line}, "/maybe": {line}, "/maybe/x": nil, "/login": nil} {
		d := c.Decide(ask(c, Request{Path: path}, lines...), epoch)
		l := c.Lease(&d)
		if d.Live || l.Over(0, 1<<40) != OK {
			t.Errorf("%s: live %v, %+v", path, d.Live, l)
		}
	}
}

// A request that is no activity does not move a stream's end: it is where the cookies say.
func TestLeaseOfPassiveRequest(t *testing.T) {
	c := policyOf(t)
	line := sessionLine(t, c, someone(epoch-5*minute))
	d := c.Decide(ask(c, Request{Activity: "passive"}, line), epoch)
	if l := c.Lease(&d); l.Over(d.Seen, epoch+10*minute-1) != OK || l.Over(d.Seen, epoch+10*minute) != IdleTimeout {
		t.Errorf("seen %d s ago, %+v", epoch-d.Seen, l)
	}
}
