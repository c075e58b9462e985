package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a condition. It is never slept through.
const patience = 30 * time.Second

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

// newKey makes a secret for one test.
func newKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// setup says what Envoy to start.
type setup struct {
	binary     string            // default: CURFEW_ENVOY
	config     string            // the filter JSON
	env        map[string]string // what Envoy's environment holds and host_env_keys names
	app        string            // address of the app
	workers    int               // default: 2
	clock      *clock            // default: the real one
	filters    []any             // further HTTP filters before the router
	maxHeaders int               // request headers that Envoy takes; default: its own 100
	trailers   bool              // request trailers pass over http/1.1, too
	streams    bool              // the app gets requests in the protocol they came in, which gRPC needs
	discovery  string            // a file from which Envoy gets the filter by ECDS; publish writes it
}

// envoy is a running one.
type envoy struct {
	t                  testing.TB
	cmd                *exec.Cmd
	log                *logFile
	http, https, admin string // addresses
	done               chan struct{}
}

// clock is what an Envoy takes for the time of day: it stands still until a test moves it.
type clock struct {
	file *os.File
	now  time.Time
}

func newClock(t testing.TB) *clock {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c := &clock{file: f}
	c.set(t, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	return c
}

// set moves the clock; the very next request sees it.
func (c *clock) set(t testing.TB, now time.Time) {
	t.Helper()
	c.now = now
	if _, err := c.file.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(now.Unix())), 0); err != nil {
		t.Fatal(err)
	}
}

func (c *clock) advance(t testing.TB, d time.Duration) { t.Helper(); c.set(t, c.now.Add(d)) }

func (c *clock) env(t testing.TB) []string {
	return []string{"LD_PRELOAD=" + tool(t, "CURFEW_CLOCK"), "CURFEW_CLOCK_FILE=" + c.file.Name()}
}

// logFile keeps what Envoy prints.
type logFile struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs Envoy until it serves. It is stopped with the test.
func start(t testing.TB, s setup) *envoy {
	t.Helper()
	e := launch(t, s)
	e.serves(e.findListeners)
	return e
}

// serves waits until Envoy has an admin port and is ready.
func (e *envoy) serves(ready func() bool) {
	e.t.Helper()
	adminFile := filepath.Join(filepath.Dir(e.cmd.Args[2]), "admin")
	eventually(e.t, "Envoy serves", func() bool {
		select {
		case <-e.done:
			e.t.Fatalf("Envoy ended at start:\n%s", e.log)
		default:
		}
		b, err := os.ReadFile(adminFile)
		e.admin = string(b)
		return err == nil && e.admin != "" && ready()
	})
}

// launch runs Envoy and does not wait.
func launch(t testing.TB, s setup) *envoy {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.json")
	writeJSON(t, path, bootstrap(t, s, dir))
	return s.run(t, path)
}

// run runs Envoy with that config file and does not wait.
func (s setup) run(t testing.TB, path string, args ...string) *envoy {
	t.Helper()
	if s.binary == "" {
		s.binary = tool(t, "CURFEW_ENVOY")
	}
	if s.workers == 0 {
		s.workers = 2
	}
	e := &envoy{t: t, log: &logFile{}, done: make(chan struct{})}
	e.cmd = exec.Command(s.binary, append([]string{"-c", path, "--concurrency", fmt.Sprint(s.workers), "--disable-hot-restart", "--file-flush-interval-msec", "50",
		"--log-level", "warning", "--component-log-level", "wasm:info", "--admin-address-path", filepath.Join(filepath.Dir(path), "admin")}, args...)...)
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	e.cmd.Env = os.Environ()
	if s.clock != nil {
		e.cmd.Env = append(e.cmd.Env, s.clock.env(t)...)
	}
	for k, v := range s.env {
		e.cmd.Env = append(e.cmd.Env, k+"="+v)
	}
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = e.cmd.Wait(); close(e.done) }()
	t.Cleanup(e.stop)
	return e
}

func (e *envoy) stop() {
	_ = e.cmd.Process.Kill()
	<-e.done
	if e.t.Failed() {
		e.t.Logf("Envoy's log:\n%s", e.log)
	}
}

// background runs another server until the test ends, and keeps what it prints.
func background(t testing.TB, name string, cmd *exec.Cmd) *logFile {
	t.Helper()
	log := &logFile{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s's log:\n%s", name, log)
		}
	})
	return log
}

