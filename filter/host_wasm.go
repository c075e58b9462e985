//go:build tinygo

package filter

import (
	"encoding/binary"
	"errors"
	"os"
	"unsafe"
)

// host makes the calls of which the SDK's own form costs too much: results that travel through
// variables whose address is given away, headers that become a list, metrics that bring package
// fmt. Here the results have a place for good.
type host struct {
	value uint64 // of a metric
	id    uint32 // of a metric
	data  unsafe.Pointer
	size  uint32
	nanos uint64
}

const (
	mapRequestHeaders  = 0
	mapResponseHeaders = 2
	statusOK           = 0
	clockRealtime      = 0
	streamRequest      = 0
)

//go:wasmimport env proxy_get_header_map_pairs
func proxyGetHeaderMapPairs(mapType uint32, data, size unsafe.Pointer) uint32

//go:wasmimport env proxy_get_header_map_value
func proxyGetHeaderMapValue(mapType uint32, key unsafe.Pointer, keySize uint32, data, size unsafe.Pointer) uint32

//go:wasmimport env proxy_define_metric
func proxyDefineMetric(kind uint32, name unsafe.Pointer, nameSize uint32, id unsafe.Pointer) uint32

//go:wasmimport env proxy_increment_metric
func proxyIncrementMetric(id uint32, offset int64) uint32

//go:wasmimport env proxy_record_metric
func proxyRecordMetric(id uint32, value uint64) uint32

//go:wasmimport env proxy_get_metric
func proxyGetMetric(id uint32, value unsafe.Pointer) uint32

//go:wasmimport env proxy_set_effective_context
func proxySetEffectiveContext(id uint32) uint32

//go:wasmimport env proxy_close_stream
func proxyCloseStream(streamType uint32) uint32

//go:wasmimport env proxy_get_property
func proxyGetProperty(path unsafe.Pointer, size uint32, data, valueSize unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 clock_time_get
func clockTimeGet(clock uint32, precision uint64, nanos unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 random_get
func randomGet(buf unsafe.Pointer, size uint32) uint32

func (h *host) requestHeaders() (headerList, bool) {
	h.data, h.size = nil, 0
	if proxyGetHeaderMapPairs(mapRequestHeaders, unsafe.Pointer(&h.data), unsafe.Pointer(&h.size)) != statusOK || h.data == nil {
		return headerList{}, false
	}
	return newHeaderList(unsafe.String((*byte)(h.data), h.size))
}

func (h *host) hasResponseHeader(name string) bool {
	return proxyGetHeaderMapValue(mapResponseHeaders, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)),
		unsafe.Pointer(&h.data), unsafe.Pointer(&h.size)) == statusOK
}

const (
	metricCounter = 0
	metricGauge   = 1
)

func (h *host) defineMetric(kind uint32, name string) (uint32, bool) {
	status := proxyDefineMetric(kind, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(&h.id))
	return h.id, status == statusOK
}

func (h *host) addMetric(id uint32, n int64) { proxyIncrementMetric(id, n) }

func (h *host) setMetric(id uint32, value uint64) { proxyRecordMetric(id, value) }

func (h *host) metric(id uint32) uint64 {
	h.value = 0
	proxyGetMetric(id, unsafe.Pointer(&h.value))
	return h.value
}

func (h *host) setContext(id uint32) { proxySetEffectiveContext(id) }

// closeStream resets the stream of the context that calls are for.
func (h *host) closeStream() { proxyCloseStream(streamRequest) }

// bytesPast reads what the stream has carried one way, in bytes; property is a path as the host takes it,
// its parts with a zero between them.
func (h *host) bytesPast(property string) uint64 {
	h.data, h.size = nil, 0
	status := proxyGetProperty(unsafe.Pointer(unsafe.StringData(property)), uint32(len(property)), unsafe.Pointer(&h.data), unsafe.Pointer(&h.size))
	if status != statusOK || h.size != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(unsafe.Slice((*byte)(h.data), h.size))
}

var errRandom = errors.New("the host gave no random bytes")

// arc4random seeds the runtime's maps. libc's own would bring a stream cipher and printf along, some
// 20 KB; the host has better randomness.
//
//export arc4random
func arc4random() (n uint32) {
	randomGet(unsafe.Pointer(&n), 4)
	return n
}

// fill puts the host's clock and randomness, and the VM's environment, where nothing else is given.
func (w *World) fill(h *host) {
	if w.Now == nil {
		w.Now = func() int64 {
			clockTimeGet(clockRealtime, 1, unsafe.Pointer(&h.nanos))
			return int64(h.nanos / 1e9)
		}
	}
	if w.Random == nil {
		w.Random = func(b []byte) error {
			if randomGet(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) != statusOK {
				return errRandom
			}
			return nil
		}
	}
	if w.Getenv == nil {
		w.Getenv = os.Getenv
	}
}

// memoryPages is how much linear memory this VM has, in pages of 64 KiB.
func memoryPages() uint64 { return uint64(wasmMemorySize(0)) }

//export llvm.wasm.memory.size.i32
func wasmMemorySize(index int32) int32
