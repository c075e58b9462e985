package e2e

import (
	"strings"
	"testing"
	"time"
)

// Nothing moves the absolute timeout: not activity without a pause, not the renewals on the way.
func TestAbsolute(t *testing.T) {
	const step, absolute = 4 * time.Minute, 12 * time.Hour
	clk := newClock(t)
	e := begin(t, least(), clk)
	var clients []*client
	for _, proto := range protocols {
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		clients = append(clients, c)
	}
	begun, renewals := clk.now, 0
	for clk.advance(t, step); clk.now.Before(begun.Add(absolute)); clk.advance(t, step) {
		for _, c := range clients {
			r := alive(t, c, clk.now.Sub(begun).String())
			if _, n := r.cookie(renewedName); n > 0 {
				renewals++
			}
			if strings.Contains(dump(r.Header), "Max-Age") {
				t.Fatalf("persistent without remember: %v", r.Header)
			}
			if t.Failed() {
				return
			}
		}
	}
	if renewals == 0 {
		t.Error("no cookie was renewed on the way, so this shows less than it should")
	}
	for _, c := range clients {
		ended(t, c, "absolute_timeout", "12h")
	}
}

// The last second, with a touch a moment before.
func TestAbsoluteBoundary(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(`"timeouts": {"idle": "1h", "absolute": "2h"}`), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c := newClient(t, e, proto)
			c.login(`{"start":{"subject":"42"}}`)
			for _, pause := range []time.Duration{50 * time.Minute, 50 * time.Minute, 20*time.Minute - time.Second} {
				clk.advance(t, pause)
				alive(t, c, "before its end")
			}
			clk.advance(t, time.Second)
			ended(t, c, "absolute_timeout", "at its end")
		})
	}
}

// Remember-me: both timeouts of its own, and cookies that outlive the browser but not the session.
func TestRemember(t *testing.T) {
	const idle, absolute = 336 * time.Hour, 720 * time.Hour
	clk := newClock(t)
	e := begin(t, least(), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			gone, kept := newClient(t, e, proto), newClient(t, e, proto)
			gone.login(`{"start":{"subject":"gone","remember":true}}`)
			kept.login(`{"start":{"subject":"kept","remember":true}}`)
			begun := clk.now

			clk.advance(t, 30*time.Minute) // no renewal is due, so this is a touch
			r := alive(t, kept, "past the idle timeout of others")
			if line, n := r.cookie(touchName); n != 1 || attributes(line) != "Max-Age=2590200; Path=/; HttpOnly; Secure; SameSite=Lax" {
				t.Errorf("the touch ends with the session: %q", line)
			}
			clk.set(t, begun.Add(idle-time.Second))
			r = alive(t, kept, "idle-1 s")
			if line, n := r.cookie(renewedName); n != 1 || attributes(line) != "Max-Age=1382401; Path=/; HttpOnly; Secure; SameSite=Lax" {
				t.Errorf("the renewed cookie ends with the session: %q", line)
			}
			clk.set(t, begun.Add(idle+time.Second))
			ended(t, gone, "idle_timeout", "idle+1 s")
			clk.set(t, begun.Add(2*idle-2*time.Minute))
			alive(t, kept, "twice idle")
			clk.set(t, begun.Add(absolute-time.Second))
			alive(t, kept, "absolute-1 s")
			clk.set(t, begun.Add(absolute))
			ended(t, kept, "absolute_timeout", "absolute")
		})
	}
}

// What the app gives one session for itself holds for that one.
func TestOwnTimeouts(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			short, own := newClient(t, e, proto), newClient(t, e, proto)
			short.login(`{"start":{"subject":"short","idle":"5m"}}`)
			own.login(`{"start":{"subject":"own","idle":"30m","absolute":"40m"}}`)
			clk.advance(t, 5*time.Minute)
			ended(t, short, "idle_timeout", "its idle")
			clk.advance(t, 20*time.Minute)
			alive(t, own, "past the idle timeout of others")
			clk.advance(t, 15*time.Minute-time.Second)
			alive(t, own, "its absolute-1 s")
			clk.advance(t, time.Second)
			ended(t, own, "absolute_timeout", "its absolute")
		})
	}
}