// findListeners asks the admin port where the listeners are.
func (e *envoy) findListeners() bool {
	var list struct {
		Listeners []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if !strings.Contains(e.adminGet("/ready"), "LIVE") || json.Unmarshal([]byte(e.adminGet("/listeners?format=json")), &list) != nil {
		return false
	}
	for _, l := range list.Listeners {
		address := fmt.Sprintf("127.0.0.1:%d", l.Address.Socket.Port)
		switch l.Name {
		case "http":
			e.http = address
		case "https":
			e.https = address
		}
	}
	return e.http != "" && e.https != ""
}

func (e *envoy) adminGet(path string) string {
	res, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// counter reads one of the filter's metrics; the VMs tell them once a second.
func (e *envoy) counter(name string) int {
	for _, line := range strings.Split(e.adminGet("/stats?filter=curfew_"+name+"$"), "\n") {
		var n int
		if key, value, ok := strings.Cut(line, ": "); ok && strings.HasSuffix(key, "curfew_"+name) {
			_, _ = fmt.Sscan(value, &n)
			return n
		}
	}
	return 0
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

// bootstrap is an Envoy config with a plain and a TLS listener, both with the filter.
func bootstrap(t testing.TB, s setup, dir string) object {
	cert, key := certificate(t, dir)
	tls := object{
		"name": "envoy.transport_sockets.tls",
		"typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
			"common_tls_context": object{
				"alpn_protocols":   []string{"h2", "http/1.1"},
				"tls_certificates": []any{object{"certificate_chain": object{"filename": cert}, "private_key": object{"filename": key}}},
			},
		},
	}
	return object{
		"admin": object{"address": address("127.0.0.1", 0)},
		"node":  object{"id": "test", "cluster": "test"}, // which discovery asks for
		"static_resources": object{
			"listeners": []any{listener(t, "http", s, nil), listener(t, "https", s, tls)},
			"clusters":  []any{appCluster(s)},
		},
	}
}

func address(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

func appCluster(s setup) object {
	c := cluster("app", s.app)
	if s.trailers {
		c["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http_protocol_options": object{"enable_trailers": true}},
		}}
	}
	if s.streams {
		c["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                          "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"use_downstream_protocol_config": object{"http2_protocol_options": object{}},
		}}
	}
	return c
}

func cluster(name, addr string) object {
	host, port, _ := net.SplitHostPort(addr)
	var n int
	_, _ = fmt.Sscan(port, &n)
	return object{"name": name, "connect_timeout": "1s", "load_assignment": object{"cluster_name": name,
		"endpoints": []any{object{"lb_endpoints": []any{object{"endpoint": object{"address": address(host, n)}}}}}}}
}

func listener(t testing.TB, name string, s setup, transport any) object {
	manager := object{
		"@type":           "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix":     name,
		"upgrade_configs": []any{object{"upgrade_type": "websocket"}},
		// As envoy.yaml has it: for so long Envoy keeps an http/1.1 connection after a stream that ended.
		"delayed_close_timeout": "0.25s",
		"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []string{"*"},
			"routes": []any{object{"match": object{"prefix": "/"}, "route": object{"cluster": "app", "timeout": "0s"}}}}}},
		"http2_protocol_options": object{"allow_connect": true},
		"http_filters":           httpFilters(t, s),
		"access_log": []any{object{"name": "stdout", "typed_config": object{
			"@type":      "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
			"log_format": object{"text_format_source": object{"inline_string": "ACCESS %REQ(:METHOD)% %RESPONSE_CODE% reason=%FILTER_STATE(wasm.curfew_reason:PLAIN)%\n"}},
		}}},
	}
	if s.maxHeaders > 0 {
		manager["common_http_protocol_options"] = object{"max_headers_count": s.maxHeaders}
		manager["max_request_headers_kb"] = 8192
	}
	if s.trailers {
		manager["http_protocol_options"] = object{"enable_trailers": true}
	}
	chain := object{"filters": []any{object{"name": "hcm", "typed_config": manager}}}
	if transport != nil {
		chain["transport_socket"] = transport
	}
	return object{"name": name, "address": address("127.0.0.1", 0), "filter_chains": []any{chain}}
}

func httpFilters(t testing.TB, s setup) []any {
	keys := []string{}
	for k := range s.env {
		keys = append(keys, k)
	}
	vm := object{
		"vm_id": "curfew-test", "runtime": "envoy.wasm.runtime.v8",
		"code": object{"local": object{"filename": tool(t, "CURFEW_WASM")}},
	}
	if len(keys) > 0 {
		vm["environment_variables"] = object{"host_env_keys": keys}
	}
	curfew := object{"name": "curfew", "typed_config": object{
		"@type": wasmType,
		"config": object{"name": "curfew", "failure_policy": "FAIL_RELOAD", "vm_config": vm,
			"configuration": object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": s.config}},
	}}
	if s.discovery != "" {
		publish(t, s.discovery, curfew)
		source := object{"path_config_source": object{"path": s.discovery}, "resource_api_version": "V3"}
		curfew = object{"name": "curfew", "config_discovery": object{"config_source": source, "type_urls": []string{wasmType}}}
	}
	filters := append([]any{curfew}, s.filters...)
	return append(filters, object{"name": "envoy.filters.http.router", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}})
}

const wasmType = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"

// publish puts a filter where Envoy looks for it. It watches for files that are moved there.
func publish(t testing.TB, file string, filter object) {
	t.Helper()
	resource := object{"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"}
	maps.Copy(resource, filter)
	writeJSON(t, file+".new", object{"version_info": fmt.Sprint(time.Now().UnixNano()), "resources": []any{resource}})
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one for localhost that only this test knows.
func certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
