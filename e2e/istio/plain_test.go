package istio

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// envoys are the newest and the oldest that are promised.
var envoys = []string{"CURFEW_ENVOY", "CURFEW_ENVOY_OLDEST"}

// The file for an Envoy without a mesh: it works over TLS, and without the filter nobody gets through.
func TestPlainEnvoy(t *testing.T) {
	for _, envoy := range envoys {
		t.Run(envoy, func(t *testing.T) {
			text, port := plain(t)
			launchThat(t, envoy, parse(t, text), "CURFEW_KEY_2026_11="+newKey()).listens(t, "127.0.0.1:"+port)
			base, c := "https://shop.example:"+port, newClient(t)
			c.login(t, base, "42")
			if r := c.get(t, base+"/account", lies...); r.subject() != "42" {
				t.Errorf("logged in: %v", r)
			}
			forged(t, base)
		})
	}
}

func TestPlainEnvoyWithoutFilter(t *testing.T) {
	text, port := plain(t)
	a, b := strings.Index(text, "                  - name: curfew\n"), strings.Index(text, "                  # The guard, second half")
	if a < 0 || b < a {
		t.Fatal("the file has no filter named curfew before the guard's second half")
	}
	launch(t, parse(t, text[:a]+text[b:])).listens(t, "127.0.0.1:"+port)
	for _, path := range []string{"/", "/static/x", "/login", "/account"} {
		if r := newClient(t).get(t, "https://shop.example:"+port+path, lies...); r.StatusCode != 403 || r.app != nil {
			t.Errorf("%s: %v", path, r)
		}
	}
}

// The filter's config of envoy-gateway/gateway.yaml starts and works; Envoy Gateway hands it over as JSON.
func TestEnvoyGatewayConfig(t *testing.T) {
	b, err := os.ReadFile("../../deploy/envoy-gateway/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Spec struct{ Wasm []struct{ Config object } }
	}
	for _, d := range documents(t, string(b), "EnvoyProxy", "Gateway", "ClientTrafficPolicy", "SecurityPolicy") {
		if err := yaml.Unmarshal([]byte(d), &policy); err != nil {
			t.Fatal(err)
		}
	}
	if len(policy.Spec.Wasm) != 1 {
		t.Fatalf("%d filters", len(policy.Spec.Wasm))
	}
	config, err := json.Marshal(policy.Spec.Wasm[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	text, port := plain(t)
	before, rest, _ := strings.Cut(text, "value: |\n")
	_, after, ok := strings.Cut(rest, "                  # The guard, second half")
	if !ok {
		t.Fatal("envoy.yaml has no config before the guard's second half")
	}
	launch(t, parse(t, before+"value: "+strconv.Quote(string(config))+"\n#"+after), "CURFEW_KEY_2026_11="+newKey()).listens(t, "127.0.0.1:"+port)
	base, c := "https://shop.example:"+port, newClient(t)
	c.login(t, base, "42")
	if r := c.get(t, base+"/account"); r.subject() != "42" {
		t.Errorf("logged in: %v", r)
	}
	forged(t, base)
}

// plain is the file for this machine: other addresses, a certificate of this test's own, the module that was built.
func plain(t *testing.T) (text, port string) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/envoy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text = string(b)
	cert, key := certificate(t)
	for name, pem := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), pem, 0o600); err != nil {
			t.Fatal(err)
		}
		text = replace(t, text, "/etc/envoy/tls/"+name, filepath.Join(dir, name))
	}
	port = fmt.Sprint(freePort(t))
	for old, now := range map[string]string{
		"/etc/envoy/curfew.wasm": tool(t, "CURFEW_WASM"), "port_value: 9901": "port_value: 0",
		"address: 0.0.0.0, port_value: 443":       fmt.Sprintf("address: 127.0.0.1, port_value: %s", port),
		"address: app.internal, port_value: 8080": fmt.Sprintf("address: 127.0.0.1, port_value: %d", newApp(t)),
	} {
		text = replace(t, text, old, now)
	}
	return text, port
}

func parse(t *testing.T, text string) (bootstrap object) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), &bootstrap); err != nil {
		t.Fatal(err)
	}
	return bootstrap
}
