// Command curfew is the WebAssembly module that Envoy loads.
package main

import (
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"

	"github.com/curfew-proxy/curfew/filter"
)

func main() { proxywasm.SetVMContext(filter.New(filter.World{})) }
