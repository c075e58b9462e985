package filter_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// wasmHost runs the built filter and is all of Envoy to it. Unlike the SDK's emulated host it has a
// clock and an environment that tests set, it starts as many filters side by side as are wanted, and
// it counts what goes over the boundary.
type wasmHost struct {
	t      testing.TB
	ctx    context.Context
	guest  api.Module
	next   uint64 // context id
	plugin uint64 // context id of the config taken last

	now    int64    // Unix seconds
	env    []string // NAME=value
	config string

	toApp, toClient [][2]string // headers of the request and of the response
	unreadable      bool        // it gives no list of headers
	local           uint32      // status of the filter's own reply, 0 for none
	reason          string      // the property that access logs read
	logged          []string

	shared      *shared
	questions   []question  // that it put to other clusters
	callHeaders [][2]string // headers of the answer to one, and its body
	callBody    string
	unreachable bool // there is no such cluster

	spy     func(name string, m api.Module, arg []uint64) // is told of each call first; nil for none
	calls   []string                                      // host calls, with the header's name where there is one
	headers map[string]string
	allocs  map[string]int // calls of the guest's allocator by stack
}

const (
	wasmOK          = 0
	wasmNotFound    = 1
	wasmBadArgument = 2
	wasmCasMismatch = 8
)

// shared is what all workers of an Envoy have together: data, as proxy-wasm-cpp-host's shared_data.cc keeps it,
// and metrics.
type shared struct {
	data    map[string]sharedValue
	version uint32
	metrics map[string]uint64
	names   []string // of the metrics, by id
}

type sharedValue struct {
	text    string
	version uint32
}

func newShared() *shared {
	return &shared{data: map[string]sharedValue{}, metrics: map[string]uint64{}}
}

// set refuses a version that is neither 0 nor the value's. An absent one takes any.
func (s *shared) set(key, text string, version uint32) (status uint64) {
	if v, ok := s.data[key]; ok && version != 0 && version != v.version {
		return wasmCasMismatch
	}
	s.version++
	s.data[key] = sharedValue{text, s.version}
	return wasmOK
}

// define gives a metric its id, the same to all.
func (s *shared) define(name string) (id uint32) {
	at := slices.Index(s.names, name)
	if at < 0 {
		at = len(s.names)
		s.names = append(s.names, name)
	}
	return uint32(at)
}

// question is a request of the filter's own.
type question struct {
	cluster string
	headers [][2]string
	timeout uint32 // milliseconds
	id      uint64
}

// compiled keeps what machine code the module became, for all hosts.
var compiled = wazero.NewCompilationCache()

// newWasmHost loads the filter in that environment; it has no config yet.
func newWasmHost(t testing.TB, env ...string) *wasmHost {
	t.Helper()
	h := emptyWasmHost(t)
	h.env = env
	return h.load(wasmFile(t, ".wasm"), wazero.NewRuntimeConfig().WithCompilationCache(compiled))
}

// newListeningHost counts allocations too. It compiles the module anew, for machine code is tied to
// the listener that it was made for.
func newListeningHost(t testing.TB) *wasmHost {
	t.Helper()
	h := emptyWasmHost(t)
	h.ctx = experimental.WithFunctionListenerFactory(h.ctx, h)
	return h.load(wasmFile(t, ".names.wasm"), wazero.NewRuntimeConfig())
}

func emptyWasmHost(t testing.TB) *wasmHost {
	return &wasmHost{t: t, ctx: context.Background(), next: 1, now: costNow, headers: map[string]string{}, allocs: map[string]int{}, shared: newShared()}
}

