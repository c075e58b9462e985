//go:build !tinygo

package filter

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"time"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"
)

// host makes the calls of host_wasm.go where tests run the filter as plain Go, through the SDK's
// emulated host.
type host struct{}

func (h *host) requestHeaders() (headerList, bool) {
	pairs, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		return headerList{}, false
	}
	return newHeaderList(serialise(pairs))
}

// serialise is the inverse of headerList.
func serialise(pairs [][2]string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(pairs)))
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p[0])))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p[1])))
	}
	for _, p := range pairs {
		b = append(append(append(append(b, p[0]...), 0), p[1]...), 0)
	}
	return string(b)
}

func (h *host) hasResponseHeader(name string) bool {
	_, err := proxywasm.GetHttpResponseHeader(name)
	return err == nil
}

const (
	metricCounter = 0
	metricGauge   = 1
)

func (h *host) defineMetric(kind uint32, name string) (uint32, bool) {
	if kind == metricGauge {
		return uint32(proxywasm.DefineGaugeMetric(name)), true
	}
	return uint32(proxywasm.DefineCounterMetric(name)), true
}

func (h *host) addMetric(id uint32, n int64) { proxywasm.MetricGauge(id).Add(n) }

func (h *host) setMetric(id uint32, value uint64) {
	g := proxywasm.MetricGauge(id)
	g.Add(int64(value) - g.Value())
}

func (h *host) metric(id uint32) uint64 { return proxywasm.MetricCounter(id).Value() }

// The SDK's emulated host has no streams to close; the tests of them run the module.
func (h *host) setContext(uint32) {}

func (h *host) closeStream() {}

func (h *host) bytesPast(string) uint64 { return 0 }

func (w *World) fill(*host) {
	if w.Now == nil {
		w.Now = func() int64 { return time.Now().Unix() }
	}
	if w.Random == nil {
		w.Random = func(b []byte) error { _, err := rand.Read(b); return err }
	}
	if w.Getenv == nil {
		w.Getenv = os.Getenv
	}
}

func memoryPages() uint64 { return 0 }
