package istio

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	extensions "istio.io/api/extensions/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/log"
)

func TestMain(m *testing.M) {
	// What Istio adds only to its own build of Envoy; ours is the stock one.
	features.ALPNFilter, features.MetadataExchange = false, false
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
	os.Exit(m.Run())
}

// shop is what the users of deploy/ have already: an app and two gateways before it, which people reach by https.
type shop struct {
	*mesh
	gateways [2]*proxy
	nodes    [2]node
	bases    [2]string // URLs
	ports    [2]string
}

const pod = `
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: istio-ingress, labels: {istio: ingressgateway, number: %q}}
spec: {containers: [{name: istio-proxy, image: auto}]}
status: {phase: Running, podIP: %s, podIPs: [{ip: %s}], conditions: [{type: Ready, status: "True"}]}
`

const route = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway-%d, namespace: istio-ingress}
spec:
  selector: {istio: ingressgateway, number: "%d"}
  servers:
    - {port: {number: %d, name: https, protocol: HTTPS}, bind: 127.0.0.1, hosts: [shop.example], tls: {mode: SIMPLE, credentialName: shop}}
`

const app = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-ingress}
spec:
  hosts: [shop.example]
  gateways: [gateway-0, gateway-1]
  http: [{route: [{destination: {host: app.example, port: {number: 80}}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app, namespace: istio-ingress}
spec:
  hosts: [app.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: %d}}]
`

// newShop starts it with these documents of deploy/.
func newShop(t *testing.T, documents []string) *shop {
	t.Helper()
	s := prepare(t, documents, newKey())
	s.start(t)
	return s
}

// start starts the gateways.
func (s *shop) start(t *testing.T) {
	t.Helper()
	for i, n := range s.nodes {
		s.gateways[i] = n.start(t, s.address)
	}
	for i, g := range s.gateways {
		g.listens(t, "127.0.0.1:"+s.ports[i])
	}
}

// prepare starts all but the gateways.
func prepare(t *testing.T, documents []string, secret string) *shop {
	t.Helper()
	cert, key := certificate(t)
	encode := base64.StdEncoding.EncodeToString
	objects := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop, namespace: istio-ingress}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		encode(cert), encode(key))
	configuration := strings.Join(documents, "\n---\n") + fmt.Sprintf(app, newApp(t))
	s := &shop{}
	for i := range s.nodes {
		port, ip, name := freePort(t), fmt.Sprintf("127.0.0.%d", i+1), fmt.Sprintf("gateway-%d", i)
		configuration += fmt.Sprintf(route, i, i, port)
		objects += fmt.Sprintf(pod, name, fmt.Sprint(i), ip, ip)
		s.ports[i], s.bases[i] = fmt.Sprint(port), fmt.Sprintf("https://shop.example:%d", port)
		s.nodes[i] = node{role: "router", ip: ip, name: name, namespace: "istio-ingress", secret: secret,
			labels: map[string]string{"istio": "ingressgateway", "number": fmt.Sprint(i)}}
	}
	s.mesh = newMesh(t, configuration, objects)
	t.Log("istiod runs; the gateways start")
	return s
}

// plugin changes the config of the WasmPlugin.
func (s *shop) plugin(t *testing.T, edit func(*extensions.WasmPlugin)) {
	t.Helper()
	s.change(t, gvk.WasmPlugin, "istio-ingress", "curfew", func(spec config.Spec) { edit(spec.(*extensions.WasmPlugin)) })
}

// A login on one gateway holds on the other, and nobody but Curfew says who a request is from.
func TestGateway(t *testing.T) {
	for _, name := range []string{"istio/gateway.yaml", "istio/traffic-extension.yaml"} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, documents(t, manifest(t, name)))
			c := newClient(t)
			if r := c.get(t, s.bases[0]+"/account"); r.StatusCode != 302 || r.Header.Get("location") != "/login?next=/account&reason=absent" {
				t.Errorf("without a session: %v", r)
			}
			c.login(t, s.bases[0], "42")
			for _, base := range s.bases {
				if r := c.get(t, base+"/account", lies...); r.subject() != "42" {
					t.Errorf("logged in: %v", r)
				}
			}
			r, err := newClient(t).do("OPTIONS", s.bases[1]+"/account", "", "Origin: https://elsewhere.example", "Access-Control-Request-Method: PUT")
			if err != nil || r.app == nil || r.app.Header.Get("x-session-reason") != "preflight" {
				t.Errorf("a preflight: %v %v", err, r)
			}
			forged(t, s.bases[:]...)
		})
	}
}

// lies are what a client may send to seem somebody.
var lies = []string{"X-Session-Subject: admin", "X-Session-Reason: ok", `X-Session: {"subject":"admin"}`}