// getenv is os.Getenv of the guest.
func (h *wasmHost) getenv(name string) string {
	for _, entry := range h.env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// wasmFile is the built filter, or (suffix ".names.wasm") the same with the names of its functions.
func wasmFile(t testing.TB, suffix string) []byte {
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

func (h *wasmHost) load(file []byte, settings wazero.RuntimeConfig) *wasmHost {
	h.t.Helper()
	runtime := wazero.NewRuntimeWithConfig(h.ctx, settings)
	h.t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	module, err := runtime.CompileModule(h.ctx, file)
	if err != nil {
		h.t.Fatal(err)
	}
	h.provide(runtime, module.ImportedFunctions())
	h.guest, err = runtime.InstantiateModule(h.ctx, module, wazero.NewModuleConfig().WithStartFunctions("_start"))
	if err != nil {
		h.t.Fatal(err)
	}
	return h
}

// start gives the filter a config, in a plugin context of its own as Envoy does, and reports whether
// it takes it. A trap fails the test.
func (h *wasmHost) start(config string) bool {
	h.t.Helper()
	id := h.next
	h.next++
	h.config = config
	h.call("proxy_on_context_create", id, 0)
	h.call("proxy_on_vm_start", id, 0)
	if h.call("proxy_on_configure", id, uint64(len(config))) != 1 {
		return false
	}
	h.plugin = id
	return true
}

// provide gives the module every function that it imports. Each is counted; those that serve does
// not know answer 0, which is OK, and do nothing.
func (h *wasmHost) provide(runtime wazero.Runtime, imports []api.FunctionDefinition) {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, def := range imports {
		module, name, _ := def.Import()
		if builders[module] == nil {
			builders[module] = runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			if h.spy != nil {
				h.spy(name, m, stack)
			}
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
func (h *wasmHost) serve(name string, m api.Module, arg []uint64) (status uint64) {
	switch name {
	case "proxy_get_buffer_bytes":
		text := h.config
		if uint32(arg[0]) == 4 { // of the answer to a question
			from := min(int(uint32(arg[1])), len(h.callBody))
			text = h.callBody[from:min(from+int(uint32(arg[2])), len(h.callBody))]
		}
		h.hand(m, []byte(text), arg[3], arg[4])
	case "clock_time_get":
		m.Memory().WriteUint64Le(uint32(arg[2]), uint64(h.now)*1e9)
	case "random_get":
		b, _ := m.Memory().Read(uint32(arg[0]), uint32(arg[1]))
		_, _ = rand.Read(b)
	case "environ_sizes_get":
		m.Memory().WriteUint32Le(uint32(arg[0]), uint32(len(h.env)))
		m.Memory().WriteUint32Le(uint32(arg[1]), uint32(len(strings.Join(h.env, "\x00"))+1))
	case "environ_get":
		h.handEnvironment(m, uint32(arg[0]), uint32(arg[1]))
	case "args_sizes_get":
		m.Memory().WriteUint32Le(uint32(arg[0]), 0)
		m.Memory().WriteUint32Le(uint32(arg[1]), 0)
	case "proxy_log":
		h.logged = append(h.logged, read(m, arg[1], arg[2]))
	case "proxy_set_property":
		if read(m, arg[0], arg[1]) == "curfew_reason" {
			h.reason = read(m, arg[2], arg[3])
		}
	case "proxy_send_local_response":
		h.local, h.toClient = uint32(arg[0]), deserialisePairs(read(m, arg[5], arg[6]))
	case "proxy_get_shared_data", "proxy_set_shared_data", "proxy_http_call":
		status = h.serveShared(name, m, arg)
	default:
		if strings.HasSuffix(name, "_metric") {
			h.serveMetric(name, m, arg)
		} else {
			name, status = h.serveHeaders(name, m, arg)
		}
	}
	h.calls = append(h.calls, name)
	return status
}

// serveShared is for what goes beyond one worker: the others, and other clusters.
func (h *wasmHost) serveShared(name string, m api.Module, arg []uint64) (status uint64) {
	key := read(m, arg[0], arg[1])
	switch name {
	case "proxy_get_shared_data":
		v, ok := h.shared.data[key]
		if !ok {
			return wasmNotFound
		}
		h.hand(m, []byte(v.text), arg[2], arg[3])
		m.Memory().WriteUint32Le(uint32(arg[4]), v.version)
	case "proxy_set_shared_data":
		return h.shared.set(key, read(m, arg[2], arg[3]), uint32(arg[4]))
	case "proxy_http_call":
		if h.unreachable {
			return wasmBadArgument
		}
		id := uint64(len(h.questions) + 1)
		h.questions = append(h.questions, question{key, deserialisePairs(read(m, arg[2], arg[3])), uint32(arg[8]), id})
		m.Memory().WriteUint32Le(uint32(arg[9]), uint32(id))
	}
	return wasmOK
}

func (h *wasmHost) serveMetric(name string, m api.Module, arg []uint64) {
	if name == "proxy_define_metric" {
		m.Memory().WriteUint32Le(uint32(arg[3]), h.shared.define(read(m, arg[1], arg[2])))
		return
	}
	metric := h.shared.names[uint32(arg[0])]
	switch name {
	case "proxy_increment_metric":
		h.shared.metrics[metric] += arg[1]
	case "proxy_record_metric":
		h.shared.metrics[metric] = arg[1]
	case "proxy_get_metric":
		m.Memory().WriteUint64Le(uint32(arg[1]), h.shared.metrics[metric])
	}
}

// serveHeaders is for calls about headers, and adds to such a call's name the header's.
func (h *wasmHost) serveHeaders(name string, m api.Module, arg []uint64) (call string, status uint64) {
	if !strings.Contains(name, "header_map") {
		return name, wasmOK
	}
	list := &h.toApp
	switch uint32(arg[0]) { // the upper half of a 32-bit argument is anything
	case 2:
		list = &h.toClient
	case 6:
		list = &h.callHeaders
	}
	if name == "proxy_get_header_map_pairs" {
		if h.unreadable {
			return name, wasmNotFound
		}
		h.hand(m, serialisePairs(*list), arg[1], arg[2])
		return name, wasmOK
	}
	key := read(m, arg[1], arg[2])
	is := func(p [2]string) bool { return p[0] == key }
	at := slices.IndexFunc(*list, is)
	switch name {
	case "proxy_get_header_map_value":
		if at < 0 {
			status = wasmNotFound
		} else {
			h.hand(m, []byte((*list)[at][1]), arg[3], arg[4])
		}
	case "proxy_remove_header_map_value":
		*list = slices.DeleteFunc(*list, is)
	case "proxy_replace_header_map_value":
		h.headers[key] = read(m, arg[3], arg[4])
		*list = append(slices.DeleteFunc(*list, is), [2]string{key, h.headers[key]})
	case "proxy_add_header_map_value":
		*list = append(*list, [2]string{key, read(m, arg[3], arg[4])})
	}
	return name + " " + key, status
}

func (h *wasmHost) handEnvironment(m api.Module, pointers, text uint32) {
	for i, entry := range h.env {
		m.Memory().WriteUint32Le(pointers+4*uint32(i), text)
		m.Memory().WriteString(text, entry+"\x00")
		text += uint32(len(entry) + 1)
	}
}

func read(m api.Module, at, size uint64) string {
	b, _ := m.Memory().Read(uint32(at), uint32(size))
	return string(b)
}

// hand puts b into the guest, in memory that the guest gives, and tells where that is. For nothing it
// asks for no memory: the SDK traps on a request for none.
func (h *wasmHost) hand(m api.Module, b []byte, at, size uint64) {
	if len(b) == 0 {
		m.Memory().WriteUint32Le(uint32(at), 0)
		m.Memory().WriteUint32Le(uint32(size), 0)
		return
	}
	out, err := m.ExportedFunction("proxy_on_memory_allocate").Call(h.ctx, uint64(len(b)))
	if err != nil {
		h.t.Fatal(err)
	}
	m.Memory().Write(uint32(out[0]), b)
	m.Memory().WriteUint32Le(uint32(at), uint32(out[0]))
	m.Memory().WriteUint32Le(uint32(size), uint32(len(b)))
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

func deserialisePairs(s string) (pairs [][2]string) {
	number := func(i int) int { return int(binary.LittleEndian.Uint32([]byte(s[4*i:]))) }
	at := 4 + 8*number(0)
	for i := range number(0) {
		name := s[at : at+number(1+2*i)]
		at += len(name) + 1
		value := s[at : at+number(2+2*i)]
		at += len(value) + 1
		pairs = append(pairs, [2]string{name, value})
	}
	return pairs
}

// NewFunctionListener implements experimental.FunctionListenerFactory: it watches the allocator.
func (h *wasmHost) NewFunctionListener(def api.FunctionDefinition) experimental.FunctionListener {
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

func (h *wasmHost) call(name string, args ...uint64) uint64 {
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

// exchange is one request from the creation of its context to the end, under the config that was
// taken last; the app answers with those headers.
func (h *wasmHost) exchange(request, response [][2]string) {
	h.t.Helper()
	id := h.next
	h.next++
	h.toApp, h.toClient, h.local, h.reason = slices.Clone(request), slices.Clone(response), 0, ""
	h.calls = h.calls[:0]
	h.call("proxy_on_context_create", id, h.plugin)
	h.call("proxy_on_request_headers", id, uint64(len(request)), 1)
	h.call("proxy_on_response_headers", id, uint64(len(h.toClient)), 1)
	h.call("proxy_on_log", id)
	h.call("proxy_on_delete", id)
}
