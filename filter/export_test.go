package filter_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

// Each export is a door into the guest, and each callback a cost to every request. Above all there
// is no malloc: Envoy would prefer it, and what it hands out is never collected.
func TestExports(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { _ = r.Close(ctx) })
	module, err := r.CompileModule(ctx, wasm(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"_start", "proxy_abi_version_0_2_0", "proxy_on_configure", "proxy_on_context_create", "proxy_on_delete", "proxy_on_http_call_response", "proxy_on_log",
		"proxy_on_memory_allocate", "proxy_on_request_headers", "proxy_on_request_trailers", "proxy_on_response_headers",
		"proxy_on_tick", "proxy_on_vm_start",
	}
	if got := slices.Sorted(maps.Keys(module.ExportedFunctions())); !slices.Equal(got, want) {
		t.Errorf("functions %v, want %v", got, want)
	}
	if got := slices.Collect(maps.Keys(module.ExportedMemories())); !slices.Equal(got, []string{"memory"}) {
		t.Errorf("memories %v", got)
	}
}
