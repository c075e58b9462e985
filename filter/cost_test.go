package filter_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/curfew-proxy/curfew/cookie"
)

// costNow is what the counting host's clock says, in Unix seconds.
const costNow = 1_800_000_000

// countingHost runs the built filter, gives it one and the same request over and over, and counts
// what that takes. It has just what the valid path and the start need.
type countingHost struct {
	t       *testing.T
	ctx     context.Context
	guest   api.Module
	config  []byte
	pairs   []byte   // request headers as the host hands them over
	calls   []string // host calls, with the header's name where there is one
	headers map[string]string
	allocs  map[string]int // calls of the guest's allocator by stack
}

// wasmFile is the built filter, or (suffix ".names.wasm") the same with the names of its functions.
func wasmFile(t *testing.T, suffix string) []byte {
	t.Helper()
	path := os.Getenv("CURFEW_WASM")
	if path == "" {
		t.Fatal("CURFEW_WASM is not set; run: make test")
	}
	b, err := os.ReadFile(strings.TrimSuffix(path, ".wasm") + suffix)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newCountingHost starts the filter with that mode and serves a request with a live session.
func newCountingHost(t *testing.T, mode string) *countingHost {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	h := &countingHost{t: t, headers: map[string]string{}, allocs: map[string]int{}}
	h.config = fmt.Appendf(nil, `{"cookie": {"mode": %q}, "keys": [{"id": "k1", "secret": %q}], "login": {"url": "/login"}}`,
		mode, base64.StdEncoding.EncodeToString(secret))
	h.pairs = serialisePairs([][2]string{
		{":authority", "shop.example"}, {":path", "/cart?x=1"}, {":method", "GET"}, {":scheme", "https"},
		{"user-agent", "Mozilla/5.0"}, {"accept", "text/html,*/*;q=0.8"}, {"accept-language", "en"},
		{"sec-fetch-mode", "navigate"}, {"sec-fetch-site", "same-origin"},
		{"cookie", "theme=dark; " + liveCookies(t, secret, mode) + "; lang=en"},
	})
	h.ctx = experimental.WithFunctionListenerFactory(context.Background(), h)
	runtime := wazero.NewRuntime(h.ctx)
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	module, err := runtime.CompileModule(h.ctx, wasmFile(t, ".names.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	h.provide(runtime, module.ImportedFunctions())
	h.guest, err = runtime.InstantiateModule(h.ctx, module, wazero.NewModuleConfig().WithStartFunctions("_start"))
	if err != nil {
		t.Fatal(err)
	}
	h.call("proxy_on_context_create", 1, 0)
	h.call("proxy_on_vm_start", 1, 0)
	if h.call("proxy_on_configure", 1, uint64(len(h.config))) != 1 {
		t.Fatal("the filter did not start")
	}
	return h
}

// liveCookies mints a session and a touch that is fresh.
func liveCookies(t *testing.T, secret []byte, mode string) string {
	t.Helper()
	const name = "__Host-session"
	codec, err := cookie.NewCodec(cookie.Options{Name: name, Sealed: mode == "sealed"}, []cookie.Key{{ID: "k1", Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	s := cookie.Session{ID: cookie.ID{1}, StartedAt: costNow - 300, AuthenticatedAt: costNow - 300, IssuedAt: costNow - 300, Subject: "42", Data: `{"cart":[1,2]}`}
	token, err := codec.Seal(&s, costNow, func(b []byte) error { _, err := rand.Read(b); return err })
	if err != nil {
		t.Fatal(err)
	}
	touch, err := codec.SealTouch(s.ID, costNow, costNow)
	if err != nil {
		t.Fatal(err)
	}
	return name + "=" + token + "; " + name + cookie.TouchSuffix + "=" + touch
}

// serialisePairs writes headers as proxy-wasm ABI 0.2.0 has them.
func serialisePairs(pairs [][2]string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(pairs)))
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p[0])))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p[1])))
	}
	for _, p := range pairs {
		b = fmt.Appendf(b, "%s\x00%s\x00", p[0], p[1])
	}
	return b
}

