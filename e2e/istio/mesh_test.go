// Package istio tests deploy/ and the filter with the real istiod, which runs in the test's process, and real Envoys.
package istio

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"istio.io/istio/pilot/pkg/model"
	v3 "istio.io/istio/pilot/pkg/xds/v3"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/spiffe"
	"sigs.k8s.io/yaml"
)

// patience bounds every wait for a condition. It is never slept through.
const patience = 60 * time.Second

// tool returns a path that `make test` gives by environment.
func tool(t testing.TB, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("%s is not set; run: make test", name)
	}
	return path
}

// eventually polls until ok says true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// manifest reads a file of deploy/. The module comes from the built file in place of a registry: all else is as people apply it.
func manifest(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return replace(t, string(b), "oci://registry.example/curfew:1.0.0", "file://"+tool(t, "CURFEW_WASM"))
}

// replace replaces what must stand in the text exactly once.
func replace(t testing.TB, text, old, now string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q stands %d times in:\n%s", old, n, text)
	}
	return strings.Replace(text, old, now, 1)
}

// documents splits YAML and leaves out the kinds named.
func documents(t testing.TB, text string, without ...string) (kept []string) {
	t.Helper()
	for _, document := range strings.Split(text, "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(without, head.Kind) {
			kept = append(kept, document)
		}
	}
	return kept
}

// mesh is an istiod.
type mesh struct {
	*xds.FakeDiscoveryServer
	address string
}

// newMesh starts an istiod that knows this configuration and these Kubernetes objects.
func newMesh(t *testing.T, configuration, objects string) *mesh {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{address: l.Addr().String()}
	m.FakeDiscoveryServer = xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		ConfigString: configuration, KubernetesObjectString: objects, DisableSecretAuthorization: true,
		ListenerBuilder: func() (net.Listener, error) { return l, nil },
	})
	m.Discovery.Generators[v3.SecretType] = identified{m.Discovery.Generators[v3.SecretType]}
	return m
}

// identified hands out TLS secrets to proxies that came without mTLS: in a cluster their certificate says who they are.
type identified struct{ model.XdsResourceGenerator }

func (g identified) Generate(p *model.Proxy, w *model.WatchedResource, r *model.PushRequest) (model.Resources, model.XdsLogDetails, error) {
	p.VerifiedIdentity = &spiffe.Identity{TrustDomain: "cluster.local", Namespace: p.ConfigNamespace, ServiceAccount: "gateway"}
	return g.XdsResourceGenerator.Generate(p, w, r)
}

// change edits a resource as `kubectl edit` does, and istiod pushes it.
func (m *mesh) change(t *testing.T, kind config.GroupVersionKind, namespace, name string, edit func(config.Spec)) {
	t.Helper()
	old := m.Store().Get(kind, name, namespace)
	if old == nil {
		t.Fatalf("istiod knows no %s %s/%s", kind.Kind, namespace, name)
	}
	now := old.DeepCopy()
	edit(now.Spec)
	if _, err := m.Store().Update(now); err != nil {
		t.Fatal(err)
	}
}

// proxy is a running Envoy that istiod programs.
type proxy struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   *logFile
	admin string
	done  chan struct{}
}

// node is how a proxy introduces itself.
type node struct {
	envoy                     string // variable that names the binary; none: CURFEW_ENVOY
	role, ip, name, namespace string
	labels                    map[string]string
	metadata                  object
	secret                    string // of the key that the deploy files name; none: not set
	next                      string // of the key after it
	secrets                   string // address of what gives it certificates of the mesh
}

type object = map[string]any

