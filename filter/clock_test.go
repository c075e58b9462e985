package filter_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/proxytest"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/filter"
)

// proxies are several Envoys with one config, each with a clock that is off by a bit; send gives a
// request to one of them.
type proxies struct {
	secret []byte
	send   func(proxy int, clock int64, request, response [][2]string) outcome
}

// inBothProxies runs a test with two proxies. The SDK's emulated host can have only one filter, so as
// plain Go it is one whose clock jumps: what it remembered of the other's time would show.
func inBothProxies(t *testing.T, fields string, test func(t *testing.T, p *proxies)) {
	t.Helper()
	t.Run("native", func(t *testing.T) {
		var now int64
		s := open(t, fields, filter.New(filter.World{Now: func() int64 { return now }}))
		test(t, &proxies{s.secret, func(_ int, clock int64, request, response [][2]string) outcome {
			now = clock
			return s.send(request, response...)
		}})
	})
	t.Run("wasm", func(t *testing.T) {
		p := &proxies{secret: make([]byte, 32)}
		_, _ = rand.Read(p.secret)
		hosts := []*wasmHost{newWasmHost(t), newWasmHost(t)}
		for _, h := range hosts {
			if !h.start(configOf(p.secret, fields)) {
				t.Fatalf("the filter does not start: %q", h.logged)
			}
		}
		p.send = func(proxy int, clock int64, request, response [][2]string) (o outcome) {
			h := hosts[proxy]
			h.now = clock
			h.exchange(request, response)
			o = outcome{request: h.toApp, reply: h.toClient}
			if h.local != 0 {
				o.local = &proxytest.LocalHttpResponse{StatusCode: h.local}
			}
			return o
		}
		test(t, p)
	})
}

// offsets are how far off the two clocks are.
var offsets = [2]int64{90, -90}

// person has one browser, before both proxies.
type person struct {
	*proxies
	jar map[string]string
}

// ask is a page load through a proxy at that true time.
func (p *person) ask(proxy int, at int64) outcome {
	cookies := name + "=" + p.jar[name] + "; " + name + "-seen=" + p.jar[name+"-seen"] + "; " + name + "-renewed=" + p.jar[name+"-renewed"]
	o := p.send(proxy, at+offsets[proxy], pageLoad("/page", [2]string{"cookie", cookies}), [][2]string{status("200")})
	for _, cookie := range []string{name, name + "-seen", name + "-renewed"} {
		if value := o.setCookie(cookie); value != "" {
			p.jar[cookie] = value
		}
	}
	return o
}

func (p *person) login(proxy int, at int64) {
	o := p.send(proxy, at+offsets[proxy], [][2]string{{":method", "POST"}, {":path", "/login"}, {":scheme", "https"}, {":authority", "shop.example"}},
		[][2]string{status("303"), command(`{"start":{"subject":"42"}}`)})
	p.jar[name] = o.setCookie(name)
}

// TI-121: two proxies whose clocks are three minutes apart serve one person by turns, for all of a
// session's life. Nobody is logged out, and the end stays where the login put it.
func TestPingPong(t *testing.T) {
	for first := range offsets {
		t.Run(fmt.Sprintf("TI-121 login by %+d s", offsets[first]), func(t *testing.T) {
			inBothProxies(t, `, "timeouts": {"idle": "15m", "absolute": "12h", "rotate": "1h", "clock_skew": "3m"}`, func(t *testing.T, p *proxies) {
				pingPong(t, &person{p, map[string]string{}}, first)
			})
		})
	}
}

func pingPong(t *testing.T, p *person, first int) {
	codec, err := cookie.NewCodec(cookie.Options{Name: name}, []cookie.Key{{ID: "k1", Secret: p.secret}})
	if err != nil {
		t.Fatal(err)
	}
	const absolute = 12 * 3600
	open := func() cookie.Session {
		token := p.jar[name]
		if renewed := p.jar[name+"-renewed"]; renewed != "" {
			_, token, _ = strings.Cut(renewed, ".")
		}
		o, err := codec.Open(token, costNow+2*absolute)
		if err != nil {
			t.Fatal(err)
		}
		return o.Session
	}
	p.login(first, costNow)
	started := open()
	end := costNow + offsets[first] + absolute
	if started.StartedAt+absolute != end {
		t.Fatalf("%+v", started)
	}
	tokens, touches := map[string]bool{}, map[string]bool{}
	const requests, pace = 1000, 43 // up to 20 s before the end on the faster clock
	for i := range requests {
		o := p.ask((first+i+1)%2, costNow+pace*int64(i+1))
		if o.want(t, "42"); t.Failed() {
			t.Fatalf("request %d: %v", i, o.reply)
		}
		tokens[p.jar[name+"-renewed"]], touches[p.jar[name+"-seen"]] = true, true
		if now := open(); now.StartedAt != started.StartedAt || now.ID != started.ID {
			t.Fatalf("request %d moved %+v to %+v", i, started, now)
		}
	}
	if len(tokens) < 8 || len(touches) < 300 {
		t.Errorf("only %d tokens and %d touches in %d requests", len(tokens), len(touches), requests)
	}
	for proxy, offset := range offsets {
		o := p.ask(proxy, end-offset-1)
		o.want(t, "42")
		o = p.ask(proxy, end-offset)
		o.want(t, stranger)
	}
}
