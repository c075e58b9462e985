package istio

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpwasm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/protobuf/types/known/anypb"
	"istio.io/istio/pkg/util/protomarshal"
	"istio.io/istio/pkg/wasm"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newImage packs the built filter as `make image` does, and returns the OCI layout and the digest that was printed.
func newImage(t testing.TB) (folder string, digest v1.Hash) {
	t.Helper()
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "curfew.wasm"), readFile(t, tool(t, "CURFEW_WASM")), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "run", ".", "../..", out)
	command.Dir = "../../scripts/image"
	var stderr bytes.Buffer
	command.Stderr = &stderr
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("scripts/image: %v: %s", err, &stderr)
	}
	fields := strings.Fields(string(printed))
	digest, err = v1.NewHash(fields[len(fields)-1])
	if err != nil {
		t.Fatalf("scripts/image printed no digest at the end: %v\n%s", err, printed)
	}
	return filepath.Join(out, "image"), digest
}

// push puts the image of an OCI layout into a registry under a name like host/repository:tag.
func push(t testing.TB, folder string, digest v1.Hash, to string) {
	t.Helper()
	path, err := layout.FromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	image, err := path.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	head, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	if head.Digest != digest {
		t.Errorf("the registry says %s, scripts/image %s", head.Digest, digest)
	}
}

// newRegistry runs a registry and returns its host and port.
func newRegistry(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// newCache is what istio-agent has beside each proxy.
func newCache(t testing.TB) wasm.Cache {
	t.Helper()
	cache := wasm.NewLocalFileCache(t.TempDir(), wasm.Options{})
	t.Cleanup(cache.Cleanup)
	return cache
}

// Two builds are one image, and Istio's agent gets the very module out of it.
func TestImage(t *testing.T) {
	host := newRegistry(t)
	folder, digest := newImage(t)
	push(t, folder, digest, host+"/curfew:1.0.0")
	if again, same := newImage(t); same != digest {
		t.Errorf("a second build has the digest %s, the first %s", same, digest)
	} else {
		push(t, again, same, host+"/again:1.0.0")
	}
	other := strings.Repeat("0", len(digest.Hex))
	for _, test := range []struct{ name, url, pin, problem string }{
		{"by tag", "/curfew:1.0.0", "", ""},
		{"by tag, pinned", "/curfew:1.0.0", digest.Hex, ""},
		{"by digest", "/curfew@" + digest.String(), "", ""},
		{"the second build by the first's digest", "/again@" + digest.String(), "", ""},
		{"by tag, pinned to another", "/curfew:1.0.0", other, "does not match"},
		{"by digest, pinned to another", "/curfew@" + digest.String(), other, "does not match"},
		{"by another digest", "/curfew@sha256:" + other, "", "MANIFEST_UNKNOWN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := newCache(t).Get("oci://"+host+test.url, wasm.GetOptions{Checksum: test.pin, RequestTimeout: patience})
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("error %v, want one with %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readFile(t, file), readFile(t, tool(t, "CURFEW_WASM"))) {
				t.Error("the file is not the module that was packed")
			}
		})
	}
}

const ecds = `{
  "name": "istio-ingress.curfew",
  "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
    "config": {
      "name": "istio-ingress.curfew",
      "failure_policy": "FAIL_RELOAD",
      "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": %q},
      "vm_config": {
        "vm_id": "curfew",
        "runtime": "envoy.wasm.runtime.v8",
        "environment_variables": {"host_env_keys": ["CURFEW_KEY"]},
        "code": {"remote": {"sha256": %q, "http_uri": {"uri": %q, "cluster": "_", "timeout": "30s"}}}
      }
    }
  }
}`

// fetched is what istio-agent makes of istiod's filter config with that image, pinned.
func fetched(t testing.TB, url, pin string) *core.TypedExtensionConfig {
	t.Helper()
	config := &core.TypedExtensionConfig{}
	filter := `{"keys": [{"id": "1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`
	if err := protomarshal.ApplyJSON(fmt.Sprintf(ecds, filter, pin, url), config); err != nil {
		t.Fatal(err)
	}
	resource, err := anypb.New(config)
	if err != nil {
		t.Fatal(err)
	}
	resources := []*anypb.Any{resource}
	if err := wasm.MaybeConvertWasmExtensionConfig(resources, newCache(t)); err != nil {
		t.Fatal(err)
	}
	if err := resources[0].UnmarshalTo(config); err != nil {
		t.Fatal(err)
	}
	return config
}

// A real Envoy runs the file that istio-agent got out of the image.
func TestImageInEnvoy(t *testing.T) {
	host := newRegistry(t)
	folder, digest := newImage(t)
	push(t, folder, digest, host+"/curfew:1.0.0")
	config := fetched(t, "oci://"+host+"/curfew:1.0.0", digest.Hex)
	filter := &httpwasm.Wasm{}
	if err := config.GetTypedConfig().UnmarshalTo(filter); err != nil {
		t.Fatal(err)
	}
	if filter.Config.GetVmConfig().Code.GetLocal().GetFilename() == "" {
		t.Fatalf("the module was not fetched: %v", config)
	}
	asJSON, err := protomarshal.ToJSONMap(config)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	launch(t, listening(port, asJSON), "CURFEW_KEY="+newKey())
	serving(t, port)
	r := newClient(t).get(t, fmt.Sprintf("http://shop.example:%d/account", port))
	location, err := r.Location()
	if err != nil || r.StatusCode != 302 || location.Path != "/login" || location.Query().Get("reason") != "absent" {
		t.Errorf("without a session: %v", r)
	}
}

// What comes with another digest than the one that was pinned lets nobody through.
func TestImageWithAnotherDigest(t *testing.T) {
	host := newRegistry(t)
	folder, digest := newImage(t)
	push(t, folder, digest, host+"/curfew:1.0.0")
	port := freePort(t)
	config, err := protomarshal.ToJSONMap(fetched(t, "oci://"+host+"/curfew:1.0.0", strings.Repeat("0", len(digest.Hex))))
	if err != nil {
		t.Fatal(err)
	}
	launch(t, listening(port, config))
	serving(t, port)
	if r := newClient(t).get(t, fmt.Sprintf("http://shop.example:%d/", port)); r.StatusCode != 403 {
		t.Errorf("without the filter: %v", r)
	}
}

// serving waits until Envoy takes connections.
func serving(t testing.TB, port int) {
	t.Helper()
	eventually(t, "Envoy listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// listening is an Envoy with one filter, which answers 200 where the filter lets through.
func listening(port int, filter object) object {
	manager := object{
		"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix": "http",
		"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []string{"*"},
			"routes": []any{object{"match": object{"prefix": "/"}, "direct_response": object{"status": 200}}}}}},
		"http_filters": []any{filter, object{"name": "envoy.filters.http.router", "typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}},
	}
	return object{
		"admin": object{"address": address("127.0.0.1", 0)},
		"static_resources": object{"listeners": []any{object{"name": "http", "address": address("127.0.0.1", port),
			"filter_chains": []any{object{"filters": []any{object{"name": "http_connection_manager", "typed_config": manager}}}}}}},
	}
}
