package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// TestClosed: an app that did not see the session which may be there cannot put another in its place.
func TestClosed(t *testing.T) {
	c := policyOf(t, `"anonymous":true`, `"rules":[
		{"path_prefix":"/off","session":"off"},{"path_prefix":"/brief","session":"optional","idle":"2m"},
		{"path_prefix":"/short","session":"optional","absolute":"5m"},{"path_prefix":"/open","session":"optional"}]`)
	reporting := policyOf(t, `"anonymous":true`, `"report_only":true`)
	line, dead := sessionLine(t, c, someone(epoch-10*minute)), sessionLine(t, c, someone(epoch-hour))
	preflight := Request{Method: "OPTIONS", Path: "/open", Origin: "https://x", RequestMethod: "GET"}
	for _, tt := range []struct {
		name   string
		c      *Config
		r      Request
		lines  []string
		reason Reason // of the request
		want   bool
	}{
		{"seen", c, Request{Path: "/open"}, []string{line}, OK, false},
		{"none", c, Request{Path: "/open"}, nil, Absent, false},
		{"dead", c, Request{Path: "/open"}, []string{dead}, IdleTimeout, false},
		{"forged", c, Request{Path: "/open"}, []string{c.Cookie.Name + "=x"}, Invalid, false},
		{"off", c, Request{Path: "/off"}, []string{line}, Off, true},
		{"off, none", c, Request{Path: "/off"}, nil, Off, true},
		{"preflight", c, preflight, nil, Preflight, true},
		{"hidden by a rule's idle", c, Request{Path: "/brief"}, []string{line}, IdleTimeout, true},
		{"hidden by a rule's absolute", c, Request{Path: "/short"}, []string{line}, AbsoluteTimeout, true},
		{"dead everywhere, on a brief path", c, Request{Path: "/brief"}, []string{dead}, IdleTimeout, false},
		{"dead, report only", reporting, Request{}, []string{dead}, IdleTimeout, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ask(tt.c, tt.r, tt.lines...)
			d := tt.c.Decide(asked, epoch)
			if d.Verdict != Pass || d.Reason != tt.reason {
				t.Fatalf("%v %v", d.Reason, d.Verdict)
			}
			o := keep(tt.c, asked, &d, epoch)
			reply := tt.c.Respond(&o, &Response{Status: 200, Commands: []string{`{"set":{"a":1}}`}}, epoch, counting())
			if o.Closed != tt.want || (reply.Fault == FaultNoSession) != tt.want || tt.want && len(reply.Cookies) > 0 {
				t.Errorf("closed %v: %v %q %v", o.Closed, reply.Reason, reply.Fault, reply.Cookies)
			}
		})
	}
}

// TestKeepOwnsItsMemory: the token's buffer and the host's are used again before the response comes.
func TestKeepOwnsItsMemory(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			fields := []string{`"cookie":{"mode":"` + mode + `"}`}
			if mode == "sealed" {
				fields = append(fields, `"wrap":["sid"]`)
			}
			c := policyOf(t, fields...)
			var origins [8]Origin
			check := func(i int) {
				t.Helper()
				who := fmt.Sprintf("user-%d", i)
				s := origins[i].Session
				if s.Subject != who || s.Data != `{"who":"`+who+`"}` || len(c.Wrap) > 0 && (!strings.Contains(s.Wrapped, who) || origins[i].folder != "/"+who) {
					t.Fatalf("%d has %+v in %q", i, s, origins[i].folder)
				}
			}
			for round := range 50 {
				for i := range origins {
					origins[i].Forget()
					if diff := cmp.Diff(Origin{}, origins[i], cmp.AllowUnexported(Origin{}), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "text" }, cmp.Ignore())); diff != "" {
						t.Fatalf("not forgotten: %s", diff)
					}
					who := fmt.Sprintf("user-%d", i)
					s := with(epoch, func(s *cookie.Session) {
						s.Subject, s.Data, s.ID[3] = who, `{"who":"`+who+`"}`, byte(round)
						if len(c.Wrap) > 0 {
							s.Wrapped = string(cookie.AppendWrapped(nil, &cookie.Wrapped{Name: "sid", Path: "/", Value: who}))
						}
					})
					path := []byte("/" + who + "/page?x")
					asked := ask(c, Request{Path: string(path)}, sessionLine(t, c, s))
					d := c.Decide(asked, epoch)
					c.Keep(&origins[i], asked, &d, epoch)
					// Another request is opened into the same buffers.
					c.Decide(ask(c, Request{}, sessionLine(t, c, with(epoch, func(s *cookie.Session) { s.Data = `{"other":"` + strings.Repeat("x", 100) + `"}` }))), epoch)
				}
				for i := range origins {
					check(i)
				}
			}
		})
	}
}

// TestForgetOwesNothing: what a stream did before is nothing to the next request in it.
func TestForgetOwesNothing(t *testing.T) {
	c := policyOf(t, `"rules":[{"path_prefix":"/open","session":"optional"}]`)
	asked := ask(c, Request{}, sessionLine(t, c, someone(epoch-2*hour)), touchLine(t, c, someone(0).ID, epoch-minute))
	d := c.Decide(asked, epoch)
	o := keep(c, asked, &d, epoch)
	if o.Idle() || !o.Live || !o.Renew || !o.HadTouch {
		t.Fatalf("%+v", o)
	}
	stranger := ask(c, Request{Path: "/open"})
	d = c.Decide(stranger, epoch)
	c.Keep(&o, stranger, &d, epoch)
	reply := c.Respond(&o, &Response{Status: 200}, epoch, counting())
	if !o.Idle() || len(reply.Cookies) != 0 || o.Session != (cookie.Session{}) || o.HadTouch {
		t.Errorf("%+v: %v", o, reply.Cookies)
	}
}