func forged(t *testing.T, bases ...string) {
	t.Helper()
	for _, base := range bases {
		c := newClient(t)
		for _, path := range []string{"/", "/static/x", "/login"} {
			if r := c.get(t, base+path, lies...); r.subject() != "" || r.app.Header.Get("x-session") != "" || r.app.Header.Get("x-session-reason") == "ok" {
				t.Errorf("forged, on %s: %v", path, r)
			}
		}
		if r := c.get(t, base+"/account", lies...); r.StatusCode != 302 {
			t.Errorf("forged where a session is needed: %v", r)
		}
	}
}

// Without the filter the rest of the files lets nobody through, and nobody slips through while it goes or comes.
func TestGuard(t *testing.T) {
	for name, kind := range map[string]config.GroupVersionKind{"istio/gateway.yaml": gvk.WasmPlugin, "istio/traffic-extension.yaml": gvk.TrafficExtension} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, documents(t, manifest(t, name)))
			c := newClient(t)
			c.login(t, s.bases[0], "42")
			plugin := s.Store().Get(kind, "curfew", "istio-ingress").DeepCopy()
			if err := s.Store().Delete(kind, "curfew", "istio-ingress", nil); err != nil {
				t.Fatal(err)
			}
			for _, base := range s.bases {
				eventually(t, "the filter is gone", func() bool {
					c.CloseIdleConnections() // Envoy serves on what is open as it was.
					r := c.get(t, base+"/account", lies...)
					return r.StatusCode == 403 || r.subject() != "42" && fail(t, r)
				})
				for _, path := range []string{"/", "/static/x", "/login", "/account"} {
					for _, headers := range [][]string{nil, lies[:1], lies[1:2], lies} {
						if r := c.get(t, base+path, headers...); r.StatusCode != 403 || r.app != nil {
							t.Errorf("%s with %v: %v", path, headers, r)
						}
					}
				}
			}
			plugin.ResourceVersion = ""
			if _, err := s.Store().Create(plugin); err != nil {
				t.Fatal(err)
			}
			for _, base := range s.bases {
				eventually(t, "the filter is back", func() bool {
					c.CloseIdleConnections()
					r := c.get(t, base+"/account", lies...)
					return r.subject() == "42" || r.StatusCode != 403 && fail(t, r)
				})
			}
		})
	}
}

// fail says what should not have come, and false.
func fail(t *testing.T, r reply) bool {
	t.Helper()
	t.Errorf("not what was to come: %v", r)
	return false
}

// load is people at work while something happens.
type load struct {
	done, failed atomic.Int64
	stop         chan struct{}
	wait         sync.WaitGroup
	first        atomic.Value // the first failure
}

// begin lets people who are logged in ask both gateways without a pause.
func begin(t *testing.T, bases [2]string, people int) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	for i := range people {
		c, user := newClient(t), fmt.Sprint("user-", i)
		c.login(t, bases[i%2], user)
		l.wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				r, err := c.do("GET", bases[n%2]+"/account", "")
				l.done.Add(1)
				if err != nil || r.StatusCode != 200 || r.subject() != user {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("%v %v", err, r))
				}
			}
		})
	}
	return l
}

// more waits until that many more requests were answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	want := l.done.Load() + n
	eventually(t, "requests are answered", func() bool { return l.done.Load() >= want })
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wait.Wait()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed; the first: %v", n, l.done.Load(), l.first.Load())
	}
	t.Logf("%d requests, %d failed", l.done.Load(), l.failed.Load())
}

// A new config reaches both gateways while people work: no session is lost, no request fails.
func TestChangeUnderLoad(t *testing.T) {
	s := newShop(t, documents(t, manifest(t, "istio/gateway.yaml")))
	l := begin(t, s.bases, 8)
	for round := range 3 {
		l.more(t, 200)
		header := fmt.Sprintf("x-session-round-%d", round)
		s.plugin(t, func(p *extensions.WasmPlugin) {
			headers := p.PluginConfig.Fields["headers"].GetStructValue()
			headers.Fields[header] = headers.Fields["x-session-subject"]
		})
		c := newClient(t)
		c.login(t, s.bases[0], "42")
		for _, base := range s.bases {
			eventually(t, "the new config holds", func() bool {
				r := c.get(t, base+"/account")
				return r.app != nil && r.app.Header.Get(header) == "42"
			})
		}
		l.more(t, 200)
	}
	l.end(t)
}

