package filter

import (
	"encoding/binary"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
)

// absent is the version of a value that nobody has written yet. The host takes it only as long as that is so.
const absent = ^uint32(0)

// sharedNumbers reads a value that all VMs of this Envoy with the same vm_id share: numbers, which are 0 where
// nobody has written them. version is what write wants to hear.
func sharedNumbers(key string, n []int64) (version uint32) {
	b, version, err := proxywasm.GetSharedData(key)
	if err != nil {
		version = absent
	}
	if len(b) != 8*len(n) { // another build's may be there
		b = make([]byte, 8*len(n))
	}
	for i := range n {
		n[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return version
}

// shareNumbers writes them, and reports false where another VM was faster. version 0 writes in any case.
func shareNumbers(key string, version uint32, n ...int64) bool {
	b := make([]byte, 0, 8*len(n))
	for _, x := range n {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return proxywasm.SetSharedData(key, b, version) == nil
}