func (n node) bootstrap(istiod string) object {
	metadata := object{"NAMESPACE": n.namespace, "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0", "LABELS": n.labels}
	maps.Copy(metadata, n.metadata)
	ads := object{"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	clusters := []any{cluster("xds-grpc", istiod)}
	if n.secrets != "" {
		clusters = append(clusters, cluster("sds-grpc", n.secrets))
	}
	return object{
		"admin": object{"address": address("127.0.0.1", 0)},
		"node":  object{"id": fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", n.role, n.ip, n.name, n.namespace, n.namespace), "cluster": n.name, "metadata": metadata},
		"dynamic_resources": object{"lds_config": ads, "cds_config": ads, "ads_config": object{"api_type": "DELTA_GRPC", "transport_api_version": "V3",
			"set_node_on_first_message_only": true, "grpc_services": []any{object{"envoy_grpc": object{"cluster_name": "xds-grpc"}}}}},
		"static_resources": object{"clusters": clusters},
		"bootstrap_extensions": []any{object{"name": "internal_listener", "typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}},
	}
}

// cluster is one that speaks gRPC.
func cluster(name, addr string) object {
	host, port, _ := net.SplitHostPort(addr)
	var number int
	_, _ = fmt.Sscan(port, &number)
	const http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return object{"name": name, "type": "STATIC", "connect_timeout": "5s",
		"typed_extension_protocol_options": object{http2: object{"@type": "type.googleapis.com/" + http2, "explicit_http_config": object{"http2_protocol_options": object{}}}},
		"load_assignment":                  object{"cluster_name": name, "endpoints": []any{object{"lb_endpoints": []any{object{"endpoint": object{"address": address(host, number)}}}}}}}
}

func address(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

// start runs an Envoy until its admin port answers. It is stopped with the test.
func (n node) start(t testing.TB, istiod string) *proxy {
	t.Helper()
	var env []string
	if n.secret != "" {
		env = []string{"CURFEW_KEY_2026_11=" + n.secret}
	}
	if n.next != "" {
		env = append(env, "CURFEW_KEY_2027_05="+n.next)
	}
	return launchThat(t, cmp.Or(n.envoy, "CURFEW_ENVOY"), n.bootstrap(istiod), env...)
}

// launch runs an Envoy with that bootstrap.
func launch(t testing.TB, bootstrap object, env ...string) *proxy {
	t.Helper()
	return launchThat(t, "CURFEW_ENVOY", bootstrap, env...)
}

// launchThat runs the Envoy of that variable.
func launchThat(t testing.TB, envoy string, bootstrap object, env ...string) *proxy {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(bootstrap)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "envoy.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, log: &logFile{}, done: make(chan struct{})}
	p.cmd = exec.Command(tool(t, envoy), "-c", filepath.Join(dir, "envoy.json"), "--concurrency", "2", "--disable-hot-restart",
		"--log-level", "warning", "--component-log-level", "wasm:info", "--admin-address-path", filepath.Join(dir, "admin"))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(p.stop)
	eventually(t, "Envoy's admin port answers", func() bool {
		select {
		case <-p.done:
			t.Fatalf("Envoy ended at start:\n%s", p.log)
		default:
		}
		b, _ := os.ReadFile(filepath.Join(dir, "admin"))
		p.admin = string(b)
		return p.admin != "" && p.get("/server_info") != ""
	})
	return p
}

func (p *proxy) stop() {
	_ = p.cmd.Process.Kill()
	<-p.done
	if p.t.Failed() {
		p.t.Logf("Envoy's log:\n%s", p.log)
	}
}

// listens waits until that address takes connections.
func (p *proxy) listens(t testing.TB, addr string) {
	t.Helper()
	eventually(t, "Envoy listens on "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// get asks the admin port.
func (p *proxy) get(path string) string {
	res, err := http.Get("http://" + p.admin + path)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// stat adds up the counters whose names match.
func (p *proxy) stat(pattern string) (sum int) {
	for _, line := range strings.Split(p.get("/stats?filter="+pattern), "\n") {
		var n int
		if _, value, ok := strings.Cut(line, ": "); ok {
			_, _ = fmt.Sscan(value, &n)
			sum += n
		}
	}
	return sum
}

// The updates of the filter's config that this Envoy took and refused.
func (p *proxy) taken() int   { return p.stat("extension_config_discovery.*curfew.*update_success$") }
func (p *proxy) refused() int { return p.stat("extension_config_discovery.*curfew.*update_rejected$") }

// logFile keeps what Envoy prints.
type logFile struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