// A config that would half work is refused, and the one before serves on. Some of these YAML makes of what looks right.
func TestRefusedConfig(t *testing.T) {
	text := manifest(t, "istio/gateway.yaml")
	s := newShop(t, documents(t, text))
	l := begin(t, s.bases, 2)
	for _, tc := range []struct{ old, now, log string }{
		{`{idle: 15m, absolute: 12h}`, `{idle: 12h, absolute: 15m}`, `timeouts.idle: 43200s: is longer than timeouts.absolute (900s)`},
		{`id: "2026-11"`, `id: 2026_11`, `keys[0].id: 202611: must be a string, in quotes`},
		{`session: "off"`, `session: off`, `rules[0].session: false: must be a string, in quotes`},
		{`redirect: /}`, `redirect: /, on: 1}`, `logout.true: unknown field`},
		{`secret_env: CURFEW_KEY_2026_11`, `secret_env: CURFEW_KEY_2027_05`, `keys[0].secret_env: CURFEW_KEY_2027_05: this environment variable is not set`},
	} {
		before := [2]int{s.gateways[0].refused(), s.gateways[1].refused()}
		s.apply(t, replace(t, text, tc.old, tc.now))
		for i, g := range s.gateways {
			eventually(t, "Envoy refuses "+tc.now, func() bool { return g.refused() > before[i] })
			eventually(t, "the log says "+tc.log, func() bool { return strings.Contains(g.log.String(), tc.log) })
			if got := g.taken(); got != 1 {
				t.Errorf("%s: %d configs taken, want the first only", tc.now, got)
			}
		}
		l.more(t, 100)
	}
	s.apply(t, replace(t, text, "idle: 15m", "idle: 10m"))
	for _, g := range s.gateways {
		eventually(t, "Envoy takes a good config again", func() bool { return g.taken() == 2 })
	}
	l.more(t, 100)
	l.end(t)
}

// apply is `kubectl apply` of a file's WasmPlugin.
func (s *shop) apply(t *testing.T, text string) {
	t.Helper()
	all, _, err := crd.ParseInputs(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.GroupVersionKind == gvk.WasmPlugin {
			s.plugin(t, func(p *extensions.WasmPlugin) { p.PluginConfig = c.Spec.(*extensions.WasmPlugin).PluginConfig })
		}
	}
}

// A new key comes as the README says: its name first, then the secret by new pods, then the config. Who is logged in stays so.
func TestNewKey(t *testing.T) {
	for _, envoy := range envoys {
		t.Run(envoy, func(t *testing.T) { newKeyComes(t, envoy) })
	}
}

func newKeyComes(t *testing.T, envoy string) {
	const name, key = `{name: CURFEW_KEY_2026_11, valueFrom: HOST}`, `- {id: "2026-11", secret_env: CURFEW_KEY_2026_11}`
	text := manifest(t, "istio/gateway.yaml")
	text = replace(t, text, name, name+"\n      - "+strings.Replace(name, "2026_11", "2027_05", 1))
	s := prepare(t, documents(t, text), newKey())
	next := newKey()
	for i := range s.nodes {
		s.nodes[i].next, s.nodes[i].envoy = next, envoy
	}
	s.start(t)
	l, c := begin(t, s.bases, 2), newClient(t)
	c.login(t, s.bases[0], "42")
	l.more(t, 100)

	s.apply(t, replace(t, text, key, key+"\n      - {id: \"2027-05\", secret_env: CURFEW_KEY_2027_05, sign_from: \"2020-01-01T00:00:00Z\"}"))
	for _, g := range s.gateways {
		eventually(t, "Envoy takes the config", func() bool { return g.taken() == 2 })
	}
	r := c.get(t, s.bases[1]+"/account")
	if r.subject() != "42" || !strings.Contains(strings.Join(r.Header.Values("set-cookie"), "\n"), ".2027-05.") {
		t.Errorf("after the change: %v", r)
	}
	if r := c.get(t, s.bases[0]+"/account"); r.subject() != "42" {
		t.Errorf("under the new key: %v", r)
	}
	l.more(t, 100)
	l.end(t)
}

// A gateway without its key, or with one that is none, lets nobody through: Envoy opens its port and answers 500.
func TestNoKey(t *testing.T) {
	for secret, log := range map[string]string{
		"":                                       "this environment variable is not set",
		"replace-me-with-what-openssl-rand-made": "keys[0].secret_env: (hidden): ",
	} {
		s := prepare(t, documents(t, manifest(t, "istio/gateway.yaml")), secret)
		g := s.nodes[0].start(t, s.address)
		eventually(t, "Envoy refuses the config", func() bool { return g.refused() > 0 })
		eventually(t, "the log says "+log, func() bool { return strings.Contains(g.log.String(), log) })
		g.listens(t, "127.0.0.1:"+s.ports[0])
		for _, path := range []string{"/", "/static/x", "/login", "/account"} {
			if r := newClient(t).get(t, s.bases[0]+path, lies...); r.StatusCode != 500 || r.app != nil {
				t.Errorf("with the key %q, %s: %v", secret, path, r)
			}
		}
	}
}
