package e2e

import (
	"testing"
	"time"
)

// The idle boundary to the second, with a clock that only the test moves.
func TestIdleBoundary(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk,
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`,
	})
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			in, out := newClient(t, e, proto), newClient(t, e, proto)
			in.login(`{"start":{"subject":"in"}}`)
			out.login(`{"start":{"subject":"out"}}`)
			clk.advance(t, 15*time.Minute-time.Second)
			if r := in.page("/"); r.StatusCode != 200 {
				t.Errorf("idle-1 s: %d", r.StatusCode)
			}
			clk.advance(t, 2*time.Second)
			if r := out.page("/"); r.StatusCode != 302 || r.Header.Get("location") != "/login?next=/&reason=idle_timeout" {
				t.Errorf("idle+1 s: %d %v", r.StatusCode, r.Header)
			}
		})
	}
}