// provide gives the module every function that it imports. Each is counted; those that serve does
// not know answer 0, which is OK, and do nothing.
func (h *countingHost) provide(runtime wazero.Runtime, imports []api.FunctionDefinition) {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, def := range imports {
		module, name, _ := def.Import()
		if builders[module] == nil {
			builders[module] = runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			status := h.serve(name, m, stack)
			if len(def.ResultTypes()) > 0 {
				stack[0] = status
			}
		}), def.ParamTypes(), def.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(context.Background()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// serve does what a host would, with the call's arguments in order.
func (h *countingHost) serve(name string, m api.Module, arg []uint64) (status uint64) {
	const notFound = 1
	switch name {
	case "proxy_get_header_map_pairs":
		h.hand(m, h.pairs, arg[1], arg[2])
	case "proxy_get_buffer_bytes":
		h.hand(m, h.config, arg[3], arg[4])
	case "clock_time_get":
		m.Memory().WriteUint64Le(uint32(arg[2]), costNow*1e9)
	case "environ_sizes_get", "args_sizes_get":
		m.Memory().WriteUint32Le(uint32(arg[0]), 0)
		m.Memory().WriteUint32Le(uint32(arg[1]), 0)
	case "proxy_get_header_map_value":
		name += " " + read(m, arg[1], arg[2])
		status = notFound
	case "proxy_replace_header_map_value":
		key := read(m, arg[1], arg[2])
		name += " " + key
		h.headers[key] = read(m, arg[3], arg[4])
	case "proxy_log":
		h.t.Log(read(m, arg[1], arg[2]))
	}
	h.calls = append(h.calls, name)
	return status
}

func read(m api.Module, at, size uint64) string {
	b, _ := m.Memory().Read(uint32(at), uint32(size))
	return string(b)
}

// hand puts b into the guest, in memory that the guest gives, and tells where that is.
func (h *countingHost) hand(m api.Module, b []byte, at, size uint64) {
	out, err := m.ExportedFunction("proxy_on_memory_allocate").Call(h.ctx, uint64(len(b)))
	if err != nil {
		h.t.Fatal(err)
	}
	m.Memory().Write(uint32(out[0]), b)
	m.Memory().WriteUint32Le(uint32(at), uint32(out[0]))
	m.Memory().WriteUint32Le(uint32(size), uint32(len(b)))
}

// NewFunctionListener implements experimental.FunctionListenerFactory: it watches the allocator.
func (h *countingHost) NewFunctionListener(def api.FunctionDefinition) experimental.FunctionListener {
	if def.Name() != "runtime.alloc" {
		return nil
	}
	return experimental.FunctionListenerFunc(func(_ context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, stack experimental.StackIterator) {
		var names []string
		for stack.Next() {
			names = append(names, stack.Function().Definition().Name())
		}
		h.allocs[strings.Join(names, " < ")]++
	})
}

func (h *countingHost) call(name string, args ...uint64) uint64 {
	h.t.Helper()
	out, err := h.guest.ExportedFunction(name).Call(h.ctx, args...)
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	if len(out) == 0 {
		return 0
	}
	return out[0]
}

// request is one request from the creation of its context to the end.
func (h *countingHost) request(id uint64) {
	h.t.Helper()
	h.call("proxy_on_context_create", id, 1)
	h.call("proxy_on_request_headers", id, 10, 1)
	h.call("proxy_on_response_headers", id, 5, 1)
	h.call("proxy_on_log", id)
	h.call("proxy_on_delete", id)
}

// A call of the host costs more than all that happens behind it. These five are what a live session
// needs.
func TestHostCalls(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			h := newCountingHost(t, mode)
			want := []string{
				"proxy_get_header_map_pairs",
				"clock_time_get",
				"proxy_replace_header_map_value cookie",
				"proxy_replace_header_map_value x-session-subject",
				"proxy_get_header_map_value x-session",
			}
			for id := uint64(2); id < 12; id++ {
				h.calls = nil
				h.request(id)
				if diff := cmp.Diff(want, h.calls); diff != "" {
					t.Fatalf("host calls (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(map[string]string{"cookie": "theme=dark; lang=en", "x-session-subject": "42"}, h.headers); diff != "" {
				t.Errorf("headers written (-want +got):\n%s", diff)
			}
		})
	}
}

// Every allocation brings the next garbage collection nearer. The buffer that the host asks for, to
// hand over the headers, is the only one; where sessions are sealed, the cipher's library makes some
// small ones of its own on each opening.
func TestAllocations(t *testing.T) {
	const warmUp, requests = 100, 1000
	for mode, library := range map[string]int{"signed": 0, "sealed": 8} {
		t.Run(mode, func(t *testing.T) {
			h := newCountingHost(t, mode)
			for id := uint64(2); id < 2+warmUp; id++ {
				h.request(id)
			}
			clear(h.allocs)
			for id := uint64(2 + warmUp); id < 2+warmUp+requests; id++ {
				h.request(id)
			}
			buffers, others := 0, 0
			for stack, n := range h.allocs {
				if strings.Contains(stack, "proxy_on_memory_allocate") {
					buffers += n
				} else {
					others += n
				}
			}
			if buffers != requests || others > library*requests {
				t.Errorf("%d requests made %d buffers for the host, want one each, and %d other allocations, want at most %d each:\n%v",
					requests, buffers, others, library, h.allocs)
			}
		})
	}
}

// Every worker of every proxy compiles the whole file.
func TestSize(t *testing.T) {
	const most = 250 * 1024
	if n := len(wasmFile(t, ".wasm")); n > most {
		t.Errorf("the built filter has %d bytes, want at most %d", n, most)
	}
}
