package istio

import (
	"fmt"
	"strings"
	"testing"

	"istio.io/istio/pkg/config/schema/gvk"
)

// What a user of sidecar.yaml has: an app in the namespace shop. The sidecar listens itself, as there is no iptables, and
// without mTLS, as there is no mesh to give it certificates.
const appWithSidecar = `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: shop, namespace: shop}
spec:
  workloadSelector: {labels: {app: shop}}
  ingress: [{port: {number: %s, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: "127.0.0.1:%d"}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop, namespace: shop}
spec: {mtls: {mode: DISABLE}}
`

const appPod = `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {selector: {app: shop}, clusterIP: 10.0.0.1, ports: [{name: http, port: 80, targetPort: %s}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: shop, labels: {app: shop}}
spec: {containers: [{name: istio-proxy, image: auto}]}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}], conditions: [{type: Ready, status: "True"}]}
`

// The file makes a sidecar keep the sessions of its app, with the guard, whichever gateway is in front.
func TestSidecar(t *testing.T) {
	port := fmt.Sprint(freePort(t))
	text := strings.ReplaceAll(manifest(t, "istio/sidecar.yaml"), "8080", port)
	m := newMesh(t, text+fmt.Sprintf(appWithSidecar, port, newApp(t)), fmt.Sprintf(appPod, port))
	p := node{role: "sidecar", ip: "127.0.0.1", name: "shop", namespace: "shop", labels: map[string]string{"app": "shop"},
		metadata: object{"INTERCEPTION_MODE": "NONE"}, secret: newKey()}.start(t, m.address)
	p.listens(t, "127.0.0.1:"+port)

	base := "http://shop.example:" + port
	m.guards(t, newClient(t), base)
}

// guards sees a client log in at an app that is alone behind filter and guard, believes nobody's word, and lets
// nobody in without the filter.
func (m *mesh) guards(t *testing.T, c client, base string) {
	t.Helper()
	const https = "X-Forwarded-Proto: https" // as the gateway says
	r, err := c.do("POST", base+"/login", "user=42", https)
	if err != nil || r.StatusCode != 200 || len(r.Cookies()) != 1 {
		t.Fatalf("login: %v %v", err, r)
	}
	cookie := "Cookie: " + r.Cookies()[0].Name + "=" + r.Cookies()[0].Value // over http a jar keeps it to itself
	if r := c.get(t, base+"/account", append(lies, https, cookie)...); r.subject() != "42" {
		t.Errorf("logged in: %v", r)
	}
	if r := c.get(t, base+"/account", append(lies, https)...); r.StatusCode != 302 {
		t.Errorf("without a session: %v", r)
	}
	if r := c.get(t, base+"/static/x", append(lies, https)...); r.app == nil || r.subject() != "" || r.app.Header.Get("x-session-reason") != "off" {
		t.Errorf("forged: %v", r)
	}

	if err := m.Store().Delete(gvk.WasmPlugin, "curfew", "shop", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the filter is gone", func() bool {
		c.CloseIdleConnections()
		r := c.get(t, base+"/static/x", append(lies, https)...)
		return r.StatusCode == 403 || r.app.Header.Get("x-session-reason") != "off" && fail(t, r)
	})
}
